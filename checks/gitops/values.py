"""The values that a Secret of signing on gives to a HelmRelease: those of `stacks/sso.py`, known without a cluster."""

from __future__ import annotations

from typing import Any

import yaml

from checks.gitops.tree import FluxRelease
from components.identity.sso import VALUES_KEY
from components.secrets.secret_spec import Plain
from stacks import sso


def secret_values(release: FluxRelease, name: str, domain: str, private: bool) -> dict[str, Any]:
    """Return the values in a Secret that a HelmRelease names.

    private: whether the cluster's own authority signs Authentik's certificate.

    Raises:
        ValueError: no service of `stacks/sso.py` has this Secret in the namespace of the HelmRelease.
    """
    for service in sso.SERVICES:
        if (service.secret, service.namespace) == (name, release.namespace):
            text = sso.credentials(service, domain, private=private).keys[VALUES_KEY]
            if isinstance(text, Plain):
                found: dict[str, Any] = yaml.safe_load(text.value)
                return found
    raise ValueError(
        f"{release.source}: HelmRelease {release.name} takes values from Secret {name} in {release.namespace}, which "
        "no service of stacks/sso.py makes there: name one of them, or write the values down"
    )
