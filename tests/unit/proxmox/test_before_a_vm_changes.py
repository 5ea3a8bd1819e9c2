"""What is done to a VM before the provider changes it, and what stops that, with a Proxmox VE that is played."""

from __future__ import annotations

from typing import Any, cast

import pulumi
import pytest

from components.proxmox import vm_update
from components.proxmox.api import ProxmoxApi, ProxmoxError
from components.proxmox.vm_update import PlannedVm
from components.talos.power import SHUTDOWN_SECONDS

BASE = "/nodes/pve1/qemu/2001"
PLANNED = PlannedVm(
    vm_id=2001,
    host="pve1",
    address="192.0.2.1",
    datastore="local-zfs",
    disks={"scsi0": 40},
    options="discard=on,iothread=1",
)
CONFIG = {"scsi0": "local-zfs:vm-2001-disk-0,iothread=1,size=40G", "cores": 2, "memory": "4096"}


class Api:
    """One VM. changed: what was asked of Proxmox, in order."""

    def __init__(self, config: dict[str, Any], *, node: str = "pve1", pool: str = "", runs: bool = True) -> None:
        self.config, self.node, self.pool, self.runs = config, node, pool, runs
        self.changed: list[tuple[str, dict[str, Any]]] = []

    def guests(self) -> dict[int, dict[str, Any]]:
        return {2001: {"vmid": 2001, "node": self.node, "pool": self.pool}}

    def get(self, path: str) -> dict[str, Any]:
        return self.config if path == f"{BASE}/config" else {"status": "running" if self.runs else "stopped"}

    def put(self, path: str, form: dict[str, Any]) -> None:
        self.changed.append((path.removeprefix(BASE), form))

    def post(self, path: str, form: dict[str, Any] | None = None) -> None:
        self.changed.append((path.removeprefix(BASE), form or {}))


def prepared(api: Api, planned: PlannedVm = PLANNED, **inputs: Any) -> list[tuple[str, dict[str, Any]]]:
    """What is changed in Proxmox before an update whose old and new inputs agree in `inputs`."""
    recorded = {"nodeName": "pve1", **inputs}
    args = pulumi.ResourceHookArgs("urn", "1", "worker-0", "t", new_inputs=recorded, old_outputs=recorded)
    vm_update.prepare(cast(ProxmoxApi, api), planned, args)
    return api.changed


def changed(**changes: Any) -> PlannedVm:
    return PlannedVm(**{**PLANNED.__dict__, **changes})


def test_a_vm_that_is_as_planned_is_left_alone() -> None:
    assert prepared(Api(CONFIG)) == []


def test_a_larger_disk_is_enlarged_where_it_is() -> None:
    assert prepared(Api(CONFIG), changed(disks={"scsi0": 60})) == [("/resize", {"disk": "scsi0", "size": "60G"})]


def test_a_second_disk_is_added_with_the_options_of_a_new_vms() -> None:
    added = prepared(Api(CONFIG), changed(disks={"scsi0": 40, "scsi20": 100}))
    assert added == [("/config", {"scsi20": "local-zfs:100,discard=on,iothread=1"})]


@pytest.mark.parametrize(
    ("planned", "api", "told"),
    [
        (changed(datastore="ceph"), Api(CONFIG), "disk scsi0 on datastore local-zfs, and the settings want it on ceph"),
        (changed(disks={"scsi0": 20}), Api(CONFIG), "nothing was changed, as a disk cannot shrink"),
        (PLANNED, Api({"cores": 2}), "has no system disk scsi0; nothing was changed"),
        (PLANNED, Api(CONFIG, node="pve2"), "is on host pve2, and the settings place it on pve1"),
    ],
    ids=["another datastore", "a smaller disk", "no system disk", "another host"],
)
def test_what_the_provider_would_do_wrong_stops_the_update(planned: PlannedVm, api: Api, told: str) -> None:
    with pytest.raises(ProxmoxError, match=told):
        prepared(api, planned)
    assert api.changed == []


def test_what_an_earlier_update_left_undone_is_finished_and_the_node_ends_in_peace() -> None:
    """Cores and memory count from the next start; stopped instead of shut down, pods lose what they were writing."""
    done = prepared(Api(CONFIG), cpu={"cores": 4}, memory={"dedicated": 8192})
    assert done == [
        ("/config", {"cores": 4, "memory": 8192}),
        ("/status/shutdown", {"forceStop": 1, "timeout": SHUTDOWN_SECONDS}),
        ("/status/start", {}),
    ]


def test_a_change_that_is_the_providers_own_is_left_to_it() -> None:
    """Finished here, it would restart the node once before it may be restarted, and once more in its turn."""
    api = Api(CONFIG)
    old = {"nodeName": "pve1", "cpu": {"cores": 2}, "memory": {"dedicated": 4096}}
    new = {"nodeName": "pve1", "cpu": {"cores": 4}, "memory": {"dedicated": 8192}}
    args = pulumi.ResourceHookArgs("urn", "1", "worker-0", "t", new_inputs=new, old_outputs=old)
    vm_update.prepare(cast(ProxmoxApi, api), PLANNED, args)
    assert api.changed == []


def test_a_vm_that_is_off_stays_off_while_it_is_finished() -> None:
    assert prepared(Api(CONFIG, runs=False), cpu={"cores": 4}) == [("/config", {"cores": 4})]


def test_a_vm_that_lost_its_pool_is_put_back() -> None:
    assert prepared(Api(CONFIG), poolId="homelab-prod") == [("/pools", {"poolid": "homelab-prod", "vms": 2001})]


def test_a_vm_in_somebody_elses_pool_is_not_taken_out_of_it() -> None:
    with pytest.raises(ProxmoxError, match="is in pool others, and must be in homelab-prod"):
        prepared(Api(CONFIG, pool="others"), poolId="homelab-prod")
