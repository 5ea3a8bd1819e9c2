"""Which pods a lab with real pods plays, and what is left of them: a real API server decides by the lab's policy."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import yaml

from lab import programs
from lab.golang import LAB
from lab.pods.workloads import PLAYED_FOR, REAL
from tests.servers.kubernetes import KubernetesApi
from tests.servers.processes import eventually

STAND_IN = "lab.invalid/stand-in:lab"
VALUES = {
    "Images": json.dumps(["docker.io/library/mariadb", "mariadb"]),
    "Label": REAL[0],
    "Value": REAL[1],
    "StandIn": STAND_IN,
    "PlayedFor": PLAYED_FOR,
}


@pytest.fixture(scope="module")
def api(kubernetes: KubernetesApi) -> KubernetesApi:
    """An API server in which the policy is in force."""
    text = (LAB / "talos/internal/kubernetes/pods.yaml").read_text()
    for name, value in VALUES.items():
        assert f"{{{{ .{name} }}}}" in text
        text = text.replace(f"{{{{ .{name} }}}}", value)
    kubectl(kubernetes, "apply", "-f", "-", given=text)
    eventually(
        lambda: PLAYED_FOR in made(kubernetes, pod("x"))["metadata"].get("annotations", {}) or None, "the policy"
    )
    return kubernetes


def kubectl(api: KubernetesApi, *arguments: str, given: str) -> str:
    command = [str(programs.ensure(["kubectl"])["kubectl"].path), "--kubeconfig", str(api.kubeconfig), *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout


def made(api: KubernetesApi, wanted: dict[str, Any]) -> dict[str, Any]:
    """A pod as the API server would make it."""
    answer = kubectl(api, "create", "--dry-run=server", "-o", "json", "-f", "-", given=yaml.safe_dump(wanted))
    return dict(json.loads(answer))


def pod(image: str, *, init: str = "", restart: str = "Always", **metadata: Any) -> dict[str, Any]:
    """A pod with all that a stand-in must not have, and what it must keep."""
    container = {
        "name": "main",
        "image": image,
        "command": ["/server"],
        "env": [{"name": "A", "value": "b"}],
        "ports": [{"name": "http", "containerPort": 80}],
        "securityContext": {"runAsUser": 5, "allowPrivilegeEscalation": False},
        "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
        "lifecycle": {"preStop": {"exec": {"command": ["/stop"]}}},
        "resources": {"requests": {"cpu": "4"}},
        "volumeMounts": [{"name": "secret", "mountPath": "/s"}, {"name": "data", "mountPath": "/d"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "trial", "namespace": "kube-system", **metadata},
        "spec": {
            "serviceAccountName": "lab-pods",
            "automountServiceAccountToken": False,
            "restartPolicy": restart,
            "containers": [container],
            "initContainers": [{"name": "first", "image": init or image}],
            "volumes": [
                {"name": "secret", "secret": {"secretName": "nobody-has-it"}},
                {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
            ],
        },
    }


@pytest.mark.parametrize("image", ["mariadb", "mariadb:11", "docker.io/library/mariadb@sha256:" + "0" * 64])
def test_a_pod_whose_images_are_there_goes_to_a_real_kubelet_as_it_is(api: KubernetesApi, image: str) -> None:
    found = made(api, pod(image))
    assert found["spec"]["nodeSelector"] == {REAL[0]: REAL[1]}
    [container] = found["spec"]["containers"]
    assert (container["image"], container["command"]) == (image, ["/server"])
    assert "readinessProbe" in container
    assert PLAYED_FOR not in found["metadata"].get("annotations", {})


def test_a_pod_that_chooses_its_nodes_still_does(api: KubernetesApi) -> None:
    wanted = pod("mariadb")
    wanted["spec"]["nodeSelector"] = {"disk": "ssd"}
    assert made(api, wanted)["spec"]["nodeSelector"] == {"disk": "ssd", REAL[0]: REAL[1]}


def test_a_pod_of_a_daemon_set_is_on_the_node_that_it_is_for(api: KubernetesApi) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "each", "uid": "0"}
    assert "nodeSelector" not in made(api, pod("mariadb", ownerReferences=[owner]))["spec"]


@pytest.mark.parametrize(("image", "init"), [("mariadb-backup:1", ""), ("mariadb", "busybox"), ("busybox", "mariadb")])
def test_a_pod_of_which_an_image_is_missing_is_played(api: KubernetesApi, image: str, init: str) -> None:
    found = made(api, pod(image, init=init))
    assert [each["image"] for each in found["spec"]["containers"]] == [STAND_IN]
    assert found["metadata"]["annotations"][PLAYED_FOR] == image


def test_a_played_pod_keeps_rights_ports_and_claims_and_nothing_that_it_would_do(api: KubernetesApi) -> None:
    found = made(api, pod("busybox"))["spec"]
    [container] = found["containers"]
    assert "initContainers" not in found
    assert [each["name"] for each in found["volumes"]] == ["data"]
    assert container["securityContext"] == {"runAsUser": 5, "allowPrivilegeEscalation": False}
    assert container["ports"] == [{"name": "http", "containerPort": 80, "protocol": "TCP"}]
    assert container["args"] == ["wait"]
    assert not {"command", "env", "readinessProbe", "lifecycle", "volumeMounts"} & container.keys()
    assert container["resources"] == {}


def test_a_played_job_has_done_its_work(api: KubernetesApi) -> None:
    [container] = made(api, pod("busybox", restart="Never"))["spec"]["containers"]
    assert container["args"] == ["done"]


def test_the_object_of_a_static_pod_is_not_touched(api: KubernetesApi) -> None:
    static = pod("busybox", annotations={"kubernetes.io/config.mirror": "x"})
    static["spec"] = {"containers": [{"name": "main", "image": "busybox"}], "nodeName": "cp1"}
    assert made(api, static)["spec"]["containers"][0]["image"] == "busybox"
