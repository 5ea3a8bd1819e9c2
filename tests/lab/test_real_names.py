"""A name's way in real pods: an Ingress, external-dns, PowerDNS, an answer; who may reach them; a node that is drained.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator

import pytest

from components.dns.powerdns_secrets import NAMESPACE
from tests.lab.names_in_pods import DATABASE, SERVERS, address, bring_up_names, look_up, make_zone
from tests.lab.pods_cluster import PodsCluster
from tests.lab.talos_site import stretch
from tests.servers import names

ALLOWED, STRANGER = "cert-manager", "apps"
"""A namespace whose pods may call PowerDNS's API, and one whose pods may not."""

API = ("powerdns-api.powerdns.svc.cluster.local", 8081)
DATABASE_PORT = ("powerdns-database.powerdns.svc.cluster.local", 3306)
NAME_SERVER = ("powerdns.powerdns.svc.cluster.local", 53)

LONGEST_LOSS = 3.0
"""Seconds without an answer that a client, which asks again after a few, hardly notices."""

CACHED = 20.0
"""Seconds for which a server answers by itself what it was asked before: the default of `cache-ttl`, which the chart
keeps (https://doc.powerdns.com/authoritative/performance.html#packet-cache)."""


@pytest.fixture(scope="module")
def cluster(powerdns_in_pods: PodsCluster) -> PodsCluster:
    """The cluster with PowerDNS, and a pod in each of two other namespaces."""
    made = powerdns_in_pods
    made.apply(*(caller(namespace) for namespace in (ALLOWED, STRANGER)))
    made.until("the callers", lambda: all(made.ready(each, "app=caller", 1) for each in (ALLOWED, STRANGER)))
    return made


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
    command = f"timeout 5 bash -c 'exec 3<>/dev/tcp/{target[0]}/{target[1]}' && echo connected"
    said = cluster.kubectl("exec", "-n", namespace, "caller", "--", "bash", "-c", command, check=False)
    return "connected" in said


def node_of(cluster: PodsCluster, selector: str) -> list[str]:
    """The nodes of the pods of PowerDNS's namespace with these labels."""
    pods = cluster.get("pods", "-n", NAMESPACE, "-l", selector)["items"]
    return sorted(pod["spec"]["nodeName"] for pod in pods)


def fill_caches(cluster: PodsCluster, name: str) -> None:
    """Make each server know the answer about a name by itself, from this moment on."""
    for pod in cluster.get("pods", "-n", NAMESPACE, "-l", SERVERS)["items"]:
        purge = ("pdns_control", "--socket-dir=/run/pdns", "purge")
        cluster.kubectl("exec", "-n", NAMESPACE, pod["metadata"]["name"], "--", *purge)
        look_up(cluster, name, "-p", "5353", server=pod["status"]["podIP"])


@contextlib.contextmanager
def asked(cluster: PodsCluster, name: str, answer: str) -> Iterator[list[float]]:
    """Asks for a name all through the block; gives, after it, the seconds of each time without an answer."""
    lost: list[float] = []
    command = (*(sys.executable, "-m", "tests.lab.asking"), address(), name, answer)
    with cluster.started(*command) as asking:
        assert asking.stdout is not None
        assert asking.stdout.readline()
        yield lost
        said, _ = asking.communicate()
    began = None
    for second, answered in json.loads(said):
        if answered and began is not None:
            lost.append(second - began)
        began = None if answered else second if began is None else began
    assert began is None, "the last question was not answered"


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
    cluster.until("what the policy says", lambda: connects(cluster, namespace, target) is reached)


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
    zone = "database.test" if with_database else "server.test"
    name, answer = f"kept.{zone}", "192.0.2.7"
    make_zone(cluster, zone, name, answer)
    cluster.until("the record", lambda: look_up(cluster, name) == [answer])
    cluster.until("the servers", lambda: cluster.ready(NAMESPACE, SERVERS, 2))
    [home] = node_of(cluster, DATABASE)
    node = home if with_database else next(each for each in node_of(cluster, SERVERS) if each != home)
    with asked(cluster, name, answer) as lost, cluster.cordoned(node):
        fill_caches(cluster, name)
        began, slowness = time.monotonic(), stretch()
        cluster.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=600s")
        cluster.until("the database", lambda: cluster.ready(NAMESPACE, DATABASE, 1))
        away = time.monotonic() - began if with_database else 0
        cluster.until("two servers elsewhere", lambda: cluster.ready(NAMESPACE, SERVERS, 2))
        assert node not in node_of(cluster, SERVERS)
    longest = max(lost, default=0)
    with capsys.disabled():
        print(f"\n  a drained node: no answer for {longest:.1f} s at most, the database was away for {away:.1f} s")
    assert longest < LONGEST_LOSS * max(slowness, stretch()) + max(0.0, away - CACHED)


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
