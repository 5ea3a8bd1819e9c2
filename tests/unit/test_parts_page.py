"""docs/parts.md: it is what its source says, names what is there, and leaves no application out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.unit.parts_page import PAGE, SOURCE, page, parts, wrong

ROWS = parts(SOURCE.read_text())


def test_the_page_is_what_its_source_says() -> None:
    assert PAGE.read_text() == page(ROWS), "python -m tests.unit.parts_page writes it"


def test_each_row_names_files_and_tests_that_are_there() -> None:
    assert list(wrong(ROWS)) == []


def test_each_application_of_flux_is_in_a_row() -> None:
    declared = {file.split("/")[1] for row in ROWS for file in row.declared if file.startswith("gitops/")}
    assert {path.parent.name for path in (ROOT / "gitops").glob("*/flux.yaml")} <= declared


def test_each_layer_of_the_program_and_folder_of_components_is_in_a_row() -> None:
    declared = {file.split("/")[1] for row in ROWS for file in row.declared if file.startswith("components/")}
    folders = {path.parent.name for path in (ROOT / "components").glob("*/__init__.py")}
    # What all components are made with is no system.
    assert folders - {"kit"} <= declared


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{system: s, declared: [there.py], proved: []}", "s: not proved; name a test, or say so in a note"),
        ("{system: s, declared: [], proved: [], note: n}", "s: declared nowhere"),
        ("{system: s, declared: [gone.py], proved: [], note: n}", "s: there is no file gone.py"),
        ("{system: s, declared: [there.py], proved: [there.py]}", "s: there.py is no test"),
        (
            "{system: s, declared: [there.py], proved: ['tests/unit/test_a.py::test_gone']}",
            "s: there is no test test_gone in tests/unit/test_a.py",
        ),
        (
            "{system: s, declared: [there.py], proved: ['tests/unit/test_a.py::test_her']}",
            "s: there is no test test_her in tests/unit/test_a.py",
        ),
    ],
)
def test_a_row_that_names_what_is_not_there_is_found(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "there.py").touch()
    (tmp_path / "tests/unit").mkdir(parents=True)
    (tmp_path / "tests/unit/test_a.py").write_text("def test_here() -> None: ...\n")
    assert list(wrong(parts(f"A:\n  - {row}\n"), tmp_path)) == [message]


def test_a_row_that_names_what_is_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "tests/unit").mkdir(parents=True)
    (tmp_path / "tests/unit/test_a.py").write_text("def test_here() -> None: ...\n")
    row = "{system: s, declared: [tests/unit/test_a.py], proved: ['tests/unit/test_a.py::test_here']}"
    assert list(wrong(parts(f"A:\n  - {row}\n"), tmp_path)) == []


def test_a_misspelt_key_of_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="'proofs' is no key of a row"):
        parts("A: [{system: s, declared: [], proofs: []}]")


def test_a_note_that_is_a_truth_value_to_yaml_is_refused() -> None:
    with pytest.raises(ValueError, match="the note is False to YAML; put it in quotes"):
        parts("A: [{system: s, declared: [], proved: [], note: off}]")


PLAN = (
    *("VMs on Proxmox VE", "Talos Linux", "virtual address of the Kubernetes API", "system extensions", "Cilium"),
    *("MetalLB", "NGINX ingress", "public host", "SNI", "Tailscale key", "routes of the Tailscale network", "Longhorn"),
    *("delegation", "PowerDNS in the cluster", "secondary by zone transfer", "PowerDNS Operator", "external-dns"),
    *("cert-manager", "Let's Encrypt", "DNS-01", "Technitium", "HTTPS for an application in one line"),
    *("Vault", "External Secrets", "Reloader", "SealedSecrets", "rotation", "signing on to Vault", "Reflector"),
    *("Proxmox CSI", "destroyed cluster leaves behind", "copies", "PostgreSQL", "Authentik", "people and groups"),
    *("Flux", "order of what depends on each other", "Gitea", "Harbor", "Harbor as the nodes' registry", "Matrix"),
    *("InvenTree", "Syncthing", "Bazel", "ActivityWatch", "Google Drive", "Firecrawl with its MCP server"),
    *("MCP servers", "webhook inbox", "metrics-server", "Prometheus", "Alertmanager", "Grafana", "node-exporter"),
    *("kube-state-metrics", "Loki", "Alloy", "OpenTelemetry operator and collector", "Tempo", "Grafana by Authentik"),
    *("rendered before a commit", "two owners", "linting", "from an Ingress to its record and its certificate"),
    *("by one command", "key of PowerDNS's API", "single sign-on"),
)
"""The systems of the owner's plan, in words of this page."""


@pytest.mark.parametrize("system", PLAN)
def test_each_system_of_the_plan_is_in_a_row(system: str) -> None:
    assert [row.system for row in ROWS if system in row.system] != []
