"""What is asked of a node, word by word: a dry run that were none, or a member too many, would end a cluster."""

from __future__ import annotations

import asyncio
import base64
import ssl
import urllib.error
import urllib.request
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.kit import mutual_tls
from components.talos import api, hooks, image_factory, images, messages, secrets
from components.talos.api import TalosCredentials, TalosNode
from components.talos.image_factory import ImageFactoryError
from tests.keypairs import elliptic_keypair


class Calls:
    """A node whose calls are kept, with an answer for each method."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: messages.Message) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.seconds = 0.0

        async def call(
            _: object, method: str, request: Any, __: object, timeout: float = api.RPC_TIMEOUT, **___: object
        ) -> messages.Message:
            self.asked.append((method, request))
            self.seconds = timeout
            return answers.get(method, messages.Empty())

        monkeypatch.setattr(api, "_tls", lambda _: None)
        monkeypatch.setattr(TalosNode, "_call", call)

    def run(self, method: str, *arguments: object) -> Any:
        async def ask() -> Any:
            async with TalosNode("192.0.2.1", TalosCredentials(b"", b"", b"")) as node:
                return await getattr(node, method)(*arguments)

        return asyncio.run(ask())


def applied(mode: int) -> messages.ApplyResponse:
    return messages.ApplyResponse([messages.Apply(mode)])


@pytest.mark.parametrize(("mode", "reboots"), [(messages.MODE_REBOOT, True), (messages.MODE_NO_REBOOT, False)])
def test_whether_a_node_would_reboot_is_asked_without_changing_it(
    monkeypatch: pytest.MonkeyPatch, mode: int, reboots: bool
) -> None:
    calls = Calls(monkeypatch, ApplyConfiguration=applied(mode))
    assert calls.run("will_reboot", "machine: {}") is reboots
    [(_, request)] = calls.asked
    assert (request.dry_run, request.mode) == (True, messages.MODE_AUTO)


def test_a_configuration_of_static_pods_never_reboots_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch)
    calls.run("apply", "machine: {}")
    [(_, request)] = calls.asked
    assert (request.dry_run, request.mode) == (False, messages.MODE_NO_REBOOT)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("pull", ("registry.k8s.io/kube-apiserver:v1.36.3", api.ImageNamespace.CRI)),
        ("upgrade", ("factory.talos.dev/installer/schematic:v1.13.9",)),
        ("leave_etcd", ()),
    ],
)
def test_a_call_that_returns_when_the_work_is_done_is_given_minutes(
    monkeypatch: pytest.MonkeyPatch, method: str, arguments: tuple[object, ...]
) -> None:
    calls = Calls(monkeypatch)
    calls.run(method, *arguments)
    # Talos itself tries for five minutes to leave etcd, and an image comes over a home's connection.
    assert calls.seconds > 300


def test_a_member_that_only_learns_has_no_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    members = [messages.EtcdMember(n, f"node-{n}", [f"https://192.0.2.{n}:2380"], n == 2) for n in (1, 2)]
    calls = Calls(monkeypatch, EtcdMemberList=messages.EtcdMembersResponse([messages.EtcdMembers(members)]))
    assert [member.name for member in calls.run("etcd_members")] == ["node-1"]


def test_a_node_is_spoken_to_in_the_encryption_that_talos_demands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "client_context", lambda _: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context = api._tls(TalosCredentials(b"", b"", b""))
    # machined's server takes no less: MinVersion in siderolabs/crypto.
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3


def test_a_clients_key_is_on_the_disk_for_nobody_else_and_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []

    class Context(ssl.SSLContext):
        def load_cert_chain(self, certfile: Any, *_: Any, **__: Any) -> None:
            modes.append(certfile.stat().st_mode & 0o777)

    monkeypatch.setattr(ssl, "create_default_context", lambda **_: Context(ssl.PROTOCOL_TLS_CLIENT))
    pair = elliptic_keypair()
    authority = pair.certificate_pem.encode()
    mutual_tls.client_context(authority, authority, pair.private_key_pem.encode())
    assert modes == [0o600]


def answering(monkeypatch: pytest.MonkeyPatch, status: str) -> str | None:
    """What the check of the Kubernetes API makes of an answer with that status."""

    class Reader:
        async def readline(self) -> bytes:
            return f"HTTP/1.1 {status}\r\n".encode()

    async def connect(*_: object, **__: object) -> tuple[Reader, Any]:
        return Reader(), SimpleNamespace(write=lambda _: None, close=lambda: None)

    monkeypatch.setattr(asyncio, "open_connection", connect)
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: None)
    checks = SimpleNamespace(kubernetes_ca=base64.b64encode(b"ca").decode(), api_vip="192.0.2.99")
    return asyncio.run(hooks.TalosChecks._api_answers(cast(Any, checks)))


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized"])
def test_an_api_server_that_serves_is_ready_whoever_asks(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    assert answering(monkeypatch, status) is None


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable", "404 Not Found"])
def test_an_api_server_that_is_starting_is_not_ready(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    assert answering(monkeypatch, status) == f"HTTP status [b'{status.split()[0]}']"


def test_the_api_servers_are_upgraded_before_what_asks_them() -> None:
    # No component may be newer than the API server: https://kubernetes.io/releases/version-skew-policy/
    assert images.STATIC_PODS[0] == "kube-apiserver"


@pytest.mark.parametrize(("status", "final"), [(404, True), (400, True), (500, False), (502, False)])
def test_an_image_that_cannot_be_built_is_told_from_one_that_is_not_built_yet(
    monkeypatch: pytest.MonkeyPatch, status: int, final: bool
) -> None:
    def refuse(request: Any, timeout: float) -> Any:
        assert timeout
        raise urllib.error.HTTPError(request.full_url, status, "no", cast(Any, {}), None)

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    if final:
        with pytest.raises(ImageFactoryError, match=f"refuses the image .* \\({status} no\\)"):
            image_factory._missing("https://factory.example.org/image", 1)
    else:
        assert image_factory._missing("https://factory.example.org/image", 1) == f"{status} no"


def generated() -> Any:
    """What the provider calls a cluster's secrets, each value after its own place."""

    def pair(name: str) -> Any:
        return SimpleNamespace(cert=f"{name} certificate", key=f"{name} key")

    names = ("etcd", "k8s", "k8s_aggregator", "k8s_serviceaccount", "os")
    return SimpleNamespace(
        certs=SimpleNamespace(**{name: pair(name) for name in names}),
        cluster=SimpleNamespace(id="id", secret="cluster secret"),
        secrets=SimpleNamespace(bootstrap_token="bootstrap token", secretbox_encryption_secret="encryption secret"),
        trustdinfo=SimpleNamespace(token="trustd token"),
    )


def test_each_secret_of_the_cluster_is_given_for_what_it_is() -> None:
    assert secrets._renamed(generated()) == {
        "certs": {
            "etcd": {"cert": "etcd certificate", "key": "etcd key"},
            "k8s": {"cert": "k8s certificate", "key": "k8s key"},
            "k8sAggregator": {"cert": "k8s_aggregator certificate", "key": "k8s_aggregator key"},
            "k8sServiceaccount": {"key": "k8s_serviceaccount key"},
            "os": {"cert": "os certificate", "key": "os key"},
        },
        "cluster": {"id": "id", "secret": "cluster secret"},
        "secrets": {"bootstrapToken": "bootstrap token", "secretboxEncryptionSecret": "encryption secret"},
        "trustdinfo": {"token": "trustd token"},
    }
