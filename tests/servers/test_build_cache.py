"""Bazel's cache with the arguments of its release, and nginx in front of it as the ingress controller sets it up."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from lab import debian
from lab.programs import ensure
from stacks.application_secrets import BUILD_CACHE_USERS
from tests.servers import memory
from tests.servers.processes import free_port, free_ports, server
from tests.servers.services import PASSWORD, answers, container, listens, requested

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def bazel() -> Path:
    return ensure(["bazel-remote"])["bazel-remote"].path


@pytest.fixture(scope="module")
def cache(bazel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The cache with its arguments of the release, but for the ports; gives that of HTTP and of gRPC."""
    directory = tmp_path_factory.mktemp("cache")
    http, rpc, profile, *open_to_all = free_ports(5)
    ports = {"8080": str(http), "9092": str(rpc), "6060": str(profile)}
    arguments = list(container("build-cache", "cache")["args"])
    for before, after in ports.items():
        arguments = [argument.replace(f":{before}", f":{after}") for argument in arguments]
    # What the image says before (BUILD.bazel), which the release takes back.
    image = [f"--http_address=:{open_to_all[0]}", f"--dir={directory}/data", f"--profile_address=:{open_to_all[1]}"]
    command = [str(bazel), *image, *arguments]
    with server("bazel", command, directory=directory, ready=lambda: answers(f"http://127.0.0.1:{http}/status")):
        assert not any(listens(port) for port in open_to_all)
        yield http, rpc


def call(port: int, method: str, *, user: str | None = None) -> bytes:
    """The answer to an empty request."""
    credentials = (("authorization", f"Basic {base64.b64encode(user.encode()).decode()}"),) if user else None
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        asking = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        return bytes(asking(b"", metadata=credentials, timeout=60))


CAPABILITIES = "/build.bazel.remote.execution.v2.Capabilities/GetCapabilities"


def test_the_cache_says_that_it_is_well_where_the_probe_asks(cache: tuple[int, int]) -> None:
    # Field 1, SERVING (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
    assert call(cache[1], "/grpc.health.v1.Health/Check") == b"\x08\x01"


def test_the_cache_answers_bazel(cache: tuple[int, int]) -> None:
    assert call(cache[1], CAPABILITIES) != b""


def test_the_empty_cache_takes_less_than_it_asks_for(cache: tuple[int, int]) -> None:
    del cache
    assert memory.peak("bazel-remote") < requested("build-cache", "cache")


def test_a_variable_of_a_service_of_its_own_name_would_end_the_cache(bazel: Path, tmp_path: Path) -> None:
    """The reason why nothing is called so, and why our chart gives pods no such variables."""
    done = subprocess.run(
        [str(bazel), f"--dir={tmp_path}/data", "--max_size=1"],
        env={**os.environ, "BAZEL_REMOTE_PORT": "tcp://10.96.0.7:9092"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "BAZEL_REMOTE_PORT" in done.stdout + done.stderr


@pytest.fixture(scope="module")
def behind_nginx(cache: tuple[int, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """nginx in front, with the directives that the ingress controller writes for our annotations."""
    here = tmp_path_factory.mktemp("nginx")
    port = free_port()
    users = BUILD_CACHE_USERS.derived["htpasswd"].replace("{{ .password }}", PASSWORD)
    (here / "htpasswd").write_text(users + "\n")
    (here / "nginx.conf").write_text(
        # The worker of a root's nginx is nobody, who may not read the test's directory.
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"pid {here}/pid; error_log {here}/error.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;\n"
        f"fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;\n"
        f"server {{ listen 127.0.0.1:{port} http2; auth_basic 'build-cache'; auth_basic_user_file {here}/htpasswd;\n"
        f"location / {{ grpc_pass grpc://127.0.0.1:{cache[1]}; }} }} }}\n"
    )
    nginx = str(debian.ensure({"nginx": "nginx"})["nginx"])
    command = [nginx, "-p", str(here), "-c", str(here / "nginx.conf"), "-g", "daemon off;"]
    with server("nginx", command, directory=here, ready=lambda: listens(port)):
        yield port


def test_bazel_reaches_the_cache_with_the_password(behind_nginx: int) -> None:
    assert call(behind_nginx, CAPABILITIES, user=f"bazel:{PASSWORD}") != b""


@pytest.mark.parametrize("user", [None, "bazel:guessed", f"other:{PASSWORD}"])
def test_nobody_reaches_the_cache_without_it(behind_nginx: int, user: str | None) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        call(behind_nginx, CAPABILITIES, user=user)
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
