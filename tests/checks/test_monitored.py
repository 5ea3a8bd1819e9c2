"""Everything that Pulumi installs is asked for its figures by Prometheus, or there is a reason why not."""

from __future__ import annotations

from checks.gitops.tree import GITOPS, documents
from checks.model.platform import Platform
from checks.rules.monitors import asked, pods_to_ask, selections

OTHERWISE = {
    "Deployment metallb-system/metallb-controller": "a scrape of its own, since it wants Prometheus's token",
    "DaemonSet metallb-system/metallb-speaker": "a scrape of its own, since it wants Prometheus's token",
    "DaemonSet metallb-system/metallb-frr-k8s": "the same scrape",
    "Deployment kube-system/coredns": "kube-prometheus-stack has a monitor of it",
}
"""Pods that Prometheus asks without a monitor of this repository (`gitops/monitoring/release.yaml`)."""

UNASKED = {
    "DaemonSet csi-proxmox/proxmox-csi-plugin-node": "it has none; kubelets count its operations",
    "Deployment metallb-system/metallb-frr-k8s-statuscleaner": "it has none",
    "Deployment reflector/reflector": "it has none",
    "StatefulSet powerdns/powerdns-database": "MariaDB has none of its own",
    "Deployment cert-manager/cert-manager-webhook-pdns": "it has none",
}
"""Pods that nothing asks, and why."""


def asked_names(platform: Platform) -> set[str]:
    """What is asked by a monitor of this repository."""
    pods = pods_to_ask(platform)
    return {target.name for _, chosen in selections(platform) for target in asked(pods, chosen)}


def test_what_pulumi_installs_is_asked_for_its_figures_or_there_is_a_reason(everything: Platform) -> None:
    names = asked_names(everything)
    installed = {
        str(one.of)
        for one in everything.pods
        if (one.of.release.manager.system if one.of.release else one.of.manager.system) == "pulumi"
        and one.of.kind in ("Deployment", "DaemonSet", "StatefulSet")
    }
    assert sorted(installed - names) == sorted({*OTHERWISE, *UNASKED})


def test_pods_that_operators_make_of_what_pulumi_installs_are_asked_too(everything: Platform) -> None:
    made = {"Vault vault/instance", "Cluster authentik/authentik-postgres", "FluxInstance flux-system/flux"}
    assert made <= asked_names(everything)


def test_each_name_server_is_asked_under_its_own_name() -> None:
    """The alerts compare them by the label, and find one that is behind only if two are asked."""
    probes = [probe for _, probe in documents(GITOPS / "monitoring" / "monitors") if probe["kind"] == "Probe"]
    told = [probe["spec"]["targets"]["staticConfig"] for probe in probes]
    assert {one["labels"]["server"]: one["static"] for one in told} == {
        "primary": ["${name_server_address}:53"],
        "secondary": ["${secondary_address}:53"],
    }
