"""What of a rendered chart is worth keeping: facts that a rule reads, in this project's own form.

Keeps objects with pods, Services, claims, classes, webhooks, and the names of all else; of Secrets and ConfigMaps the
keys, of definitions the kinds and, for kinds that this project writes, the names and types of the fields.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

import yaml

from checks.manifest_yaml import LOADER
from checks.model.objects import CLUSTER_SCOPED, items, mapping

_WHOLE = frozenset(
    {
        *("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "Service", "PersistentVolumeClaim"),
        *("StorageClass", "IngressClass", "Ingress", "APIService", "RoleBinding", "ClusterRoleBinding"),
        *("HorizontalPodAutoscaler", "PodDisruptionBudget", "Certificate", "Issuer", "ClusterIssuer"),
        # From whose specifications an operator makes pods.
        *("Prometheus", "Alertmanager"),
        # Whom Prometheus asks: tests have the operator compose its configuration of them.
        *("ServiceMonitor", "PodMonitor", "Probe"),
    }
)
"""Kinds of which a rule or a test reads the specification."""

_WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
_WORDY = ("terminationMessagePath", "terminationMessagePolicy", "lifecycle", "affinity", "topologySpreadConstraints")
"""Fields of pods that no rule reads."""


def documents(text: str) -> list[dict[str, Any]]:
    """The objects among YAML documents, Lists taken apart; what only a test or a hook of deletion runs is left out."""
    found: list[dict[str, Any]] = []
    for part in re.split(r"^---\s*$", text, flags=re.MULTILINE):
        content = yaml.load(part, LOADER) if part.strip() else None  # noqa: S506 - a safe loader
        if not isinstance(content, dict) or "kind" not in content:
            continue
        found += items(content.get("items")) if content["kind"] == "List" else [content]
    return [one for one in found if not _aside(one)]


def _aside(content: dict[str, Any]) -> bool:
    hooks = str(mapping(mapping(content.get("metadata")).get("annotations")).get("helm.sh/hook", ""))
    return bool(hooks) and not any(part.startswith(("pre-install", "post-install", "crd")) for part in hooks.split(","))


def distilled(content: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The facts of one rendered object of a release in `namespace`."""
    kind, metadata = str(content["kind"]), mapping(content.get("metadata"))
    kept: dict[str, Any] = {"name": metadata.get("name", "")}
    if kind not in CLUSTER_SCOPED:
        kept["namespace"] = metadata.get("namespace") or namespace
    if metadata.get("annotations"):
        kept["annotations"] = {
            str(key): value for key, value in metadata["annotations"].items() if len(str(value)) < 300
        }
    if kind in ("Namespace", "Service", "Pod") and metadata.get("labels"):
        kept["labels"] = metadata["labels"]
    made: dict[str, Any] = {"apiVersion": content.get("apiVersion", ""), "kind": kind, "metadata": kept}
    if kind in ("Secret", "ConfigMap"):
        made |= {field: dict.fromkeys(content[field]) for field in ("data", "stringData") if content.get(field)}
    elif kind == "CustomResourceDefinition":
        made["spec"] = _definition(mapping(content.get("spec")))
    elif kind in _WEBHOOKS:
        made["webhooks"] = [
            {"name": hook.get("name"), "clientConfig": {"service": mapping(hook.get("clientConfig")).get("service")}}
            for hook in items(content.get("webhooks"))
        ]
    elif kind in _WHOLE:
        made |= {key: _brief(value) for key, value in content.items() if key not in ("metadata", "status", *made)}
    return made


def _definition(spec: dict[str, Any]) -> dict[str, Any]:
    versions = [{"name": one.get("name"), "served": one.get("served", True)} for one in items(spec.get("versions"))]
    names = {"kind": mapping(spec.get("names")).get("kind")}
    return {"group": spec.get("group"), "names": names, "scope": spec.get("scope"), "versions": versions}


def _brief(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _brief(inner) for key, inner in value.items() if key not in _WORDY and inner is not None}
    if isinstance(value, list):
        return [_brief(inner) for inner in value]
    return value[:300] if isinstance(value, str) else value


def fields(definitions: Iterable[dict[str, Any]], wanted: Collection[str]) -> dict[str, Any]:
    """The fields of the wanted kinds (`<group>/<version>/<Kind>`), by kind, as a tree of names and types.

    A map of fields is a map, with the required ones under "!"; a list holds its elements' form; "*" stands for any
    name; "any" for anything; a scalar is its type, followed by the values that it may have.
    """
    found = {}
    for content in definitions:
        spec = mapping(content.get("spec"))
        for version in items(spec.get("versions")):
            name = f"{spec.get('group')}/{version.get('name')}/{mapping(spec.get('names')).get('kind')}"
            if version.get("served") and name in wanted:
                schema = mapping(mapping(version.get("schema")).get("openAPIV3Schema"))
                found[name] = _tree(mapping(mapping(schema.get("properties")).get("spec")))
    return found


def schemas(definitions: Iterable[dict[str, Any]], wanted: Collection[str]) -> dict[str, Any]:
    """The schemas of the wanted kinds (`<group>/<version>/<Kind>`) with their expressions, without their texts."""
    found = {}
    for content in definitions:
        spec = mapping(content.get("spec"))
        for version in items(spec.get("versions")):
            name = f"{spec.get('group')}/{version.get('name')}/{mapping(spec.get('names')).get('kind')}"
            if version.get("served") and name in wanted:
                found[name] = _wordless(mapping(mapping(version.get("schema")).get("openAPIV3Schema")))
    return found


_MAPS = ("properties", "patternProperties")


def _wordless(schema: Any) -> Any:
    """A schema without descriptions; below `properties`, a field may itself be called so."""
    if isinstance(schema, list):
        return [_wordless(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, inner in schema.items():
        if key in _MAPS and isinstance(inner, dict):
            kept[key] = {name: _wordless(one) for name, one in inner.items()}
        elif key not in ("description", "default", "example", "externalDocs"):
            kept[key] = _wordless(inner)
        elif key == "default":
            kept[key] = inner
    return kept


def _tree(schema: dict[str, Any]) -> Any:
    if schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource"):
        return "any"
    if schema.get("x-kubernetes-int-or-string"):
        return "scalar"
    kind = schema.get("type")
    if kind == "object":
        properties = mapping(schema.get("properties"))
        tree = {name: _tree(mapping(inner)) for name, inner in properties.items()}
        others = schema.get("additionalProperties")
        if isinstance(others, dict):
            tree["*"] = _tree(others)
        elif others or not properties:
            return "any"
        required = [name for name in schema.get("required") or [] if "default" not in mapping(properties.get(name))]
        return tree | ({"!": required} if required else {})
    if kind == "array":
        return [_tree(mapping(schema.get("items")))]
    return "|".join([str(kind or "any"), *(str(one) for one in schema.get("enum") or [])])
