"""Faults in the repository's own tree and records: each is found, with its object, its field and the counterpart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.checks.platforms import Edit, appended, edited, findings, real

FLUX, RELEASE = "gitops/gitea/flux.yaml", "gitops/gitea/release.yaml"
POLICIES, DATABASE = "gitops/gitea/network-policies.yaml", "gitops/gitea/database/cluster.yaml"
MONITORS, WIDE = "gitops/monitoring/monitors/pods.yaml", "gitops/monitoring/monitors/services.yaml"
RECORD, FOLDER = "charts/records/gitea.json", "gitops/gitea/kustomization.yaml"

CILIUM = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: cilium, namespace: kube-system}
spec:
  chart: {spec: {chart: cilium, version: 1.20.0, sourceRef: {kind: HelmRepository, name: gitea, namespace: gitea}}}
"""

_DATABASES = "cnpg.io/podRole: instance}\n  podMetricsEndpoints:\n    - port: http-metrics"


@dataclass(frozen=True)
class Fault:
    edit: Edit
    rule: str
    words: tuple[str, ...]
    """What the finding says: object, field and counterpart."""


FAULTS: dict[str, Fault] = {
    "no wait for the database whose authority is mounted": Fault(
        edited(FLUX, ("  dependsOn:\n    - name: gitea-database\n", "")),
        "producer-first",
        ("HelmRelease gitea/gitea", "postRenderers", "Secret gitea/gitea-postgres-ca", "flux-system/gitea-database"),
    ),
    "a wait for a Kustomization that was renamed": Fault(
        edited(FLUX, ("    - name: gitea-database\n", "    - name: gitea-postgres\n")),
        "reference",
        ("Kustomization flux-system/gitea", "spec.dependsOn[0].name", "gitea-postgres", "gitea-database"),
    ),
    "a number in words": Fault(
        edited(DATABASE, ("instances: 2", "instances: two")),
        "unknown-field",
        ("Cluster gitea/gitea-postgres", "spec.instances", "integer"),
    ),
    "a method that the operator does not have": Fault(
        edited(DATABASE, ("primaryUpdateMethod: switchover", "primaryUpdateMethod: reload")),
        "unknown-field",
        ("Cluster gitea/gitea-postgres", "spec.primaryUpdateMethod", "reload", "switchover"),
    ),
    "a moving image of a database": Fault(
        edited(DATABASE, ("postgresql:17.11-system-trixie", "postgresql:latest")),
        "image-pin",
        ("Cluster gitea/gitea-postgres", "spec.imageName", "latest"),
    ),
    "an owner whose Secret is called otherwise": Fault(
        edited(DATABASE, ("name: gitea-database", "name: gitea-db")),
        "reference",
        ("Cluster gitea/gitea-postgres", "spec.bootstrap.initdb.secret", "Secret gitea/gitea-db", "gitea-database"),
    ),
    "a policy on a port that no container has": Fault(
        edited(POLICIES, ("port: ssh,", "port: sshd,")),
        "policy-port",
        ("NetworkPolicy gitea/gitea-ssh", "spec.ingress[0].ports[0].port", "sshd", "ssh"),
    ),
    "a call of the Service's port, where the pods open another": Fault(
        edited(POLICIES, ("port: 9292,", "port: 80,")),
        "policy-other-side",
        ("NetworkPolicy gitea/gitea-calls", "spec.egress[2].ports[0].port", "is 80", "flux-system", "9292"),
    ),
    "a policy about a database that does not exist": Fault(
        edited(POLICIES, ("cnpg.io/cluster: gitea-postgres", "cnpg.io/cluster: gitea-pg")),
        "policy-pods",
        ("NetworkPolicy gitea/gitea-calls", "spec.egress[0].to[0].podSelector", "gitea-pg", "gitea-postgres"),
    ),
    "a value that nobody recorded": Fault(
        edited(RELEASE, ("size: 20Gi", "size: 200Gi")), "chart-record", ("release gitea/gitea", "gitea 12.7.0")
    ),
    "a value that the chart does not have": Fault(
        edited(RELEASE, ("    strategy: {type: Recreate}", "    gitea-strategy: {type: Recreate}")),
        "chart-pin",
        ("release gitea/gitea", "values.gitea-strategy", "gitea 12.7.0"),
    ),
    "a Deployment that rolls with its only volume": Fault(
        edited(RECORD, ('"strategy": {"type": "Recreate"}', '"strategy": {"type": "RollingUpdate"}')),
        "volume-deadlock",
        ("Deployment gitea/gitea", "spec.strategy.type", "PersistentVolumeClaim gitea/gitea-shared-storage"),
    ),
    "a chart's version that nobody looked up": Fault(
        edited(RELEASE, ("version: 12.7.0", "version: 12.7.1")),
        "chart-pin",
        ("release gitea/gitea", "12.7.1", "12.7.0"),
    ),
    "a class that no driver provides": Fault(
        edited(DATABASE, ("${storage_class}", "proxmx")),
        "reference",
        ("Cluster gitea/gitea-postgres", "storageClass", "proxmx", "proxmox"),
    ),
    "a variable that the platform does not have": Fault(
        edited(DATABASE, ("${storage_class}", "${storageclass}")),
        "flux-build",
        ("Kustomization flux-system/gitea-database", "storageclass"),
    ),
    "a Service that the chart calls otherwise": Fault(
        edited(FOLDER, ("value: gitea-http}", "value: gitea-web}")),
        "reference",
        ("Ingress gitea/gitea", "backend.service", "gitea-web", "gitea-http"),
    ),
    "a file that nothing lists": Fault(
        edited(FOLDER, ("  - network-policies.yaml\n", "")),
        "unlisted-file",
        (POLICIES, "gitops/gitea/kustomization.yaml"),
    ),
    "a release that the program installs": Fault(
        appended(FLUX, CILIUM), "one-release", ("release kube-system/cilium", "Release::cilium", "HelmRelease")
    ),
    "a Secret of signing on that is called otherwise": Fault(
        edited(RELEASE, ("{kind: Secret, name: oidc-gitea}", "{kind: Secret, name: gitea-oidc}")),
        "release-values",
        ("release gitea/gitea", "spec.valuesFrom[0]", "Secret gitea/gitea-oidc", "there are", "oidc-gitea"),
    ),
    "a key of the authority that is not there": Fault(
        edited(RELEASE, ("items: [{key: ca.crt,", "items: [{key: ca.pem,")),
        "reference-key",
        ("HelmRelease gitea/gitea", "postRenderers", "ca.pem", "Secret gitea/gitea-postgres-ca", "ca.crt"),
    ),
    "a monitor of a port that Tempo's pod calls otherwise": Fault(
        edited(MONITORS, ("port: prom-metrics", "port: http-metrics")),
        "monitor-target",
        ("PodMonitor monitoring/tempo", "spec.podMetricsEndpoints[0].port", "http-metrics", "prom-metrics"),
    ),
    "a monitor of a label that no pod has": Fault(
        edited(MONITORS, ("app.kubernetes.io/name: loki", "app.kubernetes.io/name: loki-single")),
        "monitor-target",
        ("PodMonitor monitoring/loki", "spec.selector", "loki-single", "app.kubernetes.io/name=loki"),
    ),
    "a monitor of a port that a database's operator calls otherwise": Fault(
        edited(MONITORS, ("cnpg.io/podRole: instance}\n  podMetricsEndpoints:\n    - port: metrics", _DATABASES)),
        "monitor-target",
        ("PodMonitor monitoring/postgresql", "spec.podMetricsEndpoints[0].port", "http-metrics", "metrics"),
    ),
    "a monitor of a Service's port that has another name": Fault(
        edited(WIDE, ("port: http-metrics", "port: metrics")),
        "monitor-target",
        ("ServiceMonitor monitoring/vault-operator", "spec.endpoints[0].port", "metrics", "http-metrics"),
    ),
    "pods that are asked and do not let Prometheus in": Fault(
        edited(
            "gitops/traces/network-policy.yaml",
            ("kubernetes.io/metadata.name: monitoring", "kubernetes.io/metadata.name: logs"),
        ),
        "monitor-closed",
        ("PodMonitor monitoring/tempo", "3200", "StatefulSet traces/tempo"),
    ),
}


def test_the_repository_s_own_tree_has_no_finding(tmp_path: Path) -> None:
    assert [f"{one.rule}: {one.object} {one.problem}" for one in findings(real(tmp_path))] == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_an_application_is_found(tmp_path: Path, name: str) -> None:
    fault = FAULTS[name]
    found = findings(real(tmp_path, fault.edit))
    said = [f"{one.object} {one.field} {one.problem} {one.where}" for one in found if one.rule == fault.rule]
    assert any(all(word in text for word in fault.words) for text in said), [f"{one.rule}: {one}" for one in found]
    assert len(found) <= 4, [f"{one.rule}: {one.object} {one.problem}" for one in found]
