"""The lab's own charts, as far as a test that runs on them would otherwise prove the lab and not the program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.graph import reveal
from checks.model import records
from lab import charts
from tests.charts import helm
from tests.graph.test_conventions import graph_of
from tests.servers.core_dns import corefile

RELEASE = "kubernetes:helm.sh/v3:Release"
TABLE = yaml.safe_load(charts.TABLE.read_text(encoding="utf-8"))
WITH_BUDGETS = sorted(chart for chart, played in TABLE.items() if "disruptionBudgets" in played)
RECORDS = records.read(records.DIRECTORY)


@pytest.mark.parametrize("chart", sorted(name for name in TABLE if name in RECORDS and not RECORDS[name].absent))
def test_every_workload_of_the_labs_chart_is_one_of_the_real_ones(chart: str) -> None:
    real = {(each["kind"], each["metadata"]["name"]) for each in RECORDS[chart].made[-1].objects}
    assert {(each["kind"], each["name"]) for each in TABLE[chart].get("workloads", [])} - real == set()


def budgets(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What each budget says, apart from whose it is, by name."""
    found = (each for each in objects if each["kind"] == "PodDisruptionBudget")
    return {each["metadata"]["name"]: {k: v for k, v in each["spec"].items() if k != "selector"} for each in found}


def played(
    directory: Path, chart: str, values: dict[str, Any], *, real_pods: bool = False, release: str = "release"
) -> list[dict[str, Any]]:
    """What the lab's chart makes with these values."""
    pins = [pin for pin in charts.pinned() if pin.name == chart]
    [archive] = charts.write(directory, pins, real_pods=real_pods)
    given = json.dumps(values, default=str)
    text = helm.run("template", release, str(archive), "--namespace", "there", "-f", "-", given=given)
    return [document for document in yaml.safe_load_all(text) if document]


def values(chart: str) -> list[dict[str, Any]]:
    """What each release of a chart is given."""
    releases = graph_of("prod", known=True).of_type(RELEASE)
    found = [node for node in releases if node.inputs["chart"].rpartition("/")[2] == chart]
    assert found
    return [reveal(node.inputs["values"]) for node in found]


@pytest.mark.parametrize("chart", WITH_BUDGETS)
def test_the_labs_chart_makes_the_budgets_that_the_real_one_makes(tmp_path: Path, chart: str) -> None:
    real = RECORDS[chart].made[-1].objects
    for given in values(chart):
        assert budgets(played(tmp_path, chart, given)) == budgets(real)


@pytest.mark.parametrize("chart", WITH_BUDGETS)
def test_a_budget_that_the_values_drop_is_not_in_the_lab_either(tmp_path: Path, chart: str) -> None:
    for given in values(chart):
        for budget in TABLE[chart]["disruptionBudgets"]:
            *parents, last = budget["values"].split(".")
            tree = given
            for key in parents:
                tree = tree[key]
            tree.pop(last)
        assert budgets(played(tmp_path, chart, given)) == {}


def within(made: Any, real: Any) -> bool:
    """Whether all that is said here is said there, but for what records leave out (checks/model/distil.py)."""
    if isinstance(made, dict) and isinstance(real, dict):
        said = {key: value for key, value in made.items() if key != "topologySpreadConstraints"}
        return all(key in real and within(value, real[key]) for key, value in said.items())
    if isinstance(made, list) and isinstance(real, list):
        return len(made) == len(real) and all(map(within, made, real))
    return bool(made == real)


@pytest.mark.parametrize("chart", sorted(path.name for path in charts.REAL.iterdir()))
def test_a_chart_of_real_pods_makes_what_the_real_one_makes(tmp_path: Path, chart: str) -> None:
    """But for what is not recorded: rules, and texts of ConfigMaps; and for roles of people, and definitions."""
    [given] = values(chart)
    made = {
        (item["kind"], item["metadata"]["name"]): item
        for item in played(tmp_path, chart, given, real_pods=True, release=chart)
    }
    real = {(item["kind"], item["metadata"]["name"]): item for item in RECORDS[chart].made[-1].objects}
    bound = {("ClusterRole", item["roleRef"]["name"]) for item in real.values() if "roleRef" in item}
    people = {key for key in real if key[0] == "ClusterRole"} - bound
    assert made.keys() == {key for key in real if key[0] != "CustomResourceDefinition"} - people
    for key in made:
        parts = [part for part in ("spec", "roleRef") if part in made[key]]
        assert [part for part in parts if not within(made[key][part], real[key][part])] == []


def test_core_dns_in_real_pods_has_the_corefile_of_the_real_chart(tmp_path: Path) -> None:
    [given] = values("coredns")
    [made] = [
        item
        for item in played(tmp_path, "coredns", given, real_pods=True, release="coredns")
        if item["kind"] == "ConfigMap"
    ]
    assert made["data"]["Corefile"].split() == corefile().split()
