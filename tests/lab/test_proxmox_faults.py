"""The simulated Proxmox VE: faults on demand."""

from __future__ import annotations

import http.client
import time
import urllib.parse
from typing import Any

import pytest

from tests.lab.proxmox_site import Refused, Site


def inject(site: Site, kind: str, **values: Any) -> dict[str, Any]:
    return dict(site.control("POST", "/faults", {"kind": kind, **values}))


def test_a_refused_request_changes_nothing(site: Site) -> None:
    inject(site, "http", method="POST", path="^/nodes/[^/]+/qemu$", status=500, message="boom")
    with pytest.raises(Refused, match=r"^500 boom$"):
        site.create(9001)
    assert site.control("GET", "/state")["vms"] == []


def test_a_fault_ends_after_its_number_of_times(site: Site) -> None:
    inject(site, "http", method="POST", path="/qemu$", times=1)
    with pytest.raises(Refused):
        site.create(9001)
    assert site.create(9001) == "OK"


def test_a_fault_strikes_only_what_it_names(site: Site) -> None:
    inject(site, "http", method="DELETE", path="/qemu")
    assert site.create(9001) == "OK"


def test_a_failed_task_changes_nothing(site: Site) -> None:
    site.create(9001)
    inject(site, "task", method="POST", path="/9001/status/start", message="start failed: unexpected error")
    assert site.power(9001, "start") == "start failed: unexpected error"
    assert site.control("GET", "/state")["vms"][0]["status"] == "stopped"


def test_a_slow_request_takes_its_time(site: Site) -> None:
    inject(site, "slow", path="^/version$", seconds=0.3)
    started = time.monotonic()
    site.api("GET", "/version")
    assert time.monotonic() - started >= 0.3


def test_a_long_task_is_accepted_at_once_and_ends_later(site: Site) -> None:
    site.create(9001)
    inject(site, "long", method="POST", path="/9001/status/start", seconds=0.3)
    started = time.monotonic()
    upid = site.api("POST", "/nodes/pve1/qemu/9001/status/start", {})
    assert time.monotonic() - started < 0.3
    while site.api("GET", f"/nodes/pve1/tasks/{urllib.parse.quote(upid)}/status")["status"] == "running":
        time.sleep(0.01)
    assert time.monotonic() - started >= 0.3


def test_a_lost_answer_leaves_the_change_done(site: Site) -> None:
    inject(site, "drop", method="POST", path="/access/roles", times=1)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        site.api("POST", "/access/roles", {"roleid": "lab"})
    assert "lab" in site.control("GET", "/state")["roles"]


def test_a_failing_login_refuses_the_right_password(site: Site) -> None:
    inject(site, "login", times=1)
    with pytest.raises(Refused, match="401 authentication failure"):
        site.login()
    assert site.login()


def test_a_failing_login_refuses_tokens(site: Site) -> None:
    inject(site, "login", times=1)
    with pytest.raises(Refused, match="401 authentication failure"):
        site.api("GET", "/version")


def test_a_failing_login_ends_sessions(site: Site) -> None:
    session = site.login()
    inject(site, "login", times=1)
    with pytest.raises(Refused, match="401"):
        site.api("GET", "/version", None, None, **session)


def test_a_full_storage_takes_no_disk(site: Site) -> None:
    inject(site, "full", storage="local-zfs")
    ended = site.create(9001, scsi0="local-zfs:8")
    assert ended == "unable to create VM 9001 - unable to write to storage 'local-zfs': No space left on device"


def test_a_storage_that_was_full_takes_disks_again(site: Site) -> None:
    inject(site, "full", storage="only-pve2")
    site.control("DELETE", "/faults")
    assert site.create(9001, "pve2", scsi0="only-pve2:8") == "OK"


def test_a_locked_vm_is_not_changed(site: Site) -> None:
    site.create(9001)
    inject(site, "lock", vmid=9001)
    with pytest.raises(Refused, match=r"500 VM is locked \(backup\)"):
        site.api("PUT", "/nodes/pve1/qemu/9001/config", {"cores": "4"})


def test_a_lock_ends_with_its_fault(site: Site) -> None:
    site.create(9001)
    fault = inject(site, "lock", vmid=9001, message="snapshot")
    site.control("DELETE", f"/faults/{fault['id']}")
    site.api("PUT", "/nodes/pve1/qemu/9001/config", {"cores": "4"})
    assert site.config(9001)["cores"] == 4


def test_a_lock_ends_after_its_seconds(site: Site) -> None:
    site.create(9001)
    inject(site, "lock", vmid=9001, seconds=0.05)
    time.sleep(0.2)
    assert site.control("GET", "/state")["vms"][0]["lock"] is None


def test_faults_are_listed_with_their_strikes(site: Site) -> None:
    inject(site, "http", path="^/version$", times=3)
    with pytest.raises(Refused):
        site.api("GET", "/version")
    [fault] = site.control("GET", "/faults")["faults"]
    assert (fault["hits"], fault["left"]) == (1, 2)


def test_the_fault_none_removes_all_others(site: Site) -> None:
    inject(site, "http", path="^/version$")
    inject(site, "none")
    assert site.control("GET", "/faults")["faults"] == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "flood"}, "kind: Input should be"),
        ({"kind": "full"}, "a fault of kind 'full' needs 'storage'"),
        ({"kind": "http", "path": "("}, "path '\\(' is not a regular expression"),
        ({"kind": "lock", "vmid": 9001}, "VM 9001 does not exist"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(site: Site, fault: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        site.control("POST", "/faults", fault)
