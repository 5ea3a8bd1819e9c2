"""A right configuration of Vault, changes of it, and the graph of a Vault made with it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_kubernetes as kubernetes

from checks.graph import Graph, record
from components.kit.chart import ChartSource
from components.kit.references import IssuerReference, StorageClassReference
from components.vault.clients import platform_configuration
from components.vault.config import Addition, VaultConfiguration
from components.vault.oidc import ExternalGroup, OidcAuth, OidcRole, from_environment
from components.vault.operator import VaultOperator, VaultOperatorArgs
from components.vault.policy import Policy, Rule
from components.vault.vault import Vault, VaultArgs

CALLBACK = "https://vault.example.org/ui/vault/auth/oidc/oidc/callback"
PEOPLE = Policy(
    name="people",
    rules=(Rule(path="kv/data/*", capabilities=("create", "read", "update", "delete", "list")),),
    administrative=True,
)


def configuration() -> VaultConfiguration:
    """The platform's own, with one policy more for people."""
    first = platform_configuration(["gitea", "dns"], "vault")
    return VaultConfiguration(
        audit=first.audit, engines=first.engines, auth=first.auth, policies=(*first.policies, PEOPLE)
    )


def oidc_role(**changes: Any) -> OidcRole:
    """The role of people who may log in."""
    known: dict[str, Any] = {
        "name": "user",
        "claims": {"groups": ("vault-admins", "staff")},
        "redirect_uris": (CALLBACK,),
        "audience": "vault",
        "policies": ("default",),
        "token_ttl": 3600,
    }
    return OidcRole(**known | changes)


def oidc(**changes: Any) -> OidcAuth:
    """Login by a provider."""
    known: dict[str, Any] = {
        "path": "oidc",
        "discovery_url": "https://auth.example.org/application/o/vault/",
        "client_id": "vault",
        "client_secret": from_environment("OIDC_CLIENT_SECRET"),
        "default_role": "user",
        "roles": (oidc_role(),),
    }
    return OidcAuth(**known | changes)


def addition() -> Addition:
    """The document that brings the provider."""
    group = ExternalGroup(name="vault-admins", mount="oidc", policies=("people",))
    return Addition(first=configuration(), auth=(oidc(),), groups=(group,))


def changed(document: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """A copy of `document` in which `change` was made."""
    document = copy.deepcopy(document)
    change(document)
    return document


def renamed(place: str, new: str) -> Callable[[dict[str, Any]], object]:
    """A change that gives the key at the end of `place` (`auth.0.config.kubernetes_host`) another name."""

    def change(document: Any) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in place.split(".")]
        for part in parents:
            document = document[part]
        document[new] = document.pop(last)

    return change


@cache
def made(*, admission_policies: bool = True, size: int = 3) -> Graph:
    """The graph of an operator `operator` and a Vault `vault`."""

    def program() -> None:
        provider = kubernetes.Provider("cluster", kubeconfig="{}")
        opts = pulumi.ResourceOptions(providers=[provider, command.Provider("command")])
        ready = kubernetes.core.v1.ConfigMap("ready", opts=pulumi.ResourceOptions(provider=provider))
        operator_args = VaultOperatorArgs(charts=ChartSource(), kubeconfig="{}", admission_policies=admission_policies)
        operator = VaultOperator("operator", operator_args, opts)
        args = VaultArgs(
            operator=operator,
            issuer=IssuerReference(name="cluster-ca", ready=ready),
            storage=StorageClassReference(name="proxmox", ready=ready),
            configuration=configuration(),
            callers=[],
            size=size,
        )
        Vault("vault", args, opts)

    return record(program)
