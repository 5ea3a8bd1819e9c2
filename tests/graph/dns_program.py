"""The layers from the network to names, on a cluster and a Vault that are only named."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pulumi
import pulumi_kubernetes as kubernetes

from checks.graph import Graph, echo, load_stack_config, record
from checks.program import ROOT
from components.namespace import namespace
from components.references import SecretReference, StorageClassReference, VaultLogin
from stacks import dns, ingress, network, secret_store
from stacks.cluster import ClusterLayer
from stacks.settings import Settings, parse

RELEASE = "kubernetes:helm.sh/v3:Release"
ZONE = "kubernetes:dns.cav.enablers.ob/v1alpha2:ClusterZone dns-zone"
ISSUER = "kubernetes:cert-manager.io/v1:ClusterIssuer"
CERTIFICATE = "kubernetes:cert-manager.io/v1:Certificate"
EXTERNAL = "kubernetes:external-secrets.io/v1:ExternalSecret"

Change = Callable[[dict[str, Any]], None]


class Surroundings(pulumi.ComponentResource):
    """What the layers stand on, each part as the resource after which it is there."""

    def __init__(self, provider: pulumi.ProviderResource) -> None:
        super().__init__(
            "homelab:test:Surroundings", "surroundings", None, pulumi.ResourceOptions(providers=[provider])
        )
        self.machine = namespace("machine", "machine", "restricted", parent=self)
        self.vault = namespace("configured-vault", "vault", "restricted", parent=self)
        self.storage_class = namespace("storage-class", "csi", "privileged", parent=self)
        self.register_outputs({})


def settings_of(stack: str, change: Change | None = None) -> Settings:
    """The settings of a stack file, which `change` may edit first (keys without `homelab:`)."""
    raw = {
        key.removeprefix("homelab:"): json.loads(value)
        for key, value in load_stack_config(ROOT, stack).items()
        if key.startswith("homelab:")
    }
    if change:
        change(raw)
    return parse(raw)


def recorded(stack: str = "prod", change: Change | None = None, made: list[dns.DnsLayer] | None = None) -> Graph:
    """The graph of these layers for the settings of a stack; the last of them is put into `made`."""
    settings = settings_of(stack, change)

    def program() -> None:
        provider = kubernetes.Provider("kubernetes")
        around = Surroundings(provider)
        cluster = ClusterLayer(
            talos=cast(Any, SimpleNamespace()), machines={}, kubernetes=provider, foundation=around.machine
        )
        pods = network.deploy(settings, cluster=cluster)
        web = ingress.deploy(settings, network=pods)
        store = secret_store.deploy(
            settings,
            network=pods,
            issuer=web.ca.issuer,
            login=VaultLogin(
                server="https://vault.vault:8200",
                authority=SecretReference(namespace="vault", name="vault-tls", key="ca.crt", ready=around.vault),
                auth_path="kubernetes",
                role="workloads",
                audience="vault",
                service_account="vault-client",
                mount="kv",
                ready=around.vault,
            ),
        )
        layer = dns.deploy(
            settings,
            network=pods,
            web=web,
            store=store,
            storage=StorageClassReference(name="proxmox", ready=around.storage_class),
        )
        if made is not None:
            made.append(layer)

    return record(program, project="homelab", fakes={"kubernetes": echo})
