"""What becomes of a cluster's volumes at its destroy, on a simulated Proxmox VE that also holds those of others."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from components.proxmox.api import API_TOKEN, PASSWORD
from components.storage.csi_volumes_command import PLAN, RECORDED, Plan, main
from tests.lab.live import ROOT
from tests.lab.proxmox_site import GIB, HOST, ROOT_TOKEN, Site
from tests.lab.proxmox_site import PASSWORD as RIGHT

UUIDS = [str(uuid.UUID(int=number << 64 | 0x4000 << 64, version=4)) for number in range(1, 9)]
OURS = [f"vm-9999-pvc-lab-{each}" for each in UUIDS[:3]]
FOREIGN = [
    "vm-100-disk-0",
    "base-100-disk-0",
    "vm-9999-disk-0",
    f"vm-9999-pvc-{UUIDS[3]}",
    f"vm-9999-pvc-other-{UUIDS[3]}",
    f"vm-9999-pvc-lab-2-{UUIDS[3]}",
    f"vm-9999-pvc-la-{UUIDS[3]}",
    f"vm-9999-pvc-lab-{UUIDS[3]}-old",
    f"vm-9999-pvc-lab-{UUIDS[3][:-1]}",
    f"vm-10000-pvc-lab-{UUIDS[3]}",
    f"base-9999-pvc-lab-{UUIDS[3]}",
]


def plant(site: Site, name: str, *, storage: str = "local-zfs", node: str | None = "pve1", size: int = GIB) -> None:
    """Put a volume on a storage, owned by the VM in its name."""
    owner = int(next(part for part in name.replace("/", "-").split("-") if part.isdecimal()))
    volume = {"storage": storage, "name": name, "size": size, "vmid": owner, **({"node": node} if node else {})}
    site.control("POST", "/volumes", volume)


def names(site: Site) -> list[str]:
    return [volume["name"] for volume in site.control("GET", "/state")["volumes"]]


def environment(site: Site, *, login: dict[str, str] | None = None, spared: str = "", **plan: Any) -> dict[str, str]:
    known = Plan(
        endpoint=f"https://{HOST}:{site.server.pve.port}/",
        insecure=True,
        username="root@pam",
        cluster="lab",
        tag="homelab-lab",
        hosts=["pve1", "pve2"],
        datastore="local-zfs",
    )
    plain = {PLAN: dataclasses.replace(known, **plan).dumps(), RECORDED: spared}
    return plain | (login or {PASSWORD: RIGHT})


def run(site: Site, command: str, **more: Any) -> int:
    return main([command], environment(site, **more))


def test_a_purge_deletes_every_volume_of_the_cluster(site: Site) -> None:
    for node, name in zip(("pve1", "pve2", "pve2"), OURS, strict=True):
        plant(site, name, node=node)
    assert run(site, "purge") == 0
    assert names(site) == []


@pytest.mark.parametrize("name", FOREIGN)
def test_a_purge_never_touches_what_is_not_the_clusters(site: Site, name: str) -> None:
    plant(site, OURS[0])
    plant(site, name)
    assert run(site, "purge") == 0
    assert names(site) == [name]


def test_a_purge_of_a_cluster_whose_name_is_longer_leaves_the_shorter_one(site: Site) -> None:
    plant(site, OURS[0])
    plant(site, f"vm-9999-pvc-lab-2-{UUIDS[3]}")
    assert run(site, "purge", cluster="lab-2") == 0
    assert names(site) == [OURS[0]]


def test_a_purge_deletes_the_clusters_snapshots_too(site: Site) -> None:
    plant(site, f"vm-9999-snapshot-lab-{UUIDS[0]}")
    plant(site, f"vm-9999-snapshot-{UUIDS[1]}")
    assert run(site, "purge") == 0
    assert names(site) == [f"vm-9999-snapshot-{UUIDS[1]}"]


def test_a_purge_finds_volumes_on_every_datastore(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    plant(site, OURS[0], storage="only-pve2", node="pve2")
    plant(site, OURS[1], storage="ceph", node=None)
    assert run(site, "purge") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"deleted ceph:{OURS[1]} (1.0 GiB)",
        f"deleted pve2/only-pve2:{OURS[0]} (1.0 GiB)",
    ]


def test_volumes_that_are_files_are_the_clusters_by_the_same_names(tmp_path: Path) -> None:
    site = Site(tmp_path, datastores={"local-zfs": {"type": "dir", "content": "images"}})
    plant(site, f"9999/{OURS[0]}.raw")
    plant(site, f"9999/vm-9999-pvc-lab-2-{UUIDS[3]}.raw")
    assert run(site, "purge") == 0
    left = names(site)
    site.close()
    assert left == [f"9999/vm-9999-pvc-lab-2-{UUIDS[3]}.raw"]


def test_a_purge_that_proxmox_stops_half_way_names_what_is_left(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for name in OURS:
        plant(site, name)
    fault = {"kind": "http", "method": "DELETE", "path": OURS[1], "status": 500, "message": "dataset is busy"}
    site.control("POST", "/faults", fault)
    assert run(site, "purge") == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [f"deleted pve1/local-zfs:{OURS[0]} (1.0 GiB)"]
    left = "of cluster lab's 3 volumes these are left:"
    assert said.err.startswith(f"{left}\n  pve1/local-zfs:{OURS[1]} (1.0 GiB): Proxmox at")
    assert said.err.endswith(
        f"\n  pve1/local-zfs:{OURS[2]} (1.0 GiB)\nrun `pulumi destroy` again to continue\n",
    )


@pytest.mark.parametrize("kind", ["http", "task", "drop"])
def test_a_purge_goes_on_where_the_last_one_stopped(site: Site, kind: str) -> None:
    for name in [*OURS, FOREIGN[0]]:
        plant(site, name)
    site.control("POST", "/faults", {"kind": kind, "method": "DELETE", "path": OURS[1], "times": 1})
    assert run(site, "purge") == 1
    assert run(site, "purge") == 0
    assert names(site) == [FOREIGN[0]]


def test_nothing_is_purged_while_a_vm_of_the_stack_exists(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    plant(site, OURS[0])
    site.create(2001, name="worker-0", tags="talos;homelab-lab")
    assert run(site, "purge") == 1
    assert names(site) == [OURS[0]]
    assert "VM 2001 (worker-0) on host pve1 has the tag homelab-lab" in capsys.readouterr().err


def test_a_vm_of_a_stack_whose_name_begins_alike_does_not_stop_a_purge(site: Site) -> None:
    plant(site, OURS[0])
    site.create(2001, tags="talos;homelab-lab-2")
    assert run(site, "purge") == 0
    assert names(site) == []


@pytest.mark.parametrize("running", [False, True], ids=["in-force", "at-the-next-start"])
def test_a_volume_that_a_vm_uses_is_left_and_the_others_are_deleted(
    site: Site, capsys: pytest.CaptureFixture[str], running: bool
) -> None:
    for name in OURS:
        plant(site, name)
    site.create(100, name="rescue")
    if running:
        site.power(100, "start")
    site.api("PUT", "/nodes/pve1/qemu/100/config", {"scsi5": f"local-zfs:{OURS[0]}"})
    assert run(site, "purge") == 1
    assert names(site) == [OURS[0]]
    assert "the configuration of qemu guest 100 (rescue) on pve1 names it; detach it there" in capsys.readouterr().err


def test_a_shared_volume_may_be_used_by_a_vm_of_any_host(site: Site) -> None:
    plant(site, OURS[0], storage="ceph", node=None)
    site.create(100, "pve2")
    site.api("PUT", "/nodes/pve2/qemu/100/config", {"scsi5": f"ceph:{OURS[0]}"})
    assert run(site, "purge") == 1
    assert names(site) == [OURS[0]]


def test_what_an_earlier_cluster_of_the_same_name_left_is_spared(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(site, OURS[0])
    assert run(site, "record") == 0
    recorded = capsys.readouterr().out
    plant(site, OURS[0], node="pve2")
    plant(site, OURS[1])
    assert run(site, "purge", spared=recorded) == 0
    assert names(site) == [OURS[0]]
    assert f"kept pve1/local-zfs:{OURS[0]} (1.0 GiB), of an earlier cluster" in capsys.readouterr().out


def test_a_record_at_an_empty_site_is_empty(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    plant(site, FOREIGN[5])
    assert run(site, "record") == 0
    assert capsys.readouterr().out.strip() == ""


def test_retained_volumes_are_listed_with_the_command_that_deletes_one(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [*OURS[:2], *FOREIGN]:
        plant(site, name, size=10 * GIB)
    assert run(site, "retain") == 0
    assert capsys.readouterr().out.splitlines() == [
        "cluster lab leaves 2 volumes in Proxmox (storage.onDestroy: retain):",
        f"  pve1/local-zfs:{OURS[0]} (10.0 GiB)",
        f"  pve1/local-zfs:{OURS[1]} (10.0 GiB)",
        f"to delete one, on its host: pvesm free <datastore>:<name>; as on pve1: pvesm free local-zfs:{OURS[0]}",
    ]


def test_retained_volumes_stay(site: Site) -> None:
    plant(site, OURS[0])
    assert run(site, "retain") == 0
    assert names(site) == [OURS[0]]


def test_a_cluster_without_volumes_says_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(site, "retain") == 0
    assert capsys.readouterr().out == ""


def test_a_destroy_that_retains_is_not_held_up_by_a_proxmox_that_fails(site: Site) -> None:
    site.control("POST", "/faults", {"kind": "http", "path": "/content"})
    assert run(site, "retain") == 0


def test_a_datastore_of_the_cluster_that_does_not_answer_stops_a_purge(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(site, OURS[0])
    site.control("POST", "/faults", {"kind": "http", "path": "pve2/storage/local-zfs/content", "message": "offline"})
    assert run(site, "purge") == 1
    assert names(site) == [OURS[0]]
    assert "500 offline to GET /nodes/pve2/storage/local-zfs/content" in capsys.readouterr().err


def test_another_datastore_that_does_not_answer_is_passed_over(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    plant(site, OURS[0])
    site.control("POST", "/faults", {"kind": "http", "path": "/storage/only-pve2/content"})
    assert run(site, "purge") == 0
    assert names(site) == []
    assert "datastore only-pve2 on host pve2 was not looked at" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("login", "key"),
    [
        ({PASSWORD: "wrong"}, "proxmoxPassword"),
        ({API_TOKEN: "root@pam!gone=00000000-0000-4000-8000-000000000009"}, "proxmoxApiToken"),
    ],
    ids=["password", "revoked-token"],
)
def test_refused_credentials_are_one_message_with_the_setting_to_change(
    site: Site, capsys: pytest.CaptureFixture[str], login: dict[str, str], key: str
) -> None:
    assert run(site, "purge", login=login) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert f"set the right one: pulumi config set --secret homelab:{key}" in said


def test_an_expired_token_is_one_message_with_the_setting_to_change(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    past = str(int(time.time()) - 60)
    made = site.api("POST", "/access/users/root@pam/token/old", {"privsep": "0", "expire": past})
    login = {API_TOKEN: f"root@pam!old={made['value']}"}
    assert run(site, "purge", login=login) == 1
    assert "refused the API token root@pam!old; set the right one" in capsys.readouterr().err


def test_a_token_does_as_well_as_a_password(site: Site) -> None:
    plant(site, OURS[0])
    assert run(site, "purge", login={API_TOKEN: ROOT_TOKEN}) == 0
    assert names(site) == []


@pytest.mark.parametrize("missing", ["VM.Audit", "Datastore.Allocate"])
def test_a_login_that_cannot_see_everything_purges_nothing(
    site: Site, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    plant(site, OURS[0])
    held = {"VM.Audit", "Datastore.Allocate", "Datastore.Audit", "Datastore.AllocateSpace"} - {missing}
    token = site.restricted(held, on_user=True, on_token=True)
    assert run(site, "purge", login={API_TOKEN: token}) == 1
    assert names(site) == [OURS[0]]
    assert f"lacks {missing} on /" in capsys.readouterr().err


def test_the_command_runs_as_pulumi_runs_it(site: Site) -> None:
    plant(site, OURS[0])
    command = [sys.executable, "-m", "program", "csi-volumes", "purge"]
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment(site), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, f"deleted pve1/local-zfs:{OURS[0]} (1.0 GiB)\n"), ended.stderr
    assert names(site) == []


def test_the_command_needs_nothing_but_the_standard_library(site: Site) -> None:
    command = [sys.executable, "-S", "-m", "program", "csi-volumes", "retain"]
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment(site), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
