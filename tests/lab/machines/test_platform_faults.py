"""The whole program on a lab in which something fails. Each test leaves the lab as its settings say.

Those at the end are steps with one worker more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.lab.live import LiveLab, one_more_worker


def test_an_update_that_proxmox_refuses_is_made_up_for_by_the_next(lab: LiveLab) -> None:
    def more_cores(settings: dict[str, Any]) -> None:
        settings["nodes"]["worker-0"]["cores"] += 1

    before = int(lab.vms()[2001]["config"]["cores"])
    with lab.changed(more_cores):
        with lab.failing({"kind": "lock", "vmid": 2001, "message": "backup"}):
            failed = lab.up()
        assert failed.returncode != 0, failed.stdout
        again = lab.up()
        assert again.returncode == 0, again.stdout
        assert int(lab.vms()[2001]["config"]["cores"]) == before + 1
    assert lab.up().returncode == 0


def test_a_login_that_is_refused_in_the_middle_of_an_up_is_reported_once_and_made_up_for(lab: LiveLab) -> None:
    def refuse_logins() -> None:
        lab.wait_for_request("POST", "/qemu", since)
        lab.proxmox("POST", "/faults", {"kind": "login"})

    since = lab.last_request()
    its_creation = {"kind": "long", "method": "POST", "path": "/qemu$", "seconds": 3}
    with lab.changed(one_more_worker(6)):
        with lab.failing(its_creation), ThreadPoolExecutor() as aside:
            refusal = aside.submit(refuse_logins)
            failed = lab.up()
            refusal.result()
        assert failed.returncode != 0, failed.stdout
        assert failed.stdout.partition("Diagnostics:")[2].count("refused the password of root@pam; set the right") == 1
        again = lab.up()
        assert again.returncode == 0, again.stdout
        assert lab.vms()[2006]["status"] == "running"
    assert lab.up().returncode == 0


def test_a_vm_id_of_somebody_else_is_refused_and_that_vm_is_not_touched(lab: LiveLab, foreign_vm: int) -> None:
    before = lab.vms()[foreign_vm]
    with lab.changed(one_more_worker(8)):
        refused = lab.up()
    assert refused.returncode != 0
    assert "VM 2008 ('mail' on host pve3, running) is not this stack's" in refused.stdout
    assert "Give worker-8 another vmId in homelab:nodes" in refused.stdout
    assert lab.vms()[foreign_vm] == before
    assert lab.up().returncode == 0


def test_a_login_that_proxmox_refuses_is_one_clear_message(lab: LiveLab) -> None:
    right = lab.run("pulumi", "config", "get", "homelab:proxmoxPassword").stdout.strip()
    before = lab.session.config.read_text()
    try:
        lab.run("pulumi", "config", "set", "--secret", "homelab:proxmoxPassword", "wrong-" + "password")
        refused = lab.up()
    finally:
        lab.session.config.write_text(before)
    assert refused.returncode != 0
    assert "refused the password of root@pam" in refused.stdout
    assert "pulumi config set --secret homelab:proxmoxPassword" in refused.stdout
    assert right not in refused.stdout
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout


def test_a_node_that_never_answers_is_named_with_a_remedy(lab: LiveLab) -> None:
    def add(settings: dict[str, Any]) -> None:
        one_more_worker(7)(settings)
        settings.setdefault("talos", {})["timeouts"] = {"node": 30, "api": 60}

    def silence() -> None:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            with contextlib.suppress(AssertionError):
                lab.nodes("POST", "/faults", {"machine": 2007, "fault": "silent"})
                return
            time.sleep(0.02)

    with lab.changed(add), ThreadPoolExecutor() as background:
        silenced = background.submit(silence)
        failed = lab.up()
        silenced.result()
    assert failed.returncode != 0
    assert "node worker-7" in failed.stdout
    assert "nothing answers on port 50000" in failed.stdout
    assert "look at the VM's console in Proxmox" in failed.stdout
    back = lab.up()
    assert back.returncode == 0, back.stdout


NOT_MADE: dict[str, dict[str, Any]] = {
    "proxmox-answers-500": {"kind": "http", "status": 500},
    "a-task-fails": {"kind": "task"},
}
"""Ways in which the creation of a VM fails."""


@pytest.fixture(scope="module")
def growing(lab: LiveLab) -> Iterator[LiveLab]:
    """The lab while its settings have one worker more; until the module's end."""
    with lab.changed(one_more_worker(6)):
        yield lab
    back = lab.up()
    assert back.returncode == 0, back.stdout


@pytest.mark.parametrize("fault", NOT_MADE)
def test_a_vm_that_cannot_be_made_fails_the_up_and_is_not_there(growing: LiveLab, fault: str) -> None:
    creation = {"method": "POST", "path": "/qemu$", "message": "planted", "times": 100}
    with growing.failing(NOT_MADE[fault] | creation):
        failed = growing.up()
    assert failed.returncode != 0, failed.stdout
    assert 2006 not in growing.vms()


def test_what_failed_is_made_up_for_and_a_slow_proxmox_makes_an_up_slow_and_nothing_else(growing: LiveLab) -> None:
    every_request = {"kind": "slow", "seconds": 1}
    its_creation = {"kind": "long", "method": "POST", "path": "/qemu$", "seconds": 10}
    with growing.failing(every_request, its_creation):
        result = growing.up()
    assert result.returncode == 0, result.stdout
    assert growing.vms()[2006]["status"] == "running"
    again = growing.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout
