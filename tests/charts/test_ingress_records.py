"""The names and addresses that external-dns is told to make of an Ingress, by the engine of its own templates.

Helm executes them here: both have Go's, with a `replace` that takes its arguments in the same order. A map
with the same fields takes the place of the Ingress.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.graph import reveal
from tests.charts.helm import run
from tests.graph.test_conventions import graph_of

PREFIX = "external-dns.alpha.kubernetes.io"


@cache
def template() -> str:
    """As it stands in the values of the chart, which renders it once."""
    given: Any = reveal(graph_of("prod", known=True)["kubernetes:helm.sh/v3:Release external-dns"].inputs["values"])
    return str(given["extraArgs"]["fqdn-target-template"])


@cache
def usual() -> str:
    given: Any = reveal(graph_of("prod", known=True)["kubernetes:helm.sh/v3:Release nginx-ingress"].inputs["values"])
    return str(given["controller"]["config"]["entries"]["external-status-address"])


def records(folder: Path, *, annotations: dict[str, str] | None = None, **spec: Any) -> set[str]:
    """The pairs of name and address for an Ingress."""
    (folder / "templates").mkdir()
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: played, version: 0.0.0}")
    (folder / "templates/pairs.yaml").write_text(
        "pairs: {{ tpl (tpl .Values.template .) .Values.ingress | trim | quote }}"
    )
    ingress = {"Annotations": annotations or {}, "Spec": {"ingressClassName": "nginx", **spec}}
    given = yaml.safe_dump({"template": template(), "ingress": ingress})
    made = yaml.safe_load(run("template", "played", str(folder), "-f", "-", given=given))
    return {pair.strip() for pair in str(made["pairs"]).split(",") if pair.strip()}


def test_an_ingress_has_the_names_of_its_rules_and_certificates_at_the_usual_address(tmp_path: Path) -> None:
    made = records(tmp_path, rules=[{"host": "a.example.org"}], tls=[{"hosts": ["b.example.org"]}])
    assert made == {f"a.example.org:{usual()}", f"b.example.org:{usual()}"}


def test_an_ingress_that_says_where_it_is_has_its_names_there(tmp_path: Path) -> None:
    made = records(tmp_path, annotations={f"{PREFIX}/target": "192.0.2.7"}, rules=[{"host": "a.example.org"}])
    assert "a.example.org:192.0.2.7" in made
    assert not any(usual() in pair for pair in made)


def test_each_of_several_addresses_gets_the_name(tmp_path: Path) -> None:
    made = records(tmp_path, annotations={f"{PREFIX}/target": "192.0.2.7,192.0.2.8"}, rules=[{"host": "a.example.org"}])
    assert {"a.example.org:192.0.2.7", "a.example.org:192.0.2.8"} <= made


def test_a_name_that_stands_in_an_annotation_alone_has_a_record_too(tmp_path: Path) -> None:
    made = records(tmp_path, annotations={f"{PREFIX}/hostname": "c.example.org"}, rules=[{"host": "a.example.org"}])
    assert made == {f"a.example.org:{usual()}", f"c.example.org:{usual()}"}


@pytest.mark.parametrize("spec", [{}, {"rules": [{}]}, {"tls": [{}]}], ids=["nothing", "rule", "certificate"])
def test_an_ingress_without_a_field_has_no_record_and_stops_no_other(tmp_path: Path, spec: dict[str, Any]) -> None:
    assert records(tmp_path, **spec) == set()


def test_an_ingress_of_another_class_has_no_record(tmp_path: Path) -> None:
    assert records(tmp_path, ingressClassName="other", rules=[{"host": "a.example.org"}]) == set()
