"""`python -m program csi-volumes record|retain|purge`: what happens to a cluster's volumes when it is destroyed.

Owns three commands that `CsiVolumes` has Pulumi run, because `pulumi destroy` does not run the program:

- `record`, before the cluster is created: prints the volumes that already bear its name. An earlier cluster of the same
  name left them, on purpose, so they are not this cluster's.
- `retain`, after the VMs are gone: prints the cluster's volumes and how to delete one.
- `purge`, after the VMs are gone: deletes them one by one, printing each. Refuses while a VM of the stack exists, and
  leaves every volume that any guest's configuration names. Failures are named; a rerun continues from there.

A volume is the cluster's by its name alone (`csi_volume_names`). Everything comes through the environment
(`environment`), so that no secret is in a command line. Needs only the standard library.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.kit.command_plan import CommandPlan
from components.proxmox.api import ProxmoxApi, ProxmoxError
from components.storage.csi_volume_names import CSI_VM_ID, VolumeNames

PLAN = "HOMELAB_CSI_VOLUMES"
"""The variable that holds a `Plan` as JSON; the credential comes as `ProxmoxApi.of_command` expects it."""

RECORDED = "PULUMI_COMMAND_STDOUT"
"""The variable in which Pulumi passes what `record` printed to the later commands."""


@dataclass(frozen=True, kw_only=True)
class Plan(CommandPlan):
    """What a command needs to know, apart from secrets.

    endpoint, insecure, ca, username: the login, as in `ProxmoxLogin`.
    cluster: name of the cluster. tag: the tag of its stack's VMs.
    hosts, datastore: where its volumes are made; these must answer before all volumes can be known to be gone.
    """

    endpoint: str
    insecure: bool
    username: str | None
    cluster: str
    tag: str
    hosts: Sequence[str]
    datastore: str
    ca: str | None = None


@dataclass(frozen=True)
class Volume:
    """A volume as Proxmox lists it: its id `datastore:name`, a host that has it, and its size in bytes."""

    id: str
    host: str
    size: int
    shared: bool

    @property
    def place(self) -> str:
        """What identifies it among all volumes of the site: on a local datastore, the host is part of it."""
        return self.id if self.shared else f"{self.host}/{self.id}"

    def __str__(self) -> str:
        return f"{self.place} ({self.size / 2**30:.1f} GiB)"


class Volumes:
    """The volumes of one cluster in Proxmox."""

    def __init__(self, api: ProxmoxApi, plan: Plan, say: Callable[[str], None] = print) -> None:
        self._api = api
        self._plan = plan
        self._say = say
        self._names = VolumeNames(plan.cluster)
        self._configurations: dict[str, str] = {}

    def find(self) -> list[Volume]:
        """Every volume that bears the cluster's name, sorted.

        Raises ProxmoxError when the login cannot see everything, or when a host or datastore that may hold such a
        volume does not answer; others are passed over.
        """
        self._refuse_if_blind()
        found: dict[str, Volume] = {}
        for host in self._hosts():
            for datastore in self._api.get(f"/nodes/{host}/storage?content=images&enabled=1"):
                name, shared = datastore["storage"], bool(datastore.get("shared"))
                path = f"/nodes/{host}/storage/{name}/content?content=images&vmid={CSI_VM_ID}"
                try:
                    listed = self._api.get(path)
                except ProxmoxError as error:
                    if name == self._plan.datastore and host in self._plan.hosts:
                        raise
                    self._say(f"datastore {name} on host {host} was not looked at: {error}")
                    continue
                for entry in listed:
                    volume = Volume(entry["volid"], host, int(entry.get("size", 0)), shared)
                    if self._names.owns(volume.id):
                        found.setdefault(volume.place, volume)
        return [found[place] for place in sorted(found)]

    def retain(self, spared: Sequence[str]) -> None:
        """Print what stays."""
        volumes = self.find()
        if not volumes:
            return
        self._say(f"cluster {self._plan.cluster} leaves {len(volumes)} volumes in Proxmox (storage.onDestroy: retain):")
        for volume in volumes:
            self._say(f"  {volume}" + (", of an earlier cluster of this name" if volume.place in spared else ""))
        some = volumes[0]
        self._say(f"to delete one, on its host: pvesm free <datastore>:<name>; as on {some.host}: pvesm free {some.id}")

    def purge(self, spared: Sequence[str]) -> None:
        """Delete the cluster's volumes, except the `spared` ones.

        Goes on past a volume that a guest uses, and stops where Proxmox fails.
        Raises ProxmoxError with what is left.
        """
        self._refuse_while_the_cluster_runs()
        volumes = self.find()
        for volume in (volume for volume in volumes if volume.place in spared):
            self._say(f"kept {volume}, of an earlier cluster of this name; to delete it: pvesm free {volume.id}")
        doomed = [volume for volume in volumes if volume.place not in spared]
        left = []
        for position, volume in enumerate(doomed):
            try:
                guest = next(self._guests_that_name(volume), None)
                if guest is None:
                    self._delete(volume)
            except ProxmoxError as error:
                left += [f"{volume}: {error}", *map(str, doomed[position + 1 :])]
                break
            if guest is None:
                self._say(f"deleted {volume}")
            else:
                left.append(f"{volume}: the configuration of {guest} names it; detach it there")
        if left:
            raise ProxmoxError(
                f"of cluster {self._plan.cluster}'s {len(doomed)} volumes these are left:\n  "
                + "\n  ".join(left)
                + "\nrun `pulumi destroy` again to continue"
            )

    def _delete(self, volume: Volume) -> None:
        datastore, _, name = volume.id.partition(":")
        quoted = urllib.parse.quote(name, safe="")
        self._api.delete(f"/nodes/{volume.host}/storage/{datastore}/content/{quoted}")

    def _refuse_while_the_cluster_runs(self) -> None:
        for guest in self._guests():
            if self._plan.tag in re.split("[;, ]", guest.get("tags") or ""):
                raise ProxmoxError(
                    f"VM {guest['vmid']} ({guest.get('name', 'unnamed')}) on host {guest['node']} has the tag "
                    f"{self._plan.tag}, so the cluster may still use its volumes; none was deleted. A volume is "
                    "deleted only after the last VM of the stack: run `pulumi destroy` without --target"
                )

    def _refuse_if_blind(self) -> None:
        """Proxmox silently leaves out of its lists what a login may not see."""
        for path, privilege in (("/vms", "VM.Audit"), (f"/storage/{self._plan.datastore}", "Datastore.Allocate")):
            if privilege not in self._api.get(f"/access/permissions?path={path}").get(path, {}):
                raise ProxmoxError(
                    f"the login at {self._api.endpoint} lacks {privilege} on {path}, so it does not see every volume "
                    "of the cluster and every guest that may use one; give it that privilege, and repeat the command"
                )

    def _hosts(self) -> list[str]:
        hosts = {entry["node"]: entry.get("status") for entry in self._api.get("/nodes")}
        for host, status in sorted(hosts.items()):
            if status != "online" and host in self._plan.hosts:
                raise ProxmoxError(f"host {host} is not online, and may hold volumes; start it, and repeat the command")
        return sorted(host for host, status in hosts.items() if status == "online")

    def _guests(self) -> list[Mapping[str, Any]]:
        return list(self._api.get("/cluster/resources?type=vm"))

    def _guests_that_name(self, volume: Volume) -> Iterator[str]:
        """A local volume can be used only by guests of its host; a shared one by guests of every host."""
        for guest in self._guests():
            if volume.shared or guest["node"] == volume.host:
                # Shows values in force as well as those pending until the next start.
                path = f"/nodes/{guest['node']}/{guest['type']}/{guest['vmid']}/pending"
                if path not in self._configurations:
                    self._configurations[path] = json.dumps(self._api.get(path))
                if volume.id in self._configurations[path]:
                    yield f"{guest['type']} guest {guest['vmid']} ({guest.get('name', 'unnamed')}) on {guest['node']}"


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command; return 1, with the reason on standard error, if it fails."""
    [command] = arguments
    plan = Plan.loads(environment[PLAN])
    spared = environment.get(RECORDED, "").split()
    try:
        api = ProxmoxApi.of_command(plan.endpoint, plan.insecure, plan.ca, plan.username, environment)
        volumes = Volumes(api, plan)
        if command == "record":
            # Standard output is what Pulumi keeps.
            there = Volumes(api, plan, say=lambda text: print(text, file=sys.stderr)).find()
            print("\n".join(volume.place for volume in there))
        elif command == "retain":
            volumes.retain(spared)
        elif command == "purge":
            volumes.purge(spared)
        else:
            raise ValueError(f"{command!r} is not record, retain or purge")
    except ProxmoxError as error:
        print(error, file=sys.stderr)
        # Volumes that were to be kept are kept, whether they can be seen now or not.
        return 0 if command == "retain" else 1
    return 0
