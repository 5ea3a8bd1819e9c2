"""Finds generated secrets that do not come from the one component that creates them correctly.

The rule: PushSecrets and generators are children of an `ApplicationSecret`, ExternalSecrets of that, of an
`AssembledSecret`, a `GivenSecret` or a `PublicCopy`, stores of a `VaultStore`, and none of them appears in a file for
Flux. Written by hand, such an object would have its own path in Vault, a rotation unknown to `make rotate`, or a
generator whose refresh locks its consumers out.
"""

from __future__ import annotations

import re
from pathlib import Path

from checks.graph import Finding, Graph

_GROUP = "external-secrets.io"
_OWNERS = {
    "ClusterSecretStore": ("homelab:secrets:VaultStore",),
    "ExternalSecret": (
        "homelab:secrets:ApplicationSecret",
        "homelab:secrets:AssembledSecret",
        "homelab:secrets:GivenSecret",
        "homelab:secrets:PublicCopy",
    ),
    "PushSecret": ("homelab:secrets:ApplicationSecret",),
    "Password": ("homelab:secrets:ApplicationSecret",),
}
"""Kind to the components that may have it as a child; a kind missing here may not be created at all."""

_RULE = "application-secret"
_MANIFESTS = frozenset({".yaml", ".yml", ".tpl", ".json"})
_WRITTEN = re.compile(r"""["']?apiVersion["']?:[ \t]*["']?((?:[\w-]+\.)*external-secrets\.io/\w+)""")


def stray_findings(graph: Graph) -> list[Finding]:
    """Return the objects that a program creates outside the components that own them, sorted."""
    return sorted(
        Finding(_RULE, f"{node.type} {node.name}", _message(kind), node.source)
        for node in graph.resources()
        if (kind := _kind(node.type)) and graph.nodes[node.parent].type not in _OWNERS.get(kind, ())
    )


def handwritten_findings(directory: Path) -> list[Finding]:
    """Return where files below `directory` contain such an object, including inside templates and other objects.

    Raises:
        ValueError: there is no such directory, so nothing would ever be found in it.
    """
    if not directory.is_dir():
        raise ValueError(f"{directory}: is no directory, and a search there could find nothing; name one that is there")
    return sorted(
        Finding(_RULE, found[1], _message(""), f"{file}:{text.count(chr(10), 0, found.start(1)) + 1}")
        for file in sorted(directory.rglob("*"))
        if file.suffix in _MANIFESTS
        for text in [file.read_text(encoding="utf-8")]
        for found in _WRITTEN.finditer(text)
    )


def _kind(type_: str) -> str | None:
    """The kind of a custom resource of this group: `kubernetes:external-secrets.io/v1:ExternalSecret`."""
    package, _, rest = type_.partition(":")
    version, _, kind = rest.partition(":")
    return kind if package == "kubernetes" and _group(version) else None


def _group(api_version: str) -> str | None:
    group = api_version.partition("/")[0]
    return group if group == _GROUP or group.endswith(f".{_GROUP}") else None


def _message(kind: str) -> str:
    if kind in _OWNERS:
        return f"made outside {' and '.join(_OWNERS[kind])}: declare the secret in stacks/application_secrets.py"
    return "nobody makes such an object by hand: declare the secret in stacks/application_secrets.py"
