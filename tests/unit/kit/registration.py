"""What the engine is asked to register for one resource of Kubernetes' provider, without an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from checks.graph import Node, record

Make = Callable[[pulumi.ResourceOptions], Any]
"""Makes the resource `one` with options that name a provider."""


def node(make: Make) -> Node:
    """The resource as it is recorded."""

    def program() -> None:
        make(pulumi.ResourceOptions(provider=kubernetes.Provider("kubernetes", kubeconfig="{}")))

    return record(program)["one"]


def registered(make: Make, *, aliases: bool = False) -> dict[str, Any]:
    """All that two ways to make it must have in common; on request, the aliases too."""
    made = node(make)
    request = made.request
    return {
        "type": made.type,
        "inputs": made.inputs,
        "version": request.version,
        "secret outputs": list(request.additionalSecretOutputs),
        "provider": request.provider,
        **({"aliases": list(request.aliases)} if aliases else {}),
    }
