"""The values that a HelmRelease gives to its chart: those of the Secrets that it names, and its own.

The Secrets are those of `stacks/sso.py`, whose values are known without a cluster. Helm's rules: maps are merged, the
later value wins, and a list replaces a list. So a list that both sides give is lost in silence, which is a finding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from checks.charts.releases import ChartRelease
from checks.gitops.tree import FluxRelease, releases
from checks.graph import Finding, load_stack_config
from checks.program import ROOT
from components.identity.sso import VALUES_KEY
from components.secrets.secret_spec import Plain
from stacks import sso

_RULE = "helm-values"


def of_stack(stack: str) -> list[ChartRelease]:
    """Return the HelmReleases as they are in a stack, in the form of the program's own releases.

    One whose values depend on who signs the certificates of the platform is there in both forms.

    Raises:
        ValueError: a HelmRelease takes values from a Secret that is not one of signing on.
    """
    config = load_stack_config(ROOT, stack)
    kubernetes = json.loads(config["homelab:versions"])["kubernetes"]
    domain = json.loads(config["homelab:cluster"])["domain"]
    found: list[ChartRelease] = []
    for release in releases():
        for private in (False, True):
            values = merged(
                *(secret_values(release, name, domain, private) for name in release.secrets), release.values
            )
            one = ChartRelease(
                release.name, release.namespace, values, release.pin, release.path, kubernetes, release.source
            )
            found += [one] if one not in found else []
    return found


def replaced_lists(domain: str = "example.org") -> list[Finding]:
    """Return the lists of a Secret's values that a HelmRelease replaces by its own."""
    return sorted(
        Finding(
            _RULE,
            f"HelmRelease {release.name}",
            f"its list {path} replaces the one of Secret {name}: add to what the chart makes by postRenderers instead",
            release.source,
        )
        for release in releases()
        for name in release.secrets
        for path in _common_lists(secret_values(release, name, domain, private=True), release.values, ())
    )


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


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return values merged as Helm does, the later over the earlier."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _common_lists(one: Any, other: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() & other.keys():
            yield from _common_lists(one[key], other[key], (*path, key))
    elif isinstance(one, list) and isinstance(other, list):
        yield ".".join(path)
