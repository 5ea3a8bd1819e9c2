"""Names and certificates on the recorded graph of their layers: order, references, and what the settings decide."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from checks.graph import Graph
from checks.program import Change, recorded
from components.dns.powerdns_secrets import API_KEY, API_SECRET, DATABASE_SECRET

RELEASE = "kubernetes:helm.sh/v3:Release"
ZONE = "kubernetes:dns.cav.enablers.ob/v1alpha2:ClusterZone dns-zone"
ISSUER = "kubernetes:cert-manager.io/v1:ClusterIssuer"
CERTIFICATE = "kubernetes:cert-manager.io/v1:Certificate"
EXTERNAL = "kubernetes:external-secrets.io/v1:ExternalSecret"

PUBLIC, DOMAIN = "172.235.48.86", "test-cluster.agentydragon.com"


@cache
def graph() -> Graph:
    return recorded("prod")


def values(release: str, of: Graph | None = None) -> dict[str, Any]:
    """The values of a release."""
    found: dict[str, Any] = (of or graph())[f"{RELEASE} {release}"].inputs["values"]
    return found


def inputs(name: str, of: Graph | None = None) -> dict[str, Any]:
    found: dict[str, Any] = (of or graph())[name].inputs
    return found


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        (f"{RELEASE} powerdns", "dns-pool-advertisement"),
        (f"{RELEASE} powerdns", "kubernetes:storage.k8s.io/v1:StorageClass proxmox"),
        (f"{RELEASE} powerdns", f"{EXTERNAL} {API_SECRET.name}"),
        (f"{RELEASE} powerdns", f"{EXTERNAL} {DATABASE_SECRET.name}"),
        (f"{RELEASE} powerdns-operator", f"{RELEASE} powerdns"),
        (ZONE, f"{RELEASE} powerdns-operator"),
        (f"{RELEASE} external-dns", ZONE),
        (f"{RELEASE} external-dns", f"{EXTERNAL} {API_SECRET.name}"),
        (f"{RELEASE} dns01-webhook", f"{RELEASE} cert-manager"),
        (f"{RELEASE} dns01-webhook", f"{EXTERNAL} {API_SECRET.name}"),
        (f"{ISSUER} letsencrypt-prod-dns", f"{RELEASE} cert-manager"),
        (f"{ISSUER} letsencrypt-prod-dns", f"{RELEASE} dns01-webhook"),
        (f"{ISSUER} letsencrypt-prod-http", f"{RELEASE} nginx-ingress"),
        (f"{CERTIFICATE} wildcard", f"{RELEASE} cert-manager"),
        (f"{RELEASE} nginx-ingress", f"{CERTIFICATE} wildcard"),
        ("edge-secondary", ZONE),
    ],
)
def test_each_part_waits_for_what_it_needs(later: str, earlier: str) -> None:
    assert graph().depends(later, earlier)


def test_the_secrets_wait_for_the_namespace_that_powerdns_makes() -> None:
    assert graph().depends(f"{EXTERNAL} {API_SECRET.name}", "powerdns-namespace", transitive=True)


def test_the_name_servers_have_the_dns_address() -> None:
    annotations = values("powerdns")["service"]["annotations"]
    assert annotations == {"metallb.io/address-pool": "dns-pool", "metallb.io/loadBalancerIPs": "10.0.3.3"}


def test_the_secondary_may_transfer_the_zone_and_is_told_of_changes() -> None:
    assert values("powerdns")["transfer"] == {"allow": ["10.0.0.0/8", "100.64.0.3"], "notify": ["100.64.0.3"]}


def test_the_zone_is_a_primary_whose_name_server_is_the_public_one() -> None:
    zone = inputs(ZONE)
    assert zone["metadata"]["name"] == DOMAIN
    assert zone["spec"] == {"kind": "Master", "nameservers": ["ns1.agentydragon.com"], "soa_edit_api": "DEFAULT"}
    assert values("powerdns")["soa"].startswith("ns1.agentydragon.com ")


def test_the_zone_is_awaited_by_the_condition_that_its_operator_sets() -> None:
    assert inputs(ZONE)["metadata"]["annotations"]["pulumi.com/waitFor"] == "condition=Available"


def test_whoever_calls_the_api_is_let_in_and_has_its_key_and_nothing_else() -> None:
    template = inputs(f"{EXTERNAL} {API_SECRET.name}")["spec"]["target"]["template"]["metadata"]["annotations"]
    mirrored = template["reflector.v1.k8s.emberstack.com/reflection-auto-namespaces"].split(",")
    assert mirrored == values("powerdns")["api"]["namespaces"] == ["cert-manager", "external-dns"]
    assert "metadata" not in inputs(f"{EXTERNAL} {DATABASE_SECRET.name}")["spec"]["target"]["template"]


def test_a_rotated_api_key_restarts_the_servers_and_their_clients_but_no_database() -> None:
    restart = "secret.reloader.stakater.com/reload"
    powerdns = values("powerdns")
    assert powerdns["annotations"][restart] == f"{API_SECRET.name},{DATABASE_SECRET.name}"
    assert powerdns["database"]["annotations"][restart] == DATABASE_SECRET.name
    assert values("powerdns-operator")["annotations"][restart] == API_SECRET.name
    assert values("external-dns")["deploymentAnnotations"][restart] == API_SECRET.name


def test_no_value_of_a_release_is_a_secret() -> None:
    assert values("external-dns")["env"] == [
        {
            "name": "EXTERNAL_DNS_PDNS_API_KEY",
            "valueFrom": {"secretKeyRef": {"name": API_SECRET.name, "key": API_KEY}},
        }
    ]


def test_external_dns_writes_to_the_zone_alone_and_deletes_only_its_own() -> None:
    external_dns = values("external-dns")
    assert external_dns["domainFilters"] == [DOMAIN]
    assert (external_dns["policy"], external_dns["registry"], external_dns["txtOwnerId"]) == ("sync", "txt", "atlas")


def test_names_of_ingresses_resolve_to_the_public_address() -> None:
    entries = values("nginx-ingress")["controller"]["config"]["entries"]
    assert entries["external-status-address"] == PUBLIC


def test_without_an_edge_names_resolve_to_the_ingress_itself() -> None:
    entries = values("nginx-ingress", alone())["controller"]["config"]["entries"]
    assert "external-status-address" not in entries


def test_the_solver_reads_the_copy_of_the_key_and_may_write_to_the_zone_alone() -> None:
    [solver] = inputs(f"{ISSUER} letsencrypt-prod-dns")["spec"]["acme"]["solvers"]
    webhook = solver["dns01"]["webhook"]
    assert webhook["config"]["apiKeySecretRef"] == {"name": API_SECRET.name, "key": API_KEY}
    # "Base URL of the PowerDNS server", without a path: https://github.com/zachomedia/cert-manager-webhook-pdns#readme
    assert webhook["config"]["host"] == "http://powerdns-api.powerdns.svc:8081"
    assert webhook["config"]["allowed-zones"] == [f"{DOMAIN}."]
    assert solver["selector"] == {"dnsZones": [DOMAIN]}


def test_the_issuers_name_the_group_that_the_webhook_serves() -> None:
    [solver] = inputs(f"{ISSUER} letsencrypt-staging-dns")["spec"]["acme"]["solvers"]
    assert solver["dns01"]["webhook"]["groupName"] == values("dns01-webhook")["groupName"] == f"acme.{DOMAIN}"


def test_http_challenges_go_through_the_ingress_class() -> None:
    [solver] = inputs(f"{ISSUER} letsencrypt-prod-http")["spec"]["acme"]["solvers"]
    assert solver == {"http01": {"ingress": {"ingressClassName": "nginx"}}}


@pytest.mark.parametrize("environment", ["prod", "staging"])
@pytest.mark.parametrize("challenge", ["dns", "http"])
def test_an_issuer_asks_the_directory_of_its_name(environment: str, challenge: str) -> None:
    acme = inputs(f"{ISSUER} letsencrypt-{environment}-{challenge}")["spec"]["acme"]
    assert ("acme-staging-v02" in acme["server"]) == (environment == "staging")


def test_each_issuer_has_an_account_of_its_own_at_lets_encrypt() -> None:
    """The staging directory knows no account of the other, and a key that both wrote would be of whoever came last."""
    issuers = [node.inputs["spec"]["acme"] for node in graph().of_type(ISSUER) if "acme" in node.inputs["spec"]]
    assert len({issuer["privateKeySecretRef"]["name"] for issuer in issuers}) == len(issuers) == 4


def test_nothing_waits_for_the_world_outside() -> None:
    names = [f"{ISSUER} letsencrypt-prod-dns", f"{CERTIFICATE} wildcard"]
    annotations = [inputs(name)["metadata"].get("annotations") or {} for name in names]
    assert ["pulumi.com/waitFor" in given for given in annotations] == [False, False]


@pytest.mark.parametrize(("staging", "issuer"), [(False, "letsencrypt-prod"), (True, "letsencrypt-staging")])
def test_one_setting_decides_which_issuers_are_used(staging: bool, issuer: str) -> None:
    of = recorded("prod", change=changed("certificates", {"staging": staging}))
    assert inputs(f"{CERTIFICATE} wildcard", of)["spec"]["issuerRef"]["name"] == f"{issuer}-dns"
    assert values("cert-manager", of)["ingressShim"]["defaultIssuerName"] == f"{issuer}-dns"


@pytest.mark.parametrize(("staging", "issuer"), [(False, "letsencrypt-prod-dns"), (True, "cluster-ca")])
def test_the_certificate_that_vault_checks_is_never_from_staging(staging: bool, issuer: str) -> None:
    of = recorded("prod", change=changed("certificates", {"staging": staging}))
    assert inputs(f"{CERTIFICATE} authentik-certificate", of)["spec"]["issuerRef"]["name"] == issuer


def test_the_ingress_serves_the_wildcard_to_whoever_names_no_secret() -> None:
    certificate = inputs(f"{CERTIFICATE} wildcard")
    secret = f"{certificate['metadata']['namespace']}/{certificate['spec']['secretName']}"
    assert values("nginx-ingress")["controller"]["wildcardTLS"] == {"secret": secret}


def test_the_ingress_starts_with_a_temporary_certificate_rather_than_wait_for_a_public_one() -> None:
    annotations = inputs(f"{CERTIFICATE} wildcard")["metadata"]["annotations"]
    assert annotations["cert-manager.io/issue-temporary-certificate"] == "true"
    assert "pulumi.com/waitFor" not in annotations
    issuers = [node.urn for node in graph().resources() if node.type == ISSUER and "letsencrypt" in node.name]
    assert len(issuers) == 4
    assert not any(graph().depends(f"{RELEASE} nginx-ingress", issuer, transitive=True) for issuer in issuers)


def test_the_wildcard_covers_the_domain_and_every_name_below_it() -> None:
    assert inputs(f"{CERTIFICATE} wildcard")["spec"]["dnsNames"] == [DOMAIN, f"*.{DOMAIN}"]


def test_cert_manager_asks_the_resolvers_of_the_settings() -> None:
    assert values("cert-manager")["dns01RecursiveNameservers"] == "1.1.1.1:53,9.9.9.9:53"
    without = recorded("prod", change=changed("certificates", {"resolvers": []}))
    assert "dns01RecursiveNameservers" not in values("cert-manager", without)


def test_a_name_server_inside_the_zone_gets_its_record() -> None:
    annotations = values("powerdns", alone())["service"]["annotations"]
    assert annotations["external-dns.alpha.kubernetes.io/hostname"] == f"ns1.{DOMAIN}"
    assert "external-dns.alpha.kubernetes.io/target" not in annotations


def test_a_name_server_inside_the_zone_is_found_at_the_edge_where_there_is_one() -> None:
    def inside(settings: dict[str, Any]) -> None:
        settings["edge"]["secondary"]["name"] = f"ns1.{DOMAIN}"

    annotations = values("powerdns", recorded("prod", change=inside))["service"]["annotations"]
    assert annotations["external-dns.alpha.kubernetes.io/hostname"] == f"ns1.{DOMAIN}"
    assert annotations["external-dns.alpha.kubernetes.io/target"] == PUBLIC


def test_a_larger_pool_gives_the_name_servers_its_first_address() -> None:
    of = recorded("prod", change=changed("network", {"pools": {"ingress": "10.0.3.2", "dns": "10.0.3.21-10.0.3.29"}}))
    assert values("powerdns", of)["service"]["annotations"]["metallb.io/loadBalancerIPs"] == "10.0.3.21"


@cache
def alone() -> Graph:
    """Stack `prod` without its edge."""

    def without_edge(settings: dict[str, Any]) -> None:
        del settings["edge"]

    return recorded("prod", change=without_edge)


def changed(section: str, change: dict[str, Any]) -> Change:
    """A change of settings that merges `change` into a section, two levels deep."""

    def apply(settings: dict[str, Any]) -> None:
        for key, value in change.items():
            old = settings[section].get(key)
            settings[section][key] = old | value if isinstance(old, dict) else value

    return apply


def test_without_lets_encrypt_the_clusters_own_authority_signs_everything() -> None:
    of = recorded("lab", change=changed("certificates", {"acme": False}))
    issuers = {node.inputs["metadata"]["name"] for node in of.of_type("kubernetes:cert-manager.io/v1:ClusterIssuer")}
    signers = {
        node.inputs["spec"]["issuerRef"]["name"]
        for node in of.of_type(CERTIFICATE)
        if node.inputs["spec"]["issuerRef"].get("kind") == "ClusterIssuer"
    }
    assert (issuers, signers) == ({"cluster-ca"}, {"cluster-ca"})
    assert values("cert-manager", of)["ingressShim"]["defaultIssuerName"] == "cluster-ca"
    assert not of.of_type("homelab:certificates:Dns01Webhook")


def test_the_ingress_waits_for_a_wildcard_that_the_cluster_itself_issues() -> None:
    of = recorded("lab", change=changed("certificates", {"acme": False}))
    annotations = inputs(f"{CERTIFICATE} wildcard", of)["metadata"]["annotations"]
    assert "pulumi.com/waitFor" in annotations
    assert "cert-manager.io/issue-temporary-certificate" not in annotations
