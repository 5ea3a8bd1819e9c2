"""HelmReleases as the checks read them: chart, values, and what is refused because nobody could check it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.gitops.images import moving
from checks.gitops.ingress import foreign_in_files, foreign_in_program
from checks.gitops.signed_on import one_sided
from checks.gitops.tree import FluxRelease, pins, releases, variables
from checks.gitops.values import secret_values
from checks.graph import Graph
from checks.program import ROOT, recorded
from components.identity.proxied import Proxied
from components.kit.versions import ChartPin

REPOSITORY = {
    "apiVersion": "source.toolkit.fluxcd.io/v1",
    "kind": "HelmRepository",
    "metadata": {"name": "demo"},
    "spec": {"url": "https://charts.example.org/"},
}
FROM_REPOSITORY = {"chart": "demo", "version": "1.2.3", "sourceRef": {"kind": "HelmRepository", "name": "demo"}}


def write(tmp_path: Path, chart: dict[str, Any] | None = None, namespace: str | None = "demo", **spec: Any) -> Path:
    """A tree with one application."""
    folder = tmp_path / "gitops" / "demo"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": namespace}))
    release = {
        "kind": "HelmRelease",
        "metadata": {"name": "demo"},
        "spec": {"chart": {"spec": chart or FROM_REPOSITORY}, **spec},
    }
    (folder / "release.yaml").write_text(yaml.safe_dump_all([REPOSITORY, release]))
    return folder.parent


def test_a_release_has_the_chart_of_its_repository(tmp_path: Path) -> None:
    [release] = releases(write(tmp_path))
    assert release.pin == ChartPin("demo", "1.2.3", "https://charts.example.org")
    assert (release.namespace, release.source) == ("demo", "gitops/demo/release.yaml")


def test_a_release_has_a_chart_of_this_repository(tmp_path: Path) -> None:
    chart = {"chart": "./charts/app", "sourceRef": {"kind": "GitRepository", "name": "homelab"}}
    [release] = releases(write(tmp_path, chart))
    assert (release.pin, release.path) == (None, ROOT / "charts" / "app")


def test_charts_are_listed_once(tmp_path: Path) -> None:
    directory = write(tmp_path)
    (directory / "demo" / "other.yaml").write_text((directory / "demo" / "release.yaml").read_text())
    assert pins(directory) == [ChartPin("demo", "1.2.3", "https://charts.example.org")]


def test_a_variable_is_replaced_by_its_name(tmp_path: Path) -> None:
    directory = write(tmp_path, values={"class": "${storage_class}", "list": ["a.${domain}", "$${script}"]})
    [release] = releases(directory)
    assert release.values == {"class": "storage-class", "list": ["a.domain", "$${script}"]}
    assert variables(directory) == {"storage_class", "domain"}


@pytest.mark.parametrize("version", ["", "*", "1.x", ">=1.0.0", "~1.2.3", "12"])
def test_a_chart_without_an_exact_version_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(ValueError, match="one exact version"):
        releases(write(tmp_path, {**FROM_REPOSITORY, "version": version}))


def test_a_repository_that_is_not_beside_the_release_is_refused(tmp_path: Path) -> None:
    chart = {**FROM_REPOSITORY, "sourceRef": {"kind": "HelmRepository", "name": "other"}}
    with pytest.raises(ValueError, match="there is no HelmRepository other in demo/"):
        releases(write(tmp_path, chart))


def test_a_release_without_a_namespace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no namespace"):
        releases(write(tmp_path, namespace=None))


def test_the_values_of_a_secret_for_signing_on_are_known() -> None:
    release = FluxRelease("gitea", "gitea", None, None, source="x")
    found = secret_values(release, "oidc-gitea", "example.org", private=False)
    assert found["gitea"]["config"]["server"]["ROOT_URL"] == "https://git.example.org/"


@pytest.mark.parametrize(("secret", "namespace"), [("oidc-gitea", "other"), ("other", "gitea")])
def test_the_values_of_any_other_secret_are_refused(secret: str, namespace: str) -> None:
    release = FluxRelease("gitea", namespace, None, None, source="x")
    with pytest.raises(ValueError, match=r"which no service of stacks/sso\.py makes there"):
        secret_values(release, secret, "example.org", private=False)


def test_an_annotation_of_another_controller_is_a_finding_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "ingress.yaml").write_text('a: 1\n"nginx.ingress.kubernetes.io/proxy-body-size": "0"\n')
    [finding] = foreign_in_files(tmp_path)
    assert str(finding).startswith(
        f"{tmp_path}/ingress.yaml:2: ingress.yaml: nginx.ingress.kubernetes.io/proxy-body-size is"
    )


def test_the_counterpart_of_the_controller_that_runs_is_none(tmp_path: Path) -> None:
    (tmp_path / "ingress.yaml").write_text('nginx.org/client-max-body-size: "0"\n')
    assert foreign_in_files(tmp_path) == []


def test_such_an_annotation_in_the_program_is_a_finding() -> None:
    graph: Graph = recorded("lab")
    node = next(node for node in graph.resources() if node.type == "kubernetes:helm.sh/v3:Release")
    kept = node.inputs["values"]
    node.inputs["values"] = {**kept, "ingress": {"annotations": {"nginx.ingress.kubernetes.io/x": "1"}}}
    try:
        assert [finding.rule for finding in foreign_in_program(graph)] == ["ingress-annotation"]
    finally:
        node.inputs["values"] = kept


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"image": {"tag": "latest"}}, "spec.values.image.tag is 'latest'"),
        ({"image": {"tag": ""}}, "spec.values.image.tag is ''"),
        ({"image": "ghcr.io/example/notes"}, "spec.values.image is 'ghcr.io/example/notes'"),
        ({"a": [{"image": "registry:5000/notes"}]}, "spec.values.a.0.image is 'registry:5000/notes'"),
        ({"image": "notes:stable"}, "spec.values.image is 'notes:stable'"),
    ],
)
def test_an_image_that_moves_is_a_finding(tmp_path: Path, values: dict[str, Any], place: str) -> None:
    [finding] = moving(write(tmp_path, values=values))
    assert finding.message.startswith(place)


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"tag": "1.27.3"}},
        {"image": {"repository": "ghcr.io/example/notes"}},
        {"image": "registry:5000/notes:1.2.3"},
        {"image": f"notes@sha256:{'0' * 64}"},
    ],
)
def test_an_image_of_one_version_is_none(tmp_path: Path, values: dict[str, Any]) -> None:
    assert moving(write(tmp_path, values=values)) == []


NOTES = Proxied(slug="notes", title="Notes", namespace="notes", host="notes", groups=("readers",))


def signed_on(
    tmp_path: Path, *components: str, namespace: str = "notes", rows: tuple[Proxied, ...] = (NOTES,)
) -> list[str]:
    """What the check finds of an application in a folder with these components."""
    own = tmp_path / "gitops" / "notes"
    own.mkdir(parents=True)
    lines = [f"  - ../components/{name}" for name in components]
    (own / "kustomization.yaml").write_text("\n".join([f"namespace: {namespace}", "components:", *lines]))
    (own / "release.yaml").write_text("kind: HelmRelease\nmetadata: {name: notes}\n")
    return [found.message for found in one_sided(tmp_path / "gitops", rows)]


def test_an_application_behind_authentik_with_its_row_is_no_finding(tmp_path: Path) -> None:
    assert signed_on(tmp_path, "sign-on") == []


def test_no_application_of_the_repository_signs_on_at_one_side_only() -> None:
    assert one_sided() == []


@pytest.mark.parametrize(
    ("components", "more", "told"),
    [
        (["sign-on"], {"rows": ()}, "has the component sign-on, but no row"),
        (["https"], {}, "has a row in PROXIED of stacks/proxied.py, but not the component"),
        (["sign-on", "https"], {}, "leads past the sign-on"),
        (["sign-on"], {"namespace": "other"}, "but its row in stacks/proxied.py names 'notes'"),
    ],
)
def test_a_sign_on_at_one_side_only_is_a_finding(
    tmp_path: Path, components: list[str], more: dict[str, Any], told: str
) -> None:
    [found] = signed_on(tmp_path, *components, **more)
    assert told in found
