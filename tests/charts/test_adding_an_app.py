"""The files of `docs/adding-an-app.md` build, render, and fit together."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.gitops.tree import releases, variables
from tests.adding_an_app import NAME, PAGE, Written, steps
from tests.charts.helm import rendered
from tests.charts.kubelet import pods
from tests.charts.kustomize import GITOPS, built
from tests.conftest import ROOT

DOMAIN = "home.example.org"
FILES = {step.file: step.text for step in steps() if isinstance(step, Written) and not step.at_end}
"""The page's files by their path."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `gitops/` with the application in it."""
    copy = tmp_path_factory.mktemp("repository") / "gitops"
    shutil.copytree(GITOPS, copy)
    for step in steps():
        if isinstance(step, Written) and step.file.startswith("gitops/"):
            step.into(copy.parent)
    return copy


@cache
def chart() -> dict[tuple[str, str], dict[str, Any]]:
    """What the chart makes of the page's values."""
    release = yaml.safe_load(FILES["gitops/notes/release.yaml"].replace("${domain}", DOMAIN))
    objects = rendered("app", release["spec"]["values"], name=NAME)
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def test_the_page_has_the_files_of_a_folder() -> None:
    assert sorted(FILES) == [f"gitops/{NAME}/{name}.yaml" for name in ("flux", "kustomization", "release")]


def test_one_line_hands_the_folder_to_flux(tree: Path) -> None:
    before, after = built(GITOPS), built(tree)
    assert set(after) - set(before) == {("Kustomization", NAME)}
    assert after["Kustomization", NAME]["spec"]["path"] == f"./gitops/{NAME}"


def test_the_folder_uses_only_variables_that_others_use(tree: Path) -> None:
    assert variables(tree / NAME) <= variables(GITOPS)


def test_the_checks_read_its_release(tree: Path) -> None:
    [release] = [release for release in releases(tree) if release.name == NAME]
    assert (release.namespace, release.path) == (NAME, ROOT / "charts" / "app")


def test_its_address_leads_to_a_port_of_its_service_and_on_to_its_pod(tree: Path) -> None:
    given = {name: name.replace("_", "-") for name in variables(tree)} | {"domain": DOMAIN}
    ingress = built(tree / NAME, given)["Ingress", NAME]["spec"]
    assert ingress["rules"][0]["host"] == f"{NAME}.{DOMAIN}"
    backend = ingress["rules"][0]["http"]["paths"][0]["backend"]["service"]
    service = chart()["Service", backend["name"]]["spec"]
    [port] = [port for port in service["ports"] if port["name"] == backend["port"]["name"]]
    template = chart()["Deployment", NAME]["spec"]["template"]
    assert service["selector"].items() <= template["metadata"]["labels"].items()
    [pod] = pods(template)
    assert port["targetPort"] in [one["containerPort"] for one in pod["containers"][0]["ports"]]


def test_the_ingress_controller_is_let_in_at_that_port(tree: Path) -> None:
    given = {name: name.replace("_", "-") for name in variables(tree)} | {"domain": DOMAIN}
    policy = built(tree / NAME, given)["NetworkPolicy", f"{NAME}-from-ingress"]["spec"]
    template = chart()["Deployment", NAME]["spec"]["template"]
    assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    [pod] = pods(template)
    [rule] = policy["ingress"]
    assert rule["ports"][0]["port"] in [one["name"] for one in pod["containers"][0]["ports"]]


def test_every_profile_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`- \.\./components/([\w-]+)`", PAGE))
    assert named == {path.name for path in (GITOPS / "components").iterdir()} - {"https"}
