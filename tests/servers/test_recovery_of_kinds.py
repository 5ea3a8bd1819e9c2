"""Every object that the program makes in Kubernetes is taken back after an `up` that was killed at its creation.

The recorded program's objects are made by the real engine on a real API server, whose answers to creations are held
back until the engine is dead: each object is there, and of each the state knows that its creation began.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from checks.graph import Node, is_unknown, reveal
from checks.program import recorded
from components.kit.stack_mark import ANNOTATION
from lab import flux
from stacks.commands.recover import recover
from stacks.commands.recover_cluster import MANAGER, Cluster
from stacks.commands.stack import Stack
from tests.lab import pulumi_program
from tests.lab.pulumi_program import Program
from tests.servers.kubernetes import KubernetesApi, with_kubectl
from tests.servers.manifests import definitions
from tests.servers.processes import eventually
from tests.servers.slow_answers import SlowAnswers, slow_answers

pytestmark = pytest.mark.long

PROGRAM = """
import json
import pathlib

import pulumi
import pulumi_kubernetes

provider = pulumi_kubernetes.Provider(
    "kubernetes",
    kubeconfig=pulumi.Config().require_secret("kubeconfig"),
    cluster_identifier="trial",
    enable_config_map_mutable=True,
    enable_secret_mutable=True,
)
for kind, name, inputs in json.loads(pathlib.Path("objects.json").read_text()):
    pulumi.CustomResource(kind, name, inputs, pulumi.ResourceOptions(provider=provider))
"""

SECONDS = 120.0
"""Until every object is there, on a machine that does other things too."""


def objects() -> list[Node]:
    """Every object that the program makes itself; what its releases bring is Helm's."""
    made = recorded("lab").resources()
    return [node for node in made if node.type.startswith("kubernetes:") and "helm.sh" not in node.type]


def inputs(node: Node) -> dict[str, Any]:
    """The recorded inputs; nothing makes the objects ready here, so what is awaited elsewhere is not.

    Nothing else is added: whether an object has a field that the API server notes its maker for is the point.
    """
    given: dict[str, Any] = reveal(node.inputs)
    if node.type == "kubernetes:core/v1:Secret" and is_unknown(given.get("data")):
        given["data"] = {"tls.crt": "Y2VydA==", "tls.key": "a2V5"}
    annotations = dict(given["metadata"].get("annotations", {}))
    if annotations.pop("pulumi.com/waitFor", None) or node.type.endswith(":Job"):
        given["metadata"] = given["metadata"] | {"annotations": annotations | {"pulumi.com/skipAwait": "true"}}
    return given


@dataclass
class Killed:
    """A stack whose `up` was killed at the creation of everything."""

    program: Program
    way: SlowAnswers
    stack: Stack

    def resources(self) -> dict[str, str]:
        """Ids in the state by type and name; pending operations are none."""
        deployment = json.loads(self.program.pulumi("stack", "export"))["deployment"]
        assert not deployment.get("pending_operations")
        return {
            " ".join(resource["urn"].split("::")[2:]): resource["id"]
            for resource in deployment["resources"]
            if resource.get("custom")
        }


@pytest.fixture(scope="module")
def killed(kubernetes: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    root = tmp_path_factory.mktemp("recovery")
    # Those of Flux come with no chart: its operator brings them.
    of_flux = [one for one in json.loads(flux.objects().read_text()) if one["kind"] == "CustomResourceDefinition"]
    kubernetes.apply(*definitions(root / "charts"), *of_flux)
    with slow_answers(kubernetes) as way:
        secrets = {"kubeconfig": way.kubeconfig}
        with pulumi_program.program(root, PROGRAM, providers=("kubernetes",), secrets=secrets) as program:
            wanted = [(node.type, node.name, inputs(node)) for node in objects()]
            (program.directory / "objects.json").write_text(json.dumps(wanted))
            up_killed_when(program, way, len(wanted))
            environment = with_kubectl(program.environment | {"HOME": str(root)})
            yield Killed(program, way, Stack("trial", environment, program.directory))


def up_killed_when(program: Program, way: SlowAnswers, created: int) -> None:
    """`pulumi up` that dies, with its plugins, when that many objects were created, of none of which it knows."""
    log = program.directory / "killed-up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--parallel", str(2 * created)],
            cwd=program.directory,
            env=program.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        eventually(
            lambda: True if len(way.created) == created or process.poll() is not None else None,
            f"{created} creations",
            seconds=SECONDS,
        )
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert len(way.created) == created, log.read_text()
    way.answering.set()


def test_a_recovery_takes_every_object_back_and_the_next_up_makes_none(killed: Killed) -> None:
    made = len(killed.way.created)
    killed.program.pulumi("cancel", "--yes", "trial")
    recover(killed.stack)
    in_state = killed.resources()
    assert [f"{node.type} {node.name}" for node in objects() if f"{node.type} {node.name}" not in in_state] == []
    killed.program.up()
    killed.program.up("--expect-no-changes")
    assert len(killed.way.created) == made


ACCOUNT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {"name": "one", "namespace": "others"},
}


@pytest.mark.parametrize(
    ("mark", "manager", "expected", "found"),
    [
        ("homelab-lab", MANAGER, "homelab-lab", "others/one"),
        ("homelab-lab", f"{MANAGER}-1234abcd", "homelab-lab", "others/one"),
        ("homelab-prod", MANAGER, "homelab-lab", None),
        ("homelab-lab", "kubectl", "homelab-lab", None),
        (None, MANAGER, "homelab-lab", None),
        (None, MANAGER, None, None),
        ("by-hand", MANAGER, None, "others/one"),
    ],
    ids=[
        "ours",
        "ours-after-an-update",
        "of-another-stack",
        "a-copy-that-somebody-else-made",
        "unmarked",
        "unmarked-and-nothing-but-a-name",
        "of-a-program-without-marks",
    ],
)
def test_an_object_is_this_stacks_by_its_mark_and_its_manager(
    kubernetes: KubernetesApi, tmp_path: Path, mark: str | None, manager: str, expected: str | None, found: str | None
) -> None:
    kubernetes.namespace("others")
    annotations = {} if mark is None else {"annotations": {ANNOTATION: mark}}
    path = "/api/v1/namespaces/others/serviceaccounts"
    kubernetes.request(
        "POST", f"{path}?fieldManager={manager}", ACCOUNT | {"metadata": {**ACCOUNT["metadata"], **annotations}}
    )
    try:
        assert Cluster(kubernetes.kubeconfig, with_kubectl({"HOME": str(tmp_path)})).find(ACCOUNT, expected) == found
    finally:
        kubernetes.request("DELETE", f"{path}/one")


def test_an_object_that_is_not_there_is_not_found(kubernetes: KubernetesApi, tmp_path: Path) -> None:
    assert Cluster(kubernetes.kubeconfig, with_kubectl({"HOME": str(tmp_path)})).find(ACCOUNT, "homelab-lab") is None
