"""Ports that several parts must agree on.

Owns no resource, and no port that only one part knows. Nothing must exist before.
"""

from __future__ import annotations

from typing import Final

DNS: Final = 53
HTTP: Final = 80
HTTPS: Final = 443

KUBERNETES_API: Final = 6443
"""On every control plane, and on the VIP."""
