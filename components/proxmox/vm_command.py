"""`python -m program vm remove|rebuild`: what is done to a VM, or known of it, before it goes.

Owns two commands that `TalosVm` and `VmRebuilds` have Pulumi run, because hooks cannot: a resource that is no longer in
the program has none, and `pulumi destroy`, which runs no program, refuses to run at all where a resource has one that
acts before a deletion (getDeleteHooks, https://github.com/pulumi/pulumi/blob/v3.259.0/pkg/engine/destroy.go).

- `remove`, in the place of the provider's deletion: stops the VM and deletes it on the host where it is. The provider
  would look on the recorded host alone, fail, and leave the VM running.
- `rebuild`, before a VM is deleted to be made anew: fails unless the deletion can succeed and everything that the new
  VM needs is there.

A VM is the stack's when it carries its tag; one without it is never touched. Everything comes through the environment,
so that no secret is in a command line. Needs only the standard library.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.kit.command_plan import CommandPlan
from components.proxmox.api import ProxmoxApi, ProxmoxError

PLAN, IMAGE = "HOMELAB_VM", "HOMELAB_VM_IMAGE"
"""The variables that the commands read: a `Plan` as JSON, and for `rebuild` the id of the image."""

_STOP_SECONDS = 120
"""For a VM to be off. HA stops one by itself, some time after it was asked to: https://pve.proxmox.com/wiki/High_Availability"""

_POLL = 0.5


@dataclass(frozen=True, kw_only=True)
class VmPlan(CommandPlan):
    """What a command needs to know of a VM, apart from secrets.

    endpoint, insecure, ca, username: the login, as in `ProxmoxLogin`.
    tag: that of the stack's VMs. name, vm_id, host: the VM, and where the settings place it.
    datastore: where its disks are.
    """

    endpoint: str
    insecure: bool
    username: str | None
    tag: str
    name: str
    vm_id: int
    host: str
    datastore: str
    ca: str | None = None


class Vm:
    """One VM in Proxmox. Each method raises ProxmoxError when it refuses or fails."""

    def __init__(self, api: ProxmoxApi, plan: VmPlan, say: Callable[[str], None] = print) -> None:
        self._api = api
        self._plan = plan
        self._say = say
        self._called = f"VM {plan.vm_id} ({plan.name})"

    def remove(self) -> None:
        """Stop the VM and delete it, wherever it is. One that is gone, or is somebody else's, is none to delete."""
        guest = self._guest()
        if guest is None:
            return
        if self._plan.tag not in re.split("[;, ]", guest.get("tags") or ""):
            self._say(f"{self._called} lacks the tag {self._plan.tag}, so it is not this stack's; it was not touched")
            return
        host = guest["node"]
        if host != self._plan.host:
            self._say(f"{self._called} is on host {host}, not on {self._plan.host}; it is deleted there")
        base = f"/nodes/{host}/qemu/{self._plan.vm_id}"
        self._refuse_what_cannot_be_deleted(base)
        if self._api.get(f"{base}/status/current")["status"] != "stopped":
            self._api.post(f"{base}/status/stop")
            self._wait_until_stopped(base)
        # As the provider does it, jobs of backup and HA included.
        self._api.delete(f"{base}?purge=1&destroy-unreferenced-disks=1")

    def check_rebuild(self, image: str) -> None:
        """Fail unless the VM can be deleted where it is recorded, and made anew there from `image`."""
        plan, guest = self._plan, self._guest()
        if guest is None:
            raise ProxmoxError(f"{self._called} is gone already; `pulumi up --refresh` makes it anew")
        if guest["node"] != plan.host:
            raise ProxmoxError(
                f"{self._called} is on host {guest['node']}, and was last seen on {plan.host}; nothing was changed. "
                f"Move it back: qm migrate {plan.vm_id} {plan.host} --online --with-local-disks (on {guest['node']}); "
                "or run `pulumi up --refresh` first, which names the other ways out"
            )
        self._refuse_what_cannot_be_deleted(f"/nodes/{plan.host}/qemu/{plan.vm_id}")
        datastores = {entry["storage"]: entry for entry in self._api.get(f"/nodes/{plan.host}/storage")}
        store = image.partition(":")[0]
        for needed, content in ((plan.datastore, "images"), (store, "import")):
            found = datastores.get(needed, {})
            if not found.get("active") or content not in found.get("content", "").split(","):
                raise ProxmoxError(
                    f"{self._called} was not deleted: host {plan.host} has no datastore {needed} that is active and "
                    f"takes {content}, and the new VM needs it. Bring it back, and run `pulumi up` again"
                )
        listed = self._api.get(f"/nodes/{plan.host}/storage/{store}/content?content=import")
        if image not in [entry["volid"] for entry in listed]:
            raise ProxmoxError(
                f"{self._called} was not deleted: its image {image} is not on host {plan.host} any more, and the new "
                "VM needs it. `pulumi up --refresh` fetches it again; then repeat the command"
            )

    def _guest(self) -> Mapping[str, Any] | None:
        guest = self._api.guests().get(self._plan.vm_id)
        path = f"/vms/{self._plan.vm_id}"
        # Proxmox leaves out of its lists what a login may not see.
        if guest is None and "VM.Audit" not in self._api.get(f"/access/permissions?path={path}").get(path, {}):
            raise ProxmoxError(
                f"the login at {self._plan.endpoint} lacks VM.Audit on {path}, so it does not see whether "
                f"{self._called} exists; give it that privilege, and repeat the command"
            )
        return guest

    def _refuse_what_cannot_be_deleted(self, base: str) -> None:
        """The provider would stop such a VM first, and fail then."""
        config = self._api.get(f"{base}/config")
        if int(config.get("protection") or 0):
            raise ProxmoxError(
                f"{self._called} is protected in Proxmox and was not touched; end that: "
                f"qm set {self._plan.vm_id} --protection 0, and repeat the command"
            )
        if lock := config.get("lock"):
            raise ProxmoxError(
                f"{self._called} is locked ({lock}) and was not touched; wait until that ends, and repeat the command"
            )

    def _wait_until_stopped(self, base: str) -> None:
        deadline = time.monotonic() + _STOP_SECONDS
        while self._api.get(f"{base}/status/current")["status"] != "stopped":
            if time.monotonic() > deadline:
                raise ProxmoxError(
                    f"{self._called} was told to stop and still runs after {_STOP_SECONDS} s; look at it in Proxmox, "
                    "and repeat the command"
                )
            time.sleep(_POLL)


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command; return 1, with the reason on standard error, if it fails."""
    [command] = arguments
    plan = VmPlan.loads(environment[PLAN])
    try:
        vm = Vm(ProxmoxApi.of_command(plan.endpoint, plan.insecure, plan.ca, plan.username, environment), plan)
        if command == "remove":
            vm.remove()
        elif command == "rebuild":
            vm.check_rebuild(environment[IMAGE])
        else:
            raise ValueError(f"{command!r} is neither remove nor rebuild")
    except ProxmoxError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
