"""The sample program, and what programs of a few lines are made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi import ResourceOptions

from checks.graph import Fake, FakeInvoke, Graph, Secret, echo, record

SAMPLE = Path(__file__).parent / "sample"
TOKEN = "user@pve!sample=11111111-2222-3333-4444-555555555555"
COUNT = 22
"""Resources of the sample, components and the stack included."""
FAKES: dict[str, Fake] = {
    "talos-secrets": {
        "clientConfiguration": {"caCertificate": "ca", "clientCertificate": "cert", "clientKey": Secret("client-key")}
    },
    "talos-kubeconfig": {"kubeconfigRaw": Secret("apiVersion: v1")},
    "random:index/randomPassword:RandomPassword": lambda node: {"result": Secret(f"{node.name}-result")},
    "kubernetes": echo,
}
INVOKES: dict[str, FakeInvoke] = {
    "talos:client/getConfiguration:getConfiguration": lambda invoke: {"talosConfig": invoke.args["clusterName"]}
}


def sample(
    *,
    fakes: Mapping[str, Fake] | None = None,
    invokes: Mapping[str, FakeInvoke] | None = None,
    check: bool = True,
    timeout: float = 60,
    **config: str,
) -> Graph:
    return record(
        SAMPLE,
        project="sample",
        stack="lab",
        secrets={"token": TOKEN},
        config=config,
        fakes=fakes,
        invokes=invokes,
        check=check,
        timeout=timeout,
    )


class Thing(pulumi.CustomResource):
    def __init__(self, name: str, inputs: Mapping[str, Any], opts: ResourceOptions) -> None:
        super().__init__("test:index:Thing", name, dict(inputs), opts)


def custom(name: str, inputs: Mapping[str, Any] | None = None, **options: Any) -> Thing:
    return Thing(name, inputs or {}, ResourceOptions(**options))


def returning_nothing(_: object) -> None:
    """Let a lambda be a program: what a program returns would be awaited."""


def names(urns: set[str]) -> set[str]:
    return {urn.rpartition("::")[2] for urn in urns}
