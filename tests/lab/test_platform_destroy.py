"""The end of the whole program on a lab, at work and with a Kubernetes API that is dead."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.hand_over import applications, until
from tests.lab.live import LiveLab
from tests.lab.secrecy import command_lines, found_in, planted, programs


@dataclass(frozen=True)
class Destroyed:
    """A destroy: how it ended, what ran while it did, and which secrets the lab had until then."""

    result: subprocess.CompletedProcess[str]
    command_lines: frozenset[tuple[str, ...]]
    secrets: dict[str, str]
    site: dict[str, Any]
    foreign_vm: int


AT_WORK = "at-work"


@pytest.fixture(scope="module", params=[AT_WORK, pytest.param("api-down", marks=pytest.mark.long), "api-hang"])
def destroyed(lab: LiveLab, foreign_vm: int, request: pytest.FixtureRequest) -> Destroyed:
    """A destroy of the lab's stack, with applications that Flux has deployed, beside somebody else's VM.

    Its Kubernetes API answers, or is dead in one of two ways.
    """
    ensured = lab.up()
    assert ensured.returncode == 0, ensured.stdout
    # Of a cluster that was made anew, whose credentials are others.
    assert lab.prepare().returncode == 0
    until(lambda: deployed(lab), 360)
    secrets = planted(lab)
    if request.param != AT_WORK:
        lab.nodes("POST", "/faults", {"fault": request.param})
    with command_lines() as seen:
        result = lab.destroy()
    return Destroyed(result, frozenset(seen), secrets, lab.proxmox("GET", "/state"), foreign_vm)


def deployed(lab: LiveLab) -> bool:
    """Whether Flux has deployed every application."""
    known = applications(lab)
    return len(known) > 1 and all(one["status"] == "True" for one in known.values())


def test_destroy_ends_by_itself_whether_or_not_the_kubernetes_api_answers(destroyed: Destroyed) -> None:
    assert destroyed.result.returncode == 0, destroyed.result.stdout


def test_destroy_takes_every_vm_of_the_stack_and_no_other(destroyed: Destroyed) -> None:
    assert [vm["vmid"] for vm in destroyed.site["vms"]] == [destroyed.foreign_vm]


def test_destroy_takes_the_accounts_of_the_stack(destroyed: Destroyed) -> None:
    assert not destroyed.site["acls"]
    assert [token for token in destroyed.site["tokens"] if "csi" in token] == []


def test_no_secret_is_on_a_command_line_during_a_destroy(destroyed: Destroyed) -> None:
    assert {"pulumi", "pulumi-resource-proxmoxve"} <= programs(destroyed.command_lines)
    leaking = [line[0] for line in destroyed.command_lines if found_in("\n".join(line), destroyed.secrets)]
    assert leaking == []
