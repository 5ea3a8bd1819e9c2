"""Vault, as its operator reports it, and what Vault itself answers to a login and a request.

The servers are not there; what they would hold is what the resource's `externalConfig` says, once bank-vaults has
applied it, and what PushSecrets have written. After pkg/controller/vault/vault_controller.go of vault-operator 1.24,
and Vault's Kubernetes auth method, ACL policies and KV engine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lab.operators.world import Kind, Object, Outcome, Rule, World, holds, value

VAULT = Kind("Vault", "vault.banzaicloud.com/v1alpha1", "vaults", status_subresource=False)
OPERATOR = "vault-operator"

_RULE = re.compile(r'path\s+"([^"]+)"\s*{\s*capabilities\s*=\s*\[([^\]]*)\]')
_NAMESPACE_OF_LOGIN = re.compile(r"{{identity\.entity\.aliases\..+?\.metadata\.service_account_namespace}}")


def _vault(item: Object, world: World) -> Outcome:
    problem = _problem(item, world)
    nodes = [f"{item['metadata']['name']}-{index}" for index in range(item["spec"].get("size", 1))]
    healthy = {"type": "Healthy", "status": "False" if problem else "True"}
    if problem:
        return Outcome({"conditions": [healthy | {"error": problem}], "leader": "", "nodes": []})
    return Outcome({"conditions": [healthy], "leader": nodes[0], "nodes": nodes})


def _problem(item: Object, world: World) -> str | None:
    """Why its pods do not come up."""
    spec, namespace = item["spec"], item["metadata"]["namespace"]
    account = spec.get("serviceAccount", "default")
    if world.find("ServiceAccount", account, namespace) is None:
        return f'pods "{item["metadata"]["name"]}-0" is forbidden: serviceaccount "{account}" not found'
    if (name := spec.get("existingTlsSecretName")) is not None:
        keypair = world.find("Secret", name, namespace)
        if keypair is None:
            return f'MountVolume.SetUp failed for volume "vault-tls": secret "{name}" not found'
        for each in ("ca.crt", "tls.crt", "tls.key"):
            if value(keypair, each) is None:
                return f'MountVolume.SetUp failed for volume "vault-tls": references non-existent secret key: {each}'
    for claim in spec.get("volumeClaimTemplates", []):
        storage = claim["spec"].get("storageClassName")
        if storage is not None and world.find("StorageClass", storage) is None:
            return f'storageclass.storage.k8s.io "{storage}" not found'
    return None


@dataclass(frozen=True)
class Server:
    """Vault, as one store reaches it for one namespace."""

    configuration: Object
    store: Object
    namespace: str

    def refusal(self, path: str, *capabilities: str, endpoint: str = "data") -> str | None:
        """Why a request is refused; with version 1 in the store, its path has no endpoint of the KV engine."""
        provider = self.store["spec"]["provider"]["vault"]
        version = provider.get("version", "v2")
        asked = f"{provider['path']}/{f'{endpoint}/' if version == 'v2' else ''}{path}"
        if not set(capabilities) <= self._capabilities(provider["auth"]["kubernetes"]["role"], asked):
            return f"{asked}: Code: 403. Errors: permission denied"
        engines = {each["path"]: each for each in self.configuration.get("secrets", [])}
        options = engines.get(provider["path"], {}).get("options", {})
        if provider["path"] not in engines or f"v{options.get('version', '1')}" != version:
            return f"{asked}: Code: 404. Errors: no handler for route"
        return None

    def _capabilities(self, role: str, path: str) -> set[str]:
        given: set[str] = set()
        for name in _role(self.configuration, self.store, role).get("token_policies", []):
            for policy in self.configuration.get("policies", []):
                if policy["name"] == name:
                    for pattern, listed in _RULE.findall(policy["rules"]):
                        if _matches(_NAMESPACE_OF_LOGIN.sub(self.namespace, pattern), path):
                            given |= set(re.findall(r'"([a-z]+)"', listed))
        return given


def _matches(pattern: str, path: str) -> bool:
    expression = re.escape(pattern).replace(r"\+", "[^/]+")
    return re.fullmatch(expression.removesuffix(r"\*") + (".*" if pattern.endswith("*") else ""), path) is not None


def _role(configuration: Object, store: Object, name: str) -> dict[str, Any]:
    mount = store["spec"]["provider"]["vault"]["auth"]["kubernetes"].get("mountPath", "kubernetes")
    for method in configuration.get("auth", []):
        if method["type"] == "kubernetes" and method.get("path", "kubernetes") == mount:
            return next((dict(role) for role in method.get("roles", []) if role["name"] == name), {})
    return {}


def login(store: Object, namespace: str, world: World) -> Server:
    """Log in through a store for a namespace. Raises LookupError in the words of whoever refuses."""
    provider = store["spec"]["provider"]["vault"]
    resource = _reached(provider, world)
    kubernetes = provider["auth"]["kubernetes"]
    account = kubernetes["serviceAccountRef"]["name"]
    if world.find("ServiceAccount", account, namespace) is None:
        raise LookupError(
            f'cannot request Kubernetes service account token for service account "{account}": '
            f'serviceaccounts "{account}" not found'
        )
    server = Server(resource["spec"].get("externalConfig", {}), store, namespace)
    role = _role(server.configuration, store, kubernetes["role"])
    audiences = kubernetes["serviceAccountRef"].get("audiences", [])
    where = f"unable to log in with Kubernetes auth: {provider['server']}/v1/auth/{kubernetes['mountPath']}/login: "
    if not role:
        raise LookupError(f'{where}Code: 400. Errors: invalid role name "{kubernetes["role"]}"')
    if account not in role["bound_service_account_names"]:
        raise LookupError(f"{where}Code: 403. Errors: service account name not authorized")
    if namespace not in role["bound_service_account_namespaces"]:
        raise LookupError(f"{where}Code: 403. Errors: namespace not authorized")
    if role.get("audience") and role["audience"] not in audiences:
        told = "invalid audience (aud) claim: audience claim does not match any expected audience"
        raise LookupError(f"{where}Code: 403. Errors: {told}")
    return server


def _reached(provider: Object, world: World) -> Object:
    """The Vault that a store's address leads to, if its certificate passes."""
    host = str(urlsplit(provider["server"]).hostname)
    name, _, rest = host.partition(".")
    namespace = rest.partition(".")[0]
    resource = world.find(VAULT.name, name, namespace)
    if resource is None:
        raise LookupError(f"dial tcp: lookup {host}: no such host")
    if not holds(resource, "Healthy"):
        raise LookupError(f"Get {provider['server']}: connect: connection refused")
    served = world.find("Secret", resource["spec"].get("existingTlsSecretName"), namespace)
    trusted = provider["caProvider"]
    known = world.find("Secret", trusted["name"], trusted.get("namespace", ""))
    if value(known, trusted["key"]) != value(served, "ca.crt"):
        raise LookupError("tls: failed to verify certificate: x509: certificate signed by unknown authority")
    return resource


RULES = (Rule(VAULT, OPERATOR, _vault),)
