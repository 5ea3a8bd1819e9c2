"""Renovate's configuration reads every pin: its rules, evaluated here as Renovate evaluates them.

Renovate's regular expressions are those of RE2, which differ from Python's only in the form of a named group for all
that is used here. Which files its own managers read: https://docs.renovatebot.com/modules/manager/
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
import yaml

from components.kit import versions
from components.kit.versions import ChartPin, ImagePin
from tests.conftest import ROOT
from tests.repository import files

PINS = {name: pin for name, pin in vars(versions).items() if isinstance(pin, ChartPin | ImagePin)}

VERSIONS, CHART = "components/kit/versions.py", "charts/powerdns/Chart.yaml"

READ_BY = {
    "github-actions": r"(^|/)\.github/workflows/[^/]+\.ya?ml$",
    "gomod": r"(^|/)go\.mod$",
    "helm-values": r"(^|/)values\.ya?ml$",
    "pep621": r"(^|/)pyproject\.toml$",
    "pip_requirements": r"(^|/)[\w-]*requirements([-._]\w+)?\.(txt|pip)$",
}
"""The files that a manager reads unless it is told otherwise."""


@cache
def configuration() -> dict[str, Any]:
    return dict(json.loads((ROOT / ".github" / "renovate.json").read_text()))


@cache
def tracked() -> list[str]:
    """Files of the repository, asked for once."""
    return files()


def found_by_expressions(file: str) -> list[dict[str, str]]:
    """What the managers of the configuration's own find in a file, templates filled in."""
    found = []
    for manager in configuration()["customManagers"]:
        if any(re.search(pattern.strip("/"), file) for pattern in manager["managerFilePatterns"]):
            given = {key.removesuffix("Template"): text for key, text in manager.items() if key.endswith("Template")}
            for expression in manager["matchStrings"]:
                for match in re.finditer(expression.replace("(?<", "(?P<"), (ROOT / file).read_text()):
                    found.append(given | {key: text for key, text in match.groupdict().items() if text})
    return found


def published(pin: ChartPin | ImagePin) -> dict[str, str]:
    """Where the versions of a pin are published, in Renovate's terms."""
    if isinstance(pin, ImagePin):
        return {"datasource": "docker", "depName": pin.repository.removeprefix("docker.io/")}
    if pin.repository.startswith("oci://"):
        return {"datasource": "docker", "depName": f"{pin.repository.removeprefix('oci://')}/{pin.name}"}
    return {"datasource": "helm", "depName": pin.name, "registryUrl": pin.repository}


@pytest.mark.parametrize("name", PINS)
def test_a_pin_of_the_program_is_read_with_where_it_is_published(name: str) -> None:
    found = found_by_expressions(VERSIONS)
    for one in found:
        one["registryUrl"] = one.get("registryUrl", "").rstrip("/")
    assert {"registryUrl": "", **published(PINS[name]), "currentValue": PINS[name].version} in found


def test_the_version_of_flux_is_read_with_where_it_is_published() -> None:
    wanted = {"datasource": "github-releases", "depName": "fluxcd/flux2", "currentValue": versions.FLUX}
    assert wanted in found_by_expressions(VERSIONS)


def test_nothing_else_is_read_there() -> None:
    assert len(found_by_expressions(VERSIONS)) == len([*PINS, versions.FLUX])


APPLICATIONS = [file for file in tracked() if re.search(r"^gitops/.+\.yaml$", file)]
"""The files that Flux applies."""


@pytest.mark.parametrize("file", [file for file in APPLICATIONS if "kind: HelmRelease" in (ROOT / file).read_text()])
def test_a_chart_of_an_application_is_pinned_where_the_manager_for_flux_reads(file: str) -> None:
    [pattern] = configuration()["flux"]["managerFilePatterns"]
    assert re.search(pattern.strip("/"), file)
    for document in yaml.safe_load_all((ROOT / file).read_text()):
        chart = document["spec"].get("chart", {}).get("spec") if document["kind"] == "HelmRelease" else None
        # A chart of the repository itself has the version of the commit.
        if chart and chart["sourceRef"]["kind"] == "HelmRepository":
            assert re.fullmatch(r"\d+\.\d+\.\d+", chart["version"])


@pytest.mark.parametrize("file", APPLICATIONS)
def test_an_image_of_an_application_is_read_with_where_it_is_published(file: str) -> None:
    text = (ROOT / file).read_text()
    field = r"^\s*(?:(?:tag|newTag): |image(?:Name)?: [^\s:@&*]+:)([^\s@:]+)(?:@\S+)?$"
    named = re.findall(field, text, re.MULTILINE)
    assert [one["currentValue"] for one in found_by_expressions(file)] == named


@pytest.mark.parametrize("file", APPLICATIONS)
def test_a_digest_is_raised_with_the_tag_above_it(file: str) -> None:
    field = r"^\s*(?:tag: \S+\n\s*digest: |image: [^\s@]+@)(\S+)$"
    named = re.findall(field, (ROOT / file).read_text(), re.MULTILINE)
    assert [one["currentDigest"] for one in found_by_expressions(file) if "currentDigest" in one] == named


def test_applications_run_the_program_s_release_of_postgresql() -> None:
    named = re.findall(
        r"^\s*imageName: (\S+)$", "\n".join((ROOT / file).read_text() for file in APPLICATIONS), re.MULTILINE
    )
    pin = versions.POSTGRESQL
    assert set(named) == {f"{pin.repository}:{pin.version}"}


def images(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if {"repository", "tag"} <= set(value):
            yield value
        for inner in value.values():
            yield from images(inner)


OWN_CHARTS = sorted(path.parent.name for path in (ROOT / "charts").glob("*/Chart.yaml"))


@pytest.mark.parametrize("chart", OWN_CHARTS)
def test_an_image_of_our_own_chart_is_in_a_file_and_form_that_is_read(chart: str) -> None:
    file = f"charts/{chart}/values.yaml"
    assert re.search(READ_BY["helm-values"], file)
    found = list(images(yaml.safe_load((ROOT / file).read_text())))
    # Another key than `image` would not be read.
    assert (ROOT / file).read_text().count("image:") == len(found)


def test_the_version_that_our_chart_says_is_raised_with_its_image() -> None:
    values = yaml.safe_load((ROOT / "charts" / "powerdns" / "values.yaml").read_text())
    image = values["image"]
    wanted = {"datasource": "docker", "depName": image["repository"], "currentValue": str(image["tag"])}
    assert found_by_expressions(CHART) == [wanted]


@pytest.mark.parametrize("manager", READ_BY)
def test_a_manager_is_enabled_and_has_files_to_read(manager: str) -> None:
    assert manager in configuration()["enabledManagers"]
    assert [file for file in tracked() if re.search(READ_BY[manager], file)]


def pins_nothing(file: str) -> bool:
    """Whether a chart is for images that others name."""
    return not {"appVersion", "dependencies"} & set(yaml.safe_load((ROOT / file).read_text()))


def test_every_file_with_pins_is_read_by_a_manager() -> None:
    names = re.compile(
        r"(^|/)(go\.mod|pyproject\.toml|[\w-]*requirements[\w-]*\.txt|Chart\.yaml|Dockerfile|package\.json)$"
        r"|^\.github/workflows/"
    )
    files = [file for file in tracked() if names.search(file) and "testdata" not in file]
    unread = [
        file
        for file in files
        if not any(re.search(pattern, file) for pattern in READ_BY.values())
        and not (file.endswith("Chart.yaml") and pins_nothing(file))
    ]
    assert [file for file in unread if not found_by_expressions(file)] == []


def test_python_packages_are_pinned_in_a_form_that_is_read() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    assert [one for one in named if not re.fullmatch(r"[\w.-]+==[\w.]+", one)] == []


def test_actions_are_pinned_by_digest_with_the_version_beside_it() -> None:
    for file in (file for file in tracked() if re.search(READ_BY["github-actions"], file)):
        uses = [line for line in (ROOT / file).read_text().splitlines() if "uses:" in line]
        assert uses
        assert [line for line in uses if not re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v[\d.]+$", line)] == []


def packages() -> set[str]:
    """Names of what the program, its charts and the lab's modules pin."""
    found = {one["depName"] for file in (VERSIONS, CHART) for one in found_by_expressions(file)}
    for chart in OWN_CHARTS:
        values = yaml.safe_load((ROOT / "charts" / chart / "values.yaml").read_text())
        found |= {str(image["repository"]) for image in images(values)}
    for file in (file for file in tracked() if file.endswith("go.mod")):
        found |= set(re.findall(r"^\s*(?:require )?([\w.-]+\.\w+/\S+) v", (ROOT / file).read_text(), re.MULTILINE))
    return found


def test_a_rule_names_only_what_there_is() -> None:
    """A rule for a package that nothing pins would hide that the package has got another name."""
    named = {name for rule in configuration()["packageRules"] for name in rule.get("matchPackageNames", [])}
    assert named - packages() == set()
