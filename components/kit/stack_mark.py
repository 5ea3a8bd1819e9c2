"""The mark by which an object in Kubernetes says which stack of this program made it.

Owns the annotation, and how every object gets it; no resource. Must exist before: nothing.

`make recover` needs it: after an `up` was killed, the state knows of an object only that its creation began. The API
server's own record of who made a field (`managedFields`) does not tell stacks apart, and an object that is a name and
nothing else, such as a ServiceAccount, has none. VMs are marked in the same way, by a tag.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

ANNOTATION: Final = "homelab/stack"

_UNMARKED: Final = ("kubernetes:helm.sh/", "kubernetes:yaml/")
"""Not objects, but what makes objects: a release's name is in Helm's own record."""


def marking(stack: str) -> pulumi.ResourceTransformation:
    """A transformation that marks each Kubernetes object below the component that has it; `stack` is the mark."""

    def mark(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        kind = args.type_
        if not kind.startswith("kubernetes:") or kind.startswith(_UNMARKED) or kind.endswith("Patch"):
            return None
        props = {**args.props, "metadata": _marked(args.props.get("metadata"), stack)}
        return pulumi.ResourceTransformationResult(props, args.opts)

    return mark


def _marked(metadata: Any, stack: str) -> Any:
    """Metadata with the mark. Raises TypeError if it is not known which annotations it has already."""
    if isinstance(metadata, ObjectMetaArgs):
        # One value may serve several objects.
        marked = copy.copy(metadata)
        marked.annotations = _with_mark(metadata.annotations, stack)
        return marked
    if metadata is None or isinstance(metadata, Mapping):
        given = dict(metadata or {})
        return given | {"annotations": _with_mark(given.get("annotations"), stack)}
    raise TypeError(f"metadata: {type(metadata).__name__}; give ObjectMetaArgs or a mapping, which can be marked")


def _with_mark(annotations: Any, stack: str) -> pulumi.Input[Mapping[str, pulumi.Input[str]]]:
    if annotations is None or isinstance(annotations, Mapping):
        return {**(annotations or {}), ANNOTATION: stack}
    return pulumi.Output.from_input(annotations).apply(lambda known: {**(known or {}), ANNOTATION: stack})
