"""The report: all findings at once, in one form, and how much is asked for it."""

from __future__ import annotations

import asyncio

import pytest

from components.proxmox.api import ProxmoxError
from components.proxmox.site import addresses
from components.proxmox.site.plan import PlannedSite
from components.proxmox.site.report import SiteRefusedError, refuse
from tests.unit.proxmox.recorded_site import PLAN, TAG, RecordedApi, guest


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(_address: str, _port: int) -> bool:
        return False

    monkeypatch.setattr(addresses, "accepts", nobody)


def refused(api: RecordedApi, *known: str, plan: PlannedSite = PLAN) -> tuple[str, ...]:
    with pytest.raises(SiteRefusedError) as error:
        asyncio.run(refuse(api, plan, *known))
    assert str(error.value) == "\n".join(
        ["the site at https://proxmox.test:8006 was refused, and nothing was made there:", *error.value.findings]
    )
    return error.value.findings


def test_a_healthy_site_is_accepted() -> None:
    asyncio.run(refuse(RecordedApi(), PLAN))


def test_every_finding_is_in_the_one_report() -> None:
    api = RecordedApi(lacks=[("/access", "Sys.Modify")], ahead={"pve2": 4000})
    api.answers["/cluster/resources?type=vm"] = [guest(9999, "debian"), guest(2001, "mail")]
    api.answers["/nodes/pve1/network?type=any_bridge"] = []
    api.answers["/nodes/pve2/storage"][0]["content"] = "iso"
    assert [finding.split(":")[0] + ":" + finding.split(":")[1] for finding in refused(api, "first: known")] == [
        "first: known",
        "homelab:proxmoxApiToken",
        "homelab:site.bridge",
        "homelab:site.hosts.pve2",
        "homelab:site.hosts.pve2",
        "homelab:nodes.worker-0.vmId",
        "homelab:storage",
    ]


def test_a_request_that_fails_is_a_finding_beside_the_others() -> None:
    api = RecordedApi(lacks=[("/access", "Sys.Modify")])
    api.answers["/nodes/pve1/storage"] = ProxmoxError("answered 595 to GET /nodes/pve1/storage", 595)
    assert [finding.split(" lacks")[0] for finding in refused(api)] == [
        "homelab:site: answered 595 to GET /nodes/pve1/storage",
        "homelab:proxmoxApiToken: pulumi@pve!api",
    ]


def test_what_proxmox_refuses_to_show_is_named_by_the_privilege_that_it_takes() -> None:
    api = RecordedApi(lacks=[("/nodes/pve1", "Sys.Audit")])
    api.answers["/nodes/pve1/time"] = ProxmoxError("answered 403 to GET /nodes/pve1/time", 403)
    [finding] = refused(api)
    assert "lacks Sys.Audit on /nodes/pve1 (to read its release and its clock)" in finding


def test_a_refusal_that_no_known_privilege_explains_is_shown_itself() -> None:
    api = RecordedApi()
    api.answers["/pools"] = ProxmoxError("answered 403 to GET /pools", 403)
    assert refused(api) == ("homelab:site: answered 403 to GET /pools",)


def test_a_stack_that_grows_asks_for_one_host_only() -> None:
    api = RecordedApi()
    api.answers["/cluster/resources?type=vm"] = [guest(2001, "worker-0", tags=TAG)]
    asyncio.run(refuse(api, PLAN.on("pve2")))
    assert {path.split("/")[2].split("?")[0] for path in api.asked if path.startswith("/nodes/")} == {"pve2"}
    assert len(api.asked) == 20


def test_the_requests_of_a_first_up_are_counted() -> None:
    api = RecordedApi()
    asyncio.run(refuse(api, PLAN))
    assert len(api.asked) == len(set(api.asked)) == 33
