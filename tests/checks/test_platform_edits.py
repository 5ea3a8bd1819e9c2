"""Edits that are no faults: people make them every day, and the checker must not stand in their way."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.model.platform import Platform
from tests.checks.changes import at
from tests.checks.platforms import Change, Edit, appended, edited, findings, platform, real

PAGE, LOGIN, PHASES = "gitops/forge/page.yaml", "gitops/secrets/login.yaml", "gitops/cluster/phases.yaml"
KUSTOMIZATION = "gitops/forge/kustomization.yaml"

_POD = "{containers: [{name: a, image: docker.io/library/caddy:2.10.2}]"


def document(kind: str, name: str, body: str, version: str = "v1", namespace: str = "forge") -> Edit:
    place = f", namespace: {namespace}" if namespace else ""
    return appended(LOGIN, f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}{place}}}\n{body}\n")


def workload(kind: str, name: str, more: str = "", pod: str = _POD + "}") -> Edit:
    template = f"template: {{metadata: {{labels: {{app: {name}}}}}, spec: {pod}}}"
    return document(kind, name, f"spec: {{selector: {{matchLabels: {{app: {name}}}}}, {more} {template}}}", "apps/v1")


def extra_file(root: Path) -> None:
    (root / "gitops/forge/draft.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: draft}\n")
    (root / "gitops/.checkignore").write_text("forge/draft.yaml  # not before the next release\n")


TREE: dict[str, Edit] = {
    "a moving tag with a digest": edited(PAGE, ("caddy:2.10.2", f"caddy:latest@sha256:{'0' * 64}")),
    "a public address": edited(PAGE, ("http://forge-http.forge.svc:3000", "https://example.org:8443")),
    "more processor time": edited(PAGE, ("cpu: 10m", "cpu: 50m")),
    "a label on a pod": edited(PAGE, ("labels: {app: page}", "labels: {app: page, tier: web}")),
    "an annotation of the controller that runs": edited(
        PAGE,
        (
            "  name: page\n  namespace: forge\n",
            '  name: page\n  namespace: forge\n  annotations: {nginx.org/redirect-to-https: "true"}\n',
        ),
    ),
    "a longer timeout outside": edited(
        PHASES, ("  timeout: 15m\n  path: ./gitops/forge", "  timeout: 30m\n  path: ./gitops/forge")
    ),
    "another interval": edited(PHASES, ("interval: 10m", "interval: 5m")),
    "a comment": edited(PAGE, ("  replicas: 1\n", "  replicas: 1  # one is enough\n")),
    "another order of files": edited(
        KUSTOMIZATION, ("  - release.yaml\n  - page.yaml\n", "  - page.yaml\n  - release.yaml\n")
    ),
    "another namespace": document("Namespace", "more", "", namespace=""),
    "a ConfigMap": document("ConfigMap", "texts", "data: {hello: world}"),
    "an optional Secret": edited(
        PAGE, ("          ports:", "          envFrom: [{secretRef: {name: extra, optional: true}}]\n          ports:")
    ),
    "a second port": edited(
        PAGE,
        (
            "  ports: [{name: http, port: 80, targetPort: http}]",
            "  ports: [{name: http, port: 80, targetPort: http}, {name: alt, port: 81, targetPort: http}]",
        ),
    ),
    "three replicas without a volume": workload("Deployment", "stateless", "replicas: 3,"),
    "a StatefulSet that rolls with single volumes": workload(
        "StatefulSet",
        "state",
        "serviceName: page, volumeClaimTemplates: [{metadata: {name: d}, spec: {accessModes: "
        "[ReadWriteOnce], storageClassName: proxmox, resources: {requests: {storage: "
        "1Gi}}}}],",
    ),
    "two Services on one address": appended(
        LOGIN,
        "---\n".join(
            f"apiVersion: v1\nkind: Service\nmetadata: {{name: share-{kind}, namespace: forge, "
            f"annotations: {{metallb.io/loadBalancerIPs: 10.0.3.9, metallb.io/allow-shared-ip: "
            f"one}}}}\n"
            f"spec: {{type: LoadBalancer, selector: {{app: page}}, ports: [{{name: a, port: 53, "
            f"protocol: {kind.upper()}, targetPort: http}}]}}\n"
            for kind in ("tcp", "udp")
        ),
    ),
    "pods on the host's network in a privileged namespace": appended(
        LOGIN,
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: host, labels: "
        "{pod-security.kubernetes.io/enforce: privileged}}\n---\n"
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent, namespace: host}\n"
        "spec: {selector: {matchLabels: {app: agent}}, template: {metadata: {labels: {app: "
        "agent}}, spec: {hostNetwork: true, containers: [{name: a, image: "
        "docker.io/library/caddy:2.10.2}]}}}\n",
    ),
    "a namespace that a release makes": edited(
        "gitops/forge/release.yaml", ("  timeout: 10m\n", "  timeout: 10m\n  install: {createNamespace: true}\n")
    ),
    "a generated value that stays": appended(
        LOGIN,
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: once, namespace: forge}\n"
        'spec: {refreshInterval: "0", dataFrom: [{sourceRef: {generatorRef: {apiVersion: '
        "generators.external-secrets.io/v1alpha1, kind: Password, name: once}}}], target: "
        "{name: once}}\n"
        "---\napiVersion: generators.external-secrets.io/v1alpha1\nkind: Password\n"
        "metadata: {name: once, namespace: forge}\nspec: {length: 32}\n",
    ),
    "a generated value that stays for a year": appended(
        LOGIN,
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: year, namespace: forge}\n"
        "spec: {refreshInterval: 8760h, dataFrom: [{sourceRef: {generatorRef: {apiVersion: "
        "generators.external-secrets.io/v1alpha1, kind: Password, name: year}}}], target: "
        "{name: year}}\n"
        "---\napiVersion: generators.external-secrets.io/v1alpha1\nkind: Password\n"
        "metadata: {name: year, namespace: forge}\nspec: {length: 32}\n",
    ),
    "a CronJob": document(
        "CronJob",
        "nightly",
        f"spec: {{schedule: 0 3 * * *, jobTemplate: {{spec: {{template: {{spec: {_POD}, restartPolicy: Never}}}}}}}}}}",
        "batch/v1",
    ),
    "an autoscaler": document(
        "HorizontalPodAutoscaler",
        "page",
        "spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: page}, maxReplicas: 1}",
        "autoscaling/v2",
    ),
    "a network policy": document(
        "NetworkPolicy", "page", "spec: {podSelector: {}, policyTypes: [Ingress]}", "networking.k8s.io/v1"
    ),
    "a disruption budget": document(
        "PodDisruptionBudget", "page", "spec: {maxUnavailable: 1, selector: {matchLabels: {app: page}}}", "policy/v1"
    ),
    "another key of a Secret": edited(LOGIN, ("password: AgBz", "password: AgBz, token: AgC0")),
    "another path of the same host": edited(
        PAGE,
        (
            "          - {path: /, ",
            "          - {path: /api, pathType: Prefix, backend: {service: {name: forge-http, "
            "port: {name: http}}}}\n          - {path: /, ",
        ),
    ),
    "a wildcard certificate": edited(
        "gitops/forge/certificate.yaml", ('dnsNames: ["page.${domain}"]', 'dnsNames: ["*.${domain}"]')
    ),
    "an account with its rights": appended(
        LOGIN,
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: reader, namespace: forge}\n---\n"
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: reader, namespace: forge}\n"
        "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}\n"
        "subjects: [{kind: ServiceAccount, name: reader, namespace: forge}]\n",
    ),
    "an image by digest": edited(PAGE, ("caddy:2.10.2", f"caddy@sha256:{'0' * 64}")),
    "a probe by number": edited(PAGE, ("port: http}}", "port: 8080}}")),
    "a file that is left out on purpose": extra_file,
    "a label on everything": edited(KUSTOMIZATION, ("resources:\n", "labels: [{pairs: {team: home}}]\nresources:\n")),
    "a patch": edited(
        KUSTOMIZATION,
        (
            "resources:\n",
            "patches:\n  - target: {kind: Deployment, name: page}\n    patch: |\n"
            "      - {op: replace, path: /spec/replicas, value: 1}\nresources:\n",
        ),
    ),
    "a generated ConfigMap": edited(
        KUSTOMIZATION,
        ("resources:\n", "configMapGenerator: [{name: page, namespace: forge, literals: [a=b]}]\nresources:\n"),
    ),
    "the long form of a Service's name": edited(
        PAGE, ("forge-http.forge.svc:3000", "forge-http.forge.svc.cluster.local:3000")
    ),
    "a larger claim": edited(PAGE, ("storage: 1Gi", "storage: 2Gi")),
    "the default class": edited(PAGE, ("storageClassName: proxmox, ", "")),
    "a variable with a default": edited(
        "gitops/forge/certificate.yaml", ("page.${domain}", "page.${domain:=example.org}")
    ),
}


def memory(made: Platform) -> None:
    made.machines[0].memory = {"dedicated": 8192, "floating": 4096}


PROGRAM: dict[str, Change] = {
    "a balloon within bounds": memory,
    "a smaller pool": at("IPAddressPool", "services-pool", "spec", "addresses", value=["10.0.3.4-10.0.3.10"]),
    "a pool as a network": at("IPAddressPool", "services-pool", "spec", "addresses", value=["10.0.3.16/29"]),
    "an annotation of a namespace": at("Namespace", "powerdns", "metadata", "annotations", "note", value="ours"),
    "a shorter certificate": at("Certificate", "vault-tls", "spec", "duration", value="1440h0m0s"),
    "another rhythm of reading": at("ExternalSecret", "oidc-gitea", "spec", "refreshInterval", value="30m"),
    "a policy of a class": at("StorageClass", "proxmox", "reclaimPolicy", value="Delete"),
    "another server of ACME": at(
        "ClusterIssuer", "letsencrypt-prod-http", "spec", "acme", "server", value="https://acme.example.org/directory"
    ),
    "a stricter namespace": at(
        "Namespace", "flux-system", "metadata", "labels", value={"pod-security.kubernetes.io/enforce": "restricted"}
    ),
    "a label of a definition's namespace": at("Namespace", "cert-manager", "metadata", "labels", "team", value="home"),
    "more copies of a database": at("Cluster", "authentik-postgres", "spec", "instances", value=3),
    "a route that covers several pools": lambda made: made.settings["tailscale"].update(routes=["10.0.3.0/27"]),
}


GITEA, DATABASE = "gitops/gitea", "gitops/gitea/database/cluster.yaml"


def settings_file(root: Path) -> None:
    (root / GITEA / "texts.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: texts}\ndata: {a: b}\n")
    edited(f"{GITEA}/kustomization.yaml", ("resources:\n", "resources:\n  - texts.yaml\n"))(root)


APPLICATIONS: dict[str, Edit] = {
    "another interval of an application": edited(f"{GITEA}/flux.yaml", ("  interval: 1h", "  interval: 2h")),
    "more servers of a database": edited(DATABASE, ("instances: 2", "instances: 3")),
    "a larger database": edited(DATABASE, ("size: 5Gi", "size: 10Gi")),
    "more memory for a database": edited(DATABASE, ("limits: {memory: 1Gi}", "limits: {memory: 2Gi}")),
    "a database that spreads strictly": edited(DATABASE, ("AffinityType: preferred", "AffinityType: required")),
    "one more port that may be called": edited(
        f"{GITEA}/network-policies.yaml",
        ("        - {port: 465, protocol: TCP}\n", "        - {port: 465, protocol: TCP}\n        - {port: 22}\n"),
    ),
    "an annotation of an application's Ingress": edited(
        f"{GITEA}/kustomization.yaml",
        (
            '      - {op: replace, path: /spec/rules/0/host, value: "git.${domain}"}\n',
            '      - {op: replace, path: /spec/rules/0/host, value: "git.${domain}"}\n'
            '      - {op: add, path: /metadata/annotations/nginx.org~1proxy-read-timeout, value: "90s"}\n',
        ),
    ),
    "a ConfigMap beside an application": settings_file,
    "another rhythm of looking for charts": edited(f"{GITEA}/repository.yaml", ("interval: 12h", "interval: 24h")),
    "a policy on the number of a port": edited(
        f"{GITEA}/network-policies.yaml", ("{port: ssh, protocol: TCP}", "{port: 2222, protocol: TCP}")
    ),
}


def test_there_are_sixty_edits() -> None:
    assert len(TREE) + len(PROGRAM) + len(APPLICATIONS) == 60


def test_no_edit_of_an_application_is_a_fault(tmp_path: Path) -> None:
    def edit(root: Path) -> None:
        for one in APPLICATIONS.values():
            one(root)

    assert [f"{one.rule}: {one.object} {one.field} {one.problem}" for one in findings(real(tmp_path, edit))] == []


GROUPS = [list(TREE)[first : first + 6] for first in range(0, len(TREE), 6)]
"""Edits that are made together, because each platform takes a second."""


@pytest.mark.parametrize("names", GROUPS, ids=[group[0] for group in GROUPS])
def test_an_edit_of_the_tree_is_no_fault(tmp_path: Path, names: list[str]) -> None:
    def edit(root: Path) -> None:
        for name in names:
            TREE[name](root)

    assert [
        f"{one.rule}: {one.object} {one.field} {one.problem}" for one in findings(platform(tmp_path, edit=edit))
    ] == []


def test_the_name_of_a_secret_with_one_of_its_keys_beside_it_is_no_literal(tmp_path: Path) -> None:
    def values(text: str) -> Edit:
        return edited(
            "gitops/forge/release.yaml", ("existingSecret: forge-login", f"existingSecret: forge-login, {text}")
        )

    def literal(directory: str, text: str) -> list[str]:
        found = findings(platform(tmp_path / directory, edit=values(text)))
        return [one.field for one in found if one.rule == "literal-secret"]

    assert literal("reference", "login: {secret: forge-login, secretKey: password}") == []
    assert literal("literal", "login: {secret: hunter2}") == ["spec.values.login.secret"]


def test_no_edit_of_the_program_is_a_fault(tmp_path: Path) -> None:
    def change(made: Platform) -> None:
        for one in PROGRAM.values():
            one(made)

    assert [f"{one.rule}: {one.object} {one.problem}" for one in findings(platform(tmp_path, change=change))] == []
