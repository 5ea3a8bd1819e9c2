"""Arguments of components, and what is said of those that are refused."""

from __future__ import annotations

from typing import Any

import pytest


class Known:
    """Arguments that a refusal does not get to."""

    def __init__(self, **known: Any) -> None:
        self.__dict__.update(known)


def refused(make: Any, **arguments: Any) -> str:
    """The message with which `make` refuses these arguments."""
    with pytest.raises(ValueError, match=": ") as refusal:
        make(**arguments)
    return str(refusal.value)
