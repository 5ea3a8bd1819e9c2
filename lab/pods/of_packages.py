"""Images of servers that Debian packages, under the names and at the places that pods of the charts expect.

Does not own which images there are (`images`), nor how packages get into one (`debian_image`). Each makes sure that
this machine has its packages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import debian, programs
from lab.pods import debian_image
from lab.pods.layers import Image, Layer

_FILES = Path(__file__).parent / "files"
_POSTGRES = Path("/usr/lib/postgresql")


def powerdns() -> Image:
    """PowerDNS with the database that it keeps its zones in, its tools, and Python for the chart's own test."""
    debian.ensure(
        {
            "/usr/sbin/pdns_server": "pdns-server",
            "/usr/share/pdns-backend-mysql/schema/schema.mysql.sql": "pdns-backend-mysql",
            "/usr/bin/sdig": "pdns-tools",
            "/usr/bin/python3": "python3",
        }
    )
    links = {
        "/usr/local/sbin/pdns_server": "/usr/sbin/pdns_server",
        "/usr/local/bin/pdns_control": "/usr/bin/pdns_control",
        "/usr/local/bin/pdnsutil": "/usr/bin/pdnsutil",
        "/usr/local/bin/sdig": "/usr/bin/sdig",
        "/usr/local/share/doc/pdns/schema.mysql.sql": "/usr/share/pdns-backend-mysql/schema/schema.mysql.sql",
    }
    packages = ("pdns-server", "pdns-backend-mysql", "pdns-tools", "python3")
    repositories = ("docker.io/powerdns/pdns-auth-49", "docker.io/powerdns/pdns-auth-50")
    return _image("pdns", repositories, packages, 953, links=links, entrypoint=("/usr/local/sbin/pdns_server",))


def mariadb() -> Image:
    """MariaDB, with a start and a health check of the lab's own in place of those of the image."""
    debian.ensure({"/usr/sbin/mariadbd": "mariadb-server-core", "/usr/bin/mariadb-admin": "mariadb-client"})
    return _image(
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


def postgres() -> Image:
    """PostgreSQL as CloudNativePG's instance manager wants it: its programs on PATH, and user 26.

    The manager itself comes into each pod from the operator's image. Names of the programs:
    https://github.com/cloudnative-pg/cloudnative-pg/blob/v1.30.0/pkg/management/postgres/instance.go
    """
    debian.ensure({"pg_ctlcluster": "postgresql"})
    release = sorted(_POSTGRES.iterdir())[-1]
    links = {f"/usr/local/bin/{program.name}": str(program) for program in sorted((release / "bin").iterdir())}
    return _image(
        "postgres",
        ("ghcr.io/cloudnative-pg/postgresql",),
        (f"postgresql-{release.name}",),
        26,
        links=links,
        # Compiling queries takes 450 MB of libraries. Without the one that loads them, PostgreSQL does not.
        without=("libllvm14", f"{release}/lib/llvmjit.so", f"{release}/lib/bitcode"),
        entrypoint=("/bin/sh",),
    )


def vault() -> Image:
    """Vault, which the lab builds, with a shell and a start of the lab's own in place of the image's."""
    tool, program = programs.TOOLS["vault"].binary, programs.ensure(["vault"])["vault"].path
    return _image(
        "vault",
        ("docker.io/hashicorp/vault",),
        (),
        100,
        files={"/usr/local/bin/docker-entrypoint.sh": (_FILES / "vault-start.sh").read_bytes()},
        tools={"/usr/local/bin/vault": (program, tool.key())},
        entrypoint=("/usr/local/bin/docker-entrypoint.sh",),
    )


def python() -> Image:
    """Python with its standard library, for Jobs and small servers."""
    debian.ensure({"/usr/bin/python3": "python3"})
    links = {"/usr/local/bin/python": "/usr/bin/python3", "/usr/local/bin/python3": "/usr/bin/python3"}
    return _image("python", ("docker.io/library/python",), ("python3",), 0, links=links, entrypoint=("python3",))


def _image(
    name: str,
    repositories: tuple[str, ...],
    packages: Sequence[str],
    account: int,
    *,
    directories: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
    tools: Mapping[str, tuple[Path, str]] | None = None,
    without: Sequence[str] = (),
    entrypoint: Sequence[str] = (),
) -> Image:
    """An image of packages, which runs as the account of its name.

    tools: programs of the lab by their place, with what decides their content. without: packages that stay out, and
    files by the beginning of their path.
    """
    everything = (*debian_image.BASE, *packages)

    def fill(layer: Layer) -> None:
        own = f"{name}:x:{account}:{account}::/:/bin/sh\n" if account else ""
        layer.file("/etc/passwd", f"root:x:0:0:root:/root:/bin/sh\n{own}".encode())
        layer.file("/etc/group", f"root:x:0:\n{f'{name}:x:{account}:' if account else ''}\n".encode())
        for path, content in (files or {}).items():
            layer.file(path, content, mode=0o755)
        for path, (program, _) in (tools or {}).items():
            layer.file(path, program.read_bytes(), mode=0o755)
        for path in directories:
            layer.directory(path, owner=account)
        debian_image.fill(layer, everything, without=without)
        for path, target in (links or {}).items():
            layer.directory(path.rpartition("/")[0])
            layer.link(path, target)

    built = {path: key for path, (_, key) in (tools or {}).items()}
    key = f"{debian_image.key(everything, without=without)} {account} {directories} {links} {files} {built}"
    return Image(name, repositories, key, fill, entrypoint, str(account))
