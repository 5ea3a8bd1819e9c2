"""The namespace of Authentik: of its pods, its database, and the secrets of all clients.

Owns the namespace alone, as secrets and the database in it come before Authentik itself. Does not own what is in it.
Must exist before: the Kubernetes API.
"""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.core.v1 import Namespace

from components.identity.authentik_secrets import NAMESPACE
from components.kit.namespace import make_namespace


class AuthentikHome(pulumi.ComponentResource):
    """The namespace; its pods pass level `restricted`."""

    namespace: Namespace

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:identity:AuthentikHome", name, None, opts)
        self.namespace = make_namespace(f"{name}-namespace", NAMESPACE, "restricted", parent=self)
        self.register_outputs({"namespace": self.namespace.metadata.name})
