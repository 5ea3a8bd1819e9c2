"""The edge's routing by server name on a real nginx, put there by the program that the component sends."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from components.edge.router import EdgeRouter, EdgeRouterArgs
from components.edge.routing import Backend, Routing
from tests.keypairs import keypair
from tests.servers import edge
from tests.servers.nginx import Nginx, TlsBackend, ask, http_backend
from tests.servers.processes import free_ports

FIRST, SECOND, SITE, OTHER, INGRESS_HTTP = (f"127.33.0.{number}" for number in range(2, 7))
DOMAIN = "cluster.example.org"


@dataclass
class Edge:
    """A host with a running nginx, and what it is to do there."""

    nginx: Nginx
    routing: Routing
    first: TlsBackend
    second: TlsBackend
    site: TlsBackend

    def text(self, **changes: Any) -> str:
        """What the component sends; `changes` are other values of the routing."""
        values = {name: getattr(self.routing, name) for name in Routing.__dataclass_fields__} | changes
        args = EdgeRouterArgs(host=edge.HOST, routing=Routing(**values), layout=self.nginx.layout)
        return edge.sent(lambda opts: EdgeRouter("edge", args, opts), "edge-nginx")

    def asked(self, name: str | None) -> tuple[bytes, str]:
        """The certificate and the answer that a client gets for a server name."""
        return ask(self.routing.https_port, name)

    def get(self, host: str) -> str:
        """What a client gets for a request of ACME's HTTP-01."""
        url = f"http://127.0.0.1:{self.routing.http_port}/.well-known/acme-challenge/token"
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Host": host}), timeout=10) as response:
            return str(response.read().decode())


def listening(port: int) -> bool:
    """Whether something accepts connections on that port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Edge]:
    """The host before anything was done."""
    https, http, tls, plain = free_ports(4)
    nginx = Nginx(tmp_path / "nginx", http)
    backends = {
        label: TlsBackend(tmp_path, label, address, tls, (pair.certificate_pem, pair.private_key_pem))
        for label, address, pair in (
            ("first", FIRST, keypair(0)),
            ("second", SECOND, keypair(0)),
            ("site", SITE, keypair(1)),
        )
    }
    routing = Routing(
        cluster=DOMAIN,
        ingress=Backend([IPv4Address(FIRST), IPv4Address(SECOND)], tls),
        ingress_http=Backend([IPv4Address(INGRESS_HTTP)], plain),
        sites={
            "www.example.org": Backend([IPv4Address(SITE)], tls),
            "*.pages.example.org": Backend([IPv4Address(SITE)], tls),
        },
        https_port=https,
        http_port=http,
        ipv6=False,
    )
    with http_backend(INGRESS_HTTP, plain), nginx.running():
        yield Edge(nginx, routing, **backends)
    for backend in backends.values():
        backend.stop()


@pytest.fixture
def installed(host: Edge) -> Edge:
    """The host with the component's configuration."""
    edge.succeed(host.text())
    return host


@pytest.mark.parametrize("name", [f"git.{DOMAIN}", f"deep.below.{DOMAIN}", DOMAIN])
def test_a_name_of_the_cluster_reaches_its_ingress_with_tls_untouched(installed: Edge, name: str) -> None:
    certificate, answer = installed.asked(name)
    assert certificate == installed.first.certificate
    assert answer in {"first", "second"}


@pytest.mark.parametrize("name", ["www.example.org", "a.pages.example.org"])
def test_another_name_reaches_its_own_backend(installed: Edge, name: str) -> None:
    assert installed.asked(name) == (installed.site.certificate, "site")


@pytest.mark.parametrize("name", ["unknown.example.org", f"not{DOMAIN}", "pages.example.org", None])
def test_an_unknown_name_is_refused(installed: Edge, name: str | None) -> None:
    with pytest.raises(OSError, match=r"EOF|reset"):
        installed.asked(name)


@pytest.mark.parametrize("name", ["unknown.example.org", None])
def test_an_unknown_name_goes_where_it_is_configured_to(host: Edge, name: str | None) -> None:
    edge.succeed(host.text(otherwise=host.routing.sites["www.example.org"]))
    assert host.asked(name) == (host.site.certificate, "site")


def test_both_backends_take_turns(installed: Edge) -> None:
    assert {installed.asked(DOMAIN)[1] for _ in range(10)} == {"first", "second"}


def test_a_dead_backend_costs_at_most_one_connection(installed: Edge) -> None:
    installed.first.stop()
    failed = 0
    for _ in range(20):
        try:
            assert installed.asked(DOMAIN)[1] == "second"
        except OSError:
            failed += 1
    assert failed <= 1


def test_a_backend_that_is_back_gets_connections_again(host: Edge) -> None:
    edge.succeed(host.text(ingress=Backend([IPv4Address(FIRST)], host.routing.ingress.port)))
    host.first.stop()
    with pytest.raises(OSError, match=r"EOF|reset"):
        host.asked(DOMAIN)
    host.first.start()
    assert host.asked(DOMAIN)[1] == "first"


def test_port_80_of_the_cluster_leads_to_its_ingress(installed: Edge) -> None:
    assert installed.get(f"git.{DOMAIN}") == f"{INGRESS_HTTP} git.{DOMAIN} /.well-known/acme-challenge/token"


@pytest.mark.parametrize("name", ["www.example.org", "unknown.example.org"])
def test_port_80_of_other_names_stays_the_hosts_own(installed: Edge, name: str) -> None:
    assert installed.get(name) == "own site"


def test_a_second_run_changes_nothing(installed: Edge) -> None:
    before = installed.nginx.workers()
    assert edge.succeed(installed.text()) == "nginx: nothing to change\n"
    assert installed.nginx.workers() <= before


def test_a_run_that_ended_before_the_reload_is_made_up_for(installed: Edge) -> None:
    record = Path(installed.nginx.layout.record)
    record.write_text(json.dumps(json.loads(record.read_text()) | {"digest": "of something else"}))
    before = installed.nginx.workers()
    edge.succeed(installed.text())
    assert installed.nginx.workers() - before


def test_a_faulty_configuration_is_refused_and_never_where_nginx_finds_it(installed: Edge) -> None:
    before, workers = installed.nginx.files(), installed.nginx.workers()
    inodes = {path: path.stat().st_ino for path in installed.nginx.here.glob("*-enabled/*")}
    said = edge.refusal(installed.text().replace("ssl_preread on;", "ssl_preread perhaps;"))
    assert 'invalid value "perhaps"' in said
    assert installed.nginx.layout.stream_file in said
    assert installed.nginx.files() == before
    assert {path: path.stat().st_ino for path in installed.nginx.here.glob("*-enabled/*")} == inodes
    assert installed.nginx.workers() <= workers
    assert installed.asked("www.example.org")[1] == "site"


def test_a_first_configuration_that_is_faulty_leaves_no_trace(host: Edge) -> None:
    before = host.nginx.files()
    edge.refusal(host.text().replace("ssl_preread on;", "ssl_preread perhaps;"))
    assert host.nginx.files() == before
    assert not Path(host.nginx.layout.record).exists()


def test_a_site_of_the_host_on_the_same_port_is_named(host: Edge) -> None:
    site = host.nginx.write_site("blog", f"server {{ listen 127.0.0.1:{host.routing.https_port}; return 200 blog; }}\n")
    said = edge.refusal(host.text())
    assert f"{site}: listens on port {host.routing.https_port}" in said
    assert "homelab:edge.sites" in said


def test_a_stream_block_of_the_hosts_own_is_explained(host: Edge) -> None:
    (host.nginx.here / "modules-enabled" / "90-own.conf").write_text("stream { }\n")
    assert "has a `stream` block of its own" in edge.refusal(host.text())


def test_a_port_of_another_program_is_reported_and_the_old_configuration_stays(host: Edge) -> None:
    before = host.nginx.files()
    with socket.create_server(("0.0.0.0", host.routing.https_port)):  # noqa: S104 - where nginx would listen
        said = edge.refusal(host.text())
    assert f"another program listens on port {host.routing.https_port}" in said
    assert host.nginx.files() == before
    assert host.get("www.example.org") == "own site"


def test_a_directory_that_nginx_does_not_read_is_named(host: Edge) -> None:
    main = host.nginx.here / "nginx.conf"
    main.write_text(main.read_text().replace(f"include {host.nginx.here}/sites-enabled/*;", ""))
    assert f"nginx does not read {host.nginx.layout.http_file}" in edge.refusal(host.text())


def test_another_clusters_host_is_not_taken_over(installed: Edge) -> None:
    said = edge.refusal(installed.text(cluster="other.example.org"))
    assert f"this host serves {DOMAIN} already" in said


def test_removal_puts_everything_back(host: Edge) -> None:
    before = host.nginx.files()
    edge.succeed(host.text())
    edge.succeed(host.text(), "remove")
    assert host.nginx.files() == before
    assert not Path(host.nginx.layout.record).exists()
    assert not listening(host.routing.https_port)
    assert host.get("www.example.org") == "own site"


def test_a_second_removal_finds_nothing_to_do(installed: Edge) -> None:
    edge.succeed(installed.text(), "remove")
    assert edge.succeed(installed.text(), "remove") == ""


def test_the_old_name_of_a_host_does_not_remove_what_its_new_name_installed(installed: Edge) -> None:
    text = installed.text().replace(edge.HOST.host, "other-name.example.org")
    edge.succeed(text)
    assert "left as it is" in edge.succeed(installed.text(), "remove")
    assert installed.asked("www.example.org")[1] == "site"


def test_a_host_without_nginx_is_told_what_to_install(host: Edge) -> None:
    text = host.text().replace(host.nginx.layout.main, "/nonexistent/nginx.conf")
    assert "apt-get install nginx libnginx-mod-stream" in edge.refusal(text)
