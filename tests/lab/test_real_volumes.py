"""Storage that refuses: volumes of real pods that are full, used elsewhere, on another host, or too many.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.storage.proxmox_csi import PROVISIONER
from tests.changing import below
from tests.lab.pods_cluster import PodsCluster, storage_class

ZONES = {"w1": "pve1", "w2": "pve2", "w3": "pve3"}
"""The Proxmox host that each node is on."""

GROWING, FIXED = "hosts", "hosts-fixed"
"""Classes of the driver. Those of the platform's names are other tests', whose volumes are usable on any node."""

REGION, ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"

MOST = 24
"""Volumes of Proxmox CSI on one node: docs/options.md of proxmox-csi-plugin."""


@pytest.fixture(scope="module")
def cluster(pods_cluster: PodsCluster) -> Iterator[PodsCluster]:
    """The cluster, whose nodes are on a host each, with a class of the platform's driver, and one that fixes sizes."""
    for node, zone in ZONES.items():
        pods_cluster.kubectl("label", "node", node, "--overwrite", f"{REGION}=lab", f"{ZONE}={zone}")
    pods_cluster.apply(
        storage_class(GROWING) | {"provisioner": PROVISIONER, "allowVolumeExpansion": True},
        storage_class(FIXED) | {"provisioner": PROVISIONER, "allowVolumeExpansion": False},
    )
    yield pods_cluster
    pods_cluster.kubectl("delete", "storageclass", GROWING, FIXED)


@pytest.fixture
def namespace(cluster: PodsCluster) -> Iterator[str]:
    """A namespace of the test's own, which takes its pods and volumes along."""
    name = f"volumes-{secrets.token_hex(3)}"
    cluster.namespace(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--timeout=600s")


def claim(namespace: str, name: str, *, of: str = GROWING, size: str = "1Gi") -> dict[str, Any]:
    """A claim that one node may use at a time."""
    metadata = {"name": name, "namespace": namespace}
    spec = {"storageClassName": of, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def pod(namespace: str, name: str, *claims: str, node: str | None = None) -> dict[str, Any]:
    """A pod, whose user is not root, in which a test runs commands; each claim is mounted below /volumes."""
    mounts = [{"name": each, "mountPath": f"/volumes/{each}"} for each in claims]
    container = {"name": "main", "image": "powerdns/pdns-auth-49:any", "command": ["sleep", "infinity"]}
    spec = {
        "containers": [container | {"volumeMounts": mounts}],
        "volumes": [{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in claims],
        "securityContext": {"runAsUser": 953, "runAsGroup": 953, "fsGroup": 953},
        "terminationGracePeriodSeconds": 0,
    } | ({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {})
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def running(cluster: PodsCluster, namespace: str, name: str) -> None:
    """Waits for a pod."""
    cluster.until(f"pod {name}", lambda: cluster.ready(namespace, f"app={name}", 1))


def within(cluster: PodsCluster, namespace: str, name: str, command: str) -> str:
    """What a command says in a pod, errors too."""
    return cluster.kubectl("exec", "-n", namespace, name, "--", "sh", "-c", f"({command}) 2>&1", check=False)


def take(mebibytes: int, file: str) -> str:
    """The command that takes so much room for a file on the volume `data`."""
    opened = f"os.open('/volumes/data/{file}', os.O_CREAT | os.O_RDWR)"
    return f'python3 -c "import os; os.posix_fallocate({opened}, 0, {mebibytes} << 20)"'


def refused(cluster: PodsCluster, namespace: str, name: str, words: str) -> None:
    """Waits for an event of a pod with these words."""
    about = f"involvedObject.kind=Pod,involvedObject.name={name}"
    said = ("get", "events", "-n", namespace, f"--field-selector={about}", "-ojsonpath={.items[*].message}")
    cluster.until(f"{words!r}", lambda: words in cluster.kubectl(*said))


def gone(cluster: PodsCluster, namespace: str, name: str) -> None:
    """Deletes a pod and waits for its end."""
    cluster.kubectl("delete", "pod", "-n", namespace, name, "--timeout=600s")


def attached(cluster: PodsCluster, namespace: str) -> bool:
    """Whether a node has the volume of the claim `data`."""
    volume = cluster.get("pvc", "-n", namespace, "data")["spec"]["volumeName"]
    on_nodes = cluster.get("volumeattachments")["items"]
    return any(one["spec"]["source"]["persistentVolumeName"] == volume for one in on_nodes)


def test_a_pod_on_a_second_node_waits_until_the_first_one_lets_the_volume_go(
    cluster: PodsCluster, namespace: str
) -> None:
    """Both nodes are on one host for this, so that only the access mode is in the way."""
    shared = storage_class("elsewhere") | {"provisioner": "csi.driver.test"}
    cluster.apply(shared, claim(namespace, "data", of="elsewhere"), pod(namespace, "first", "data", node="w1"))
    running(cluster, namespace, "first")
    assert within(cluster, namespace, "first", "echo kept >/volumes/data/word") == ""
    cluster.apply(pod(namespace, "second", "data", node="w2"))
    refused(cluster, namespace, "second", "Multi-Attach error")
    assert cluster.get("pod", "-n", namespace, "second")["status"]["phase"] == "Pending"
    gone(cluster, namespace, "first")
    running(cluster, namespace, "second")
    assert within(cluster, namespace, "second", "cat /volumes/data/word") == "kept\n"


def test_a_volume_holds_no_more_than_its_size(cluster: PodsCluster, namespace: str) -> None:
    cluster.apply(claim(namespace, "data"), pod(namespace, "writer", "data"))
    running(cluster, namespace, "writer")
    assert within(cluster, namespace, "writer", take(900, "fits")) == ""
    said = within(cluster, namespace, "writer", take(200, "more"))
    assert "No space left on device" in said


def test_a_volume_grows_with_its_claim_when_its_pod_starts_again(cluster: PodsCluster, namespace: str) -> None:
    """At once where the machine lets a mounted file system grow, which needs a privilege that a container may lack."""
    cluster.apply(claim(namespace, "data"), pod(namespace, "writer", "data"))
    running(cluster, namespace, "writer")
    assert within(cluster, namespace, "writer", "echo kept >/volumes/data/word") == ""
    cluster.apply(claim(namespace, "data", size="2Gi"))
    cluster.until(
        "a larger volume",
        lambda: (
            cluster.get("pv", cluster.get("pvc", "-n", namespace, "data")["spec"]["volumeName"])["spec"]["capacity"]
            == {"storage": "2Gi"}
        ),
    )
    gone(cluster, namespace, "writer")
    # A pod that comes at once finds the file system mounted, as it was for the last one.
    cluster.until("a volume on no node", lambda: not attached(cluster, namespace))
    cluster.apply(pod(namespace, "writer", "data"))
    running(cluster, namespace, "writer")
    cluster.until(
        "a claim that has it",
        lambda: cluster.get("pvc", "-n", namespace, "data")["status"]["capacity"] == {"storage": "2Gi"},
    )
    said = within(cluster, namespace, "writer", f"{take(1800, 'more')} && cat /volumes/data/word")
    assert said == "kept\n"


def test_a_claim_of_a_class_that_fixes_sizes_cannot_ask_for_more(cluster: PodsCluster, namespace: str) -> None:
    cluster.apply(claim(namespace, "data", of=FIXED), pod(namespace, "writer", "data"))
    running(cluster, namespace, "writer")
    with pytest.raises(AssertionError, match="storageclass that provisions the pvc must support resize"):
        cluster.apply(claim(namespace, "data", of=FIXED, size="2Gi"))


def test_a_volume_keeps_its_pod_on_the_host_that_it_is_on(cluster: PodsCluster, namespace: str) -> None:
    cluster.apply(claim(namespace, "data"), pod(namespace, "first", "data", node="w1"))
    running(cluster, namespace, "first")
    gone(cluster, namespace, "first")
    with cluster.cordoned("w1"):
        cluster.apply(pod(namespace, "second", "data"))
        refused(cluster, namespace, "second", "didn't match PersistentVolume's node affinity")
        assert "nodeName" not in cluster.get("pod", "-n", namespace, "second")["spec"]
    running(cluster, namespace, "second")
    assert cluster.get("pod", "-n", namespace, "second")["spec"]["nodeName"] == "w1"


def test_a_node_takes_no_more_volumes_than_its_machine_can(cluster: PodsCluster, namespace: str) -> None:
    names = [f"data-{number}" for number in range(MOST + 1)]
    cluster.apply(*(claim(namespace, name) for name in names), pod(namespace, "greedy", *names))
    refused(cluster, namespace, "greedy", "exceed max volume count")


def test_a_deleted_claim_takes_its_volume_along(cluster: PodsCluster, namespace: str) -> None:
    cluster.apply(claim(namespace, "data"), pod(namespace, "writer", "data"))
    running(cluster, namespace, "writer")
    volume = cluster.get("pvc", "-n", namespace, "data")["spec"]["volumeName"]
    [image] = [path for path in below(cluster.directory / "state") if path.name == f"{volume}.img"]
    assert image.stat().st_size == 1 << 30
    assert str(image) in loops()
    gone(cluster, namespace, "writer")
    cluster.kubectl("delete", "pvc", "-n", namespace, "data", "--timeout=600s")
    cluster.until("no volume", lambda: not image.exists() and str(image) not in loops())

    def left() -> list[Path]:
        return [path for path in below(cluster.directory / "state") if path.name.startswith(volume)]

    cluster.until("nothing of it", lambda: not left())


def loops() -> str:
    """The files that devices of this machine stand for."""
    return subprocess.run(
        ["losetup", "--list", "--noheadings", "--output=BACK-FILE"], capture_output=True, text=True, check=True
    ).stdout
