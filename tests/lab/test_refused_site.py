"""The whole site is asked before anything is made: the real engine, the upstream provider, two simulated sites.

One lacks much of what the settings demand, the other nothing; the tests are steps of one stack's life.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab import pulumi_program
from tests.lab.proxmox_site import HOST, PASSWORD, Site
from tests.lab.pulumi_program import Program
from tests.unit.settings.fixtures import BASE

PROGRAM = """
import json
import sys

sys.path.insert(0, {root!r})

import pulumi
import pulumi_proxmoxve as proxmox

from components.proxmox.api import ProxmoxLogin
from components.proxmox.hooks import ProxmoxChecks
from components.proxmox.vm_pool import VmPool, VmPoolArgs
from stacks.settings.load import parse
from stacks.site import planned_site

config = pulumi.Config()
endpoint = config.require("endpoint")
password = config.require_secret("password")
login = ProxmoxLogin(endpoint=endpoint, insecure=True, username="root@pam", password=password, api_token=None)
checks = ProxmoxChecks(login=login, site=planned_site(parse(json.loads(config.require("settings"))), "homelab-trial"))
ready = checks.before_anything()
provider = proxmox.Provider(
    "proxmox",
    endpoint=endpoint,
    insecure=True,
    username="root@pam",
    password=password,
    min_tls=config.get("tls"),  # What a test changes to have the provider's hook run again.
    opts=pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(before_create=[ready], before_update=[ready])),
)
pool = VmPool(
    "vm-pool",
    VmPoolArgs(
        pool="homelab-trial",
        comment=checks.site.pool_comment,
        hooks=pulumi.ResourceHookBinding(before_create=[checks.before_pool()]),
    ),
    opts=pulumi.ResourceOptions(providers=[provider]),
)
"""


def settings() -> dict[str, Any]:
    """A stack of one node on each of two hosts, on addresses of this machine."""
    raw: dict[str, Any] = json.loads(json.dumps(BASE))
    raw["site"]["hosts"] = {
        "pve1": {"cores": 8, "memory": 16384},
        "pve2": {"cores": 16, "memory": 32768},
    }
    first, worker = raw["nodes"]["controlplane-0"], raw["nodes"]["worker-0"]
    raw["nodes"] = {
        "controlplane-0": first | {"host": "pve1", "address": "127.34.1.1"},
        "worker-0": worker | {"host": "pve2", "address": "127.34.1.2", "memory": 8192},
    }
    raw["network"] |= {"subnet": "127.34.0.0/16", "gateway": "127.34.0.2", "resolvers": ["127.34.0.2"]}
    raw["network"] |= {
        "apiVip": "127.34.3.1",
        "pools": {"ingress": "127.34.3.2", "dns": "127.34.3.3", "services": "127.34.3.4-127.34.3.20"},
    }
    return raw


FAULTY = {
    "nodes": {
        "pve1": {"cores": 4, "memoryMiB": 32768, "version": "8.3.5"},
        "pve2": {"cores": 16, "memoryMiB": 65536, "clockAhead": 4000},
    },
    "bridges": ["vmbr7"],
    "datastores": {
        "local": {"type": "dir", "content": "iso,import"},
        "local-zfs": {"type": "zfspool", "content": "rootdir"},
    },
}
HEALTHY = {"nodes": {"pve1": {"cores": 8, "memoryMiB": 32768}, "pve2": {"cores": 16, "memoryMiB": 65536}}}


@dataclass
class Life:
    faulty: Site
    healthy: Site
    program: Program

    def up(self, site: Site, *more: str, fails: bool = False) -> str:
        """`up` at a site."""
        self.program.set(endpoint=f"https://{HOST}:{site.server.pve.port}/", settings=json.dumps(settings()))
        return self.program.up(*more, fails=fails)

    def recorded(self) -> list[str]:
        """Types of the resources in the stack's state."""
        deployment = json.loads(self.program.pulumi("stack", "export"))["deployment"]
        return [resource["type"] for resource in deployment.get("resources") or []]


def held(site: Site) -> dict[str, Any]:
    """Everything that a site has."""
    return {kind: value for kind, value in site.control("GET", "/state").items() if kind != "requests"}


def requests(site: Site, since: int = 0) -> list[str]:
    """What a site was asked by the program, apart from logins."""
    seen = site.control("GET", f"/requests?since={since}")["requests"]
    return [f"{each['method']} {each['path']}" for each in seen if each["path"] != "/access/ticket"]


def told(output: str) -> list[str]:
    """The settings that the lines of the report in an `up`'s output begin with."""
    lines = dict.fromkeys(line.strip() for line in output.splitlines())
    return [line.split(": ")[0] for line in lines if line.startswith(("homelab:", "pool homelab"))]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    here = tmp_path_factory.mktemp("report")
    faulty, healthy = Site(here / "faulty", **FAULTY), Site(here / "healthy", **HEALTHY)
    text = PROGRAM.format(root=os.getcwd())
    with pulumi_program.program(here, text, providers=("proxmoxve",), secrets={"password": PASSWORD}) as program:
        yield Life(faulty, healthy, program)
    faulty.close()
    healthy.close()


@pytest.fixture
def somebody_else(life: Life) -> Iterator[None]:
    """What others have at the faulty site, and a machine at the VIP."""
    life.faulty.create(1001, tags="precious")
    life.faulty.create(9999, name="debian")
    life.faulty.create(3001, name="worker-0", tags="homelab-other")
    life.faulty.api("POST", "/pools", {"poolid": "homelab-trial", "comment": "students"})
    of_others = "Proxmox CSI of cluster atlas of homelab-other, managed by Pulumi"
    life.faulty.api("POST", "/access/users", {"userid": "atlas-csi@pve", "comment": of_others})
    with socket.create_server(("127.34.3.1", 6443)):
        yield


@pytest.mark.usefixtures("somebody_else")
def test_every_fault_of_a_site_is_in_one_report_and_nothing_is_made(life: Life) -> None:
    before = held(life.faulty)
    output = life.up(life.faulty, fails=True)
    assert told(output) == [
        "homelab:site.hosts.pve1",
        "homelab:site.hosts.pve1.cores",
        "homelab:site.hosts.pve1",
        "homelab:site.bridge",
        "homelab:site.hosts.pve2",
        "homelab:site.bridge",
        "homelab:site.hosts.pve2",
        "homelab:nodes.controlplane-0.vmId",
        "homelab:nodes.worker-0",
        "homelab:storage",
        "pool homelab-trial",
        "homelab:cluster.name",
        "homelab:network.apiVip",
    ]
    assert output.partition("Diagnostics:")[2].count("was refused, and nothing was made there") == 1
    assert held(life.faulty) == before
    assert {line.split(" ")[0] for line in requests(life.faulty)} <= {"GET", "POST", "PUT"}
    assert [kind for kind in life.recorded() if not kind.startswith(("pulumi:pulumi:", "homelab:"))] == []


def test_a_site_that_has_everything_is_accepted(life: Life) -> None:
    since = life.healthy.control("GET", "/requests")["last"]
    life.up(life.healthy)
    asked = [line for line in requests(life.healthy, since) if line.startswith("GET")]
    assert sorted(held(life.healthy)["pools"]) == ["homelab-trial"]
    assert len(asked) < 50


def test_a_second_up_does_not_ask_the_site(life: Life) -> None:
    since = life.healthy.control("GET", "/requests")["last"]
    life.up(life.healthy, "--expect-no-changes")
    assert [line for line in requests(life.healthy, since) if "/version" not in line] == []


def test_what_the_stack_has_made_is_its_own_when_the_site_is_asked_again(life: Life) -> None:
    for vm_id, name, host in ((1001, "controlplane-0", "pve1"), (2001, "worker-0", "pve2")):
        life.healthy.create(vm_id, host, name=name, tags="homelab-trial;talos", pool="homelab-trial")
    since = life.healthy.control("GET", "/requests")["last"]
    life.program.set(tls="1.2")
    with socket.create_server(("127.34.3.1", 6443)), socket.create_server(("127.34.1.1", 50000)):
        life.up(life.healthy)
    assert "GET /cluster/status" in requests(life.healthy, since)
