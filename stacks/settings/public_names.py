"""Which names of the internet are nobody's own, after the Public Suffix List in the package `publicsuffixlist`.

Owns those questions; the list is read on first use, from the installed package alone. Does not own names that are never
delegated although they look like any other, such as `home.arpa` (`rules`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from publicsuffixlist import PSLFILE, PublicSuffixList

RESIDENTIAL = "home.arpa"
"""In the list because nobody owns it, and everybody's own at home: https://www.rfc-editor.org/rfc/rfc8375#section-4."""


def is_public_suffix(name: str) -> bool:
    """Whether names directly below `name` belong to different people, as below com, co.uk and github.io."""
    return name != RESIDENTIAL and _list(_top(name)).publicsuffix(name) == name


def unknown_top_level(domain: str) -> str | None:
    """The last label of a domain, unless the internet has a top-level domain of that name."""
    return None if _list(_top(domain)).publicsuffix(domain) else domain.rpartition(".")[2]


def _top(name: str) -> str:
    return name.rpartition(".")[2].lower()


@cache
def _list(top: str) -> PublicSuffixList:
    """The rules for names below one top-level domain: to parse all ten thousand takes ten times as long."""
    try:
        endings = (top, top.encode().decode("idna"))  # the list has a name in its own script
    except UnicodeError:
        endings = (top, top)
    lines = Path(PSLFILE).read_text(encoding="utf-8").splitlines()
    return PublicSuffixList([line for line in lines if line.endswith(endings)], accept_unknown=False)
