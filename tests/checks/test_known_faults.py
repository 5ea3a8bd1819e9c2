"""Faults that such platforms really had, put into the repository's own tree and program: each is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.rules.all import RULES
from checks.rules.rule import Finding
from tests.checks.changes import all_of, at
from tests.checks.known.edits import SOLVER
from tests.checks.known.every import KNOWN
from tests.checks.known.fault import Case
from tests.checks.known.page import PAGE, page
from tests.checks.platforms import edited, findings, real

CASES = {f"{known.title}: {case.name}": case for known in KNOWN for case in known.cases}
MOST = 3
"""Findings beside the one that is meant: consequences, such as that nobody recorded a changed value."""


def said(found: list[Finding], rule: str) -> list[str]:
    return [f"{one.object} {one.field} {one.problem} {one.where}" for one in found if one.rule == rule]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_known_fault_is_found_with_its_object_field_and_counterpart(tmp_path: Path, case: Case) -> None:
    found = findings(real(tmp_path, case.edit, case.change))
    assert any(all(word in text for word in case.words) for text in said(found, case.rule)), found
    assert len(found) <= 1 + MOST, [f"{one.rule}: {one.object} {one.problem}" for one in found]


def test_every_known_fault_has_a_name_of_its_own() -> None:
    assert len(CASES) == sum(len(known.cases) for known in KNOWN)
    assert len({known.title for known in KNOWN}) == len(KNOWN) == 40


def test_every_known_fault_is_tried_with_a_rule_that_exists() -> None:
    assert {case.rule for case in CASES.values()} <= set(RULES)


def test_the_page_of_known_faults_is_current() -> None:
    assert PAGE.read_text() == page(KNOWN, RULES), "write it anew: python -m tests.checks.known.page"


def test_all_faults_around_one_issuer_are_named_at_once(tmp_path: Path) -> None:
    change = all_of(
        at("ClusterIssuer", "letsencrypt-prod-dns", *SOLVER, "groupName", value="acme.example.org"),
        at("ClusterIssuer", "letsencrypt-prod-dns", *SOLVER, "config", "apiKeySecretRef", "key", value="api-key"),
        at("Certificate", "wildcard-tls", "spec", "issuerRef", value={"kind": "ClusterIssuer", "name": "letsencrypt"}),
    )
    found = findings(real(tmp_path, change=change))
    assert {one.rule for one in found} == {"solver-group", "reference-key", "reference"}


def test_an_expression_of_a_definition_is_evaluated(tmp_path: Path) -> None:
    """Neither a type nor a name is wrong here, which a schema without its expressions would let pass."""
    file = "gitops/gitea/database/cluster.yaml"
    found = findings(
        real(tmp_path, edited(file, ("      owner: gitea\n", "      owner: gitea\n      icuLocale: de\n")))
    )
    assert [(one.rule, one.object, one.field) for one in found] == [
        ("invalid-resource", "Cluster gitea/gitea-postgres", "spec.bootstrap.initdb")
    ]
    assert "icuLocale is only available when localeProvider is set to `icu`" in found[0].problem
