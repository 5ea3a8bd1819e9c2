"""The cluster's DNS with the program's Corefile, in a real CoreDNS beside a real API server.

The nodes' resolver is another CoreDNS, which knows the names as the internet does. Only addresses, ports and the
kubeconfig are the tests' own: nothing here is in a pod.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.kit.versions import COREDNS_SERVER
from lab import debian
from lab.programs import TOOLS, ensure
from stacks import sso
from tests.servers import powerdns
from tests.servers.core_dns import corefile
from tests.servers.kubernetes import KubernetesApi
from tests.servers.names import DOMAIN, release_values
from tests.servers.processes import eventually, free_port, server

ADDRESS = "127.31.6.3"
PUBLIC, INSIDE = "172.235.48.86", "10.0.3.2"
AUTHENTIK = sso.authority(DOMAIN)


class Dns:
    """A running CoreDNS."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, name: str, kind: str = "A", *options: str) -> str:
        """What `dig` prints."""
        dig = debian.ensure(powerdns.PROGRAMS)["dig"]
        command = [str(dig), f"@{ADDRESS}", "-p", str(self.port), "+time=2", "+tries=1", name, kind, *options]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def look_up(self, name: str, kind: str = "A") -> list[str]:
        return sorted(self.ask(name, kind, "+short").splitlines())


@contextlib.contextmanager
def core_dns(text: str, directory: Path, port: int) -> Iterator[Dns]:
    directory.mkdir()
    (directory / "Corefile").write_text(text)
    command = [str(ensure(["coredns"])["coredns"].path), "-conf", str(directory / "Corefile")]
    found = Dns(port)
    with server("coredns", command, directory=directory, ready=lambda: "status: " in found.ask("ready.invalid")):
        yield found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dns]:
    """The nodes' resolver: names as the internet has them."""
    port = free_port(ADDRESS)
    known = "\n".join(f"{PUBLIC} {name}" for name in (AUTHENTIK, f"page.{DOMAIN}", "www.example.org"))
    text = f".:{port} {{\n bind {ADDRESS}\n hosts {{\n{known}\n}}\n}}\n"
    with core_dns(text, tmp_path_factory.mktemp("world") / "coredns", port) as running:
        yield running


@pytest.fixture(scope="module")
def dns(kubernetes: KubernetesApi, world: Dns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dns]:
    """The cluster's DNS, once it has seen the cluster's Services."""
    directory = tmp_path_factory.mktemp("dns")
    port, health, ready, metrics = (free_port(ADDRESS) for _ in range(4))
    text = corefile()
    for written, here in (
        (":53 {\n", f":{port} {{\n  bind {ADDRESS}\n"),
        ("/etc/resolv.conf", f"{ADDRESS}:{world.port}"),
        ("  health {", f"  health {ADDRESS}:{health} {{"),
        ("  ready\n", f"  ready {ADDRESS}:{ready}\n"),
        ("prometheus :9153", f"prometheus {ADDRESS}:{metrics}"),
        ("pods insecure", f"pods insecure\n      kubeconfig {kubernetes.kubeconfig}"),
    ):
        assert written in text, f"the Corefile says {written!r} no longer"
        text = text.replace(written, here)
    with core_dns(text, directory / "coredns", port) as running:
        service = "kubernetes.default.svc.cluster.local"
        eventually(lambda: running.look_up(service) or None, "Services in DNS", seconds=60)
        yield running


def test_what_people_sign_on_to_is_at_the_ingress(dns: Dns) -> None:
    assert {name: dns.look_up(name) for name in sso.hosts(DOMAIN)} == {name: [INSIDE] for name in sso.hosts(DOMAIN)}


def test_a_listed_name_has_no_other_address_that_would_lead_outside(dns: Dns) -> None:
    answer = dns.ask(AUTHENTIK, "AAAA")
    assert ("status: NOERROR" in answer, "ANSWER: 0" in answer) == (True, True)


def test_other_names_of_the_domain_are_what_they_are_elsewhere(dns: Dns) -> None:
    assert dns.look_up(f"page.{DOMAIN}") == [PUBLIC]


@pytest.mark.parametrize("name", [f"nothing.{DOMAIN}", f"deeper.{AUTHENTIK}"])
def test_a_name_that_nobody_has_is_denied(dns: Dns, name: str) -> None:
    assert dns.look_up(name) == []


def test_the_rest_of_the_world_is_asked_of_the_nodes_resolver(dns: Dns) -> None:
    assert dns.look_up("www.example.org") == [PUBLIC]


def test_services_of_the_cluster_have_their_names(dns: Dns) -> None:
    assert dns.look_up("kubernetes.default.svc.cluster.local") == ["10.96.0.1"]


def test_names_are_answered_over_tcp_as_well(dns: Dns) -> None:
    assert dns.ask(AUTHENTIK, "A", "+short", "+tcp").split() == [INSIDE]


def test_the_tests_run_the_version_that_the_program_pins() -> None:
    assert TOOLS["coredns"].binary.version() == COREDNS_SERVER.version.removeprefix("v")


def test_the_service_is_where_kubelets_look_for_it_and_is_known_as_talos_would_call_it() -> None:
    values = release_values("coredns")
    assert values["service"] == {"name": "kube-dns", "clusterIP": "10.96.0.10"}
    assert values["k8sAppLabelOverride"] == "kube-dns"
