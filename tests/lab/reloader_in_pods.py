"""Reloader on a cluster with real pods: its Deployment from the chart's record, what it does played by the lab's rule.

Its program cannot be had, so its pods are played. The pods that it restarts are real.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator

from checks.model import records
from lab.operators.reloader import OPERATOR
from tests.lab.pods_cluster import PodsCluster
from tests.servers import names
from tests.servers.manifests import manifests

CHART = NAMESPACE = "reloader"
PODS = "app=reloader-reloader"


@contextlib.contextmanager
def working(cluster: PodsCluster) -> Iterator[None]:
    """While it restarts workloads; what has changed before does not count."""
    cluster.apply(*(item for item in manifests(names.graph(), "Namespace") if item["metadata"]["name"] == NAMESPACE))
    [made] = records.read()[CHART].made
    cluster.apply(*(item for item in made.objects if item["kind"] in ("ServiceAccount", "Deployment")))
    [deployment] = [item for item in made.objects if item["kind"] == "Deployment"]
    cluster.until(OPERATOR, lambda: cluster.ready(NAMESPACE, PODS, deployment["spec"]["replicas"]))
    [kubeconfig] = (cluster.directory / "state").rglob("lab.kubeconfig")
    real = [f"--real={repository}" for repository in json.loads((cluster.directory / "images.json").read_text())]
    with cluster.until_input_ends(sys.executable, "-m", "lab.operators", "--kubeconfig", str(kubeconfig), *real):
        yield
