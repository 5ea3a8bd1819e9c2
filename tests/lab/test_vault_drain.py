"""Vault on a lab: drained node by node, and changed after its operator wrote to it.

No operator runs there. The tests make of the resource what it would make, and take it away again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.drains import Watch, Workload, drain, kubectl, nodes_of, ready_replicas
from tests.lab.live import VMS, LiveLab
from tests.servers.vault_pods import stateful_set

NAMESPACE = "vault"
SERVERS: Workload = (NAMESPACE, "statefulset/instance")
SELECTOR = "app.kubernetes.io/name=vault,vault_cr=instance"
QUORUM = 2
RESOURCE = "**::vault-instance"


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 270
    while not holds():
        assert time.monotonic() < deadline, f"not in 270 seconds: {what}"
        time.sleep(0.3)


def said_of(lab: LiveLab, verb: str, manifest: object, *more: str) -> Any:
    """What kubectl says that is to do something with a manifest."""
    path = lab.session.directory / "manifest.json"
    path.write_text(json.dumps(manifest))
    try:
        return lab.run("kubectl", verb, "-f", str(path), *more)
    finally:
        path.unlink()


def given(lab: LiveLab, verb: str, manifest: object, *more: str) -> None:
    """Have kubectl apply or replace something."""
    done = said_of(lab, verb, manifest, *more)
    assert done.returncode == 0, done.stdout


def pods(lab: LiveLab) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kubectl(lab, "-n", NAMESPACE, "get", "pods", "-l", SELECTOR)["items"]
    return found


def hosts(lab: LiveLab) -> list[str]:
    """The Proxmox host of each ready server."""
    zones = {
        node["metadata"]["name"]: node["metadata"]["labels"]["topology.kubernetes.io/zone"]
        for node in kubectl(lab, "get", "nodes")["items"]
    }
    return sorted(zones[node] for node in nodes_of(lab, *SERVERS))


def wait_until_complete(lab: LiveLab) -> None:
    """Until three servers are ready, and their budget lets one go."""

    def complete() -> bool:
        budget = kubectl(lab, "-n", NAMESPACE, "get", "poddisruptionbudget/instance")["status"]
        ready = ready_replicas(lab, [SERVERS])[SERVERS[1]]
        return ready == len(nodes_of(lab, *SERVERS)) == 3 and budget["disruptionsAllowed"] == 1

    until(complete, "three servers")


@pytest.fixture(scope="module")
def servers(lab: LiveLab) -> Iterator[LiveLab]:
    """The lab with three servers of its Vault resource."""
    given(lab, "apply", stateful_set(kubectl(lab, "-n", NAMESPACE, "get", "vault/instance")))
    try:
        wait_until_complete(lab)
        yield lab
    finally:
        lab.run("kubectl", "-n", NAMESPACE, "delete", SERVERS[1], "--cascade=foreground", "--timeout=180s")
        claims = kubectl(lab, "-n", NAMESPACE, "get", "persistentvolumeclaims", "-l", SELECTOR)["items"]
        lab.run("kubectl", "-n", NAMESPACE, "delete", "persistentvolumeclaims", "-l", SELECTOR, "--timeout=180s")
        # Their class retains them.
        volumes = [claim["spec"]["volumeName"] for claim in claims if "volumeName" in claim["spec"]]
        lab.run("kubectl", "delete", "persistentvolumes", "--timeout=180s", *volumes)


def evicted(lab: LiveLab, node: str) -> Any:
    """What the API says at once to a single try to evict the server of a node; a drain tries on and on."""
    [name] = [pod["metadata"]["name"] for pod in pods(lab) if pod["spec"].get("nodeName") == node]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
    return said_of(lab, "create", eviction, "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction")


@contextmanager
def cordoned(lab: LiveLab) -> Iterator[None]:
    """While no node takes a further pod; afterwards every node does."""
    try:
        lab.run("kubectl", "cordon", *VMS)
        yield
    finally:
        lab.run("kubectl", "uncordon", *VMS)


def test_each_server_has_a_node_and_a_host_of_its_own(servers: LiveLab) -> None:
    assert len(set(nodes_of(servers, *SERVERS))) == 3
    assert hosts(servers) == ["pve1", "pve2", "pve3"]


def test_each_server_has_a_volume(servers: LiveLab) -> None:
    claims = kubectl(servers, "-n", NAMESPACE, "get", "persistentvolumeclaims", "-l", SELECTOR)["items"]
    assert [claim["status"]["phase"] for claim in claims] == ["Bound"] * 3


@pytest.mark.parametrize("node", VMS)
def test_draining_any_one_node_leaves_a_quorum(servers: LiveLab, node: str) -> None:
    """No server finds another node, as where a volume cannot leave its Proxmox host."""
    watch = Watch(servers, [SERVERS])
    before = nodes_of(servers, *SERVERS)
    after = [each for each in before if each != node]
    with cordoned(servers), watch.running():
        drained = drain(servers, node, 270, f"--pod-selector={SELECTOR}")
        assert drained.returncode == 0, drained.stdout
        until(lambda: nodes_of(servers, *SERVERS) == after, f"{node} is without a server, and no other")
    wait_until_complete(servers)
    assert watch.fewest[SERVERS[1]] >= QUORUM


def test_a_second_server_stays_while_the_first_one_is_away(servers: LiveLab) -> None:
    first, second, third = nodes_of(servers, *SERVERS)
    with cordoned(servers):
        gone = drain(servers, first, 270, f"--pod-selector={SELECTOR}")
        assert gone.returncode == 0, gone.stdout
        until(lambda: nodes_of(servers, *SERVERS) == [second, third], f"{first} is without a server, and no other")
        stays = evicted(servers, second)
        left = nodes_of(servers, *SERVERS)
    assert "would violate the pod's disruption budget" in stays.stdout, stays.stdout
    assert left == [second, third]
    wait_until_complete(servers)


def test_sealed_servers_do_not_hold_up_a_drain(servers: LiveLab) -> None:
    sealed = {"status": {"conditions": [{"type": each, "status": "False"} for each in ("ContainersReady", "Ready")]}}
    for pod in pods(servers):
        name = pod["metadata"]["name"]
        arguments = ("-n", NAMESPACE, "patch", f"pod/{name}", "--subresource=status", "-p", json.dumps(sealed))
        assert servers.run("kubectl", *arguments).returncode == 0
    node = pods(servers)[0]["spec"]["nodeName"]
    try:
        until(lambda: nodes_of(servers, *SERVERS) == [], "no server is ready")
        drained = drain(servers, node, 270, f"--pod-selector={SELECTOR}")
        assert drained.returncode == 0, drained.stdout
    finally:
        servers.run("kubectl", "uncordon", node)
        servers.run("kubectl", "-n", NAMESPACE, "delete", "pods", "-l", SELECTOR)
    wait_until_complete(servers)


def test_a_resource_that_the_operator_wrote_back_can_still_be_changed(lab: LiveLab) -> None:
    """With its status it writes the whole resource, and an empty `resources` into each container."""
    written = kubectl(lab, "-n", NAMESPACE, "get", "vault/instance")
    for pod in ("vaultPodSpec", "vaultConfigurerPodSpec"):
        for container in written["spec"][pod]["containers"]:
            container["resources"] = {}
    given(lab, "replace", written, "--field-manager=vault-operator")
    assert lab.up("--expect-no-changes").returncode == 0

    def other_domain(settings: dict[str, Any]) -> None:
        settings["cluster"]["domain"] = "other.home.arpa"

    with lab.changed(other_domain):
        changed = lab.up("--target", RESOURCE)
    found = kubectl(lab, "-n", NAMESPACE, "get", "vault/instance")["spec"]["vaultPodSpec"]["hostAliases"]
    again = lab.up("--target", RESOURCE)
    assert changed.returncode == 0, changed.stdout
    assert [alias["hostnames"] for alias in found] == [["auth.other.home.arpa"]]
    assert again.returncode == 0, again.stdout
