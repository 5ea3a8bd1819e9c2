"""Every application before which Authentik stands, because it has no sign-on of its own, as one table.

Owns which there are, at which host names, and who may pass. `components/identity/proxied.py` says what a row makes, and
docs/identity.md what else such an application needs.
"""

from __future__ import annotations

from components.identity.proxied import Proxied

PROXIED: tuple[Proxied, ...] = ()
"""A row comes before the application's first commit."""

OTHER_GROUPS = ("rspcache-admins",)
"""Groups for services that do not implement single sign-on themselves, and are not here."""


def groups() -> set[str]:
    """All groups that are named here."""
    return {*OTHER_GROUPS, *(group for row in PROXIED for group in row.groups)}
