"""Lab charts: small charts of our own with the names, versions and objects that later parts of the program rely on.

They are written from the table `charts.yaml`, one for each chart that the program or `gitops/` pins, in the layout that
the setting `charts.mirror` expects. They stand in for the real charts only where those cannot be had: they prove the
graph, its order and its waiting, not the values that are given to a real chart.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from checks.gitops import tree
from components.kit import versions
from lab.errors import LabError

_RESTRICTED_CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""What a pod of the Pod Security level `restricted` must say; the lab's API server enforces the levels."""

TABLE = Path(__file__).with_name("charts.yaml")

REAL = Path(__file__).parent / "pods" / "charts"
"""Those that a lab with real pods has in the place of the table's, by name: they make pods of images that there are."""


def pinned() -> list[versions.ChartPin]:
    """Every chart that the program pins, and every one that Flux installs."""
    own = [value for value in vars(versions).values() if isinstance(value, versions.ChartPin)]
    return [*own, *tree.pins()]


def write(directory: Path, pins: Iterable[versions.ChartPin], *, real_pods: bool = False) -> list[Path]:
    """Write `<name>-<version>.tgz` for each pin into `directory`; equal input gives equal bytes.

    real_pods: with the charts in `REAL`.

    Raises:
        LabError: if the table has no entry for a pinned chart.
    """
    table = yaml.safe_load(TABLE.read_text())
    written = []
    for pin in pins:
        if pin.name not in table:
            raise LabError(f"{TABLE}: no entry for the chart {pin.name!r}, which the program or gitops/ pins: add one")
        path = directory / f"{pin.name}-{pin.version}.tgz"
        if real_pods and (REAL / pin.name).is_dir():
            files = _own(pin.name, pin.version) | _definitions(table[pin.name])
        else:
            files = _files(pin.name, pin.version, table[pin.name])
        content = _archive(pin.name, files)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
        written.append(path)
    return written


def _has_status_subresource(crd: Mapping[str, Any]) -> bool:
    return bool(crd.get("statusSubresource", True))


def _versions(crd: Mapping[str, Any]) -> list[str]:
    names: list[str] = crd.get("versions", ["v1"])
    return names


def _own(name: str, version: str) -> dict[str, str]:
    """The files of a chart in `REAL`, whose version is the pin's. Its kinds are those of the table."""
    place = REAL / name
    files = {str(path.relative_to(place)): path.read_text() for path in sorted(place.rglob("*")) if path.is_file()}
    return {"Chart.yaml": _chart(name, version), **files}


def _chart(name: str, version: str) -> str:
    chart = {"apiVersion": "v2", "name": name, "version": version, "description": f"{name}, played by the lab"}
    return yaml.safe_dump(chart, sort_keys=False)


def _files(name: str, version: str, entry: Mapping[str, Any]) -> dict[str, str]:
    values: dict[str, Any] = {}
    selectors = {workload["name"]: _selector(workload) for workload in entry.get("workloads", [])}
    objects = [_config_map(key, data) for key, data in entry.get("configMaps", {}).items()]
    objects += [_service(service, selectors, values) for service in entry.get("services", [])]
    objects += [_workload(name, version, workload, values) for workload in entry.get("workloads", [])]
    templates = [_template(item) for item in objects]
    templates += [_disruption_budget(budget, selectors, values) for budget in entry.get("disruptionBudgets", [])]
    files = {
        "Chart.yaml": _chart(name, version),
        "values.yaml": yaml.safe_dump(values),
        "templates/objects.yaml": "---\n".join(templates),
    }
    return files | _definitions(entry)


def _definitions(entry: Mapping[str, Any]) -> dict[str, str]:
    """One a file: Helm makes those of a file at once, and if one of them exists, it ignores that another is refused.

    It is `installCRDs` in its pkg/action/install.go that does.
    """
    return {
        f"{crd.get('in', 'crds')}/{crd['plural']}.yaml": yaml.safe_dump(_crd(crd), sort_keys=False)
        for crd in entry.get("crds", [])
    }


def _template(item: Mapping[str, Any]) -> str:
    """An object as a Helm template: JSON, in which "@path@" stands for a value of the chart, which may be a tree, and
    "@,path@" for the items of a list, or one value, in one text.
    """
    text = json.dumps(item, indent=2)
    text = re.sub(r'"@,([\w.]+)@"', r'{{ join "," \1 | toJson }}', text)
    return re.sub(r'"@([\w.]+)@"', r"{{ \1 | toJson }}", text) + "\n"


def _metadata(name: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {"name": name, "namespace": "@.Release.Namespace@", "labels": dict(labels or {})}


def _config_map(name: str, data: Mapping[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(name), "data": dict(data)}


def _service(
    service: Mapping[str, Any], selectors: Mapping[str, dict[str, str]], values: dict[str, Any]
) -> dict[str, Any]:
    spec = {
        "type": service.get("type", "ClusterIP"),
        "selector": selectors[service.get("selects", service["name"])],
        "ports": [{"name": service.get("portName", "main"), "port": service["port"]}],
    }
    metadata = _metadata(service["name"])
    if place := service.get("annotations"):
        metadata["annotations"] = _reference(place, values, None)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _selector(workload: Mapping[str, Any]) -> dict[str, str]:
    """The labels by which a workload, its Service and its disruption budget find their pods."""
    return dict(workload.get("labels") or {"app.kubernetes.io/name": workload["name"]})


def _workload(chart: str, version: str, workload: Mapping[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    selector = _selector(workload)
    name = workload.get("container", workload["name"])
    container: dict[str, Any] = {"name": name, "image": f"lab.invalid/{chart}:{version}"}
    container["securityContext"] = {"privileged": True} if workload.get("privileged") else _RESTRICTED_CONTAINER
    pod: dict[str, Any] = {"containers": [container]}
    if names := workload.get("initContainers"):
        pod["initContainers"] = [{**container, "name": one} for one in names]
    if workload["kind"] == "DaemonSet" or workload.get("privileged") or workload.get("hostNetwork"):
        pod["tolerations"] = [{"operator": "Exists"}]
    if not workload.get("privileged"):
        pod["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if workload.get("hostNetwork"):
        pod["hostNetwork"] = True
    if places := workload.get("environment"):
        container["env"] = [
            {"name": key, "value": _reference(place, values, "").replace("@", "@,", 1)} for key, place in places.items()
        ]
    for field, place in workload.get("fromValues", {}).items():
        pod[field] = _reference(place, values, None)
    metadata: dict[str, Any] = {"labels": selector}
    if place := workload.get("secret"):
        # Read by the rule in lab/operators/pods.py, which imports nothing of the launcher.
        metadata["annotations"] = {"homelab.lab/secret": _reference(place, values, None)}
        pod["schedulingGates"] = [{"name": "homelab.lab/secret"}]
    spec: dict[str, Any] = {
        "selector": {"matchLabels": selector},
        "template": {"metadata": metadata, "spec": pod},
    }
    if workload["kind"] != "DaemonSet":
        replicas = workload.get("replicas", 1)
        spec["replicas"] = replicas if isinstance(replicas, int) else _reference(replicas, values, 1)
    if workload["kind"] == "StatefulSet":
        spec["serviceName"] = workload["name"]
    return {
        "apiVersion": "apps/v1",
        "kind": workload["kind"],
        "metadata": _metadata(workload["name"], selector),
        "spec": spec,
    }


def _reference(place: str, values: dict[str, Any], default: object) -> str:
    """A reference to a value of the chart, by its path, with a default in the chart's values."""
    *parents, last = place.split(".")
    for key in parents:
        values = values.setdefault(key, {})
    values.setdefault(last, default)
    return f"@.Values.{place}@"


def _disruption_budget(
    budget: Mapping[str, Any], selectors: Mapping[str, dict[str, str]], values: dict[str, Any]
) -> str:
    """A template as in the real charts: what the values say, and nothing where they switch it off.

    CoreDNS's chart has no switch: it makes a budget of whatever it is given.
    """
    _reference(budget["values"], values, {})
    kept = json.dumps({"selector": {"matchLabels": selectors[budget["selects"]]}})
    made = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": budget["name"]}}
    return (
        f'{{{{ with .Values.{budget["values"]} }}}}{{{{ if dig "enabled" true . }}}}\n'
        f"{yaml.safe_dump(made)}"
        f'spec: {{{{ merge (omit . "enabled") (fromJson `{kept}`) | toJson }}}}\n'
        "{{ end }}{{ end }}\n"
    )


def _crd(crd: Mapping[str, Any]) -> dict[str, Any]:
    kind, plural, group = crd["kind"], crd["plural"], crd["group"]
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = _versions(crd)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        # Kubernetes reserves its own groups for definitions that it has approved; others need this annotation.
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, the lab's"},
        },
        "spec": {
            "group": group,
            "scope": crd.get("scope", "Namespaced"),
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": name,
                    "served": True,
                    "storage": name == names[-1],
                    "schema": schema,
                    **({"subresources": {"status": {}}} if _has_status_subresource(crd) else {}),
                }
                for name in names
            ],
        },
    }


def _archive(chart: str, files: Mapping[str, str]) -> bytes:
    """A chart archive without times or owners."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for name in sorted(files):
            content = files[name].encode()
            info = tarfile.TarInfo(f"{chart}/{name}")
            info.size = len(content)
            info.mode = 0o644
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
