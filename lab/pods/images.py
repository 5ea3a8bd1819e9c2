"""The images of a lab with real pods, one recipe each; a pod with another image is played.

Each is made where it is missing, from Debian packages (`of_packages`) and from the lab's own tools (`of_tools`), under
the repositories that the charts name. Whatever tag or digest a pod asks for, it gets that one: its version is the
package's or the tool's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from lab import programs
from lab.golang import GoBinary, build, cache
from lab.pods import of_packages
from lab.pods.layers import Image
from lab.pods.of_tools import OfTools, static

SANDBOX = "registry.k8s.io/pause"
"""The repository of the image that holds a pod's network."""

STAND_IN = "lab.invalid/stand-in"
"""The repository of the image that waits in the place of one that is missing. Same program as the sandbox's."""

_WAITER = GoBinary("waiter", "pods/waiter", ".")


def make(wanted: Iterable[str] | None = None) -> dict[str, Path]:
    """The images' directories by the repository in whose place each is served. Makes those that are missing.

    wanted: names of `RECIPES`; by default, those that a rehearsal has.

    Raises:
        LabError: if a package is missing and cannot be installed here, or a tool cannot be built.
    """
    store = cache() / "images"
    made = [(image.repositories, image.make(store)) for image in (RECIPES[name]() for name in wanted or REHEARSED)]
    return {repository: place for repositories, place in made for repository in repositories}


def names(repositories: Sequence[str]) -> list[str]:
    """The repositories in each form in which a pod may name them: Docker Hub's also without the hub's name."""
    found = set(repositories)
    for repository in repositories:
        found.add(short := repository.removeprefix("docker.io/"))
        if repository.startswith("docker.io/library/"):
            found |= {short.removeprefix("library/"), repository.replace("/library/", "/")}
    return sorted(found - {STAND_IN})


def _waiter() -> Image:
    return static("waiter", (SANDBOX, STAND_IN), {"/waiter": build(_WAITER)}, _WAITER.key())


TOOLS: Mapping[str, OfTools] = {
    "coredns": OfTools(("registry.k8s.io/coredns/coredns", "docker.io/coredns/coredns"), {"coredns": "/coredns"}),
    "powerdns-operator": OfTools(("ghcr.io/powerdns-operator/powerdns-operator",), {"powerdns-operator": "/manager"}),
    "external-dns": OfTools(("registry.k8s.io/external-dns/external-dns",), {"external-dns": "/external-dns"}),
    "sealed-secrets": OfTools(
        ("docker.io/bitnami/sealed-secrets-controller",), {"sealed-secrets-controller": "/usr/local/bin/controller"}
    ),
    "external-secrets": OfTools(
        (
            "ghcr.io/external-secrets/external-secrets",
            "oci.external-secrets.io/external-secrets/external-secrets",  # of the release that can be built
        ),
        {"external-secrets": "/bin/external-secrets"},
    ),
    # It copies itself into the servers' pods, and looks beside it for what it may copy, by architecture.
    "cloudnative-pg": OfTools(
        ("ghcr.io/cloudnative-pg/cloudnative-pg",),
        {"cloudnative-pg": "/manager"},
        {"/operator/manager_amd64": "/manager"},
    ),
    "cert-manager": OfTools(("quay.io/jetstack/cert-manager-controller",), {"cert-manager-controller": "/controller"}),
}
"""Those that are tools of one chart, by its name."""

RECIPES: Mapping[str, Callable[[], Image]] = {
    "waiter": _waiter,
    "powerdns": of_packages.powerdns,
    "mariadb": of_packages.mariadb,
    "postgres": of_packages.postgres,
    "python": of_packages.python,
    "vault": of_packages.vault,
    "bank-vaults": OfTools(
        ("ghcr.io/bank-vaults/bank-vaults",),
        {"bank-vaults": "/usr/local/bin/bank-vaults", "template": "/usr/local/bin/template"},
    ),
    **{
        name: OfTools((f"ghcr.io/fluxcd/{name}",), {name: f"/usr/local/bin/{name}"})
        for name in programs.REAL_CONTROLLERS
    },
    **TOOLS,
}
"""How each image is made, by name."""

BASE = ("waiter", "coredns")
"""Those without which no cluster has real pods."""

REHEARSED = (*BASE, "powerdns", "mariadb", "powerdns-operator", "external-dns", "sealed-secrets")
"""Those that a rehearsal of a whole stack has, so that its pods of them run.

The others are for tests of parts. In a rehearsal they would stand alone: the release of External Secrets that can be
built does not know all that the program asks for; Vault's operator cannot be had, so nobody makes Vault's pods;
cert-manager would ask public authorities; the lab runs Flux's controllers as processes already; Harbor's Job in Python
would wait for a Harbor that is played. CloudNativePG with PostgreSQL has not been tried there.
"""
