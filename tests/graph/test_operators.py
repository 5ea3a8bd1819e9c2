"""What `up` waits for becomes ready by the rules of the operators, and one wrong reference leaves it not ready.

The rules are the lab's (`lab/operators`); the objects are those that the program creates, on the recorded graph.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from checks.graph import Graph
from checks.program import recorded
from lab.operators.__main__ import Player
from lab.operators.rules import KINDS
from lab.operators.world import World
from tests.graph.operated import Operated

Objects = dict[str, dict[str, Any]]

STORE = "ClusterSecretStore vault"
PROBE = "PushSecret external-secrets/store-probe-v1-password-32"
READ = "ExternalSecret external-secrets/store-probe"
POSTGRES = "Cluster authentik/authentik-postgres"
INGRESS, DNS = "nginx-ingress/nginx-ingress-controller", "powerdns/powerdns"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return recorded()


@pytest.fixture(scope="module")
def rest(graph: Graph) -> Operated:
    return Operated(graph)


def spec(objects: Objects, name: str) -> Any:
    return objects[name]["spec"]


def provider(objects: Objects) -> Any:
    return spec(objects, STORE)["provider"]["vault"]


def role(objects: Objects) -> Any:
    [method] = spec(objects, "Vault vault/instance")["externalConfig"]["auth"]
    return next(each for each in method["roles"] if each["name"] == "external-secrets")


def policy(objects: Objects) -> Any:
    policies = spec(objects, "Vault vault/instance")["externalConfig"]["policies"]
    return next(each for each in policies if each["name"] == "external-secrets")


def set_to(value: Any, *path: Any) -> Callable[[Any], None]:
    """A change of one place in a tree."""

    def change(tree: Any) -> None:
        for part in path[:-1]:
            tree = tree[part]
        tree[path[-1]] = value

    return change


def test_all_that_up_waits_for_becomes_ready(rest: Operated) -> None:
    assert rest.unready() == {}


def test_every_load_balanced_service_has_the_address_that_it_asks_for(rest: Operated, graph: Graph) -> None:
    dns = graph["kubernetes:metallb.io/v1beta1:IPAddressPool dns-pool"].inputs["spec"]["addresses"][0]
    assert rest.addresses() == {INGRESS: [graph.stack.outputs["ingressAddress"]], DNS: [dns.partition("-")[0]]}


def test_every_load_balanced_service_is_announced(rest: Operated) -> None:
    assert rest.announced() == {INGRESS, DNS}


@pytest.mark.parametrize("secret", ["cert-manager/powerdns-api", "external-dns/powerdns-api"])
def test_a_secret_that_another_namespace_reads_is_copied_there(rest: Operated, secret: str) -> None:
    namespace, _, name = secret.partition("/")
    assert rest.world.find("Secret", name, namespace) is not None


STORE_UNREACHED = {
    "no Vault at that address": (
        lambda all: provider(all).update(server="https://vault.vault.svc:8200"),
        "dial tcp: lookup vault.vault.svc: no such host",
    ),
    "the key of another certificate as the authority's": (
        lambda all: provider(all)["caProvider"].update(key="tls.crt"),
        "x509: certificate signed by unknown authority",
    ),
    "version 1 of the KV engine": (
        lambda all: provider(all).update(version="v1"),
        "Code: 403. Errors: permission denied",
    ),
    "another engine": (lambda all: provider(all).update(path="secret"), "Code: 403. Errors: permission denied"),
    "another role": (
        lambda all: provider(all)["auth"]["kubernetes"].update(role="eso"),
        'Code: 400. Errors: invalid role name "eso"',
    ),
    "another mount of the auth method": (
        lambda all: provider(all)["auth"]["kubernetes"].update(mountPath="k8s"),
        'login: Code: 400. Errors: invalid role name "external-secrets"',
    ),
    "another audience": (
        lambda all: provider(all)["auth"]["kubernetes"]["serviceAccountRef"].update(audiences=["kubernetes"]),
        "invalid audience (aud) claim",
    ),
    "a role for another account": (
        lambda all: role(all).update(bound_service_account_names=["default"]),
        "service account name not authorized",
    ),
    "a role without the namespace": (
        lambda all: role(all)["bound_service_account_namespaces"].remove("external-secrets"),
        "namespace not authorized",
    ),
    "a role without its policy": (lambda all: role(all).update(token_policies=["default"]), "permission denied"),
    "a policy that lets nothing be written": (
        lambda all: policy(all).update(rules=policy(all)["rules"].replace('"create", ', "")),
        "permission denied",
    ),
    "an engine of version 1": (
        lambda all: spec(all, "Vault vault/instance")["externalConfig"]["secrets"][0].update(options={"version": "1"}),
        "Code: 404. Errors: no handler for route",
    ),
    "a store that is not for the namespace": (
        lambda all: spec(all, STORE)["conditions"][0]["namespaces"].remove("external-secrets"),
        'using cluster store "vault" is not allowed from namespace "external-secrets": denied by spec.condition',
    ),
    "no account to log in as": (
        lambda all: all.pop("ServiceAccount external-secrets/vault-client"),
        'serviceaccounts "vault-client" not found',
    ),
    "no right to request tokens": (
        lambda all: all["RoleBinding external-secrets/vault-client"]["subjects"][0].update(name="default"),
        'cannot create resource "serviceaccounts/token"',
    ),
}
"""What keeps a namespace from its secrets: a change, and what the operator says."""


@pytest.mark.parametrize("wrong", STORE_UNREACHED)
def test_a_value_does_not_reach_vault_with(graph: Graph, wrong: str) -> None:
    change, told = STORE_UNREACHED[wrong]
    assert told in Operated(graph, change).unready()[PROBE]


@pytest.mark.parametrize("trusted", [{"key": "authority.pem"}, {"name": "vault-ca"}, {"namespace": "vault-system"}])
def test_a_store_without_the_authoritys_certificate_makes_no_client(graph: Graph, trusted: dict[str, str]) -> None:
    unready = Operated(graph, lambda all: provider(all)["caProvider"].update(trusted)).unready()
    assert unready[STORE] == "unable to create client"
    assert 'ClusterSecretStore "vault" is not ready' in unready[PROBE]


def test_a_push_without_its_generator_fails(graph: Graph) -> None:
    change = set_to("nobody", PROBE, "spec", "selector", "generatorRef", "name")
    assert Operated(graph, change).unready()[PROBE] == "could not get source secret"


def test_a_push_of_a_key_that_is_not_generated_fails(graph: Graph) -> None:
    change = set_to("other", PROBE, "spec", "data", 0, "match", "secretKey")
    assert "secret key other does not exist" in Operated(graph, change).unready()[PROBE]


def test_a_push_through_a_store_that_is_not_there_fails(graph: Graph) -> None:
    change = set_to("nobody", PROBE, "spec", "secretStoreRefs", 0, "name")
    assert 'could not get ClusterSecretStore "nobody"' in Operated(graph, change).unready()[PROBE]


UNREAD = {
    "a path that nobody wrote": (set_to("external-secrets/store-probe/v7", "key"), "Secret does not exist"),
    "a key that nobody wrote": (set_to("other", "property"), 'cannot find secret data for key: "other"'),
    "another namespace's path": (set_to("powerdns/powerdns-api/v1", "key"), "permission denied"),
}


@pytest.mark.parametrize("wrong", UNREAD)
def test_a_secret_is_not_made_from(graph: Graph, wrong: str) -> None:
    change, told = UNREAD[wrong]
    rest = Operated(graph, lambda all: change(spec(all, READ)["data"][0]["remoteRef"]))
    assert rest.unready()[READ] == "could not get secret data from provider"
    # What a person gives is not there either, in the same words but for the reason.
    assert [event for event in rest.events() if told in event and "/given)" not in event]


def test_a_copy_of_a_key_that_its_secret_has_not_is_not_made(graph: Graph) -> None:
    copied = "ExternalSecret authentik/sign-on-authority"
    path = ("spec", "target", "template", "templateFrom", 0, "secret", "items", 0, "key")
    assert Operated(graph, set_to("ca.pem", copied, *path)).unready()[copied] == "could not apply template"


def test_braces_of_somebody_elses_template_are_as_they_were_meant(rest: Operated) -> None:
    secret = rest.world.find("Secret", "oidc-matrix", "authentik")
    assert secret is not None
    values = base64.b64decode(secret["data"]["values.yaml"]).decode()
    told = yaml.safe_load(values)["matrixAuthenticationService"]["additional"]["sign-on"]["config"]
    assert "{{ user.preferred_username }}" in told


def test_values_are_in_their_places_of_a_template(rest: Operated) -> None:
    """Also where a real database reads them."""
    secret = rest.world.find("Secret", "powerdns-database", "powerdns")
    assert secret is not None
    read = {key: base64.b64decode(text).decode() for key, text in secret["data"].items()}
    assert f"IDENTIFIED BY '{read['root-password']}'" in read["accounts.sql"]
    assert [text for text in read.values() if "{{" in text] == []


def test_a_template_over_a_value_that_is_not_read_is_not_applied(graph: Graph) -> None:
    assembled = "ExternalSecret vault/vault-sign-on"
    change = set_to("renamed", assembled, "spec", "data", 0, "secretKey")
    assert Operated(graph, change).unready()[assembled] == "could not apply template"


@pytest.mark.parametrize(
    "change",
    [
        set_to("nobody", "Certificate vault/vault-tls", "spec", "issuerRef", "name"),
        set_to("Issuer", "Certificate vault/vault-tls", "spec", "issuerRef", "kind"),
        set_to("elsewhere", "ClusterIssuer cluster-ca", "spec", "ca", "secretName"),
        lambda all: spec(all, "Certificate cert-manager/cluster-ca").pop("isCA"),
        lambda all: all.pop("Issuer cert-manager/cluster-ca-bootstrap"),
    ],
    ids=[
        "no such issuer",
        "an issuer of another kind",
        "no keypair",
        "a keypair of no authority",
        "no self-signed issuer",
    ],
)
def test_a_certificate_is_not_issued_with(graph: Graph, change: Callable[[Objects], object]) -> None:
    waiting = Operated(graph, change).unready()["Certificate vault/vault-tls"]
    assert waiting == "Issuing certificate as Secret does not exist"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (set_to("default", "Vault vault/instance", "spec", "serviceAccount"), 'serviceaccount "default" not found'),
        (set_to("tls", "Vault vault/instance", "spec", "existingTlsSecretName"), 'secret "tls" not found'),
        (lambda all: all.pop("StorageClass proxmox"), 'storageclass.storage.k8s.io "proxmox" not found'),
    ],
    ids=["no account", "no certificate", "no storage class"],
)
def test_vault_does_not_come_up_with(graph: Graph, change: Callable[[Objects], object], told: str) -> None:
    assert told in Operated(graph, change).unready()["Vault vault/instance"]


@pytest.mark.parametrize(
    ("path", "wrong", "told"),
    [
        (("storage", "storageClass"), "fast", 'storageclass.storage.k8s.io "fast" not found'),
        (("bootstrap", "initdb", "secret", "name"), "nobody", 'secret "nobody" not found'),
        (("bootstrap", "initdb", "owner"), "root", "wrong username 'authentik' in secret, expected 'root'"),
    ],
)
def test_a_database_does_not_come_up_with(graph: Graph, path: tuple[str, ...], wrong: str, told: str) -> None:
    assert told in Operated(graph, set_to(wrong, POSTGRES, "spec", *path)).unready()[POSTGRES]


def test_a_zone_waits_for_a_server(graph: Graph) -> None:
    rest = Operated(graph, lambda all: all.pop("Deployment powerdns/powerdns"))
    assert rest.unready() == {"ClusterZone lab.home.arpa": "connect: connection refused"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda all: all.pop("IPAddressPool metallb-system/dns-pool"), '["127.20.3.3"] is not allowed in config'),
        (
            set_to(["127.20.3.9-127.20.3.9"], "IPAddressPool metallb-system/dns-pool", "spec", "addresses"),
            '["127.20.3.3"] is not allowed in config',
        ),
        (
            set_to("ingress-pool", f"Service {DNS}", "metadata", "annotations", "metallb.io/address-pool"),
            "is not compatible with requested address pool ingress-pool",
        ),
        (
            set_to("127.20.3.2", f"Service {DNS}", "metadata", "annotations", "metallb.io/loadBalancerIPs"),
            "address also in use by",
        ),
    ],
    ids=["no pool", "a pool without it", "another pool", "another Service's address"],
)
def test_a_service_has_no_address_with(graph: Graph, change: Callable[[Objects], object], told: str) -> None:
    rest = Operated(graph, change)
    assert [] in rest.addresses().values()
    assert told in rest.events()[0]


def test_an_advertisement_of_another_pool_announces_nothing(graph: Graph) -> None:
    change = set_to(["nobody"], "L2Advertisement metallb-system/dns-pool", "spec", "ipAddressPools")
    assert Operated(graph, change).announced() == {INGRESS}


def test_nothing_becomes_ready_while_its_operator_does_not_run(graph: Graph) -> None:
    rest = Operated(graph, lambda all: all.pop("Deployment external-secrets/external-secrets"))
    assert rest.unready()[STORE] == "no condition"


def test_the_ingress_starts_with_its_wildcard_certificate(rest: Operated) -> None:
    assert rest.held() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda all: all.pop("Certificate cert-manager/wildcard-tls"),
        set_to("wildcard", "Certificate cert-manager/wildcard-tls", "spec", "secretName"),
        lambda all: all["Certificate cert-manager/wildcard-tls"]["metadata"].pop("annotations"),
    ],
    ids=["no certificate", "another Secret", "no temporary certificate"],
)
def test_the_ingress_does_not_start_with(graph: Graph, change: Callable[[Objects], object]) -> None:
    rest = Operated(graph, change)
    assert rest.held() == ["nginx-ingress/nginx-ingress-controller-0"]
    assert any("Error when getting the wildcard secret cert-manager/wildcard-tls" in told for told in rest.events())


class Unasked:
    """An API server that keeps what it is asked."""

    def __init__(self, objects: World) -> None:
        self.world = World(_stored(item) for kind in KINDS for item in objects.all(kind))
        self.lock = threading.Lock()
        self.asked: list[str] = []

    def missing(self) -> list[str]:
        """Everything has been listed."""
        return []

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Answers as if all that is written were kept."""
        self.asked.append(f"{method} {path}")
        return body


def _stored(item: Any) -> Any:
    """As an API server gives it back: without labels and annotations where there are none."""
    return {**item, "metadata": {name: value for name, value in item["metadata"].items() if value != {}}}


def test_a_cluster_at_rest_is_written_to_by_nobody(rest: Operated) -> None:
    server = Unasked(rest.world)
    Player(server).play(server)  # type: ignore[arg-type]
    # `Operated` keeps no annotations, such as the pool that MetalLB notes on a Service.
    assert [asked for asked in server.asked if "/services/" not in asked] == []
