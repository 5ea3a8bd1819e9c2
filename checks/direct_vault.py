"""Finds applications that access Vault directly.

The rule: an application reads a Kubernetes Secret and knows nothing about Vault. So neither the program's releases and
pods nor a file for Flux may contain an address of Vault, a variable of its clients, an annotation of its injector or
anything else that gives a pod access to it. The store of External Secrets Operator and Vault's own objects may.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from checks.graph import Finding, Graph, Secret
from components.vault.clients import VAULT_NAMESPACE
from components.vault.resource import API_PORT

_RULE = "direct-vault"
_OF_VAULT = ("homelab:secrets:Vault", "homelab:secrets:VaultOperator", "homelab:secrets:VaultStore")
"""Components whose objects are part of Vault, or provide access to it for all others."""

_SIGNS: Mapping[str, re.Pattern[str]] = {
    "an address of Vault": re.compile(
        rf"https?://[\w.-]*\b{VAULT_NAMESPACE}(\.svc)?[\w.]*:{API_PORT}\b|\.{VAULT_NAMESPACE}\.svc\b"
    ),
    "a variable of Vault's clients": re.compile(r"\bVAULT_(ADDR|TOKEN|CACERT|ROLE|SKIP_VERIFY|AUTH_METHOD)\b"),
    "an annotation of Vault's injector": re.compile(r"\bvault\.(hashicorp\.com|security\.banzaicloud\.io)/"),
    "a value that a webhook would fetch from Vault": re.compile(r"(?<![\w-])vault:[\w/-]+#"),
    "Vault's CSI provider": re.compile(r"\bsecrets-store\.csi\.(x-k8s\.io|k8s\.io)\b"),
    "an operator that reads Vault for one application": re.compile(r"\bsecrets\.hashicorp\.com/"),
}
_MANIFESTS = frozenset({".yaml", ".yml", ".tpl", ".json", ".toml", ".env"})


def program_findings(graph: Graph) -> list[Finding]:
    """Return the resources of a program that access Vault, sorted."""
    return sorted(
        Finding(_RULE, f"{node.type} {node.name}", _message(sign), node.source)
        for node in graph.resources()
        if node.type.startswith("kubernetes:") and not _of_vault(graph, node.urn)
        for sign in sorted({sign for text in _texts(node.inputs) for sign in signs(text)})
    )


def file_findings(directory: Path) -> list[Finding]:
    """Return where files below `directory` access Vault.

    Raises:
        ValueError: there is no such directory, so nothing would ever be found in it.
    """
    if not directory.is_dir():
        raise ValueError(f"{directory}: is no directory, and a search there could find nothing; name one that is there")
    return sorted(
        Finding(_RULE, str(file.relative_to(directory)), _message(sign), f"{file}:{number}")
        for file in sorted(directory.rglob("*"))
        if file.is_file() and file.suffix in _MANIFESTS
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if not line.lstrip().startswith("#")
        for sign in signs(line)
    )


def signs(text: str) -> Iterator[str]:
    """Every sign in a text that it accesses Vault."""
    yield from (sign for sign, pattern in _SIGNS.items() if pattern.search(text))


def _of_vault(graph: Graph, urn: str) -> bool:
    while urn:
        if graph.nodes[urn].type in _OF_VAULT:
            return True
        urn = graph.nodes[urn].parent
    return False


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Secret):
        yield from _texts(value.value)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _message(sign: str) -> str:
    return f"holds {sign}: declare the value in stacks/application_secrets.py and read the Secret"
