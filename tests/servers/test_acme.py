"""Certificates by DNS-01, end to end: the program's issuer with the real cert-manager, Pebble and PowerDNS.

Played: the part of cert-manager's webhook that speaks to PowerDNS, where the real one is not installed; and the pods.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from components.dns.powerdns_secrets import API_KEY, API_SECRET
from tests.servers import certificates, memory
from tests.servers import names as site
from tests.servers.certificates import NAMESPACE, Authority
from tests.servers.kubernetes import KubernetesApi
from tests.servers.names import DOMAIN, KEY, Names, ingress, resource
from tests.servers.processes import eventually

ISSUER = "kubernetes:cert-manager.io/v1:ClusterIssuer"
CERTIFICATE = "kubernetes:cert-manager.io/v1:Certificate"
CHALLENGE = "_acme-challenge"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("acme")


@pytest.fixture(scope="module")
def names(directory: Path) -> Iterator[Names]:
    with site.names(directory, "127.31.5.3") as running:
        running.make_zone()
        yield running


@pytest.fixture(scope="module")
def issuer() -> Any:
    """The program's issuer for public certificates."""
    return resource(f"{ISSUER} letsencrypt-prod-dns")


@pytest.fixture(scope="module")
def authority(kubernetes: KubernetesApi, names: Names, directory: Path, issuer: Any) -> Iterator[Authority]:
    """An ACME server, and a cluster with cert-manager and its webhook, but without an issuer."""
    [solver] = issuer["spec"]["acme"]["solvers"]
    with (
        certificates.pebble(directory, f"{names.address}:{names.server.port}") as running,
        certificates.cert_manager(kubernetes, names, directory),
        certificates.webhook(kubernetes, solver["dns01"]["webhook"]["groupName"], directory),
    ):
        yield running


@pytest.fixture(scope="module")
def early(kubernetes: KubernetesApi, authority: Authority) -> Any:
    """The wildcard's Secret before there is an issuer: that comes long after the ingress, which needs the Secret."""
    assert authority
    kubernetes.apply(resource(f"{CERTIFICATE} wildcard"))
    return eventually(lambda: kubernetes.find("v1", "Secret", "wildcard-tls", NAMESPACE), "Secret", seconds=60)


@pytest.fixture(scope="module")
def issuing(kubernetes: KubernetesApi, names: Names, authority: Authority, early: Any, issuer: Any) -> KubernetesApi:
    """The cluster with the program's issuer, whose ACME server is Pebble."""
    assert early
    [solver] = issuer["spec"]["acme"]["solvers"]
    issuer["spec"]["acme"]["server"] = authority.directory
    issuer["spec"]["acme"]["caBundle"] = base64.b64encode(authority.certificate.encode()).decode()
    solver["dns01"]["webhook"]["config"]["host"] = names.url
    kubernetes.namespace("apps")
    kubernetes.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": API_SECRET.name, "namespace": NAMESPACE},
            "stringData": {API_KEY: KEY},
        },
        issuer,
    )
    names.write(CHALLENGE, "TXT", '"of-somebody-else"')
    # At once, as each takes a minute: cert-manager waits for so long after it has found a challenge's record. It has
    # one challenge for a name at a time, of which the wildcard needs two.
    kubernetes.apply(ingress("git", "git", annotations={"kubernetes.io/tls-acme": "true"}, tls=True))
    return kubernetes


def issued(api: KubernetesApi, name: str, namespace: str) -> x509.Certificate:
    """The certificate that the Certificate `name` has got."""

    def ready() -> Any:
        status = api.get("cert-manager.io/v1", "Certificate", name, namespace).get("status", {})
        conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
        return True if conditions.get("Ready") == "True" else None

    eventually(ready, f"certificate {namespace}/{name}", seconds=300)
    secret = api.get("v1", "Secret", name, namespace)
    return x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))


def hosts(certificate: x509.Certificate) -> set[str]:
    """The DNS names of a certificate."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(found.get_values_for_type(x509.DNSName))


def test_the_ingress_has_a_certificate_to_start_with_before_there_is_an_issuer(early: Any) -> None:
    certificate = x509.load_pem_x509_certificate(base64.b64decode(early["data"]["tls.crt"]))
    key = serialization.load_pem_private_key(base64.b64decode(early["data"]["tls.key"]), None)
    # What the controller looks at: `ValidateTLSSecret` in internal/k8s/secrets/validation.go.
    assert early["type"] == "kubernetes.io/tls"
    assert certificate.public_key() == key.public_key()
    assert hosts(certificate) == {DOMAIN, f"*.{DOMAIN}"}


def test_the_wildcard_is_issued_by_proving_the_domain_in_powerdns(issuing: KubernetesApi) -> None:
    certificate = issued(issuing, "wildcard-tls", NAMESPACE)
    assert hosts(certificate) == {DOMAIN, f"*.{DOMAIN}"}
    assert "Pebble" in certificate.issuer.rfc4514_string()


def test_nothing_is_left_of_the_challenges_records_and_others_stay(issuing: KubernetesApi, names: Names) -> None:
    assert issuing
    alone = ['"of-somebody-else"']
    eventually(lambda: names.look_up(CHALLENGE, "TXT") == alone or None, "clean zone", seconds=60)


def test_an_ingress_that_asks_for_a_certificate_need_name_no_issuer(issuing: KubernetesApi) -> None:
    eventually(lambda: issuing.find("cert-manager.io/v1", "Certificate", "git-tls", "apps"), "Certificate")
    assert hosts(issued(issuing, "git-tls", "apps")) == {f"git.{DOMAIN}"}


def test_a_name_outside_the_zone_has_no_solver(issuing: KubernetesApi) -> None:
    outside = resource(f"{CERTIFICATE} wildcard")
    outside["metadata"] = {"name": "outside", "namespace": "apps"}
    outside["spec"] |= {"secretName": "outside", "dnsNames": ["outside.example.org"]}
    issuing.apply(outside)

    def warning() -> str | None:
        events = issuing.request("GET", "/api/v1/namespaces/apps/events")["items"]
        return next((event["message"] for event in events if event["reason"] == "Solver"), None)

    assert "no configured challenge solvers" in eventually(warning, "warning", seconds=60)


@pytest.mark.usefixtures("issuing")
def test_the_webhook_needs_less_than_half_of_its_memory_limit() -> None:
    """After the challenges of the tests above. Nearly all of that is the API server in it, which is the real one."""
    limit = memory.limit(site.release_values("dns01-webhook")["resources"])
    assert memory.peak(certificates.webhook_program()) < limit / 2
