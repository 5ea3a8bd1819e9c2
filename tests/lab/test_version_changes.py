"""What a change of the Talos or Kubernetes version does to running nodes, on the lab's simulated ones and a real API.

The tests are steps of one life, in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from components.talos.api import TalosError
from components.talos.images import KUBELET, STATIC_PODS
from tests.lab.talos_site import NODES, TalosSite, brought_up, kinds, touched

OLD = {"talos": "v1.12.6", "kubernetes": "v1.35.2"}
NEW = {"talos": "v1.13.9", "kubernetes": "v1.36.3"}
CONTROL_PLANES = [name for name in NODES if name.startswith("cp")]
OLD_COREDNS = "registry.k8s.io/coredns/coredns:v1.12.0"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TalosSite]:
    with brought_up(tmp_path_factory.mktemp("talos"), **OLD) as made:
        yield made


def updated(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Component and node, in the order in which they came to report another version."""
    return [(event["detail"]["component"], event["name"]) for event in events if event["kind"] == "component-updated"]


def coredns(site: TalosSite) -> str:
    deployment = json.loads(site.kubectl("-n", "kube-system", "get", "deployment", "coredns", "-o", "json"))
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"kubernetes": "v1.34.1"}, r"versions\.kubernetes: v1\.34\.1 is older than the v1\.35\.2 that cp1 runs"),
        ({"kubernetes": "v1.37.0"}, r"versions\.kubernetes: v1\.37\.0 is 2 minor releases above the v1\.35\.2"),
    ],
)
def test_a_way_that_is_too_long_is_refused_before_any_node_is_touched(
    site: TalosSite, change: dict[str, str], rule: str
) -> None:
    since = site.last()
    with pytest.raises(TalosError, match=rule):
        site.up(**OLD | change)
    assert touched(site.events(since)) == []


def test_an_image_that_a_node_cannot_pull_stops_everything_before_any_node_is_touched(site: TalosSite) -> None:
    since = site.last()
    site.control("POST", "/faults", {"machine": NODES["w1"][0], "fault": "no-images"})
    with pytest.raises(TalosError, match=r"v1\.35\.3 was not begun, as w1 cannot pull \S+kubelet:v1\.35\.3"):
        site.up(**OLD | {"kubernetes": "v1.35.3"})
    site.control("POST", "/faults", {"machine": NODES["w1"][0], "fault": "images"})
    assert touched(site.events(since)) == []


def test_a_configuration_that_a_node_refuses_is_found_before_its_upgrade(site: TalosSite) -> None:
    since = site.last()
    with pytest.raises(TalosError, match="refuses ApplyConfiguration: INVALID_ARGUMENT"):
        site.up(**OLD | {"talos": "v1.12.7"}, cni="unheard-of")
    assert touched(site.events(since)) == []


@pytest.fixture(scope="module")
def patched(site: TalosSite) -> list[dict[str, Any]]:
    """The events of an `up` to the next patch release of Kubernetes, after somebody's changes to CoreDNS."""
    pod = {"spec": {"containers": [{"name": "coredns", "image": OLD_COREDNS}]}}
    site.kubectl(
        *("patch", "-n", "kube-system", "deployment", "coredns", "--type=strategic", "--field-manager=talos"),
        *("--patch", json.dumps({"spec": {"template": pod}})),
    )
    metadata = {"name": "coredns", "namespace": "kube-system"}
    own = {"Corefile": "# somebody's own\n"}
    corefile = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": own}
    site.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--field-manager=somebody", "-f", "-"),
        text=json.dumps(corefile),
    )
    assert coredns(site) == OLD_COREDNS
    since = site.last()
    site.up(**OLD | {"kubernetes": "v1.35.3"})
    return site.events(since)


def test_kubernetes_goes_through_the_control_planes_part_by_part_and_then_through_the_kubelets(
    patched: list[dict[str, Any]],
) -> None:
    parts = [(part, name) for part in STATIC_PODS for name in CONTROL_PLANES]
    assert updated(patched) == parts + [(KUBELET, name) for name in NODES]


def test_a_node_is_changed_only_when_what_was_changed_before_reports_its_version(patched: list[dict[str, Any]]) -> None:
    parts = len(STATIC_PODS) * len(CONTROL_PLANES) + len(NODES)
    assert kinds(patched, "apply", "reboot", "component-updated") == ["apply", "component-updated"] * parts


def test_every_image_is_on_its_node_before_the_first_change(patched: list[dict[str, Any]]) -> None:
    count = len(STATIC_PODS) * len(CONTROL_PLANES) + len(NODES)
    assert kinds(patched, "image-pull", "apply")[: count + 1] == ["image-pull"] * count + ["apply"]


@pytest.mark.usefixtures("patched")
def test_coredns_is_what_the_running_talos_brings(site: TalosSite) -> None:
    assert coredns(site) not in ("", OLD_COREDNS)


@pytest.mark.usefixtures("patched")
def test_what_somebody_else_manages_is_left_alone(site: TalosSite) -> None:
    found = site.kubectl("-n", "kube-system", "get", "configmap", "coredns", "-o", "jsonpath={.data.Corefile}")
    assert found == "# somebody's own\n"


@pytest.fixture(scope="module")
def renewed(site: TalosSite) -> list[dict[str, Any]]:
    """The events of an `up` to the next minor release of both, with one worker more."""
    site.boot("w2", 202, "2.2", NEW["talos"])
    since = site.last()
    site.up(**NEW)
    return site.events(since)


def test_talos_is_upgraded_on_every_node_before_kubernetes_begins(renewed: list[dict[str, Any]]) -> None:
    order = kinds(renewed, "apply", "upgrade")
    assert order[: len(NODES)] == ["upgrade"] * len(NODES)
    assert "upgrade" not in order[len(NODES) :]


def test_one_node_at_a_time_is_away_for_its_upgrade(renewed: list[dict[str, Any]]) -> None:
    changes = [event for event in renewed if event["kind"] == "stage" and event["name"] in NODES]
    stages = [(event["name"], event["detail"]["stage"]) for event in changes]
    away: list[str] = []
    for name, stage in stages:
        if stage == "running":
            away.remove(name)
        elif name not in away:
            away.append(name)
            assert len(away) == 1, stages


def test_kubernetes_follows_talos_in_its_own_order(renewed: list[dict[str, Any]]) -> None:
    parts = [(part, name) for part in STATIC_PODS for name in CONTROL_PLANES]
    assert updated(renewed) == parts + [(KUBELET, name) for name in NODES]


@pytest.mark.usefixtures("renewed")
def test_kubernetes_knows_the_new_version_of_every_node(site: TalosSite) -> None:
    nodes = json.loads(site.kubectl("get", "nodes", "-o", "json"))["items"]
    versions = {node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes}
    assert {name: versions[name] for name in NODES} == dict.fromkeys(NODES, NEW["kubernetes"])


@pytest.mark.usefixtures("renewed")
def test_a_node_that_joins_during_an_upgrade_does_not_hold_it_up(site: TalosSite) -> None:
    site.until("w2 registered", lambda: "w2 " in site.kubectl("get", "nodes"))


@pytest.mark.usefixtures("renewed")
def test_an_earlier_release_of_talos_is_refused_before_any_node_is_touched(site: TalosSite) -> None:
    since = site.last()
    with pytest.raises(TalosError, match=r"versions\.talos: v1\.12\.6 is older than the v1\.13\.9 that cp1 runs"):
        site.up(talos=OLD["talos"], kubernetes=NEW["kubernetes"])
    assert touched(site.events(since)) == []
