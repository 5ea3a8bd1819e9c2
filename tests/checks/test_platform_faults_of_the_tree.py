"""Faults in the tree of Flux: each is found, with its object, its field and the counterpart.

The examples are real faults of such platforms, and others of the same kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.checks.platforms import Edit, appended, cut, edited, findings, moved, platform, recorded, several, written

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

FAULTS: dict[str, Fault] = {
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
    "a key that the Secret does not have": Fault(
        edited(PAGE, ("key: password", "key: PASSWORD")),
        "reference-key",
        ("Deployment forge/page", "secretKeyRef", "Secret forge/forge-login", "password", "username"),
    ),
    "a fixed key of a chart that the Secret does not have": Fault(
        edited(LOGIN, ("username: AgBy", "user: AgBy")),
        "reference-key",
        ("Deployment forge/forge", "initContainers[0]", "username", "Secret forge/forge-login"),
    ),
    "a variable that the generator does not give": Fault(
        appended(LOGIN, GENERATED.replace(".password }}", ".pass }}")),
        "template-variable",
        ("ExternalSecret forge/forge-cache", "spec.target.template.data.key", ".pass", "password"),
    ),
    "a second source of a credential in Vault": Fault(
        appended(LOGIN, GENERATED.replace("forge-cache", "gitea-oidc")),
        "two-sources",
        ("ExternalSecret forge/gitea-oidc", "generatorRef", "authentik/oidc-gitea/v1"),
    ),
    "a generated value that is made anew each hour": Fault(
        appended(LOGIN, GENERATED.replace('"0"', "1h")),
        "generator-refresh",
        ("ExternalSecret forge/forge-cache", "spec.refreshInterval", "1h", "Password cache"),
    ),
    "a class that no driver provides": Fault(
        edited(PAGE, ("storageClassName: proxmox", "storageClassName: proxmx")),
        "reference",
        ("PersistentVolumeClaim forge/page", "spec.storageClassName", "StorageClass proxmx", "proxmox"),
    ),
    "a class of the ingress that does not exist": Fault(
        edited(PAGE, ("ingressClassName: nginx", "ingressClassName: traefik")),
        "reference",
        ("Ingress forge/page", "spec.ingressClassName", "traefik", "nginx"),
    ),
    "an issuer that was renamed": Fault(
        edited("gitops/forge/certificate.yaml", ("letsencrypt-prod-dns", "letsencrypt-production")),
        "reference",
        ("Certificate forge/page", "spec.issuerRef", "letsencrypt-production", "letsencrypt-prod-dns"),
    ),
    "an issuer of the wrong kind": Fault(
        edited("gitops/forge/certificate.yaml", ("kind: ClusterIssuer, ", "kind: Issuer, ")),
        "reference",
        ("Certificate forge/page", "spec.issuerRef", "Issuer forge/letsencrypt-prod-dns", "ClusterIssuer"),
    ),
    "a pod that its namespace does not allow": Fault(
        edited(PAGE, ("      automountServiceAccountToken: false", "      hostNetwork: true")),
        "pod-security",
        ("Deployment forge/page", "host namespaces", "hostNetwork=true", "no label pod-security.kubernetes.io/enforce"),
    ),
    "a file that nothing lists": Fault(
        edited("gitops/forge/kustomization.yaml", ("  - certificate.yaml\n", "")),
        "unlisted-file",
        ("gitops/forge/certificate.yaml", "gitops/forge/kustomization.yaml"),
    ),
    "a line for a file that is gone": Fault(
        without("gitops/forge/certificate.yaml"), "flux-build", ("Kustomization flux-system/forge", "certificate.yaml")
    ),
    "a dependency on nobody": Fault(
        edited(PHASES, ("{name: samples}]", "{name: sample}]")),
        "reference",
        ("Kustomization flux-system/forge", "spec.dependsOn[1].name", "Kustomization flux-system/sample", "samples"),
    ),
    "a release that depends on a Kustomization": Fault(
        edited(FORGE, ("  timeout: 10m\n", "  timeout: 10m\n  dependsOn: [{name: secrets, namespace: flux-system}]\n")),
        "reference",
        ("HelmRelease forge/forge", "spec.dependsOn[0].name", "HelmRelease flux-system/secrets", "Kustomization"),
    ),
    "a field that the definition does not have": Fault(
        edited("gitops/samples/sample.yaml", ("size: 1", "size: 1, colour: red")),
        "unknown-field",
        ("Sample sample-system/first", "spec.colour", "mode"),
    ),
    "a namespace that nothing makes early enough": Fault(
        edited("gitops/secrets/kustomization.yaml", ("  - namespace.yaml\n", "")),
        "namespace-first",
        ("SealedSecret forge/forge-login", "Namespace forge"),
    ),
    "the address of a Service that is called otherwise": Fault(
        edited(PAGE, ("http://forge-http.forge.svc:3000", "http://forge.forge.svc:3000")),
        "service-address",
        ("Deployment forge/page", "env[0].value", "forge/forge", "forge-http"),
    ),
    "a port that the Service does not have": Fault(
        edited(PAGE, ("svc:3000", "svc:3001")), "service-address", ("Deployment forge/page", "3001", "3000")
    ),
    "a version that nobody looked up": Fault(
        edited(FORGE, ("version: 4.5.6", "version: 4.5.7")),
        "chart-pin",
        ("release forge/forge", "4.5.7", "forge 4.5.6"),
    ),
    "a range of versions": Fault(
        edited(FORGE, ("version: 4.5.6", "version: 4.x")),
        "chart-pin",
        ("release forge/forge", "chart.spec.version", "4.x"),
    ),
    "an image whose tag moves": Fault(
        edited(PAGE, ("caddy:2.10.2", "caddy:latest")),
        "image-pin",
        ("Deployment forge/page", "containers[0].image", "latest"),
    ),
    "an image that its publisher removed": Fault(
        recorded("forge", "registry.example.org/forge:4.5.6", "docker.io/bitnami/forge:4.5.6"),
        "image-pin",
        ("Deployment forge/forge", "docker.io/bitnami/forge:4.5.6", "forge 4.5.6"),
    ),
    "less time outside than inside": Fault(
        edited(FORGE, ("  timeout: 10m\n", "  timeout: 20m\n")),
        "inner-timeout",
        ("HelmRelease forge/forge", "spec.timeout", "20m", "flux-system/forge", "15m"),
    ),
    "an account that a store does not find": Fault(
        appended(
            LOGIN,
            "apiVersion: external-secrets.io/v1\nkind: SecretStore\n"
            "metadata: {name: local, namespace: forge}\n"
            "spec: {provider: {kubernetes: {remoteNamespace: vault, auth: {serviceAccount: "
            "{name: reader}}}}}\n",
        ),
        "reference",
        ("SecretStore forge/local", "serviceAccount", "ServiceAccount forge/reader"),
    ),
    "an address of the network that was before": Fault(
        edited(PAGE, ("http://forge-http.forge.svc:3000", "http://192.168.7.2:3000")),
        "undeclared-address",
        ("Deployment forge/page", "env[0].value", "192.168.7.2", "10.0.0.0/16"),
    ),
    "two Ingresses for one host": Fault(
        appended(
            PAGE,
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: other, namespace: "
            'forge}\nspec: {ingressClassName: nginx, rules: [{host: "page.${domain}"}]}\n',
        ),
        "one-ingress",
        ("Ingress forge/other", "spec.rules[0].host", "Ingress forge/page"),
    ),
    "an annotation of another controller": Fault(
        edited(
            PAGE,
            (
                "  name: page\n  namespace: forge\n",
                '  name: page\n  namespace: forge\n  annotations: {nginx.ingress.kubernetes.io/proxy-body-size: "0"}\n',
            ),
        ),
        "ingress-annotation",
        ("Ingress forge/page", "nginx.ingress.kubernetes.io/proxy-body-size"),
    ),
    "a probe at a port that is not there": Fault(
        edited(PAGE, ("port: http}}", "port: metrics}}")),
        "probe-port",
        ("Deployment forge/page", "readinessProbe", "metrics", "http"),
    ),
    "a Service that sends elsewhere": Fault(
        edited(PAGE, ("targetPort: http", "targetPort: web")),
        "target-port",
        ("Service forge/page", "targetPort", "web", "http"),
    ),
    "a Service without pods": Fault(
        edited(PAGE, ("selector: {app: page}", "selector: {app: pages}")),
        "service-selector",
        ("Service forge/page", "app=pages", "app=page"),
    ),
    "a Secret in clear": Fault(
        appended(
            LOGIN,
            "apiVersion: v1\nkind: Secret\nmetadata: {name: plain, namespace: forge}\n"
            "stringData: {password: hunter2}\n",
        ),
        "literal-secret",
        ("Secret forge/plain", "stringData.password"),
    ),
    "an application that speaks to Vault": Fault(
        edited(PAGE, ("http://forge-http.forge.svc:3000", "https://instance.vault.svc:8200")),
        "direct-vault",
        ("gitops/forge/page.yaml", "an address of Vault"),
    ),
    "a mode that the driver does not have": Fault(
        edited(PAGE, ("accessModes: [ReadWriteOnce]", "accessModes: [ReadWriteMany]")),
        "volume-class",
        ("PersistentVolumeClaim forge/page", "accessModes", "ReadWriteMany", "csi.proxmox.sinextra.dev"),
    ),
    "a sysctl that kubelet refuses": Fault(
        edited(
            PAGE,
            (
                "      automountServiceAccountToken: false",
                '      securityContext: {sysctls: [{name: net.core.somaxconn, value: "1024"}]}',
            ),
        ),
        "unsafe-sysctl",
        ("Deployment forge/page", "net.core.somaxconn", "allowedUnsafeSysctls"),
    ),
    "a variable that nothing sets": Fault(
        edited("gitops/forge/certificate.yaml", ("${domain}", "${domian}")),
        "flux-build",
        ("Kustomization flux-system/forge", "domian"),
    ),
    "a host outside every zone": Fault(
        several(
            edited(PAGE, ("page.${domain}", "page.example.org")),
            edited("gitops/forge/certificate.yaml", ("page.${domain}", "page.example.org")),
        ),
        "host-zone",
        ("Ingress forge/page", "page.example.org", "test-cluster.agentydragon.com"),
    ),
    "a certificate for another name": Fault(
        edited("gitops/forge/certificate.yaml", ("page.${domain}", "pages.${domain}")),
        "host-certificate",
        ("Ingress forge/page", "page.test-cluster", "Certificate forge/page"),
    ),
    "a shell in an image without one": Fault(
        edited(
            PAGE,
            ("docker.io/library/caddy:2.10.2", "registry.k8s.io/external-dns/external-dns:v0.21.0"),
            ("          env:\n", "          command: [/bin/sh, -c, external-dns]\n          env:\n"),
        ),
        "no-shell",
        ("Deployment forge/page", "containers[0].command", "/bin/sh", "external-dns:v0.21.0"),
    ),
    "labels that the selector does not have": Fault(
        edited(PAGE, ("metadata: {labels: {app: page}}", "metadata: {labels: {app: pages}}")),
        "own-pods",
        ("Deployment forge/page", "spec.selector.matchLabels", "app=page", "app=pages"),
    ),
    "a mount of what is no volume": Fault(
        edited(PAGE, ("volumeMounts: [{name: page,", "volumeMounts: [{name: data,")),
        "mounted-volume",
        ("Deployment forge/page", "containers[0].volumeMounts[0].name", "data", "page"),
    ),
    "a port of a Service that an Ingress misspells": Fault(
        edited(PAGE, ("port: {name: http}}}}", "port: {name: web}}}}")),
        "service-port",
        ("Ingress forge/page", "backend.service", "web", "Service forge/page", "http"),
    ),
    "one volume of a node for two workloads": Fault(
        appended(PAGE, SECOND_USER),
        "shared-volume",
        ("PersistentVolumeClaim forge/page", "accessModes", "Deployment forge/page", "StatefulSet forge/second"),
    ),
    "a secret of Vault that a file fetches by hand": Fault(
        appended(LOGIN, BY_HAND),
        "stray-secret",
        ("ExternalSecret forge/by-hand", "kind", "by hand"),
    ),
    "a value in a ConfigMap without a record": Fault(
        several(from_other("ConfigMap"), appended(LOGIN, MORE.replace("KIND", "ConfigMap"))),
        "chart-record",
        ("release forge/forge", "spec.values", "forge 4.5.6"),
    ),
    "values that only the cluster has": Fault(
        from_other("Secret", "forge-login"),
        "release-values",
        ("release forge/forge", "spec.valuesFrom[0]", "values.yaml", "Secret forge/forge-login"),
    ),
    "a list that replaces another": Fault(
        several(
            from_other("ConfigMap"),
            appended(LOGIN, MORE.replace("KIND", "ConfigMap") + "    hosts: [a]\n"),
            edited(FORGE, ("existingSecret: forge-login", "existingSecret: forge-login, hosts: [b]")),
        ),
        "replaced-list",
        ("release forge/forge", "values.hosts", "ConfigMap forge/more", "spec.values"),
    ),
    "values that were changed without a record": Fault(
        edited(FORGE, ("size: 5Gi", "size: 50Gi")),
        "chart-record",
        ("release forge/forge", "spec.values", "forge 4.5.6"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_tree_is_found(tmp_path: Path, name: str) -> None:
    fault = FAULTS[name]
    found = findings(platform(tmp_path, edit=fault.edit))
    said = [f"{one.object} {one.field} {one.problem} {one.where}" for one in found if one.rule == fault.rule]
    assert any(all(word in text for word in fault.words) for text in said), [f"{one.rule}: {one}" for one in found]
    assert len(found) <= 4, [f"{one.rule}: {one.object} {one.problem}" for one in found]
