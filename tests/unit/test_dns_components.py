"""What the components of names and certificates refuse, and what they hand out."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.certificates.acme import issuer_name
from components.certificates.certificate import CertificateArgs
from components.dns.external_dns import ExternalDnsArgs, host_annotations
from components.dns.powerdns import PowerDnsArgs
from components.dns.powerdns_secrets import ACCOUNTS, DATABASE_SECRET
from components.dns.zone import DnsZoneArgs
from components.kit.chart import locate_own
from components.kit.references import IssuerReference, ServiceAddress

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
    assert f"{name!r} is no name" in said


def test_a_zone_without_name_servers_is_refused() -> None:
    assert "has none" in refused(DnsZoneArgs, operator=KNOWN, domain="lab.example.org", nameservers=[])


def test_records_without_an_owner_are_refused() -> None:
    other = {"charts": KNOWN, "powerdns": KNOWN, "zone": KNOWN, "ingress_class": "nginx", "ingress_address": "10.0.3.2"}
    assert "owner: empty" in refused(ExternalDnsArgs, owner="", **other)


def test_a_service_may_have_a_name_for_another_address() -> None:
    annotations = host_annotations("ns1.example.org", IPv4Address("192.0.2.1"))
    assert sorted(annotations.values()) == ["192.0.2.1", "ns1.example.org"]


@pytest.mark.parametrize(("staging", "name"), [(False, "letsencrypt-prod-dns"), (True, "letsencrypt-staging-dns")])
def test_an_issuers_name_says_whether_it_is_for_tries(staging: bool, name: str) -> None:
    assert issuer_name(staging, "dns") == name


def test_an_ingress_gets_with_the_issuer_what_its_challenge_needs() -> None:
    edit = {"acme.cert-manager.io/http01-edit-in-place": "true"}
    issuer = IssuerReference(name="letsencrypt-prod-http", ready=KNOWN, ingress_annotations=edit)
    assert issuer.annotations == {"cert-manager.io/cluster-issuer": "letsencrypt-prod-http", **edit}


def test_a_wildcard_stands_only_in_front() -> None:
    said = refused(
        CertificateArgs,
        namespace="cert-manager",
        secret_name="x",
        dns_names=["a.*.example.org"],
        issuer=KNOWN,
        duration=timedelta(days=90),
    )
    assert "is not a DNS name" in said


def test_our_own_chart_is_named_by_its_place_in_the_program_and_by_its_content() -> None:
    chart = locate_own("powerdns")
    assert (chart["chart"], chart.get("version")) == ("./charts/powerdns", None)
    assert chart["description"].startswith("powerdns 1.")
    assert "sha256:" in chart["description"]


def test_each_statement_at_the_databases_start_has_one_line() -> None:
    lines = DATABASE_SECRET.derived[ACCOUNTS].splitlines()
    assert [line for line in lines if not line.endswith(";")] == []
