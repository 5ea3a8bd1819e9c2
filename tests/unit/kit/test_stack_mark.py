"""The mark by which a stack's objects in Kubernetes are known."""

from typing import Any

import pulumi
import pytest
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.stack_mark import ANNOTATION, marking


def marked(metadata: Any) -> Any:
    """The metadata of an object after the transformation of a stack."""
    resource: Any = None
    args = pulumi.ResourceTransformationArgs(
        resource, "kubernetes:core/v1:Secret", "name", {"metadata": metadata}, pulumi.ResourceOptions()
    )
    result = marking("prod")(args)
    assert result is not None
    return result.props["metadata"]


def test_the_name_of_the_mark_never_changes() -> None:
    """Platforms that exist have it, and `make recover` would take none of their objects back."""
    assert ANNOTATION == "homelab/stack"


@pytest.mark.parametrize("annotations", [None, {"other": "kept"}])
def test_metadata_that_several_objects_share_is_left_as_it_was(annotations: dict[str, str] | None) -> None:
    """Such as that of an account, its role and its binding: not all of them may be of the kinds that are marked."""
    shared = ObjectMetaArgs(name="one", annotations=annotations)
    assert marked(shared).annotations == {**(annotations or {}), ANNOTATION: "prod"}
    assert shared.annotations == annotations
