"""A name's way in real pods: an Ingress, external-dns, PowerDNS, an answer; who may reach them; a node that is drained.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from components.dns.powerdns_secrets import NAMESPACE
from lab import debian
from tests.lab.names_in_pods import DATABASE, IMAGES, SERVERS, address, bring_up_names, bring_up_powerdns, make_zone
from tests.lab.pods_cluster import PodsCluster, cluster_with_pods
from tests.servers import names
from tests.servers.powerdns import PROGRAMS

ALLOWED, STRANGER = "cert-manager", "apps"
"""A namespace whose pods may call PowerDNS's API, and one whose pods may not."""

API = ("powerdns-api.powerdns.svc.cluster.local", 8081)
DATABASE_PORT = ("powerdns-database.powerdns.svc.cluster.local", 3306)
NAME_SERVER = ("powerdns.powerdns.svc.cluster.local", 53)

LONGEST_LOSS = 3.0
"""Seconds without an answer that a client, which asks again after a few, hardly notices."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodsCluster]:
    """The cluster with PowerDNS, and a pod in each of two other namespaces."""
    # Short: the control sockets are below it.
    directory = tmp_path_factory.mktemp("names")
    names.graph()  # recorded while nothing else runs: that takes a minute at most, or fails
    with cluster_with_pods(directory, IMAGES) as made:
        bring_up_powerdns(made, directory)
        made.apply(*(caller(namespace) for namespace in (ALLOWED, STRANGER)))
        made.until("the callers", lambda: all(made.ready(each, "app=caller", 1) for each in (ALLOWED, STRANGER)))
        yield made


@pytest.fixture(scope="module")
def named(cluster: PodsCluster) -> PodsCluster:
    """The same, with PowerDNS's operator, the program's zone and external-dns."""
    bring_up_names(cluster, cluster.directory)
    return cluster


def caller(namespace: str) -> dict[str, object]:
    """A pod that does nothing, in which a test runs commands."""
    security = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "main", "image": "powerdns/pdns-auth-49:any", "command": ["sleep", "infinity"]}
    metadata = {"name": "caller", "namespace": namespace, "labels": {"app": "caller"}}
    spec = {"containers": [container | {"securityContext": security}], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def connects(cluster: PodsCluster, namespace: str, target: tuple[str, int]) -> bool:
    """Whether a pod of a namespace gets a TCP connection."""
    command = f"timeout 2 bash -c 'exec 3<>/dev/tcp/{target[0]}/{target[1]}' && echo connected"
    said = cluster.kubectl("exec", "-n", namespace, "caller", "--", "bash", "-c", command, check=False)
    return "connected" in said


def look_up(cluster: PodsCluster, name: str) -> list[str]:
    """What is answered at the Service's address."""
    dig = str(debian.ensure(PROGRAMS)["dig"])
    question = [dig, f"@{address()}", "+short", "+time=1", "+tries=1", name, "A"]
    return cluster.inside(*question, check=False).split()


def node_of(cluster: PodsCluster, selector: str) -> list[str]:
    """The nodes of the pods of PowerDNS's namespace with these labels."""
    pods = cluster.get("pods", "-n", NAMESPACE, "-l", selector)["items"]
    return sorted(pod["spec"]["nodeName"] for pod in pods)


@contextlib.contextmanager
def probing(cluster: PodsCluster, name: str, wanted: list[str]) -> Iterator[list[float]]:
    """Asks for a name all the time; gives the list of gaps between two right answers, in seconds."""
    gaps: list[float] = []
    ended = threading.Event()

    def probe() -> None:
        last = time.monotonic()
        while not ended.is_set():
            if look_up(cluster, name) == wanted:
                now = time.monotonic()
                gaps.append(now - last)
                last = now
            ended.wait(0.05)
        gaps.append(time.monotonic() - last)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield gaps
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("namespace", "target", "reached"),
    [
        (ALLOWED, API, True),
        (STRANGER, API, False),
        (ALLOWED, DATABASE_PORT, False),
        (STRANGER, NAME_SERVER, True),
    ],
)
def test_a_pod_reaches_what_a_network_policy_opens_to_it(
    cluster: PodsCluster, namespace: str, target: tuple[str, int], reached: bool
) -> None:
    assert connects(cluster, namespace, target) is reached


def test_without_its_network_policy_the_api_is_closed_to_its_clients_too(cluster: PodsCluster) -> None:
    policy = cluster.get("networkpolicy", "powerdns", "-n", NAMESPACE)
    cluster.kubectl("delete", "networkpolicy", "powerdns", "-n", NAMESPACE)
    try:
        cluster.until("a closed port", lambda: not connects(cluster, ALLOWED, API))
    finally:
        metadata = {key: policy["metadata"][key] for key in ("name", "namespace", "labels")}
        cluster.apply(policy | {"metadata": metadata})
    cluster.until("an open port", lambda: connects(cluster, ALLOWED, API))


@pytest.mark.parametrize("with_database", [False, True], ids=["a server", "the database too"])
def test_while_a_node_is_drained_names_are_answered(
    cluster: PodsCluster, capsys: pytest.CaptureFixture[str], with_database: bool
) -> None:
    zone = "server.test" if with_database else "database.test"
    make_zone(cluster, zone, f"kept.{zone}", "192.0.2.7")
    cluster.until("the record", lambda: look_up(cluster, f"kept.{zone}") == ["192.0.2.7"])
    cluster.until("the servers", lambda: cluster.ready(NAMESPACE, SERVERS, 2))
    [home] = node_of(cluster, DATABASE)
    node = home if with_database else next(each for each in ("w1", "w2") if each != home)
    with probing(cluster, f"kept.{zone}", ["192.0.2.7"]) as gaps:
        began = time.monotonic()
        drain = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=100s")
        cluster.kubectl(*drain)
        took = time.monotonic() - began
        cluster.until("two servers elsewhere", lambda: cluster.ready(NAMESPACE, SERVERS, 2))
        cluster.until("the database", lambda: cluster.ready(NAMESPACE, DATABASE, 1))
    cluster.kubectl("uncordon", node)
    assert node not in node_of(cluster, SERVERS)
    with capsys.disabled():
        print(f"\n  a drain of {took:.1f} s: no answer for {max(gaps):.1f} s at most, of {len(gaps)} questions")
    assert max(gaps) < LONGEST_LOSS


def test_the_name_of_an_ingress_is_answered_at_the_address_of_the_name_server(named: PodsCluster) -> None:
    named.apply(names.ingress("git", "git"))
    template = names.release_values("external-dns")["extraArgs"]["fqdn-target-template"]
    name = f"git.{names.DOMAIN}"
    named.until("the record", lambda: any(f'"{found}"' in template for found in look_up(named, name)))


def test_a_removed_ingress_takes_its_name_along(named: PodsCluster) -> None:
    named.apply(names.ingress("gone", "gone"))
    named.until("the record", lambda: look_up(named, f"gone.{names.DOMAIN}") != [])
    named.kubectl("delete", "ingress", "gone", "-n", "apps")
    named.until("no record", lambda: look_up(named, f"gone.{names.DOMAIN}") == [])
