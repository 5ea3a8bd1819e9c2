"""Vault as stack `prod` has it, in real pods: what its operator would make of the program's resource.

The operator is in no Go module. What it makes was read in its source (pkg/controller/vault/vault_controller.go, tag
v1.24.0); `tests.servers.vault_pods` says how it merges the resource's pod specs into its own. The certificate comes
from the authority of `certificates_in_pods`. Volumes are directories, usable on any node.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.lab import certificates_in_pods
from tests.lab.pods_cluster import PodsCluster, storage_class
from tests.servers import names
from tests.servers.manifests import manifests
from tests.servers.vault_pods import configurer_pod, stateful_set

NAMESPACE = "vault"
SERVERS = "app.kubernetes.io/name=vault,vault_cr=instance"
CONFIGURER = "app.kubernetes.io/name=vault-configurator"
IMAGES = ("vault", "bank-vaults")
SIZE = 3
"""How many servers there are."""

Manifest = dict[str, Any]

_OWN = ("Namespace", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy")
_POLICIES = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
_POD_NAME = {"fieldRef": {"fieldPath": "metadata.name"}}
_PORTS = [{"name": "api-port", "port": 8200}, {"name": "cluster-port", "port": 8201}, {"name": "metrics", "port": 9091}]


def resource() -> Manifest:
    """The program's Vault."""
    [found] = manifests(names.graph(), "Vault")
    return found


def bring_up(cluster: PodsCluster) -> None:
    """Make everything; does not wait for the servers."""
    vault = resource()
    [claim] = vault["spec"]["volumeClaimTemplates"]
    cluster.apply(*(item for item in manifests(names.graph(), "Namespace") if item["metadata"]["name"] == NAMESPACE))
    cluster.apply(*(item for item in manifests(names.graph(), *_OWN) if item["metadata"].get("namespace") == NAMESPACE))
    bindings = manifests(names.graph(), "ClusterRoleBinding")
    cluster.apply(*(item for item in bindings if "vault" in item["metadata"]["name"]))
    cluster.apply(*manifests(names.graph(), *_POLICIES))
    certificates_in_pods.issue(cluster, vault["spec"]["existingTlsSecretName"])
    cluster.apply(storage_class(claim["spec"]["storageClassName"]), *_secrets(vault), *_services(vault))
    cluster.apply(_servers(vault), _configurer(vault))


def ask(cluster: PodsCluster, method: str, path: str, body: object = None) -> dict[str, Any]:
    """A request to the active server, with the root token that the unsealer keeps; no answer is an empty one.

    There is none either before the unsealer has a token, which it has of a server that it has initialised.
    """
    keys = resource()["spec"]["unsealConfig"]["kubernetes"]["secretName"]
    kept = cluster.kubectl("get", "secret", keys, "-n", NAMESPACE, "-o", "jsonpath={.data.vault-root}", check=False)
    if not kept:
        return {}
    token = base64.b64decode(kept).decode()
    address = cluster.get("service", "instance", "-n", NAMESPACE)["spec"]["clusterIP"]
    request = ["curl", "-sSk", "--max-time", "2", "-X", method, "-H", f"X-Vault-Token: {token}"]
    data = [] if body is None else ["-d", json.dumps(body)]
    said = cluster.inside(*request, *data, f"https://{address}:8200/v1/{path}", check=False)
    return dict(json.loads(said)) if said.startswith("{") else {}


def _secrets(vault: Manifest) -> Iterator[Manifest]:
    """The servers' configuration, and the configurer's."""
    name, spec = vault["metadata"]["name"], vault["spec"]
    config = dict(spec["config"])
    # What the operator adds for `serviceRegistrationEnabled`.
    config["service_registration"] = {"kubernetes": {"namespace": NAMESPACE}}
    yield _secret(f"{name}-raw-config", {"vault-config.json": json.dumps(config)})
    yield _secret(f"{name}-configurer", {"vault-config.yml": json.dumps(spec["externalConfig"])})


def _secret(name: str, values: Mapping[str, str]) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(values)}


def _services(vault: Manifest) -> Iterator[Manifest]:
    """One for the active server, and one for each server, ready or not."""
    name = vault["metadata"]["name"]
    own = {"app.kubernetes.io/name": "vault", "vault_cr": name}
    yield _service(name, {"selector": {**own, "vault-active": "true"}})
    for index in range(int(vault["spec"]["size"])):
        selector = {**own, "statefulset.kubernetes.io/pod-name": f"{name}-{index}"}
        yield _service(f"{name}-{index}", {"selector": selector, "publishNotReadyAddresses": True})


def _service(name: str, spec: Mapping[str, Any]) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": _PORTS, **spec}}


def _servers(vault: Manifest) -> Manifest:
    made = stateful_set(vault | {"metadata": {"uid": "", **vault["metadata"]}})
    del made["metadata"]["ownerReferences"]
    name, spec = vault["metadata"]["name"], made["spec"]["template"]["spec"]
    config, tls = (
        {"name": "vault-config", "mountPath": "/vault/config"},
        {"name": "vault-tls", "mountPath": "/vault/tls"},
    )
    given = vault["spec"]["volumeMounts"]
    server, sidecar = spec["containers"]
    [template] = spec["initContainers"]
    spec["volumes"] = [_tls(vault), spec["volumes"][1], _volume("vault-raw-config", f"{name}-raw-config")]
    template["command"] = ["template", "-template", "/tmp/vault-config.json:/vault/config/vault.json"]  # noqa: S108
    template["env"] = [{"name": "POD_NAME", "valueFrom": _POD_NAME}]
    raw = {"name": "vault-raw-config", "mountPath": "/tmp"}  # noqa: S108
    template["volumeMounts"] = [*given, config, tls, raw]
    server["env"] = [{"name": "VAULT_K8S_POD_NAME", "valueFrom": _POD_NAME}]
    server["ports"] = [{"name": port["name"], "containerPort": port["port"]} for port in _PORTS[:2]]
    server["volumeMounts"] = [*given, config, tls]
    server["startupProbe"] = _probe("/v1/sys/init", periodSeconds=10, failureThreshold=18)
    server["livenessProbe"] = _probe("/v1/sys/init")
    health = "/v1/sys/health?standbyok=true&perfstandbyok=true&drsecondarycode=299"
    server["readinessProbe"] = _probe(health, periodSeconds=5, failureThreshold=2)
    sidecar["command"] += ["--raft", "--raft-leader-address", f"https://{name}:8200"]
    sidecar["args"] = _unsealing(vault)
    sidecar["env"] = [*_client("127.0.0.1"), {"name": "POD_NAME", "valueFrom": _POD_NAME}]
    sidecar["volumeMounts"] = [tls]
    return made


def _configurer(vault: Manifest) -> Manifest:
    """The Deployment that applies the configuration."""
    name = vault["metadata"]["name"]
    pod = configurer_pod(vault["spec"], name, NAMESPACE)
    labels, spec = pod["metadata"]["labels"], pod["spec"]
    [container] = spec["containers"]
    file = f"/config/{name}-configurer/vault-config.yml"
    container["args"] = [*_unsealing(vault), "--vault-config-file", file]
    container["env"] = [*_client(f"{name}.{NAMESPACE}"), {"name": "NAMESPACE", "value": NAMESPACE}]
    container["volumeMounts"] = [
        {"name": "vault-tls", "mountPath": "/vault/tls"},
        {"name": f"{name}-configurer", "mountPath": f"/config/{name}-configurer"},
    ]
    spec["volumes"] = [_tls(vault), _volume(f"{name}-configurer", f"{name}-configurer")]
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{name}-configurer", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def _client(host: str) -> list[Manifest]:
    return [
        {"name": "VAULT_ADDR", "value": f"https://{host}:8200"},
        {"name": "VAULT_CACERT", "value": "/vault/tls/ca.crt"},
    ]


def _unsealing(vault: Manifest) -> list[str]:
    unseal = vault["spec"]["unsealConfig"]
    return [
        *("--mode", "k8s", "--k8s-secret-namespace", unseal["kubernetes"]["secretNamespace"]),
        *("--k8s-secret-name", unseal["kubernetes"]["secretName"]),
        *("--secret-shares", str(unseal["options"]["secretShares"])),
        *("--secret-threshold", str(unseal["options"]["secretThreshold"])),
    ]


def _tls(vault: Manifest) -> Manifest:
    paths = {"ca.crt": "ca.crt", "tls.crt": "server.crt", "tls.key": "server.key"}
    items = [{"key": key, "path": path} for key, path in paths.items()]
    return {"name": "vault-tls", "secret": {"secretName": vault["spec"]["existingTlsSecretName"], "items": items}}


def _volume(name: str, secret: str) -> Manifest:
    return {"name": name, "secret": {"secretName": secret}}


def _probe(path: str, **timing: int) -> Manifest:
    return {"httpGet": {"scheme": "HTTPS", "port": "api-port", "path": path}, **timing}
