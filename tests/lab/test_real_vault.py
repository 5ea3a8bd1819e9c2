"""Vault in real pods: three servers that unseal themselves, one of which is killed.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.pods_cluster import PodsCluster
from tests.lab.vault_in_pods import NAMESPACE, SERVERS, SIZE, ask


@pytest.fixture(scope="module")
def cluster(vault_pods: PodsCluster) -> PodsCluster:
    """The cluster with Vault, whose servers each want a node of their own."""
    vault_pods.until("three servers", lambda: vault_pods.ready(NAMESPACE, SERVERS, SIZE))
    return vault_pods


def leader(cluster: PodsCluster) -> str:
    """The server that says of itself that it is the active one."""
    pods = cluster.get("pods", "-n", NAMESPACE, "-l", f"{SERVERS},vault-active=true")["items"]
    return pods[0]["metadata"]["name"] if len(pods) == 1 else ""


def test_three_servers_are_members_and_one_of_them_leads(cluster: PodsCluster) -> None:
    members = ask(cluster, "GET", "sys/storage/raft/configuration")["data"]["config"]["servers"]
    assert sorted(each["node_id"] for each in members) == [f"instance-{index}" for index in range(SIZE)]
    assert leader(cluster)


def test_the_configurer_has_made_the_programs_engine_and_roles(cluster: PodsCluster) -> None:
    def role() -> dict[str, Any]:
        return dict(ask(cluster, "GET", "auth/kubernetes/role/external-secrets").get("data") or {})

    cluster.until("the role", lambda: role().get("token_policies") == ["external-secrets"])


def test_a_killed_leader_comes_back_unsealed_and_another_leads_meanwhile(
    cluster: PodsCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.until("the engine", lambda: "kv/" in ask(cluster, "GET", "sys/mounts").get("data", {}))
    written = {"data": {"word": "kept"}, "options": {"cas": 0}}
    cluster.until("a written secret", lambda: "data" in ask(cluster, "POST", "kv/data/test/kept", written))
    first = leader(cluster)
    uid = cluster.get("pod", first, "-n", NAMESPACE)["metadata"]["uid"]
    cluster.kubectl("delete", "pod", first, "-n", NAMESPACE, "--grace-period=0", "--force")
    took = cluster.until(
        "the secret from another leader",
        lambda: (
            leader(cluster) not in ("", first)
            and ask(cluster, "GET", "kv/data/test/kept").get("data", {}).get("data") == {"word": "kept"}
        ),
    )
    back = cluster.until(
        "three servers again",
        lambda: (
            cluster.ready(NAMESPACE, SERVERS, SIZE)
            and cluster.get("pod", first, "-n", NAMESPACE)["metadata"]["uid"] != uid
        ),
    )
    with capsys.disabled():
        print(f"\n  a killed leader: another answered after {took:.1f} s, and it was back {back:.1f} s later")
