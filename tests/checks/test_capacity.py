"""What the pods of the repository's own platforms request, beside what their nodes have."""

from __future__ import annotations

from functools import cache

from checks.capacity import fits, lines, table
from checks.model import records
from checks.model.building import Sources, build
from checks.model.platform import Platform
from checks.program import ROOT, recorded_with_settings
from checks.rules.capacity import room
from tests.checks.platforms import tools


@cache
def platform() -> Platform:
    graph, settings = recorded_with_settings("lab")
    known = records.read(ROOT / "charts" / "records")
    return build("lab", graph, settings, known, Sources(helm=tools()["helm"], manifests=tools()["manifests"]))


def test_everything_that_is_on_by_default_fits_two_workers_of_8_cores_and_32_gib_with_one_down() -> None:
    assert room(platform(), "memory") == ({"worker-0": 32 * 2**30, "worker-1": 32 * 2**30}, 32 * 2**30)
    assert room(platform(), "cpu")[1] == 8
    assert fits(platform()), "\n".join(lines(platform()))


def test_pods_that_operators_make_count() -> None:
    # Prometheus alone asks for 1 GiB, two servers of Gitea's database for 512 MiB.
    amounts = dict(table(platform()))
    assert amounts["monitoring"]["memory"] > 2**30
    assert amounts["gitea"]["memory"] >= 2**29


def test_a_pod_on_each_node_counts_for_each_worker() -> None:
    assert dict(table(platform()))["node-exporter"]["memory"] == 2 * 32 * 2**20


def test_the_table_ends_with_what_is_asked_and_what_is_there() -> None:
    *_, asked, there = lines(platform())
    assert asked.startswith("requested ")
    assert there.split() == ["there", "with", "a", "node", "down", "8.00", "32.00"]
