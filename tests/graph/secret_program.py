"""A small program with the secret store and two consumers' secrets, as later layers will have them."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pulumi
import pulumi_kubernetes as kubernetes

from checks.graph import Graph, echo, record
from components.kit.namespace import make_namespace
from components.kit.references import IssuerReference, SecretReference, VaultLogin
from components.secrets.application_secret import ApplicationSecret
from components.secrets.secret_spec import Hex, Password, Plain, SecretSpec
from stacks import secret_store
from stacks.application_secrets import SECRETS, STORE_PROBE, DeclaredSecret, table
from stacks.network import NetworkLayer
from stacks.settings.load import parse
from tests.unit.settings import fixtures

RELEASE = "kubernetes:helm.sh/v3:Release"
EXTERNAL = "kubernetes:external-secrets.io/v1:ExternalSecret"
PUSH = "kubernetes:external-secrets.io/v1alpha1:PushSecret"
PASSWORD = "kubernetes:generators.external-secrets.io/v1alpha1:Password"
STORE = "kubernetes:external-secrets.io/v1:ClusterSecretStore vault-store"
BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"

KEY = DeclaredSecret(
    spec=SecretSpec(
        name="dns-key",
        namespace="dns",
        keys={"api-key": Password(length=48), "web-key": Password(length=48), "cookie": Hex(), "user": Plain("api")},
        derived={"config": 'key={{ index . "api-key" }}'},
        labels={"app": "dns"},
    ),
    uptake="restart",
    consumers="the DNS servers",
    also_in=("edge", "certificates"),
)
TOKEN = DeclaredSecret(
    spec=SecretSpec(name="token", namespace="dns", keys={"token": Hex()}),
    uptake="restart",
    consumers="the clients",
)
SAMPLE = table([SECRETS[STORE_PROBE], KEY, TOKEN])


class Surroundings(pulumi.ComponentResource):
    """What the store stands on, and a consumer's namespace."""

    def __init__(self, provider: pulumi.ProviderResource) -> None:
        super().__init__(
            "homelab:test:Surroundings", "surroundings", None, pulumi.ResourceOptions(providers=[provider])
        )
        self.issuer = make_namespace("issuer", "cert-manager", "restricted", parent=self)
        self.authority = make_namespace("authority", "vault", "restricted", parent=self)
        self.vault = make_namespace("configured-vault", "vault-system", "restricted", parent=self)
        self.consumer = make_namespace("consumer", "dns", "restricted", parent=self)
        self.register_outputs({})


def _inside(provider: pulumi.ProviderResource, *after: pulumi.Resource) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(providers=[provider], depends_on=after)


def spec(graph: Graph, name: str) -> dict[str, Any]:
    """The spec of a custom resource."""
    found: dict[str, Any] = graph[name].inputs["spec"]
    return found


def recorded(made: dict[str, ApplicationSecret] | None = None, **rotation: int) -> Graph:
    """The graph of the sample with these generations; its secrets are put into `made`."""
    generations = {name.replace("_", "-"): generation for name, generation in rotation.items()}

    def program() -> None:
        provider = kubernetes.Provider("kubernetes")
        around = Surroundings(provider)
        inside = partial(_inside, provider)
        layer = secret_store.deploy(
            # The names are those of the sample's own table, which the settings' rules do not know.
            parse(fixtures.BASE).model_copy(update={"rotation": generations}),
            network=cast(NetworkLayer, SimpleNamespace(inside=inside)),
            issuer=IssuerReference(name="cluster-ca", ready=around.issuer),
            login=VaultLogin(
                server="https://vault.vault:8200",
                authority=SecretReference(namespace="vault", name="vault-tls", key="ca.crt", ready=around.authority),
                auth_path="kubernetes",
                role="workloads",
                audience="vault",
                service_account="vault-client",
                mount="kv",
                ready=around.vault,
            ),
            secrets=SAMPLE,
            given={},
        )
        (made if made is not None else {}).update(layer.in_namespace("dns", around.consumer))

    return record(program, project="homelab", fakes={"kubernetes": echo})
