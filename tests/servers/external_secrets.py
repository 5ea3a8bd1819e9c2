"""The real External Secrets on a real Vault, with the program's own store, secrets and rights.

The newest release that is a Go module is 0.16.2; the program's chart has 2.9. Of what the program uses, 0.16 lacks:

- The Password generator makes one value, `password`, as it is: no `secretKeys`, no `encoding`. So a push of several
  keys becomes one push for each key, and a value in hexadecimal is letters and digits.
- A Vault store has no `checkAndSet`, so Vault must not insist on it.
- Its chart has no switch for the right to create tokens of every account; that rule is taken out.

`for_this_release` makes these three changes and no others.
"""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from checks.graph import Graph
from components.secrets.external_secrets import SERVICE_ACCOUNT
from components.secrets.secret_spec import OPERATOR_NAMESPACE
from lab.programs import ensure
from tests.servers.kubernetes import KubernetesApi
from tests.servers.manifests import lab, manifests
from tests.servers.names import chart_objects, module, release_values
from tests.servers.pods import pod
from tests.servers.processes import eventually, free_ports
from tests.servers.vault import VaultServer, vault_server

Manifest = dict[str, Any]

MODULE = "github.com/external-secrets/external-secrets"
STORE, EXTERNAL, PUSH, PASSWORD = "ClusterSecretStore", "ExternalSecret", "PushSecret", "Password"
ACCOUNTS = ("Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRoleBinding")


def for_this_release(item: Manifest) -> list[Manifest]:
    """An object of the program as External Secrets 0.16 takes it."""
    item = copy.deepcopy(item)
    if item["kind"] == STORE:
        del item["spec"]["provider"]["vault"]["checkAndSet"]
    if item["kind"] == PASSWORD:
        del item["spec"]["secretKeys"], item["spec"]["encoding"]
    if item["kind"] != PUSH:
        return [item]
    pushes = []
    for index, entry in enumerate(item["spec"]["data"]):
        one = copy.deepcopy(item)
        one["metadata"]["name"] = f"{item['metadata']['name']}-{index}"
        one["spec"]["data"] = [{"match": {**entry["match"], "secretKey": "password"}}]
        pushes.append(one)
    return pushes


class Operated:
    """A cluster's API, Vault and External Secrets at work on the secrets of one namespace of the program."""

    def __init__(self, api: KubernetesApi, vault: VaultServer, namespace: str) -> None:
        self.api, self.vault, self.namespace = api, vault, namespace

    def up(self, program: Graph) -> None:
        """What `up` does with the namespace's secrets: makes or changes them in order, and waits for each.

        Raises:
            AssertionError: one does not become ready; with what its condition says.
        """
        for item in self._objects(program):
            for each in for_this_release(item):
                self.api.apply(each)
                if each["kind"] in (PUSH, EXTERNAL):
                    self.ready(each)

    def ready(self, item: Mapping[str, Any]) -> None:
        """Wait until the operator says that it is done with the object as it is."""
        try:
            eventually(lambda: self.condition(item)["status"] == "True" or None, f"{item['kind']}", seconds=120)
        except AssertionError as late:
            raise AssertionError(f"{item['metadata']['name']}: {self.condition(item)['message']}") from late

    def condition(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """What the operator says of the object as it is; its status is Unknown before it has looked."""
        metadata = item["metadata"]
        now = self.api.get(item["apiVersion"], item["kind"], metadata["name"], metadata.get("namespace"))
        seen = str(now.get("status", {}).get("syncedResourceVersion", "")).partition("-")[0]
        [condition] = now.get("status", {}).get("conditions") or [{"status": "Unknown", "message": "not looked at"}]
        stale = condition["status"] == "True" and item["kind"] != STORE and seen != str(now["metadata"]["generation"])
        return {**condition, "status": "Unknown"} if stale else dict(condition)

    def in_vault(self, path: str) -> dict[str, str]:
        """A secret as Vault holds it."""
        return dict(self.vault.request("GET", f"kv/data/{path}").data.get("data") or {})

    def _objects(self, program: Graph) -> Iterator[Manifest]:
        for item in manifests(program, PASSWORD, PUSH, EXTERNAL):
            if item["metadata"]["namespace"] == self.namespace:
                yield item


@contextlib.contextmanager
def external_secrets(api: KubernetesApi, directory: Path, namespace: str) -> Iterator[Operated]:
    """Vault, unsealed and configured as the program says, and the operator that reaches it for a namespace."""
    [resource] = manifests(lab(), "Vault")
    used = (namespace, "vault", OPERATOR_NAMESPACE)
    for name in (*used, "cert-manager", "external-dns"):
        api.namespace(name)
    api.apply(*(item for item in manifests(lab(), *ACCOUNTS) if item["metadata"].get("namespace") in used))
    api.apply(*(item for item in manifests(lab(), "ClusterRoleBinding") if "vault" in item["metadata"]["name"]))
    with vault_server(api, resource["spec"], directory) as vault:
        vault.unseal()
        eventually(lambda: vault.request("GET", "sys/health").status == 200 or None, "active Vault")
        vault.configure(_configuration(resource["spec"]["externalConfig"], api))
        with _operator(api, directory):
            operated = Operated(api, vault, namespace)
            authority = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vault-tls", "namespace": "vault"}}
            api.apply(authority | {"stringData": {"ca.crt": api.ca.read_text()}})
            [store] = manifests(lab(), STORE)
            api.apply(*for_this_release(reached_at(store, vault.url)))
            operated.ready(store)
            yield operated


def reached_at(store: Manifest, url: str) -> Manifest:
    """The store, with the address at which a test's Vault listens."""
    store = copy.deepcopy(store)
    store["spec"]["provider"]["vault"]["server"] = url
    return store


def _configuration(document: Manifest, api: KubernetesApi) -> Manifest:
    document = copy.deepcopy(document)
    document["auth"][0]["config"]["kubernetes_host"] = api.url
    document["secrets"][0]["configuration"]["config"][0]["cas_required"] = False
    return document


def definitions() -> list[Path]:
    """Files with the operator's kinds."""
    return sorted((_source() / "config/crds/bases").glob("*external-secrets.io_*.yaml"))


def operator_objects(directory: Path) -> list[Manifest]:
    """What the operator's chart of this release renders with the program's values, less the right to create tokens."""
    chart = _chart(_source(), directory)
    objects = chart_objects(chart, "external-secrets", OPERATOR_NAMESPACE, _values(), directory)
    for item in objects:
        if item["kind"] == "ClusterRole":
            item["rules"] = [rule for rule in item["rules"] if "serviceaccounts/token" not in rule["resources"]]
    return objects


@contextlib.contextmanager
def _operator(api: KubernetesApi, directory: Path) -> Iterator[Path]:
    """The operator with its chart's arguments and rights, without leader election; gives the path of its log."""
    for definition in definitions():
        api.apply(yaml.safe_load(definition.read_text()))
    objects = operator_objects(directory)
    api.apply(*(item for item in objects if item["kind"] in ("ServiceAccount", "ClusterRole", "ClusterRoleBinding")))
    named = {item["metadata"]["name"]: item for item in objects if item["kind"] == "Deployment"}
    [container] = named["external-secrets"]["spec"]["template"]["spec"]["containers"]
    [port] = free_ports(1)
    replaced = {"--enable-leader-election=true": "--enable-leader-election=false"}
    replaced["--metrics-addr=:8080"] = f"--metrics-addr=127.0.0.1:{port}"
    assert replaced.keys() <= set(container["args"]), container["args"]
    command = [
        str(ensure(["external-secrets"])["external-secrets"].path),
        *(replaced.get(argument, argument) for argument in container["args"]),
    ]
    with pod(api, OPERATOR_NAMESPACE, SERVICE_ACCOUNT, command, directory=directory, ready=lambda: True) as log:
        yield log


def _source() -> Path:
    return module(MODULE, "tools/external-secrets")


def _values() -> Manifest:
    return release_values("external-secrets")


def _chart(source: Path, directory: Path) -> Path:
    """The chart, without a dependency that is off and not in the module."""
    chart = directory / "external-secrets-chart"
    shutil.copytree(source / "deploy/charts/external-secrets", chart)
    for path in (chart, chart / "Chart.yaml", chart / "Chart.lock"):
        path.chmod(0o755)
    (chart / "Chart.lock").unlink()
    metadata = yaml.safe_load((chart / "Chart.yaml").read_text())
    del metadata["dependencies"]
    (chart / "Chart.yaml").write_text(yaml.safe_dump(metadata))
    return chart
