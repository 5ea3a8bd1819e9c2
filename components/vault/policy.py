"""Vault's policies and the KV engine whose paths they name, as typed values; pure Python.

Owns no resource. A policy is rendered to HCL; what Vault would accept without doing what was intended (a path outside
any engine, a path of nothing but wildcards, an unknown capability) is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Capability = Literal["create", "read", "update", "patch", "delete", "list", "sudo", "deny"]
"""What a token may do with a path: https://developer.hashicorp.com/vault/docs/concepts/policies#capabilities"""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_BUILT_IN = ("root", "default", "default-ceiling")
_KV_ENDPOINTS = ("data", "metadata", "delete", "undelete", "destroy", "subkeys")
_OUTSIDE_ENGINES = ("sys", "auth", "identity")
_WILD = re.compile(r"[*+]+")


def checked_name(kind: str, name: str) -> str:
    """`name`, if Vault, HCL and a URL's path all take it as it is.

    Raises:
        ValueError: naming `kind`.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{kind} {name!r}: Vault folds case and a path ends a name at a slash; "
            "use lower-case letters, digits and inner hyphens"
        )
    return name


def checked_path(kind: str, path: str) -> str:
    """`path` of a mount, if it has no slash at either end."""
    if not path or not all(_NAME.fullmatch(part) for part in path.split("/")):
        raise ValueError(f"{kind} {path!r}: a mount's path has no slash around it; give one such as 'kv' or 'team/kv'")
    return path


def duplicates(values: Sequence[str]) -> list[str]:
    """What stands in `values` more than once."""
    return sorted({value for value in values if values.count(value) > 1})


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One path of a policy, without a leading slash, and its capabilities; it may end in `*`, `+` is one segment."""

    path: str
    capabilities: tuple[Capability, ...]

    def __post_init__(self) -> None:
        if re.search(r'["\\\n]', self.path) or self.path.startswith("/") or not self.path:
            raise ValueError(
                f"policy path {self.path!r}: stands in quotes and begins with its mount; "
                "leave out quotes, backslashes and the leading slash"
            )
        if not self.capabilities:
            raise ValueError(f"policy path {self.path!r}: no capability means no access; name one or drop the rule")
        for capability in self.capabilities:
            if capability not in get_args(Capability):
                raise ValueError(
                    f"policy path {self.path!r}: Vault knows no capability {capability!r}; "
                    f"choose from {', '.join(get_args(Capability))}"
                )
        if "deny" in self.capabilities and len(self.capabilities) > 1:
            raise ValueError(f"policy path {self.path!r}: deny takes every other capability away; give deny alone")

    def hcl(self) -> str:
        """The rule as HCL, formatted as the configurer formats it."""
        listed = ", ".join(f'"{capability}"' for capability in self.capabilities)
        return f'path "{self.path}" {{\n  capabilities = [{listed}]\n}}\n'


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A named set of rules.

    administrative: meant for people who run the platform, so its paths may span a whole engine (`kv/data/*`).
    """

    name: str
    rules: tuple[Rule, ...]
    administrative: bool = False

    def __post_init__(self) -> None:
        checked_name("policy", self.name)
        if self.name in _BUILT_IN:
            raise ValueError(f"policy {self.name!r}: is Vault's own and would be overwritten; choose another name")
        if not self.rules:
            raise ValueError(f"policy {self.name!r}: has no rule, which Vault accepts as a policy for nothing; add one")
        if repeated := duplicates([rule.path for rule in self.rules]):
            raise ValueError(
                f"policy {self.name!r}: path {repeated[0]!r} appears twice, and Vault adds both up; make it one rule"
            )

    def document(self) -> dict[str, Any]:
        """The entry of the configurer's `policies`."""
        return {"name": self.name, "rules": "\n".join(rule.hcl() for rule in self.rules)}

    def check_paths(self, engines: Collection[str], auth: Collection[str]) -> None:
        """Raise ValueError for a path that no engine or auth method serves, or that is too wide."""
        for rule in self.rules:
            mounted = sorted((path for path in engines if rule.path.startswith(f"{path}/")), key=len)
            if mounted:
                self._check_engine_path(rule.path, rule.path.removeprefix(f"{mounted[-1]}/"), mounted[-1])
            else:
                self._check_outside(rule.path, engines, auth)

    def _check_engine_path(self, path: str, within: str, engine: str) -> None:
        endpoint, _, rest = within.partition("/")
        if endpoint not in _KV_ENDPOINTS:
            raise ValueError(
                f"policy {self.name!r}: {path!r} is not a path of KV version 2, whose paths begin with the endpoint; "
                f"write {engine}/data/... for values, {engine}/metadata/... for lists and versions"
            )
        literal = [part for part in rest.split("/") if part and not _WILD.fullmatch(part)]
        if not literal and not self.administrative:
            raise ValueError(
                f"policy {self.name!r}: {path!r} spans every consumer's secrets; name the consumer's part, "
                "or make the policy administrative"
            )

    def _check_outside(self, path: str, engines: Collection[str], auth: Collection[str]) -> None:
        first, _, rest = path.partition("/")
        known = ", ".join([*sorted(engines), *_OUTSIDE_ENGINES])
        if first not in _OUTSIDE_ENGINES:
            raise ValueError(f"policy {self.name!r}: {path!r} lies in no configured engine; choose from {known}")
        if not rest or _WILD.fullmatch(rest):
            raise ValueError(f"policy {self.name!r}: {path!r} is all of {first}/; name what is needed")
        if first == "auth" and rest.partition("/")[0] not in {"token", *auth}:
            raise ValueError(
                f"policy {self.name!r}: {path!r} belongs to no auth method that is configured; "
                f"choose from {', '.join(sorted({'token', *auth}))}"
            )


@dataclass(frozen=True, kw_only=True)
class KvEngine:
    """A KV engine, version 2: values with a history.

    path: where it is mounted.
    max_versions: how many versions of a value it keeps.
    cas_required: a write must say which version it replaces, so that nobody overwrites blindly.
    """

    path: str
    description: str
    max_versions: int = 10
    cas_required: bool = True

    def __post_init__(self) -> None:
        checked_path("KV engine", self.path)
        if self.max_versions < 2:
            raise ValueError(
                f"KV engine {self.path!r}: {self.max_versions} versions leave nothing to return to after a rotation; "
                "keep 2 or more"
            )

    def data(self, path: str) -> str:
        """The policy path of values."""
        return f"{self.path}/data/{path}"

    def metadata(self, path: str) -> str:
        """The policy path of versions and custom metadata."""
        return f"{self.path}/metadata/{path}"

    def document(self) -> dict[str, Any]:
        """The entry of the configurer's `secrets`."""
        return {
            "type": "kv",
            "path": self.path,
            "description": self.description,
            "options": {"version": "2"},
            "configuration": {"config": [{"max_versions": self.max_versions, "cas_required": self.cas_required}]},
        }
