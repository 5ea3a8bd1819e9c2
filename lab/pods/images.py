"""The images of a lab with real pods, one recipe each; a pod with another image is played.

Each is made where it is missing, from Debian packages and from the lab's own tools, under the repositories that the
charts name. Whatever tag or digest a pod asks for, it gets that one: its version is the package's or the tool's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import debian, programs
from lab.golang import GoBinary, build, cache
from lab.pods import debian_image
from lab.pods.layers import Image, Layer

SANDBOX = "registry.k8s.io/pause"
"""The repository of the image that holds a pod's network."""

STAND_IN = "lab.invalid/stand-in"
"""The repository of the image that waits in the place of one that is missing. Same program as the sandbox's."""

DEBIAN = {
    "/usr/sbin/mariadbd": "mariadb-server-core",
    "/usr/bin/mariadb-admin": "mariadb-client",
    "/usr/sbin/pdns_server": "pdns-server",
    "/usr/share/pdns-backend-mysql/schema/schema.mysql.sql": "pdns-backend-mysql",
    "/usr/bin/sdig": "pdns-tools",
}
"""What this machine must have for the images made of packages: a file and the package that brings it."""

_WAITER = GoBinary("waiter", "pods/waiter", ".")
_FILES = Path(__file__).parent / "files"
_NOBODY = "65534:65534"


def make(wanted: Iterable[str] | None = None) -> dict[str, Path]:
    """The images' directories by the repository in whose place each is served. Makes those that are missing.

    wanted: names of `RECIPES`; by default, all.

    Raises:
        LabError: if a package is missing and cannot be installed here, or a tool cannot be built.
    """
    debian.ensure(DEBIAN)
    store = cache() / "images"
    made = [(image.repositories, image.make(store)) for image in (RECIPES[name]() for name in wanted or RECIPES)]
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
    return _static("waiter", (SANDBOX, STAND_IN), {"/waiter": build(_WAITER)}, _WAITER.key())


@dataclass(frozen=True)
class OfTools:
    """Makes an image that consists of tools of the lab.

    programs: where the chart's commands look for each; where a chart gives no command, the first is what starts.
    """

    repositories: tuple[str, ...]
    programs: Mapping[str, str]

    def __call__(self) -> Image:
        """The image; the tools are built if they are missing."""
        found = programs.ensure(self.programs)
        files = {place: found[tool].path for tool, place in self.programs.items()}
        key = " ".join(f"{programs.TOOLS[tool].binary.key()} {place}" for tool, place in self.programs.items())
        return _static(next(iter(self.programs)), self.repositories, files, key)


def _static(name: str, repositories: tuple[str, ...], files: Mapping[str, Path], key: str) -> Image:
    def fill(layer: Layer) -> None:
        layer.directory("/tmp", mode=0o1777)  # noqa: S108
        layer.file("/etc/passwd", b"root:x:0:0:root:/:/\nnobody:x:65534:65534:nobody:/:/\n")
        for place, program in files.items():
            layer.file(place, program.read_bytes(), mode=0o755)

    return Image(name, repositories, key, fill, (next(iter(files)),), _NOBODY)


def _of_packages(
    name: str,
    repositories: tuple[str, ...],
    packages: Sequence[str],
    account: int,
    *,
    directories: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
    entrypoint: Sequence[str] = (),
) -> Image:
    everything = (*debian_image.BASE, *packages)

    def fill(layer: Layer) -> None:
        layer.file("/etc/passwd", f"root:x:0:0:root:/root:/bin/sh\n{name}:x:{account}:{account}::/:/bin/sh\n".encode())
        layer.file("/etc/group", f"root:x:0:\n{name}:x:{account}:\n".encode())
        for path, content in (files or {}).items():
            layer.file(path, content, mode=0o755)
        for path in directories:
            layer.directory(path, owner=account)
        debian_image.fill(layer, everything)
        for path, target in (links or {}).items():
            layer.directory(path.rpartition("/")[0])
            layer.link(path, target)

    key = f"{debian_image.key(everything)} {account} {directories} {links} {files}"
    return Image(name, repositories, key, fill, entrypoint, str(account))


def _powerdns() -> Image:
    links = {
        "/usr/local/sbin/pdns_server": "/usr/sbin/pdns_server",
        "/usr/local/bin/pdns_control": "/usr/bin/pdns_control",
        "/usr/local/bin/pdnsutil": "/usr/bin/pdnsutil",
        "/usr/local/bin/sdig": "/usr/bin/sdig",
        "/usr/local/share/doc/pdns/schema.mysql.sql": "/usr/share/pdns-backend-mysql/schema/schema.mysql.sql",
    }
    packages = ("pdns-server", "pdns-backend-mysql", "pdns-tools", "python3")  # Python for the chart's own test
    repositories = ("docker.io/powerdns/pdns-auth-49", "docker.io/powerdns/pdns-auth-50")
    return _of_packages("pdns", repositories, packages, 953, links=links, entrypoint=("/usr/local/sbin/pdns_server",))


def _mariadb() -> Image:
    return _of_packages(
        "mysql",
        ("docker.io/library/mariadb",),
        ("mariadb-server-core", "mariadb-client-core", "mariadb-client"),
        999,
        directories=("/var/lib/mysql", "/run/mysqld"),
        files={
            "/usr/local/bin/docker-entrypoint.sh": (_FILES / "mariadb-start.sh").read_bytes(),
            "/usr/local/bin/healthcheck.sh": (_FILES / "mariadb-check.sh").read_bytes(),
            "/etc/mysql/my.cnf": b"[mariadbd]\nsocket = /run/mysqld/mysqld.sock\n!includedir /etc/mysql/conf.d/\n",
        },
        entrypoint=("/usr/local/bin/docker-entrypoint.sh",),
    )


def _vault() -> Image:
    tool = programs.TOOLS["vault"].binary

    def fill(layer: Layer) -> None:
        layer.file("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nvault:x:100:1000::/home/vault:/bin/sh\n")
        layer.file("/etc/group", b"root:x:0:\nvault:x:1000:\n")
        layer.file("/usr/local/bin/docker-entrypoint.sh", start, mode=0o755)
        layer.file("/usr/local/bin/vault", program.read_bytes(), mode=0o755)
        debian_image.fill(layer, debian_image.BASE)

    start, program = (_FILES / "vault-start.sh").read_bytes(), programs.ensure(["vault"])["vault"].path
    key = f"{tool.key()} {debian_image.key(debian_image.BASE)} {start!r}"
    return Image("vault", ("docker.io/hashicorp/vault",), key, fill, ("/usr/local/bin/docker-entrypoint.sh",), "100")


TOOLS: Mapping[str, OfTools] = {
    "coredns": OfTools(("registry.k8s.io/coredns/coredns", "docker.io/coredns/coredns"), {"coredns": "/coredns"}),
    "powerdns-operator": OfTools(("ghcr.io/powerdns-operator/powerdns-operator",), {"powerdns-operator": "/manager"}),
    "external-dns": OfTools(("registry.k8s.io/external-dns/external-dns",), {"external-dns": "/external-dns"}),
    "sealed-secrets": OfTools(
        ("docker.io/bitnami/sealed-secrets-controller",), {"sealed-secrets-controller": "/usr/local/bin/controller"}
    ),
}
"""Those that are tools, by the chart's name."""

RECIPES: Mapping[str, Callable[[], Image]] = {
    "waiter": _waiter,
    "powerdns": _powerdns,
    "mariadb": _mariadb,
    "vault": _vault,
    "bank-vaults": OfTools(
        ("ghcr.io/bank-vaults/bank-vaults",),
        {"bank-vaults": "/usr/local/bin/bank-vaults", "template": "/usr/local/bin/template"},
    ),
    **TOOLS,
}
"""How each image is made, by name."""

BASE = ("waiter", "coredns")
"""Those without which no cluster has real pods."""
