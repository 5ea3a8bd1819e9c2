"""What the components of names refuse, and what they hand out."""

from __future__ import annotations

from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.dns.external_dns import ExternalDnsArgs, host_annotations
from components.dns.powerdns import PowerDnsArgs
from components.dns.powerdns_secrets import ACCOUNTS, DATABASE_SECRET
from components.dns.zone import DnsZoneArgs
from components.kit.references import ServiceAddress

KNOWN = cast(Any, SimpleNamespace())


def refused(make: Any, **arguments: Any) -> str:
    with pytest.raises(ValueError, match=r": |write it") as refusal:
        make(**arguments)
    return str(refusal.value)


def powerdns(**changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "secrets": KNOWN,
        "address": ServiceAddress(pool="dns-pool", address=IPv4Address("10.0.3.3"), ready=KNOWN),
        "storage": KNOWN,
        "nameserver": "ns1.example.org",
        "transfer_allow": [],
        "transfer_notify": [],
        "api_clients": [],
        "schedulable": 2,
    }
    return known | changes


def test_an_address_that_metallb_chooses_is_refused_for_name_servers() -> None:
    chosen = ServiceAddress(pool="dns-pool", address=None, ready=KNOWN)
    assert "secondaries must know it before" in refused(PowerDnsArgs, **powerdns(address=chosen))


def test_a_name_server_with_a_final_dot_is_refused() -> None:
    assert "ends with a dot" in refused(PowerDnsArgs, **powerdns(nameserver="ns1.example.org."))


@pytest.mark.parametrize("name", ["ns1.example.org.", "NS1.example.org", "ns1", "ns_1.example.org"])
def test_a_name_that_the_zones_crd_refuses_is_refused_before(name: str) -> None:
    said = refused(DnsZoneArgs, operator=KNOWN, domain="lab.example.org", nameservers=[name])
    assert f"{name!r} is not a name" in said


def test_a_zone_without_name_servers_is_refused() -> None:
    assert "has none" in refused(DnsZoneArgs, operator=KNOWN, domain="lab.example.org", nameservers=[])


def test_records_without_an_owner_are_refused() -> None:
    other = {"charts": KNOWN, "powerdns": KNOWN, "zone": KNOWN, "ingress_class": "nginx", "ingress_address": "10.0.3.2"}
    assert "owner: empty" in refused(ExternalDnsArgs, owner="", **other)


def test_a_service_may_have_a_name_for_another_address() -> None:
    annotations = host_annotations("ns1.example.org", IPv4Address("192.0.2.1"))
    assert sorted(annotations.values()) == ["192.0.2.1", "ns1.example.org"]


def test_each_statement_at_the_databases_start_has_one_line() -> None:
    lines = DATABASE_SECRET.derived[ACCOUNTS].splitlines()
    assert [line for line in lines if not line.endswith(";")] == []
