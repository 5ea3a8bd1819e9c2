"""What this platform keeps in Vault, and who has access: least-privilege policies, one role for each kind of client.

Owns no resource: it fills in a `VaultConfiguration`. Applications never talk to Vault. The External Secrets Operator
does, as a service account in each application's own namespace, and reaches only what lies below that namespace's name.
"""

from __future__ import annotations

from collections.abc import Sequence

from components.vault.auth import KubernetesAuth, KubernetesRole
from components.vault.config import AuditDevice, VaultConfiguration
from components.vault.policy import KvEngine, Policy, Rule

SECRETS = KvEngine(path="kv", description="secrets of applications, below the name of each one's namespace")

VAULT_NAMESPACE = "vault"
"""Where Vault and its operator run."""

PEOPLE_ADMIN, PEOPLE_READER = "people-admin", "people-reader"
"""Policies for people, who sign on through the identity provider: for those who administer Vault, and for those who may
see which secrets exist without reading any."""

AUTH_PATH = "kubernetes"
AUDIENCE = "vault"
"""The audience that a service account's token must be issued for to log in here; the API server refuses such tokens."""

CLIENT = "vault-client"
"""Name of the service account as which a namespace's secrets are read and written."""

EXTERNAL_SECRETS = "external-secrets"
"""Name of the role, and of its policy, with which External Secrets logs in."""

SNAPSHOT = "snapshot"
"""Name of the role, of its policy and of the service account in Vault's own namespace that may take a backup."""

LOGIN_SECONDS = 600
"""How long a login lasts: clients log in again for each operation, which takes seconds."""


def platform_configuration(application_namespaces: Sequence[str], vault_namespace: str) -> VaultConfiguration:
    """The configuration inside Vault; `application_namespaces` are those whose `vault-client` may log in.

    Raises:
        ValueError: for a namespace whose name External Secrets would take for the engine's path.
    """
    if SECRETS.path in application_namespaces:
        raise ValueError(
            f"namespace {SECRETS.path!r}: External Secrets strips a leading {SECRETS.path}/ from a path, so its "
            "secrets would land in the others' namespaces; give the namespace another name"
        )
    roles = [_role(SNAPSHOT, SNAPSHOT, [vault_namespace])]
    if application_namespaces:
        roles.append(_role(EXTERNAL_SECRETS, CLIENT, sorted(application_namespaces)))
    auth = KubernetesAuth(path=AUTH_PATH, roles=tuple(roles))
    own = f"{auth.namespace_of_login()}/*"
    return VaultConfiguration(
        audit=(AuditDevice(),),
        engines=(SECRETS,),
        auth=(auth,),
        policies=(
            # External Secrets writes the mark "managed-by" before the value, and reads it before it writes again:
            # https://github.com/external-secrets/external-secrets/blob/v2.9.0/providers/v1/vault/client_push.go
            # It never lists and never deletes.
            Policy(
                name=EXTERNAL_SECRETS,
                rules=(
                    Rule(path=SECRETS.data(own), capabilities=("create", "read", "update")),
                    Rule(path=SECRETS.metadata(own), capabilities=("create", "read", "update")),
                ),
            ),
            Policy(name=SNAPSHOT, rules=(Rule(path="sys/storage/raft/snapshot", capabilities=("read",)),)),
            *_people(),
        ),
    )


def _people() -> tuple[Policy, Policy]:
    """What people may do. Policies, auth methods and roles come from git, so nobody can extend their own rights."""
    every = "*"
    return (
        Policy(
            name=PEOPLE_ADMIN,
            administrative=True,
            rules=(
                Rule(path=SECRETS.data(every), capabilities=("create", "read", "update", "patch", "delete")),
                Rule(path=SECRETS.metadata(every), capabilities=("read", "list", "delete")),
                Rule(path=f"{SECRETS.path}/undelete/{every}", capabilities=("update",)),
                Rule(path="sys/policies/acl/*", capabilities=("read", "list")),
                Rule(path="sys/auth", capabilities=("read",)),
                Rule(path="sys/mounts", capabilities=("read",)),
                Rule(path="sys/storage/raft/configuration", capabilities=("read",)),
            ),
        ),
        Policy(
            name=PEOPLE_READER,
            administrative=True,
            rules=(Rule(path=SECRETS.metadata(every), capabilities=("read", "list")),),
        ),
    )


def _role(name: str, service_account: str, namespaces: Sequence[str]) -> KubernetesRole:
    return KubernetesRole(
        name=name,
        service_accounts=(service_account,),
        namespaces=tuple(namespaces),
        audience=AUDIENCE,
        policies=(name,),
        token_ttl=LOGIN_SECONDS,
        token_max_ttl=LOGIN_SECONDS,
    )
