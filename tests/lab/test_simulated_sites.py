"""The site that the lab simulates for each stack of this repository has what the program demands of a site."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from components.proxmox.api import ProxmoxApi
from components.proxmox.site.report import refuse
from lab import configuration
from lab.hardware import Hardware
from lab.session import Session
from stacks.settings.load import parse
from stacks.settings.model import Settings
from stacks.site import planned_site
from tests.lab.proxmox_site import HOST, PASSWORD, Site


def settings(session: Session) -> Settings:
    config = configuration.derive(configuration.read(session), octet=None, replacements={}).config
    return parse({key.removeprefix("homelab:"): value for key, value in config.items() if key.startswith("homelab:")})


@pytest.mark.parametrize("stack", ["lab", "prod"])
def test_the_program_finds_nothing_wrong_with_it(stack: str, tmp_path: Path) -> None:
    session = Session("sites", stack)
    wanted = settings(session)
    made = Hardware(session, wanted, "http://127.34.0.9:8090", {})._proxmox_config()
    site = Site(tmp_path, **{part: made[part] for part in ("nodes", "bridges", "datastores")})
    try:
        api = ProxmoxApi(f"https://{HOST}:{site.server.pve.port}", insecure=True)
        api.log_in("root@pam", PASSWORD)
        asyncio.run(refuse(api, planned_site(wanted, f"homelab-{stack}")))
    finally:
        site.close()
