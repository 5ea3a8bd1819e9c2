"""Monitoring as it will be put together: what the operator makes of every monitor, and what Prometheus does with it.

The operator is of the release that the chart installs; its objects are those of the tree of Flux and, of the chart, as
recorded. They and the pods that they are to find are in a real API server, where nothing but addresses, the wait of
Alertmanager's groups, the name of the receiver and two alerts that always fire are the test's own. Of the chart's own
rules and roles there is no record: the rules are left out, and the roles are the operator's own examples.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from checks.gitops.tree import releases
from checks.manifest_yaml import LOADER
from checks.model.objects import mapping
from checks.model.platform import Platform
from checks.rules.monitors import Target, asked, pods_to_ask, selections
from lab.programs import ensure
from tests.conftest import ROOT
from tests.privileges import unshare
from tests.servers.kubernetes import certificate
from tests.servers.monitoring_inside import (
    CONTROL_PLANE,
    NAMESPACE,
    NODE_NAME,
    OPERATOR,
    RECEIVER,
    SERVERS,
    Given,
    Seen,
)
from tests.servers.names import module

pytestmark = pytest.mark.long

Manifest = dict[str, Any]

GROUP = "monitoring.coreos.com"
MONITORS = ("ServiceMonitor", "PodMonitor", "Probe")
KINDS = (*MONITORS, "PrometheusRule", "Prometheus", "Alertmanager")
MODULE = "github.com/prometheus-operator/prometheus-operator"
SECONDS = 600

STATIC = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""Talos runs them as static pods with this label `component`
(https://github.com/siderolabs/talos/blob/v1.13.9/internal/app/machined/pkg/controllers/k8s/control_plane_static_pod.go)."""

UNKNOWN = {"podMonitor/monitoring/flux-operator": "nobody had its chart, so its pods are not recorded"}
"""Monitors that find nobody here, and why."""

ALWAYS = {
    "Watchdog": {"severity": "none"},
    "Tried": {"severity": "warning", "namespace": "elsewhere"},
}
"""Alerts of the test: the first has the name of the chart's own, of which nobody is to be told."""


@pytest.fixture(scope="module")
def targets(prod: Platform) -> dict[str, Target]:
    """What may be asked, by the name that its pod has here."""
    return {f"pod-{number}": one for number, one in enumerate(pods_to_ask(prod))}


@pytest.fixture(scope="module")
def seen(prod: Platform, targets: dict[str, Target], tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What came of it, once everybody was asked."""
    ensure(["etcd", "kube-apiserver", "kube-controller-manager", "prometheus-operator", "prometheus", "alertmanager"])
    directory = tmp_path_factory.mktemp("monitoring")
    (directory / "given.json").write_text(json.dumps(asdict(given(prod, targets))))
    command = [*unshare("--net", "--mount"), sys.executable, "-m", "tests.servers.monitoring_inside", str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return Seen(**json.loads((directory / "seen.json").read_text()))


def given(platform: Platform, targets: dict[str, Target]) -> Given:
    pods = [
        *(
            _pod(name, one.namespace, one.labels, one.ports, number)
            for number, (name, one) in enumerate(targets.items())
        ),
        *(_pod(f"{name}-node", "kube-system", {"component": name}, {}) for name in STATIC),
    ]
    objects = [*_classes(platform), *_made(platform), *_services(platform), *_own()]
    spaces = {str(one["metadata"].get("namespace", NAMESPACE)) for one in (*objects, *pods)} - {"kube-system"}
    everywhere = [*sorted(spaces), "kube-system"]
    accounts = [_account("default", space) for space in everywhere]
    return Given(
        everywhere,
        [*_definitions(), *accounts, *_roles(platform), *objects],
        pods,
        [one for one in _deployment(platform)["args"] if not one.startswith("--web.")],
        [name.rpartition("/")[2] for name in UNKNOWN],
    )


def _pod(name: str, namespace: str, labels: Any, ports: Any, number: int | None = None) -> Manifest:
    declared = [{"containerPort": port} | ({} if key.isdigit() else {"name": key}) for key, port in ports.items()]
    # Each in a container of its own: the same number may be one of TCP and one of UDP.
    containers: list[Manifest] = [{"name": "main", "image": "none"}]
    containers += [{"name": f"c{index}", "image": "none", "ports": [port]} for index, port in enumerate(declared)]
    address = CONTROL_PLANE if number is None else f"10.77.{1 + number // 250}.{1 + number % 250}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {key: str(text) for key, text in labels.items()}},
        "spec": {"containers": containers, "nodeName": NODE_NAME},
        "status": {"podIP": address},
    }


def _made(platform: Platform) -> Iterator[Manifest]:
    """Monitors, rules and servers, as they are declared or recorded."""
    for kind in KINDS:
        for one in platform.of_kind(GROUP, kind):
            if one.spec:
                metadata = {"name": one.name, "namespace": one.namespace, "labels": one.labels}
                yield {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "spec": one.spec}


def _classes(platform: Platform) -> Iterator[Manifest]:
    """Storage classes, for one that does not exist is a reason for the operator to make no server."""
    for one in platform.of_kind("storage.k8s.io", "StorageClass"):
        content = {"apiVersion": "storage.k8s.io/v1", "kind": one.kind, "metadata": {"name": one.name}}
        yield content | {"provisioner": one.content["provisioner"]}


def _services(platform: Platform) -> Iterator[Manifest]:
    """Each Service with the part of it that makes Endpoints."""
    for one in platform.of_kind("", "Service"):
        ports = [
            {key: port[key] for key in ("name", "port", "targetPort", "protocol") if key in port}
            for port in one.spec.get("ports") or []
        ]
        if ports and one.spec.get("selector") and one.namespace:
            metadata = {"name": one.name, "namespace": one.namespace, "labels": one.labels}
            spec = {"clusterIP": "None", "ports": ports, "selector": one.spec["selector"]}
            yield {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _own() -> Iterator[Manifest]:
    """The Secrets of the chart's values, of a person and of cert-manager, and the alerts of the test."""
    [release] = [one for one in releases() if one.name == NAMESPACE]
    values = copy.deepcopy(release.values)
    config = values["alertmanager"]["config"]
    config["route"] |= {"receiver": "person", "group_wait": "1s"}
    scraped = values["prometheus"]["prometheusSpec"]["additionalScrapeConfigs"]
    yield _secret("alertmanager-monitoring", {"alertmanager.yaml": yaml.safe_dump(config)})
    yield _secret("monitoring-prometheus-scrape-confg", {"additional-scrape-configs.yaml": yaml.safe_dump(scraped)})
    yield _secret("alerting", {"url": f"http://{RECEIVER}/"})
    key = ec.generate_private_key(ec.SECP256R1())
    authority = certificate("test-ca", key, "test-ca", key).public_bytes(serialization.Encoding.PEM).decode()
    yield _secret("monitoring-admission", {"ca.crt": authority})
    rules = [{"alert": name, "expr": "vector(1)", "labels": labels} for name, labels in ALWAYS.items()]
    yield {
        "apiVersion": f"{GROUP}/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tried", "namespace": NAMESPACE},
        "spec": {"groups": [{"name": "tried", "interval": "1s", "rules": rules}]},
    }


def _secret(name: str, content: dict[str, str]) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}


def _definitions() -> list[Manifest]:
    folder = module(MODULE, "tools/prometheus-operator") / "example" / "prometheus-operator-crd"
    return [yaml.load(file.read_text(), LOADER) for file in sorted(folder.glob("*.yaml"))]  # noqa: S506 - a safe loader


def _account(name: str, namespace: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


def _roles(platform: Platform) -> Iterator[Manifest]:
    """The accounts of the three programs, with the rights of the operator's examples."""
    accounts = [
        (OPERATOR, "prometheus-operator"),
        *((one.spec["serviceAccountName"], "prometheus") for one in platform.of_kind(GROUP, "Prometheus")),
        *((one.spec["serviceAccountName"], "") for one in platform.of_kind(GROUP, "Alertmanager")),
    ]
    folder = module(MODULE, "tools/prometheus-operator") / "example" / "rbac"
    for account, role in accounts:
        yield _account(account, NAMESPACE)
        if role:
            yield yaml.safe_load((folder / role / f"{role}-cluster-role.yaml").read_text())
            yield {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": account},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}],
            }


def _deployment(platform: Platform) -> Manifest:
    """The operator's container."""
    [found] = [one for one in platform.of_kind("apps", "Deployment") if one.name == OPERATOR]
    [container] = found.spec["template"]["spec"]["containers"]
    return mapping(container)


def pool(monitor: Manifest) -> str:
    """The beginning of the names of a monitor's jobs (pkg/prometheus/promcfg.go of the operator)."""
    kind = monitor["kind"]
    return f"{kind[0].lower()}{kind[1:]}/{monitor['metadata']['namespace']}/{monitor['metadata']['name']}"


def monitors(platform: Platform) -> list[Manifest]:
    return [one for one in _made(platform) if one["kind"] in MONITORS]


def found_by(seen: Seen, name: str) -> list[Manifest]:
    """The targets of a monitor."""
    return [one for one in seen.targets if one["scrapePool"] == name or one["scrapePool"].startswith(f"{name}/")]


def test_the_operator_is_of_the_release_that_the_chart_installs(prod: Platform) -> None:
    built = ensure(["prometheus-operator"])["prometheus-operator"].origin
    assert built.endswith(_deployment(prod)["image"].rpartition(":v")[2])


def test_what_is_recorded_of_each_monitor_is_enough_to_compose_it(prod: Platform) -> None:
    assert [str(one) for kind in MONITORS for one in prod.of_kind(GROUP, kind) if not one.spec] == []


def test_the_operator_takes_every_monitor_and_refuses_nothing(prod: Platform, seen: Seen) -> None:
    composed = {job["job_name"] for job in yaml.safe_load(seen.configuration)["scrape_configs"]}
    missing = [
        pool(one)
        for one in monitors(prod)
        if not any(job == pool(one) or job.startswith(f"{pool(one)}/") for job in composed)
    ]
    assert (missing, seen.refusals) == ([], [])
    assert "metallb" in composed


def test_every_monitor_finds_somebody(prod: Platform, seen: Seen) -> None:
    assert {pool(one) for one in monitors(prod) if not found_by(seen, pool(one))} == set(UNKNOWN)


def test_prometheus_asks_the_pods_of_which_the_checks_say_so(
    prod: Platform, targets: dict[str, Target], seen: Seen
) -> None:
    known = list(targets.values())
    told = {
        pool(monitor.content): {
            one.name
            for one in asked(known, chosen)
            if monitor.kind != "PodMonitor"
            or any(one.number(end["port"]) for end in monitor.spec["podMetricsEndpoints"])
        }
        for monitor, chosen in selections(prod)
    }
    really = {
        name: {
            targets[one["labels"]["pod"]].name for one in found_by(seen, name) if one["labels"].get("pod") in targets
        }
        for name in told
    }
    assert told
    assert really == told


@pytest.mark.parametrize("job", ["apiserver", "kube-etcd", "monitoring-prometheus", "monitoring-alertmanager"])
def test_what_runs_here_is_asked_and_answers(seen: Seen, job: str) -> None:
    problems = {one["lastError"] for one in seen.targets if one["labels"]["job"] == job}
    assert seen.up.get(job), problems


def test_the_api_server_is_asked_with_a_verified_certificate_and_a_token(seen: Seen) -> None:
    [job] = [
        one
        for one in yaml.safe_load(seen.configuration)["scrape_configs"]
        if one["job_name"].startswith(f"serviceMonitor/{NAMESPACE}/monitoring-apiserver/")
    ]
    assert job["scheme"] == "https"
    assert not job["tls_config"].get("insecure_skip_verify")
    assert seen.up["apiserver"] == [
        one["labels"]["instance"] for one in seen.targets if one["labels"]["job"] == "apiserver"
    ]


def test_every_rule_of_the_platform_is_loaded_without_an_error(prod: Platform, seen: Seen) -> None:
    wanted = {
        group["name"]: [rule["alert"] for rule in group["rules"]]
        for one in prod.of_kind(GROUP, "PrometheusRule")
        if one.spec
        for group in one.spec["groups"]
    }
    loaded = {group["name"]: [rule["name"] for rule in group["rules"]] for group in seen.groups}
    assert wanted
    assert wanted.items() <= loaded.items()
    assert [rule["lastError"] for group in seen.groups for rule in group["rules"] if rule.get("lastError")] == []


def test_a_volume_operation_has_the_node_that_its_alert_names(seen: Seen) -> None:
    """VolumeOperationsFail sums by node, which is a label of kubelets' targets and not of their series."""
    assert {one["labels"].get("node") for one in seen.targets if one["labels"]["job"] == "kubelet"} == {"node"}


def test_the_services_that_others_ask_have_the_ports_that_the_checks_expect(prod: Platform, seen: Seen) -> None:
    for name in ("prometheus-operated", "alertmanager-operated"):
        [expected] = [one for one in prod.of_kind("", "Service") if (one.namespace, one.name) == (NAMESPACE, name)]
        assert {port["name"] for port in expected.spec["ports"]} <= set(seen.services[name])


def test_prometheus_sends_its_alerts_to_alertmanager(seen: Seen) -> None:
    assert seen.alertmanagers == [f"http://{SERVERS['alertmanager']}:9093/api/v2/alerts"]
    assert {one["labels"]["alertname"] for one in seen.alerts} >= set(ALWAYS)


def test_a_person_is_told_of_an_alert_with_what_it_is_about(seen: Seen) -> None:
    told = [one for post in seen.received for one in post["alerts"] if one["labels"]["alertname"] == "Tried"]
    assert [(one["status"], one["labels"]["namespace"], one["labels"]["severity"]) for one in told[:1]] == [
        ("firing", "elsewhere", "warning")
    ]
    assert {post["receiver"] for post in seen.received} == {"person"}


def test_nobody_is_told_of_the_alert_that_always_fires(seen: Seen) -> None:
    [watchdog] = [one for one in seen.alerts if one["labels"]["alertname"] == "Watchdog"]
    assert [one["name"] for one in watchdog["receivers"]] == ["null"]
    assert "Watchdog" not in {one["labels"]["alertname"] for post in seen.received for one in post["alerts"]}
