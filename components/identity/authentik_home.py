"""The namespace of Authentik: of its pods, its database, and the secrets of all clients.

Owns the namespace alone, as secrets and the database in it come before Authentik itself. Has the declared secrets made,
and hands them out; does not own them, nor what else is in it. Must exist before: a store of secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.certificates.acme import SOLVERS
from components.identity.authentik_secrets import NAMESPACE
from components.kit.kubernetes_object import Namespace
from components.kit.namespace import make_namespace
from components.kit.network_policy import close_namespace, open_to
from components.secrets.application_secret import ApplicationSecret, MakeSecrets


@dataclass(frozen=True, kw_only=True)
class AuthentikHomeArgs:
    """Arguments of `AuthentikHome`."""

    secrets: MakeSecrets


class AuthentikHome(pulumi.ComponentResource):
    """The namespace; its pods pass level `restricted`, and nobody reaches them unless a policy says so."""

    namespace: Namespace

    secrets: Mapping[str, ApplicationSecret]
    """What is declared for the namespace, by name."""

    def __init__(self, name: str, args: AuthentikHomeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:identity:AuthentikHome", name, None, opts)
        self.namespace = make_namespace(f"{name}-namespace", NAMESPACE, "restricted", parent=self)
        close_namespace(f"{name}-closed", self.namespace, parent=self)
        open_to(f"{name}-solver", [SOLVERS], self.namespace.metadata.name, parent=self)
        self.secrets = args.secrets(self.namespace)
        self.register_outputs({"namespace": self.namespace.metadata.name})
