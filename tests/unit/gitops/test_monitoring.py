"""What the releases of metrics, logs and traces promise: retention that works, and no certificate left unverified."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from checks.gitops.tree import GITOPS, documents, releases
from checks.rules.capacity import quantity


def values(release: str) -> dict[str, Any]:
    [found] = [one for one in releases() if one.name == release]
    return found.values


def test_metrics_server_verifies_kubelets_and_the_api_server_verifies_it() -> None:
    told = values("metrics-server")
    assert told["args"] == ["--kubelet-certificate-authority=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"]
    assert told["apiService"]["insecureSkipTLSVerify"] is False
    assert told["tls"]["type"] == "cert-manager"


def test_prometheus_verifies_kubelets() -> None:
    assert values("monitoring")["kubelet"]["serviceMonitor"]["insecureSkipVerify"] is False


def test_prometheus_keeps_less_than_its_volume_holds_and_for_a_time() -> None:
    told = values("monitoring")["prometheus"]["prometheusSpec"]
    volume = told["storageSpec"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"]
    # Powers of 2 with names of powers of 10 (https://prometheus.io/docs/prometheus/latest/storage/#operational-aspects).
    kept = int(told["retentionSize"].removesuffix("GB")) * 2**30
    assert kept <= 0.85 * quantity(volume)
    assert told["retention"] == "30d"


def test_prometheus_takes_every_monitor_and_rule_of_the_cluster() -> None:
    told = values("monitoring")["prometheus"]["prometheusSpec"]
    kinds = ("rule", "serviceMonitor", "podMonitor", "probe", "scrapeConfig")
    assert [told[f"{kind}SelectorNilUsesHelmValues"] for kind in kinds] == [False] * len(kinds)


@pytest.mark.parametrize("part", ["kubeEtcd", "kubeControllerManager", "kubeScheduler"])
def test_what_runs_on_control_planes_is_found_by_the_labels_that_talos_gives_its_pods(part: str) -> None:
    # An address list would be one more place to change with each node.
    told = values("monitoring")[part]
    assert set(told) == {"service"}
    assert set(told["service"]["selector"]) == {"component"}


def test_kube_proxy_is_not_looked_for() -> None:
    assert values("monitoring")["kubeProxy"] == {"enabled": False}


def test_loki_deletes_what_is_too_old_and_has_no_caches_in_front() -> None:
    told = values("loki")
    assert told["loki"]["compactor"] == {"retention_enabled": True, "delete_request_store": "filesystem"}
    assert told["loki"]["limits_config"]["retention_period"] == "336h"
    assert [told[cache]["enabled"] for cache in ("chunksCache", "resultsCache")] == [False, False]


def test_definitions_come_before_whatever_is_made_with_them() -> None:
    folders = {
        one["metadata"]["name"]: [before["name"] for before in one["spec"].get("dependsOn", [])]
        for name in ("monitoring", "opentelemetry")
        for one in yaml.safe_load_all((GITOPS / name / "flux.yaml").read_text())
    }
    assert folders["monitors"] == folders["alerts"] == ["monitoring"]
    assert "opentelemetry" in folders["opentelemetry-collector"]


def policies() -> dict[str, dict[str, Any]]:
    """Every NetworkPolicy of the tree, by its file and name."""
    return {
        f"{file.relative_to(GITOPS)}: {document['metadata']['name']}": document["spec"]
        for file, document in documents(GITOPS)
        if document["kind"] == "NetworkPolicy"
    }


def transports(spec: dict[str, Any]) -> list[set[str]]:
    """Of each rule of a policy that opens port 53, the transports by which it does."""
    rules = [*spec.get("ingress", []), *spec.get("egress", [])]
    found = [{str(one["protocol"]) for one in rule.get("ports", []) if one.get("port") == 53} for rule in rules]
    return [one for one in found if one]


def test_who_may_ask_a_name_server_may_ask_it_by_both_transports() -> None:
    """By UDP, and by TCP where the answer is longer than a packet."""
    opened = {place: found for place, spec in policies().items() if (found := transports(spec))}
    assert "monitoring/prober/network-policy.yaml: prober-to-name-servers" in opened
    assert {place: found for place, found in opened.items() if found != [{"UDP", "TCP"}] * len(found)} == {}


def test_no_two_kustomizations_apply_the_same_folder() -> None:
    """Each would take the other's objects for its own, and what the second was meant for is applied by nobody."""
    paths = [document["spec"]["path"] for _, document in documents(GITOPS) if "path" in document.get("spec", {})]
    assert len(paths) > 10
    assert sorted(paths) == sorted(set(paths))


def test_nobody_reports_home() -> None:
    assert values("loki")["loki"]["analytics"]["reporting_enabled"] is False
    assert values("alloy")["alloy"]["enableReporting"] is False
    assert values("tempo")["tempo"]["reportingEnabled"] is False
    assert set(values("monitoring")["grafana"]["grafana.ini"]["analytics"].values()) == {False}
