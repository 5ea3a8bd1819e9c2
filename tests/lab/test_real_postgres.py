"""The program's database in real pods: its servers, a copy of it, and a primary that goes while rows are written.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

import time

import pytest

from tests.lab.pods_cluster import PodsCluster
from tests.lab.postgres_in_pods import (
    NAME,
    NAMESPACE,
    OPERATOR,
    OPERATOR_NAMESPACE,
    SERVERS,
    client,
    database,
    primary,
)
from tests.servers import names
from tests.servers.manifests import manifests

WRITER, READER = "writer", "reader"

WRITE = """
until psql -qXc 'create table if not exists written (number bigint)' 2>/dev/null; do :; done
number=0
while :; do
  number=$((number + 1))
  psql -qXc "insert into written values ($number)" 2>/dev/null && echo "$number"
done
"""
"""Says each number once the database has confirmed its row."""


@pytest.fixture(scope="module")
def cluster(postgres_pods: PodsCluster) -> PodsCluster:
    """The cluster with the program's database, whose servers are ready."""
    postgres_pods.until("the servers", lambda: postgres_pods.ready(NAMESPACE, SERVERS, size()))
    return postgres_pods


def size() -> int:
    return int(database()["spec"]["instances"])


def confirmed(cluster: PodsCluster) -> list[int]:
    """The numbers whose rows the database confirmed, in order; none while the writer has not started."""
    return [int(line) for line in cluster.kubectl("logs", "-n", NAMESPACE, WRITER, check=False).split()]


def asked(cluster: PodsCluster, question: str) -> list[str]:
    """What the primary answers to its owner."""
    run = ["exec", "-n", NAMESPACE, READER, "--", "psql", "-qXAtc", question]
    return cluster.kubectl(*run, check=False).split()


def test_the_operator_and_both_servers_are_ready_by_their_own_probes(cluster: PodsCluster) -> None:
    cluster.until("the operator", lambda: cluster.ready(OPERATOR_NAMESPACE, OPERATOR, 2))
    cluster.until("the servers", lambda: cluster.ready(NAMESPACE, SERVERS, size()))
    cluster.kubectl("wait", "--for=condition=Ready", f"clusters.postgresql.cnpg.io/{NAME}", "-n", NAMESPACE)


def test_the_nightly_copy_can_be_read_back(cluster: PodsCluster) -> None:
    """By the program's CronJob, whose command reads the list of what it wrote."""
    [job] = [item for item in manifests(names.graph(), "CronJob") if item["metadata"]["namespace"] == NAMESPACE]
    claims = manifests(names.graph(), "PersistentVolumeClaim")
    cluster.apply(*(item for item in claims if item["metadata"]["namespace"] == NAMESPACE), job)
    cluster.kubectl("create", "job", "copy", "-n", NAMESPACE, f"--from=cronjob/{job['metadata']['name']}")

    def done() -> bool:
        status = cluster.get("job", "copy", "-n", NAMESPACE)["status"]
        assert "failed" not in status, cluster.kubectl("logs", "-n", NAMESPACE, "job/copy", check=False)
        return "succeeded" in status

    cluster.until("the copy", done)


def test_no_confirmed_row_is_lost_with_the_primary(cluster: PodsCluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.apply(client(WRITER, WRITE), client(READER, "sleep infinity"))
    cluster.until("some rows", lambda: len(confirmed(cluster)) > 20)
    first = primary(cluster)
    began = time.monotonic()
    # As with a node that is gone: it hands nothing over.
    cluster.kubectl("delete", "pod", first, "-n", NAMESPACE, "--wait=false", "--grace-period=0", "--force")
    cluster.until("another primary", lambda: primary(cluster) not in ("", first))
    so_far = confirmed(cluster)[-1]
    cluster.until("a row that it confirms", lambda: confirmed(cluster)[-1] > so_far)
    took = time.monotonic() - began
    cluster.until("both servers again", lambda: cluster.ready(NAMESPACE, SERVERS, size()))
    said = confirmed(cluster)
    there = {int(number) for number in asked(cluster, "select number from written")}
    with capsys.disabled():
        print(f"\n  a primary that went: {len(said)} rows confirmed, the first by another one after {took:.1f} s")
    assert set(said) <= there
