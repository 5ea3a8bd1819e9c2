"""The program's own checks in Proxmox (`components/proxmox/hooks.py`), each against the simulated Proxmox VE."""

from __future__ import annotations

import asyncio
from typing import Any

import pulumi
import pytest

from components.proxmox import api as proxmox_api
from components.proxmox.api import ProxmoxApi, ProxmoxError, ProxmoxLogin
from components.proxmox.hooks import PlannedVm, ProxmoxChecks, _finish_earlier_update, _refuse_to_detach_volumes
from components.talos.api import PORT as TALOS_PORT
from tests.lab.proxmox_site import GIB, HOST, PASSWORD, Site

TAG = "homelab-test"
ADDRESS = "127.34.2.1"
VOLUME = "vm-9999-pvc-lab-11111111-2222-4333-8444-555555555555"


def client(site: Site, password: str = PASSWORD) -> ProxmoxApi:
    api = ProxmoxApi(f"https://{HOST}:{site.server.pve.port}/", insecure=True)
    api.log_in("root@pam", password)
    return api


def checks(datastores: dict[str, dict[str, str]] | None = None) -> ProxmoxChecks:
    """The checks for one planned VM."""
    login = ProxmoxLogin(endpoint="unused", insecure=True, username=None, password=None, api_token=None)
    stores = datastores or {"pve1": {"local": "import", "local-zfs": "images"}}
    return ProxmoxChecks(login=login, tag=TAG, vms={"worker-0": PlannedVm(2001, "pve1", ADDRESS)}, datastores=stores)


def checked(site: Site, *, datastores: dict[str, dict[str, str]] | None = None) -> None:
    """What the hook on the Proxmox provider does."""
    checks(datastores)._check_site(client(site))


def test_a_site_that_has_everything_is_accepted(site: Site) -> None:
    checked(site)
    assert site.control("GET", "/state")["vms"] == []


def test_a_refused_password_names_the_key_to_set_and_not_the_password(site: Site) -> None:
    with pytest.raises(ProxmoxError, match="refused the password of root@pam") as refused:
        client(site, "planted-wrong")
    assert "pulumi config set --secret homelab:proxmoxPassword" in str(refused.value)
    assert "planted-wrong" not in str(refused.value)


def test_a_refused_token_is_named_without_its_value(site: Site) -> None:
    api = ProxmoxApi(f"https://{HOST}:{site.server.pve.port}/", insecure=True)
    with pytest.raises(ProxmoxError, match="refused the API token root@pam!ci") as refused:
        api.use_token("root@pam!ci=planted-value")
    assert "planted-value" not in str(refused.value)


def test_an_endpoint_where_nothing_listens_is_named() -> None:
    with pytest.raises(ProxmoxError, match=r"https://127\.34\.0\.9:1 does not answer .*check homelab:site.endpoint"):
        ProxmoxApi("https://127.34.0.9:1", insecure=True).log_in("root@pam", "x")


def test_a_request_that_proxmox_is_too_slow_for_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxmox_api, "REQUEST_TIMEOUT", 0.2)
    api = client(site)
    site.control("POST", "/faults", {"kind": "slow", "path": "^/nodes$", "seconds": 2})
    with pytest.raises(ProxmoxError, match=r"does not answer GET /nodes \(nothing came within 0.2 s\)"):
        api.get("/nodes")


def test_a_certificate_that_nobody_signed_is_refused_unless_told_otherwise(site: Site) -> None:
    with pytest.raises(ProxmoxError, match="certificate"):
        ProxmoxApi(f"https://{HOST}:{site.server.pve.port}", insecure=False).log_in("root@pam", PASSWORD)


def test_a_host_that_the_site_lacks_is_named_with_those_it_has(site: Site) -> None:
    with pytest.raises(ProxmoxError, match="no online host pve7; it has pve1, pve2"):
        checked(site, datastores={"pve7": {}})


def test_a_datastore_that_the_host_lacks_is_named_with_those_it_has(site: Site) -> None:
    with pytest.raises(ProxmoxError, match=r"host pve1 has no datastore tank; it has .*local-zfs"):
        checked(site, datastores={"pve1": {"tank": "images"}})


def test_a_datastore_without_the_content_type_comes_with_the_command_that_allows_it(site: Site) -> None:
    with pytest.raises(ProxmoxError, match=r"pvesm set local-zfs --content .*images.*,import"):
        checked(site, datastores={"pve1": {"local-zfs": "import"}})


def test_a_datastore_must_take_every_content_type_that_is_wanted_of_it(site: Site) -> None:
    with pytest.raises(ProxmoxError, match=r"local-zfs on host pve1 does not take content type import; allow"):
        checked(site, datastores={"pve1": {"local-zfs": "import,images"}})


def test_a_vm_without_the_stacks_tag_is_refused(site: Site) -> None:
    site.create(2001, tags="precious")
    with pytest.raises(
        ProxmoxError, match=r"VM 2001 \('vm-2001' on host pve1, stopped\) is not this stack's.*not touched"
    ):
        checked(site)


def test_a_vm_whose_tag_only_begins_like_the_stacks_is_refused(site: Site) -> None:
    site.create(2001, tags=f"{TAG}-2")
    with pytest.raises(ProxmoxError, match="is not this stack's"):
        checked(site)


def test_an_orphan_of_this_stack_is_taken_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)
    site.create(2001, tags=f"talos;{TAG}", name="worker-0")
    checked(site)
    assert said == [
        "VM 2001 ('worker-0' on host pve1, stopped) is an orphan of an earlier run of this stack; taking it back"
    ]


def test_a_vm_of_the_stack_is_not_taken_over_by_a_node_of_another_name(site: Site) -> None:
    site.create(2001, tags=TAG, name="worker-1")
    with pytest.raises(ProxmoxError, match=r"another name than worker-0.*not touched.*give worker-0 a vmId"):
        checked(site)


def test_an_address_where_a_machine_answers_is_not_given_to_a_new_node() -> None:
    async def with_a_machine_there() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.write(b"not even TLS"), ADDRESS, TALOS_PORT)
        async with server:
            await checks()._check_address("worker-0")

    with pytest.raises(ProxmoxError, match=f"worker-0 is to have address {ADDRESS}, where another machine answers"):
        asyncio.run(with_a_machine_there())


def test_an_address_where_nothing_answers_is_given_to_a_new_node() -> None:
    asyncio.run(checks()._check_address("worker-0"))


def test_an_orphan_on_another_host_comes_with_the_command_that_moves_it(site: Site) -> None:
    site.create(2001, "pve2", tags=TAG)
    with pytest.raises(ProxmoxError, match=r"qm migrate 2001 pve1 \(on pve2\), or set host: pve2"):
        checked(site)


def properties(cores: int = 2, memory: int = 2048, size: int = 20) -> dict[str, Any]:
    disks = [{"interface": "scsi0", "size": size}]
    return {"vmId": 9001, "nodeName": "pve1", "cpu": {"cores": cores}, "memory": {"dedicated": memory}, "disks": disks}


def finished(site: Site, recorded: dict[str, Any], wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi.log, "info", lambda _: None)
    args = pulumi.ResourceHookArgs("urn", "9001", "worker-0", "t", new_inputs=wanted, old_outputs=recorded)
    _finish_earlier_update(client(site), args)


def test_cores_that_the_state_claims_and_the_vm_lacks_are_set(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.create_node(9001)
    finished(site, properties(cores=4), properties(cores=4), monkeypatch)
    assert int(site.config(9001)["cores"]) == 4


def test_cores_that_this_update_changes_are_left_to_the_provider(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.create_node(9001)
    finished(site, properties(cores=2), properties(cores=4), monkeypatch)
    assert int(site.config(9001)["cores"]) == 2


def test_a_disk_that_an_earlier_run_did_not_resize_is_resized(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.create_node(9001)
    finished(site, properties(), properties(), monkeypatch)
    assert "size=20G" in site.config(9001)["scsi0"]


def test_a_running_vm_restarts_for_cores_that_were_missing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.create_node(9001)
    site.power(9001, "start")
    finished(site, properties(cores=4), properties(cores=4), monkeypatch)
    assert int(site.config(9001, query="?current=1")["cores"]) == 4
    assert site.api("GET", "/nodes/pve1/qemu/9001/status/current")["status"] == "running"


def attached(site: Site) -> None:
    """Attach a volume of the CSI driver to VM 9001, as the driver does."""
    site.control(
        "POST", "/volumes", {"storage": "local-zfs", "node": "pve1", "vmid": 9999, "size": GIB, "name": VOLUME}
    )
    site.api("PUT", "/nodes/pve1/qemu/9001/config", {"scsi1": f"local-zfs:{VOLUME},backup=0,wwn=0x5056432d49443031"})


def changed(site: Site, before: dict[str, Any], after: dict[str, Any]) -> None:
    args = pulumi.ResourceHookArgs("urn", "9001", "worker-0", "t", new_inputs=after, old_inputs=before)
    _refuse_to_detach_volumes(client(site), args)


def test_a_disk_is_not_changed_while_volumes_are_attached(site: Site) -> None:
    site.create_node(9001)
    attached(site)
    with pytest.raises(ProxmoxError, match=rf"\(scsi1: local-zfs:{VOLUME}\).*kubectl drain worker-0"):
        changed(site, properties(size=20), properties(size=30))


def test_cores_are_changed_while_volumes_are_attached(site: Site) -> None:
    site.create_node(9001)
    attached(site)
    changed(site, properties(cores=2), properties(cores=4))


def test_a_disk_is_changed_while_none_but_the_vms_own_is_attached(site: Site) -> None:
    site.create_node(9001)
    changed(site, properties(size=20), properties(size=30))
