"""`python -m tests.servers.monitoring_inside DIRECTORY`: monitoring at work, in the network namespace of the caller.

etcd, kube-apiserver, the controllers of Endpoints, Prometheus Operator, Prometheus and Alertmanager are real; nobody
runs pods, so both servers are started here with the arguments and files of the StatefulSets that the operator made, at
the address of their pod. Config reloader's work, to unpack a configuration and fill in its own variables, is done here.

DIRECTORY/given.json is a `Given`; DIRECTORY/seen.json is written at the end and is a `Seen`.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal

from lab.network import hold
from lab.programs import ensure
from tests.servers.kubernetes import KubernetesApi, kubernetes_api
from tests.servers.pods import pod
from tests.servers.processes import eventually, free_port, server

Manifest = dict[str, Any]

NAMESPACE = "monitoring"
CONTROL_PLANE, NODE, NODE_NAME = "10.77.0.1", "10.77.0.2", "node"
SERVERS = {"prometheus": "10.77.0.3", "alertmanager": "10.77.0.4"}
"""Where the servers that run here listen, as their pods would."""

OPERATOR = "monitoring-operator"
RECEIVER = "127.0.0.1:9999"
SCRAPED_SECONDS = 120
"""Every target is asked within 30 seconds, and the machine may be slow."""


@dataclass(frozen=True)
class Given:
    """What there is before the operator starts."""

    namespaces: list[str]
    objects: list[Manifest]
    pods: list[Manifest]
    """Each with its address in `status`."""
    operator: list[str]
    """Arguments of the operator."""
    unknown: list[str]
    """Names of monitors that will find nobody."""


@dataclass
class Seen:
    """What came of it."""

    configuration: str = ""
    """Prometheus's, as the operator composed it."""
    alertmanager: str = ""
    targets: list[Manifest] = field(default_factory=list)
    """Of `/api/v1/targets`: active ones."""
    groups: list[Manifest] = field(default_factory=list)
    """Of rules, as Prometheus has loaded them."""
    up: dict[str, list[str]] = field(default_factory=dict)
    """The instances of each job that were asked and answered."""
    alertmanagers: list[str] = field(default_factory=list)
    """URLs that Prometheus sends alerts to."""
    alerts: list[Manifest] = field(default_factory=list)
    """As Alertmanager has them."""
    received: list[Manifest] = field(default_factory=list)
    """What was posted to a person's receiver."""
    services: dict[str, list[str]] = field(default_factory=dict)
    """The names of the ports of the Services that the operator made."""
    refusals: list[str] = field(default_factory=list)
    """What the operator has against objects that it was to take."""


def main() -> None:
    """Run everything once, and write down what was seen."""
    directory = Path(sys.argv[1])
    given = Given(**json.loads((directory / "given.json").read_text()))
    addresses = {CONTROL_PLANE, NODE, *SERVERS.values(), *(one["status"]["podIP"] for one in given.pods)}
    hold([IPv4Address(one) for one in addresses])
    with contextlib.ExitStack() as running:
        api = running.enter_context(kubernetes_api(directory / "api", CONTROL_PLANE))
        _make(api, given)
        running.enter_context(_endpoints(api, directory))
        running.enter_context(_operator(api, given.operator, directory))
        seen = Seen()
        received = running.enter_context(_receiver())
        for name in ("alertmanager", "prometheus"):
            running.enter_context(_server(api, name, directory, seen))
        _look(api, seen, received, set(given.unknown))
    (directory / "seen.json").write_text(json.dumps(asdict(seen)))


def _make(api: KubernetesApi, given: Given) -> None:
    for name in given.namespaces:
        api.namespace(name)
    api.apply(*given.objects)
    api.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE_NAME}})
    addresses = {"addresses": [{"type": "InternalIP", "address": NODE}]}
    patch = "application/merge-patch+json"
    api.request("PATCH", f"/api/v1/nodes/{NODE_NAME}/status", {"status": addresses}, kind=patch)
    for one in given.pods:
        _pod(api, one)


def _pod(api: KubernetesApi, one: Manifest) -> None:
    """A pod that runs and is ready, as its kubelet would report it."""
    metadata = one["metadata"]
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    ready |= {"podIPs": [{"ip": one["status"]["podIP"]}], **one["status"]}
    api.apply({key: value for key, value in one.items() if key != "status"})
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
    api.request("PATCH", path, {"status": ready}, kind="application/merge-patch+json")


@contextlib.contextmanager
def _endpoints(api: KubernetesApi, directory: Path) -> Iterator[Path]:
    port = free_port()
    command = [
        str(ensure(["kube-controller-manager"])["kube-controller-manager"].path),
        *(f"--kubeconfig={api.kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1"),
        *(f"--secure-port={port}", f"--cert-dir={directory}"),
        "--controllers=endpoints-controller,endpointslice-controller",
    ]
    with server("kube-controller-manager", command, directory=directory, ready=lambda: True) as log:
        yield log


@contextlib.contextmanager
def _operator(api: KubernetesApi, arguments: Sequence[str], directory: Path) -> Iterator[Path]:
    address = f"127.0.0.1:{free_port()}"
    command = [str(ensure(["prometheus-operator"])["prometheus-operator"].path), *arguments]
    command.append(f"--web.listen-address={address}")

    def ready() -> bool:
        return _answers(f"http://{address}/healthz")

    with pod(api, NAMESPACE, OPERATOR, command, directory=directory, ready=ready) as log:
        yield log


@contextlib.contextmanager
def _server(api: KubernetesApi, name: str, directory: Path, seen: Seen) -> Iterator[Path]:
    """One of the two, as its StatefulSet says."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets"

    def made() -> Manifest | None:
        found = {one["metadata"]["name"]: one for one in api.request("GET", path)["items"]}
        return found.get(f"{name}-monitoring")

    template = eventually(made, f"StatefulSet of {name}", seconds=SCRAPED_SECONDS)["spec"]["template"]
    [container] = [one for one in template["spec"]["containers"] if one["name"] == name]
    metadata = {"name": f"{name}-monitoring-0", "namespace": NAMESPACE, "labels": template["metadata"]["labels"]}
    bare = [
        {"name": one["name"], "image": "none", "ports": one.get("ports", [])} for one in template["spec"]["containers"]
    ]
    content = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": bare, "nodeName": NODE_NAME},
    }
    _pod(api, content | {"status": {"podIP": SERVERS[name]}})
    root = directory / name
    _mount(api, template["spec"], container, root)
    [reloader] = [one for one in template["spec"]["containers"] if one["name"] == "config-reloader"]
    variables = {one["name"]: one.get("value", metadata["name"]) for one in reloader["env"]}
    text, target = _configuration(api, name, container, root)
    for variable, value in variables.items():
        text = text.replace(f"$({variable})", str(value))
    setattr(seen, {"prometheus": "configuration"}.get(name, name), text)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_moved(text, root))
    port = next(one["containerPort"] for one in container["ports"] if one["name"] == "http-web")
    listen = f"{SERVERS[name]}:{port}"
    arguments = [_moved(one, root) for one in container["args"] if not one.startswith("--web.listen-address=")]
    command = [str(ensure([name])[name].path), *arguments, f"--web.listen-address={listen}"]

    def ready() -> bool:
        return _answers(f"http://{listen}/-/ready")

    account = template["spec"]["serviceAccountName"]
    with pod(api, NAMESPACE, account, command, directory=directory, ready=ready) as log:
        yield log


def _mount(api: KubernetesApi, spec: Manifest, container: Manifest, root: Path) -> None:
    """Put the files of a container's volumes below `root`, each where the container has it."""
    volumes = {one["name"]: one for one in spec["volumes"]}
    for mount in container["volumeMounts"]:
        place = root / str(mount["mountPath"]).lstrip("/")
        files = _files(api, volumes.get(mount["name"], {}))
        if "subPath" in mount and mount["subPath"] in files:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(files[mount["subPath"]])
            continue
        place.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (place / name).write_bytes(data)


def _files(api: KubernetesApi, volume: Manifest) -> dict[str, bytes]:
    """The files of a volume; none of one that a disk or nothing fills."""
    if "projected" in volume:
        found: dict[str, bytes] = {}
        for source in volume["projected"]["sources"]:
            found |= _files(api, source)
        return found
    for kind, key in (("secret", "Secret"), ("configMap", "ConfigMap")):
        if kind in volume:
            name = volume[kind].get("secretName") or volume[kind]["name"]
            ask = api.find if volume[kind].get("optional") else api.get
            data: Mapping[str, str] = (ask("v1", key, name, NAMESPACE) or {}).get("data", {})
            return {name: base64.b64decode(text) if kind == "secret" else text.encode() for name, text in data.items()}
    return {}


def _configuration(api: KubernetesApi, name: str, container: Manifest, root: Path) -> tuple[str, Path]:
    """The configuration that the operator composed, and where the server wants it."""
    secret, key = {
        "prometheus": ("prometheus-monitoring", "prometheus.yaml.gz"),
        "alertmanager": ("alertmanager-monitoring-generated", "alertmanager.yaml.gz"),
    }[name]
    data = eventually(lambda: api.find("v1", "Secret", secret, NAMESPACE), secret)["data"]
    text = gzip.decompress(base64.b64decode(data[key])).decode()
    [place] = [one.partition("=")[2] for one in container["args"] if one.startswith("--config.file=")]
    return text, root / place.lstrip("/")


def _moved(text: str, root: Path) -> str:
    """Paths of a container as they are here."""
    for place in ("/etc/prometheus", "/etc/alertmanager"):
        text = text.replace(place, f"{root}{place}")
    for option in ("--storage.tsdb.path=", "--storage.path="):
        if text.startswith(option):
            return f"{option}{root}{text.removeprefix(option)}"
    return text


@contextlib.contextmanager
def _receiver() -> Iterator[list[Manifest]]:
    """What takes Alertmanager's webhook; gives what it has got."""
    received: list[Manifest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to the output of the tests."""

    host, _, port = RECEIVER.partition(":")
    with ThreadingHTTPServer((host, int(port)), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield received
        listening.shutdown()


def _look(api: KubernetesApi, seen: Seen, received: list[Manifest], unknown: set[str]) -> None:
    """Wait until Prometheus has asked everybody once and a person was told, and write down what there is."""
    prometheus, alertmanager = f"http://{SERVERS['prometheus']}:9090", f"http://{SERVERS['alertmanager']}:9093"

    def asked() -> Literal[True] | None:
        found = _get(f"{prometheus}/api/v1/targets?state=active")["data"]["activeTargets"]
        known = {one["metadata"]["name"] for one in _monitors(api)} - unknown
        pools = {one["scrapePool"].split("/")[2] for one in found if one["scrapePool"].count("/") >= 2}
        return True if found and known <= pools and all(one["health"] != "unknown" for one in found) else None

    deadline = time.monotonic() + SCRAPED_SECONDS
    with contextlib.suppress(AssertionError):
        eventually(asked, "answer of every target", seconds=SCRAPED_SECONDS)
    with contextlib.suppress(AssertionError):
        eventually(lambda: True if received else None, "alert", seconds=max(1.0, deadline - time.monotonic()))
    seen.targets = _get(f"{prometheus}/api/v1/targets?state=active")["data"]["activeTargets"]
    seen.groups = _get(f"{prometheus}/api/v1/rules")["data"]["groups"]
    for one in _get(f"{prometheus}/api/v1/query?query=up==1")["data"]["result"]:
        seen.up.setdefault(one["metric"]["job"], []).append(one["metric"]["instance"])
    found = _get(f"{prometheus}/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    seen.alertmanagers = [one["url"] for one in found]
    seen.alerts = _get(f"{alertmanager}/api/v2/alerts")
    seen.received = received
    for one in api.request("GET", f"/api/v1/namespaces/{NAMESPACE}/services")["items"]:
        seen.services[one["metadata"]["name"]] = [port["name"] for port in one["spec"]["ports"]]
    events = api.request("GET", "/apis/events.k8s.io/v1/events")["items"]
    seen.refusals = [str(one["note"]) for one in events if one["type"] == "Warning"]


def _monitors(api: KubernetesApi) -> Iterator[Manifest]:
    for kind in ("servicemonitors", "podmonitors", "probes"):
        yield from api.request("GET", f"/apis/monitoring.coreos.com/v1/{kind}")["items"]


def _get(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as response:
        return json.load(response)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), opener.open(url, timeout=2):
        return True
    return False


if __name__ == "__main__":
    main()
