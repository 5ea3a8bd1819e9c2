"""The powerdns chart in real pods: real kubelets, containers, probes and Services, on the lab's own control plane.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.dns.powerdns_secrets import ACCOUNTS, DATABASE_SECRET
from components.dns.powerdns_secrets import ROOT_PASSWORD as ROOT_KEY
from lab import debian
from lab.pods.workloads import PLAYED_FOR
from tests.charts.helm import rendered
from tests.lab.pods_cluster import PATIENCE, PodsCluster, cluster_with_pods
from tests.servers.powerdns import PROGRAMS, ROOT_PASSWORD, filled

NAMESPACE = "dns"
PASSWORD = "of-the-database"
API_KEY = "of-the-api"
ADDRESS = "10.77.3.20"
"""Of the pool from which MetalLB would give the Service one."""

MARIADB = 'exec mariadb --user=root --password="$(cat /run/accounts/root-password)" --skip-column-names powerdns'
"""Executes, in the database's pod, what it reads."""

SERVERS = "app.kubernetes.io/name=powerdns,app.kubernetes.io/component=server"

TUNABLES = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")


def tunables() -> dict[str, str]:
    """Settings of the whole machine that a kubelet, or a bridge, would change."""
    return {name: (Path("/proc/sys") / name).read_text() for name in TUNABLES}


def traces() -> set[str]:
    """What containers leave on a machine where they are not cleared away: interfaces and mounts."""
    interfaces = {path.name for path in Path("/sys/class/net").iterdir()}
    return interfaces | {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()}


def control_groups(name: str) -> list[str]:
    """Those of one cluster, in every hierarchy; another one may get more at any moment."""
    return sorted(str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{name}"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[PodsCluster]:
    """The cluster, with the chart's Secret, a storage class, and the chart itself."""
    with cluster_with_pods() as made:
        level = {"pod-security.kubernetes.io/enforce": "restricted"}
        made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": level}})
        made.apply(secret(), storage_class(), *chart())
        yield made


def secret() -> dict[str, object]:
    """The chart's Secret, as External Secrets fills it."""
    values = {
        "pdns-secret.conf": f"gmysql-password={PASSWORD}\napi-key={API_KEY}\n",
        ACCOUNTS: filled(DATABASE_SECRET.derived[ACCOUNTS], password=PASSWORD),
        ROOT_KEY: f"{ROOT_PASSWORD}{PASSWORD}",
    }
    metadata = {"name": "powerdns", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}


def storage_class() -> dict[str, object]:
    """A class of a driver of which the lab does the work; its volumes are directories, usable on any node."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "ssd"},
        "provisioner": "csi.driver.test",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
    }


def chart() -> list[dict[str, object]]:
    """The chart's objects, without its tests."""
    values = {
        "existingSecret": {"name": "powerdns"},
        "database": {"volume": {"storageClass": "ssd"}},
    }
    objects = rendered("powerdns", values)
    return [each for each in objects if "helm.sh/hook" not in each["metadata"].get("annotations", {})]


def ready(cluster: PodsCluster, selector: str, count: int) -> bool:
    """Whether so many pods are ready, by their own probes, and no others are there."""
    pods = cluster.get("pods", "-n", NAMESPACE, "-l", selector)["items"]
    conditions = [
        condition["status"]
        for pod in pods
        for condition in pod["status"].get("conditions", [])
        if condition["type"] == "Ready"
    ]
    return len(pods) == count and conditions == ["True"] * count


def test_the_servers_and_their_database_become_ready_by_their_own_probes(cluster: PodsCluster) -> None:
    cluster.until("the servers", lambda: ready(cluster, SERVERS, 2))
    pods = cluster.get("pods", "-n", NAMESPACE)["items"]
    assert len(pods) == 3
    assert {pod["status"]["containerStatuses"][0]["imageID"].rpartition("@")[0] for pod in pods} == {
        "docker.io/powerdns/pdns-auth-49",
        "docker.io/library/mariadb",
    }


def test_a_record_made_through_the_api_is_answered_at_the_service_of_the_load_balancer(cluster: PodsCluster) -> None:
    cluster.until("the servers", lambda: ready(cluster, SERVERS, 2))
    api = cluster.get("service", "powerdns-api", "-n", NAMESPACE)["spec"]["clusterIP"]
    rrset = {"name": "www.lab.test.", "type": "A", "ttl": 60, "records": [{"content": "10.77.3.2", "disabled": False}]}
    zone = {"name": "lab.test.", "kind": "Native", "nameservers": ["ns1.lab.test."], "rrsets": [rrset]}
    request = ["curl", "-sSf", "-H", f"X-API-Key: {API_KEY}", "-d", json.dumps(zone)]
    cluster.inside(*request, f"http://{api}:8081/api/v1/servers/localhost/zones")
    # As MetalLB does, which is played.
    status = {"status": {"loadBalancer": {"ingress": [{"ip": ADDRESS, "ipMode": "VIP"}]}}}
    patch = ["patch", "service", "powerdns", "-n", NAMESPACE, "--subresource=status", "--type=merge"]
    cluster.kubectl(*patch, "-p", json.dumps(status))
    dig = str(debian.ensure(PROGRAMS)["dig"])
    question = [dig, f"@{ADDRESS}", "+short", "+time=2", "+tries=1", "www.lab.test", "A"]
    cluster.until("an answer", lambda: cluster.inside(*question, check=False).split() == ["10.77.3.2"])
    cluster.until("one over TCP", lambda: cluster.inside(*question, "+tcp", check=False).split() == ["10.77.3.2"])


def test_a_pod_finds_a_service_by_its_name(cluster: PodsCluster) -> None:
    cluster.until("the servers", lambda: ready(cluster, SERVERS, 2))
    find = ["getent", "hosts", "powerdns-api.dns.svc.cluster.local"]
    address = cluster.get("service", "powerdns-api", "-n", NAMESPACE)["spec"]["clusterIP"]
    cluster.until(
        "the name in a pod",
        lambda: address in cluster.kubectl("exec", "-n", NAMESPACE, "deploy/powerdns", "--", *find, check=False),
    )


def test_a_server_ends_long_before_its_grace_period_and_another_takes_its_place(cluster: PodsCluster) -> None:
    cluster.until("the servers", lambda: ready(cluster, SERVERS, 2))
    pod = cluster.get("pods", "-n", NAMESPACE, "-l", SERVERS)["items"][0]
    name, grace = pod["metadata"]["name"], pod["spec"]["terminationGracePeriodSeconds"]
    cluster.kubectl("delete", "pod", "-n", NAMESPACE, name, "--wait=false")
    seconds = cluster.until(
        "the end of a server",
        lambda: not cluster.kubectl("get", "pod", "-n", NAMESPACE, name, "--ignore-not-found", "-o", "name"),
    )
    assert seconds < grace * 2 / 3
    cluster.until("two servers again", lambda: ready(cluster, SERVERS, 2))


def test_a_killed_database_comes_back_with_its_zones(cluster: PodsCluster) -> None:
    database = "app.kubernetes.io/name=powerdns,app.kubernetes.io/component=database"
    cluster.until("the database", lambda: ready(cluster, database, 1))
    run = ["exec", "-i", "-n", NAMESPACE, "powerdns-database-0", "--", "sh", "-c", MARIADB]
    cluster.kubectl(*run, given="INSERT INTO domains (name, type) VALUES ('kept.test', 'NATIVE')")
    uid = cluster.get("pod", "-n", NAMESPACE, "powerdns-database-0")["metadata"]["uid"]
    cluster.kubectl("delete", "pod", "-n", NAMESPACE, "powerdns-database-0", "--grace-period=0", "--force")
    cluster.until(
        "a new database",
        lambda: (
            ready(cluster, database, 1)
            and cluster.get("pod", "-n", NAMESPACE, "powerdns-database-0")["metadata"]["uid"] != uid
        ),
    )
    assert cluster.kubectl(*run, given="SELECT name FROM domains WHERE name = 'kept.test'").split() == ["kept.test"]


def test_a_pod_without_an_image_is_played_and_says_for_which(cluster: PodsCluster) -> None:
    never = {"exec": {"command": ["/never"]}}
    container = {"name": "main", "image": "example.org/nobody/has-it:1", "readinessProbe": never, "command": ["/never"]}
    spec = {"containers": [container], "nodeSelector": {"kubernetes.io/hostname": "w1"}}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "unknown"}, "spec": spec})
    cluster.until("the pod", lambda: cluster.get("pod", "unknown")["status"]["phase"] == "Running")
    assert cluster.get("pod", "unknown")["metadata"]["annotations"][PLAYED_FOR] == "example.org/nobody/has-it:1"


def test_nothing_is_left_of_a_cluster_that_was_killed() -> None:
    before, settings = traces(), tunables()
    with cluster_with_pods() as made:
        assert control_groups(made.group)
        members = _members(made.first)
        assert len(members) > 10
    deadline = time.monotonic() + PATIENCE
    while left := [
        *control_groups(made.group),
        *(traces() - before),
        *(pid for pid, number in members.items() if _namespace(pid) == number),
    ]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    assert tunables() == settings


def _members(first: int) -> dict[int, str]:
    """Every process of the namespaces, with the namespace's number."""
    own = _namespace(first)
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return {pid: own for pid in pids if _namespace(pid) == own}


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
