"""How long the program waits for workloads that pull images first."""

from __future__ import annotations

import re

import pytest

from checks.graph import Graph, Node
from checks.program import recorded

RELEASE = "kubernetes:helm.sh/v3:Release"
OWN_PODS = (
    "kubernetes:postgresql.cnpg.io/v1:Cluster",
    "kubernetes:vault.banzaicloud.com/v1alpha1:Vault",
    "kubernetes:fluxcd.controlplane.io/v1:FluxInstance",
)
"""Custom resources whose operators make pods, and which are awaited."""

LINE = 20e6 / 8
"""Bytes per second of the line for which `components/kit/image_pulls.py` speaks."""

LARGEST_STEP = 4e9
"""Bytes that are pulled side by side, at most."""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return recorded()


def seconds(node: Node, operation: str) -> int:
    text = getattr(node.option("customTimeouts"), operation)
    minutes = re.fullmatch(r"(\d+)m", text)
    assert minutes, f"{node.urn} waits {text!r}"
    return int(minutes[1]) * 60


def test_helm_waits_until_a_slow_line_has_brought_the_images(graph: Graph) -> None:
    releases = graph.of_type(RELEASE)
    assert len(releases) > 10
    assert [release.urn for release in releases if release.inputs["timeout"] * LINE < LARGEST_STEP] == []


@pytest.mark.parametrize("operation", ["create", "update"])
def test_the_engine_waits_longer_than_helm(graph: Graph, operation: str) -> None:
    releases = graph.of_type(RELEASE)
    assert releases
    assert [one.urn for one in releases if seconds(one, operation) <= one.inputs["timeout"]] == []


@pytest.mark.parametrize("operation", ["create", "update"])
@pytest.mark.parametrize("kind", OWN_PODS)
def test_pods_of_an_operator_get_as_much_time_as_those_of_a_release(graph: Graph, kind: str, operation: str) -> None:
    made = graph.of_type(kind)
    assert made
    assert [node.urn for node in made if seconds(node, operation) * LINE < LARGEST_STEP] == []


def test_the_state_of_vault_is_looked_at_many_times_while_an_up_waits_for_it(graph: Graph) -> None:
    period = graph[f"{RELEASE} vault-operator"].inputs["values"]["syncPeriod"]
    [vault] = graph.of_type("kubernetes:vault.banzaicloud.com/v1alpha1:Vault")
    looked = re.fullmatch(r"(\d+)s", period)
    assert looked, f"{period!r} is not in seconds"
    assert int(looked[1]) * 20 <= seconds(vault, "create")


PATIENCE = 120
"""Seconds that each of the program's Jobs waits at least for what it asks: an API of which no pod is ready yet."""


def test_a_job_has_the_time_for_its_image_and_for_what_it_waits_for(graph: Graph) -> None:
    jobs = graph.of_type("kubernetes:batch/v1:Job")
    assert jobs
    for job in jobs:
        spec = job.inputs["spec"]
        assert spec["activeDeadlineSeconds"] > PATIENCE, job
        # A node that goes takes a pod along, and a Job that may not start another one would have failed.
        assert spec["backoffLimit"] >= 1, job
        assert seconds(job, "create") > spec["activeDeadlineSeconds"], job
