"""The search for generated secrets that are made past the component for them."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pulumi_kubernetes as kubernetes
import pytest
from pulumi_kubernetes.apiextensions import CustomResource

from checks.application_secrets import handwritten_findings, stray_findings
from checks.graph import record
from tests.manifests import manifests

GROUP = "external-secrets.io"


class Owner(pulumi.ComponentResource):
    """A component of any type with one custom resource below it."""

    def __init__(self, token: str, api_version: str, kind: str) -> None:
        providers: list[pulumi.ProviderResource] = [kubernetes.Provider("kubernetes")]
        super().__init__(token, "owner", None, pulumi.ResourceOptions(providers=providers))
        CustomResource("thing", api_version=api_version, kind=kind, opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({})


def found(token: str, api_version: str, kind: str) -> list[str]:
    graph = record(lambda: Owner(token, api_version, kind) and None)
    return [finding.message for finding in stray_findings(graph)]


@pytest.mark.parametrize(
    ("token", "api_version", "kind"),
    [
        ("homelab:secrets:ApplicationSecret", f"{GROUP}/v1", "ExternalSecret"),
        ("homelab:secrets:ApplicationSecret", f"{GROUP}/v1alpha1", "PushSecret"),
        ("homelab:secrets:ApplicationSecret", f"generators.{GROUP}/v1alpha1", "Password"),
        ("homelab:secrets:VaultStore", f"{GROUP}/v1", "ClusterSecretStore"),
        ("homelab:dns:PowerDns", "cert-manager.io/v1", "Certificate"),
    ],
)
def test_what_its_component_makes_is_not_a_finding(token: str, api_version: str, kind: str) -> None:
    assert found(token, api_version, kind) == []


@pytest.mark.parametrize(
    ("token", "api_version", "kind"),
    [
        ("homelab:dns:PowerDns", f"{GROUP}/v1", "ExternalSecret"),
        ("homelab:dns:PowerDns", f"generators.{GROUP}/v1alpha1", "Password"),
        ("homelab:secrets:VaultStore", f"{GROUP}/v1alpha1", "PushSecret"),
        ("homelab:secrets:ApplicationSecret", f"{GROUP}/v1", "ClusterSecretStore"),
    ],
)
def test_what_another_component_makes_is_found(token: str, api_version: str, kind: str) -> None:
    [message] = found(token, api_version, kind)
    assert message.endswith(": declare the secret in stacks/application_secrets.py")


@pytest.mark.parametrize("kind", ["ClusterExternalSecret", "SecretStore", "ClusterGenerator"])
def test_a_kind_that_nobody_may_make_is_found_wherever_it_is(kind: str) -> None:
    assert found("homelab:secrets:ApplicationSecret", f"{GROUP}/v1", kind) != []


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("one.yaml", "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\n", 1),
        ("second.yml", "kind: A\n---\napiVersion: 'generators.external-secrets.io/v1alpha1'\n", 3),
        ("inside.yaml", "kind: HelmRelease\nspec:\n  extra:\n    - apiVersion: external-secrets.io/v1\n", 4),
        ("template.yaml", "{{ if .Values.on }}\napiVersion: external-secrets.io/v1beta1\n{{ end }}\n", 2),
        ("file.json", '{"apiVersion": "external-secrets.io/v1"}', 1),
    ],
)
def test_a_handwritten_object_is_found_wherever_it_stands(tmp_path: Path, name: str, text: str, line: int) -> None:
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps" / name
    file.write_text(text)
    assert [finding.source for finding in handwritten_findings(tmp_path)] == [f"{file}:{line}"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "apiVersion: v1\nkind: ConfigMap\n"),
        ("a.yaml", "apiVersion: not-external-secrets.io/v1\n"),
        ("a.yaml", "# external-secrets.io/v1 is not for here\n"),
        ("a.md", "apiVersion: external-secrets.io/v1\n"),
    ],
)
def test_other_text_is_not_a_finding(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert handwritten_findings(tmp_path) == []


def test_a_search_in_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gitops: is no directory, and a search there could find nothing"):
        handwritten_findings(tmp_path / "gitops")


def test_this_repository_has_no_handwritten_secret() -> None:
    assert [finding for directory in manifests() for finding in handwritten_findings(directory)] == []
