"""The components of `gitops/`: what one line gives to an application, and what they refuse."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.kustomize import GITOPS, KustomizeError, built

APPLICATION = "release-notes"
"""A name with a dash in it, as the names that a component puts together have."""

VARIABLES = {
    "domain": "home.example.org",
    "ingress_class": "nginx",
    "ingress_namespace": "nginx-ingress",
    "sign_on_namespace": "authentik",
}

PROFILES = ("uploads", "websocket", "streaming", "grpc")


def release(name: str = APPLICATION) -> dict[str, Any]:
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": name},
        "spec": {"interval": "1h"},
    }


def folder(tmp_path: Path, *components: str, resources: list[dict[str, Any]] | None = None, **more: Any) -> Path:
    """An application's folder beside a copy of the components."""
    shutil.copytree(GITOPS / "components", tmp_path / "components", dirs_exist_ok=True)
    own = tmp_path / "application"
    own.mkdir(parents=True, exist_ok=True)
    (own / "objects.yaml").write_text(yaml.safe_dump_all([release()] if resources is None else resources))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "notes",
        "resources": ["objects.yaml"],
        "components": [f"../components/{name}" for name in components],
        **more,
    }
    (own / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return own


def ingress(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = built(path, VARIABLES)["Ingress", APPLICATION]
    return found


def test_one_line_gives_an_application_its_name_in_every_place(tmp_path: Path) -> None:
    made = ingress(folder(tmp_path, "https"))
    host = f"{APPLICATION}.home.example.org"
    assert made["metadata"] == {"name": APPLICATION, "namespace": "notes"}
    assert made["spec"] == {
        "ingressClassName": "nginx",
        # Without a secretName: the controller's certificate for all names.
        "tls": [{"hosts": [host]}],
        "rules": [
            {
                "host": host,
                "http": {
                    "paths": [
                        {
                            "path": "/",
                            "pathType": "Prefix",
                            "backend": {"service": {"name": APPLICATION, "port": {"name": "http"}}},
                        }
                    ]
                },
            }
        ],
    }


def test_the_ingress_controller_may_reach_the_application_and_nobody_else(tmp_path: Path) -> None:
    policy = built(folder(tmp_path, "https"), VARIABLES)["NetworkPolicy", f"{APPLICATION}-from-ingress"]
    [rule] = policy["spec"]["ingress"]
    assert policy["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/instance": APPLICATION}
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "nginx-ingress"}}}]
    assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]


def test_a_policy_of_the_tree_closes_no_direction_for_which_it_has_no_rule() -> None:
    """A policy of type Egress without rules lets a pod call nobody; one that is not of type Ingress opens nothing."""
    files = sorted(GITOPS.rglob("*.yaml"))
    documents = [each for file in files for each in yaml.safe_load_all(file.read_text()) if each]
    policies = [each["spec"] for each in documents if each.get("kind") == "NetworkPolicy"]
    assert policies
    for spec in policies:
        assert spec["policyTypes"] == [kind for kind in ("Ingress", "Egress") if kind.lower() in spec]


def test_a_name_that_is_replaced_first_hides_its_object_from_the_rest(tmp_path: Path) -> None:
    own = folder(tmp_path, "https")
    file = tmp_path / "components" / "https" / "kustomization.yaml"
    component = yaml.safe_load(file.read_text())
    targets = component["replacements"][0]["targets"]
    component["replacements"][0]["targets"] = [targets[-1], *targets[:-1]]
    file.write_text(yaml.safe_dump(component))
    # Kustomize has no word to say about it, which is why the component's order is as it is.
    assert ingress(own)["spec"]["rules"][0]["host"] == "application.home.example.org"


def test_names_come_last_in_every_component() -> None:
    for file in sorted((GITOPS / "components").glob("*/kustomization.yaml")):
        for replacement in yaml.safe_load(file.read_text()).get("replacements", []):
            renames = ["metadata.name" in target["fieldPaths"] for target in replacement["targets"]]
            assert renames == sorted(renames), file


def test_two_releases_in_a_folder_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(KustomizeError, match="multiple matches"):
        built(folder(tmp_path, "https", resources=[release(), release("other")]))


def test_a_folder_without_a_release_is_an_error(tmp_path: Path) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}}
    with pytest.raises(KustomizeError, match="nothing selected"):
        built(folder(tmp_path, "https", resources=[service]))


def test_a_field_that_a_release_lacks_is_an_error(tmp_path: Path) -> None:
    own = folder(tmp_path, "https")
    file = tmp_path / "components" / "https" / "kustomization.yaml"
    file.write_text(file.read_text().replace("fieldPath: metadata.name", "fieldPath: spec.releaseName"))
    with pytest.raises(KustomizeError, match=r"fieldPath `spec\.releaseName` is missing"):
        built(own)


def test_an_application_gives_its_ingress_another_host_by_a_patch(tmp_path: Path) -> None:
    patch = '- {op: replace, path: /spec/rules/0/host, value: "other.${domain}"}'
    patches = [{"target": {"kind": "Ingress", "name": APPLICATION}, "patch": patch}]
    assert ingress(folder(tmp_path, "https", patches=patches))["spec"]["rules"][0]["host"] == "other.home.example.org"


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_without_an_ingress_is_an_error(tmp_path: Path, profile: str) -> None:
    with pytest.raises(KustomizeError, match="nothing selected"):
        built(folder(tmp_path, profile))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_before_the_ingress_is_an_error(tmp_path: Path, profile: str) -> None:
    with pytest.raises(KustomizeError, match="nothing selected"):
        built(folder(tmp_path, profile, "https"))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_keeps_what_the_ingress_says(tmp_path: Path, profile: str) -> None:
    assert ingress(folder(tmp_path, "https", profile))["spec"] == ingress(folder(tmp_path, "https"))["spec"]


@pytest.mark.parametrize(
    ("profile", "annotation", "value"),
    [
        ("uploads", "client-max-body-size", "0"),
        ("websocket", "websocket-services", APPLICATION),
        ("streaming", "proxy-buffering", "False"),
        ("grpc", "grpc-services", APPLICATION),
    ],
)
def test_a_profile_says_what_the_controller_reads(tmp_path: Path, profile: str, annotation: str, value: str) -> None:
    assert ingress(folder(tmp_path, "https", profile))["metadata"]["annotations"][f"nginx.org/{annotation}"] == value


def test_profiles_go_together_in_any_order(tmp_path: Path) -> None:
    one = ingress(folder(tmp_path / "a", "https", *PROFILES))
    other = ingress(folder(tmp_path / "b", "https", *reversed(PROFILES)))
    assert one == other


def test_sign_on_lets_authentiks_servers_in_and_nobody_else(tmp_path: Path) -> None:
    made = built(folder(tmp_path, "sign-on"), VARIABLES)
    assert {kind for kind, _ in made} == {"HelmRelease", "NetworkPolicy"}
    policy = made["NetworkPolicy", f"{APPLICATION}-from-sign-on"]["spec"]
    assert policy["podSelector"]["matchLabels"] == {"app.kubernetes.io/instance": APPLICATION}
    [rule] = policy["ingress"]
    [peer] = rule["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "authentik"}
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": "server"}
    assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]


def test_sign_on_without_a_release_is_an_error(tmp_path: Path) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}}
    with pytest.raises(KustomizeError, match="nothing selected"):
        built(folder(tmp_path, "sign-on", resources=[service]))


def test_every_component_is_tested_here() -> None:
    there = {path.name for path in (GITOPS / "components").iterdir()}
    assert there == {"https", "sign-on", *PROFILES}
