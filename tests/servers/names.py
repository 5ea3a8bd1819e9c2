"""The real programs behind names as stack `prod` configures them: PowerDNS, its operator, external-dns.

What the components give to the charts is recorded, and what charts make of it is rendered by Helm. Only addresses,
ports and paths are the tests' own: nothing here is in a pod.
"""

from __future__ import annotations

import contextlib
import functools
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from checks.graph import Graph, reveal
from checks.program import recorded
from lab.golang import LAB, find_go
from lab.programs import ensure
from tests.servers import powerdns
from tests.servers.kubernetes import KubernetesApi
from tests.servers.pods import pod
from tests.servers.powerdns import Server
from tests.servers.processes import free_port, free_ports, run

RELEASE = "kubernetes:helm.sh/v3:Release"
ZONE = "kubernetes:dns.cav.enablers.ob/v1alpha2:ClusterZone dns-zone"
DOMAIN = "test-cluster.agentydragon.com"
PASSWORD, KEY = "Database1Password", "Api1Key2Of3The4Server"

Manifest = dict[str, Any]


class Cluster(Protocol):
    """Where objects can be made: an API server alone, or a cluster with nodes."""

    def namespace(self, name: str) -> None:
        """Make a namespace."""

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Make or change objects."""


@functools.cache
def graph() -> Graph:
    """What the program makes for stack `prod`."""
    return recorded("prod")


def release_values(name: str) -> Manifest:
    """The values of a release."""
    values: Manifest = reveal(graph()[f"{RELEASE} {name}"].inputs["values"])
    return _copy(values)


def resource(name: str) -> Manifest:
    """A recorded object of the cluster, as one writes it to the API."""
    recorded_inputs: Manifest = reveal(graph()[name].inputs)
    return _copy({key: recorded_inputs[key] for key in ("apiVersion", "kind", "metadata", "spec")})


def _copy(tree: Manifest) -> Manifest:
    copied: Manifest = json.loads(json.dumps(tree))
    return copied


def module(path: str, tool: str) -> Path:
    """Directory of a Go module that `lab/<tool>` requires."""
    downloaded = run([find_go(), "mod", "download", "-json", path], directory=LAB / tool)
    return Path(json.loads(downloaded)["Dir"])


def chart_objects(chart: Path, release: str, namespace: str, values: Manifest, directory: Path) -> list[Manifest]:
    """What a chart renders with these values."""
    file = directory / f"{release}-values.yaml"
    file.write_text(yaml.safe_dump(values))
    helm = str(ensure(["helm"])["helm"].path)
    text = run([helm, "template", release, str(chart), "--namespace", namespace, "--values", str(file)])
    return [item for item in yaml.safe_load_all(text) if item]


def container(objects: Sequence[Manifest]) -> Manifest:
    """The container of the one Deployment among some objects."""
    [deployment] = [item for item in objects if item["kind"] == "Deployment"]
    [only] = deployment["spec"]["template"]["spec"]["containers"]
    found: Manifest = only
    return found


@dataclass
class Names:
    """A running PowerDNS, whose server can be stopped and started with another key; the database stays."""

    directory: Path
    address: str
    database: int
    api_port: int
    key: str = KEY
    server: Server = field(init=False)
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def url(self) -> str:
        """Of the HTTP API."""
        return f"http://{self.address}:{self.api_port}"

    def start(self, key: str = KEY) -> None:
        """Start the server, or start it again with another key."""
        self._running.close()
        self.key = key
        values = release_values("powerdns")
        values["api"]["allowFrom"] = ["127.0.0.0/8"]
        self.server = self._running.enter_context(
            powerdns.primary(
                self.directory / "server",
                values,
                address=self.address,
                api_port=self.api_port,
                database=self.database,
                secret=f"gmysql-password={PASSWORD}\napi-key={key}\n",
            )
        )

    def stop(self) -> None:
        """Stop the server."""
        self._running.close()

    def make_zone(self) -> None:
        """Make the zone through the API, as the operator does."""
        request = urllib.request.Request(
            f"{self.url}/api/v1/servers/localhost/zones",
            json.dumps({"name": f"{DOMAIN}.", **zone()["spec"], "nameservers": ["ns1.agentydragon.com."]}).encode(),
            {"X-API-Key": self.key},
        )
        urllib.request.urlopen(request, timeout=10).close()

    def api(self, method: str, path: str = "", body: object = None) -> Any:
        """A request about the zone."""
        request = urllib.request.Request(
            f"{self.url}/api/v1/servers/localhost/zones/{DOMAIN}.{path}",
            None if body is None else json.dumps(body).encode(),
            {"X-API-Key": self.key},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            content = response.read()
        return json.loads(content) if content else None

    def write(self, name: str, kind: str, content: str) -> None:
        """Give a name of the zone a record, by hand."""
        record = {"name": f"{name}.{DOMAIN}.", "type": kind, "ttl": 60, "changetype": "REPLACE"}
        self.api("PATCH", body={"rrsets": [record | {"records": [{"content": content}]}]})

    def look_up(self, name: str, kind: str = "A") -> list[str]:
        """What the server answers for a name of the zone, sorted."""
        return sorted(self.server.dig(f"{name}.{DOMAIN}", kind, "+short").splitlines())


@contextlib.contextmanager
def names(directory: Path, address: str) -> Iterator[Names]:
    """PowerDNS on an address of the loopback network, without a zone."""
    found = Names(directory, address, free_port(address), free_port(address))
    with powerdns.mariadb(directory / "mariadb", address, found.database, PASSWORD):
        found.start()
        try:
            yield found
        finally:
            found.stop()


def make_operator_ready(api: Cluster) -> None:
    """Make the operator's kinds, namespace and rights, which come from its own module."""
    source = module("github.com/powerdns-operator/powerdns-operator", "tools/powerdns-operator") / "config"
    account = {"name": "powerdns-operator", "namespace": "powerdns"}
    api.namespace("powerdns")
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    for crd in sorted((source / "crd" / "bases").glob("*.yaml")):
        api.apply(yaml.safe_load(crd.read_text()))
    for file, kind in (("role.yaml", "ClusterRole"), ("leader_election_role.yaml", "Role")):
        [role] = [one for one in yaml.safe_load_all((source / "rbac" / file).read_text()) if one["kind"] == kind]
        place = {"namespace": account["namespace"]} if kind == "Role" else {}
        metadata = {"name": role["metadata"]["name"], **place}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": metadata["name"]}
        binding = {"apiVersion": role["apiVersion"], "kind": f"{kind}Binding", "metadata": metadata}
        api.apply(
            role | {"metadata": metadata},
            binding | {"roleRef": reference, "subjects": [{"kind": "ServiceAccount", **account}]},
        )


def operator_command(url: str, key: str, probes: int) -> list[str]:
    """The operator's command; its chart, which is in no module, renders the same flags."""
    return [
        *("env", f"PDNS_API_KEY={key}", str(ensure(["powerdns-operator"])["powerdns-operator"].path)),
        *("--leader-elect", f"--health-probe-bind-address=127.0.0.1:{probes}", "--metrics-bind-address=0"),
        *(f"--pdns-api-url={url}", "--pdns-api-vhost=localhost", "--pdns-api-timeout=10"),
    ]


@contextlib.contextmanager
def operator(api: KubernetesApi, running: Names, directory: Path) -> Iterator[Path]:
    """PowerDNS Operator; gives the path of its log."""
    [probes] = free_ports(1)
    command = operator_command(running.url, running.key, probes)
    url = f"http://127.0.0.1:{probes}/readyz"
    with pod(api, "powerdns", "powerdns-operator", command, directory=directory, ready=lambda: answers(url)) as log:
        yield log


def zone() -> Manifest:
    """The ClusterZone that the program makes."""
    return resource(ZONE)


def external_dns_objects(directory: Path) -> list[Manifest]:
    """What the chart of external-dns renders.

    It is the one in external-dns's own module: 1.20.0, which lacks of 1.21.1 nothing that is set here but the form of a
    switch: `--name` instead of `--name=true`.
    """
    chart = module("sigs.k8s.io/external-dns", "tools/external-dns") / "charts" / "external-dns"
    objects = chart_objects(chart, "external-dns", "external-dns", release_values("external-dns"), directory)
    rendered = container(objects)
    rendered["args"] = [argument.removesuffix("=true") for argument in rendered["args"]]
    return objects


def make_external_dns_ready(api: Cluster, directory: Path) -> Manifest:
    """Make external-dns's namespace, account and rights; gives the container that its chart renders."""
    objects = external_dns_objects(directory)
    api.namespace("external-dns")
    api.apply(*(item for item in objects if item["kind"] not in ("Deployment", "Service")))
    return container(objects)


@contextlib.contextmanager
def external_dns(
    api: KubernetesApi, rendered: Manifest, running: Names, directory: Path, *, key: str | None = None
) -> Iterator[Path]:
    """external-dns with exactly the chart's arguments, but for where PowerDNS is; gives the path of its log."""
    [metrics] = free_ports(1)
    declared = release_values("external-dns")["extraArgs"]["pdns-server"]
    arguments = [argument.replace(declared, running.url) for argument in rendered["args"]]
    assert arguments != rendered["args"]
    [variable] = [entry["name"] for entry in rendered["env"]]
    command = [
        *("env", f"{variable}={key or running.key}", str(ensure(["external-dns"])["external-dns"].path)),
        *(*arguments, f"--metrics-address=127.0.0.1:{metrics}"),
    ]
    url = f"http://127.0.0.1:{metrics}/healthz"
    directory.mkdir(exist_ok=True)
    with pod(api, "external-dns", "external-dns", command, directory=directory, ready=lambda: answers(url)) as log:
        yield log


def answers(url: str) -> bool:
    """Whether something answers there with success."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), opener.open(url, timeout=2) as response:
        return bool(response.status == 200)
    return False


def ingress(name: str, *hosts: str, annotations: Mapping[str, str] | None = None, tls: bool = False) -> Manifest:
    """An Ingress of namespace `apps` for hosts of the zone, as a person writes it."""
    full = [f"{host}.{DOMAIN}" for host in hosts]
    backend = {"service": {"name": name, "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    spec: Manifest = {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": paths}} for host in full]}
    if tls:
        spec["tls"] = [{"hosts": full, "secretName": f"{name}-tls"}]
    metadata = {"name": name, "namespace": "apps", "annotations": dict(annotations or {})}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


def reject(api: KubernetesApi, name: str) -> None:
    """Do as the ingress controller with an Ingress that it rejects, be it new or served until then.

    `processProblems` calls `ClearIngressStatus`, which leaves no address:
    https://github.com/nginx/kubernetes-ingress/blob/v5.5.4/internal/k8s/controller.go#L1441
    """
    path = f"/apis/networking.k8s.io/v1/namespaces/apps/ingresses/{name}/status"
    status = {"status": {"loadBalancer": {"ingress": None}}}
    api.request("PATCH", path, status, kind="application/merge-patch+json")


def report_address(api: KubernetesApi, name: str) -> None:
    """Do as the ingress controller: report the address that the program tells it to as an Ingress's own."""
    entries = release_values("nginx-ingress")["controller"]["config"]["entries"]
    status = {"status": {"loadBalancer": {"ingress": [{"ip": entries["external-status-address"]}]}}}
    path = f"/apis/networking.k8s.io/v1/namespaces/apps/ingresses/{name}/status"
    api.request("PATCH", path, status, kind="application/merge-patch+json")
