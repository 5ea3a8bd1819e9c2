"""External Secrets: its store, PushSecrets and ExternalSecrets, with the Vault of `vault.py` behind them.

After pkg/controllers/{secretstore,pushsecret,externalsecret}, providers/v1/vault and generators/v1/password of External
Secrets 2.9. Vault has a value once a PushSecret that is there has written it; a value is a word that names its place,
of characters that no file needs to quote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lab.operators import vault
from lab.operators.world import Kind, Object, Outcome, Rule, World, condition, event, holds, secret, value

STORE = Kind("ClusterSecretStore", "external-secrets.io/v1", "clustersecretstores", namespaced=False)
EXTERNAL = Kind("ExternalSecret", "external-secrets.io/v1", "externalsecrets")
PUSH = Kind("PushSecret", "external-secrets.io/v1alpha1", "pushsecrets")
PASSWORD = Kind("Password", "generators.external-secrets.io/v1alpha1", "passwords")

OPERATOR = "external-secrets"
_NOT_WRITTEN = "could not write remote ref {} to target secretstore {}: {}"


def _store(item: Object, world: World) -> Outcome:
    """A store whose account is that of each namespace cannot be tried: only what it needs to build a client counts."""
    trusted = item["spec"]["provider"]["vault"].get("caProvider")
    if trusted is not None:
        known = world.find("Secret", trusted["name"], trusted.get("namespace", ""))
        if value(known, trusted["key"]) is None:
            return _ready(item, False, "InvalidProviderConfig", "unable to create client")
    unknown = "could not determine validation status"
    return Outcome({**_ready(item, True, "ValidationUnknown", unknown).status, "capabilities": "ReadWrite"})


def _ready(item: Object, ready: bool, reason: str, message: str) -> Outcome:
    return Outcome({"conditions": [condition(item, "Ready", ready, reason, message)]})


def _opened(item: Object, reference: Object, world: World) -> vault.Server:
    """A login through a store. Raises LookupError in the operator's words."""
    name, namespace = reference["name"], item["metadata"]["namespace"]
    kind = reference.get("kind", "SecretStore")
    store = world.find(kind, name, "" if kind == STORE.name else namespace)
    if store is None:
        plural = f"{kind.lower()}s.external-secrets.io"
        raise LookupError(f'could not get {kind} "{name}", {plural} "{name}" not found')
    allowed = [each for entry in store["spec"].get("conditions", []) for each in entry.get("namespaces", [])]
    if store["spec"].get("conditions") and namespace not in allowed:
        denied = "denied by spec.condition"
        raise LookupError(f'using cluster store "{name}" is not allowed from namespace "{namespace}": {denied}')
    if not holds(store, "Ready"):
        raise LookupError(f'{kind} "{name}" is not ready')
    if not may_request_tokens(store["spec"]["provider"]["vault"], namespace, world):
        raise LookupError('serviceaccounts "vault-client" is forbidden: cannot create resource "serviceaccounts/token"')
    return vault.login(store, namespace, world)


def may_request_tokens(provider: Object, namespace: str, world: World) -> bool:
    """Whether the operator's account may create tokens of the namespace's account."""
    account = provider["auth"]["kubernetes"]["serviceAccountRef"]["name"]
    operator = world.operator(OPERATOR)
    here = "" if operator is None else operator["metadata"]["namespace"]
    for binding in world.all("RoleBinding"):
        subjects = [(each["kind"], each["name"], each.get("namespace")) for each in binding.get("subjects") or []]
        if binding["metadata"]["namespace"] != namespace or ("ServiceAccount", OPERATOR, here) not in subjects:
            continue
        role = world.find("Role", binding["roleRef"]["name"], namespace)
        for rule in (role or {}).get("rules") or []:
            named = rule.get("resourceNames") or [account]
            if "serviceaccounts/token" in rule["resources"] and "create" in rule["verbs"] and account in named:
                return True
    return False


def _push(item: Object, world: World) -> Outcome:
    generator = item["spec"]["selector"]["generatorRef"]
    made = world.find(generator["kind"], generator["name"], item["metadata"]["namespace"])
    if made is None:
        return _ready(item, False, "Errored", "could not get source secret")
    keys = made["spec"].get("secretKeys") or ["password"]
    for reference in item["spec"]["secretStoreRefs"]:
        for match in (each["match"] for each in item["spec"]["data"]):
            place = f"{match['remoteRef']['remoteKey']} {match['remoteRef']['property']}"
            problem = _unwritten(item, reference, match, keys, world)
            if problem:
                message = _NOT_WRITTEN.format(place, reference["name"], problem)
                return _ready(item, False, "Errored", f"set secret failed: {message}")
    unchanged = (
        ". Existing secrets in providers unchanged." if item["spec"].get("updatePolicy") == "IfNotExists" else ""
    )
    return _ready(item, True, "Synced", f"PushSecret synced successfully{unchanged}")


def _unwritten(item: Object, reference: Object, match: Object, keys: list[str], world: World) -> str | None:
    if match["secretKey"] not in keys:
        return f"secret key {match['secretKey']} does not exist"
    try:
        server = _opened(item, reference, world)
    except LookupError as refusal:
        return str(refusal)
    path = match["remoteRef"]["remoteKey"]
    # It first marks the place as its own (providers/v1/vault/client_push.go).
    marked = server.refusal(path, "create", "read", "update", endpoint="metadata")
    return marked or server.refusal(path, "create", "read", "update")


def _external(item: Object, world: World) -> Outcome:
    data: dict[str, str] = {}
    for index, each in enumerate(item["spec"].get("data", [])):
        remote = each["remoteRef"]
        try:
            data[each["secretKey"]] = _read(item, remote["key"], remote.get("property"), world)
        except LookupError as refusal:
            told = f"error processing spec.data[{index}] (key: {remote['key']}), err: {refusal}"
            return _failed(item, "could not get secret data from provider", told)
    target = item["spec"].get("target", {})
    template = target.get("template", {})
    for text in template.get("data", {}).values():
        for name in re.findall(r"{{[^}]*?\.([A-Za-z_][\w]*)", text):
            if name not in data:
                return _failed(item, "could not apply template", f'map has no entry for key "{name}"')
    made = {key: _filled(text, data) for key, text in template.get("data", {}).items()}
    for source in (each["secret"] for each in template.get("templateFrom", []) if "secret" in each):
        known = world.find("Secret", source["name"], item["metadata"]["namespace"])
        for entry in source["items"]:
            content = value(known, entry["key"])
            if content is None:
                missing = f'error fetching templateFrom data: Secret "{source["name"]}" has no key {entry["key"]!r}'
                return _failed(item, "could not apply template", missing)
            made[entry["key"]] = content
    replaced = template.get("mergePolicy", "Replace") == "Replace" and made
    labels, annotations = (template.get("metadata", {}).get(name) for name in ("labels", "annotations"))
    result = secret(
        target.get("name", item["metadata"]["name"]),
        item["metadata"]["namespace"],
        made if replaced else {**data, **made},
        kind=template.get("type", "Opaque"),
        labels=labels,
        annotations=annotations,
        owner=item,
    )
    return Outcome(_ready(item, True, "SecretSynced", "secret synced").status, [result])


def _filled(text: str, data: Mapping[str, str]) -> str:
    """A template with values in their places, and quoted texts: how braces for somebody else's templates are written.

    What a function would make of a value stays as it is written.
    """

    def found(place: re.Match[str]) -> str:
        return data.get(place[1] or place[2], place[0])

    text = re.sub(r'{{ (?:\.(\w+)|index \. "([^"]+)") }}', found, text)
    return re.sub(r'{{ "([^"]*)" }}', r"\1", text)


def _failed(item: Object, message: str, told: str) -> Outcome:
    """A condition has few words; an event has the cause."""
    cause = event(item, OPERATOR, "UpdateFailed", told)
    return Outcome(_ready(item, False, "SecretSyncedError", message).status, [cause])


def _read(item: Object, path: str, name: str | None, world: World) -> str:
    """A value of Vault. Raises LookupError when it is refused, or not there."""
    refusal = _opened(item, item["spec"]["secretStoreRef"], world).refusal(path, "read")
    if refusal:
        raise LookupError(f"cannot read secret data from Vault: {refusal}")
    written: dict[str, Any] = {}
    for each in world.all(PUSH.name):
        if holds(each, "Ready"):
            written |= {
                match["remoteRef"]["property"]: None
                for match in (entry["match"] for entry in each["spec"]["data"])
                if match["remoteRef"]["remoteKey"] == path
            }
    if not written:
        raise LookupError("Secret does not exist")
    if name not in written:
        raise LookupError(f'cannot find secret data for key: "{name}"')
    return re.sub(r"\W", "-", f"value-of-{path}-{name}")


RULES = (Rule(STORE, OPERATOR, _store), Rule(PUSH, OPERATOR, _push), Rule(EXTERNAL, OPERATOR, _external))
