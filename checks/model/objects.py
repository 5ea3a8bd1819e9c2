"""The parts of the model: objects, releases, and who manages them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

System = Literal["pulumi", "flux", "helm", "operator", "talos", "terraform", "kubernetes"]

CLUSTER_SCOPED = frozenset(
    {
        *("APIService", "CSIDriver", "CSINode", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"),
        *("IngressClass", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration"),
        *("Namespace", "Node", "PersistentVolume", "PriorityClass", "RuntimeClass", "StorageClass"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"),
        *("VolumeSnapshotClass", "VolumeSnapshotContent", "GatewayClass", "FlowSchema", "PriorityLevelConfiguration"),
        *("ClusterIssuer", "ClusterSecretStore", "ClusterExternalSecret", "ClusterPushSecret", "ClusterGenerator"),
        *("ClusterZone", "ClusterRRset", "ClusterImageCatalog", "ServiceCIDR", "IPAddress"),
    }
)
"""Kinds without a namespace, of Kubernetes and of the operators that are in use here."""


@dataclass(frozen=True, order=True)
class Identity:
    """What an API server knows an object by; `namespace` is empty for what lies in none."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, order=True)
class Manager:
    """Who keeps an object as it is: a system, and in it a resource, a Kustomization, a release, a custom resource."""

    system: System
    name: str

    def __str__(self) -> str:
        return f"{self.system} ({self.name})" if self.name else self.system


@dataclass(eq=False)
class Object:
    """One object that will exist. Two of the same identity are two declarations of it."""

    content: dict[str, Any]
    """As a manifest has it, without the values of Secrets."""
    manager: Manager
    where: str
    """`file:line` where it is declared; for what a chart or an operator makes, where that is."""
    step: str
    """The event at which it exists, see `order.py`."""
    origin: Object | None = None
    """The custom resource that an operator made it of."""
    release: Release | None = None
    """The release whose chart makes it."""
    open: bool = False
    """Whether it has more keys than the model knows, as what people or programs fill in by hand."""
    alternative: bool = False
    """Whether the manager of another declaration has given it up to this one on purpose."""

    @property
    def kind(self) -> str:
        return str(self.content.get("kind", ""))

    @property
    def group(self) -> str:
        version = str(self.content.get("apiVersion", ""))
        return version.partition("/")[0] if "/" in version else ""

    @property
    def name(self) -> str:
        return str(mapping(self.content.get("metadata")).get("name", ""))

    @property
    def namespace(self) -> str:
        return str(mapping(self.content.get("metadata")).get("namespace") or "")

    @property
    def identity(self) -> Identity:
        return Identity(self.group, self.kind, self.namespace, self.name)

    @property
    def labels(self) -> dict[str, Any]:
        return mapping(mapping(self.content.get("metadata")).get("labels"))

    @property
    def annotations(self) -> dict[str, Any]:
        return mapping(mapping(self.content.get("metadata")).get("annotations"))

    @property
    def spec(self) -> dict[str, Any]:
        return mapping(self.content.get("spec"))

    def get(self, *path: str | int) -> Any:
        """The value at a path; None where any part of it is missing."""
        value: Any = self.content
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def __str__(self) -> str:
        return str(self.identity)


@dataclass(eq=False)
class Release:
    """One Helm release that will exist."""

    name: str
    namespace: str
    chart: str
    version: str
    values: dict[str, Any]
    """May show secrets: never print them."""
    manager: Manager
    where: str
    step: str
    """The event at which its objects exist and are ready."""
    begins: str = ""
    """The event at which its objects are first applied."""
    create_namespace: bool = False
    made: bool = False
    """Whether the model knows what the chart makes."""
    own: bool = False
    """Whether its chart lies in this repository."""
    content: dict[str, Any] = field(default_factory=dict)
    """The HelmRelease, where Flux has it."""
    repository: str = ""
    """The address of the chart's repository, where Flux has the release."""
    layers: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """The sets of values that were merged, with what holds each, where Flux has the release."""
    unknown_values: str = ""
    """Which of its values nobody knows before an `up`."""

    def __str__(self) -> str:
        return f"release {self.namespace}/{self.name}"


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a map, else an empty one: manifests say null for many things."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[dict[str, Any]]:
    """The maps of a list, else nothing."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def keys_of(thing: Object) -> set[str]:
    """The keys of a Secret or ConfigMap."""
    return {str(key) for name in ("data", "stringData", "binaryData") for key in mapping(thing.content.get(name))}


def count(value: Any, otherwise: int = 1) -> int:
    """The value if it is a number of things; what is wrong with any other, the resource's own definition says."""
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value inside another with its path, leaves and maps alike."""
    yield path, value
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from walk(inner, f"{path}[{number}]")
