"""A zone made by the real operator, and records that the real external-dns keeps in it, in a real PowerDNS.

Played: the ingress controller, which reports an Ingress's address, and the pods, which are processes with their service
accounts' rights.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.dns.external_dns import host_annotations
from tests.servers import memory
from tests.servers import names as site
from tests.servers.kubernetes import KubernetesApi
from tests.servers.names import DOMAIN, KEY, Manifest, Names, ingress, report_address
from tests.servers.processes import eventually, free_ports

PUBLIC = "172.235.48.86"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("names")


@pytest.fixture(scope="module")
def names(directory: Path) -> Iterator[Names]:
    with site.names(directory, "127.31.4.3") as running:
        yield running


@pytest.fixture(scope="module")
def operator(kubernetes: KubernetesApi, names: Names, directory: Path) -> Iterator[Path]:
    site.make_operator_ready(kubernetes)
    with site.operator(kubernetes, names, directory) as log:
        yield log


@pytest.fixture(scope="module")
def zone(kubernetes: KubernetesApi, operator: Path) -> Manifest:
    """The program's zone, once its operator says that it is there."""
    assert operator.is_file()
    kubernetes.apply(site.zone())

    def available() -> Manifest | None:
        found = kubernetes.get("dns.cav.enablers.ob/v1alpha2", "ClusterZone", DOMAIN)
        conditions = {one["type"]: one["status"] for one in found.get("status", {}).get("conditions", [])}
        return dict(found) if conditions.get("Available") == "True" else None

    return eventually(available, "zone")


@pytest.fixture(scope="module")
def rendered(kubernetes: KubernetesApi, zone: Manifest, directory: Path) -> Manifest:
    """The container of external-dns, and a namespace for applications."""
    assert zone
    kubernetes.namespace("apps")
    return site.make_external_dns_ready(kubernetes, directory)


@pytest.fixture(scope="module")
def external_dns(kubernetes: KubernetesApi, names: Names, rendered: Manifest, directory: Path) -> Iterator[Path]:
    with site.external_dns(kubernetes, rendered, names, directory / "external-dns") as log:
        yield log


def appear(kubernetes: KubernetesApi, name: str, *hosts: str) -> None:
    """An Ingress appears, and the ingress controller takes it."""
    kubernetes.apply(ingress(name, *hosts))
    report_address(kubernetes, name)


def disappear(kubernetes: KubernetesApi, name: str) -> None:
    kubernetes.request("DELETE", f"/apis/networking.k8s.io/v1/namespaces/apps/ingresses/{name}")


def until_answered(names: Names, name: str, answer: list[str], kind: str = "A") -> None:
    eventually(lambda: names.look_up(name, kind) == answer or None, f"answer {answer} for {name}", seconds=60)


@pytest.mark.usefixtures("zone")
def test_the_zone_has_the_public_name_server_and_no_other(names: Names) -> None:
    assert names.server.dig(DOMAIN, "NS", "+short").split() == ["ns1.agentydragon.com."]
    assert names.server.dig(DOMAIN, "SOA", "+short").split()[0] == "ns1.agentydragon.com."


@pytest.mark.usefixtures("zone")
def test_the_zone_is_one_that_a_secondary_may_have(names: Names) -> None:
    assert names.api("GET")["kind"] == "Master"


def test_the_operator_needs_less_than_half_of_its_memory_limit(operator: Path) -> None:
    limit = memory.limit(site.release_values("powerdns-operator")["resources"])
    assert memory.peak("powerdns-operator") < limit / 2, operator


@pytest.mark.parametrize("case", ["a key that is refused", "a server that is not there"])
def test_the_operator_ends_when_it_cannot_reach_powerdns(kubernetes: KubernetesApi, names: Names, case: str) -> None:
    probes, nothing = free_ports(2)
    place = {
        "a key that is refused": (names.url, "wrong"),
        "a server that is not there": (f"http://127.0.0.1:{nothing}", KEY),
    }
    command = [part for part in site.operator_command(*place[case], probes) if part != "--leader-elect"]
    ended = subprocess.run(
        command,
        env={"PATH": "/usr/bin:/bin", "KUBECONFIG": str(kubernetes.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, "unable to initialize connection with PowerDNS" in ended.stderr) == (1, True)


@pytest.mark.usefixtures("external_dns")
def test_an_ingress_has_its_name_at_the_public_address(kubernetes: KubernetesApi, names: Names) -> None:
    appear(kubernetes, "git", "git", "registry")
    until_answered(names, "git", [PUBLIC])
    until_answered(names, "registry", [PUBLIC])


@pytest.mark.usefixtures("external_dns")
def test_the_name_of_the_zone_itself_and_a_wildcard_may_be_an_ingress_s(
    kubernetes: KubernetesApi, names: Names
) -> None:
    kubernetes.apply(ingress("wild", "*.pages"))
    apex = ingress("apex", "x")
    apex["spec"]["rules"][0]["host"] = DOMAIN
    kubernetes.apply(apex)
    for name in ("wild", "apex"):
        report_address(kubernetes, name)
    until_answered(names, "anything.pages", [PUBLIC])
    eventually(lambda: names.server.dig(DOMAIN, "A", "+short").split() == [PUBLIC] or None, "apex", seconds=60)


@pytest.mark.usefixtures("external_dns")
def test_what_an_ingress_had_goes_with_it(kubernetes: KubernetesApi, names: Names) -> None:
    appear(kubernetes, "shortlived", "shortlived")
    until_answered(names, "shortlived", [PUBLIC])
    assert names.look_up("_a-owner.shortlived", "TXT") != []
    disappear(kubernetes, "shortlived")
    until_answered(names, "shortlived", [])
    until_answered(names, "_a-owner.shortlived", [], "TXT")


@pytest.mark.usefixtures("external_dns")
def test_an_ingress_that_the_controller_rejects_keeps_its_name(kubernetes: KubernetesApi, names: Names) -> None:
    appear(kubernetes, "broken", "broken")
    until_answered(names, "broken", [PUBLIC])
    site.reject(kubernetes, "broken")
    appear(kubernetes, "sign", "sign")
    until_answered(names, "sign", [PUBLIC])
    disappear(kubernetes, "sign")
    until_answered(names, "sign", [])
    assert names.look_up("broken") == [PUBLIC]


@pytest.mark.usefixtures("external_dns")
@pytest.mark.parametrize(
    ("name", "targets", "answer"),
    [
        ("elsewhere-once", "192.0.2.7", ["192.0.2.7"]),
        ("elsewhere-twice", "192.0.2.7,192.0.2.8", ["192.0.2.7", "192.0.2.8"]),
    ],
)
def test_an_ingress_may_name_another_address(
    kubernetes: KubernetesApi, names: Names, name: str, targets: str, answer: list[str]
) -> None:
    kubernetes.apply(ingress(name, name, annotations={"external-dns.alpha.kubernetes.io/target": targets}))
    until_answered(names, name, answer)


@pytest.mark.usefixtures("external_dns")
@pytest.mark.parametrize(("host", "target", "answer"), [("plain", "", PUBLIC), ("aimed", "192.0.2.9", "192.0.2.9")])
def test_an_ingress_may_have_further_names(
    kubernetes: KubernetesApi, names: Names, host: str, target: str, answer: str
) -> None:
    further = {**host_annotations(f"{host}-two.{DOMAIN},{host}-three.{DOMAIN}")}
    further |= {"external-dns.alpha.kubernetes.io/target": target} if target else {}
    kubernetes.apply(ingress(host, f"{host}-one", annotations=further))
    for number in ("one", "two", "three"):
        until_answered(names, f"{host}-{number}", [answer])


@pytest.mark.usefixtures("external_dns")
def test_two_ingresses_with_one_name_have_it_once(kubernetes: KubernetesApi, names: Names) -> None:
    for name in ("shared-a", "shared-b"):
        appear(kubernetes, name, "shared")
    until_answered(names, "shared", [PUBLIC])
    disappear(kubernetes, "shared-a")
    appear(kubernetes, "sign", "sign")
    until_answered(names, "sign", [PUBLIC])
    assert names.look_up("shared") == [PUBLIC]
    disappear(kubernetes, "sign")


@pytest.mark.usefixtures("external_dns")
def test_an_ingress_of_another_controller_gets_no_name(kubernetes: KubernetesApi, names: Names) -> None:
    other = ingress("other", "other")
    other["spec"]["ingressClassName"] = "another"
    kubernetes.apply(other)
    appear(kubernetes, "seen", "seen")
    until_answered(names, "seen", [PUBLIC])
    assert names.look_up("other") == []


@pytest.mark.usefixtures("external_dns")
def test_records_of_others_survive(kubernetes: KubernetesApi, names: Names) -> None:
    names.write("by-hand", "A", "192.0.2.1")
    names.write("elsewhere", "A", "192.0.2.2")
    names.write("_a-owner.elsewhere", "TXT", '"heritage=external-dns,external-dns/owner=another-cluster"')
    names.write("_acme-challenge", "TXT", '"token"')
    for name in ("by-hand", "elsewhere"):
        appear(kubernetes, name, name)
    appear(kubernetes, "marker", "marker")
    until_answered(names, "marker", [PUBLIC])
    for name in ("by-hand", "elsewhere", "marker"):
        disappear(kubernetes, name)
    until_answered(names, "marker", [])
    assert names.look_up("by-hand") == ["192.0.2.1"]
    assert names.look_up("elsewhere") == ["192.0.2.2"]
    assert names.look_up("_acme-challenge", "TXT") == ['"token"']


@pytest.mark.usefixtures("external_dns")
def test_a_service_has_a_name_if_it_asks_for_one(kubernetes: KubernetesApi, names: Names) -> None:
    def service(name: str, annotations: dict[str, str]) -> Manifest:
        metadata = {"name": name, "namespace": "apps", "annotations": annotations}
        spec = {"type": "LoadBalancer", "ports": [{"port": 53, "protocol": "UDP"}]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}

    kubernetes.apply(service("asks", host_annotations(f"asks.{DOMAIN}")), service("silent", {}))
    for name in ("asks", "silent"):
        status = {"status": {"loadBalancer": {"ingress": [{"ip": "10.0.3.4"}]}}}
        path = f"/api/v1/namespaces/apps/services/{name}/status"
        kubernetes.request("PATCH", path, status, kind="application/merge-patch+json")
    until_answered(names, "asks", ["10.0.3.4"])
    assert names.look_up("silent") == []


@pytest.mark.usefixtures("external_dns")
def test_external_dns_needs_less_than_half_of_its_memory_limit(kubernetes: KubernetesApi, names: Names) -> None:
    """Its memory grows with what it keeps copies of: Ingresses and Services, of which there are plenty here."""
    for number in range(150):
        kubernetes.apply(ingress(f"many-{number}", f"many-{number}"))
    until_answered(names, "many-149", [PUBLIC])
    assert memory.peak("external-dns") < memory.limit(site.release_values("external-dns")["resources"]) / 2
    for number in range(150):
        disappear(kubernetes, f"many-{number}")


def test_while_a_key_is_rotated_nothing_is_lost_and_afterwards_all_goes_on(
    kubernetes: KubernetesApi, names: Names, external_dns: Path, rendered: Manifest, directory: Path
) -> None:
    appear(kubernetes, "before", "before")
    until_answered(names, "before", [PUBLIC])
    names.start("AnotherKey2")
    disappear(kubernetes, "before")
    appear(kubernetes, "during", "during")
    eventually(lambda: "401" in external_dns.read_text() or None, "refusal of the old key", seconds=90)
    assert (names.look_up("before"), names.look_up("during")) == ([PUBLIC], [])
    with site.external_dns(kubernetes, rendered, names, directory / "restarted"):
        until_answered(names, "during", [PUBLIC])
        until_answered(names, "before", [])
