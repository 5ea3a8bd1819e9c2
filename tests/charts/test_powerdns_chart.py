"""The powerdns chart: what it renders, and which values it refuses."""

from __future__ import annotations

import copy
import re
from functools import cache
from typing import Any

import pytest

from tests.charts.helm import CHARTS, HelmError, rendered, run
from tests.charts.kubelet import commands, deaf, loses_a_dollar

BASE: dict[str, Any] = {
    "existingSecret": {"name": "powerdns"},
    "transfer": {"allow": ["10.0.0.0/8", "100.64.0.3"], "notify": ["100.64.0.3"]},
    "api": {"namespaces": ["external-dns", "cert-manager"]},
    "service": {"annotations": {"metallb.io/loadBalancerIPs": "10.0.3.3"}},
}


def values(change: dict[str, Any]) -> dict[str, Any]:
    """The base values with `change` at its dotted paths."""
    result = copy.deepcopy(BASE)
    for dotted, value in change.items():
        *way, key = dotted.split("/")
        place = result
        for part in way:
            place = place.setdefault(part, {})
        place[key] = value
    return result


@cache
def objects() -> dict[tuple[str, str], dict[str, Any]]:
    return {(item["kind"], item["metadata"]["name"]): item for item in rendered("powerdns", BASE)}


def settings(change: dict[str, Any] | None = None) -> dict[str, str]:
    """The rendered pdns.conf by its keys."""
    maps = [item for item in rendered("powerdns", values(change or {})) if item["kind"] == "ConfigMap"]
    [text] = [item["data"]["pdns.conf"] for item in maps if "pdns.conf" in item["data"]]
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def pods() -> dict[str, dict[str, Any]]:
    """Each pod's spec by its owner's name."""
    found = {}
    for (kind, name), item in objects().items():
        if kind in ("Deployment", "StatefulSet"):
            found[name] = item["spec"]["template"]["spec"]
        elif kind == "Pod":
            found[name] = item["spec"]
    return found


def containers() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{name}/{container['name']}", container)
        for name, pod in pods().items()
        for container in [*pod.get("initContainers", []), *pod["containers"]]
    ]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"replica": 2}, "additional properties 'replica' not allowed"),
    "an unknown key inside": ({"transfer/alow": []}, "additional properties 'alow' not allowed"),
    "no server": ({"replicas": 0}, "/replicas"),
    "replicas in quotes": ({"replicas": "2"}, "/replicas"),
    "a floating tag": ({"image/tag": "latest"}, "/image/tag"),
    "a digest of another kind": ({"image/digest": "sha1:abc"}, "/image/digest"),
    "a transfer to a name": ({"transfer/allow": ["vps.example.org"]}, "/transfer/allow/0"),
    "a transfer to what is not a network": ({"transfer/allow": ["10.0.0.0/33"]}, "/transfer/allow/0"),
    "a transfer to what is not an address": ({"transfer/allow": ["10.0.0.256"]}, "/transfer/allow/0"),
    "a notification of a name": ({"transfer/notify": ["vps.example.org"]}, "/transfer/notify/0"),
    "a notification of a network": ({"transfer/notify": ["100.64.0.0/10"]}, "/transfer/notify/0"),
    "the same transfer twice": ({"transfer/allow": ["10.0.0.1", "10.0.0.1"]}, "/transfer/allow"),
    "a port that needs a privilege": ({"port": 53}, "/port"),
    "an API for nobody": ({"api/allowFrom": []}, "/api/allowFrom"),
    "an invalid namespace": ({"api/namespaces": ["External DNS"]}, "/api/namespaces/0"),
    "a setting of two lines": ({"settings/log-dns-queries": "yes\napi-key=x"}, "/settings/log-dns-queries"),
    "a setting in capitals": ({"settings/Log": True}, "invalid propertyName 'Log'"),
    "a setting that the chart owns": ({"settings/api-key": "x"}, "settings.api-key: belongs to the chart"),
    "an SOA without its times": ({"soa": "ns1.example.org hostmaster.example.org"}, "/soa"),
    "an SOA with a mailbox as in mail": ({"soa": "a@b.c d 0 1 2 3 4"}, "/soa"),
    "an unknown service type": ({"service/type": "Loadbalancer"}, "/service/type"),
    "an unknown traffic policy": ({"service/externalTrafficPolicy": "local"}, "/service/externalTrafficPolicy"),
    "a volume without a unit": ({"database/volume/size": "2"}, "/database/volume/size"),
    "a database's name with a quote": ({"database/name": "power'dns"}, "/database/name"),
    "no secret": ({"existingSecret/name": ""}, "existingSecret.name: names the Secret"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_value_that_cannot_work_is_refused_by_its_place(case: str) -> None:
    change, place = REFUSED[case]
    with pytest.raises(HelmError) as refusal:
        rendered("powerdns", values(change))
    assert place in str(refusal.value)


def test_helm_finds_no_fault_in_the_chart() -> None:
    run("lint", str(CHARTS / "powerdns"), "--strict", "--set", "existingSecret.name=x")


def test_the_address_list_of_transfers_reaches_the_server() -> None:
    assert settings()["allow-axfr-ips"] == "10.0.0.0/8,100.64.0.3"
    assert settings()["disable-axfr"] == "no"


def test_only_the_listed_servers_are_notified() -> None:
    assert (settings()["also-notify"], settings()["only-notify"]) == ("100.64.0.3", "")


def test_every_setting_given_reaches_the_server() -> None:
    given = settings(
        {"settings/receiver-threads": 2, "settings/log-dns-queries": False, "settings/version-string": "x"}
    )
    assert (given["receiver-threads"], given["log-dns-queries"], given["version-string"]) == ("2", "no", "x")


def test_no_secret_is_rendered() -> None:
    assert not {"api-key", "gmysql-password", "webserver-password"} & settings().keys()
    assert "Secret" not in {kind for kind, _ in objects()}


def mounted(change: dict[str, Any]) -> dict[str, str]:
    """File names in the servers' secret directory, with the Secret that each comes from."""
    [pod] = [
        item["spec"]["template"]["spec"]
        for item in rendered("powerdns", values(change))
        if item["kind"] == "Deployment"
    ]
    [volume] = [volume["projected"] for volume in pod["volumes"] if volume["name"] == "secret"]
    return {item["path"]: part["secret"]["name"] for part in volume["sources"] for item in part["secret"]["items"]}


def test_the_api_key_may_come_from_a_secret_of_its_own() -> None:
    assert mounted({}) == {"secret.conf": "powerdns"}
    assert mounted({"apiSecret/name": "powerdns-api"}) == {"secret.conf": "powerdns", "api.conf": "powerdns-api"}


@pytest.mark.parametrize(("kind", "place"), [("Deployment", "annotations"), ("StatefulSet", "database/annotations")])
def test_a_workload_is_annotated_itself_and_not_its_pods(kind: str, place: str) -> None:
    wanted: dict[str, Any] = {"secret.reloader.stakater.com/reload": "powerdns"}
    [workload] = [item for item in rendered("powerdns", values({place: wanted})) if item["kind"] == kind]
    assert workload["metadata"]["annotations"] == wanted
    assert not wanted.items() & workload["spec"]["template"]["metadata"].get("annotations", {}).items()


def test_names_are_served_over_udp_and_tcp_at_one_address() -> None:
    service = objects()["Service", "powerdns"]
    assert {(port["port"], port["protocol"]) for port in service["spec"]["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert service["metadata"]["annotations"] == {"metallb.io/loadBalancerIPs": "10.0.3.3"}


def test_the_api_is_reached_inside_the_cluster_alone() -> None:
    outside = [item for (kind, _), item in objects().items() if kind == "Service" and "clusterIP" not in item["spec"]]
    [public] = [item for item in outside if item["spec"]["type"] != "ClusterIP"]
    assert {port["port"] for port in public["spec"]["ports"]} == {53}


def test_the_api_is_open_to_the_named_namespaces_and_its_own_alone() -> None:
    [_, api] = objects()["NetworkPolicy", "powerdns"]["spec"]["ingress"]
    [peer] = api["from"]
    [expression] = peer["namespaceSelector"]["matchExpressions"]
    assert sorted(expression["values"]) == ["cert-manager", "dns", "external-dns"]


def test_the_database_is_reached_by_the_servers_alone() -> None:
    [rule] = objects()["NetworkPolicy", "powerdns-database"]["spec"]["ingress"]
    [peer] = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "server"


@pytest.mark.parametrize("name", ["powerdns", "powerdns-database", "powerdns-answers"])
def test_a_pod_is_of_the_level_restricted(name: str) -> None:
    pod = pods()[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert [v["name"] for v in pod.get("volumes", []) if "hostPath" in v] == []


@pytest.mark.parametrize(("name", "container"), containers() if (CHARTS / "powerdns").is_dir() else [])
def test_a_container_has_no_privilege_and_writes_nothing_to_its_root_file_system(
    name: str, container: dict[str, Any]
) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }, name


def test_the_volume_that_one_node_may_write_is_not_fought_over() -> None:
    database = objects()["StatefulSet", "powerdns-database"]
    assert database["spec"]["replicas"] == 1
    [claim] = database["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_a_changed_setting_restarts_the_servers() -> None:
    def checksum(change: dict[str, Any]) -> str:
        [deployment] = [item for item in rendered("powerdns", values(change)) if item["kind"] == "Deployment"]
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/settings"])

    assert checksum({}) != checksum({"settings/receiver-threads": 2})


def test_one_server_is_replaced_before_it_goes() -> None:
    objects_of_one = rendered("powerdns", values({"replicas": 1}))
    [deployment] = [item for item in objects_of_one if item["kind"] == "Deployment"]
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert "PodDisruptionBudget" not in {item["kind"] for item in objects_of_one}


def test_several_servers_are_not_evicted_together() -> None:
    assert objects()["PodDisruptionBudget", "powerdns"]["spec"]["maxUnavailable"] == 1


def test_every_volume_mount_has_its_volume() -> None:
    claims = {"powerdns-database": {"data"}}
    for name, pod in pods().items():
        volumes = {volume["name"] for volume in pod.get("volumes", [])} | claims.get(name, set())
        mounts = {
            m["name"] for c in [*pod.get("initContainers", []), *pod["containers"]] for m in c.get("volumeMounts", [])
        }
        assert mounts == volumes, name


def test_every_service_port_has_its_container_port() -> None:
    names = {port["name"] for _, container in containers() for port in container.get("ports", [])}
    targets = {
        p["targetPort"] for (kind, _), item in objects().items() if kind == "Service" for p in item["spec"]["ports"]
    }
    assert targets <= names


def test_the_chart_says_the_version_that_it_runs() -> None:
    chart = (CHARTS / "powerdns" / "Chart.yaml").read_text()
    [version] = re.findall(r'appVersion: "(.*)"', chart)
    assert pods()["powerdns"]["containers"][0]["image"] == f"powerdns/pdns-auth-49:{version}"


def test_every_command_reaches_its_container_as_it_is_written() -> None:
    found = list(commands(list(objects().values())))
    assert len(found) > 5
    assert [command for command in found if loses_a_dollar(command)] == []


def test_every_pod_ends_when_it_is_told() -> None:
    assert {name: deaf(pod) for name, pod in pods().items()} == {name: [] for name in pods()}


def test_a_server_is_told_to_quit_as_process_1_hears_no_signal() -> None:
    [server] = pods()["powerdns"]["containers"]
    assert server["command"] == ["/usr/local/sbin/pdns_server"]
    assert server["lifecycle"]["preStop"]["exec"]["command"][-1].endswith("/pdns_control --socket-dir=/run/pdns quit")


def test_a_server_answers_until_no_node_sends_it_queries_any_more() -> None:
    """Nodes learn that a pod ends while it is told to: what they send it meanwhile would be lost."""
    [server] = pods()["powerdns"]["containers"]
    before, _, quits = server["lifecycle"]["preStop"]["exec"]["command"][-1].partition("; ")
    assert before == "sleep 5"
    assert quits.startswith("exec ")
