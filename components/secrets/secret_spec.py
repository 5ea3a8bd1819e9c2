"""What an application secret consists of, as plain data: its keys and how the value of each is made, or who gives it.

Owns the recipes and the rules of a `SecretSpec` and of a `GivenSpec`. Owns no resource: `application_secret.py` and
`given_secret.py` make them. No value is ever here, only how one is made in the cluster; a `Plain` field is one that
anybody may know.

The recipes are those of External Secrets' Password generator, whose characters come from the system's random source.
Its SSHKey generator knows only OpenSSH's own format; a recipe for it can come with its first consumer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

OPERATOR_NAMESPACE: Final = "external-secrets"
"""Where External Secrets Operator runs, and where the one secret is that proves that the store works."""

_SHORTEST: Final = 16
"""Characters or bytes. 16 letters and digits are 90 bits, too many to brute-force."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KEY = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_]*")
_SECRET_KEY = re.compile(r"[-._A-Za-z0-9]+")
_ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_FIELD = re.compile(r"(?<![\w)])\.([A-Za-z_]\w*)|\bindex\s+\.\s+\"([^\"]+)\"")
_SALTED = re.compile(r"\b(htpasswd|bcrypt)\b")
"""Functions of a template that hash with a new salt each time, so that equal values give different texts."""


@dataclass(frozen=True, kw_only=True)
class Password:
    """Letters and digits, which need no escape anywhere; a quarter of them digits.

    length: in characters.
    """

    length: int = 32

    def __post_init__(self) -> None:
        _long_enough("length", self.length)

    @property
    def label(self) -> str:
        """Tells this recipe from others in the name of an object."""
        return f"password-{self.length}"

    @property
    def generator(self) -> dict[str, Any]:
        """The spec of its generator, without the keys."""
        return _generator(self.length, "raw")


@dataclass(frozen=True, kw_only=True)
class Hex:
    """Hexadecimal digits, two per byte, for a consumer that decodes them.

    The bytes are letters and digits, so 32 of them hold 186 bits of entropy rather than 256.
    """

    bytes: int = 32

    def __post_init__(self) -> None:
        _long_enough("bytes", self.bytes)

    @property
    def label(self) -> str:
        """See `Password.label`."""
        return f"hex-{self.bytes}"

    @property
    def generator(self) -> dict[str, Any]:
        """See `Password.generator`."""
        return _generator(self.bytes, "hex")


Generated = Password | Hex


@dataclass(frozen=True)
class Plain:
    """A field that is not secret but is read from the same Secret, such as a user name. It is not in Vault."""

    value: str

    @property
    def template(self) -> str:
        """The template that yields the value, which may itself contain template syntax, as chart values do."""
        return self.value.replace("{{", '{{ "{{" }}')


Recipe = Generated | Plain


@dataclass(frozen=True, kw_only=True)
class SecretSpec:
    """One Secret whose values are generated.

    name, namespace: of the Secret, and of its place in Vault.
    keys: the recipe of each value by key of the Secret. A key may be added at any time; a changed recipe applies from
        the next generation on.
    derived: further keys that are assembled in the cluster, as Go templates over the generated ones:
        `postgresql://app:{{ .password }}@db/app`, or `{{ index . "api-key" }}` where a key has a dash.
    type: of the Secret, where a consumer needs a particular one.
    labels: of the Secret.
    """

    name: str
    namespace: str
    keys: Mapping[str, Recipe]
    derived: Mapping[str, str] = field(default_factory=dict)
    type: str = "Opaque"
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_place(self.name, self.namespace)
        for name in ("keys", "derived", "labels"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if not self.generated:
            raise ValueError(
                f"keys: none of {self.name} is generated; keep it in a ConfigMap or in its consumer's values"
            )
        self._check_keys()
        for key, template in self.derived.items():
            self._check_template(key, template)

    @property
    def generated(self) -> dict[str, Generated]:
        """The keys whose values are in Vault, sorted."""
        return {key: recipe for key, recipe in sorted(self.keys.items()) if not isinstance(recipe, Plain)}

    @property
    def salted(self) -> bool:
        """Whether its text would be another one each time it is assembled, with the same values."""
        return any(_SALTED.search(action) for text in self.derived.values() for action in _ACTION.findall(text))

    @property
    def templates(self) -> dict[str, str]:
        """The keys that are written by the template of the Secret: plain and derived ones."""
        plain = {key: recipe.template for key, recipe in self.keys.items() if isinstance(recipe, Plain)}
        return dict(sorted({**plain, **self.derived}.items()))

    def path(self, generation: int) -> str:
        """Where in Vault's KV store a generation of the values is stored."""
        return f"{self.namespace}/{self.name}/v{generation}"

    def _check_keys(self) -> None:
        for key in self.generated:
            if not _KEY.fullmatch(key):
                raise ValueError(
                    f"keys: {key!r} cannot be generated; use letters, digits, dashes and underscores (a dot would "
                    "address a part of the value in Vault), and derive another key from it if its name must differ"
                )
        for key in self.templates:
            if not _SECRET_KEY.fullmatch(key):
                raise ValueError(f"keys: {key!r} is not a key of a Secret; use letters, digits, '-', '_' and '.'")
        if twice := sorted(self.keys.keys() & self.derived.keys()):
            raise ValueError(f"derived: {twice[0]!r} is already in keys; leave it in one of the two")

    def _check_template(self, key: str, template: str) -> None:
        used = template_fields(template)
        if not used:
            raise ValueError(f"derived: {key!r} uses no generated key; make it a Plain key instead")
        for name in sorted(used - self.generated.keys()):
            remedy = (
                "write its value into the template" if name in self.keys else f"there are {', '.join(self.generated)}"
            )
            raise ValueError(f"derived: {key!r} uses {name!r}, which is not generated; {remedy}")


@dataclass(frozen=True, kw_only=True)
class GivenSpec:
    """One Secret whose values a person gives, such as a token of somebody else's service.

    name, namespace: of the Secret, and of its place in Vault.
    keys: for each key of the Secret, what it is, for the person.
    """

    name: str
    namespace: str
    keys: Mapping[str, str]

    def __post_init__(self) -> None:
        _check_place(self.name, self.namespace)
        object.__setattr__(self, "keys", MappingProxyType(dict(self.keys)))
        if not self.keys:
            raise ValueError(f"keys: {self.name} has none; name what a person gives")
        for key in self.keys:
            if not _KEY.fullmatch(key):
                raise ValueError(
                    f"keys: {key!r} cannot be given; use letters, digits, dashes and underscores (a dot would address "
                    "a part of the value in Vault)"
                )

    @property
    def path(self) -> str:
        """Where in Vault's KV store the values are; a value that is given again is another version there."""
        return f"{self.namespace}/{self.name}/given"


def template_fields(template: str) -> set[str]:
    """The fields that a Go template uses."""
    return {one or other for action in _ACTION.findall(template) for one, other in _FIELD.findall(action)}


def _check_place(name: str, namespace: str) -> None:
    for what, value in (("name", name), ("namespace", namespace)):
        if not _NAME.fullmatch(value):
            raise ValueError(
                f"{what}: {value!r} is not a DNS label; use up to 63 lower-case letters, digits and inner dashes"
            )


def _generator(length: int, encoding: str) -> dict[str, Any]:
    """A spec that leaves no field to a default of the operator."""
    return {
        "length": length,
        "digits": length // 4,
        "symbols": 0,
        "noUpper": False,
        "allowRepeat": True,
        "encoding": encoding,
    }


def _long_enough(what: str, value: int) -> None:
    if value < _SHORTEST:
        raise ValueError(f"{what}: {value} is too short to be safe from guessing; give {_SHORTEST} or more")
