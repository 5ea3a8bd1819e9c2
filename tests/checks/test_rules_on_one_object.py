"""Rules on a platform of one object: the last value that is refused, and what holds where nothing is said."""

from __future__ import annotations

from typing import Any

import pytest

from checks.graph import Graph
from checks.model.objects import Manager, Object
from checks.model.platform import Platform
from checks.rules.all import RULES

VOLUME = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}


def found(rule: str, **content: Any) -> list[str]:
    """What a rule says of a CronJob with this content."""
    platform = Platform("prod", Graph(), {})
    job = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "job", "namespace": "jobs"}} | content
    platform.objects = [Object(job, Manager("flux", "jobs"), "gitops/jobs.yaml:1", "jobs")]
    return [f"{one.field} {one.problem}" for one in RULES[rule].findings(platform)]


@pytest.mark.parametrize(("hour", "wrong"), [("23", False), ("24", True)])
def test_the_last_hour_of_a_day_is_the_twenty_third(hour: str, wrong: bool) -> None:
    assert bool(found("schedule", spec={"schedule": f"0 {hour} * * *"})) is wrong


def test_runs_overlap_where_nobody_forbids_it() -> None:
    spec = {"jobTemplate": {"spec": {"template": {"spec": {"containers": [], "volumes": [VOLUME]}}}}}
    [said] = found("schedule-overlap", spec=spec)
    assert "is Allow" in said
    assert found("schedule-overlap", spec=spec | {"concurrencyPolicy": "Forbid"}) == []


@pytest.mark.parametrize(("annotation", "kind"), [("secret", "Secret"), ("configmap", "ConfigMap")])
def test_what_a_workload_is_restarted_for_exists(annotation: str, kind: str) -> None:
    about = {"name": "job", "namespace": "jobs", "annotations": {f"{annotation}.reloader.stakater.com/reload": "lost"}}
    [said] = found("reloaded-name", metadata=about, spec={})
    assert f"names {kind} lost" in said
