"""A real Vault, as one pod of our own resource would run it, unsealed and configured by the real bank-vaults.

All three run with the rights that our program gives to Vault's pods, and no others. Only what a test cannot have
replaces what the resource says: addresses, paths, and the API server's address.
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.programs import ensure
from tests.servers.kubernetes import KubernetesApi
from tests.servers.manifests import manifests
from tests.servers.pods import pod as process
from tests.servers.pods import run_in_pod
from tests.servers.processes import eventually, free_ports
from tests.servers.vault_pods import server_pod
from tests.unit.vault.examples import configuration, made

NAMESPACE = ACCOUNT = "vault"

_OURS = ("Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRoleBinding", "MutatingAdmissionPolicy")


@dataclass(frozen=True)
class Answer:
    """What Vault says: a status, and `data`, or `auth` of a login."""

    status: int
    body: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """The body's `data`."""
        return dict(self.body.get("data") or {})


@dataclass(frozen=True)
class VaultServer:
    """A running Vault."""

    api: KubernetesApi
    url: str
    directory: Path
    spec: Mapping[str, Any]

    def request(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Answer:
        """Send one request, with the root token unless another is given; a refusal is an answer, too."""
        request = urllib.request.Request(
            f"{self.url}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": self.keys.get("vault-root", "") if token is None else token},
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.api.ca))),
        )
        try:
            with opener.open(request, timeout=20) as response:
                return Answer(response.status, _body(response.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _body(error.read()))

    def login(self, namespace: str, account: str, role: str, *, audience: str = "vault") -> Answer:
        """Log in as a service account, by Kubernetes auth."""
        token = self.api.token(namespace, account, audiences=(audience,))
        return self.request("POST", "auth/kubernetes/login", {"role": role, "jwt": token}, token="")

    @property
    def keys(self) -> dict[str, str]:
        """What the unsealer keeps: `vault-root` and `vault-unseal-0` to -4; empty before the first start."""
        kept = self.api.find("v1", "Secret", self.spec["unsealConfig"]["kubernetes"]["secretName"], NAMESPACE)
        return {key: base64.b64decode(value).decode() for key, value in kept["data"].items()} if kept else {}

    def keep(self, keys: Mapping[str, str]) -> None:
        """Replace some of them, as a person would."""
        name = self.spec["unsealConfig"]["kubernetes"]["secretName"]
        metadata = {"name": name, "namespace": NAMESPACE}
        self.api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(keys)})

    def unseal(self) -> str:
        """Initialise if needed, and unseal, as the sidecar does; gives its output."""
        return self._bank_vaults("unseal", "--init", "--raft", "--raft-leader-address", self.url)

    def configure(self, *documents: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> str:
        """Apply documents in one process, one after another, as the configurer does.

        Raises:
            AssertionError: one was refused; with what the configurer said.
        """
        files = self._written(documents)
        return self._bank_vaults("configure", "--fatal", "--disable-metrics", *files, environment=environment or {})

    @contextlib.contextmanager
    def configurer(self, *documents: Mapping[str, Any]) -> Iterator[Path]:
        """The configurer at work on documents until the end of the block, as the operator runs it; gives its log."""
        command = self._command("configure", "--disable-metrics", *self._written(documents))
        with process(self.api, NAMESPACE, ACCOUNT, command, directory=self.directory, ready=lambda: True) as log:
            yield log

    def _written(self, documents: Sequence[Mapping[str, Any]]) -> list[str]:
        """Arguments that name the documents, once they are files."""
        files = []
        for index, document in enumerate(documents):
            path = self.directory / f"document-{index}.yml"
            path.write_text(json.dumps(document))
            files += ["--vault-config-file", str(path)]
        return files

    def _bank_vaults(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        command = self._command(*arguments, "--once", environment=environment)
        done = run_in_pod(self.api, NAMESPACE, ACCOUNT, command, directory=self.directory)
        assert done.returncode == 0, f"bank-vaults {arguments[0]} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def _command(self, *arguments: str, environment: Mapping[str, str] | None = None) -> list[str]:
        unseal = self.spec["unsealConfig"]
        variables = {"VAULT_ADDR": self.url, "VAULT_CACERT": str(self.api.ca), **(environment or {})}
        return [
            *("env", *(f"{key}={value}" for key, value in variables.items())),
            *(str(ensure(["bank-vaults"])["bank-vaults"].path), *arguments),
            *("--mode", "k8s", "--k8s-secret-namespace", unseal["kubernetes"]["secretNamespace"]),
            *("--k8s-secret-name", unseal["kubernetes"]["secretName"]),
            *("--secret-shares", str(unseal["options"]["secretShares"])),
            *("--secret-threshold", str(unseal["options"]["secretThreshold"])),
        ]


@contextlib.contextmanager
def vault_server(api: KubernetesApi, spec: Mapping[str, Any], directory: Path) -> Iterator[VaultServer]:
    """The server of pod instance-0 for the length of the block: started, neither initialised nor unsealed."""
    port, cluster_port = free_ports(2)
    vault = VaultServer(api, f"https://127.0.0.1:{port}", directory, spec)
    (directory / "raft").mkdir()
    config = _translated(
        spec["config"],
        {
            "https://${.Env.POD_NAME}.vault.svc:8200": vault.url,
            "https://${.Env.POD_NAME}.vault.svc:8201": f"https://127.0.0.1:{cluster_port}",
            "${.Env.POD_NAME}": "instance-0",
            "0.0.0.0:8200": f"127.0.0.1:{port}",
            "/vault/file": str(directory / "raft"),
            # The one certificate for 127.0.0.1 that the test's authority signed.
            "/vault/tls/server.crt": str(api.ca.with_name("server.crt")),
            "/vault/tls/server.key": str(api.ca.with_name("server.key")),
        },
    )
    config["listener"]["tcp"]["cluster_address"] = f"127.0.0.1:{cluster_port}"
    # An election after one second instead of ten, on a machine where no node is slow.
    config["storage"]["raft"]["performance_multiplier"] = "1"
    # What the operator adds for `serviceRegistrationEnabled`.
    config["service_registration"] = {"kubernetes": {"namespace": NAMESPACE}}
    (directory / "vault.json").write_text(json.dumps(config))
    command = [
        *("env", "VAULT_K8S_POD_NAME=instance-0", f"HOME={directory}"),
        *(str(ensure(["vault"])["vault"].path), "server", f"-config={directory / 'vault.json'}"),
    ]
    with process(api, NAMESPACE, ACCOUNT, command, directory=directory, ready=lambda: _answers(vault)):
        yield vault


@contextlib.contextmanager
def platform_vault(api: KubernetesApi, directory: Path) -> Iterator[VaultServer]:
    """An active Vault with the platform's first document, for namespaces `gitea` and `dns`, until the block's end."""
    (resource,) = manifests(made(), "Vault")
    api.apply(*manifests(made(), *_OURS))
    for namespace in ("gitea", "dns", "stranger"):
        api.namespace(namespace)
        for account in ("vault-client", "other"):
            metadata = {"name": account, "namespace": namespace}
            api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    pod = server_pod(resource["spec"], "instance-0", NAMESPACE)
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]["add"]
    api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod)
    with vault_server(api, resource["spec"], directory) as server:
        server.unseal()
        eventually(lambda: server.request("GET", "sys/health").status == 200 or None, "active Vault")
        server.configure(first_document(api))
        yield server


def first_document(api: KubernetesApi) -> dict[str, Any]:
    """The platform's configuration as in the resource; there is no name kubernetes.default.svc here."""
    document = configuration().document()
    document["auth"][0]["config"]["kubernetes_host"] = api.url
    return document


def _answers(vault: VaultServer) -> bool:
    with contextlib.suppress(OSError):
        return vault.request("GET", "sys/seal-status", token="").status == 200
    return False


def _translated(config: Mapping[str, Any], replacements: Mapping[str, str]) -> dict[str, Any]:
    text = json.dumps(config)
    for original, replacement in replacements.items():
        assert original in text, f"the server's configuration says {original} no longer: {text}"
        text = text.replace(original, replacement)
    translated: dict[str, Any] = json.loads(text)
    return translated


def _body(content: bytes) -> dict[str, Any]:
    try:
        loaded = json.loads(content)
    except ValueError:
        return {}
    return loaded if isinstance(loaded, dict) else {}
