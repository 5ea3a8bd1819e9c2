"""Faults of order and ownership in the tree of Flux, and what all its faults are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.checks.platforms import Edit, appended, cut, edited, moved, recorded, several, written

PHASES, FORGE, PAGE = "gitops/cluster/phases.yaml", "gitops/forge/release.yaml", "gitops/forge/page.yaml"
LOGIN = "gitops/secrets/login.yaml"

GENERATED = """\
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: forge-cache, namespace: forge}
spec:
  refreshInterval: "0"
  dataFrom:
    - sourceRef:
        generatorRef: {apiVersion: generators.external-secrets.io/v1alpha1, kind: Password, name: cache}
  target: {name: forge-cache, template: {data: {key: "{{ .password }}"}}}
---
apiVersion: generators.external-secrets.io/v1alpha1
kind: Password
metadata: {name: cache, namespace: forge}
spec: {length: 32}
"""


def copied_release(root: Path) -> None:
    edited(
        PHASES,
        (
            "  dependsOn: [{name: operators}]\n  interval: 10m\n  timeout: 5m\n",
            "  dependsOn: [{name: operators}, {name: secrets}]\n  interval: 10m\n  timeout: 15m\n",
        ),
    )(root)
    text = (root / FORGE).read_text().replace("5Gi", "6Gi")
    (root / "gitops/samples/forge.yaml").write_text(text)
    edited("gitops/samples/kustomization.yaml", ("resources:\n", "resources:\n  - forge.yaml\n"))(root)


SECOND_USER = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: second, namespace: forge}
spec:
  selector: {matchLabels: {app: second}}
  template:
    metadata: {labels: {app: second}}
    spec:
      containers: [{name: a, image: docker.io/library/caddy:2.10.2}]
      volumes: [{name: page, persistentVolumeClaim: {claimName: page}}]
"""

BY_HAND = """\
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: by-hand, namespace: forge}
spec:
  secretStoreRef: {kind: ClusterSecretStore, name: vault}
  data: [{secretKey: a, remoteRef: {key: authentik/oidc-gitea/v1, property: client_secret}}]
"""

MORE = """\
apiVersion: v1
kind: KIND
metadata: {name: more, namespace: forge}
data:
  values.yaml: |
    size: 6Gi
"""


def from_other(kind: str, name: str = "more") -> Edit:
    """An edit by which a release takes values from somewhere else, and its own size no longer."""
    return edited(
        FORGE, ("  values: {", f"  valuesFrom: [{{kind: {kind}, name: {name}}}]\n  values: {{"), (", size: 5Gi", "")
    )


def without(file: str) -> Edit:
    return lambda root: (root / file).unlink()


@dataclass(frozen=True)
class Fault:
    edit: Edit
    rule: str
    words: tuple[str, ...]
    """What the finding says: object, field and counterpart."""


CYCLE = several(
    edited(PHASES, ("  path: ./gitops/secrets\n", "  path: ./gitops/secrets\n  dependsOn: [{name: forge}]\n")),
    edited(PHASES, ("dependsOn: [{name: secrets}, {name: samples}]", "dependsOn: [{name: samples}]")),
    edited("gitops/forge/kustomization.yaml", ("resources:\n", "resources:\n  - namespace.yaml\n")),
    written("gitops/forge/namespace.yaml", "gitops/secrets/namespace.yaml"),
    edited("gitops/secrets/kustomization.yaml", ("  - namespace.yaml\n", "")),
)
CONTAINED = several(
    edited("gitops/operators/kustomization.yaml", ("resources:\n", "resources:\n  - child.yaml\n")),
    written("gitops/operators/child.yaml", PHASES, 1),
    cut(PHASES, 1),
)

EARLY: dict[str, Fault] = {
    "a Secret that is made only after its consumer": Fault(
        CYCLE, "loop", ("flux-system/secrets", "flux-system/forge", "Secret forge/forge-login")
    ),
    "a release that the program installs too": Fault(
        appended(
            FORGE,
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n"
            "metadata: {name: cilium, namespace: kube-system}\n"
            "spec: {chart: {spec: {chart: cilium, version: 1.20.0, sourceRef: {kind: "
            "HelmRepository, name: samples, namespace: flux-system}}}, values: {}}\n",
        ),
        "one-release",
        ("release kube-system/cilium", "Release::cilium", "HelmRelease kube-system/cilium"),
    ),
    "a namespace that the program makes too": Fault(
        appended(LOGIN, "apiVersion: v1\nkind: Namespace\nmetadata: {name: cert-manager}\n"),
        "one-owner",
        ("Namespace cert-manager", "cert-manager-namespace", "Kustomization flux-system/secrets"),
    ),
    "one release in two Kustomizations": Fault(
        copied_release,
        "one-owner",
        ("HelmRelease forge/forge", "spec.values.size", "flux-system/samples", "flux-system/forge"),
    ),
    "another name for a chart that is there": Fault(
        appended(
            FORGE,
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n"
            "metadata: {name: second, namespace: forge}\n"
            "spec: {chart: {spec: {chart: cert-manager, version: v1.21.1, sourceRef: {kind: "
            "HelmRepository, name: samples, namespace: flux-system}}}, values: {}}\n",
        ),
        "one-release",
        ("second", "cert-manager", "CustomResourceDefinition"),
    ),
    "a key one level too deep": Fault(
        edited(FORGE, ("strategy: {type: Recreate}", "forge: {strategy: {type: Recreate}}")),
        "chart-pin",
        ("release forge/forge", "forge.strategy.type", "forge 4.5.6"),
    ),
    "a rolling Deployment with a single volume": Fault(
        recorded("forge", '"strategy": {"type": "Recreate"}, ', ""),
        "volume-deadlock",
        ("Deployment forge/forge", "spec.strategy.type", "PersistentVolumeClaim forge/forge-data", "ReadWriteOnce"),
    ),
    "a rolling manifest with a single volume": Fault(
        edited(PAGE, ("strategy: {type: Recreate}", "strategy: {rollingUpdate: {maxUnavailable: 0}}")),
        "volume-deadlock",
        ("Deployment forge/page", "spec.strategy.type", "PersistentVolumeClaim forge/page"),
    ),
    "no dependency on what makes the Secret": Fault(
        edited(PHASES, ("dependsOn: [{name: secrets}, {name: samples}]", "dependsOn: [{name: samples}]")),
        "producer-first",
        (
            "Kustomization flux-system/forge",
            "Secret forge/forge-login",
            "SealedSecret forge/forge-login",
            "flux-system/secrets",
        ),
    ),
    "a resource that may come before its definition": Fault(
        edited(PHASES, ("  dependsOn: [{name: operators}]\n", "")),
        "definition-first",
        ("Sample sample-system/first", "flux-system/samples", "sample-operator", "samples.samples.example.org"),
    ),
    "a resource beside the release that defines it": Fault(
        moved("gitops/samples/sample.yaml", "gitops/operators/sample.yaml"),
        "definition-first",
        ("Sample sample-system/first", "flux-system/operators", "sample-operator"),
    ),
    "a child that waits for the parent that waits for it": Fault(
        CONTAINED, "loop", ("flux-system/samples", "flux-system/operators", "spec.wait", "spec.dependsOn")
    ),
}
"""Faults of order and ownership."""
