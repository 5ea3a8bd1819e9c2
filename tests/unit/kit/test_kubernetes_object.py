"""The program's own classes for Kubernetes' kinds, beside those of pulumi-kubernetes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pulumi
import pytest
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from checks.graph import Secret
from components.kit import kubernetes_object
from components.kit.kubernetes_object import KubernetesObject
from tests.unit.kit.registration import node, registered

KINDS = sorted(KubernetesObject.__subclasses__(), key=lambda kind: kind.kind)
REQUIRED: dict[str, dict[str, Any]] = {
    "ClusterRoleBinding": {"roleRef": {"name": "some"}},
    "CronJob": {"spec": {"schedule": "0 0 * * *"}},
    "RoleBinding": {"roleRef": {"name": "some"}},
    "StorageClass": {"provisioner": "some"},
    "ValidatingAdmissionPolicyBinding": {"spec": {}},
    "MutatingAdmissionPolicyBinding": {"spec": {}},
}
"""What the package's classes do not do without."""
META = ObjectMetaArgs(name="there", namespace="place", labels={"a": "b"})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.kind))
def test_a_kind_is_registered_as_by_the_class_of_the_package(kind: type[KubernetesObject]) -> None:
    group = kind.api_version.rpartition("/")[0].partition(".")[0] or "core"
    theirs = getattr(import_module(f"pulumi_kubernetes.{group}.v1"), kind.kind)
    fields = REQUIRED.get(kind.kind, {})
    for_theirs = {"role_ref" if name == "roleRef" else name: value for name, value in fields.items()}
    assert registered(lambda opts: kind("one", metadata=META, opts=opts, **fields)) == registered(
        lambda opts: theirs("one", metadata=META, opts=opts, **for_theirs)
    )


def test_what_a_secret_holds_is_secret_although_it_is_made_of_plain_text() -> None:
    made = node(
        lambda opts: kubernetes_object.Secret(
            "one", metadata=META, data={"a": "Yg=="}, stringData={"c": "d"}, opts=opts
        )
    )
    assert made.inputs["data"] == Secret({"a": "Yg=="})
    assert made.inputs["stringData"] == Secret({"c": "d"})


def test_the_rest_of_a_manifest_is_registered_as_it_is_written() -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    made = node(lambda opts: kubernetes_object.Role("one", metadata=META, rules=rules, opts=opts))
    assert made.inputs["rules"] == rules


def test_the_name_of_an_object_can_be_had_from_it() -> None:
    names: list[str] = []

    def make(opts: pulumi.ResourceOptions) -> None:
        kubernetes_object.ConfigMap("one", metadata=META, opts=opts).metadata.name.apply(names.append)

    node(make)
    assert names == ["there"]
