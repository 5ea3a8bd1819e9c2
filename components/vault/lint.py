"""Finds what Vault and its configurer would silently accept: above all unknown keys, at every level of a document.

Owns no resource; pure Python. The keys are in `keys.yaml`. It reads any document of the configurer, ours or a
handwritten one, as a mapping (as in the Vault custom resource) or as text (as in a Secret).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from components.kit import safe_yaml
from components.kit.spelling import did_you_mean
from components.vault.policy import Capability, duplicates

KEYS: dict[str, Any] = safe_yaml.load(Path(__file__).with_name("keys.yaml").read_text())
"""The content of `keys.yaml`."""

_TEMPLATE = re.compile(r"\$\{.*?\}", re.DOTALL)
_KNOWN_TEMPLATE = re.compile(r"\$\{ (env|file|accessor) `[^`\"\\<>&]+` \}")
_NAMED_BY = {"policies": "name", "groups": "name", "group-aliases": "name"}
_ROLE_NEEDS = {
    "kubernetes": ("name", "audience", "token_policies", "token_ttl"),
    "oidc": ("name", "bound_claims", "token_policies", "token_ttl"),
}
_CONFIG_NEEDS = {"kubernetes": ("kubernetes_host",), "oidc": ("oidc_discovery_url",)}


@dataclass(frozen=True)
class Finding:
    """One thing that would be dropped or misunderstood; `place` is its path in the document."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


def lint(document: Mapping[str, Any] | str) -> list[Finding]:
    """Everything wrong with a document of the configurer."""
    if isinstance(document, str):
        try:
            document = yaml.load(_TEMPLATE.sub("template", document), Loader=_UniqueKeys) or {}  # noqa: S506
        except yaml.YAMLError as error:
            return [Finding("document", f"is not YAML that the configurer can read: {error}")]
    else:
        templates = list(_templates(document))
        if templates:
            return templates
    return list(_document(document))


def require_clean(document: Mapping[str, Any] | str) -> None:
    """Raise ValueError with every finding, if there is one."""
    if findings := lint(document):
        raise ValueError("Vault's configuration:\n" + "\n".join(f"  {finding}" for finding in findings))


class _UniqueKeys(yaml.SafeLoader):
    """Reads YAML and refuses a mapping with a duplicate key, whose first value would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [str(self.construct_object(key, deep=True)) for key, _ in node.value]  # type: ignore[no-untyped-call]
        if repeated := duplicates(keys):
            raise yaml.YAMLError(f"key {repeated[0]!r} appears twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def _templates(document: Mapping[str, Any]) -> Iterator[Finding]:
    for place, text in _strings("", document):
        for expression in _TEMPLATE.findall(text):
            if not _KNOWN_TEMPLATE.fullmatch(expression):
                yield Finding(
                    place,
                    f"{expression} does not survive: the operator stores the document as JSON, and the configurer "
                    "ends on an escaped character; write ${ env `NAME` }, ${ file `/path` } or ${ accessor `path` }",
                )
        if "${" in _TEMPLATE.sub("", text):
            yield Finding(place, "an expression that begins with ${ has no end; close it with }")


def _strings(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(f"{place}.{key}".lstrip("."), inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _strings(f"{place}[{index}]", inner)


def _document(document: Mapping[str, Any]) -> Iterator[Finding]:
    known = KEYS["configurer"]
    refused = known["refused"]
    for key in document.keys() & refused.keys():
        yield Finding(key, f"is refused: {refused[key]}; leave it out")
    yield from _unknown("", {key: None for key in document if key not in refused}, known["top"])
    inner: dict[str, Callable[[str, Mapping[str, Any]], Iterator[Finding]]] = {
        "audit": _audit,
        "auth": _auth,
        "groups": _group,
        "policies": _policy,
        "secrets": _engine,
    }
    for section in document.keys() & set(known["top"]):
        entries = document[section] or []
        name = _NAMED_BY.get(section, "path")
        for index, entry in enumerate(entries):
            place = f"{section}[{index}]"
            yield from _unknown(place, entry, known[section])
            yield from _missing(place, entry, (name,))
            if section in inner:
                yield from inner[section](place, entry)
        names = [str(entry.get(name)) for entry in entries]
        for repeated in duplicates(names):
            yield Finding(section, f"{name} {repeated!r} appears twice, and the second would win; merge or rename them")
    yield from _unknown_policies(document)


def _unknown(place: str, entry: Mapping[str, Any], known: Iterable[str]) -> Iterator[Finding]:
    known = list(known)
    for key in entry:
        if key not in known:
            meant = did_you_mean(str(key).lower(), known, likeness=0.5, show=str)
            remedy = meant or f"known here: {', '.join(known)}"
            yield Finding(f"{place}.{key}".lstrip("."), f"no such key, it would be dropped or refused; {remedy}")


def _missing(place: str, entry: Mapping[str, Any], needed: Iterable[str]) -> Iterator[Finding]:
    for key in needed:
        if not entry.get(key):
            yield Finding(f"{place}.{key}", "is missing or empty, and what would stand for it is not wanted; give it")


def _audit(place: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    if entry.get("type") != "file":
        yield Finding(f"{place}.type", f"{entry.get('type')!r}: only file devices are known here; write type: file")
        return
    options = entry.get("options") or {}
    yield from _unknown(f"{place}.options", options, KEYS["vault"]["file-audit"])
    yield from _missing(f"{place}.options", options, ("file_path",))
    if str(options.get("log_raw", "false")).lower() != "false":
        yield Finding(f"{place}.options.log_raw", "would write every secret to the log in clear; leave it out")


def _auth(place: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    method = entry.get("type")
    if method not in _ROLE_NEEDS:
        yield Finding(f"{place}.type", f"{method!r}: choose from {', '.join(_ROLE_NEEDS)}")
        return
    keys = KEYS["vault"][method]
    config, roles = entry.get("config") or {}, entry.get("roles") or []
    yield from _unknown(f"{place}.options", entry.get("options") or {}, KEYS["vault"]["auth-options"])
    yield from _unknown(f"{place}.config", config, keys["config"])
    yield from _missing(f"{place}.config", config, _CONFIG_NEEDS[method])
    names = [str(role.get("name")) for role in roles]
    for index, role in enumerate(roles):
        inside = f"{place}.roles[{index}]"
        current = [key for key in ("name", *keys["role"]) if key not in keys["deprecated"]]
        old = [key for key in role if key in keys["deprecated"]]
        yield from _unknown(inside, {key: None for key in role if key not in old}, current)
        for key in old:
            yield Finding(f"{inside}.{key}", f"is deprecated and hides what token_{key} says; write token_{key}")
        yield from _missing(inside, role, _ROLE_NEEDS[method])
    for repeated in duplicates(names):
        yield Finding(f"{place}.roles", f"name {repeated!r} appears twice, and the second would win; rename one")
    if config.get("default_role") and config["default_role"] not in names:
        yield Finding(
            f"{place}.config.default_role", f"{config['default_role']!r} is not a role here; give one of {names}"
        )


def _engine(place: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    if entry.get("type") != "kv":
        yield Finding(f"{place}.type", f"{entry.get('type')!r}: only kv engines are known here; write type: kv")
        return
    keys = KEYS["vault"]["kv"]
    options, configuration = entry.get("options") or {}, entry.get("configuration") or {}
    yield from _unknown(f"{place}.config", entry.get("config") or {}, KEYS["vault"]["mount-config"])
    yield from _unknown(f"{place}.options", options, keys["options"])
    if str(options.get("version")) != "2":
        yield Finding(f"{place}.options.version", "without version 2 a value has no history; write version: '2'")
    yield from _unknown(f"{place}.configuration", configuration, ["config"])
    for index, item in enumerate(configuration.get("config") or []):
        yield from _unknown(f"{place}.configuration.config[{index}]", item, keys["config"])


def _group(place: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    if entry.get("type") != "external":
        yield Finding(
            f"{place}.type", f"{entry.get('type')!r}: the configurer makes external groups only; write external"
        )


def _policy(place: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    rules = str(entry.get("rules") or "")
    if not rules.strip():
        yield Finding(f"{place}.rules", "is empty, which is a policy for nothing; write a rule or drop the policy")
    for block in re.findall(r"^\s*(\w+)\s+\"", rules, re.MULTILINE):
        yield from _unknown(f"{place}.rules", {block: None}, ["path"])
    for key in re.findall(r"(\w+)\s*=", re.sub(r'"[^"]*"', "", rules)):
        yield from _unknown(f"{place}.rules", {key: None}, ["capabilities"])
    for listed in re.findall(r"=\s*\[([^\]]*)\]", rules):
        yield from _unknown(f"{place}.rules", dict.fromkeys(re.findall(r'"([^"]*)"', listed)), get_args(Capability))


def _unknown_policies(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Roles and groups naming a policy that the document lacks; a document without policies is an addition to one."""
    policies = document.get("policies")
    if not policies:
        return
    known = {"default", *(str(policy.get("name")) for policy in policies)}
    users = [(f"groups[{i}].policies", group.get("policies")) for i, group in enumerate(document.get("groups") or [])]
    for i, method in enumerate(document.get("auth") or []):
        for j, role in enumerate(method.get("roles") or []):
            users.append((f"auth[{i}].roles[{j}].token_policies", role.get("token_policies")))
    for place, named in users:
        for policy in [named] if isinstance(named, str) else named or []:
            if policy not in known:
                yield Finding(
                    place, f"{policy!r} is not a policy of this document; choose from {', '.join(sorted(known))}"
                )
