"""Certificates: what cert-manager's webhook and the authority accept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from checks.model.objects import Object, mapping
from checks.model.platform import Platform
from checks.model.program import LATER
from checks.rules.names import issuer_of
from checks.rules.rule import Finding, finding, rule

_SMALLEST, _LARGEST = 2048, 8192
_CURVES = (256, 384, 521)
_PUBLIC = {"RSA": (2048, 3072, 4096), "ECDSA": (256, 384), "Ed25519": ()}
"""What Let's Encrypt signs (goodkey/good_key.go in https://github.com/letsencrypt/boulder)."""
_NAMES = ("commonName", "dnsNames", "uris", "emailAddresses", "ipAddresses", "otherNames", "literalSubject")
_LONGEST_NAME = 64
_HOURS = {"h": 1.0, "m": 1 / 60, "s": 1 / 3600, "ms": 1 / 3_600_000}
_USUAL_HOURS, _FEWEST_HOURS, _LATEST_RENEWAL = 90 * 24, 1.0, 5 / 60
"""Duration where none is given, the least, and the least time before its end at which a certificate is renewed."""


@rule(
    "certificate-key",
    title="A certificate's key is one that its algorithm and its authority permit",
    why="cert-manager's webhook refuses the Certificate, or the authority its request: there is never a certificate.",
    remedy="Give a size that the algorithm has: RSA 2048 to 8192, ECDSA 256, 384 or 521; less with a public authority.",
)
def keys(platform: Platform) -> Iterator[Finding]:
    """Sizes of keys, and encodings, that are not permitted.

    https://github.com/cert-manager/cert-manager/blob/v1.21.1/internal/apis/certmanager/validation/certificate.go
    """
    for thing in platform.of_kind("cert-manager.io", "Certificate"):
        key = mapping(thing.spec.get("privateKey"))
        algorithm, size = str(key.get("algorithm") or "RSA"), key.get("size")
        if not isinstance(size, (int, float)) or isinstance(size, bool):
            size = None
        if algorithm == "RSA" and size and not _SMALLEST <= size <= _LARGEST:
            problem = f"is {size:.0f}: an RSA key has {_SMALLEST} to {_LARGEST} bits"
            yield finding(thing, "spec.privateKey.size", problem, thing.where)
        elif algorithm == "ECDSA" and size and size not in _CURVES:
            problem = f"is {size:.0f}: ECDSA has the curves {', '.join(map(str, _CURVES))}"
            yield finding(thing, "spec.privateKey.size", problem, thing.where)
        else:
            yield from _of_public(platform, thing, algorithm, size)
        signed = str(thing.spec.get("signatureAlgorithm") or "")
        if signed and algorithm.upper() not in signed.upper():
            problem = f"is {signed}, and spec.privateKey.algorithm is {algorithm}"
            yield finding(thing, "spec.signatureAlgorithm", problem, thing.where)


def _of_public(platform: Platform, thing: Object, algorithm: str, size: float | None) -> Iterator[Finding]:
    """Keys that Let's Encrypt refuses."""
    issuer = issuer_of(platform, thing)
    acme = mapping(issuer.spec.get("acme")) if issuer is not None else {}
    if issuer is None or "letsencrypt.org" not in str(acme.get("server") or "") or algorithm not in _PUBLIC:
        return
    permitted = _PUBLIC[algorithm]
    if not permitted:
        problem = f"is {algorithm}, which the authority of {issuer} does not sign: RSA and ECDSA"
        yield finding(thing, "spec.privateKey.algorithm", problem, thing.where)
    elif size and size not in permitted:
        shown = ", ".join(map(str, permitted))
        problem = f"is {size:.0f}, and the authority of {issuer} signs {algorithm} of {shown} bits"
        yield finding(thing, "spec.privateKey.size", problem, thing.where)


@rule(
    "certificate-names",
    title="A certificate is for names, and for a time, that its issuer can certify",
    why="cert-manager's webhook refuses the Certificate, or the authority its order: there is never a certificate.",
    remedy="Give names in dnsNames, and a duration of an hour at least that is longer than renewBefore.",
)
def names(platform: Platform) -> Iterator[Finding]:
    """Certificates for nobody, for malformed names, and with impossible times."""
    for thing in platform.of_kind("cert-manager.io", "Certificate"):
        if thing.manager.system == "helm" and not (thing.release and thing.release.own):
            continue
        yield from _times(thing)
        if not any(thing.spec.get(field) for field in _NAMES):
            yield finding(thing, "spec.dnsNames", f"is missing, as are {', '.join(_NAMES)}", thing.where)
        common = str(thing.spec.get("commonName") or "")
        if len(common) > _LONGEST_NAME and LATER not in common:
            problem = f"has {len(common)} characters: a common name has {_LONGEST_NAME} at most"
            yield finding(thing, "spec.commonName", problem, thing.where)
        for number, text in enumerate(thing.spec.get("ipAddresses") or []):
            try:
                ip_address(str(text))
            except ValueError:
                if LATER not in str(text):
                    problem = f"is {text}, which is no address: names belong into dnsNames"
                    yield finding(thing, f"spec.ipAddresses[{number}]", problem, thing.where)
        yield from _of_acme(platform, thing, common)


def _of_acme(platform: Platform, thing: Object, common: str) -> Iterator[Finding]:
    issuer = issuer_of(platform, thing)
    if issuer is None or not issuer.spec.get("acme"):
        return
    known = [str(name) for name in thing.spec.get("dnsNames") or []]
    if thing.spec.get("isCA"):
        problem = f"is true, and {issuer} is of an ACME server, which signs no authorities"
        yield finding(thing, "spec.isCA", problem, thing.where)
    if common and known and common not in known:
        problem = f"is {common}, which is not in spec.dnsNames ({', '.join(known)}), as {issuer} asks for"
        yield finding(thing, "spec.commonName", problem, thing.where)
    solvers = mapping(issuer.spec.get("acme")).get("solvers") or []
    for number, name in enumerate(known):
        if name.startswith("*.") and solvers and not any("dns01" in one for one in solvers if isinstance(one, dict)):
            problem = f"is {name}, and {issuer} has no solver for DNS-01, which a wildcard needs"
            yield finding(thing, f"spec.dnsNames[{number}]", problem, thing.where)


def _times(thing: Object) -> Iterator[Finding]:
    given = {field: thing.spec.get(field) for field in ("duration", "renewBefore")}
    times = {field: _hours(str(text)) for field, text in given.items() if text}
    length = times.get("duration", _USUAL_HOURS)
    if length < _FEWEST_HOURS:
        yield finding(thing, "spec.duration", f"is {given['duration']}: an hour is the least", thing.where)
    before = times.get("renewBefore")
    if before is not None and before >= length:
        said = given["duration"] or "2160h, by default"
        yield finding(thing, "spec.renewBefore", f"is {given['renewBefore']}, and spec.duration is {said}", thing.where)
    elif before is not None and before < _LATEST_RENEWAL:
        yield finding(thing, "spec.renewBefore", f"is {given['renewBefore']}: 5 minutes are the least", thing.where)


def _hours(text: str) -> float:
    return sum(float(number) * _HOURS[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", text))
