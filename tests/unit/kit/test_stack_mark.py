"""The mark by which a stack's objects in Kubernetes are known."""

from components.kit.stack_mark import ANNOTATION


def test_the_name_of_the_mark_never_changes() -> None:
    """Platforms that exist have it, and `make recover` would take none of their objects back."""
    assert ANNOTATION == "homelab/stack"
