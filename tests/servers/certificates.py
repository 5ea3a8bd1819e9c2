"""The real programs behind public certificates: cert-manager's controllers, and Pebble in place of Let's Encrypt.

cert-manager's webhook for PowerDNS is not a Go module. A `cert-manager-webhook-pdns` on PATH is used; otherwise the
lab's own solver, which differs in nothing but what it does at PowerDNS.
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab.programs import ensure
from lab.session import outer_path
from tests.servers.kubernetes import KubernetesApi, certificate, pem
from tests.servers.names import Manifest, Names, answers, chart_objects, module, release_values
from tests.servers.pods import pod
from tests.servers.processes import eventually, free_ports, server

NAMESPACE = "cert-manager"
WEBHOOK = "cert-manager-webhook-pdns"
VERSION = "v1.21.1"
RIGHTS = ("CustomResourceDefinition", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


@dataclass(frozen=True)
class Authority:
    """A running Pebble."""

    directory: str
    """URL of its ACME directory."""
    certificate: str
    """By which its HTTPS is known, in PEM."""


def write_pair(directory: Path, name: str, *names: str) -> str:
    """Write `<name>.crt` and `<name>.key` for a server on 127.0.0.1; gives the certificate, which signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    text = certificate(name, key, name, key, *names).public_bytes(serialization.Encoding.PEM)
    (directory / f"{name}.crt").write_bytes(text)
    (directory / f"{name}.key").write_bytes(pem(key))
    return text.decode()


@contextlib.contextmanager
def pebble(directory: Path, resolver: str) -> Iterator[Authority]:
    """An ACME server that asks `resolver` (host:port) for every name."""
    listen, manage = (f"127.0.0.1:{port}" for port in free_ports(2))
    known_by = write_pair(directory, "pebble")
    configuration = {
        "listenAddress": listen,
        "managementListenAddress": manage,
        "certificate": str(directory / "pebble.crt"),
        "privateKey": str(directory / "pebble.key"),
        "httpPort": 80,
        "tlsPort": 443,
        "keyAlgorithm": "ecdsa",
        "retryAfter": {"authz": 1, "order": 1},
    }
    file = directory / "pebble.json"
    file.write_text(json.dumps({"pebble": configuration}))
    with server(
        "pebble",
        [str(ensure(["pebble"])["pebble"].path), "-config", str(file), "-dnsserver", resolver],
        directory=directory,
        ready=lambda: f"Listening on: {listen}" in (directory / "pebble.log").read_text(),
        environment={"PEBBLE_VA_NOSLEEP": "1"},
    ):
        yield Authority(f"https://{listen}/dir", known_by)


def cert_manager_objects(directory: Path) -> list[Manifest]:
    """What cert-manager's chart, which is in its module, renders with the program's values."""
    chart = directory / "cert-manager-chart"
    shutil.copytree(
        module("github.com/cert-manager/cert-manager", "certificates") / "deploy/charts/cert-manager", chart
    )
    (chart / "Chart.yaml").chmod(0o644)
    with (chart / "Chart.yaml").open("a") as metadata:
        metadata.write(f"\nversion: {VERSION}\nappVersion: {VERSION}\n")
    return chart_objects(chart, "cert-manager", NAMESPACE, release_values("cert-manager"), directory)


@contextlib.contextmanager
def cert_manager(api: KubernetesApi, running: Names, directory: Path) -> Iterator[Path]:
    """cert-manager's controllers with the chart's arguments and rights; gives the path of their log.

    They check a challenge's record at the test's server alone: nobody delegates the zone to it.
    """
    objects = cert_manager_objects(directory)
    api.namespace(NAMESPACE)
    api.apply(*(item for item in objects if item["kind"] in RIGHTS))
    [deployment] = [i for i in objects if i["kind"] == "Deployment" and i["metadata"]["name"] == "cert-manager"]
    [rendered] = deployment["spec"]["template"]["spec"]["containers"]
    [health] = free_ports(1)
    command = [
        str(ensure(["cert-manager-controller"])["cert-manager-controller"].path),
        *(argument.replace("$(POD_NAMESPACE)", NAMESPACE) for argument in rendered["args"]),
        f"--healthz-listen-address=127.0.0.1:{health}",
        f"--dns01-recursive-nameservers={running.address}:{running.server.port}",
        "--dns01-recursive-nameservers-only",
        "--dns01-check-retry-period=1s",
    ]
    url = f"http://127.0.0.1:{health}/livez"
    with pod(api, NAMESPACE, "cert-manager", command, directory=directory, ready=lambda: answers(url)) as log:
        yield log


@contextlib.contextmanager
def webhook(api: KubernetesApi, group: str, directory: Path) -> Iterator[Path]:
    """The DNS-01 webhook as an API server of its own, to which Kubernetes' passes requests on; gives its log's path."""
    [port] = free_ports(1)
    name = f"{WEBHOOK}.{NAMESPACE}.svc"
    known_by = write_pair(directory, "webhook", name)
    api.apply(*_rights(group))
    command = [
        *("env", f"GROUP_NAME={group}", webhook_program()),
        *(f"--tls-cert-file={directory / 'webhook.crt'}", f"--tls-private-key-file={directory / 'webhook.key'}"),
        *("--bind-address=127.0.0.1", f"--secure-port={port}"),
    ]
    with pod(api, NAMESPACE, WEBHOOK, command, directory=directory, ready=lambda: True) as log:
        api.apply(*_registration(group, port, known_by))
        eventually(lambda: _registered(api, group) or None, "registered webhook", seconds=120)
        yield log


def webhook_program() -> str:
    """Path of the webhook's program: the real one where it is installed."""
    return shutil.which(WEBHOOK, path=outer_path()) or str(ensure(["dns01-solver"])["dns01-solver"].path)


def _registered(api: KubernetesApi, group: str) -> bool:
    found = api.get("apiregistration.k8s.io/v1", "APIService", f"v1alpha1.{group}")
    return any(
        one["type"] == "Available" and one["status"] == "True" for one in found.get("status", {}).get("conditions", [])
    )


def _registration(group: str, port: int, known_by: str) -> list[Manifest]:
    """The APIService, and a Service that leads to this machine instead of to pods."""
    place = {"name": WEBHOOK, "namespace": NAMESPACE}
    spec = {
        "group": group,
        "version": "v1alpha1",
        "groupPriorityMinimum": 1000,
        "versionPriority": 15,
        "service": place | {"port": port},
        "caBundle": base64.b64encode(known_by.encode()).decode(),
    }
    external = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": external},
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"v1alpha1.{group}"},
            "spec": spec,
        },
    ]


def _rights(group: str) -> Sequence[Manifest]:
    """What the webhook's chart grants: to read Secrets and to ask whom to trust, and its group to cert-manager."""
    api_version = "rbac.authorization.k8s.io/v1"
    account = {"kind": "ServiceAccount", "name": WEBHOOK, "namespace": NAMESPACE}
    solve = f"{WEBHOOK}:domain-solver"

    def role(name: str, group: str, resource: str, verb: str) -> Manifest:
        rules = [{"apiGroups": [group], "resources": [resource], "verbs": [verb]}]
        return {"apiVersion": api_version, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}

    def binding(name: str, kind: str, role_name: str, subject: Manifest, **place: str) -> Manifest:
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role_name}
        metadata = {"name": name, **place}
        bound = {"apiVersion": api_version, "kind": f"{kind}Binding", "metadata": metadata}
        return bound | {"roleRef": reference, "subjects": [subject]}

    reader = "extension-apiserver-authentication-reader"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": WEBHOOK, "namespace": NAMESPACE}},
        role(WEBHOOK, "", "secrets", "get"),
        binding(WEBHOOK, "ClusterRole", WEBHOOK, account),
        binding(f"{WEBHOOK}:auth-delegator", "ClusterRole", "system:auth-delegator", account),
        binding(f"{WEBHOOK}:webhook-authentication-reader", "Role", reader, account, namespace="kube-system"),
        role(solve, group, "*", "create"),
        binding(solve, "ClusterRole", solve, account | {"name": "cert-manager"}),
    ]
