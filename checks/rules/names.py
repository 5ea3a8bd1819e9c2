"""Names and certificates: each host has one Ingress, a certificate that covers it, an issuer and a zone."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from checks.model.objects import Object, items, keys_of, mapping
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule, there

_OLD = "nginx.ingress.kubernetes.io/"


@rule(
    "one-ingress",
    title="Each host has one Ingress",
    why="The NGINX Ingress Controller serves the first and rejects the second: its paths are not there.",
    remedy="Put all paths of a host into one Ingress.",
)
def hosts(platform: Platform) -> Iterator[Finding]:
    """Hosts that two Ingresses name."""
    by_host: dict[str, list[tuple[Object, str]]] = defaultdict(list)
    for thing in platform.of_kind("networking.k8s.io", "Ingress"):
        if not any(key.startswith("nginx.org/mergeable-ingress-type") for key in thing.annotations):
            for number, entry in enumerate(items(thing.spec.get("rules"))):
                by_host[str(entry.get("host") or "")].append((thing, f"spec.rules[{number}].host"))
    for host, declared in by_host.items():
        names = list(dict.fromkeys(str(thing) for thing, _ in declared))
        if len(names) > 1:
            thing, place = declared[-1]
            yield finding(thing, place, f"is {host or 'empty'}, as in {', '.join(names[:-1])}", thing.where)


@rule(
    "ingress-annotation",
    title="No Ingress has an annotation of another controller",
    why="The controller that runs here reads nginx.org/ and ignores nginx.ingress.kubernetes.io/: nothing happens.",
    remedy="Use the nginx.org/ annotation, or a key of the controller's ConfigMap.",
)
def foreign_annotations(platform: Platform) -> Iterator[Finding]:
    """Annotations of the retired controller."""
    for thing in platform.of_kind("networking.k8s.io", "Ingress"):
        for key in thing.annotations:
            if key.startswith(_OLD):
                yield finding(thing, f"metadata.annotations[{key}]", "does nothing here", thing.where)


@rule(
    "host-zone",
    title="Each host lies in a zone that this platform serves",
    why="No name server answers for it, and no certificate is issued.",
    remedy="Use a name below cluster.domain.",
)
def zones(platform: Platform) -> Iterator[Finding]:
    """Hosts of Ingresses and names in certificates of ACME issuers outside every zone."""
    known = zones_of(platform)
    if not known:
        return
    for thing in platform.of_kind("networking.k8s.io", "Ingress"):
        for number, entry in enumerate(items(thing.spec.get("rules"))):
            host = str(entry.get("host") or "")
            if host and not below(host, known):
                yield finding(
                    thing,
                    f"spec.rules[{number}].host",
                    f"is {host}, which is in no zone: {there(known, host)}",
                    thing.where,
                )
    for thing in platform.of_kind("cert-manager.io", "Certificate"):
        for number, name in enumerate(thing.spec.get("dnsNames") or []):
            if _acme(platform, thing) and not below(str(name), known):
                problem = f"is {name}, which is in no zone: {there(known, str(name))}"
                yield finding(thing, f"spec.dnsNames[{number}]", problem, thing.where)


def zones_of(platform: Platform) -> set[str]:
    """The zones that this platform serves."""
    found = {str(mapping(platform.settings.get("cluster")).get("domain") or "")}
    for kind in ("ClusterZone", "Zone"):
        found |= {one.name.rstrip(".") for one in platform.of_kind("dns.cav.enablers.ob", kind)}
    return found - {""}


def below(host: str, zones: set[str]) -> bool:
    """Whether a host lies in one of the zones."""
    name = host.removeprefix("*.").rstrip(".")
    return any(name == zone or name.endswith(f".{zone}") for zone in zones)


def issuer_of(platform: Platform, certificate: Object) -> Object | None:
    """The issuer that a Certificate names, if something makes it."""
    reference = mapping(certificate.spec.get("issuerRef"))
    kind = str(reference.get("kind") or "Issuer")
    space = "" if kind == "ClusterIssuer" else certificate.namespace
    return next(iter(platform.find("cert-manager.io", kind, space, str(reference.get("name")))), None)


def _acme(platform: Platform, certificate: Object) -> bool:
    issuer = issuer_of(platform, certificate)
    return issuer is not None and bool(issuer.spec.get("acme"))


@rule(
    "host-certificate",
    title="The certificate of an Ingress covers its hosts",
    why="Browsers refuse the connection: the certificate is for another name.",
    remedy="Add the host to the certificate's dnsNames, or name the Secret of one that covers it.",
)
def certificates(platform: Platform) -> Iterator[Finding]:
    """Hosts that the certificate of their Secret does not name."""
    for thing in platform.of_kind("networking.k8s.io", "Ingress"):
        for number, tls in enumerate(items(thing.spec.get("tls"))):
            made = platform.find("", "Secret", thing.namespace, str(tls.get("secretName") or ""))
            made = made if tls.get("secretName") else _of_controller(platform)
            for origin in (one.origin for one in made if one.origin is not None and one.origin.kind == "Certificate"):
                names = [str(name) for name in origin.spec.get("dnsNames") or []]
                for host in tls.get("hosts") or []:
                    if not any(_covers(name, str(host)) for name in names):
                        problem = f"has {host}, and {origin} covers {', '.join(names)}"
                        yield finding(thing, f"spec.tls[{number}].hosts", problem, thing.where)


def _of_controller(platform: Platform) -> list[Object]:
    """The Secret that the ingress controller serves where an Ingress names none."""
    for release in platform.releases:
        wildcard = mapping(mapping(release.values.get("controller")).get("wildcardTLS"))
        if release.chart == "nginx-ingress" and wildcard.get("secret"):
            space, _, name = str(wildcard["secret"]).partition("/")
            return platform.find("", "Secret", space, name)
    return []


def _covers(name: str, host: str) -> bool:
    return name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:])


@rule(
    "solver-group",
    title="A webhook solver's group is one that a webhook serves",
    why="cert-manager asks an API that does not exist, and no DNS-01 challenge is ever presented.",
    remedy="Give the groupName that the webhook's release has.",
)
def solvers(platform: Platform) -> Iterator[Finding]:
    """Groups of solvers that no APIService registers."""
    served = {str(one.spec.get("group")) for one in platform.of_kind("apiregistration.k8s.io", "APIService")}
    for kind in ("ClusterIssuer", "Issuer"):
        for thing in platform.of_kind("cert-manager.io", kind):
            for number, solver in enumerate(items(mapping(thing.spec.get("acme")).get("solvers"))):
                group = mapping(mapping(solver.get("dns01")).get("webhook")).get("groupName")
                if group and str(group) not in served:
                    place = f"spec.acme.solvers[{number}].dns01.webhook.groupName"
                    yield finding(
                        thing, place, f"is {group}, and no APIService has it: {there(served, str(group))}", thing.where
                    )


@rule(
    "trusted-root",
    title="A client trusts the authority that signed the server's certificate",
    why="Each connection fails: x509, certificate signed by unknown authority.",
    remedy="Let caProvider name the Secret of the authority behind the server's issuer.",
)
def roots(platform: Platform) -> Iterator[Finding]:
    """Stores whose caProvider holds another root than that of the server that they call."""
    for thing in platform.of_kind("external-secrets.io", "ClusterSecretStore"):
        vault = mapping(mapping(thing.spec.get("provider")).get("vault"))
        authority = mapping(vault.get("caProvider"))
        if not authority:
            continue
        host = str(vault.get("server") or "").partition("://")[2].partition(":")[0].split(".")
        server = next(
            (one for one in platform.of_kind("vault.banzaicloud.com", "Vault") if host[0].startswith(one.name)), None
        )
        if server is None:
            continue
        serving = _certificate_in(platform, server.namespace, str(server.spec.get("existingTlsSecretName") or ""))
        if serving is None:
            continue
        wanted = _root(platform, serving)
        held = _held(platform, authority)
        if wanted and held and wanted != held:
            problem = f"trusts {held}, and {serving}, which the server has, is signed by {wanted}"
            yield finding(thing, "spec.provider.vault.caProvider", problem, thing.where)


def _certificate_in(platform: Platform, namespace: str, secret: str) -> Object | None:
    return next(
        (
            one
            for one in platform.of_kind("cert-manager.io", "Certificate")
            if one.namespace == namespace and one.spec.get("secretName") == secret
        ),
        None,
    )


def _root(platform: Platform, certificate: Object) -> str:
    """The Secret of the authority that signed a certificate; empty where it is not in the cluster."""
    issuer = issuer_of(platform, certificate)
    if issuer is None:
        return ""
    authority = mapping(issuer.spec.get("ca")).get("secretName")
    if authority:
        return f"Secret {issuer.namespace or 'cert-manager'}/{authority}"
    own = "selfSigned" in issuer.spec
    return f"Secret {certificate.namespace}/{certificate.spec.get('secretName')}" if own else f"the issuer {issuer}"


def _held(platform: Platform, authority: dict[str, Any]) -> str:
    space, name = str(authority.get("namespace") or ""), str(authority.get("name") or "")
    certificate = _certificate_in(platform, space, name)
    if certificate is None:
        return ""
    if authority.get("key") == "tls.crt" or certificate.spec.get("isCA"):
        return f"Secret {space}/{name}"
    return _root(platform, certificate)


@rule(
    "transfer-address",
    title="Transfers of the zone are allowed to whoever is told of changes, by address",
    why="PowerDNS does not start with a name in place of an address; who may not transfer keeps old records.",
    remedy="Give addresses, and list each secondary in transfer.allow too.",
)
def transfers(platform: Platform) -> Iterator[Finding]:
    """Settings of PowerDNS as the chart renders them."""
    secondary = str(mapping(mapping(platform.settings.get("edge")).get("secondary")).get("address") or "")
    for thing in platform.of_kind("", "ConfigMap"):
        text = mapping(thing.content.get("data")).get("pdns.conf")
        if not isinstance(text, str):
            continue
        lines = dict(line.strip().split("=", 1) for line in text.splitlines() if "=" in line)
        values = {
            key: [part.strip() for part in str(lines.get(key, "")).split(",") if part.strip()]
            for key in ("allow-axfr-ips", "also-notify")
        }
        networks = []
        for key, parts in values.items():
            for part in parts:
                try:
                    network = ipaddress.ip_network(
                        part.partition(":")[0] if key == "also-notify" else part, strict=False
                    )
                    networks += [network] if key == "allow-axfr-ips" else []
                except ValueError:
                    yield finding(
                        thing,
                        f"pdns.conf: {key} (transfer.{'notify' if key == 'also-notify' else 'allow'})",
                        f"holds {part}: an address is expected, or a network for allow-axfr-ips",
                        thing.where,
                    )
        tsig = mapping(mapping(platform.settings.get("edge")).get("secondary")).get("tsig")
        if secondary and not any(ipaddress.ip_address(secondary) in network for network in networks) and not tsig:
            yield finding(
                thing,
                "pdns.conf: allow-axfr-ips (transfer.allow)",
                f"has no {secondary}, which is edge.secondary.address",
                thing.where,
            )
        if secondary and secondary not in [part.partition(":")[0] for part in values["also-notify"]]:
            yield finding(
                thing,
                "pdns.conf: also-notify (transfer.notify)",
                f"has no {secondary}, which is edge.secondary.address",
                thing.where,
            )


@rule(
    "record-owner",
    title="Each DNS record has one owner",
    why="Both write it, and it changes to and fro.",
    remedy="Leave it to the Ingress (external-dns), or to the RRset.",
)
def records(platform: Platform) -> Iterator[Finding]:
    """RRsets for a host that external-dns writes too."""
    hosts = {
        str(entry.get("host")): thing
        for thing in platform.of_kind("networking.k8s.io", "Ingress")
        for entry in items(thing.spec.get("rules"))
    }
    for kind in ("ClusterRRset", "RRset"):
        for thing in platform.of_kind("dns.cav.enablers.ob", kind):
            name = str(thing.spec.get("name") or thing.name).rstrip(".")
            if thing.spec.get("type") in ("A", "AAAA", "CNAME") and name in hosts:
                yield finding(
                    thing, "spec.name", f"is {name}, which external-dns writes for {hosts[name]}", thing.where
                )


def known_keys(platform: Platform, namespace: str, name: str) -> set[str]:
    """The keys of a Secret by name."""
    return set().union(*(keys_of(one) for one in platform.find("", "Secret", namespace, name)))
