"""Proxmox answers a change with a task at once, and has done nothing yet; its answers are played."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from components.proxmox import api
from components.proxmox.api import ProxmoxApi, ProxmoxError

TASK = "UPID:pve1:0001:0002:65000000:qmdestroy:2001:root@pam:"
CHANGES: dict[str, Callable[[ProxmoxApi], Any]] = {
    "put": lambda proxmox: proxmox.put("/nodes/pve1/qemu/2001/resize", {}),
    "post": lambda proxmox: proxmox.post("/nodes/pve1/qemu/2001/status/stop"),
    "delete": lambda proxmox: proxmox.delete("/nodes/pve1/qemu/2001"),
}


class Proxmox(ProxmoxApi):
    """One whose task runs until it was asked for the third time."""

    def __init__(self, end: str = "OK") -> None:
        super().__init__("https://192.0.2.9:8006", insecure=True)
        self.states = ["stopped", "running", "running"]
        self.end = end

    def _request(self, method: str, path: str, form: dict[str, Any] | None = None) -> Any:  # noqa: ARG002
        if method != "GET":
            return TASK
        assert path.startswith("/nodes/pve1/tasks/UPID%3Apve1")
        return {"status": self.states.pop(), "exitstatus": self.end}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_POLL", 0)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_is_changed_has_happened_when_the_call_returns(change: Callable[[ProxmoxApi], Any]) -> None:
    proxmox = Proxmox()
    change(proxmox)
    assert proxmox.states == []


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_task_that_fails_is_no_success(change: Callable[[ProxmoxApi], Any]) -> None:
    with pytest.raises(ProxmoxError, match="failed: command 'qm destroy' failed"):
        change(Proxmox("command 'qm destroy' failed"))
