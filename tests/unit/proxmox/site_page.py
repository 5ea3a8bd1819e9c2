"""`python -m tests.unit.proxmox.site_page` writes docs/site.md: every reason for which a site is refused, as shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from components.proxmox.site import addresses, hosts, names, rights
from components.proxmox.site.plan import PlannedHost, PlannedSite
from tests.conftest import ROOT
from tests.unit.proxmox.recorded_site import PLAN, TAG, RecordedApi, guest, planned
from tests.unit.settings.refusals import as_markdown

PAGE = ROOT / "docs/site.md"

_HEAD = """\
# What a site is refused for

Before the first resource is made, `pulumi up` asks the Proxmox site for everything below, and shows all findings in one
report. Each line here is an example. Nobody edits this page: the recorded answers of the tests are its source
(`tests/unit/proxmox/site_page.py`), and `python -m tests.unit.proxmox.site_page` writes it.
[operations.md](operations.md#what-up-checks-at-the-site) says when the site is asked, and what cannot be known.
"""

Change = Callable[[RecordedApi], object]


def _guests(*guests: dict[str, Any]) -> Change:
    return lambda api: api.answers.update({"/cluster/resources?type=vm": list(guests)})


def _entry(path: str, number: int, **values: Any) -> Change:
    return lambda api: api.answers[path][number].update(values)


def _added(path: str, **values: Any) -> Change:
    return lambda api: api.answers[path].append(values)


def _ahead(**seconds: float) -> Change:
    return lambda api: setattr(api, "ahead", seconds)


def _both(*changes: Change) -> Change:
    return lambda api: [change(api) for change in changes]


_STORAGE, _BRIDGES = "/nodes/pve1/storage", "/nodes/pve1/network?type=any_bridge"
_POOL = f"/pool/{TAG}"
_ONE_HOST = {"pve1": PLAN.hosts["pve1"]}

HOSTS: Sequence[tuple[Change, PlannedSite]] = (
    (_both(_entry("/cluster/status", 0, quorate=0), _entry("/cluster/status", 2, online=0)), PLAN),
    (lambda _: None, planned(hosts={"pve7": PlannedHost()})),
    (_entry("/nodes", 1, status="offline"), PLAN),
    (lambda api: api.answers["/nodes/pve1/version"].update(version="8.3.5"), PLAN),
    (lambda _: None, planned(hosts={"pve1": PlannedHost(cores=12)})),
    (lambda _: None, planned(hosts={"pve1": PlannedHost(memory=65536)})),
    (lambda _: None, planned(hosts={"pve1": PlannedHost({"tank": ["images"]})})),
    (_entry(_STORAGE, 2, enabled=0), PLAN),
    (_entry(_STORAGE, 1, active=0), PLAN),
    (_entry(_STORAGE, 0, content="iso"), PLAN),
    (_entry(_STORAGE, 0, shared=1), PLAN),
    (lambda _: None, planned(hosts=_ONE_HOST, shared=frozenset({"local"}))),
    (_entry(_BRIDGES, 0, iface="vmbr1"), PLAN),
    (_entry(_BRIDGES, 0, active=0), PLAN),
    (_entry(_BRIDGES, 0, bridge_ports="none"), planned(vlan=30)),
    (_ahead(pve2=4000), PLAN),
    (_ahead(pve1=200, pve2=-200), PLAN),
)
NAMES: Sequence[tuple[Change, PlannedSite]] = (
    (_guests(guest(2001, "mail", tags="precious")), PLAN),
    (_guests(guest(2001, "worker-0", tags=TAG, node="pve2")), PLAN),
    (_guests(guest(2001, "worker-9", tags=TAG)), PLAN),
    (_guests(guest(3001, "worker-0", tags="homelab-other")), PLAN),
    (
        _added("/nodes/pve1/storage/local-zfs/content?content=images", volid="local-zfs:vm-2001-disk-0", vmid=2001),
        PLAN,
    ),
    (_guests(guest(9999, "debian", template=1, status="stopped")), PLAN),
    (_added("/pools", poolid=TAG, comment="students"), PLAN),
    (_both(_added("/pools", poolid=TAG, comment=PLAN.pool_comment), _guests(guest(300, "mail", pool=TAG))), PLAN),
    (_added("/access/users", userid="test-csi@pve", comment="Proxmox CSI of homelab-other"), PLAN),
    (_added("/access/roles", roleid="test-csi", privs="VM.Allocate"), PLAN),
)
MISSING = (
    *((path, "VM.Audit") for path in ("/vms/2001", "/vms/2002", "/vms/9999")),
    *((path, name) for path in ("/vms/2001", "/vms/2002", _POOL) for name in rights.VM_PRIVILEGES[2:]),
    (_POOL, "Pool.Allocate"),
    ("/nodes/pve1", "Sys.Audit"),
    ("/nodes/pve2", "Sys.Audit"),
    ("/", "Sys.Modify"),
    ("/storage/local-zfs", "Datastore.AllocateSpace"),
    ("/storage/local", "Datastore.AllocateTemplate"),
    ("/storage/volumes", "Datastore.Allocate"),
    ("/sdn/zones/localnetwork/vmbr0", "SDN.Use"),
    ("/access", "Sys.Modify"),
    ("/access/realm/pve", "Realm.AllocateUser"),
    ("/access/groups", "User.Modify"),
    ("/storage/volumes", "Permissions.Modify"),
    (_POOL, "Permissions.Modify"),
)
ANSWERING = (("198.51.100.31", 6443), ("198.51.100.2", 22))


def findings() -> dict[str, list[str]]:
    """Every finding by its subject, in the order of a report."""
    found: dict[str, list[str]] = {"The login's privileges": [], "Hosts": [], "Ids and names": []}
    api = RecordedApi(lacks=MISSING)
    found["The login's privileges"] += rights.findings(PLAN, api.taken(), api.who)
    for change, plan in HOSTS:
        found["Hosts"] += hosts.findings(plan, _changed(change).taken(plan))
    for change, plan in NAMES:
        found["Ids and names"] += names.findings(plan, _changed(change).taken(plan))

    async def somebody(address: str, port: int) -> bool:
        return (address, port) in ANSWERING

    found["Addresses"] = asyncio.run(addresses.findings(PLAN, RecordedApi().taken(), somebody))
    return found


def _changed(change: Change) -> RecordedApi:
    api = RecordedApi()
    change(api)
    return api


def text() -> str:
    """The page."""
    parts = [_HEAD]
    for subject, lines in findings().items():
        parts.append(f"\n## {subject}\n\n")
        for line in lines:
            place, _, reason = line.partition(": ")
            parts.append(f"- `{place}`: {as_markdown(reason)}\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
