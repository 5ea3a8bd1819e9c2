"""Stack `prod` rehearsed with real pods: up, up again, destroy, nothing left, and what each workload was.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

import os
import re
import sys

import pytest

from tests.lab.live import completed
from tests.lab.pods_cluster import refuse_without_root
from tests.lab.test_real_pods import traces, tunables

pytestmark = pytest.mark.long

REAL = (
    "Deployment kube-system/coredns",
    "Deployment powerdns/powerdns",
    "Deployment powerdns/powerdns-operator",
    "StatefulSet powerdns/powerdns-database",
)
"""Workloads of which the lab has all images, without real charts."""

SECONDS = 1800
"""A limit for a machine that does much else."""


@pytest.fixture(scope="module")
def said() -> str:
    """What the rehearsal prints."""
    refuse_without_root()
    before, settings = traces(), tunables()
    played_charts = os.environ | {"PODS": "real", "CHARTS_MIRROR": ""}
    ended = completed([sys.executable, "-m", "lab", "rehearse", "prod"], played_charts, SECONDS)
    assert ended.returncode == 0, ended.stdout
    assert (traces() - before, tunables()) == (set(), settings)
    return ended.stdout


def workloads(said: str) -> dict[str, str]:
    """Each workload of the report, and what it was."""
    rows = re.findall(r"^  ((?:Deployment|StatefulSet|DaemonSet|Job) \S+/\S+) +(.+)$", said, re.MULTILINE)
    return dict(rows)


def test_production_comes_up_stays_and_goes_with_real_pods(said: str) -> None:
    assert "the rehearsal of prod succeeded: nothing is left of it" in said


def test_a_workload_whose_images_there_are_ran(said: str) -> None:
    found = workloads(said)
    assert {name: found.get(name) for name in REAL if not re.match(r"real \(\d+\)", found.get(name, ""))} == {}


def test_every_other_workload_is_called_played_or_absent(said: str) -> None:
    found = workloads(said)
    assert len(found) > len(REAL)
    assert [f"{name}: {what}" for name, what in found.items() if not re.match(r"real|played|absent", what)] == []
