"""What the client of the Kubernetes API asks, and what it makes of an answer; the API servers are played."""

from __future__ import annotations

import asyncio
import http.client
import io
import tarfile
from collections.abc import Callable
from typing import Any, cast

import pytest
import yaml

from components.talos import kubernetes_api
from components.talos.api import TalosError, TalosNode
from components.talos.kubernetes_api import KubernetesApi, KubernetesError

CREDENTIALS = {
    "clusters": [{"cluster": {"certificate-authority-data": ""}}],
    "users": [{"user": {"client-certificate-data": "", "client-key-data": ""}}],
}
KINDS = {
    "/api/v1": b'{"resources": [{"name": "nodes", "kind": "Node", "namespaced": false},'
    b' {"name": "configmaps", "kind": "ConfigMap", "namespaced": true}]}',
    "/apis/apps/v1": b'{"resources": [{"name": "deployments/status", "kind": "Deployment", "namespaced": true},'
    b' {"name": "deployments", "kind": "Deployment", "namespaced": true}]}',
}
"""What the API serves, by the group."""
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "kube-system", "name": "coredns"}}

Said = tuple[int, bytes]
Server = Callable[[str, str], Said]
"""What is answered to a method and a path."""


@pytest.fixture(name="asked")
def _asked() -> list[str]:
    """Requests, in order, as `address method path`."""
    return []


@pytest.fixture(name="api")
def _api(monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> Callable[..., KubernetesApi]:
    """An API at some addresses, of which those that have a server answer."""

    def at(**servers: Server | None) -> KubernetesApi:
        class Connection:
            def __init__(self, address: str, port: int, **_: object) -> None:
                assert port == 6443
                self.server = servers[address]

            def request(self, method: str, path: str, _: object, headers: dict[str, str]) -> None:
                asked.append(f"{method} {path} {headers['Content-Type']}")
                if self.server is None:
                    raise ConnectionRefusedError("refused")
                self.said = self.server(method, path)

            def getresponse(self) -> Any:
                status, body = self.said
                found = io.BytesIO(body)
                found.status = status  # type: ignore[attr-defined]
                return found

            def close(self) -> None:
                pass

        monkeypatch.setattr(http.client, "HTTPSConnection", Connection)
        monkeypatch.setattr(kubernetes_api, "client_context", lambda _: None)
        return KubernetesApi(list(servers), CREDENTIALS)

    return at


def served(_: str, path: str) -> Said:
    return 200, KINDS.get(path, b'{"items": [{"name": 1}]}')


def refusing(status: int) -> Server:
    return lambda _, path: (200, KINDS[path]) if path in KINDS else (status, b'{"message": "not yours"}')


@pytest.mark.parametrize(("force", "said"), [(False, "false"), (True, "true")])
def test_fields_of_somebody_else_are_taken_only_by_force(
    api: Callable[..., KubernetesApi], asked: list[str], force: bool, said: str
) -> None:
    asyncio.run(api(a=served).apply(MAP, manager="talos", force=force))
    assert asked[-1] == (
        f"PATCH /api/v1/namespaces/kube-system/configmaps/coredns?fieldManager=talos&force={said} "
        "application/apply-patch+yaml"
    )


@pytest.mark.parametrize(
    ("manifest", "path"),
    [
        (MAP, "/api/v1/namespaces/kube-system/configmaps/coredns"),
        ({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}, "/api/v1/nodes/n"),
        (
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}},
            "/apis/apps/v1/namespaces/default/deployments/d",
        ),
    ],
    ids=["in-a-namespace", "of-the-cluster", "of-a-group"],
)
def test_an_object_is_where_the_api_says_that_its_kind_is(
    api: Callable[..., KubernetesApi], manifest: dict[str, Any], path: str
) -> None:
    assert asyncio.run(api(a=served).path(manifest)) == path


def test_a_kind_that_the_api_does_not_have_is_named(api: Callable[..., KubernetesApi]) -> None:
    with pytest.raises(TalosError, match="has no Pod of v1"):
        asyncio.run(api(a=served).path({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}))


def test_the_next_api_server_is_asked_where_one_does_not_answer(api: Callable[..., KubernetesApi]) -> None:
    assert api(a=None, b=served).items("/api/v1/nodes") == [{"name": 1}]


def test_that_no_api_server_answers_is_told_of_each(api: Callable[..., KubernetesApi]) -> None:
    with pytest.raises(TalosError, match=r"https://a:6443: refused; https://b:6443: refused"):
        api(a=None, b=None).items("/api/v1/nodes")


@pytest.mark.parametrize("status", [400, 401, 403, 409, 500])
def test_a_refusal_is_an_error_with_its_reason(api: Callable[..., KubernetesApi], status: int) -> None:
    with pytest.raises(KubernetesError, match=f"{status}: not yours"):
        asyncio.run(api(a=refusing(status)).apply(MAP, manager="talos", force=False))
    with pytest.raises(KubernetesError, match=f"{status}: not yours"):
        api(a=refusing(status)).items("/api/v1/nodes/n")


def test_only_what_is_not_there_is_nothing(api: Callable[..., KubernetesApi]) -> None:
    assert asyncio.run(api(a=refusing(404)).get("/x")) is None
    with pytest.raises(KubernetesError, match="GET /x: 403"):
        asyncio.run(api(a=refusing(403)).get("/x"))


def test_an_answer_of_something_in_between_is_the_reason(api: Callable[..., KubernetesApi]) -> None:
    with pytest.raises(KubernetesError, match="502: a gateway"):
        api(a=lambda *_: (502, b"a gateway\n")).items("/api/v1/nodes")


def test_the_first_control_plane_that_gives_out_a_kubeconfig_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Node:
        def __init__(self, address: str, answers: bool) -> None:
            self.address, self.answers = address, answers

        async def kubeconfig(self) -> bytes:
            if not self.answers:
                raise TalosError(f"{self.address} is down")
            content, archive = yaml.safe_dump(CREDENTIALS).encode(), io.BytesIO()
            with tarfile.open(fileobj=archive, mode="w:gz") as files:
                entry = tarfile.TarInfo("kubeconfig")
                entry.size = len(content)
                files.addfile(entry, io.BytesIO(content))
            return archive.getvalue()

    monkeypatch.setattr(kubernetes_api, "client_context", lambda _: None)
    made = asyncio.run(KubernetesApi.of(*(cast(TalosNode, Node(*one)) for one in (("a", False), ("b", True)))))
    assert made._addresses == ["a", "b"]
    with pytest.raises(TalosError, match="no control plane gives out a kubeconfig: a is down"):
        asyncio.run(KubernetesApi.of(cast(TalosNode, Node("a", False))))
