"""Says of each workload of a cluster whether its pods were real, played, or not there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PLAYED_FOR = "lab.invalid/played-for"
"""Annotation of a pod that waits in the place of images that the lab does not have."""

REAL = ("lab.invalid/kubelet", "real")
"""Label of a node with a real kubelet."""

_KINDS = "deployments.apps,statefulsets.apps,daemonsets.apps,jobs.batch"


def table(kubectl: Path, kubeconfig: Path) -> list[tuple[str, str]]:
    """Each workload by kind, namespace and name, with how many of its pods were what.

    Raises:
        subprocess.CalledProcessError: if the API server does not answer.
    """
    workloads, pods, nodes = (_list(kubectl, kubeconfig, kinds) for kinds in (_KINDS, "pods", "nodes"))
    real = {node["metadata"]["name"] for node in nodes if node["metadata"]["labels"].get(REAL[0]) == REAL[1]}
    return [(_name(each), _said([pod for pod in pods if _of(pod, each)], real)) for each in workloads]


def _said(pods: list[Mapping[str, Any]], real: set[str]) -> str:
    kinds = ["real" if _runs(pod, real) else "played" for pod in pods]
    counts = {kind: kinds.count(kind) for kind in ("real", "played") if kind in kinds}
    missing = sorted(
        {image for pod in pods for image in (pod["metadata"].get("annotations") or {}).get(PLAYED_FOR, "").split()}
    )
    said = ", ".join(f"{kind} ({count})" for kind, count in counts.items()) or "absent: no pod"
    return f"{said}; no image {' '.join(missing)}" if missing else said


def _runs(pod: Mapping[str, Any], real: set[str]) -> bool:
    on_real = pod["spec"].get("nodeName") in real
    return on_real and PLAYED_FOR not in (pod["metadata"].get("annotations") or {})


def _name(workload: Mapping[str, Any]) -> str:
    return f"{workload['kind']} {workload['metadata']['namespace']}/{workload['metadata']['name']}"


def _of(pod: Mapping[str, Any], workload: Mapping[str, Any]) -> bool:
    wanted = (workload["spec"].get("selector") or {}).get("matchLabels") or {}
    labels = pod["metadata"].get("labels") or {}
    same = pod["metadata"]["namespace"] == workload["metadata"]["namespace"]
    return bool(wanted) and same and wanted.items() <= labels.items()


def _list(kubectl: Path, kubeconfig: Path, kinds: str) -> list[dict[str, Any]]:
    command = [str(kubectl), "--kubeconfig", str(kubeconfig), "get", kinds, "--all-namespaces", "--output=json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout)["items"])
