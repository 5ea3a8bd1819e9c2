"""External Secrets in real pods, on the Vault of `vault_in_pods`, with the store and rights of stack `prod`.

`tests.servers.external_secrets` says which release it is, and what that cannot do: so what generators and PushSecrets
would write into Vault, the tests write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.secrets.secret_spec import OPERATOR_NAMESPACE as NAMESPACE
from tests.lab import vault_in_pods
from tests.lab.pods_cluster import PodsCluster
from tests.servers import names
from tests.servers.external_secrets import ACCOUNTS, STORE, definitions, for_this_release, operator_objects
from tests.servers.manifests import manifests

IMAGES = ("external-secrets",)
PARTS = {"external-secrets": 2, "external-secrets-webhook": 2}
"""How many pods there are of each name."""

Manifest = dict[str, Any]

_CHART = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Certificate", "Deployment")


def bring_up(cluster: PodsCluster, directory: Path, *consumers: str) -> None:
    """Make the operator, and the store for namespaces that read from it; does not wait for it.

    consumers: the namespaces, which are made as well.
    """
    used = (NAMESPACE, *consumers)
    cluster.define(*definitions())
    cluster.apply(*(item for item in manifests(names.graph(), "Namespace") if item["metadata"]["name"] in used))
    own = manifests(names.graph(), *ACCOUNTS, "NetworkPolicy")
    cluster.apply(*(item for item in own if item["metadata"].get("namespace") in used))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=600s")
    cluster.apply(*(_into(NAMESPACE, item) for item in operator_objects(directory) if item["kind"] in _CHART))
    cluster.apply(*(each for item in manifests(names.graph(), STORE) for each in for_this_release(item)))


def external(name: str, namespace: str) -> Manifest:
    """The program's ExternalSecret."""
    found = manifests(names.graph(), "ExternalSecret")
    [only] = [item for item in found if (item["metadata"]["name"], item["metadata"]["namespace"]) == (name, namespace)]
    return only


def give(cluster: PodsCluster, wanted: Manifest, value: str) -> None:
    """Write the value that an ExternalSecret reads into Vault, whose configuration must be there."""
    [entry] = wanted["spec"]["data"]
    written = {"data": {entry["remoteRef"]["property"]: value}, "options": {"cas": 0}}
    path = f"kv/data/{entry['remoteRef']['key']}"
    cluster.until("a written value", lambda: "data" in vault_in_pods.ask(cluster, "POST", path, written))


def _into(namespace: str, item: Manifest) -> Manifest:
    if item["kind"].startswith("Cluster"):
        return item
    return item | {"metadata": {"namespace": namespace} | item["metadata"]}
