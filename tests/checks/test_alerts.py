"""The alert rules and Alertmanager's configuration of `gitops/monitoring`, by promtool and amtool themselves.

Which series exist is what each rule's comment has the source of; these tests say what a rule makes of them.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.gitops.tree import GITOPS, documents
from components.secrets.sealed_secrets import KEYPAIR_NAME
from lab.programs import ensure

ROOT = Path(__file__).parents[2]
MONITORING = GITOPS / "monitoring"
VARIABLES = {"sealing_key": KEYPAIR_NAME}
# As text: to YAML, 0x20 is a number, and to promtool twenty more zeros.
CASES: dict[str, dict[str, dict[str, Any]]] = yaml.load(
    Path(__file__).with_name("alerts.yaml").read_text(),
    Loader=yaml.BaseLoader,  # noqa: S506 - a file of ours
)


def groups() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for file in sorted((MONITORING / "rules").glob("*.yaml")):
        text = re.sub(r"\$\{(\w+)\}", lambda match: VARIABLES[match[1]], file.read_text())
        document = yaml.safe_load(text)
        if document["kind"] == "PrometheusRule":
            found += document["spec"]["groups"]
    return found


def alerts() -> Iterator[dict[str, Any]]:
    for group in groups():
        yield from group["rules"]


def program(name: str) -> Path:
    return ensure([name])[name].path


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("alerts") / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": groups()}))
    return file


def _test(name: str, case: dict[str, Any], *, firing: int) -> dict[str, Any]:
    labels = f'{{alertname="{name}"}}'
    return {
        "name": f"{name}: {'fires' if firing else 'silent'}",
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case["input"].items()],
        "promql_expr_test": [
            {
                "expr": f'count by (alertname) (ALERTS{{alertname="{name}", alertstate="firing"}})',
                "eval_time": case["at"],
                "exp_samples": [{"labels": labels, "value": firing}] if firing else [],
            }
        ],
    }


def test_promtool_takes_the_rules(rules: Path) -> None:
    done = run(program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", rules)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("kind", ["fires", "silent"])
def test_each_alert_fires_when_it_should_and_stays_silent_when_not(rules: Path, name: str, kind: str) -> None:
    case = CASES[name][kind]
    tests = rules.with_name(f"{name}-{kind}.yaml")
    tests.write_text(
        yaml.safe_dump(
            {
                "rule_files": [rules.name],
                "evaluation_interval": "1m",
                "tests": [_test(name, case, firing=int(case.get("firing", 1)) if kind == "fires" else 0)],
            }
        )
    )
    done = run(program("promtool"), "test", "rules", tests)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_of_the_tree_is_among_those_that_have_cases() -> None:
    """A PrometheusRule anywhere else, or one that Flux is not told of, would be tried by none of these tests."""
    everywhere = [
        file.relative_to(GITOPS)
        for file, document in documents(GITOPS)
        if document.get("kind") == "PrometheusRule" or "PrometheusRule" in yaml.safe_dump(document.get("spec"))
    ]
    listed = yaml.safe_load((MONITORING / "rules" / "kustomization.yaml").read_text())["resources"]
    assert sorted(str(file) for file in everywhere) == [f"monitoring/rules/{name}" for name in listed]
    assert [rule for rule in alerts() if "alert" not in rule] == []


def test_every_alert_has_both_cases() -> None:
    assert {name: set(cases) for name, cases in CASES.items()} == {
        rule["alert"]: {"fires", "silent"} for rule in alerts()
    }


def test_every_alert_leads_to_what_a_person_does_about_it() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs" / "monitoring.md").read_text(), re.MULTILINE)
    missing = [
        rule["alert"]
        for rule in alerts()
        if rule["alert"] not in headings
        or f"docs/monitoring.md#{rule['alert'].lower()}" not in rule["annotations"]["description"]
    ]
    assert missing == []


def alertmanager() -> dict[str, Any]:
    release = yaml.safe_load((MONITORING / "release.yaml").read_text())
    config: dict[str, Any] = release["spec"]["values"]["alertmanager"]["config"]
    return config


@pytest.mark.parametrize("receiver", ["null", "person"])
def test_alertmanager_takes_its_configuration_with_either_receiver(tmp_path: Path, receiver: str) -> None:
    config = alertmanager()
    config["route"]["receiver"] = receiver
    file = tmp_path / "alertmanager.yaml"
    file.write_text(yaml.safe_dump(config))
    done = run(program("amtool"), "check-config", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("alert", "receiver"), [("Watchdog", "null"), ("VaultSealed", "person")])
def test_a_person_gets_alerts_but_not_the_one_that_always_fires(tmp_path: Path, alert: str, receiver: str) -> None:
    config = alertmanager()
    config["route"]["receiver"] = "person"
    file = tmp_path / "alertmanager.yaml"
    file.write_text(yaml.safe_dump(config))
    done = run(program("amtool"), "config", "routes", "test", f"--config.file={file}", f"alertname={alert}")
    assert done.stdout.strip() == receiver, done.stderr
