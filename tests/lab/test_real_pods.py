"""PowerDNS as stack `prod` has it, in real pods: kubelets, containers, probes and Services, on the lab's control plane.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from components.dns.powerdns_secrets import NAMESPACE
from components.secrets.sealing import PlainSecret, seal
from lab.pods.workloads import PLAYED_FOR
from tests.changing import below
from tests.lab.names_in_pods import DATABASE, SERVERS, look_up, make_zone
from tests.lab.pods_cluster import PodsCluster, cluster_with_pods, coming_up, storage_class, until
from tests.servers.sealed_secrets import installation

MARIADB = 'exec mariadb --user=root --password="$(cat /run/accounts/root-password)" --skip-column-names powerdns'
"""Executes, in the database's pod, what it reads."""

MADE_BY_RUNTIMES = ("/opt/containerd", "/run/nri", "/var/run/nri", "/run/runc")
"""Directories that containerd and runc make on a machine, unless they are told of others."""

KILLED = "137"
"""Exit code of a process that was still there at the end of its pod's grace period: 128 and the number of KILL."""

CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data", "namespace": "default"},
    "spec": {
        "storageClassName": "kept",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    },
}
WRITER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "writer", "namespace": "default", "labels": {"app": "writer"}},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "powerdns/pdns-auth-49:any",
                "command": ["sleep", "infinity"],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    },
}
"""A volume, and a pod that has it."""

TUNABLES = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")


def tunables() -> dict[str, str]:
    """Settings of the whole machine that a kubelet, or a bridge, would change."""
    return {name: (Path("/proc/sys") / name).read_text() for name in TUNABLES}


def traces() -> set[str]:
    """What containers leave on a machine where they are not cleared away: interfaces, mounts, directories."""
    interfaces = {path.name for path in Path("/sys/class/net").iterdir()}
    made = {place for place in MADE_BY_RUNTIMES if Path(place).exists()}
    return interfaces | made | {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()}


def control_groups(name: str) -> list[str]:
    """Those of one cluster, in every hierarchy; another one may get more at any moment."""
    return sorted(str(path) for path in below("/sys/fs/cgroup") if path.name == name)


@pytest.fixture(scope="module")
def cluster(powerdns_in_pods: PodsCluster) -> PodsCluster:
    """The cluster with PowerDNS."""
    return powerdns_in_pods


def test_the_servers_and_their_database_become_ready_by_their_own_probes(cluster: PodsCluster) -> None:
    cluster.until("the servers", lambda: cluster.ready(NAMESPACE, SERVERS, 2))
    pods = cluster.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=powerdns")["items"]
    assert len(pods) == 3
    assert {pod["status"]["containerStatuses"][0]["imageID"].rpartition("@")[0] for pod in pods} == {
        "docker.io/powerdns/pdns-auth-49",
        "docker.io/library/mariadb",
    }


def test_a_record_made_through_the_api_is_answered_at_the_service_of_the_load_balancer(cluster: PodsCluster) -> None:
    cluster.until("the servers", lambda: cluster.ready(NAMESPACE, SERVERS, 2))
    make_zone(cluster, "lab.test", "www.lab.test", "10.77.3.2")
    cluster.until("an answer", lambda: look_up(cluster, "www.lab.test") == ["10.77.3.2"])
    cluster.until("one over TCP", lambda: look_up(cluster, "www.lab.test", "+tcp") == ["10.77.3.2"])


def test_a_pod_finds_a_service_by_its_name(cluster: PodsCluster) -> None:
    cluster.until("the servers", lambda: cluster.ready(NAMESPACE, SERVERS, 2))
    find = ["getent", "hosts", "powerdns-api.powerdns.svc.cluster.local"]
    address = cluster.get("service", "powerdns-api", "-n", NAMESPACE)["spec"]["clusterIP"]
    cluster.until(
        "the name in a pod",
        lambda: address in cluster.kubectl("exec", "-n", NAMESPACE, "deploy/powerdns", "--", *find, check=False),
    )


def test_a_server_ends_by_itself_and_another_takes_its_place(cluster: PodsCluster) -> None:
    cluster.until("the servers", lambda: cluster.ready(NAMESPACE, SERVERS, 2))
    name = cluster.get("pods", "-n", NAMESPACE, "-l", SERVERS)["items"][0]["metadata"]["name"]
    codes = "-ojsonpath={.status.containerStatuses[0].state.terminated.exitCode}{'\\n'}"
    with cluster.watching("pod", "-n", NAMESPACE, name, codes) as watching:
        cluster.kubectl("delete", "pod", "-n", NAMESPACE, name, "--timeout=600s")
        cluster.until("two servers again", lambda: cluster.ready(NAMESPACE, SERVERS, 2))
        said, _ = watching.communicate()
    assert said.split()
    assert KILLED not in said.split()


def test_a_killed_database_comes_back_with_its_zones(cluster: PodsCluster) -> None:
    cluster.until("the database", lambda: cluster.ready(NAMESPACE, DATABASE, 1))
    run = ["exec", "-i", "-n", NAMESPACE, "powerdns-database-0", "--", "sh", "-c", MARIADB]
    cluster.kubectl(*run, given="INSERT INTO domains (name, type) VALUES ('kept.test', 'NATIVE')")
    uid = cluster.get("pod", "-n", NAMESPACE, "powerdns-database-0")["metadata"]["uid"]
    cluster.kubectl("delete", "pod", "-n", NAMESPACE, "powerdns-database-0", "--grace-period=0", "--force")
    cluster.until(
        "a new database",
        lambda: (
            cluster.ready(NAMESPACE, DATABASE, 1)
            and cluster.get("pod", "-n", NAMESPACE, "powerdns-database-0")["metadata"]["uid"] != uid
        ),
    )
    assert cluster.kubectl(*run, given="SELECT name FROM domains WHERE name = 'kept.test'").split() == ["kept.test"]


def test_a_sealed_value_reaches_a_pod(cluster: PodsCluster, tmp_path: Path) -> None:
    """By the real controller, as a pod of its own chart, and in a volume of the pod that reads it."""
    brought = installation(tmp_path)
    cluster.apply(*brought.objects)
    cluster.kubectl("wait", "--for=condition=Established", "crd/sealedsecrets.bitnami.com", "--timeout=600s")
    cluster.apply(seal(PlainSecret(namespace="default", name="sealed", data={"word": b"opened"}), brought.certificate))
    volume = {"name": "sealed", "secret": {"secretName": "sealed"}}
    container = {
        "name": "main",
        "image": "powerdns/pdns-auth-49:any",
        "command": ["sleep", "infinity"],
        "volumeMounts": [{"name": "sealed", "mountPath": "/sealed"}],
    }
    spec = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 0}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader"}, "spec": spec})
    read = ("exec", "reader", "--", "cat", "/sealed/word")
    cluster.until("the value", lambda: cluster.kubectl(*read, check=False) == "opened")
    # Its work may be done before the kubelet asks its probe for the first time.
    controller = ("kube-system", "app.kubernetes.io/name=sealed-secrets", 1)
    cluster.until("the controller by its own probe", lambda: cluster.ready(*controller))


def test_a_pod_without_an_image_is_played_and_says_for_which(cluster: PodsCluster) -> None:
    never = {"exec": {"command": ["/never"]}}
    container = {"name": "main", "image": "example.org/nobody/has-it:1", "readinessProbe": never, "command": ["/never"]}
    spec = {"containers": [container], "nodeSelector": {"kubernetes.io/hostname": "w1"}}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "unknown"}, "spec": spec})
    cluster.until("the pod", lambda: cluster.get("pod", "unknown")["status"]["phase"] == "Running")
    assert cluster.get("pod", "unknown")["metadata"]["annotations"][PLAYED_FOR] == "example.org/nobody/has-it:1"


def test_nothing_is_left_of_a_cluster_that_was_killed(cluster: PodsCluster) -> None:
    """Another one beside it, which has the same addresses, goes on."""
    cluster.until("the servers", lambda: cluster.ready(NAMESPACE, SERVERS, 2))
    of_the_other = control_groups(cluster.group)
    before, settings, devices = traces(), tunables(), loops()
    with cluster_with_pods(["powerdns"]) as made:
        assert control_groups(made.group)
        made.namespace("default")
        made.apply(storage_class("kept"), CLAIM, WRITER)
        made.until("a pod with a volume", lambda: made.ready("default", "app=writer", 1))
        assert loops() - devices
        members = _members(made.first)
        assert len(members) > 10

    def left() -> list[object]:
        processes = [pid for pid, number in members.items() if _namespace(pid) == number]
        return [*control_groups(made.group), *(traces() - before), *(loops() - devices), *processes]

    until("nothing", lambda: not left(), lambda: f"left: {left()}")
    assert tunables() == settings
    assert control_groups(cluster.group) == of_the_other
    assert cluster.ready(NAMESPACE, SERVERS, 2)


@pytest.mark.parametrize("begun", ["nodes.json", "control.sock", "state/kubernetes/pki/lab.kubeconfig"])
def test_nothing_is_left_of_a_cluster_that_was_killed_while_it_came_up(begun: str) -> None:
    before, settings = traces(), tunables()
    with coming_up() as made:
        made.until(begun)
        number = _namespace(made.first())

    def left() -> list[object]:
        running = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        processes = [pid for pid in running if number and _namespace(int(pid)) == number]
        return [*control_groups(made.group), *(traces() - before), *processes]

    until("nothing", lambda: not left(), lambda: f"left: {left()}")
    assert tunables() == settings


def loops() -> set[str]:
    """The files that devices of this machine stand for."""
    listed = ["losetup", "--list", "--noheadings", "--output=BACK-FILE"]
    return set(subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\n"))


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
