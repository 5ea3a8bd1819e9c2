"""The checker finds nothing in a platform that works: the repository's own stacks, and one with a tree of Flux."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from checks.before import findings as fast_findings
from checks.examination import STACKS
from checks.graph import Graph
from checks.model.platform import Platform
from checks.program import ROOT
from tests.checks.platforms import findings, platform, prod, tools


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return platform(tmp_path_factory.mktemp("healthy"))


def test_no_stack_of_the_repository_has_a_finding() -> None:
    path = os.pathsep.join(str(path.parent) for path in tools().values())
    command = [sys.executable, "-m", "checks"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [stack for stack in STACKS if f"checks: {stack}: " not in done.stderr] == []


def test_a_platform_with_a_tree_of_flux_has_no_finding(healthy: Platform) -> None:
    assert [f"{one.rule}: {one.object} {one.field} {one.problem}" for one in findings(healthy)] == []


def test_the_tree_is_built_as_flux_builds_it(healthy: Platform) -> None:
    [ingress] = [thing for thing in healthy.objects if thing.kind == "Ingress" and thing.name == "page"]
    assert ingress.get("spec", "rules", 0, "host") == "page.test-cluster.agentydragon.com"
    assert ingress.where.startswith("gitops/forge/page.yaml:")


def test_the_fast_rules_take_less_than_a_second_and_find_nothing() -> None:
    graph, settings = prod()
    start = time.process_time()
    found = fast_findings(graph, settings, "prod")
    assert (found, time.process_time() - start < 1) == ([], True)


def test_an_empty_program_has_no_finding_of_a_fast_rule() -> None:
    assert fast_findings(Graph(), {}, "none") == []
