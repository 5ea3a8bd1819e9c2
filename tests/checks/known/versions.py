"""Known faults of versions, addresses, rights and space."""

from __future__ import annotations

from tests.checks.changes import all_of, at, settings, value_of, without
from tests.checks.known.edits import (
    CRON_JOB,
    FLUX,
    GITEA,
    OWN_TIMES,
    SYSCTL,
    image,
    in_namespace,
    taken,
    talos_document,
)
from tests.checks.known.fault import Case, Known
from tests.checks.platforms import edited, several

VERSIONS: tuple[Known, ...] = (
    Known(
        "a chart's version that is not there",
        "The repository had no such version, or no longer.",
        (
            Case(
                name="a neighbour",
                edit=edited(GITEA, ("version: 12.7.0", "version: 12.7.1")),
                rule="chart-pin",
                words=("release gitea/gitea", "chart.spec.version", "12.7.1", "gitea 12.7.0"),
            ),
        ),
    ),
    Known(
        "an image that is gone, or that moves",
        "A chart's part had an image that its publisher removed; the repair took a tag that moves.",
        (
            Case(
                name="gone",
                edit=edited(
                    "charts/records/harbor.json", ("docker.io/goharbor/redis-photon:", "docker.io/bitnami/redis:")
                ),
                rule="image-pin",
                words=("StatefulSet harbor/harbor-redis", "image", "docker.io/bitnami/redis", "harbor 1.19.1"),
            ),
            Case(
                name="moving",
                edit=image(CRON_JOB, "python", "docker.io/library/python:latest"),
                rule="image-pin",
                words=("CronJob harbor/harbor-setup", "containers[0].image", "latest"),
            ),
        ),
    ),
    Known(
        "an address that a renumbering left behind",
        "Names led to the range of before.",
        (
            Case(
                name="in a variable",
                edit=edited(CRON_JOB, ("http://harbor.harbor.svc", "http://192.168.7.2")),
                rule="undeclared-address",
                words=("CronJob harbor/harbor-setup", "env[0].value", "192.168.7.2", "10.0.0.0/16"),
            ),
            Case(
                name="in a value of the program",
                change=value_of("powerdns", "service", "annotations", "metallb.io/loadBalancerIPs", value="10.0.9.3"),
                rule="service-ip",
                words=("Service powerdns/", "10.0.9.3", "dns-pool"),
            ),
        ),
    ),
    Known(
        "a name where a server takes addresses only",
        "PowerDNS crashed at its start.",
        (
            Case(
                name="of whom to notify",
                change=value_of("powerdns", "transfer", "notify", value=["ns1.example.org"]),
                rule="chart-render",
                words=("release powerdns/powerdns", "transfer"),
            ),
            Case(
                name="of who may transfer",
                change=value_of("powerdns", "transfer", "allow", value=["ns1.example.org"]),
                rule="chart-render",
                words=("release powerdns/powerdns", "transfer"),
            ),
        ),
    ),
    Known(
        "answers only where a pod is",
        "Who came by a route entered at a node without one, and timed out. What a network does, only run time shows.",
        (
            Case(
                name="of names",
                change=value_of("powerdns", "service", "externalTrafficPolicy", value="Local"),
                rule="local-traffic",
                words=("Service powerdns/", "externalTrafficPolicy", "Deployment powerdns/powerdns", "10.0.3.0/27"),
            ),
        ),
    ),
    Known(
        "a shell in an image without one",
        "The container did not start. Of most images nobody has written down what is in them.",
        (
            Case(
                name="of a job",
                edit=several(
                    image(CRON_JOB, "python", "gcr.io/distroless/python3-debian13:v1"),
                    edited(
                        CRON_JOB,
                        (
                            "[python, -B, /setup/configure.py, /setup/plan.json]",
                            "[/bin/sh, -c, python /setup/configure.py]",
                        ),
                    ),
                ),
                rule="no-shell",
                words=("CronJob harbor/harbor-setup", "containers[0].command", "/bin/sh", "gcr.io/distroless/"),
            ),
        ),
    ),
    Known(
        "a sysctl outside the safe set",
        "Pod, kubelet and namespace have to agree; the field of Talos did not exist, and the label was missing.",
        (
            Case(
                name="that kubelet does not allow",
                edit=SYSCTL,
                rule="unsafe-sysctl",
                words=(
                    "CronJob harbor/harbor-setup",
                    "net.core.somaxconn",
                    "machine.kubelet.extraConfig.allowedUnsafeSysctls",
                ),
            ),
            Case(
                name="that the namespace does not allow",
                edit=SYSCTL,
                change=talos_document(
                    {"machine": {"kubelet": {"extraConfig": {"allowedUnsafeSysctls": ["net.core.*"]}}}}
                ),
                rule="pod-security",
                words=(
                    "CronJob harbor/harbor-setup",
                    "sysctls",
                    "net.core.somaxconn",
                    "pod-security.kubernetes.io/enforce",
                ),
            ),
            Case(
                name="a misnamed field of Talos",
                edit=SYSCTL,
                change=talos_document({"machine": {"kubelet": {"allowedUnsafeSysctls": ["net.core.*"]}}}),
                rule="talos-field",
                words=("machine.kubelet.allowedUnsafeSysctls", "extraConfig"),
            ),
            Case(
                name="a misnamed field of kubelet",
                edit=SYSCTL,
                change=talos_document(
                    {"machine": {"kubelet": {"extraConfig": {"allowUnsafeSysctls": ["net.core.*"]}}}}
                ),
                rule="talos-field",
                words=("machine.kubelet.extraConfig.allowUnsafeSysctls", "allowedUnsafeSysctls"),
            ),
        ),
    ),
    Known(
        "an account that is not there, or may not do what it is for",
        "A store could not log in.",
        (
            Case(
                name="a store's account",
                change=taken("ServiceAccount", "gitea", "vault-client"),
                rule="store-account",
                words=(
                    "ExternalSecret gitea/",
                    "ClusterSecretStore vault",
                    "serviceAccountRef",
                    "ServiceAccount gitea/vault-client",
                ),
            ),
            Case(
                name="a subject in another namespace",
                change=in_namespace(
                    "RoleBinding",
                    "gitea",
                    "vault-client",
                    "subjects",
                    value=[{"kind": "ServiceAccount", "name": "external-secrets"}],
                ),
                rule="reference",
                words=("RoleBinding gitea/vault-client", "subjects[0]", "ServiceAccount gitea/external-secrets"),
            ),
            Case(
                name="no right to the account's tokens",
                change=in_namespace("Role", "gitea", "vault-client", "rules", 0, "verbs", value=["get"]),
                rule="store-account",
                words=("ExternalSecret gitea/", "serviceaccounts/token", "create", "vault-client"),
            ),
            Case(
                name="an account of the program",
                change=without("ServiceAccount", "vault"),
                rule="reference",
                words=("Vault vault/instance", "serviceAccount", "vault/vault"),
            ),
        ),
    ),
    Known(
        "a datastore that cannot hold the claims",
        "It had a few GiB.",
        (
            Case(
                name="too small",
                change=settings("site", "hosts", "atlas", "disk", value=530),
                rule="volume-space",
                words=("StorageClass proxmox", "parameters.storage", "local-zfs", "GiB"),
            ),
            Case(
                name="of a size that nobody gave",
                change=at("StorageClass", "proxmox", "parameters", "storage", value="local"),
                rule="volume-space",
                words=("StorageClass proxmox", "parameters.storage", "local", "storage.sizes", "GiB"),
            ),
            Case(
                name="of a size that is given",
                change=all_of(
                    settings("storage", value={"datastore": "local", "sizes": {"local": 20}}),
                    at("StorageClass", "proxmox", "parameters", "storage", value="local"),
                ),
                rule="volume-space",
                words=("StorageClass proxmox", "parameters.storage", "local", "20 GiB"),
            ),
        ),
    ),
    Known(
        "less time outside than inside",
        "The outer one failed while the inner one was within its time.",
        (
            Case(
                name="a release's",
                edit=several(edited(FLUX, OWN_TIMES), edited(GITEA, ("  timeout: 15m\n", "  timeout: 25m\n"))),
                rule="inner-timeout",
                words=("HelmRelease gitea/gitea", "spec.timeout", "25m", "flux-system/gitea", "20m"),
            ),
            Case(
                name="a Kustomization's",
                edit=edited("gitops/harbor/flux.yaml", OWN_TIMES, ("  timeout: 20m\n", "  timeout: 10m\n")),
                rule="inner-timeout",
                words=("HelmRelease harbor/harbor", "spec.timeout", "15m", "flux-system/harbor", "10m"),
            ),
        ),
    ),
)
