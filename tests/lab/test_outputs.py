"""What a person has in hand when the first `up` fails: each layer fails once, as soon as its turn comes.

The tests are steps of one life, in order. Before each of them the state forgets the outputs of the step before, so that
every failed `up` is a first one as far as outputs go.
"""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.live import LiveLab

pytestmark = pytest.mark.long

KNOWN_BEFORE_ANYTHING = {"apiEndpoint", "delegation", "ingressAddress", "nodes", "signOn"}
WITHOUT_A_CLUSTER = KNOWN_BEFORE_ANYTHING | {"talosconfig"}
WITH_A_CLUSTER = WITHOUT_A_CLUSTER | {"kubeconfig"}
ALL = WITH_A_CLUSTER | {"bootstrapSecrets", "sealingCertificate"}

CHARTS = {
    "network": "cilium",
    "ingress": "nginx-ingress",
    "storage": "proxmox-csi-plugin",
    "secrets": "vault-operator",
    "dns": "external-dns",
    "identity": "authentik",
}
"""For each layer in the cluster, a chart that it installs."""

REFUSED_VM = {"kind": "http", "method": "POST", "path": "/qemu$", "status": 500, "message": "planted", "times": 100}


@pytest.fixture(scope="module")
def site() -> Iterator[LiveLab]:
    """A site on which nothing was ever brought up."""
    lab = LiveLab("pytest-outputs")
    lab.command("down")
    prepared = lab.command("shell", CMD="true")
    assert prepared.returncode == 0, prepared.stdout
    yield lab
    ended = lab.command("down")
    assert ended.returncode == 0, ended.stdout


@pytest.fixture
def fresh(site: LiveLab) -> LiveLab:
    """The site, with a stack that has no outputs."""
    state = json.loads(site.run("pulumi", "stack", "export").stdout)
    for resource in state["deployment"].get("resources") or []:
        if resource["type"] == "pulumi:pulumi:Stack":
            resource["outputs"] = {}
    file = site.session.directory / "without-outputs.json"
    file.write_text(json.dumps(state))
    imported = site.run("pulumi", "stack", "import", "--file", str(file))
    assert imported.returncode == 0, imported.stdout
    assert outputs(site) == {}
    return site


def outputs(lab: LiveLab) -> dict[str, Any]:
    return dict(json.loads(lab.run("pulumi", "stack", "output", "--json", "--show-secrets").stdout))


def failed(lab: LiveLab, reason: str) -> dict[str, Any]:
    """The outputs after an `up` that fails for a reason."""
    result = lab.up()
    assert result.returncode != 0, result.stdout
    assert reason in result.stdout
    return outputs(lab)


@contextlib.contextmanager
def broken_chart(lab: LiveLab, name: str) -> Iterator[None]:
    """A chart of the lab's that cannot be rendered, for the length of the block."""
    [archive] = [file for file in lab.session.charts.glob("*.tgz") if file.name.startswith(f"{name}-")]
    before = archive.read_bytes()
    archive.write_bytes(_with_a_template_that_fails(before, name))
    try:
        yield
    finally:
        archive.write_bytes(before)


def _with_a_template_that_fails(archive: bytes, name: str) -> bytes:
    buffer, template = io.BytesIO(), b'{{ fail "planted" }}'
    with tarfile.open(fileobj=io.BytesIO(archive)) as given, tarfile.open(fileobj=buffer, mode="w:gz") as made:
        for member in given.getmembers():
            made.addfile(member, given.extractfile(member))
        added = tarfile.TarInfo(f"{name}/templates/planted.yaml")
        added.size = len(template)
        made.addfile(added, io.BytesIO(template))
    return buffer.getvalue()


@contextlib.contextmanager
def refusing_edge_host(lab: LiveLab) -> Iterator[None]:
    """A public host that cannot remember what is set up on it, and so refuses every program."""
    blocked = Path(lab.session.directory / "state-of" / "edge-host" / "programs.json.new")
    blocked.mkdir()
    try:
        yield
    finally:
        blocked.rmdir()


def test_a_site_that_refuses_the_login_leaves_what_was_known_before(fresh: LiveLab) -> None:
    with fresh.failing({"kind": "login"}):
        found = failed(fresh, "refused the password")
    assert found.keys() >= KNOWN_BEFORE_ANYTHING
    assert found["delegation"][0].startswith("lab.home.arpa. 3600 IN NS ")


def test_a_public_host_that_refuses_leaves_what_was_known_before(fresh: LiveLab) -> None:
    with refusing_edge_host(fresh):
        found = failed(fresh, "headscale-worker-0")
    assert found.keys() >= KNOWN_BEFORE_ANYTHING


def test_a_cluster_without_machines_leaves_the_talosconfig(fresh: LiveLab) -> None:
    with fresh.failing(REFUSED_VM):
        found = failed(fresh, "planted")
    assert found.keys() >= WITHOUT_A_CLUSTER
    assert "context: lab" in found["talosconfig"]


@pytest.mark.parametrize("layer", ["network", "edge", "ingress", "storage", "secrets", "dns", "identity"])
def test_a_failed_layer_leaves_the_credentials_of_the_cluster(fresh: LiveLab, layer: str) -> None:
    if layer == "edge":
        with refusing_edge_host(fresh):
            found = failed(fresh, "edge-router")
    else:
        with broken_chart(fresh, CHARTS[layer]):
            found = failed(fresh, "planted")
    assert found.keys() >= WITH_A_CLUSTER
    kubeconfig = fresh.session.directory / "kubeconfig-of-a-failed-up"
    kubeconfig.write_text(found["kubeconfig"])
    answer = fresh.run("kubectl", "--kubeconfig", str(kubeconfig), "get", "--raw", "/readyz")
    assert answer.stdout == "ok"


def test_nothing_that_failed_is_in_the_way_of_the_next_up(fresh: LiveLab) -> None:
    brought_up = fresh.up()
    assert brought_up.returncode == 0, brought_up.stdout
    assert outputs(fresh).keys() == ALL
    again = fresh.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout
