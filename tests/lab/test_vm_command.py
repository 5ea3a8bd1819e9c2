"""What is done to a VM, or known of it, before it goes, on a simulated Proxmox VE that also holds others' VMs."""

from __future__ import annotations

from typing import Any

import pytest

from components.proxmox.api import API_TOKEN, PASSWORD
from components.proxmox.vm_command import IMAGE, PLAN, VmPlan, main
from tests.lab.proxmox_site import HOST, ROOT_TOKEN, Site
from tests.lab.proxmox_site import PASSWORD as RIGHT

VM, TAG = 9001, "homelab-lab"
STORED = f"local:import/{VM}.qcow2"


def environment(site: Site, image: str = STORED, **plan: Any) -> dict[str, str]:
    known: dict[str, Any] = {
        "endpoint": f"https://{HOST}:{site.server.pve.port}/",
        "insecure": True,
        "username": "root@pam",
        "tag": TAG,
        "name": "worker-0",
        "vm_id": VM,
        "host": "pve1",
        "datastore": "local-zfs",
    }
    return {PLAN: VmPlan(**known | plan).dumps(), IMAGE: image, PASSWORD: RIGHT}


def made(site: Site, tags: str = f"talos;{TAG}") -> None:
    """The VM of the plan, running."""
    site.create_node(VM)
    site.api("PUT", f"/nodes/pve1/qemu/{VM}/config", {"tags": tags})
    site.power(VM, "start")


def vms(site: Site) -> dict[int, str]:
    """Power of each VM."""
    return {vm["vmid"]: vm["status"] for vm in site.control("GET", "/state")["vms"]}


def refusal(site: Site, command: str, capsys: pytest.CaptureFixture[str], **given: Any) -> str:
    assert main([command], environment(site, **given)) == 1
    return capsys.readouterr().err


def test_a_running_vm_is_stopped_and_deleted_with_its_disks(site: Site) -> None:
    made(site)
    assert main(["remove"], environment(site)) == 0
    assert (vms(site), site.volumes("pve1", "local-zfs")) == ({}, [])


def test_a_vm_on_another_host_is_deleted_there(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    made(site)
    site.control("POST", "/moves", {"vmid": VM, "node": "pve2"})
    assert main(["remove"], environment(site)) == 0
    assert capsys.readouterr().out == f"VM {VM} (worker-0) is on host pve2, not on pve1; it is deleted there\n"
    assert vms(site) == {}


def test_a_token_logs_in_as_well(site: Site) -> None:
    made(site)
    known = environment(site)
    del known[PASSWORD]
    assert main(["remove"], known | {API_TOKEN: ROOT_TOKEN}) == 0
    assert vms(site) == {}


def test_a_vm_that_is_gone_is_none_to_delete(site: Site) -> None:
    assert main(["remove"], environment(site)) == 0


def test_a_vm_of_somebody_else_under_the_id_is_not_touched(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    made(site, tags=f"{TAG}-2")
    assert main(["remove"], environment(site)) == 0
    assert vms(site) == {VM: "running"}
    assert "lacks the tag homelab-lab, so it is not this stack's; it was not touched" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["remove", "rebuild"])
def test_a_protected_vm_runs_on(site: Site, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    made(site)
    site.api("PUT", f"/nodes/pve1/qemu/{VM}/config", {"protection": "1"})
    assert f"qm set {VM} --protection 0" in refusal(site, command, capsys)
    assert vms(site) == {VM: "running"}


@pytest.mark.parametrize("command", ["remove", "rebuild"])
def test_a_locked_vm_runs_on(site: Site, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    made(site)
    site.control("POST", "/faults", {"kind": "lock", "vmid": VM, "message": "backup"})
    assert "is locked (backup) and was not touched" in refusal(site, command, capsys)
    assert vms(site) == {VM: "running"}


def test_a_login_that_may_not_see_the_vm_does_not_take_it_for_gone(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    made(site)
    known = environment(site)
    del known[PASSWORD]
    blind = site.restricted(["Sys.Audit"], on_user=True, on_token=True)
    assert main(["remove"], known | {API_TOKEN: blind}) == 1
    assert f"lacks VM.Audit on /vms/{VM}" in capsys.readouterr().err


def test_a_vm_that_can_be_made_anew_may_be_deleted(site: Site) -> None:
    made(site)
    assert main(["rebuild"], environment(site)) == 0
    assert vms(site) == {VM: "running"}


def test_a_vm_is_kept_while_its_image_is_not_there(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    made(site)
    told = refusal(site, "rebuild", capsys, image="local:import/other.qcow2")
    assert "its image local:import/other.qcow2 is not on host pve1 any more, and the new VM needs it" in told


def test_a_vm_is_kept_while_a_datastore_is_not_there(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    made(site)
    told = refusal(site, "rebuild", capsys, datastore="only-pve2")
    assert "host pve1 has no datastore only-pve2 that is active and takes images" in told


def test_a_vm_that_was_moved_is_not_made_anew(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    made(site)
    site.control("POST", "/moves", {"vmid": VM, "node": "pve2"})
    assert f"qm migrate {VM} pve1 --online --with-local-disks (on pve2)" in refusal(site, "rebuild", capsys)
    assert vms(site) == {VM: "running"}


def test_the_secret_is_in_no_message(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    known = environment(site) | {PASSWORD: "planted-wrong"}
    assert main(["remove"], known) == 1
    assert "planted-wrong" not in "".join(capsys.readouterr())
