"""The images that a machine configuration names, read and replaced without touching anything else in it.

Owns where they stand. Does not choose them: the provider generates them from the versions in the settings.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from components.talos.api import TalosError

KUBELET = "kubelet"

STATIC_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""The control plane's static pods, in the order in which Talos upgrades them: the API server is never the older one."""

_PATHS = {
    KUBELET: ("machine", "kubelet", "image"),
    "kube-apiserver": ("cluster", "apiServer", "image"),
    "kube-controller-manager": ("cluster", "controllerManager", "image"),
    "kube-scheduler": ("cluster", "scheduler", "image"),
}


def image(configuration: str, component: str) -> str:
    """The image of the kubelet or of a static pod.

    Raises TalosError if the configuration, which consists of several YAML documents, names none.
    """
    return str(_node(configuration, component).value)


def replaced(configuration: str, component: str, by: str) -> str:
    """The configuration with another image for a component, and every other character as it was.

    Not parsed and written again: Python's YAML is 1.1, Go's is not, and `auto: off` would become a boolean.
    """
    node = _node(configuration, component)
    return configuration[: node.start_mark.index] + by + configuration[node.end_mark.index :]


def version(reference: str) -> str:
    """The tag of an image, such as v1.36.3, without a digest."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[2]


def _node(configuration: str, component: str) -> yaml.ScalarNode:
    for document in yaml.compose_all(configuration, Loader=yaml.SafeLoader):
        node: yaml.Node | None = document
        for key in _PATHS[component]:
            node = next((value for name, value in _pairs(node) if name == key), None)
        if isinstance(node, yaml.ScalarNode):
            return node
    path = ".".join(_PATHS[component])
    raise TalosError(f"the machine configuration has no {path}; update the program")


def _pairs(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key.value, value
