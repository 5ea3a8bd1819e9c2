"""Whose a VM, a disk or a volume is, and what is done to it, with a Proxmox VE that is played.

What real answers look like is `lab/proxmox`; here each decision is seen by itself.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from typing import Any, cast

import pytest

from components.proxmox import hooks, trust, vm_command, vm_update
from components.proxmox.api import ProxmoxApi, ProxmoxError, ProxmoxLogin
from components.proxmox.hooks import ProxmoxChecks
from components.proxmox.site.plan import PlannedSite
from components.proxmox.vm_command import Vm, VmPlan
from components.proxmox.vm_update import GIB, PlannedVm
from components.storage.csi_volume_names import CSI_VM_ID, VolumeNames
from components.storage.csi_volumes_command import Plan, Volumes

TAG = "homelab-prod"
IMAGE = "local:import/talos.qcow2"
UUID = "0f4d9e7c-1b2a-4c3d-8e5f-a0b1c2d3e4f5"
LOGIN = ProxmoxLogin(endpoint="https://192.0.2.9:8006/", insecure=False, username=None, password=None, api_token=None)


class Api:
    """Proxmox's API: answers by path, or by the path without its question; and what was changed, in order."""

    endpoint = LOGIN.endpoint

    def __init__(self, answers: dict[str, Any], guests: list[dict[str, Any]] | None = None) -> None:
        self.answers = answers
        self.found = guests or []
        self.done: list[str] = []

    def get(self, path: str) -> Any:
        if path.startswith("/cluster/resources"):
            return self.found
        for known in (path, path.partition("?")[0]):
            if known in self.answers:
                answer = self.answers[known]
                return answer.pop(0) if isinstance(answer, Answers) else answer
        raise AssertionError(f"nobody should ask for {path}")

    def guests(self) -> dict[int, dict[str, Any]]:
        return {int(guest["vmid"]): guest for guest in self.found}

    def post(self, path: str) -> None:
        self.done.append(f"POST {path}")

    def put(self, path: str, form: Any) -> None:
        self.done.append(f"PUT {path} {form}")

    def delete(self, path: str) -> None:
        self.done.append(f"DELETE {path}")


class Answers(list[Any]):
    """What is answered one time after another."""


def guest(**changes: Any) -> dict[str, Any]:
    known = {
        "vmid": 2001,
        "name": "worker-0",
        "node": "pve1",
        "type": "qemu",
        "tags": f"talos;{TAG}",
        "status": "running",
    }
    return known | changes


def checks() -> ProxmoxChecks:
    planned = PlannedVm(vm_id=2001, host="pve1", address="192.0.2.1", datastore="local-zfs", disks={"scsi0": 40})
    return ProxmoxChecks(login=LOGIN, site=PlannedSite(tag=TAG, vms={"worker-0": planned}))


def check_vm(found: dict[str, Any]) -> None:
    made = checks()
    made._check_vm("worker-0", made.site.vms["worker-0"], {2001: found})


@pytest.mark.parametrize("tags", ["", "talos", "homelab-lab;talos", f"{TAG}2"])
def test_a_vm_of_somebody_else_is_never_taken(tags: str) -> None:
    with pytest.raises(ProxmoxError, match=r"is not this stack's: it lacks the tag homelab-prod\. It was not touched"):
        check_vm(guest(tags=tags))


def test_a_vm_on_another_host_is_not_changed() -> None:
    with pytest.raises(ProxmoxError, match="is on host pve2, and the settings place it on pve1"):
        check_vm(guest(node="pve2"))


def test_a_vm_of_another_node_is_not_taken() -> None:
    with pytest.raises(ProxmoxError, match="under another name than worker-0"):
        check_vm(guest(name="worker-7"))


def test_a_node_does_not_get_the_address_of_a_machine_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answers(address: str, _: float) -> bool:
        return address == "192.0.2.1"

    monkeypatch.setattr(hooks, "answers", answers)
    with pytest.raises(ProxmoxError, match="another machine answers on port 50000; no VM was made"):
        asyncio.run(checks()._check_address("worker-0"))


def command(api: Api) -> Vm:
    plan = VmPlan(
        endpoint=LOGIN.endpoint,
        insecure=False,
        username=None,
        tag=TAG,
        name="worker-0",
        vm_id=2001,
        host="pve1",
        datastore="local-zfs",
    )
    return Vm(cast(ProxmoxApi, api), plan, say=lambda _: None)


BASE = "/nodes/pve1/qemu/2001"


def test_a_vm_is_deleted_where_it_is_once_it_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_command, "_POLL", 0.0)
    states = Answers([_RUNS, _RUNS, _RUNS, _STOPPED])
    answers = {"/nodes/pve2/qemu/2001/config": {}, "/nodes/pve2/qemu/2001/status/current": states}
    api = Api(answers, [guest(node="pve2")])
    command(api).remove()
    assert states == []
    assert api.done == [
        "POST /nodes/pve2/qemu/2001/status/stop",
        "DELETE /nodes/pve2/qemu/2001?purge=1&destroy-unreferenced-disks=1",
    ]


_RUNS, _STOPPED = {"status": "running"}, {"status": "stopped"}


@pytest.mark.parametrize("tags", ["", "homelab-lab"])
def test_a_vm_that_is_not_this_stacks_is_never_deleted(tags: str) -> None:
    api = Api({f"{BASE}/config": {}, f"{BASE}/status/current": _STOPPED}, [guest(tags=tags)])
    command(api).remove()
    assert api.done == []


def storage(*, active: int = 1, content: str = "images,import", images: list[str] | None = None) -> dict[str, Any]:
    stores = [{"storage": name, "active": active, "content": content} for name in ("local", "local-zfs")]
    listed = [{"volid": name} for name in (images if images is not None else [IMAGE])]
    return {
        f"{BASE}/config": {},
        "/nodes/pve1/storage": stores,
        "/nodes/pve1/storage/local/content": listed,
    }


def test_a_vm_is_made_anew_where_everything_for_it_is_there() -> None:
    command(Api(storage(), [guest()])).check_rebuild(IMAGE)


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (storage(images=[]), "its image local:import/talos.qcow2 is not on host pve1 any more"),
        (storage(images=["local:import/other.qcow2"]), "its image local:import/talos.qcow2 is not on host pve1"),
        (storage(active=0), "no datastore local-zfs that is active and takes images"),
        (storage(content="iso"), "no datastore local-zfs that is active and takes images"),
        (storage() | {f"{BASE}/config": {"protection": 1}}, "is protected in Proxmox"),
        (storage() | {f"{BASE}/config": {"lock": "backup"}}, "is locked"),
    ],
    ids=["no image", "another image", "no datastore", "no content", "protected", "locked"],
)
def test_a_vm_that_could_not_be_made_again_stays(there: dict[str, Any], said: str) -> None:
    with pytest.raises(ProxmoxError, match=said):
        command(Api(there, [guest()])).check_rebuild(IMAGE)


@pytest.mark.parametrize(("has", "grown"), [(40, {}), (39, {"scsi0": 40})])
def test_a_disk_grows_to_what_the_settings_say(has: int, grown: dict[str, int]) -> None:
    actual = {"scsi0": f"local-zfs:vm-2001-disk-0,size={has}G"}
    assert vm_update._disks("worker-0", checks().site.vms["worker-0"], actual) == ({}, grown)


def test_a_disk_never_shrinks() -> None:
    with pytest.raises(ProxmoxError, match=r"has disk scsi0 of 41 GiB, and the settings want 40"):
        vm_update._disks("worker-0", checks().site.vms["worker-0"], {"scsi0": "local-zfs:vm-2001-disk-0,size=41G"})


@pytest.mark.parametrize(("text", "size"), [("a,size=40G", 40 * GIB), ("a,size=1T", 2**40), ("a,size=512M", 2**29)])
def test_a_disks_size_is_read_in_every_unit(text: str, size: int) -> None:
    assert vm_update._disk_bytes(text) == size


@pytest.mark.parametrize("state", ["job errors", "interrupted by signal", None])
def test_a_task_that_did_not_end_well_is_an_error(state: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    api = ProxmoxApi(LOGIN.endpoint, insecure=False)
    monkeypatch.setattr(api, "_request", lambda *_: {"status": "stopped", "exitstatus": state})
    with pytest.raises(ProxmoxError, match=f"failed: {state}"):
        api._task("UPID:pve1:0000:qmcreate:")


@pytest.mark.parametrize(
    ("error", "accepted"),
    [
        (urllib.error.URLError(ssl.SSLCertVerificationError("unknown authority")), False),
        (urllib.error.URLError(ssl.SSLError("wrong version number")), True),
        (urllib.error.URLError(ConnectionRefusedError()), True),
        (urllib.error.HTTPError("https://192.0.2.9:8006/", 401, "no ticket", Message(), None), True),
        (TimeoutError(), True),
    ],
    ids=["unknown-authority", "no-tls", "nobody", "no-ticket", "no-answer"],
)
def test_only_a_certificate_that_is_not_accepted_is_told_as_that(
    error: OSError, accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told of an authority that is missing looks for it, and not for a port that is wrong."""

    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", refused)
    monkeypatch.setattr(sys, "platform", "linux")
    assert trust.accepted_by_plugin(LOGIN.endpoint, {}) is accepted


@pytest.mark.parametrize(("insecure", "verified"), [(False, ssl.CERT_REQUIRED), (True, ssl.CERT_NONE)])
def test_proxmox_is_verified_unless_the_settings_say_otherwise(insecure: bool, verified: ssl.VerifyMode) -> None:
    context = trust.tls_context(insecure, None)
    assert (context.verify_mode, context.check_hostname) == (verified, not insecure)


OWN = f"local-zfs:vm-{CSI_VM_ID}-pvc-prod-{UUID}"
PRIVILEGES = {"VM.Audit": 1, "Datastore.Allocate": 1}


@pytest.mark.parametrize(
    "foreign",
    [
        f"local-zfs:vm-{CSI_VM_ID}-pvc-lab-{UUID}",
        f"local-zfs:vm-{CSI_VM_ID}-pvc-prod-eu-{UUID}",
        f"local-zfs:vm-{CSI_VM_ID}-pvc-prod-{UUID}-copy",
        f"local-zfs:vm-{CSI_VM_ID}-pvc-prod-backup",
        "local-zfs:vm-1001-disk-0",
        f"local-zfs:vm-1001-pvc-prod-{UUID}",
        f"local-zfs:vm-{CSI_VM_ID}-disk-0",
    ],
)
def test_a_volume_of_another_cluster_or_of_a_vm_is_not_this_clusters(foreign: str) -> None:
    assert VolumeNames("prod").owns(OWN)
    assert not VolumeNames("prod").owns(foreign)


def volumes(
    *,
    guests: list[dict[str, Any]],
    listed: list[str],
    pending: Any = None,
    seen: Any = PRIVILEGES,
    shared: bool = False,
) -> Any:
    content = [{"volid": name, "size": GIB} for name in listed]
    api = Api(
        {
            "/access/permissions?path=/vms": {"/vms": seen},
            "/access/permissions?path=/storage/local-zfs": {"/storage/local-zfs": seen},
            "/nodes": [{"node": "pve1", "status": "online"}],
            "/nodes/pve1/storage": [{"storage": "local-zfs", "shared": int(shared)}],
            "/nodes/pve1/storage/local-zfs/content": content,
            "/nodes/pve1/qemu/3001/pending": pending or [],
            "/nodes/pve2/qemu/3001/pending": pending or [],
        },
        guests,
    )
    plan = Plan(
        endpoint=LOGIN.endpoint,
        insecure=False,
        username=None,
        cluster="prod",
        tag=TAG,
        hosts=["pve1"],
        datastore="local-zfs",
    )
    return api, Volumes(cast(ProxmoxApi, api), plan, say=lambda _: None)


ELSEWHERE = guest(vmid=3001, tags="", node="pve2")
"""Not the stack's, on another host than the volumes."""


def test_a_purge_deletes_the_clusters_volumes_and_no_other() -> None:
    api, found = volumes(guests=[], listed=[OWN, "local-zfs:vm-1001-disk-0"])
    found.purge([])
    assert [line for line in api.done if "disk-0" in line] == []
    assert len(api.done) == 1


def test_a_local_volume_is_not_what_a_guest_of_another_host_names() -> None:
    api, found = volumes(guests=[ELSEWHERE], listed=[OWN], pending=[{"key": "scsi1", "value": OWN}])
    found.purge([])
    assert len(api.done) == 1


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a VM of the stack is there": (lambda: volumes(guests=[guest()], listed=[OWN]), "may still use its volumes"),
    "another guest has it": (
        lambda: volumes(guests=[guest(vmid=3001, tags="")], listed=[OWN], pending=[{"key": "scsi1", "value": OWN}]),
        "the configuration of qemu guest 3001 .* names it; detach it there",
    ),
    "a guest of another host has it, which shares it": (
        lambda: volumes(guests=[ELSEWHERE], listed=[OWN], pending=[{"key": "scsi1", "value": OWN}], shared=True),
        "the configuration of qemu guest 3001 .* on pve2 names it",
    ),
    "the login sees too little": (
        lambda: volumes(guests=[], listed=[], seen={}),
        "lacks VM.Audit on /vms, so it does not see every volume",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_purge_deletes_nothing_where(case: str) -> None:
    make, said = REFUSED[case]
    api, found = make()
    with pytest.raises(ProxmoxError, match=said):
        found.purge([])
    assert api.done == []


def test_a_purge_spares_what_an_earlier_cluster_left() -> None:
    api, found = volumes(guests=[], listed=[OWN])
    found.purge([f"pve1/{OWN}"])
    assert api.done == []
