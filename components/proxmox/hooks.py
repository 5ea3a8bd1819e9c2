"""What is checked in Proxmox around an operation, because the provider does not.

Owns these checks and an explanation, all in `up` and none in a preview:

- before anything is created: Proxmox accepts the login, the provider accepts Proxmox's certificate, and the site has
  what the settings demand of it (`site/`), all of it in one report. No planned VM id is taken by a VM that is not this
  stack's: the provider would adopt such a VM, and `destroy` would delete it.
- before one VM is created: its host was asked so in this `up`; its id is free, or is held by an orphan of an
  interrupted `up` of this stack; and nothing answers yet at the address that its node is to have.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.proxmox.api import ProxmoxApi, ProxmoxError, ProxmoxLogin
from components.proxmox.site import hosts, names
from components.proxmox.site.plan import PlannedSite
from components.proxmox.site.report import refuse
from components.proxmox.trust import DISTRUSTED, accepted_by_plugin, plugin_remedy
from components.proxmox.vm_pool import path_of
from components.proxmox.vm_update import PlannedVm, join_pool, prepare
from components.talos.api import PORT, answers

_LOGIN_REFUSED = ("HTTP 401", "failed to authenticate")
"""How the provider words it; Proxmox answers 401 to a session or token that is unknown or no longer valid."""

_ADDRESS_TIMEOUT = 2.0
"""Seconds; a new cluster waits this long for each node."""


@dataclass(frozen=True, kw_only=True)
class ProxmoxChecks:
    """The checks for one stack.

    site: what the settings demand of the site.
    """

    login: ProxmoxLogin
    site: PlannedSite
    _told: list[str] = field(default_factory=list)
    """The resource whose failure was explained; the others of the same update fail for the same reason."""
    _checked: set[str] = field(default_factory=set)
    """The hosts that this `up` has asked already."""

    @property
    def tag(self) -> str:
        """The tag that marks this stack's VMs."""
        return self.site.tag

    def before_anything(self) -> pulumi.ResourceHook:
        """For the Proxmox provider itself: every resource in Proxmox depends on it, so a refusal is reported once."""

        async def site_is_ready(_: pulumi.ResourceHookArgs) -> None:
            api = await self.login.connect()
            await refuse(api, self.site, *await asyncio.to_thread(self._plugin))
            self._checked.update(self.site.hosts)

        return pulumi.ResourceHook("proxmox-is-ready", site_is_ready)

    def before_create(self) -> pulumi.ResourceHook:
        """For each VM."""

        async def vm_id_is_free(args: pulumi.ResourceHookArgs) -> None:
            api = await self.login.connect()
            await self._check_host(api, self.site.vms[args.name].host)
            found = await asyncio.to_thread(api.guests)
            vm_id = int(_plain(args.new_inputs, "vmId"))
            self._check_vm(args.name, self.site.vms[args.name], found)
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
            await asyncio.to_thread(prepare, api, self.site.vms[args.name], args)

        return pulumi.ResourceHook("vm-is-as-recorded", vm_is_as_recorded)

    def before_image(self) -> pulumi.ResourceHook:
        """For each file of the image."""

        async def image_store_is_as_declared(args: pulumi.ResourceHookArgs) -> None:
            api = await self.login.connect()
            host, datastore = _plain(args.new_inputs, "nodeName"), _plain(args.new_inputs, "datastoreId")
            await self._check_host(api, host)
            entries = await asyncio.to_thread(api.get, f"/nodes/{host}/storage")
            for entry in entries:
                if entry["storage"] == datastore:
                    for finding in hosts.image_store(self.site.shared, host, entry):
                        raise ProxmoxError(finding)

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

    def _plugin(self) -> list[str]:
        """A finding when the provider, which is not given the site's authority, would refuse it."""
        accepted = self.login.insecure or accepted_by_plugin(self.login.endpoint, os.environ)
        return [] if accepted else [plugin_remedy(self.login.endpoint)]

    async def _check_host(self, api: ProxmoxApi, host: str) -> None:
        """Once an `up`, for a stack that is there already and grows: its first `up` asked the whole site."""
        if host in self.site.hosts and host not in self._checked:
            await refuse(api, self.site.on(host))
            self._checked.add(host)

    def _free_pool(self, api: ProxmoxApi, pool: str) -> None:
        """Removes the pool if an interrupted `up` of this stack left it.

        Raises ProxmoxError if it is another's, or if the login may not make or see pools: it would never see that its
        VMs are in one.
        """
        path = path_of(pool)
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
        if comments[pool] != self.site.pool_comment or members:
            raise ProxmoxError(
                f"pool {pool} ({comments[pool]!r}, with {', '.join(members) or 'no members'}) exists, and this stack "
                "did not record it. It was not touched. Take its members out and delete it: "
                f"pvesh delete /pools --poolid {pool}"
            )
        pulumi.log.info(f"pool {pool} is of an earlier run of this stack, and empty; making it anew")
        api.delete(f"/pools?poolid={pool}")

    def _check_vm(self, name: str, planned: PlannedVm, found: Mapping[int, Mapping[str, Any]]) -> None:
        """Raises ProxmoxError unless the VM's id is free, or held by a VM of this stack on the planned host."""
        vm = found.get(planned.vm_id)
        if vm is None:
            return
        for finding in names.taken(self.tag, name, planned, vm):
            raise ProxmoxError(finding)
        pulumi.log.info(f"{names.described(vm)} is an orphan of an earlier run of this stack; taking it back")

    async def _check_address(self, name: str) -> None:
        """Raises ProxmoxError when the node's address is in use, as by the node that had it under another name."""
        address = self.site.vms[name].address
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
