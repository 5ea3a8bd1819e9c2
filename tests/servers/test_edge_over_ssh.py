"""The edge's components with the real engine, OpenSSH's server, nginx and PowerDNS. The tests are steps, in order."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.edge_host.host import new_key, public_key
from tests.keypairs import keypair
from tests.lab import pulumi_program
from tests.lab.pulumi_program import Program
from tests.servers.nginx import Nginx, TlsBackend, ask
from tests.servers.powerdns_host import PowerDnsHost
from tests.servers.processes import free_port, free_ports
from tests.servers.sshd import Sshd, sshd

INGRESS, PRIMARY, SECONDARY = "127.36.0.2", "127.36.0.3", "127.36.0.4"
DOMAIN = "cluster.example.org"
TSIG = base64.b64encode(b"planted-tsig-key-of-the-edge-host").decode()

PROGRAM = """
import sys
from ipaddress import IPv4Address, IPv4Network

sys.path.insert(0, {root!r})

import pulumi
import pulumi_command

from components.edge.router import EdgeRouter, EdgeRouterArgs, NginxLayout
from components.edge.routing import Backend, Routing
from components.edge.secondary import EdgeSecondary, EdgeSecondaryArgs, PowerDnsLayout
from components.edge.ssh import SshHost
from components.dns.tsig import TsigKey

config = pulumi.Config()
host = SshHost(
    host=config.get("host") or "127.0.0.1",
    port={ssh_port},
    host_key=config.require("hostKey"),
    private_key=config.require_secret("sshKey"),
)
opts = pulumi.ResourceOptions(providers=[pulumi_command.Provider("command")])
backend = Backend([IPv4Address({ingress!r})], {tls_port})
routing = Routing(
    cluster={domain!r},
    ingress=backend,
    ingress_http=backend,
    sites={{config.get("site"): backend}} if config.get("site") else {{}},
    https_port={https_port},
    http_port={http_port},
    ipv6=False,
)
router = EdgeRouter("router", EdgeRouterArgs(host=host, routing=routing, layout={nginx!r}), opts=opts)
secondary = EdgeSecondary(
    "secondary",
    EdgeSecondaryArgs(
        host=host,
        zone={domain!r},
        primaries=[IPv4Address({primary!r})],
        primary_port={primary_port},
        notified_by=[IPv4Network("127.0.0.0/8")],
        tsig=TsigKey(name="edge", secret=config.require_secret("tsigKey")),
        layout={powerdns!r},
    ),
    opts=opts,
)
pulumi.export("router", router.ready.stdout)
pulumi.export("secondary", secondary.ready.stdout)
"""


@dataclass
class Life:
    """The host, and the program that sets it up."""

    ssh: Sshd
    nginx: Nginx
    powerdns: PowerDnsHost
    https_port: int
    program: Program
    before: tuple[dict[str, str], dict[str, str]]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Before the first `up`."""
    here = tmp_path_factory.mktemp("edge")
    https, http, tls = free_ports(3)
    nginx = Nginx(here / "nginx", http)
    # Nobody's address opens the zone, only the key; and the server sees zones that pdnsutil makes beside it.
    own = "primary=yes\nallow-axfr-ips=192.0.2.1\nzone-cache-refresh-interval=0\n"
    primary = PowerDnsHost(here / "primary", PRIMARY, free_port(PRIMARY), own)
    secondary = PowerDnsHost(here / "secondary", SECONDARY, free_port(SECONDARY))
    pair = keypair()
    backend = TlsBackend(here, "ingress", INGRESS, tls, (pair.certificate_pem, pair.private_key_pem))
    with sshd(here / "sshd") as ssh, nginx.running(), primary.running(), secondary.running():
        primary.pdnsutil("create-zone", DOMAIN, "ns1.example.org")
        primary.pdnsutil("set-kind", DOMAIN, "primary")
        primary.pdnsutil("import-tsig-key", "edge", "hmac-sha256", TSIG)
        primary.pdnsutil("activate-tsig-key", DOMAIN, "edge", "primary")
        text = PROGRAM.format(
            root=os.getcwd(),
            domain=DOMAIN,
            ssh_port=ssh.port,
            ingress=INGRESS,
            tls_port=tls,
            https_port=https,
            http_port=http,
            nginx=nginx.layout,
            primary=PRIMARY,
            primary_port=primary.dns.port,
            powerdns=secondary.layout,
        )
        secrets = {"sshKey": ssh.private_key, "tsigKey": TSIG}
        before = (nginx.files(), secondary.files())
        with pulumi_program.program(here, text, providers=("command",), secrets=secrets) as program:
            yield Life(ssh, nginx, secondary, https, program, before)
    backend.stop()


def test_a_host_that_is_another_one_gets_nothing(life: Life) -> None:
    life.program.set(hostKey=public_key(new_key()))
    assert "host key mismatch" in life.program.up(fails=True)
    assert (life.nginx.files(), life.powerdns.files()) == life.before
    life.program.set(hostKey=life.ssh.host_key)


def test_a_preview_touches_nothing(life: Life) -> None:
    life.program.pulumi("preview")
    assert (life.nginx.files(), life.powerdns.files()) == life.before


def test_an_up_sets_both_servers_up(life: Life) -> None:
    life.program.up()
    assert "nginx: uses" in life.program.outputs()["router"]
    assert "has serial" in life.program.outputs()["secondary"]
    assert ask(life.https_port, f"git.{DOMAIN}")[1] == "ingress"
    assert "ns1.example.org" in life.powerdns.dns.dig(DOMAIN, "NS", "+short")


def test_nothing_changes_without_a_change(life: Life) -> None:
    life.program.up("--expect-no-changes")


def test_a_new_site_changes_nginx_alone(life: Life) -> None:
    server = life.powerdns.process
    life.program.set(site="www.example.org")
    printed = life.program.up()
    assert "1 updated" in printed
    assert ask(life.https_port, "www.example.org")[1] == "ingress"
    assert life.powerdns.process == server


@pytest.mark.parametrize("place", ["state", "output", "host"])
def test_no_secret_is_in_clear(life: Life, place: str) -> None:
    text = {
        "state": lambda: life.program.pulumi("stack", "export"),
        "output": lambda: life.program.pulumi("preview", "--diff", "--logtostderr", "--verbose=3"),
        "host": lambda: life.ssh.log.read_text() + life.powerdns.dns.log.read_text(),
    }[place]()
    assert TSIG not in text
    assert life.ssh.private_key.splitlines()[1] not in text


def test_the_routing_is_reviewable_in_a_preview(life: Life) -> None:
    life.program.set(site="reviewed.example.org")
    assert "reviewed.example.org homelab_site_0;" in life.program.pulumi("preview", "--diff")
    life.program.set(site="www.example.org")


def test_a_new_host_that_does_not_answer_leaves_the_old_one_in_service(life: Life) -> None:
    served = (life.nginx.files(), life.powerdns.files())
    life.program.set(host="127.0.0.9")
    life.program.up(fails=True)
    assert (life.nginx.files(), life.powerdns.files()) == served
    assert ask(life.https_port, f"git.{DOMAIN}")[1] == "ingress"
    life.program.set(host="127.0.0.1")
    life.program.up("--expect-no-changes")


def test_a_destroy_puts_both_servers_back(life: Life) -> None:
    life.program.pulumi("destroy", "--yes", "--skip-preview")
    assert (life.nginx.files(), life.powerdns.files()) == life.before
    assert life.powerdns.pdnsutil("list-all-zones").strip() == ""
