"""The whole program on a lab: what a first `up` brings, and that a second one and a refresh find nothing to change."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from datetime import datetime
from typing import Any

from components.network import kubelet_certificates
from tests.lab.live import VMS, LiveLab

ISSUED = "kubelet-certificate"
"""The lab's note that a kubelet has got one."""


def kubectl(lab: LiveLab, *arguments: str) -> Any:
    return json.loads(lab.run("kubectl", *arguments, "-o", "json").stdout)


def seconds(time: str) -> float:
    """A time of the journal, which has nanoseconds, in seconds."""
    return datetime.fromisoformat(time[:26].rstrip("Z")).timestamp()


def events_after(lab: LiveLab, seq: int) -> list[dict[str, Any]]:
    return list(lab.nodes("GET", f"/events?since={seq}"))


def test_five_nodes_are_ready_with_their_topology(lab: LiveLab) -> None:
    nodes = {node["metadata"]["name"]: node for node in kubectl(lab, "get", "nodes")["items"]}
    ready = {
        name: next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
        for name, node in nodes.items()
    }
    assert ready == dict.fromkeys(VMS, "True")
    assert nodes["worker-0"]["spec"]["providerID"] == "proxmox://lab/2001"
    assert nodes["worker-0"]["metadata"]["labels"]["topology.kubernetes.io/region"] == "lab"
    assert nodes["worker-0"]["metadata"]["labels"]["topology.kubernetes.io/zone"] == "pve1"


def test_no_kubelet_has_a_certificate_before_somebody_approves_its_request(lab: LiveLab) -> None:
    approver = kubectl(lab, "-n", kubelet_certificates.NAMESPACE, "get", "deployment", "kubelet-csr-approver")
    began = datetime.fromisoformat(approver["metadata"]["creationTimestamp"]).timestamp()
    issued = {event["name"]: seconds(event["time"]) for event in events_after(lab, 0) if event["kind"] == ISSUED}
    assert set(VMS) <= set(issued)
    assert min(issued.values()) >= began


def test_a_kubelets_certificate_is_the_clusters_and_for_its_address(lab: LiveLab) -> None:
    kubeconfig = json.loads(lab.run("kubectl", "config", "view", "--raw", "-o", "json").stdout)
    authority = base64.b64decode(kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    verifying = ssl.create_default_context(cadata=authority)
    for node in kubectl(lab, "get", "nodes")["items"]:
        address = next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP")
        with (
            socket.create_connection((address, 10250), timeout=10) as connection,
            verifying.wrap_socket(connection, server_hostname=address) as encrypted,
        ):
            names = encrypted.getpeercert()
        assert names is not None
        assert ("DNS", node["metadata"]["name"]) in names["subjectAltName"]


def test_cilium_runs_on_every_node(lab: LiveLab) -> None:
    pods = kubectl(lab, "-n", "kube-system", "get", "pods", "--selector", "k8s-app=cilium")["items"]
    ready = {
        pod["spec"]["nodeName"]
        for pod in pods
        if {"type": "Ready", "status": "True"}.items()
        <= {c["type"]: c for c in pod["status"]["conditions"]}["Ready"].items()
    }
    # The pod of a node that left in another test is collected some time after its node.
    assert set(VMS) <= ready


def test_the_kubeconfig_of_the_lab_is_the_stacks(lab: LiveLab) -> None:
    outputs = json.loads(lab.run("pulumi", "stack", "output", "--json", "--show-secrets").stdout)
    assert outputs["kubeconfig"] == lab.session.kubeconfig.read_text()


def test_a_second_up_changes_nothing(lab: LiveLab) -> None:
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout


def test_a_refresh_finds_nothing_changed(lab: LiveLab) -> None:
    refreshed = lab.run("pulumi", "refresh", "--yes", "--skip-preview", "--non-interactive", "--expect-no-changes")
    assert refreshed.returncode == 0, refreshed.stdout


def test_a_claim_whose_pod_has_a_node_is_bound(lab: LiveLab) -> None:
    [claim] = kubectl(lab, "-n", "powerdns", "get", "pvc")["items"]
    assert claim["status"]["phase"] == "Bound"


def test_a_claim_that_no_pod_uses_waits(lab: LiveLab) -> None:
    claim = kubectl(lab, "-n", "authentik", "get", "pvc", "authentik-postgres-backup")
    assert claim["status"]["phase"] == "Pending"
