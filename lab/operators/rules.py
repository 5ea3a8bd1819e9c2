"""All rules, and the kinds of objects that they look at."""

from __future__ import annotations

from typing import Final

from lab.operators import cert_manager, databases, external_secrets, flux, metallb, pods, reflector, reloader, vault
from lab.operators.world import Kind, Rule

RULES: Final[tuple[Rule, ...]] = (
    *cert_manager.RULES,
    *metallb.RULES,
    *vault.RULES,
    *external_secrets.RULES,
    *reflector.RULES,
    *reloader.RULES,
    *databases.RULES,
    *pods.RULES,
    *flux.RULES,
)

CORE: Final = (
    Kind("Secret", "v1", "secrets"),
    Kind("ServiceAccount", "v1", "serviceaccounts"),
    Kind("Namespace", "v1", "namespaces", namespaced=False),
    pods.POD,
    metallb.SERVICE,
    reloader.DEPLOYMENT,
    reloader.STATEFUL_SET,
    reloader.DAEMON_SET,
    Kind("StorageClass", "storage.k8s.io/v1", "storageclasses", namespaced=False),
    Kind("Role", "rbac.authorization.k8s.io/v1", "roles"),
    Kind("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings"),
)
"""Kinds that every cluster has."""

CUSTOM: Final = (
    cert_manager.CERTIFICATE,
    cert_manager.REQUEST,
    cert_manager.ISSUER,
    cert_manager.CLUSTER_ISSUER,
    metallb.POOL,
    metallb.ADVERTISEMENT,
    metallb.ANNOUNCED,
    vault.VAULT,
    external_secrets.STORE,
    external_secrets.EXTERNAL,
    external_secrets.PUSH,
    external_secrets.PASSWORD,
    databases.CLUSTER,
    databases.ZONE,
    flux.RECEIVER,
)
"""Kinds that charts bring."""

_EVENT: Final = Kind("Event", "v1", "events")

KINDS: Final = {each.name: each for each in (*CORE, *CUSTOM, _EVENT)}

SHORT_LIVED: Final = {metallb.ANNOUNCED.name: metallb.SERVICE.name}
"""Kinds of objects that go when no rule makes them any more, with the kind whose rule that is."""
