"""MetalLB's real controller on the program's own pools: who gets which address, and why not.

It is of the chart's own release line (0.16), with the chart's rights; speakers, which need raw packets, do not run. The
lab's rule of it (`lab/operators/metallb.py`) says the same of the same objects, word for word.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.operators.metallb import RULES, announcing
from lab.operators.world import World, outcomes
from lab.programs import ensure
from tests.graph.operated import charts_services
from tests.servers.kubernetes import ApiError, KubernetesApi
from tests.servers.manifests import lab, manifests
from tests.servers.names import chart_objects, module, release_values
from tests.servers.pods import pod
from tests.servers.processes import eventually, free_ports

Manifest = dict[str, Any]

NAMESPACE, CONTROLLER = "metallb-system", "metallb-controller"
MODULE = "go.universe.tf/metallb"
POOLS = ("ingress-pool", "dns-pool", "services-pool")
RIGHTS = ("ServiceAccount", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


@pytest.fixture(scope="module")
def api(kubernetes: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    """With the controller at work, and the program's pools and advertisements."""
    directory = tmp_path_factory.mktemp("metallb")
    kubernetes.namespace(NAMESPACE)
    with _controller(kubernetes, directory):
        kubernetes.apply(*manifests(lab(), "IPAddressPool", "L2Advertisement"))
        yield kubernetes


@contextlib.contextmanager
def _controller(kubernetes: KubernetesApi, directory: Path) -> Iterator[Path]:
    chart = module(MODULE, "tools/metallb") / "charts/metallb"
    objects = chart_objects(chart, "metallb", NAMESPACE, release_values("metallb"), directory)
    kubernetes.apply(*(item for item in objects if item["kind"] in RIGHTS))
    [deployment] = [item for item in objects if item["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    owner = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "controller-0", "namespace": NAMESPACE}}
    kubernetes.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", owner | {"spec": template["spec"]})
    [health] = free_ports(1)
    command = [
        str(ensure(["metallb-controller"])["metallb-controller"].path),
        *(f"--namespace={NAMESPACE}", "--pod-name=controller-0", "--webhook-mode=disabled", "--port=0"),
        f"--health-probe-port={health}",
    ]
    with pod(kubernetes, NAMESPACE, CONTROLLER, command, directory=directory, ready=lambda: True) as log:
        yield log


def service(name: str, **annotations: str) -> Manifest:
    """A Service of type LoadBalancer; an annotation's name is without its prefix."""
    written = {f"metallb.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    metadata = {"name": name, "namespace": "default", "annotations": written}
    spec = {"type": "LoadBalancer", "ports": [{"name": "main", "port": 53}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


@contextlib.contextmanager
def applied(api: KubernetesApi, item: Manifest) -> Iterator[None]:
    metadata = item["metadata"]
    api.apply(item)
    try:
        yield
    finally:
        api.request("DELETE", f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}")


def addresses(api: KubernetesApi, item: Manifest) -> list[str] | None:
    now = api.get("v1", "Service", item["metadata"]["name"], item["metadata"]["namespace"])
    return [entry["ip"] for entry in now["status"]["loadBalancer"].get("ingress", [])] or None


def refused(api: KubernetesApi, item: Manifest) -> str | None:
    """Why the controller gave no address."""
    for each in api.request("GET", f"/api/v1/namespaces/{item['metadata']['namespace']}/events")["items"]:
        if each["involvedObject"]["name"] == item["metadata"]["name"] and each["reason"] == "AllocationFailed":
            return str(each["message"])
    return None


def played(api: KubernetesApi, item: Manifest) -> tuple[list[str], list[str]]:
    """The addresses that the lab's rule gives with the cluster's objects, and what it says."""
    running = {"metadata": {"name": CONTROLLER, "namespace": NAMESPACE}, "status": {"availableReplicas": 1}}
    world = World([{"apiVersion": "apps/v1", "kind": "Deployment", **running}])
    pools = api.request("GET", f"/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/ipaddresspools")["items"]
    for each in (*pools, *api.request("GET", "/api/v1/services")["items"]):
        world.put({**each, "kind": "IPAddressPool" if "addresses" in each["spec"] else "Service"})
    given, told = [], []
    for _, found, outcome in outcomes(RULES, world):
        if found["metadata"]["name"] == item["metadata"]["name"]:
            given += [entry["ip"] for entry in outcome.status["loadBalancer"].get("ingress", [])]
            told += [str(each["message"]) for each in outcome.makes]
    return given, told


@pytest.mark.parametrize("name", ["nginx-ingress-controller", "powerdns"])
def test_a_service_of_the_program_gets_the_address_that_it_asks_for(api: KubernetesApi, name: str) -> None:
    [wanted] = [each for each in charts_services(lab()) if each["metadata"]["name"] == name]
    item = service(name)
    item["metadata"]["annotations"] = wanted["metadata"]["annotations"]
    with applied(api, item):
        given = eventually(lambda: addresses(api, item), "an address")
        assert given == [wanted["metadata"]["annotations"]["metallb.io/loadBalancerIPs"]]
        assert played(api, item) == (given, [])


def test_a_service_that_asks_for_nothing_gets_one_of_the_services_pool(api: KubernetesApi) -> None:
    item = service("any")
    with applied(api, item):
        given = eventually(lambda: addresses(api, item), "an address")
        assert given == ["127.20.3.4"]
        assert played(api, item) == (given, [])


REFUSED = {
    "an address of no pool": {"loadBalancerIPs": "192.0.2.1"},
    "an address of another pool": {"loadBalancerIPs": "127.20.3.3", "address_pool": "ingress-pool"},
    "a pool that is not there": {"address_pool": "nowhere"},
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_no_address_for(api: KubernetesApi, wrong: str) -> None:
    item = service(wrong.replace(" ", "-"), **REFUSED[wrong])
    with applied(api, item):
        told = eventually(lambda: refused(api, item), "a refusal")
        assert addresses(api, item) is None
        assert played(api, item) == ([], [told])


def test_the_address_of_another_service_is_not_given_again(api: KubernetesApi) -> None:
    first, second = (service(name, loadBalancerIPs="127.20.3.9") for name in ("first", "second"))
    with applied(api, first):
        eventually(lambda: addresses(api, first), "an address")
        with applied(api, second):
            told = eventually(lambda: refused(api, second), "a refusal")
            assert played(api, second) == ([], [told])


def test_every_pool_is_advertised(api: KubernetesApi) -> None:
    listed = api.request("GET", f"/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/l2advertisements")["items"]
    world = World({**each, "kind": "L2Advertisement"} for each in listed)
    assert [pool for pool in POOLS if not announcing(pool, world)] == []


def test_the_definitions_refuse_a_misspelt_field(api: KubernetesApi) -> None:
    [pool, *_] = manifests(lab(), "IPAddressPool")
    wrong = copy.deepcopy(pool)
    wrong["spec"]["address"] = wrong["spec"].pop("addresses")
    wrong["metadata"]["name"] = "misspelt"
    with pytest.raises(ApiError, match="addresses"):
        api.apply(wrong)
