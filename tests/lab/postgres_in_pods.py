"""CloudNativePG and the program's database as stack `prod` has them, in real pods.

The operator's definitions and rights are those of its module, its Deployment is that of the chart with the program's
values, from the record: nobody here has the chart. Volumes are directories, usable on any node.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import yaml

from checks.model import records
from components.kit.safe_yaml import LOADER
from lab import programs
from tests.lab import secrets_in_pods
from tests.lab.pods_cluster import PodsCluster, storage_class
from tests.servers import names
from tests.servers.manifests import manifests

IMAGES = ("cloudnative-pg", "postgres")
OPERATOR_NAMESPACE, TOOL = "cnpg-system", "cloudnative-pg"
OPERATOR = f"app.kubernetes.io/name={TOOL}"
MODULE = "github.com/cloudnative-pg/cloudnative-pg"

Manifest = dict[str, Any]

_ROLE = "cnpg-manager"
_OF_MODULE = ("CustomResourceDefinition", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_OF_CHART = ("ServiceAccount", "ClusterRoleBinding", "Service", "Deployment")
_SETTINGS, _QUERIES = "cnpg-controller-manager-config", "cnpg-default-monitoring"


def database() -> Manifest:
    """The program's database."""
    [found] = manifests(names.graph(), "Cluster")
    return found


NAMESPACE, NAME = (database()["metadata"][key] for key in ("namespace", "name"))
PASSWORD = "only-letters-1"
"""Of the database's owner, at first."""

SERVERS = f"cnpg.io/cluster={NAME},cnpg.io/podRole=instance"


def owner() -> Manifest:
    """The ExternalSecret of the database's owner."""
    return secrets_in_pods.external(database()["spec"]["bootstrap"]["initdb"]["secret"]["name"], NAMESPACE)


def bring_up_operator(cluster: PodsCluster, directory: Path) -> None:
    """Make the operator; does not wait for it."""
    namespaces = manifests(names.graph(), "Namespace")
    cluster.apply(*(item for item in namespaces if item["metadata"]["name"] in (OPERATOR_NAMESPACE, NAMESPACE)))
    file = directory / "cloudnative-pg.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": _of_module()}))
    cluster.define(file)
    cluster.apply(*_of_chart())


def bring_up_database(cluster: PodsCluster) -> None:
    """Make the database and who may reach it, once its owner's Secret is there. Does not wait for its servers."""
    ready = ("wait", "--for=condition=Ready", f"externalsecret/{owner()['metadata']['name']}", "-n", NAMESPACE)
    cluster.kubectl(*ready, "--timeout=600s")
    wanted = database()
    own = manifests(names.graph(), "NetworkPolicy")
    cluster.apply(*(item for item in own if item["metadata"]["namespace"] == NAMESPACE))
    cluster.apply(storage_class(wanted["spec"]["storage"]["storageClass"]))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=600s")
    cluster.apply(wanted)


def primary(cluster: PodsCluster) -> str:
    """The server that takes writes, as the operator says."""
    status = cluster.get("clusters.postgresql.cnpg.io", NAME, "-n", NAMESPACE).get("status", {})
    return str(status.get("currentPrimary", ""))


def client(name: str, script: str) -> Manifest:
    """A pod that runs a script as one of the database's clients: with what the program gives the Job that copies it."""
    [backup] = [item for item in manifests(names.graph(), "CronJob") if item["metadata"]["namespace"] == NAMESPACE]
    template = copy.deepcopy(backup["spec"]["jobTemplate"]["spec"]["template"])
    spec = template["spec"]
    [container] = spec["containers"]
    container["command"] = ["sh", "-c", script]
    container["env"].append({"name": "PGCONNECT_TIMEOUT", "value": "2"})
    container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["name"] == "authority"]
    spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] == "authority"]
    spec["terminationGracePeriodSeconds"] = 0
    metadata = template["metadata"] | {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _of_chart() -> list[Manifest]:
    """Without labels of its own, which the record leaves out, the operator does not find its Deployment."""
    [made] = records.read()[TOOL].made
    found = [copy.deepcopy(item) for item in made.objects if item["kind"] in _OF_CHART]
    for item in found:
        if item["kind"] == "Deployment":
            item["metadata"]["labels"] = item["spec"]["selector"]["matchLabels"]
    return found


def _of_module() -> list[Manifest]:
    version = programs.TOOLS[TOOL].binary.version()
    release = names.module(MODULE, f"tools/{TOOL}") / f"releases/cnpg-{version}.yaml"
    found = []
    for item in yaml.load_all(release.read_text(), LOADER):
        kind, name = item["kind"], item["metadata"]["name"]
        if kind in _OF_MODULE or (kind, name) == ("ConfigMap", _QUERIES):
            found.append(item)
        elif (kind, name) == ("ClusterRole", _ROLE):
            found.append(item | {"metadata": {"name": TOOL}})
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": _SETTINGS, "namespace": OPERATOR_NAMESPACE},
    }
    return [*found, settings]
