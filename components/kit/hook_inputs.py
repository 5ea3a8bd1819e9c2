"""What a resource hook gets from the engine.

Owns no resource and no hook. Nothing must exist before.
"""

from __future__ import annotations

from typing import Any

import pulumi


async def known(value: Any) -> Any:
    """A hook's property: the engine hands secrets over as Outputs."""
    return await value.future() if isinstance(value, pulumi.Output) else value
