"""Releases held against the charts of a mirror, the record of it, and the command."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi_kubernetes.helm.v3 import Release, ReleaseArgs, RepositoryOptsArgs

from checks.charts import __main__ as command
from checks.charts.examine import Examination, examine
from checks.charts.record import Checked, read, unrecorded, write
from checks.charts.releases import ChartRelease, of_graph, of_program, pins
from checks.graph import Graph, record
from components.kit.versions import CILIUM, ChartPin
from lab import programs
from tests.checks.helm_charts import NAME, PIN, VERSION, pack, release_of, write_chart

RECORD = {NAME: Checked(VERSION, frozenset({"image.tag", "podAnnotations.*"}))}


def examined(
    mirror: Path, *values: dict[str, Any], only_present: bool = False, helm: Path | None = None
) -> Examination:
    return examine([release_of(v) for v in values], mirror=mirror, helm=helm, only_present=only_present)


def messages(found: Examination) -> list[str]:
    return [f"{finding.rule}: {finding.message}" for finding in sorted(found.findings)]


def test_known_keys_are_checked(tmp_path: Path) -> None:
    write_chart(tmp_path, "a: 1\nb: {c: 2}")
    found = examined(tmp_path, {"a": 2}, {"b": {"c": 3}})
    assert (found.checked, messages(found)) == ({NAME: Checked(VERSION, frozenset({"a", "b.c"}))}, [])


def test_an_unknown_key_is_a_finding_with_the_line_of_the_release(tmp_path: Path) -> None:
    write_chart(tmp_path, "level: 1")
    [finding] = examined(tmp_path, {"levle": 2}).findings
    expected = "program.py:7: release demo: demo 1.2.3 has no value levle: did you mean level? [chart-values]"
    assert str(finding) == expected


def test_a_missing_chart_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    [message] = messages(examined(tmp_path, {}))
    assert "neither demo-1.2.3.tgz nor demo/Chart.yaml" in message
    assert "helm pull demo --repo https://charts.example.org --version 1.2.3" in message


def test_a_missing_chart_may_pass_and_is_still_named(tmp_path: Path) -> None:
    found = examine([release_of({})], mirror=tmp_path, helm=None, only_present=True)
    assert (found.missing, messages(found)) == ({"demo 1.2.3"}, [])


def test_an_archive_that_holds_another_version_than_its_name_is_refused(tmp_path: Path) -> None:
    pack(write_chart(tmp_path / "src", "a: 1", version="1.2.2"), tmp_path / "demo-1.2.3.tgz")
    found = examined(tmp_path, {"a": 1})
    assert messages(found) == [
        f"chart-version: {tmp_path}/demo-1.2.3.tgz holds demo 1.2.2, and demo 1.2.3 is pinned: put that one there"
    ]
    assert found.checked == {}


def test_a_v_before_the_version_is_the_same_version(tmp_path: Path) -> None:
    pack(write_chart(tmp_path / "src", "a: 1", version="v1.2.3"), tmp_path / "demo-1.2.3.tgz")
    assert messages(examined(tmp_path, {"a": 1})) == []


def test_what_helm_says_is_a_finding(tmp_path: Path, helm: Path) -> None:
    write_chart(tmp_path, "a: 1", templates='  a: {{ fail "not so" }}')
    [message] = messages(examined(tmp_path, {"a": 2}, helm=helm))
    assert re.match(r"chart-render: .*not so", message)


def test_a_chart_of_this_repository_is_looked_up_without_a_mirror(tmp_path: Path) -> None:
    release = release_of({"levle": 1}, path=write_chart(tmp_path, "level: 1"))
    [message] = messages(examine([release], mirror=None, helm=None))
    assert message == "chart-values: demo 1.2.3 has no value levle: did you mean level?"


def test_what_is_in_the_record_passes() -> None:
    assert unrecorded([release_of({"image": {"tag": "x"}, "podAnnotations": {"a": "b"}})], RECORD) == []


@pytest.mark.parametrize(
    ("release", "message"),
    [
        (release_of({"image": {"name": 1}}), "nobody looked up whether demo 1.2.3 knows image.name"),
        (
            release_of({}, dataclasses.replace(PIN, version="1.2.4")),
            "demo 1.2.4 is pinned, and charts/checked.yaml holds demo 1.2.3",
        ),
        (
            release_of({}, ChartPin("other", "1.0.0", "")),
            "other 1.0.0 is pinned, and charts/checked.yaml holds no other",
        ),
    ],
    ids=["key", "version", "chart"],
)
def test_what_is_not_in_the_record_is_a_finding(release: ChartRelease, message: str) -> None:
    [finding] = unrecorded([release], RECORD)
    assert finding.message.startswith(message)


def test_the_remedy_is_the_command_that_records() -> None:
    [finding] = unrecorded([release_of({"a": 1})], RECORD)
    assert "demo-1.2.3.tgz" in finding.message
    assert finding.message.endswith("make charts CHARTS_MIRROR=DIRECTORY")


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(RECORD, tmp_path / "checked.yaml")
    assert read(tmp_path / "checked.yaml") == RECORD


def release_graph(values: Callable[[], dict[str, Any]] = dict, **inputs: Any) -> Graph:
    """The graph of a program with one release; Outputs among its values are made while it runs."""

    def program() -> None:
        arguments = {"chart": "demo", "version": "1.2.3", "namespace": "apps", **inputs}
        Release("demo", ReleaseArgs(values=values(), **arguments))

    return record(program)


def test_a_release_s_values_are_as_yaml_has_them() -> None:
    graph = release_graph(lambda: {"port": 7445, "ratio": 0.5, "key": pulumi.Output.secret("hidden"), "list": [1]})
    [release] = of_graph(graph, "v1.36.3")
    assert release.values == {"port": 7445, "ratio": 0.5, "key": "hidden", "list": [1]}


@pytest.mark.parametrize(
    ("inputs", "pin"),
    [
        ({"repository_opts": RepositoryOptsArgs(repo="https://charts.example.org")}, PIN),
        ({"chart": "oci://example.org/charts/demo"}, ChartPin("demo", "1.2.3", "oci://example.org/charts")),
    ],
    ids=["repository", "registry"],
)
def test_a_release_s_chart_is_pinned_by_name_version_and_source(inputs: dict[str, Any], pin: ChartPin) -> None:
    [release] = of_graph(release_graph(**inputs), "v1.36.3")
    assert release.pin == pin


def test_a_release_without_a_version_is_refused() -> None:
    with pytest.raises(ValueError, match="chart 'demo' without a version"):
        of_graph(release_graph(version=None), "v1.36.3")


def test_two_versions_of_one_chart_are_refused() -> None:
    other = release_of({}, dataclasses.replace(PIN, version="2.0.0"))
    with pytest.raises(ValueError, match="pin one"):
        pins([release_of({}), other])


@pytest.fixture(autouse=True)
def one_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command with one of the repository's stacks: each takes half a minute in all its shapes."""
    monkeypatch.setattr(command, "STACKS", ("lab",))


def run(*arguments: str | Path) -> int:
    manifests = programs.ensure(["manifests"])["manifests"].path
    return command.main([str(argument) for argument in (*arguments, "--manifests", manifests)])


def recorded(mirror: Path, helm: Path, checked: Path) -> int:
    """What the charts of the mirror know and make, written beside each other and not into the repository."""
    beside = ("--checked", checked, "--records", checked.parent / "records")
    return run("--mirror", mirror, "--only-present", "--record", "--helm", helm, *beside)


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    """What the program gives to Cilium."""
    [release] = [found for found in of_program(["lab"]) if found.pin and found.pin.name == CILIUM.name]
    return release.values


def cilium(mirror: Path, values: dict[str, Any]) -> Path:
    """A mirror with a chart of Cilium's name and version."""
    write_chart(mirror, yaml.safe_dump(values), name=CILIUM.name, version=CILIUM.version, templates="  a: b")
    return mirror


@pytest.mark.parametrize(("known", "status"), [(True, 0), (False, 1)], ids=["all", "one"])
def test_the_command_s_status_says_whether_the_charts_know_all(
    tmp_path: Path, given: dict[str, Any], known: bool, status: int
) -> None:
    assert run("--mirror", cilium(tmp_path, given if known else {"other": 1}), "--only-present") == status


def test_the_command_names_a_chart_that_the_mirror_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--mirror", tmp_path) == 1
    assert f"helm pull {CILIUM.name} --repo {CILIUM.repository}" in capsys.readouterr().out


def test_what_was_recorded_passes(tmp_path: Path, given: dict[str, Any], helm: Path) -> None:
    mirror, checked = cilium(tmp_path / "mirror", given), tmp_path / "checked.yaml"
    recorded(mirror, helm, checked)
    assert unrecorded([release_of(given, CILIUM)], read(checked)) == []


def test_a_chart_that_the_mirror_lacks_keeps_its_record(tmp_path: Path, helm: Path) -> None:
    checked = tmp_path / "checked.yaml"
    before = {CILIUM.name: Checked(CILIUM.version, frozenset({"ipam.mode"}))}
    write(before, checked)
    recorded(tmp_path, helm, checked)
    assert read(checked) == before


def test_a_chart_that_the_program_no_longer_uses_leaves_the_record(tmp_path: Path, helm: Path) -> None:
    checked = tmp_path / "checked.yaml"
    write(RECORD, checked)
    recorded(tmp_path, helm, checked)
    assert read(checked) == {}


def test_nothing_is_recorded_with_a_finding(tmp_path: Path, helm: Path) -> None:
    mirror, checked = cilium(tmp_path / "mirror", {"other": 1}), tmp_path / "checked.yaml"
    assert recorded(mirror, helm, checked) == 1
    assert not checked.exists()


def test_a_record_without_a_mirror_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHARTS_MIRROR", raising=False)
    with pytest.raises(SystemExit, match="2"):
        run("--record", "--checked", tmp_path / "checked.yaml")
