"""The part of the secrets layer that needs a configured Vault: values and how they reach workloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pulumi

from components.kit.chart import ChartSource
from components.kit.references import IssuerReference, VaultLogin
from components.secrets.application_secret import ApplicationSecret, ApplicationSecretArgs
from components.secrets.external_secrets import ExternalSecrets, ExternalSecretsArgs
from components.secrets.given_secret import GivenSecret, GivenSecretArgs
from components.secrets.reflector import Reflector, ReflectorArgs
from components.secrets.reloader import Reloader, ReloaderArgs
from components.secrets.secret_spec import OPERATOR_NAMESPACE
from components.secrets.vault_access import VaultAccess, VaultAccessArgs
from components.secrets.vault_store import VaultStore, VaultStoreArgs
from stacks.application_secrets import GIVEN, STORE_PROBE, DeclaredSecret, GivenByAPerson, declared, namespaces
from stacks.network import NetworkLayer
from stacks.settings.model import Settings


@dataclass(frozen=True)
class SecretStore:
    """What later layers need to declare secrets."""

    store: VaultStore
    reflector: Reflector
    network: NetworkLayer
    generations: Mapping[str, int]
    secrets: Mapping[str, DeclaredSecret]
    given: Mapping[str, GivenByAPerson]
    ready: pulumi.Resource | None = None
    """Proof that a value has made the round trip through Vault; None only while that proof is being created."""

    def in_namespace(self, name: str, after: pulumi.Resource) -> dict[str, ApplicationSecret]:
        """Create the secrets declared for the namespace `name`, which exists after `after`; the generated ones by name.

        Raises ValueError if there are none.
        """
        opts = self.network.inside(after, *([self.ready] if self.ready else []))
        access = VaultAccess(f"vault-access-{name}", VaultAccessArgs(store=self.store, namespace=name), opts)
        for given in self.given.values():
            if given.spec.namespace == name:
                GivenSecret(given.spec.name, GivenSecretArgs(spec=given.spec, access=access), opts)
        return {
            row.spec.name: ApplicationSecret(
                row.spec.name,
                ApplicationSecretArgs(
                    spec=row.spec,
                    access=access,
                    generation=self.generations.get(row.spec.name, 1),
                    mirror=self.reflector.into(*row.also_in) if row.also_in else None,
                ),
                opts,
            )
            for row in self.secrets.values()
            if row.spec.namespace == name
        }


def deploy(
    settings: Settings,
    *,
    network: NetworkLayer,
    issuer: IssuerReference,
    login: VaultLogin,
    secrets: Mapping[str, DeclaredSecret] | None = None,
    given: Mapping[str, GivenByAPerson] = GIVEN,
) -> SecretStore:
    """Deploy the operator, its store on Vault and the secret that proves both; also Reloader and Reflector."""
    if secrets is None:
        secrets = declared(settings.cluster.domain, private=settings.private_authority)
    charts, schedulable = ChartSource(settings.charts.mirror), settings.schedulable
    operator = ExternalSecrets(
        "external-secrets",
        ExternalSecretsArgs(charts=charts, schedulable=schedulable, issuer=issuer),
        opts=network.inside(),
    )
    store = VaultStore(
        "vault-store",
        VaultStoreArgs(operator=operator, login=login, namespaces=namespaces(secrets, given)),
        opts=network.inside(),
    )
    Reloader("reloader", ReloaderArgs(charts=charts, schedulable=schedulable), opts=network.inside())
    layer = SecretStore(
        store=store,
        reflector=Reflector("reflector", ReflectorArgs(charts=charts), opts=network.inside()),
        network=network,
        generations=settings.rotation,
        secrets=secrets,
        given=given,
    )
    probe = layer.in_namespace(OPERATOR_NAMESPACE, operator.ready)[STORE_PROBE]
    return replace(layer, ready=probe.reference("value").ready)
