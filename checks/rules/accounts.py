"""Accounts by which a store logs in: each namespace has its own, with what the operator may do with it."""

from __future__ import annotations

from collections.abc import Iterator

from checks.model.objects import Object, items, mapping
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule, there

_TOKENS = "serviceaccounts/token"


@rule(
    "store-account",
    title="A store that logs in as each namespace has an account in each, and the operator may have tokens of it",
    why="External Secrets Operator cannot log in for the namespace: no Secret is made there.",
    remedy="Have the account, its Role and RoleBinding made (components/secrets/vault_access.py).",
)
def accounts(platform: Platform) -> Iterator[Finding]:
    """Namespaces that use a ClusterSecretStore without its account, or without a right to the account's tokens."""
    seen: set[tuple[str, str]] = set()
    for thing in platform.objects:
        if thing.group != "external-secrets.io" or thing.kind not in ("ExternalSecret", "PushSecret"):
            continue
        named = [mapping(thing.spec.get("secretStoreRef")), *items(thing.spec.get("secretStoreRefs"))]
        for name in (str(one.get("name")) for one in named if one.get("kind") == "ClusterSecretStore"):
            for store in platform.find("external-secrets.io", "ClusterSecretStore", "", name):
                account = _account(store)
                if account and (thing.namespace, account) not in seen:
                    seen.add((thing.namespace, account))
                    yield from _missing(platform, thing, store, account)


def _account(store: Object) -> str:
    """The account that the store takes from whoever uses it; empty where it has one of its own."""
    vault = mapping(mapping(store.spec.get("provider")).get("vault"))
    reference = mapping(mapping(mapping(vault.get("auth")).get("kubernetes")).get("serviceAccountRef"))
    return "" if reference.get("namespace") else str(reference.get("name") or "")


def _missing(platform: Platform, thing: Object, store: Object, account: str) -> Iterator[Finding]:
    space = thing.namespace
    field = "spec.secretStoreRef"
    if not platform.find("", "ServiceAccount", space, account):
        known = platform.named("", "ServiceAccount", space)
        problem = (
            f"names {store}, whose serviceAccountRef is ServiceAccount {space}/{account} here, which nothing makes: "
            f"{there(known, account)}"
        )
        yield finding(thing, field, problem, thing.where)
        return
    roles = {
        role.name for role in platform.of_kind("rbac.authorization.k8s.io", "Role") if _grants(role, space, account)
    }
    bound = [
        binding
        for binding in platform.of_kind("rbac.authorization.k8s.io", "RoleBinding")
        if binding.namespace == space and mapping(binding.content.get("roleRef")).get("name") in roles
    ]
    if not roles or not bound:
        lacks = (
            "no Role grants"
            if not roles
            else f"no RoleBinding gives Role {space}/{', '.join(sorted(roles))}, which grants"
        )
        problem = f"names {store}, and {lacks} the verb create on {_TOKENS} of {account} in {space}"
        yield finding(thing, field, problem, thing.where)


def _grants(role: Object, namespace: str, account: str) -> bool:
    """Whether a Role lets somebody have tokens of an account."""
    return role.namespace == namespace and any(
        _TOKENS in (entry.get("resources") or [])
        and "create" in (entry.get("verbs") or [])
        and (not entry.get("resourceNames") or account in entry["resourceNames"])
        for entry in items(role.content.get("rules"))
    )
