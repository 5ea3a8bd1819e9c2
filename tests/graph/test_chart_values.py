"""What the program and Flux give to Helm charts was looked up in the real charts, which are not here."""

from __future__ import annotations

import pytest

from checks.charts.__main__ import STACKS
from checks.charts.examine import examine
from checks.charts.gitops import of_repository
from checks.charts.record import FILE, read, unrecorded
from checks.charts.releases import ChartRelease, pins
from checks.gitops import tree
from lab import programs


@pytest.fixture(scope="module")
def releases() -> list[ChartRelease]:
    return of_repository(STACKS, programs.ensure(["manifests"])["manifests"].path)


def test_every_key_was_looked_up_in_exactly_the_pinned_chart(releases: list[ChartRelease]) -> None:
    assert [str(finding) for finding in unrecorded(releases, read(FILE))] == []


def test_our_own_charts_know_every_key(releases: list[ChartRelease]) -> None:
    assert [str(finding) for finding in examine(releases, mirror=None, helm=None).findings] == []


def test_the_record_holds_only_charts_that_are_installed(releases: list[ChartRelease]) -> None:
    assert set(read(FILE)) - set(pins(releases)) == set()


def test_the_chart_of_an_application_that_is_off_is_looked_up_too(releases: list[ChartRelease]) -> None:
    assert {pin.name for pin in tree.pins()} <= set(pins(releases))
