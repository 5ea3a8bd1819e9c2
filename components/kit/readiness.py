"""What makes an `up` wait for a custom resource: an annotation that Pulumi's Kubernetes provider reads.

Owns the annotation. Does not own the conditions, which each controller sets. Without it an `up` waits for nothing.
"""

from __future__ import annotations

from typing import Final


def until(condition: str) -> dict[str, str]:
    """Annotations with which an `up` waits until a condition of this type is True."""
    return {"pulumi.com/waitFor": f"condition={condition}"}


READY: Final = until("Ready")
"""Until the controller has done what the object says."""
