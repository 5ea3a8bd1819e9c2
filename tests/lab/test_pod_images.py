"""Images of real pods, who serves them, and who may have them. No container runs here."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.model import records
from components.storage.proxmox_csi import PROVISIONER
from lab import commands, preparation
from lab.errors import LabError
from lab.operators.world import repository
from lab.pods import debian_image, images, nodes, of_tools, workloads
from lab.pods.layers import Image, Layer
from lab.session import Session
from tests.conftest import ROOT
from tests.servers.processes import eventually, free_ports

LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path: sun_path without the zero at its end (https://man7.org/linux/man-pages/man7/unix.7.html)."""

HELLO = b"#!/bin/sh\necho hello\n"


def fill(layer: Layer) -> None:
    layer.file("/usr/bin/hello", HELLO, mode=0o755)
    layer.directory("/var/lib/hello", owner=953)
    layer.link("/hello", "usr/bin/hello")


HELLO_IMAGE = Image("hello", ("docker.io/library/hello",), "1", fill, ("/hello",), "953")


def blob(place: Path, digest: str) -> Path:
    return place / "blobs" / digest.removeprefix("sha256:")


def manifest(place: Path) -> dict[str, Any]:
    return dict(json.loads((place / "manifest.json").read_text()))


def test_an_image_has_the_files_of_its_recipe_with_their_owners(tmp_path: Path) -> None:
    place = HELLO_IMAGE.make(tmp_path)
    with tarfile.open(blob(place, manifest(place)["layers"][0]["digest"])) as layer:
        assert {entry.name: (entry.uid, entry.mode, entry.linkname) for entry in layer} == {
            "usr": (0, 0o755, ""),
            "usr/bin": (0, 0o755, ""),
            "usr/bin/hello": (0, 0o755, ""),
            "var": (0, 0o755, ""),
            "var/lib": (0, 0o755, ""),
            "var/lib/hello": (953, 0o755, ""),
            "hello": (0, 0o644, "usr/bin/hello"),
        }


def test_every_part_of_an_image_is_called_by_what_is_in_it(tmp_path: Path) -> None:
    place = HELLO_IMAGE.make(tmp_path)
    parts = [manifest(place)["config"], *manifest(place)["layers"]]
    assert len(parts) == 2
    for part in parts:
        content = blob(place, part["digest"]).read_bytes()
        assert part["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert part["size"] == len(content)


def test_the_same_recipe_makes_the_same_image(tmp_path: Path) -> None:
    assert manifest(HELLO_IMAGE.make(tmp_path / "a")) == manifest(HELLO_IMAGE.make(tmp_path / "b"))


def test_another_recipe_makes_an_image_beside_it(tmp_path: Path) -> None:
    other = Image("hello", HELLO_IMAGE.repositories, "2", fill, ("/hello",), "953")
    assert HELLO_IMAGE.make(tmp_path) != other.make(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A store with one image: its URL, and where the image is."""
    place = HELLO_IMAGE.make(tmp_path)
    served = tmp_path / "images.json"
    served.write_text(json.dumps({"docker.io/library/hello": str(place)}))
    [port] = free_ports(1)
    command = [sys.executable, "-m", "lab.pods.store", f"127.0.0.1:{port}", str(served)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        url = f"http://127.0.0.1:{port}/v2"
        eventually(lambda: fetched(f"{url}/") or None, "the store")
        yield url, place
        running.terminate()


def fetched(url: str, **headers: str) -> bytes | int:
    """What is answered: the content, or the status of an error; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code
    except urllib.error.URLError:
        return 0


@pytest.mark.parametrize("reference", ["1.0", "sha256:" + "0" * 64])
def test_an_image_is_served_whatever_version_is_asked_for(store: tuple[str, Path], reference: str) -> None:
    url, place = store
    answer = fetched(f"{url}/library/hello/manifests/{reference}?ns=docker.io")
    assert answer == (place / "manifest.json").read_bytes()


def test_another_registrys_image_of_the_same_name_is_not_there(store: tuple[str, Path]) -> None:
    assert fetched(f"{store[0]}/library/hello/manifests/1.0?ns=ghcr.io") == 404


def test_the_rest_of_a_blob_is_served_to_who_has_its_beginning(store: tuple[str, Path]) -> None:
    url, place = store
    digest = manifest(place)["layers"][0]["digest"]
    answer = fetched(f"{url}/library/hello/blobs/{digest}?ns=docker.io", Range="bytes=100-")
    assert answer == blob(place, digest).read_bytes()[100:]


def test_an_image_of_docker_hub_is_known_by_each_of_its_names() -> None:
    assert images.names(["docker.io/library/mariadb", "docker.io/powerdns/pdns-auth-49", "registry.k8s.io/pause"]) == [
        "docker.io/library/mariadb",
        "docker.io/mariadb",
        "docker.io/powerdns/pdns-auth-49",
        "library/mariadb",
        "mariadb",
        "powerdns/pdns-auth-49",
        "registry.k8s.io/pause",
    ]


@pytest.mark.parametrize("chart", images.TOOLS)
def test_a_tool_is_where_its_chart_looks_for_it(chart: str) -> None:
    """In the repository that the chart names, under the name of its command."""
    made = [item for one in records.read()[chart].made for item in one.objects if item["kind"] == "Deployment"]
    recipe = images.TOOLS[chart]
    containers = [each for item in made for each in item["spec"]["template"]["spec"]["containers"]]
    own = [each for each in containers if repository(each["image"]) in recipe.repositories]
    assert own
    [program] = recipe.programs.values()
    for container in own:
        [command] = container.get("command") or [program]
        assert command in (program, program.removeprefix("/usr/local/bin/"))


def test_a_rehearsal_makes_only_the_images_that_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The others are built of tools that take many minutes."""
    made = []

    def recipe(name: str) -> Any:
        def make() -> Image:
            made.append(name)
            return Image(name, (name,), "1", fill)

        return make

    monkeypatch.setattr(images, "RECIPES", {name: recipe(name) for name in images.RECIPES})
    monkeypatch.setattr(images, "cache", lambda: tmp_path)
    assert set(images.make()) == set(made) == set(images.REHEARSED)
    assert "postgres" not in made


def test_an_image_of_tools_has_their_further_names(tmp_path: Path) -> None:
    (tmp_path / "manager").write_bytes(HELLO)
    files, links = {"/manager": tmp_path / "manager"}, {"/operator/manager_amd64": "/manager"}
    place = of_tools.static("operator", ("example.org/operator",), files, "1", links).make(tmp_path)
    with tarfile.open(blob(place, manifest(place)["layers"][0]["digest"])) as layer:
        assert layer.getmember("operator/manager_amd64").linkname == "/manager"


def test_a_package_that_stays_out_of_an_image_takes_along_what_only_it_needs() -> None:
    everything = debian_image.closure(["bash"])
    assert "libc6" in everything
    assert debian_image.closure(["bash"], without=["libc6"]).keys() < everything.keys() - {"libc6"}


EXECUTED = (
    *("initdb", "pg_basebackup", "pg_controldata", "pg_ctl", "pg_isready", "pg_rewind", "postgres"),
    *("pg_dump", "pg_restore", "psql"),
)
"""By CloudNativePG's instance manager, and by Jobs and clients of the program: whatever PATH finds."""


def test_a_database_server_has_the_programs_and_the_account_that_its_operator_wants() -> None:
    place = images.make(["postgres"])["ghcr.io/cloudnative-pg/postgresql"]
    config = json.loads(blob(place, manifest(place)["config"]["digest"]).read_text())["config"]
    with tarfile.open(blob(place, manifest(place)["layers"][0]["digest"])) as layer:
        names = set(layer.getnames())
        for program in EXECUTED:
            assert layer.getmember(f"usr/local/bin/{program}").linkname.removeprefix("/") in names
        passwd = layer.extractfile("etc/passwd")
        assert passwd is not None
        assert "postgres:x:26:26" in passwd.read().decode()
    assert config["User"] == "26"
    assert not [name for name in names if "libLLVM" in name or name.endswith("llvmjit.so")]


def test_the_program_that_waits_is_nobodys_image() -> None:
    assert images.names([images.STAND_IN]) == []


def test_real_pods_are_refused_to_an_ordinary_user_who_is_told_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"PODS=real needs root: .*PODS=played, which is the default"):
        nodes.refuse_without_root()


def test_another_value_of_pods_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODS", "true")
    with pytest.raises(LabError, match=r"PODS=true: use PODS=real for pods that run, or PODS=played"):
        nodes.wanted()


@pytest.mark.parametrize(("value", "real"), [("", False), ("played", False), ("real", True)])
def test_pods_are_played_unless_real_ones_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, value: str, real: bool
) -> None:
    monkeypatch.setenv("PODS", value)
    assert nodes.wanted() is real


@pytest.mark.parametrize("command", [commands.up, lambda session: commands.shell(session, "true")], ids=["up", "shell"])
def test_a_lab_that_was_begun_with_played_pods_is_refused_real_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: Callable[[Session], int]
) -> None:
    monkeypatch.setenv("PODS", "real")
    lab = Session("begun", "lab")
    lab.config = tmp_path / "Pulumi.lab.yaml"
    lab.config.touch()
    with pytest.raises(LabError, match=r"the lab 'begun' was begun with played pods: `make lab-down` first"):
        command(lab)


def test_the_labs_stack_with_real_pods_has_nodes_that_pods_can_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(nodes.GROUP, "group")
    settings = preparation.parse(preparation.source_of(Session("never", "lab")))
    preparation.refuse_loopback(settings)
    assert not settings.network.api_vip.is_loopback


def test_a_stack_on_the_loopback_device_is_refused_real_pods() -> None:
    document = yaml.safe_load((ROOT / "Pulumi.lab.yaml").read_text())
    with pytest.raises(LabError, match=r"PODS=real: node \S+ has the address 127\.\S+, which belongs to the loopback"):
        preparation.refuse_loopback(preparation.parse(document["config"]))


@pytest.mark.parametrize("stack", ["lab", "prod"])
def test_the_sockets_of_a_kubelet_have_paths_that_the_kernel_takes(stack: str) -> None:
    """Where one has not, the kubelet ends: the path of its podresources socket, and those of CSI drivers."""
    document = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    sockets = ("pod-resources/kubelet.sock", f"plugins_registry/{PROVISIONER}.sock")
    paths = [f"{nodes.KUBELETS}/{node}/{end}" for node in document["config"]["homelab:nodes"] for end in sockets]
    assert [path for path in paths if len(path) > LONGEST_SOCKET] == []


def _pod(node: str, app: str, *, played_for: str = "") -> dict[str, Any]:
    annotations = {workloads.PLAYED_FOR: played_for} if played_for else {}
    metadata = {"name": app, "namespace": "n", "labels": {"app": app}, "annotations": annotations}
    return {"metadata": metadata, "spec": {"nodeName": node}}


def _deployment(app: str) -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": app}}}
    return {"kind": "Deployment", "metadata": {"name": app, "namespace": "n"}, "spec": spec}


@pytest.mark.parametrize(
    ("pods", "said"),
    [
        ([_pod("w1", "a"), _pod("w1", "a")], "real (2)"),
        ([_pod("cp1", "a")], "played (1)"),
        ([_pod("w1", "a"), _pod("w1", "a", played_for="x:1 y:2")], "real (1), played (1); no image x:1 y:2"),
        ([_pod("w1", "b")], "absent: no pod"),
    ],
)
def test_a_workload_is_called_real_played_or_absent_after_its_pods(
    monkeypatch: pytest.MonkeyPatch, pods: list[dict[str, Any]], said: str
) -> None:
    found = {
        "pods": pods,
        "nodes": [
            {"metadata": {"name": "w1", "labels": {workloads.REAL[0]: workloads.REAL[1]}}},
            {"metadata": {"name": "cp1", "labels": {workloads.REAL[0]: "kwok"}}},
        ],
    }
    monkeypatch.setattr(workloads, "_list", lambda _kubectl, _config, kinds: found.get(kinds, [_deployment("a")]))
    assert workloads.table(Path("kubectl"), Path("kubeconfig")) == [("Deployment n/a", said)]


def test_a_package_that_is_installed_between_two_images_is_known_to_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that makes its images for the first time: each recipe installs its own packages."""
    status, query = tmp_path / "status", tmp_path / "dpkg-query"
    query.write_text(f"#!/bin/sh\ncat {status}\n")
    query.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(debian_image, "STATUS", status, raising=False)
    status.write_text("installed\tfirst\t1\t, \t\n")
    assert debian_image.closure(["first"]) == {"first": "1"}
    status.write_text("installed\tfirst\t1\t, \t\ninstalled\tsecond\t2\tfirst, \t\n")
    os.utime(status, ns=(0, status.stat().st_mtime_ns + 1))
    assert debian_image.closure(["second"]) == {"first": "1", "second": "2"}
