"""cert-manager and the program's own authority as stack `prod` has them, in real pods.

The chart is cert-manager's own, with the program's values. Its controllers run, put together from its module
(`lab/certificates`); its webhook and its CA injector are played: the API server of a lab calls no webhook.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.lab.pods_cluster import PodsCluster
from tests.servers import names
from tests.servers.certificates import NAMESPACE, RIGHTS, cert_manager_objects
from tests.servers.manifests import manifests

IMAGES = ("cert-manager",)
CONTROLLERS = "app.kubernetes.io/name=cert-manager,app.kubernetes.io/component=controller"
AUTHORITY = "cluster-ca"

_OWN = (AUTHORITY, "cluster-ca-bootstrap")
_DEFINITION = "CustomResourceDefinition"


def bring_up(cluster: PodsCluster, directory: Path) -> None:
    """Make cert-manager, and wait until the program's authority can sign."""
    objects = cert_manager_objects(directory)
    cluster.apply(*(item for item in manifests(names.graph(), "Namespace") if item["metadata"]["name"] == NAMESPACE))
    defined = directory / "cert-manager-definitions.json"
    kinds = [item for item in objects if item["kind"] == _DEFINITION]
    defined.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": kinds}))
    cluster.define(defined)
    cluster.apply(*(item for item in objects if item["kind"] in (*RIGHTS, "Service") and item["kind"] != _DEFINITION))
    cluster.apply(*(item for item in objects if item["kind"] == "Deployment"))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=600s")
    own = manifests(names.graph(), "Issuer", "Certificate", "ClusterIssuer")
    cluster.apply(*(item for item in own if item["metadata"]["name"] in _OWN))
    cluster.kubectl("wait", "--for=condition=Ready", f"clusterissuer/{AUTHORITY}", "--timeout=600s")


def issue(cluster: PodsCluster, name: str) -> None:
    """Make one of the program's Certificates that its own authority signs, and wait for it."""
    [wanted] = [item for item in manifests(names.graph(), "Certificate") if item["metadata"]["name"] == name]
    cluster.apply(wanted)
    ready = ("wait", "--for=condition=Ready", f"certificate/{name}", "-n", wanted["metadata"]["namespace"])
    cluster.kubectl(*ready, "--timeout=600s")
