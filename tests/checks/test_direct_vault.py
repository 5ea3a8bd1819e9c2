"""Applications that would speak to Vault themselves are found, in the program and in files for Flux."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from checks.direct_vault import file_findings, program_findings
from checks.graph import echo, record

SEEDED = [
    ("VAULT_ADDR: http://elsewhere", "a variable of Vault's clients"),
    ("address: https://instance.vault.svc:8200", "an address of Vault"),
    ("address: https://instance-0.vault.svc.cluster.local:8200", "an address of Vault"),
    ("url: http://vault:8200", "an address of Vault"),
    ("host: instance.vault.svc", "an address of Vault"),
    ('vault.hashicorp.com/agent-inject: "true"', "an annotation of Vault's injector"),
    ("vault.security.banzaicloud.io/vault-role: gitea", "an annotation of Vault's injector"),
    ("password: vault:kv/data/gitea#password", "a value that a webhook would fetch from Vault"),
    ("driver: secrets-store.csi.k8s.io", "Vault's CSI provider"),
    ("apiVersion: secrets.hashicorp.com/v1beta1", "an operator that reads Vault for one application"),
]
HARMLESS = [
    "valuesFrom: [{kind: Secret, name: oidc-gitea, valuesKey: values.yaml}]",
    "host: vault.example.org",
    "# VAULT_ADDR would be wrong here",
    "groups: [vault-users]",
    "url: https://vault.example.org/ui",
]


@pytest.mark.parametrize(("line", "sign"), SEEDED)
def test_a_file_that_speaks_to_vault_is_found(tmp_path: Path, line: str, sign: str) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "release.yaml").write_text(f"kind: HelmRelease\n{line}\n")
    [found] = file_findings(tmp_path)
    assert (found.resource, found.message.partition(":")[0]) == ("app/release.yaml", f"holds {sign}")
    assert found.source.endswith("release.yaml:2")


@pytest.mark.parametrize("line", HARMLESS)
def test_what_only_sounds_like_vault_is_not_a_finding(tmp_path: Path, line: str) -> None:
    (tmp_path / "release.yaml").write_text(line)
    assert file_findings(tmp_path) == []


def test_a_search_in_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gitops: is no directory, and a search there could find nothing"):
        file_findings(tmp_path / "gitops")


def program(parent: str, values: dict[str, Any]) -> list[str]:
    """What is found in a release below a component of type `parent`."""

    def run() -> None:
        provider = kubernetes.Provider("kubernetes")
        component = pulumi.ComponentResource(parent, "parent", None, pulumi.ResourceOptions(providers=[provider]))
        kubernetes.helm.v3.Release(
            "app",
            kubernetes.helm.v3.ReleaseArgs(chart="app", name="app", values=values),
            opts=pulumi.ResourceOptions(parent=component),
        )

    return [found.message for found in program_findings(record(run, project="homelab", fakes={"kubernetes": echo}))]


def test_a_release_that_speaks_to_vault_is_found() -> None:
    env = [{"name": "VAULT_TOKEN", "value": "x"}]
    assert program("homelab:test:App", {"server": {"env": env}}) == [
        "holds a variable of Vault's clients: declare the value in stacks/application_secrets.py and read the Secret"
    ]


def test_a_release_that_reads_a_secret_is_not_a_finding() -> None:
    assert program("homelab:test:App", {"existingSecret": "oidc-app"}) == []


def test_vaults_own_objects_may_name_it() -> None:
    assert program("homelab:secrets:VaultStore", {"server": "https://instance.vault.svc:8200"}) == []
