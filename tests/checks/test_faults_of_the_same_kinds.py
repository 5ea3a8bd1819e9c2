"""Faults of the known kinds, thought up to get past the rules: each is found in the repository's own tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checks.changes import added, at
from tests.checks.known.edits import taken
from tests.checks.known.fault import Case
from tests.checks.platforms import appended, edited, findings, real

FLUX, FOLDER = "gitops/gitea/flux.yaml", "gitops/gitea/kustomization.yaml"
POLICIES, RELEASE = "gitops/gitea/network-policies.yaml", "gitops/gitea/release.yaml"
CRON_JOB, SYNCTHING = "gitops/harbor/setup/cron-job.yaml", "gitops/syncthing/release.yaml"
RRSET, DOMAIN = "dns.cav.enablers.ob/v1alpha2", "test-cluster.agentydragon.com"
ZONE = {"zoneRef": {"kind": "ClusterZone", "name": DOMAIN}, "ttl": 300}

CASES = (
    Case(
        name="a monitor of a port that no Service has",
        edit=edited("gitops/monitoring/monitors/services.yaml", ("port: http-metrics", "port: metrics")),
        rule="monitor-target",
        words=("ServiceMonitor monitoring/vault-operator", "spec.endpoints[0].port", "metrics", "http-metrics"),
    ),
    Case(
        name="a monitor of a namespace that is misspelt",
        edit=edited(
            "gitops/monitoring/monitors/pods.yaml", ("matchNames: [external-dns]", "matchNames: [externaldns]")
        ),
        rule="monitor-target",
        words=(
            "PodMonitor monitoring/external-dns",
            "spec.namespaceSelector.matchNames[0]",
            "externaldns",
            "external-dns",
        ),
    ),
    Case(
        name="a monitor of pods with other labels",
        edit=edited("gitops/monitoring/monitors/pods.yaml", ("name: kubelet-csr-approver}", "name: csr-approver}")),
        rule="monitor-target",
        words=("PodMonitor monitoring/kubelet-csr-approver", "spec.selector", "csr-approver", "kubelet-csr-approver"),
    ),
    Case(
        name="a policy about a namespace that is misspelt",
        edit=edited(
            POLICIES, ("metadata.name: flux-system}\n      ports:", "metadata.name: flux-sytem}\n      ports:")
        ),
        rule="policy-namespace",
        words=("NetworkPolicy gitea/gitea-from-flux", "spec.ingress[0].from[0]", "flux-sytem", "flux-system"),
    ),
    Case(
        name="a policy about pods of another namespace that are called otherwise",
        edit=edited(
            "gitops/traces/network-policy.yaml", ("app.kubernetes.io/name: alloy", "app.kubernetes.io/name: agent")
        ),
        rule="policy-namespace",
        words=(
            "NetworkPolicy traces/tempo",
            "podSelector",
            "app.kubernetes.io/name=agent",
            "app.kubernetes.io/name=alloy",
        ),
    ),
    Case(
        name="policies that forget names",
        change=taken("NetworkPolicy", "gitea", "names"),
        rule="policy-names",
        words=("NetworkPolicy gitea/", "spec.egress", "port 53", "gitea/gitea"),
    ),
    Case(
        name="two applications at one host",
        edit=edited("gitops/harbor/kustomization.yaml", ("registry.${domain}", "git.${domain}")),
        rule="one-ingress",
        words=("Ingress harbor/harbor", "spec.rules[0].host", f"git.{DOMAIN}", "Ingress gitea/gitea"),
    ),
    Case(
        name="a mode that the driver does not have",
        edit=edited(SYNCTHING, ("accessMode: ReadWriteOnce", "accessMode: ReadWriteMany")),
        rule="volume-class",
        words=(
            "PersistentVolumeClaim syncthing/syncthing-data",
            "accessModes",
            "ReadWriteMany",
            "StorageClass proxmox",
        ),
    ),
    Case(
        name="two Kustomizations that wait for each other",
        edit=edited(
            FLUX,
            (
                "  name: gitea-database\n  namespace: flux-system\nspec:\n",
                "  name: gitea-database\n  namespace: flux-system\nspec:\n  dependsOn: [{name: gitea}]\n",
            ),
        ),
        rule="loop",
        words=("flux-system/gitea-database", "flux-system/gitea ", "spec.dependsOn"),
    ),
    Case(
        name="a database on servers that are called otherwise",
        edit=edited(
            "gitops/matrix/database/accounts.yaml", ("cluster: {name: matrix-postgres}", "cluster: {name: matrix}")
        ),
        rule="reference",
        words=("Database matrix/matrix-accounts", "spec.cluster.name", "Cluster matrix/matrix", "matrix-postgres"),
    ),
    Case(
        name="a restart for a Secret that is called otherwise",
        edit=edited(
            "gitops/harbor/release.yaml",
            ("harbor-registry-login,harbor-token,", "harbor-registry-login,harbor-tokens,"),
        ),
        rule="reloaded-name",
        words=("HelmRelease harbor/harbor", "reloader.stakater.com/reload", "Secret harbor-tokens", "harbor-token"),
    ),
    Case(
        name="an hour that no day has",
        edit=edited(CRON_JOB, ('"*/10 * * * *"', '"*/10 25 * * *"')),
        rule="schedule",
        words=("CronJob harbor/harbor-setup", "spec.schedule", "25", "0 to 23"),
    ),
    Case(
        name="a start that its controller sees too late",
        edit=edited(CRON_JOB, ('schedule: "*/10 * * * *"', 'schedule: "*/10 * * * *"\n  startingDeadlineSeconds: 5')),
        rule="schedule-missed",
        words=("CronJob harbor/harbor-setup", "spec.startingDeadlineSeconds", "is 5", "every 10 seconds"),
    ),
    Case(
        name="two runs that write to one volume",
        edit=edited(
            CRON_JOB,
            ("concurrencyPolicy: Forbid", "concurrencyPolicy: Allow"),
            ("configMap: {name: harbor-setup}", "persistentVolumeClaim: {claimName: harbor-registry}"),
        ),
        rule="schedule-overlap",
        words=("CronJob harbor/harbor-setup", "spec.concurrencyPolicy", "is Allow", "harbor-registry"),
    ),
    Case(
        name="a patch of what is called otherwise",
        edit=edited("gitops/harbor/kustomization.yaml", ("name: harbor-from-ingress}", "name: harbor-ingress}")),
        rule="patch-target",
        words=("gitops/harbor/kustomization.yaml", "patches[1].target", "harbor-ingress", "harbor-from-ingress"),
    ),
    Case(
        name="a patch of a container that is called otherwise",
        edit=edited(RELEASE, ("- name: configure-gitea\n", "- name: configure\n")),
        rule="patch-target",
        words=("release gitea/gitea", "initContainers[0].name", "configure", "configure-gitea"),
    ),
    Case(
        name="a database whose second server finds no room",
        edit=edited("gitops/gitea/database/cluster.yaml", ("    size: 5Gi\n", "    size: 30Gi\n")),
        rule="namespace-quota",
        words=("ResourceQuota gitea/application", "spec.hard.requests.storage", "is 60Gi", "asks for 80.00 GiB"),
    ),
    Case(
        name="more than the namespace may claim",
        edit=edited(SYNCTHING, ("size: 100Gi", "size: 200Gi")),
        rule="namespace-quota",
        words=(
            "ResourceQuota syncthing/application",
            "spec.hard.requests.storage",
            "100Gi",
            "200.00 GiB",
            "syncthing-data",
        ),
    ),
    Case(
        name="a limit below the request",
        edit=edited(CRON_JOB, ("limits: {memory: 128Mi}", "limits: {memory: 16Mi}")),
        rule="container-limit",
        words=("CronJob harbor/harbor-setup", "resources.requests.memory", "32Mi", "16Mi"),
    ),
    Case(
        name="an object of Flux in a namespace of the program",
        edit=appended(FLUX, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more, namespace: powerdns}\n"),
        rule="closed-namespace",
        words=("ConfigMap powerdns/more", "metadata.namespace", "homelab/owner", "flux-system/applications"),
    ),
    Case(
        name="a priority that nothing defines",
        edit=edited(
            CRON_JOB,
            ("          restartPolicy: Never\n", "          restartPolicy: Never\n          priorityClassName: low\n"),
        ),
        rule="reference",
        words=("CronJob harbor/harbor-setup", "priorityClassName", "PriorityClass low"),
    ),
    Case(
        name="a host two labels below the domain",
        edit=edited(FOLDER, ('"git.${domain}"', '"www.git.${domain}"')),
        rule="host-certificate",
        words=(
            "Ingress gitea/gitea",
            "spec.tls[0].hosts",
            f"www.git.{DOMAIN}",
            "Certificate cert-manager/wildcard-tls",
        ),
    ),
    Case(
        name="a Service with the name of an application",
        edit=edited(SYNCTHING, ("hostname: syncthing.${domain}", "hostname: git.${domain}")),
        rule="service-name",
        words=("Service syncthing/syncthing", "external-dns", f"git.{DOMAIN}", "Ingress gitea/gitea"),
    ),
    Case(
        name="an account as which Flux is to install",
        edit=edited(RELEASE, ("  timeout: 15m\n", "  timeout: 15m\n  serviceAccountName: tenant\n")),
        rule="reference",
        words=("HelmRelease gitea/gitea", "spec.serviceAccountName", "ServiceAccount gitea/tenant"),
    ),
    Case(
        name="a file of a ConfigMap that is called otherwise",
        edit=edited(
            CRON_JOB, ("mountPath: /setup, readOnly", "mountPath: /setup/plan.json, subPath: plan.jsn, readOnly")
        ),
        rule="reference-key",
        words=("CronJob harbor/harbor-setup", "volumeMounts[0].subPath", "plan.jsn", "plan.json"),
    ),
    Case(
        name="an RSA key that is too small",
        edit=edited("gitops/harbor/token-key.yaml", ("size: 2048", "size: 1024")),
        rule="certificate-key",
        words=("Certificate harbor/harbor-token", "spec.privateKey.size", "1024", "2048 to 8192"),
    ),
    Case(
        name="a curve that does not exist",
        edit=edited("gitops/matrix/keys.yaml", ("encoding: PKCS8, size: 256", "encoding: PKCS8, size: 512")),
        rule="certificate-key",
        words=("Certificate matrix/matrix-ecdsa", "spec.privateKey.size", "512", "256, 384, 521"),
    ),
    Case(
        name="a curve that the public authority does not sign",
        change=at("Certificate", "wildcard-tls", "spec", "privateKey", value={"algorithm": "ECDSA", "size": 521}),
        rule="certificate-key",
        words=("Certificate cert-manager/wildcard-tls", "spec.privateKey.size", "521", "ClusterIssuer", "256, 384"),
    ),
    Case(
        name="a certificate that is renewed before it is made",
        edit=edited("gitops/harbor/token-key.yaml", ("duration: 87600h", "duration: 720h\n  renewBefore: 800h")),
        rule="certificate-names",
        words=("Certificate harbor/harbor-token", "spec.renewBefore", "800h", "720h"),
    ),
    Case(
        name="a record of a type that does not exist",
        change=added("ClusterRRset", "old", {**ZONE, "name": "old", "type": "AA", "records": ["10.0.3.2"]}, RRSET),
        rule="record-form",
        words=("ClusterRRset old", "spec.type", "AA", "AAAA"),
    ),
    Case(
        name="a name where an address is expected",
        change=added(
            "ClusterRRset", "old", {**ZONE, "name": "old", "type": "A", "records": ["git.example.org."]}, RRSET
        ),
        rule="record-form",
        words=("ClusterRRset old", "spec.records[0]", "git.example.org.", "address of IPv4"),
    ),
    Case(
        name="a name without the dot at its end",
        change=added(
            "ClusterRRset", "old", {**ZONE, "name": "old", "type": "CNAME", "records": ["git.example.org"]}, RRSET
        ),
        rule="record-form",
        words=("ClusterRRset old", "spec.records[0]", "git.example.org", "dot at its end"),
    ),
)


SEALED = """\
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: more}
spec: {encryptData: {password: AgBy}}
"""

OF_DEFINITIONS = (
    Case(
        name="a field of a HelmRelease that is misspelt",
        edit=edited(RELEASE, ("  postRenderers:\n", "  postRenders: []\n  postRenderers:\n")),
        rule="unknown-field",
        words=("HelmRelease gitea/gitea", "spec.postRenders", "postRenderers"),
    ),
    Case(
        name="a time that Flux does not read",
        edit=edited("gitops/gitea/repository.yaml", ("interval: 12h", "interval: 12 hours")),
        rule="invalid-resource",
        words=("HelmRepository gitea/gitea", "spec.interval", "12 hours"),
    ),
    Case(
        name="a field of Vault that is misspelt",
        change=at("Vault", "instance", "spec", "unsealConfig", "kubernetes", "secretSpace", value="vault"),
        rule="unknown-field",
        words=("Vault vault/instance", "spec.unsealConfig.kubernetes.secretSpace", "secretNamespace"),
    ),
    Case(
        name="a field of a SealedSecret that is misspelt",
        edit=appended(POLICIES, SEALED),
        rule="unknown-field",
        words=("SealedSecret gitea/more", "spec.encryptData", "encryptedData"),
    ),
)


@pytest.mark.parametrize("case", [*CASES, *OF_DEFINITIONS], ids=lambda case: case.name)
def test_a_fault_of_a_known_kind_is_found(tmp_path: Path, case: Case) -> None:
    found = findings(real(tmp_path, case.edit, case.change))
    said = [f"{one.object} {one.field} {one.problem} {one.where}" for one in found if one.rule == case.rule]
    assert any(all(word in text for word in case.words) for text in said), found
    assert len(found) <= 4, [f"{one.rule}: {one.object} {one.problem}" for one in found]
