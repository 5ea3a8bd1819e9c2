"""Who writes which records, and who fetches the zone, on the recorded graph of stack prod."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address
from typing import Any

import pytest

from checks.graph import Graph, reveal
from tests.graph.test_conventions import graph_of

RELEASE = "kubernetes:helm.sh/v3:Release"
SECONDARY = "command:remote:Command edge-secondary-powerdns"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of("prod", known=True)


def values(graph: Graph, release: str) -> Any:
    return reveal(graph[f"{RELEASE} {release}"].inputs["values"])


def site_block(graph: Graph) -> list[str]:
    """The lines of CoreDNS's list of the site's names."""
    _, site = values(graph, "coredns")["servers"]
    [hosts] = [plugin for plugin in site["plugins"] if plugin["name"] == "hosts"]
    return str(hosts["configBlock"]).splitlines()


def plugin(graph: Graph, name: str) -> dict[str, Any]:
    everything = values(graph, "coredns")["servers"][0]
    [found] = [one for one in everything["plugins"] if one["name"] == name]
    return dict(found)


def test_what_kubelets_and_programs_call_dns_is_called_so(graph: Graph) -> None:
    # Talos, kubeadm and many charts look for Service and pods by these names.
    dns = values(graph, "coredns")
    assert (dns["service"]["name"], dns["k8sAppLabelOverride"]) == ("kube-dns", "kube-dns")


def test_services_have_names_in_the_domain_that_everything_is_configured_with(graph: Graph) -> None:
    zone, *reverse = plugin(graph, "kubernetes")["parameters"].split()
    assert reverse == ["in-addr.arpa", "ip6.arpa"]
    vault = graph["kubernetes:cert-manager.io/v1:Certificate vault-certificate"].inputs["spec"]["dnsNames"]
    assert any(name.endswith(f".svc.{zone}") for name in vault)


def test_names_of_the_world_are_asked_of_the_resolvers_of_the_nodes(graph: Graph) -> None:
    assert plugin(graph, "forward")["parameters"] == ". /etc/resolv.conf"


def test_a_name_of_the_site_that_is_not_listed_is_asked_of_the_world(graph: Graph) -> None:
    # Without it every other name of the domain, such as that of a challenge, would not exist for pods.
    assert "fallthrough" in site_block(graph)


@pytest.mark.parametrize("number", [0, 1])
def test_dns_answers_over_tcp_too(graph: Graph, number: int) -> None:
    [zone] = values(graph, "coredns")["servers"][number]["zones"]
    assert zone["use_tcp"] is True


def test_external_dns_reads_what_has_an_address_of_its_own(graph: Graph) -> None:
    given = values(graph, "external-dns")
    assert set(given["sources"]) == {"unstructured", "service"}
    assert given["extraArgs"]["unstructured-resource"] == "ingresses.v1.networking.k8s.io"
    # Others would be published with the addresses of nodes.
    assert given["extraArgs"]["service-type-filter"] == "LoadBalancer"


def test_the_owner_of_a_wildcard_record_has_a_name_that_can_be_written(graph: Graph) -> None:
    given = values(graph, "external-dns")
    replacement = given["extraArgs"]["txt-wildcard-replacement"]
    assert re.fullmatch(r"[a-z0-9-]+", replacement)
    assert "%{record_type}" in given["txtPrefix"]


def test_records_name_the_address_at_which_the_world_reaches_the_site(graph: Graph) -> None:
    template = values(graph, "external-dns")["extraArgs"]["fqdn-target-template"]
    address = values(graph, "nginx-ingress")["controller"]["config"]["entries"]["external-status-address"]
    assert f'"{address}"' in template
    assert not IPv4Address(address).is_private


def told(graph: Graph) -> Any:
    return json.loads(str(reveal(graph[SECONDARY].inputs["stdin"])).split("r'''")[1].split("'''")[0])


def test_the_secondary_fetches_the_zone_and_listens_to_whom_the_tailnet_lets_in(graph: Graph) -> None:
    settings = told(graph)["settings"]
    assert settings["secondary"] == "yes"
    assert settings["trusted-notification-proxy"] == "100.64.0.0/10"


def test_a_name_that_was_asked_too_early_is_found_a_minute_later_and_a_zone_outlives_its_primary(graph: Graph) -> None:
    refresh, retry, expire, negative = (int(part) for part in values(graph, "powerdns")["soa"].split()[-4:])
    assert negative <= 60
    # RFC 1912 2.2: two to four weeks; here a fortnight, in which a home can be repaired.
    assert expire >= 14 * 24 * 3600 > refresh >= retry


def test_a_webhook_of_challenges_is_called_as_it_calls_itself(graph: Graph) -> None:
    [solver] = graph["kubernetes:cert-manager.io/v1:ClusterIssuer letsencrypt-prod-dns"].inputs["spec"]["acme"][
        "solvers"
    ]
    # `pdnsProviderSolver.Name` in https://github.com/zachomedia/cert-manager-webhook-pdns/blob/master/main.go
    assert solver["dns01"]["webhook"]["solverName"] == "pdns"
    account = values(graph, "dns01-webhook")["certManager"]
    assert account == {"namespace": "cert-manager", "serviceAccountName": "cert-manager"}


def test_the_database_user_of_the_name_servers_owns_their_database_and_no_more(graph: Graph) -> None:
    secret = graph["kubernetes:external-secrets.io/v1:ExternalSecret powerdns-database"].inputs["spec"]
    sql = secret["target"]["template"]["data"]["accounts.sql"]
    granted = re.findall(r"GRANT (.+) ON (\S+) TO '(\w+)'", sql)
    database = values(graph, "powerdns")["database"]
    assert granted == [("ALL PRIVILEGES", f"`{database['name']}`.*", database["user"])]
    # An account that is there keeps its old password unless it is told the new one.
    assert re.search(rf"ALTER USER '{database['user']}'@'%' IDENTIFIED BY", sql)


def test_pages_of_authentik_work_behind_the_ingress(graph: Graph) -> None:
    annotations = values(graph, "authentik")["server"]["ingress"]["annotations"]
    service = f"{graph[f'{RELEASE} authentik'].inputs['name']}-server"
    # The chart names its Service so; only for the services named here does nginx pass on a WebSocket.
    assert annotations["nginx.org/websocket-services"] == service
    size = int(annotations["nginx.org/proxy-buffer-size"].rstrip("k"))
    # A sign-on's headers hold tokens; nginx answers 502 to what does not fit (its default: 4k).
    assert size >= 16


def test_blueprints_are_files_where_authentik_looks_for_them(graph: Graph) -> None:
    worker = values(graph, "authentik")["worker"]
    [mount] = worker["volumeMounts"]
    # `blueprints_dir` of authentik's default.yml is /blueprints; it reads every *.yaml below it.
    assert mount["mountPath"].startswith("/blueprints/")
    paths = [
        item["path"] for source in worker["volumes"][0]["projected"]["sources"] for item in source["secret"]["items"]
    ]
    assert len(paths) == 2
    assert [path for path in paths if not path.endswith(".yaml")] == []


def test_servers_of_authentik_restart_for_the_secrets_that_they_read(graph: Graph) -> None:
    given = values(graph, "authentik")
    read = {one["valueFrom"]["secretKeyRef"]["name"] for one in given["global"]["env"] if "valueFrom" in one}
    told = given["server"]["deploymentAnnotations"]["secret.reloader.stakater.com/reload"]
    assert set(told.split(",")) == read
