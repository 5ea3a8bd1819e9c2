"""PowerDNS, its operator and external-dns as stack `prod` has them, in real pods.

What the program itself makes, and what it gives to charts, is recorded. External Secrets, which would fill Secrets, and
MetalLB are not there: the test does their part. Volumes are directories, usable on any node.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from checks.model import records
from components.dns.external_dns import NAMESPACE as EXTERNAL_DNS
from components.dns.powerdns_secrets import (
    ACCOUNTS,
    API_CLIENTS,
    API_KEY,
    API_SECRET,
    API_SETTINGS,
    DATABASE_SECRET,
    NAMESPACE,
    ROOT_PASSWORD,
    SERVER_SETTINGS,
)
from lab import debian
from tests.charts.helm import CHARTS
from tests.lab.pods_cluster import PodsCluster, storage_class
from tests.servers import names, powerdns
from tests.servers.manifests import manifests

IMAGES = ("powerdns", "mariadb", "powerdns-operator", "external-dns")
SERVERS = "app.kubernetes.io/name=powerdns,app.kubernetes.io/component=server"
DATABASE = "app.kubernetes.io/name=powerdns,app.kubernetes.io/component=database"
OPERATOR = "app.kubernetes.io/name=powerdns-operator"

Manifest = names.Manifest


def bring_up_powerdns(cluster: PodsCluster, directory: Path) -> None:
    """Make PowerDNS, the namespaces of those who call it, and all their NetworkPolicies."""
    cluster.apply(*_own())
    cluster.apply(*_secrets(), storage_class(names.release_values("powerdns")["database"]["volume"]["storageClass"]))
    cluster.apply(*_powerdns(directory))
    cluster.give_address(NAMESPACE, "powerdns", address())
    cluster.until("PowerDNS", lambda: cluster.ready(NAMESPACE, SERVERS, 2))


def bring_up_names(cluster: PodsCluster, directory: Path) -> None:
    """Make the operator, the program's zone, and external-dns."""
    names.make_operator_ready(cluster)
    cluster.apply(_operator())
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=600s")
    cluster.apply(names.zone())
    cluster.apply(*(_into(EXTERNAL_DNS, item) for item in names.external_dns_objects(directory)))
    cluster.until("the operator", lambda: cluster.ready(NAMESPACE, OPERATOR, 1))
    cluster.until("external-dns", lambda: cluster.ready(EXTERNAL_DNS, f"app.kubernetes.io/name={EXTERNAL_DNS}", 1))


def make_zone(cluster: PodsCluster, zone: str, name: str, target: str) -> None:
    """Make a zone with one record through PowerDNS's API."""
    record = {"name": f"{name}.", "type": "A", "ttl": 60, "records": [{"content": target, "disabled": False}]}
    made = {"name": f"{zone}.", "kind": "Native", "nameservers": ["ns1.lab.test."], "rrsets": [record]}
    api = cluster.get("service", "powerdns-api", "-n", NAMESPACE)["spec"]["clusterIP"]
    request = ["curl", "-sSf", "-H", f"X-API-Key: {names.KEY}", "-d", json.dumps(made)]
    cluster.inside(*request, f"http://{api}:8081/api/v1/servers/localhost/zones")


def look_up(cluster: PodsCluster, name: str, *options: str, server: str | None = None) -> list[str]:
    """What a server answers, by default that at the address of the Service; options: of dig."""
    dig = str(debian.ensure(powerdns.PROGRAMS)["dig"])
    question = [dig, f"@{server or address()}", "+short", "+time=2", "+tries=1", *options, name, "A"]
    return cluster.inside(*question, check=False).split()


def address() -> str:
    """The address of the name server's Service."""
    return str(names.release_values("powerdns")["service"]["annotations"]["metallb.io/loadBalancerIPs"])


def _own() -> Iterator[Manifest]:
    """The program's namespaces and NetworkPolicies, and a namespace of applications."""
    ours = (NAMESPACE, *API_CLIENTS)
    for item in manifests(names.graph(), "Namespace"):
        if item["metadata"]["name"] in ours:
            yield item
    for item in manifests(names.graph(), "NetworkPolicy"):
        if item["metadata"]["namespace"] in ours:
            yield item
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps"}}


def _secrets() -> Iterator[Manifest]:
    """Secrets as External Secrets fills them."""
    password = names.PASSWORD
    database = {
        SERVER_SETTINGS: f"gmysql-password={password}\n",
        ACCOUNTS: powerdns.filled(DATABASE_SECRET.derived[ACCOUNTS], password=password),
        ROOT_PASSWORD: f"{powerdns.ROOT_PASSWORD}{password}",
    }
    yield _secret(DATABASE_SECRET.name, NAMESPACE, database)
    for namespace in (NAMESPACE, *API_CLIENTS):
        yield _secret(API_SECRET.name, namespace, {API_KEY: names.KEY, API_SETTINGS: f"api-key={names.KEY}\n"})


def _secret(name: str, namespace: str, values: dict[str, str]) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}


def _powerdns(directory: Path) -> Iterator[Manifest]:
    values = names.release_values("powerdns")
    for item in names.chart_objects(CHARTS / "powerdns", "powerdns", NAMESPACE, values, directory):
        if "helm.sh/hook" not in item["metadata"].get("annotations", {}):
            yield item


def _operator() -> Manifest:
    """The Deployment that the operator's chart makes, which nobody here has: from its record."""
    [made] = records.read()["powerdns-operator"].made
    [deployment] = [item for item in made.objects if item["kind"] == "Deployment"]
    return deployment


def _into(namespace: str, item: Manifest) -> Manifest:
    """What a chart makes without naming the namespace of its release."""
    if item["kind"].startswith("Cluster") or item["kind"] == "CustomResourceDefinition":
        return item
    return item | {"metadata": {"namespace": namespace} | item["metadata"]}
