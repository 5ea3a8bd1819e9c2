"""The rule of docs/adding-a-rule.md, taken from the page as it stands there, is a rule that works."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from checks.program import ROOT
from checks.report import explained
from checks.rules.rule import RULES, Rule
from tests.checks.platforms import appended, platform

PAGE = ROOT / "docs" / "adding-a-rule.md"
JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {{name: import, namespace: forge}}
spec:
  {spec}
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: a, image: docker.io/library/caddy:2.10.2}}]
"""


@pytest.fixture
def rule_of_the_page(tmp_path: Path) -> Rule:
    """The one rule that the page's Python makes, in a file of its own; afterwards it is gone again."""
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    file = tmp_path / "jobs.py"
    file.write_text(code)
    known = set(RULES)
    spec = spec_from_file_location("jobs", file)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module_from_spec(spec))
    [new] = set(RULES) - known
    return RULES.pop(new)


def test_it_finds_what_it_says(rule_of_the_page: Rule, tmp_path: Path) -> None:
    made = platform(tmp_path, edit=appended("gitops/forge/page.yaml", JOB.format(spec="backoffLimit: 1")))
    [found] = rule_of_the_page.findings(made)
    assert (found.object, found.field) == ("Job forge/import", "spec.ttlSecondsAfterFinished")
    assert found.where.startswith("gitops/forge/page.yaml:")


def test_it_passes_what_is_right(rule_of_the_page: Rule, tmp_path: Path) -> None:
    made = platform(tmp_path, edit=appended("gitops/forge/page.yaml", JOB.format(spec="ttlSecondsAfterFinished: 60")))
    assert rule_of_the_page.findings(made) == []


def test_the_page_asks_for_its_explanation_by_its_name(rule_of_the_page: Rule) -> None:
    assert f"python -m checks --explain {rule_of_the_page.id}\n" in PAGE.read_text()
    assert rule_of_the_page.remedy in explained(rule_of_the_page)


def test_the_page_names_files_that_there_are() -> None:
    named = re.findall(r"`((?:checks|tests|lab|charts)/[\w./]+\.(?:py|yaml))`", PAGE.read_text())
    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert named != []
