"""What was probably meant by a name that does not exist.

Owns no resource, and not the rest of a refusal. Nothing must exist before.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable


def did_you_mean(
    word: str, known: Iterable[str], *, likeness: float = 0.6, show: Callable[[str], str] = '"{}"'.format
) -> str | None:
    """A question for the nearest of the known names, or None where none is near.

    likeness: from 0 (anything is near) to 1 (only the word itself is).
    show: how the name is written; in double quotes, if nothing else is said.
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)
    return f"did you mean {show(near[0])}?" if near else None
