"""What the site layer demands of a Proxmox host."""

from __future__ import annotations

import copy
from typing import Any

from stacks.settings.load import parse
from stacks.site import required_datastores
from tests.unit.settings import fixtures


def required(**sections: Any) -> dict[str, list[str]]:
    raw = copy.deepcopy(fixtures.BASE)
    for section, values in sections.items():
        raw[section] = raw.get(section, {}) | values
    [host] = raw["site"]["hosts"]
    return required_datastores(parse(raw), host)


def test_a_host_needs_the_datastore_of_the_volumes() -> None:
    assert required(storage={"datastore": "volumes"}) == {
        "local": ["import"],
        "local-zfs": ["images"],
        "volumes": ["images"],
    }


def test_a_datastore_for_everything_must_take_everything() -> None:
    hosts = copy.deepcopy(fixtures.BASE["site"]["hosts"])
    for host in hosts.values():
        host |= {"imageDatastore": "tank", "diskDatastore": "tank"}
    assert required(site={"hosts": hosts}, storage={"datastore": "tank"}) == {"tank": ["import", "images"]}
