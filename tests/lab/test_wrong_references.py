"""Objects with a wrong reference in the lab: nobody makes them ready, and their conditions say why."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.drains import kubectl
from tests.lab.live import LiveLab

NAMESPACE = "powerdns"


def store(name: str, **changes: Any) -> dict[str, Any]:
    account = {"name": "vault-client", "audiences": ["vault"]}
    login = {"mountPath": "kubernetes", "role": "external-secrets", "serviceAccountRef": account}
    vault = {
        "server": "https://instance.vault.svc:8200",
        "path": "kv",
        "version": "v2",
        "caProvider": {"type": "Secret", "namespace": "vault", "name": "vault-tls", "key": "ca.crt"},
        "auth": {"kubernetes": login},
    }
    return made("external-secrets.io/v1", "ClusterSecretStore", name, None, {"provider": {"vault": vault | changes}})


def reading(name: str, through: str) -> dict[str, Any]:
    reference = {"key": f"{NAMESPACE}/powerdns-api/v1", "property": "PDNS_API_KEY"}
    spec = {
        "secretStoreRef": {"kind": "ClusterSecretStore", "name": through},
        "target": {"name": name},
        "data": [{"secretKey": "key", "remoteRef": reference}],
    }
    return made("external-secrets.io/v1", "ExternalSecret", name, NAMESPACE, spec)


def made(api_version: str, kind: str, name: str, namespace: str | None, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


ISSUER = {"kind": "ClusterIssuer", "name": "nobody", "group": "cert-manager.io"}
CERTIFICATE = {"secretName": "no-issuer", "dnsNames": ["a.example"], "issuerRef": ISSUER}
WRONG: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a certificate of no issuer": (
        [made("cert-manager.io/v1", "Certificate", "no-issuer", NAMESPACE, CERTIFICATE)],
        "Issuing certificate as Secret does not exist",
    ),
    "an issuer without a keypair": (
        [made("cert-manager.io/v1", "ClusterIssuer", "no-keypair", None, {"ca": {"secretName": "nowhere"}})],
        'Error getting keypair for CA issuer: secret "nowhere" not found',
    ),
    "a store without a certificate": (
        [
            store(
                "no-certificate", caProvider={"type": "Secret", "namespace": "vault", "name": "vault-tls", "key": "ca"}
            )
        ],
        "unable to create client",
    ),
    "a secret through a store that is not there": (
        [reading("no-store", "nobody")],
        "could not get secret data from provider",
    ),
    "a secret through version 1 of the KV engine": (
        [store("version-1", version="v1"), reading("through-version-1", "version-1")],
        "could not get secret data from provider",
    ),
    "a secret with another authority": (
        [
            store("leaf", caProvider={"type": "Secret", "namespace": "vault", "name": "vault-tls", "key": "tls.crt"}),
            reading("through-leaf", "leaf"),
        ],
        "could not get secret data from provider",
    ),
    "a database without a storage class": (
        [
            made(
                "postgresql.cnpg.io/v1",
                "Cluster",
                "no-class",
                "authentik",
                {"instances": 1, "storage": {"size": "1Gi", "storageClass": "nowhere"}},
            )
        ],
        'Cluster Is Not Ready: storageclass.storage.k8s.io "nowhere" not found',
    ),
}


@pytest.fixture
def applied(lab: LiveLab) -> Iterator[Any]:
    path = lab.session.directory / "wrong.json"

    def apply(objects: list[dict[str, Any]]) -> dict[str, Any]:
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        done = lab.run("kubectl", "apply", "-f", str(path))
        assert done.returncode == 0, done.stdout
        return objects[-1]

    try:
        yield apply
    finally:
        lab.run("kubectl", "delete", "--ignore-not-found", "-f", str(path))
        path.unlink()


def settled(lab: LiveLab, item: dict[str, Any]) -> dict[str, Any]:
    """The condition Ready of an object, as it is some time after somebody first wrote it."""
    metadata = item["metadata"]
    place = ["-n", metadata["namespace"]] if "namespace" in metadata else []
    group = item["apiVersion"].partition("/")[0]
    deadline = time.monotonic() + 180
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < deadline:
        time.sleep(0.5)
        now = kubectl(lab, *place, "get", f"{item['kind'].lower()}s.{group}", metadata["name"])
        found = [each for each in now.get("status", {}).get("conditions", []) if each["type"] == "Ready"]
    assert len(found) == 1, f"{found}; the operators say: {lab.operators()}"
    return found[0]


@pytest.mark.parametrize("wrong", WRONG)
def test_the_lab_does_not_make_ready(lab: LiveLab, applied: Any, wrong: str) -> None:
    objects, told = WRONG[wrong]
    ready = settled(lab, applied(objects))
    assert (ready["status"], ready["message"]) == ("False", told)


def test_the_lab_gives_no_address_that_no_pool_has(lab: LiveLab, applied: Any) -> None:
    service = made("v1", "Service", "no-pool", NAMESPACE, {"type": "LoadBalancer", "ports": [{"port": 80}]})
    service["metadata"]["annotations"] = {"metallb.io/loadBalancerIPs": "192.0.2.1"}
    applied([service])
    deadline = time.monotonic() + 180
    told: list[str] = []
    while not told and time.monotonic() < deadline:
        time.sleep(0.5)
        events = kubectl(lab, "-n", NAMESPACE, "get", "events")["items"]
        told = [each["message"] for each in events if each["involvedObject"]["name"] == "no-pool"]
    assert told == ['Failed to allocate IP for "powerdns/no-pool": ["192.0.2.1"] is not allowed in config'], (
        lab.operators()
    )
    assert kubectl(lab, "-n", NAMESPACE, "get", "service/no-pool")["status"] == {"loadBalancer": {}}


def test_every_address_of_the_platform_is_announced(lab: LiveLab) -> None:
    services = kubectl(lab, "get", "services", "--all-namespaces")["items"]
    with_address = {
        f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        for each in services
        if each["status"]["loadBalancer"].get("ingress")
    }
    statuses = kubectl(lab, "-n", "metallb-system", "get", "servicel2statuses.metallb.io")["items"]
    announced = {f"{each['status']['serviceNamespace']}/{each['status']['serviceName']}" for each in statuses}
    assert announced == with_address
    assert announced >= {"nginx-ingress/nginx-ingress-controller", "powerdns/powerdns"}
