"""The key that signs zone transfers, one type for both ends: `transfer_key.py` and `components/edge/secondary.py`.

Owns no resource.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pulumi

Algorithm = Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"]


@dataclass(frozen=True, kw_only=True)
class TsigKey:
    """A key with which zone transfers are signed. name: lower case. secret: in Base64."""

    name: str
    secret: pulumi.Input[str]
    algorithm: Algorithm = "hmac-sha256"

    @property
    def body(self) -> dict[str, Any]:
        """The key as PowerDNS's API takes it; holds the secret."""
        return {"name": self.name, "algorithm": self.algorithm, "key": pulumi.Output.secret(self.secret)}
