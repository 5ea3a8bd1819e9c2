"""What is checked in Proxmox around an operation, because the provider does not.

Owns these checks and an explanation, all in `up` and none in a preview:

- before anything is created: Proxmox accepts the login, the provider accepts Proxmox's certificate, the hosts and
  datastores exist, and no planned VM id is taken by a VM that is not this stack's. The provider would adopt such a VM
  and `destroy` would delete it.
- before one VM is created: its id is free, or is held by an orphan of an interrupted `up` of this stack; and nothing
  answers yet at the address that its node is to have.
- before one VM is updated: see `vm_update.py`.
- before the image is downloaded: whether hosts share its datastore, so that one file is never taken for several.
- before the pool is created: none of its name is there, except one that an interrupted `up` of this stack left.
- after an operation failed because of the login or the certificate: what to do is said, once.

A VM is this stack's when it carries the stack's tag, which is part of the call that creates it.
Does not own how a node leaves and rejoins its cluster: see `components/talos/hooks.py`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.proxmox.api import ProxmoxApi, ProxmoxError, ProxmoxLogin
from components.proxmox.trust import DISTRUSTED, accepted_by_plugin, plugin_remedy
from components.proxmox.vm_update import PlannedVm, elsewhere, join_pool, prepare
from components.talos.api import PORT, answers

_LOGIN_REFUSED = ("HTTP 401", "failed to authenticate")
"""How the provider words it; Proxmox answers 401 to a session or token that is unknown or no longer valid."""

_ADDRESS_TIMEOUT = 2.0
"""Seconds; a new cluster waits this long for each node."""


@dataclass(frozen=True, kw_only=True)
class ProxmoxChecks:
    """The checks for one stack.

    tag: the tag that marks this stack's VMs.
    vms: every planned VM by name.
    datastores: per host the datastores that must exist, each with the content types it must take, joined by commas.
    shared: the datastores for images that are one and the same on every host.
    """

    login: ProxmoxLogin
    tag: str
    vms: Mapping[str, PlannedVm]
    datastores: Mapping[str, Mapping[str, str]]
    shared: frozenset[str] = frozenset()
    _told: list[str] = field(default_factory=list)
    """The resource whose failure was explained; the others of the same update fail for the same reason."""

    @property
    def pool_comment(self) -> str:
        """What marks the pool of this stack's VMs."""
        return f"VMs of {self.tag}, managed by Pulumi"

    def before_anything(self) -> pulumi.ResourceHook:
        """For the Proxmox provider itself: every resource in Proxmox depends on it, so a refusal is reported once."""

        async def site_is_ready(_: pulumi.ResourceHookArgs) -> None:
            api = await self.login.connect()
            await asyncio.to_thread(self._check_plugin)
            await asyncio.to_thread(self._check_site, api)

        return pulumi.ResourceHook("proxmox-is-ready", site_is_ready)

    def before_create(self) -> pulumi.ResourceHook:
        """For each VM."""

        async def vm_id_is_free(args: pulumi.ResourceHookArgs) -> None:
            api = await self.login.connect()
            found = await asyncio.to_thread(api.guests)
            vm_id = int(_plain(args.new_inputs, "vmId"))
            self._check_vm(args.name, self.vms[args.name], found)
            if vm_id not in found:
                await self._check_address(args.name)
            elif not found[vm_id].get("pool"):
                # The provider takes over what is there, and asks for the pool only when it makes a VM.
                await asyncio.to_thread(join_pool, api, vm_id, _plain(args.new_inputs, "poolId"))

        return pulumi.ResourceHook("vm-id-is-free", vm_id_is_free)

    def before_update(self) -> pulumi.ResourceHook:
        """For each VM, after the hook that asks the cluster (`components/talos/hooks.py`)."""

        async def vm_is_as_recorded(args: pulumi.ResourceHookArgs) -> None:
            api = await self.login.connect()
            await asyncio.to_thread(prepare, api, self.vms[args.name], args)

        return pulumi.ResourceHook("vm-is-as-recorded", vm_is_as_recorded)

    def before_image(self) -> pulumi.ResourceHook:
        """For each file of the image."""

        async def image_store_is_as_declared(args: pulumi.ResourceHookArgs) -> None:
            api = await self.login.connect()
            host, datastore = _plain(args.new_inputs, "nodeName"), _plain(args.new_inputs, "datastoreId")
            entries = await asyncio.to_thread(api.get, f"/nodes/{host}/storage")
            for entry in entries:
                if entry["storage"] == datastore:
                    self._check_image_store(host, entry)

        return pulumi.ResourceHook("image-store-is-as-declared", image_store_is_as_declared)

    def before_pool(self) -> pulumi.ResourceHook:
        """For the pool of this stack's VMs."""

        async def pool_is_free(args: pulumi.ResourceHookArgs) -> None:
            api = await self.login.connect()
            await asyncio.to_thread(self._free_pool, api, _plain(args.new_inputs, "poolId"))

        return pulumi.ResourceHook("pool-is-free", pool_is_free)

    def on_error(self) -> pulumi.ErrorHook:
        """For everything in Proxmox: says once what to do about a login or a certificate that is refused in an `up`."""

        async def lost_access_is_told(args: pulumi.ErrorHookArgs) -> bool:
            if not self._told and (explanation := await self._explain(args.errors or [])):
                self._told.append(args.name)
                pulumi.log.error(f"{explanation}. What was made until then is recorded: `pulumi up` goes on from there")
            return False

        return pulumi.ErrorHook("lost-access-is-told", lost_access_is_told)

    async def _explain(self, errors: Sequence[str]) -> str | None:
        """What to do about a certificate or a login that was refused; None if the errors are about something else."""
        if any(DISTRUSTED in error for error in errors):
            return plugin_remedy(self.login.endpoint)
        if not any(sign in error for error in errors for sign in _LOGIN_REFUSED):
            return None
        try:
            await self.login.connect()
        except ProxmoxError as error:
            return str(error)
        return f"Proxmox at {self.login.endpoint} ended the session in the middle of this update"

    def _check_plugin(self) -> None:
        """Raises ProxmoxError when the provider, which is not given the site's authority, would refuse it."""
        if not self.login.insecure and not accepted_by_plugin(self.login.endpoint, os.environ):
            raise ProxmoxError(plugin_remedy(self.login.endpoint))

    def _check_site(self, api: ProxmoxApi) -> None:
        hosts = {entry["node"]: entry for entry in api.get("/nodes")}
        for host, datastores in self.datastores.items():
            if hosts.get(host, {}).get("status") != "online":
                raise ProxmoxError(
                    f"Proxmox at {api.endpoint} has no online host {host}; "
                    f"it has {', '.join(sorted(hosts)) or 'none'}: correct homelab:site.hosts, or start the host"
                )
            entries = {entry["storage"]: entry for entry in api.get(f"/nodes/{host}/storage")}
            offered = {name: entry.get("content", "").split(",") for name, entry in entries.items()}
            for datastore, wanted in datastores.items():
                if datastore not in offered:
                    raise ProxmoxError(
                        f"host {host} has no datastore {datastore}; it has {', '.join(sorted(offered))}: "
                        f"correct homelab:site.hosts.{host} or homelab:storage.datastore, or create it"
                    )
                missing = [content for content in wanted.split(",") if content not in offered[datastore]]
                if missing:
                    raise ProxmoxError(
                        f"datastore {datastore} on host {host} does not take content type {' and '.join(missing)}; "
                        f"allow it: pvesm set {datastore} --content {','.join([*offered[datastore], *missing])}"
                    )
                if "import" in wanted.split(","):
                    self._check_image_store(host, entries[datastore])
        found = api.guests()
        for name, planned in self.vms.items():
            self._check_vm(name, planned, found)

    def _check_image_store(self, host: str, entry: Mapping[str, Any]) -> None:
        """Raises ProxmoxError unless Proxmox and the settings agree on whether hosts share a datastore for images."""
        name = entry["storage"]
        if entry.get("shared") and name not in self.shared:
            raise ProxmoxError(
                f"datastore {name} on host {host} is shared in Proxmox, where one file of it would be taken for one on "
                f"each host, and be deleted for all of them with the first; add {name} to "
                "homelab:site.sharedImageDatastores"
            )
        if name in self.shared and not entry.get("shared"):
            raise ProxmoxError(
                f"datastore {name} on host {host} is not shared in Proxmox, so each host has its own; remove {name} "
                f"from homelab:site.sharedImageDatastores, or, if it is one: pvesm set {name} --shared 1"
            )

    def _free_pool(self, api: ProxmoxApi, pool: str) -> None:
        """Removes the pool if an interrupted `up` of this stack left it.

        Raises ProxmoxError if it is another's, or if the login may not make or see pools: it would never see that its
        VMs are in one.
        """
        path = f"/pool/{pool}"
        held = api.get(f"/access/permissions?path={path}").get(path, {})
        if missing := [privilege for privilege in ("Pool.Allocate", "Pool.Audit") if privilege not in held]:
            raise ProxmoxError(
                f"the login at {api.endpoint} lacks {' and '.join(missing)} on {path}, for the pool of this stack's "
                "VMs; nothing was created. Add them to its role: "
                f'pveum role modify <role> --append 1 --privs "{" ".join(missing)}"'
            )
        comments = {entry["poolid"]: entry.get("comment", "") for entry in api.get("/pools")}
        if pool not in comments:
            return
        members = [member["id"] for member in api.get(f"/pools?poolid={pool}")[0]["members"]]
        if comments[pool] != self.pool_comment or members:
            raise ProxmoxError(
                f"pool {pool} ({comments[pool]!r}, with {', '.join(members) or 'no members'}) exists, and this stack "
                "did not record it. It was not touched. Take its members out and delete it: "
                f"pvesh delete /pools --poolid {pool}"
            )
        pulumi.log.info(f"pool {pool} is of an earlier run of this stack, and empty; making it anew")
        api.delete(f"/pools?poolid={pool}")

    def _check_vm(self, name: str, planned: PlannedVm, found: Mapping[int, Mapping[str, Any]]) -> None:
        """Raises ProxmoxError unless the VM's id is free, or held by a VM of this stack on the planned host."""
        vm_id, vm = planned.vm_id, found.get(planned.vm_id)
        if vm is None:
            return
        described = f"VM {vm_id} ({vm.get('name', 'unnamed')!r} on host {vm['node']}, {vm.get('status', 'unknown')})"
        if self.tag not in re.split("[;, ]", vm.get("tags") or ""):
            raise ProxmoxError(
                f"{described} is not this stack's: it lacks the tag {self.tag}. It was not touched. "
                f"Give {name} another vmId in homelab:nodes, or remove that VM yourself"
            )
        if vm["node"] != planned.host:
            raise ProxmoxError(elsewhere(name, planned, vm["node"]))
        if vm.get("name") != name:
            raise ProxmoxError(
                f"{described} is this stack's, under another name than {name}. It was not touched. A node with another "
                f"name is another node: give {name} a vmId and an address of its own in homelab:nodes, or remove the "
                "old one first, by a `pulumi up` without either"
            )
        pulumi.log.info(f"{described} is an orphan of an earlier run of this stack; taking it back")

    async def _check_address(self, name: str) -> None:
        """Raises ProxmoxError when the node's address is in use, as by the node that had it under another name."""
        address = self.vms[name].address
        if await answers(address, _ADDRESS_TIMEOUT):
            raise ProxmoxError(
                f"{name} is to have address {address}, where another machine answers on port {PORT}; no VM was made. "
                f"Give {name} another address in homelab:nodes; or, if the other is a node that the settings have no "
                "more, remove it first, by a `pulumi up` without either"
            )


def _plain(inputs: Mapping[str, Any] | None, key: str) -> Any:
    if inputs is None or key not in inputs:
        raise ProxmoxError(f"the engine gave no {key} for this VM, so it cannot be checked; nothing was changed")
    return inputs[key]
