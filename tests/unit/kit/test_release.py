"""The program's own class for a Helm release, beside that of pulumi-kubernetes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.helm.v3 import Release as Theirs
from pulumi_kubernetes.helm.v3 import RepositoryOptsArgs

from checks.graph import record
from components.kit.release import Release

SHARED: dict[str, Any] = {"chart": "demo", "version": "1.2.3", "name": "demo", "values": {"replicaCount": 2}}


def test_a_release_is_registered_as_by_the_class_of_the_package() -> None:
    own = SHARED | {"maxHistory": 5, "skipCrds": True, "repositoryOpts": {"repo": "https://charts.example.org"}}
    theirs = SHARED | {"max_history": 5, "skip_crds": True}
    repository = RepositoryOptsArgs(repo="https://charts.example.org")
    assert _registered(lambda opts: Release("one", own, opts)) == _registered(
        lambda opts: Theirs("one", repository_opts=repository, opts=opts, **theirs)
    )


def test_the_name_of_a_release_can_be_had_from_it() -> None:
    names: list[str] = []
    _registered(lambda opts: Release("one", SHARED, opts).name.apply(names.append))
    assert names == ["demo"]


def _registered(make: Callable[[pulumi.ResourceOptions], Any]) -> dict[str, Any]:
    def program() -> None:
        make(pulumi.ResourceOptions(provider=kubernetes.Provider("kubernetes", kubeconfig="{}")))

    made = record(program)["one"]
    request = made.request
    return {
        "type": made.type,
        "inputs": made.inputs,
        "version": request.version,
        "secret outputs": list(request.additionalSecretOutputs),
        "aliases": list(request.aliases),
        "provider": request.provider,
    }
