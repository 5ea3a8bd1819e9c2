"""Edits and changes by which the known faults are put into the repository."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

from checks.model.platform import Platform
from tests.checks.changes import (
    added,
    all_of,
    at,
)
from tests.checks.platforms import Change, Edit, edited, object_of

GITEA, HARBOR = "gitops/gitea/release.yaml", "gitops/harbor/release.yaml"
FLUX, DATABASE = "gitops/gitea/flux.yaml", "gitops/gitea/database/cluster.yaml"
MONITORING = "gitops/monitoring/flux.yaml"
SOLVER = ("spec", "acme", "solvers", 0, "dns01", "webhook")
GENERATOR = {"apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Password"}


def release(name: str, namespace: str, chart: str, version: str) -> str:
    """A HelmRelease of a chart that is there already."""
    source = "{kind: HelmRepository, name: metrics-server, namespace: metrics-server}"
    return (
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{chart: {{spec: {{chart: {chart}, version: {version}, sourceRef: {source}}}}}}}\n"
    )


def image(file: str, program: str, other: str) -> Edit:
    """An edit that gives another image in place of one program's, whatever its version and digest are."""

    def edit(root: Path) -> None:
        text, count = re.subn(rf"\S*\b{program}:\S+@sha256:\w+", other, (root / file).read_text())
        assert count, f"{file} has no image of {program}"
        (root / file).write_text(text)

    return edit


def copied(root: Path) -> None:
    """The HelmRelease of Gitea in a second Kustomization, with one value changed."""
    text = (root / GITEA).read_text().replace("size: 20Gi", "size: 30Gi")
    (root / "gitops/gitea/hand-over/release.yaml").write_text(text)
    edited("gitops/gitea/hand-over/kustomization.yaml", ("resources:\n", "resources:\n  - release.yaml\n"))(root)
    # Otherwise it would also have too little time.
    edited(FLUX, ("  timeout: 5m\n", "  timeout: 20m\n"))(root)


CHILD = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: alerts}
spec:
  dependsOn: [{name: monitoring, namespace: flux-system}]
  sourceRef: {kind: GitRepository, name: homelab, namespace: flux-system}
  path: ./gitops/monitoring/rules
  interval: 1h
  prune: true
"""


def contained(root: Path) -> None:
    """A Kustomization among the objects of the one that it waits for."""
    parts = (root / MONITORING).read_text().split("---\n")
    (root / MONITORING).write_text("---\n".join(parts[:-1]))
    (root / "gitops/monitoring/alerts.yaml").write_text(CHILD)
    edited("gitops/monitoring/kustomization.yaml", ("resources:\n", "resources:\n  - alerts.yaml\n"))(root)


def gone(file: str) -> Edit:
    return lambda root: (root / file).unlink()


GENERATED = """\
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: gitea-cache}
spec:
  refreshInterval: 1h
  dataFrom:
    - sourceRef:
        generatorRef: {apiVersion: generators.external-secrets.io/v1alpha1, kind: Password, name: cache}
  target: {name: gitea-cache}
---
apiVersion: generators.external-secrets.io/v1alpha1
kind: Password
metadata: {name: cache}
spec: {length: 32}
"""


def patched(operation: str) -> Edit:
    """An edit by which a patch of Gitea's Ingress does one thing more."""
    first = '      - {op: replace, path: /spec/rules/0/host, value: "git.${domain}"}\n'
    return edited("gitops/gitea/kustomization.yaml", (first, f"{first}      - {operation}\n"))


ISSUER = "cert-manager.io/v1"
CRON_JOB = "gitops/harbor/setup/cron-job.yaml"

SYSCTL = edited(
    CRON_JOB,
    (
        "            runAsNonRoot: true\n",
        '            runAsNonRoot: true\n            sysctls: [{name: net.core.somaxconn, value: "1024"}]\n',
    ),
)

OWN_TIMES = (
    "  namespace: flux-system\nspec:\n",
    "  namespace: flux-system\n  labels: {homelab/defaults: disabled}\nspec:\n",
)
"""An edit by which the times are those of the file, and no longer what the program gives to all."""

MOVED_AUTHORITY = all_of(
    added("Certificate", "other", {"secretName": "other", "isCA": True, "issuerRef": {"name": "cluster-ca-bootstrap"},
                                   "commonName": "other"}, ISSUER, "cert-manager"),
    added("ClusterIssuer", "other", {"ca": {"secretName": "other"}}, ISSUER),
    at("Certificate", "vault-tls", "spec", "issuerRef", value={"kind": "ClusterIssuer", "name": "other"}),
    at(
        "ClusterSecretStore",
        "vault",
        *("spec", "provider", "vault", "caProvider"),
        value={"type": "Secret", "namespace": "cert-manager", "name": "cluster-ca", "key": "tls.crt"},
    ),
)  # fmt: skip


def in_namespace(kind: str, namespace: str, name: str, *path: str | int, value: object) -> Change:
    """A change of an object whose name other namespaces have too."""

    def change(made: Platform) -> None:
        [thing] = [one for one in made.objects if (one.kind, one.namespace, one.name) == (kind, namespace, name)]
        inside: Any = thing.content
        for part in path[:-1]:
            inside = inside[part]
        inside[path[-1]] = value

    return change


def taken(kind: str, namespace: str, name: str) -> Change:
    """A change that takes away an object whose name other namespaces have too."""

    def change(made: Platform) -> None:
        made.objects = [one for one in made.objects if (one.kind, one.namespace, one.name) != (kind, namespace, name)]

    return change


def talos_document(document: dict[str, object]) -> Change:
    """A change that gives all machines one more part of their configuration."""
    return lambda made: made.talos.patches.append(copy.deepcopy(document))


def unwritten(made: Platform) -> None:
    """Nothing writes a value to Vault that something reads there."""
    made.objects.remove(object_of(made, "PushSecret", "gitea-database-v1-password-48"))
