"""Which names of the internet are nobody's own, after the Public Suffix List in the package `publicsuffixlist`.

Owns those questions; the list is read on first use, from the installed package alone. Does not own names that are never
delegated although they look like any other, such as `home.arpa` (`rules`).
"""

from __future__ import annotations

from functools import cache

from publicsuffixlist import PublicSuffixList

RESIDENTIAL = "home.arpa"
"""In the list because nobody owns it, and everybody's own at home: https://www.rfc-editor.org/rfc/rfc8375#section-4."""


def is_public_suffix(name: str) -> bool:
    """Whether names directly below `name` belong to different people, as below com, co.uk and github.io."""
    return name != RESIDENTIAL and _list().publicsuffix(name) == name


def unknown_top_level(domain: str) -> str | None:
    """The last label of a domain, unless the internet has a top-level domain of that name."""
    return None if _list().publicsuffix(domain) else domain.rpartition(".")[2]


@cache
def _list() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False)
