"""The program's own class for a Helm release, beside that of pulumi-kubernetes."""

from __future__ import annotations

from typing import Any

from pulumi_kubernetes.helm.v3 import Release as Theirs
from pulumi_kubernetes.helm.v3 import RepositoryOptsArgs

from components.kit.release import Release
from tests.unit.kit.registration import node, registered

SHARED: dict[str, Any] = {"chart": "demo", "version": "1.2.3", "name": "demo", "values": {"replicaCount": 2}}


def test_a_release_is_registered_as_by_the_class_of_the_package() -> None:
    own = SHARED | {"maxHistory": 5, "skipCrds": True, "repositoryOpts": {"repo": "https://charts.example.org"}}
    theirs = SHARED | {"max_history": 5, "skip_crds": True}
    repository = RepositoryOptsArgs(repo="https://charts.example.org")
    assert registered(lambda opts: Release("one", own, opts), aliases=True) == registered(
        lambda opts: Theirs("one", repository_opts=repository, opts=opts, **theirs), aliases=True
    )


def test_the_name_of_a_release_can_be_had_from_it() -> None:
    names: list[str] = []
    node(lambda opts: Release("one", SHARED, opts).name.apply(names.append))
    assert names == ["demo"]
