"""Records of DNS: types that exist, in zones that exist, with contents of their type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from checks.model.objects import Object, items, mapping
from checks.model.platform import Platform
from checks.rules.names import below, zones_of
from checks.rules.rule import Finding, finding, rule, there

_GROUP = "dns.cav.enablers.ob"

TYPES = frozenset(
    {
        *("A", "AAAA", "AFSDB", "ALIAS", "APL", "CAA", "CDNSKEY", "CDS", "CERT", "CNAME", "CSYNC", "DHCID", "DNAME"),
        *("DNSKEY", "DS", "EUI48", "EUI64", "HINFO", "HTTPS", "IPSECKEY", "KEY", "KX", "L32", "L64", "LOC", "LP"),
        *("LUA", "MINFO", "MR", "MX", "NAPTR", "NID", "NS", "OPENPGPKEY", "PTR", "RKEY", "RP", "SMIMEA", "SOA", "SPF"),
        *("SRV", "SSHFP", "SVCB", "TLSA", "TXT", "URI", "WKS", "ZONEMD"),
    }
)
"""https://doc.powerdns.com/authoritative/appendices/types.html"""

_NAME = r"(?:\*\.|_?[A-Za-z0-9](?:[-A-Za-z0-9_]*[A-Za-z0-9])?\.)+"
_FORMS = {
    "CNAME": (re.compile(_NAME), "a name with a dot at its end"),
    "ALIAS": (re.compile(_NAME), "a name with a dot at its end"),
    "NS": (re.compile(_NAME), "a name with a dot at its end"),
    "PTR": (re.compile(_NAME), "a name with a dot at its end"),
    "MX": (re.compile(rf"\d+ (?:{_NAME}|\.)"), "a preference and a name with a dot at its end"),
    "SRV": (re.compile(rf"\d+ \d+ \d+ (?:{_NAME}|\.)"), "priority, weight, port and a name with a dot at its end"),
    "TXT": (re.compile(r'("(?:[^"\\]|\\.)*"\s*)+', re.DOTALL), "text in quotation marks"),
    "CAA": (re.compile(r'\d+ \w+ ".*"'), "flags, a tag and a value in quotation marks"),
}


@rule(
    "record-form",
    title="A DNS record is of a type that exists, in a zone that exists, with a content of that type",
    why="PowerDNS refuses the record: the operator reports an error for ever, and nobody finds the name.",
    remedy="Give the content as PowerDNS stores it, names with a dot at their end.",
)
def forms(platform: Platform) -> Iterator[Finding]:
    """RRsets that PowerDNS refuses."""
    for kind in ("ClusterRRset", "RRset"):
        for thing in platform.of_kind(_GROUP, kind):
            wanted = str(thing.spec.get("type") or "")
            if wanted not in TYPES:
                yield finding(thing, "spec.type", f"is {wanted}, which is no type: {there(TYPES, wanted)}", thing.where)
                continue
            contents = [str(text) for text in thing.spec.get("records") or []]
            for number, text in enumerate(contents):
                if expected := _wrong(wanted, text):
                    problem = f"is {text}: the content of {wanted} is {expected}"
                    yield finding(thing, f"spec.records[{number}]", problem, thing.where)
            if wanted in ("CNAME", "ALIAS", "DNAME", "SOA") and len(contents) > 1:
                yield finding(thing, "spec.records", f"has {len(contents)} contents: {wanted} has one", thing.where)
            yield from _zone(platform, thing)
    yield from _beside_a_name(platform)


_HOSTNAME = "external-dns.alpha.kubernetes.io/hostname"


@rule(
    "service-name",
    title="Each name that a Service asks for is in a zone, and nothing else has it",
    why="external-dns writes nothing, or writes one of the two, to and fro.",
    remedy="Give the Service a name of its own below cluster.domain.",
)
def services(platform: Platform) -> Iterator[Finding]:
    """Names by annotation that are in no zone, or that an Ingress or another Service has too."""
    taken: dict[str, Object] = {
        str(entry.get("host")): thing
        for thing in platform.of_kind("networking.k8s.io", "Ingress")
        for entry in items(thing.spec.get("rules"))
    }
    known = zones_of(platform)
    for thing in platform.of_kind("", "Service"):
        for name in filter(None, str(thing.annotations.get(_HOSTNAME) or "").split(",")):
            place = f"metadata.annotations[{_HOSTNAME}]"
            if known and not below(name, known):
                problem = f"is {name}, which is in no zone: {there(known, name)}"
                yield finding(thing, place, problem, thing.where)
            elif name in taken:
                yield finding(thing, place, f"is {name}, which {taken[name]} has too", thing.where)
            taken[name] = thing


def _wrong(kind: str, text: str) -> str:
    """What is expected in place of a content; empty where it is right."""
    if kind in ("A", "AAAA"):
        try:
            IPv4Address(text) if kind == "A" else IPv6Address(text)
        except ValueError:
            return f"an address of IPv{4 if kind == 'A' else 6}"
        return ""
    form, expected = _FORMS.get(kind, (None, ""))
    return "" if form is None or form.fullmatch(text) else expected


def _zone(platform: Platform, thing: Object) -> Iterator[Finding]:
    reference = mapping(thing.spec.get("zoneRef"))
    kind, name = str(reference.get("kind") or "Zone"), str(reference.get("name") or "")
    space = "" if kind == "ClusterZone" else thing.namespace
    if name and not platform.find(_GROUP, kind, space, name):
        known = platform.named(_GROUP, kind, space)
        problem = f"names {kind} {name}, which nothing makes: {there(known, name)}"
        yield finding(thing, "spec.zoneRef", problem, thing.where)
    own = str(thing.spec.get("name") or "")
    if name and own.endswith(".") and not f".{own}".endswith(f".{name.rstrip('.')}."):
        yield finding(thing, "spec.name", f"is {own}, which is not in the zone {name}", thing.where)


def _beside_a_name(platform: Platform) -> Iterator[Finding]:
    """Records beside a CNAME of the same name, and two of one name and type."""
    seen: dict[tuple[str, str], Object] = {}
    for kind in ("ClusterRRset", "RRset"):
        for thing in platform.of_kind(_GROUP, kind):
            zone = str(mapping(thing.spec.get("zoneRef")).get("name") or "").rstrip(".")
            name = str(thing.spec.get("name") or thing.name)
            full = name if name.endswith(".") else f"{name}.{zone}."
            wanted = str(thing.spec.get("type") or "")
            for (other, of), declared in seen.items():
                if other == full and ("CNAME" in (of, wanted) or of == wanted):
                    problem = f"is {full} {wanted}, and {declared} has {of} of that name"
                    yield finding(thing, "spec.name", problem, thing.where)
            seen[full, wanted] = thing
