"""What an alert looks at comes from a monitor that will exist: without series an alert never fires, and looks well."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.model.platform import Platform
from tests.checks.test_alerts import alerts

SOURCES = {
    "certmanager_": "PodMonitor cert-manager",
    "cilium_": "PodMonitor cilium-agent",
    "controller_runtime_reconcile_": "PodMonitor powerdns-operator",
    "csi_operations_": "ServiceMonitor monitoring-kubelet",
    "etcd_": "ServiceMonitor monitoring-kube-etcd",
    "flux_resource_": "PodMonitor flux-operator",
    "kube_": "ServiceMonitor monitoring-kube-state-metrics",
    "nginx_ingress_controller_": "PodMonitor nginx-ingress",
    "node_": "ServiceMonitor monitoring-prometheus-node-exporter",
    "probe_": "Probe zone",
    "proxmox_api_": "PodMonitor proxmox-csi",
    "sealed_secrets_controller_": "PodMonitor sealed-secrets",
    "vault_sys_": "PodMonitor vault",
}
"""Who is asked for series, by how their names begin; each rule's comment says where their own source has them."""

_ASIDE = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|without|ignoring)\s*\([^)]*\)')
_WORDS = {"and", "or", "unless", "bool", "offset"}


def series(expression: str) -> Iterator[str]:
    """The names of series in an expression: words that are neither functions nor operators, and in no brackets."""
    for found in re.finditer(r"\b([a-z][a-z0-9_]*)\b(?!\s*\()", _ASIDE.sub("", _ASIDE.sub("", expression))):
        if found[1] not in _WORDS:
            yield found[1]


def test_the_series_of_every_alert_come_from_a_monitor(everything: Platform) -> None:
    kinds = ("PodMonitor", "ServiceMonitor", "Probe")
    there = {f"{kind} {one.name}" for kind in kinds for one in everything.of_kind("monitoring.coreos.com", kind)}
    used = {name: rule["alert"] for rule in alerts() for name in series(rule["expr"])}
    asked = {name: [whom for prefix, whom in SOURCES.items() if name.startswith(prefix)] for name in used}
    assert used
    assert {
        f"{name} of {used[name]}" for name, whom in asked.items() if len(whom) != 1 or whom[0] not in there
    } == set()
    assert {whom for each in asked.values() for whom in each} == set(SOURCES.values())


def test_names_of_series_are_told_from_all_else() -> None:
    told = 'max by (pod, name) (a_b{c="d_e"}) > 2 * sum(rate(f_g[5m])) and on (h_i) absent(j_k) unless on (l) m_n'
    assert list(series(told)) == ["a_b", "f_g", "j_k", "m_n"]
