"""What the components of certificates refuse, and what each makes when it stands alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from checks.graph import Graph, record
from components.certificates.acme import issuer_name
from components.certificates.cert_manager import CertManager, CertManagerArgs
from components.certificates.certificate import Certificate, CertificateArgs
from components.certificates.cluster_ca import ClusterCa, ClusterCaArgs
from components.kit.chart import ChartSource
from components.kit.readiness import READY
from components.kit.references import IssuerReference

RELEASE = "kubernetes:helm.sh/v3:Release"
CERTIFICATE = "kubernetes:cert-manager.io/v1:Certificate"


def alone(make: Callable[[pulumi.ResourceOptions], Any]) -> Graph:
    """The graph of components with a provider of their own."""

    def program() -> None:
        make(pulumi.ResourceOptions(providers=[kubernetes.Provider("kubernetes", kubeconfig="{}")]))

    return record(program)


def authority(opts: pulumi.ResourceOptions, common_name: str = "lab cluster CA") -> ClusterCa:
    manager = CertManager("cert-manager", CertManagerArgs(charts=ChartSource(), schedulable=2), opts)
    return ClusterCa("cluster-ca", ClusterCaArgs(cert_manager=manager, common_name=common_name), opts)


def vault(opts: pulumi.ResourceOptions, *, awaited: bool = True, **changes: Any) -> Certificate:
    known: dict[str, Any] = {
        "namespace": "vault",
        "secret_name": "vault-tls",
        "dns_names": ["instance.vault.svc", "*.vault.svc"],
        "issuer": replace(authority(opts).issuer, awaited=awaited),
    }
    return Certificate("vault-tls", CertificateArgs(**known | changes), opts)


def vault_spec(**changes: Any) -> Any:
    return alone(lambda opts: vault(opts, **changes))[f"{CERTIFICATE} vault-tls"].inputs["spec"]


@pytest.mark.parametrize("component", ["controller", "webhook", "cainjector"])
def test_each_part_of_cert_manager_has_two_replicas_on_two_nodes(component: str) -> None:
    values = alone(authority)[f"{RELEASE} cert-manager"].inputs["values"]
    tree = values if component == "controller" else values[component]
    [constraint] = tree["topologySpreadConstraints"]
    assert tree["replicaCount"] == 2
    assert constraint["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == component


@pytest.mark.parametrize("component", ["controller", "webhook", "cainjector"])
def test_each_part_of_cert_manager_can_be_evicted_one_pod_at_a_time(component: str) -> None:
    values = alone(authority)[f"{RELEASE} cert-manager"].inputs["values"]
    budget = (values if component == "controller" else values[component])["podDisruptionBudget"]
    assert (budget["enabled"], budget["maxUnavailable"]) == (True, 1)


def test_certificates_outlive_the_release_of_cert_manager() -> None:
    values = alone(authority)[f"{RELEASE} cert-manager"].inputs["values"]
    assert values["crds"] == {"enabled": True, "keep": True}
    assert values["enableCertificateOwnerRef"] is False


def test_the_ca_is_signed_before_it_signs() -> None:
    graph = alone(authority)
    bootstrap, certificate = "cluster-ca-bootstrap", "cluster-ca-certificate"
    issuer = "kubernetes:cert-manager.io/v1:ClusterIssuer cluster-ca"
    assert graph.chain([f"{RELEASE} cert-manager", bootstrap, certificate, issuer]) == []


def test_whatever_waits_for_the_ca_waits_until_it_is_ready() -> None:
    made = [node for node in alone(authority).resources() if node.type.startswith("kubernetes:cert-manager.io")]
    waits = [node.inputs["metadata"]["annotations"]["pulumi.com/waitFor"] for node in made]
    assert waits == ["condition=Ready"] * 3


def test_the_key_of_the_ca_stays_over_a_renewal_of_its_certificate() -> None:
    spec = alone(authority)["cluster-ca-certificate"].inputs["spec"]
    assert (spec["isCA"], spec["privateKey"]["rotationPolicy"]) == (True, "Never")


def test_the_issuer_signs_with_the_secret_of_the_cas_certificate() -> None:
    graph = alone(authority)
    issuer = graph["kubernetes:cert-manager.io/v1:ClusterIssuer cluster-ca"].inputs["spec"]["ca"]["secretName"]
    assert issuer == graph["cluster-ca-certificate"].inputs["spec"]["secretName"]


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_name_that_a_certificate_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must have 1 to 64 characters"):
        alone(lambda opts: authority(opts, name))


def test_a_certificate_comes_after_its_issuer() -> None:
    graph = alone(vault)
    assert graph.depends(f"{CERTIFICATE} vault-tls", "kubernetes:cert-manager.io/v1:ClusterIssuer cluster-ca")
    assert vault_spec()["issuerRef"] == {"name": "cluster-ca", "kind": "ClusterIssuer", "group": "cert-manager.io"}


@pytest.mark.parametrize("awaited", [True, False])
def test_an_up_waits_for_a_certificate_unless_the_world_outside_decides_on_it(awaited: bool) -> None:
    graph = alone(lambda opts: vault(opts, awaited=awaited))
    annotations = graph[f"{CERTIFICATE} vault-tls"].inputs["metadata"].get("annotations") or {}
    assert (annotations.items() >= READY.items()) is awaited


def test_a_certificate_hands_out_its_secret() -> None:
    found: list[Certificate] = []
    alone(lambda opts: found.append(vault(opts)))
    certificate = found[0]
    references = (certificate.certificate, certificate.key, certificate.ca)
    assert [(r.namespace, r.name, r.key) for r in references] == [
        ("vault", "vault-tls", "tls.crt"),
        ("vault", "vault-tls", "tls.key"),
        ("vault", "vault-tls", "ca.crt"),
    ]
    assert all(r.ready is certificate.ready for r in references)


def test_times_are_written_as_cert_manager_writes_them() -> None:
    spec = vault_spec(duration=timedelta(hours=36, minutes=5), renew_before=timedelta(hours=12))
    assert (spec["duration"], spec["renewBefore"]) == ("36h5m0s", "12h0m0s")


def test_a_certificate_leaves_out_what_it_does_not_have() -> None:
    assert {"ipAddresses", "secretTemplate"} & vault_spec().keys() == set()


def test_a_certificate_can_be_for_addresses_and_label_its_secret() -> None:
    spec = vault_spec(ip_addresses=["127.0.0.1"], secret_labels={"vault_cr": "instance"})
    assert spec["ipAddresses"] == ["127.0.0.1"]
    assert spec["secretTemplate"] == {"labels": {"vault_cr": "instance"}}


@pytest.mark.parametrize("name", ["Vault.svc", "vault_0.svc", "vault.svc.", "*", "a.*.svc"])
def test_what_is_not_a_dns_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a DNS name"):
        vault_spec(dns_names=[name])


@pytest.mark.parametrize("changes", [{"dns_names": []}, {"usages": []}])
def test_a_certificate_for_nothing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="vault-tls: dns_names and usages must each name at least one"):
        vault_spec(**changes)


@pytest.mark.parametrize(
    ("duration", "renew_before"),
    [
        (timedelta(minutes=59), timedelta(minutes=30)),
        (timedelta(days=1), timedelta(days=1)),
        (timedelta(days=1), timedelta(minutes=4)),
    ],
)
def test_times_that_cert_manager_refuses_are_refused(duration: timedelta, renew_before: timedelta) -> None:
    with pytest.raises(ValueError, match="cert-manager requires at least an hour, and a renewal at least 5 minutes"):
        vault_spec(duration=duration, renew_before=renew_before)


@pytest.mark.parametrize(("staging", "name"), [(False, "letsencrypt-prod-dns"), (True, "letsencrypt-staging-dns")])
def test_an_issuers_name_says_whether_it_is_a_staging_one(staging: bool, name: str) -> None:
    assert issuer_name(staging, "dns") == name


def test_an_ingress_gets_with_the_issuer_what_its_challenge_needs() -> None:
    edit = {"acme.cert-manager.io/http01-edit-in-place": "true"}
    issuer = IssuerReference(name="letsencrypt-prod-http", ready=cast(Any, None), ingress_annotations=edit)
    assert issuer.annotations == {"cert-manager.io/cluster-issuer": "letsencrypt-prod-http", **edit}


def test_a_wildcard_stands_only_in_front() -> None:
    with pytest.raises(ValueError, match="is not a DNS name"):
        CertificateArgs(
            namespace="cert-manager",
            secret_name="x",
            dns_names=["a.*.example.org"],
            issuer=cast(Any, None),
            duration=timedelta(days=90),
        )
