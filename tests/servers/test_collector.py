"""The collector of `gitops/opentelemetry`, with the configuration that its operator hands it, and a server in place of
Tempo.

The program is the collector of the image's release with the components that the configuration names.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from checks.gitops.tree import GITOPS
from lab.programs import ensure
from tests.servers import memory
from tests.servers.processes import eventually, free_ports, server
from tests.servers.services import answers

pytestmark = pytest.mark.long

COLLECTOR: dict[str, Any] = yaml.safe_load((GITOPS / "opentelemetry/collector/collector.yaml").read_text())["spec"]
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
"""What Tempo is called for (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc)."""

TRACE = {
    "resourceSpans": [
        {
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "5b8efff798038103d269b633813fc60c",
                            "spanId": "eee19b7ec3c1b174",
                            "name": "a-span-of-an-application",
                            "startTimeUnixNano": "1790000000000000000",
                            "endTimeUnixNano": "1790000001000000000",
                        }
                    ]
                }
            ]
        }
    ]
}


@dataclass
class Tempo(grpc.GenericRpcHandler):
    """Takes whatever is sent by the one call that Tempo is sent traces with, and keeps it as it came."""

    taken: list[bytes] = field(default_factory=list)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        if handler_call_details.method != EXPORT:
            return None

        def take(content: bytes, _context: grpc.ServicerContext) -> bytes:
            self.taken.append(content)
            return b""

        return grpc.unary_unary_rpc_method_handler(take)


@dataclass
class Running:
    """A running collector: the port of OTLP by HTTP, its log, and what arrived behind it."""

    http: int
    log: Path
    tempo: Tempo


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The collector with its configuration, but for ports and addresses."""
    directory = tmp_path_factory.mktemp("collector")
    by_grpc, by_http, health = free_ports(3)
    tempo = Tempo()
    behind = grpc.server(futures.ThreadPoolExecutor(max_workers=2), handlers=[tempo])
    port = behind.add_insecure_port("127.0.0.1:0")
    behind.start()
    text = yaml.safe_dump(COLLECTOR["config"])
    for before, after in (
        ("0.0.0.0:4317", f"127.0.0.1:{by_grpc}"),
        ("0.0.0.0:4318", f"127.0.0.1:{by_http}"),
        ("0.0.0.0:13133", f"127.0.0.1:{health}"),
        ("tempo.traces.svc:4317", f"127.0.0.1:{port}"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    # Its own figures have a port, 8888, that another program of this machine may have.
    config = yaml.safe_load(text)
    config["service"]["telemetry"] = {"metrics": {"level": "none"}}
    file = directory / "collector.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [str(ensure(["otelcol"])["otelcol"].path), f"--config={file}"]
    try:
        ready = f"http://127.0.0.1:{health}/"
        with server("otelcol", command, directory=directory, ready=lambda: answers(ready)) as log:
            yield Running(by_http, log, tempo)
    finally:
        behind.stop(None)


def test_a_trace_that_an_application_sends_by_http_reaches_tempo(collector: Running) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{collector.http}/v1/traces",
        data=json.dumps(TRACE).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        assert answer.status == 200
    name = b"a-span-of-an-application"
    eventually(lambda: any(name in content for content in collector.tempo.taken) or None, "trace", seconds=60)


def test_the_collector_complains_of_nothing_in_its_configuration(collector: Running) -> None:
    said = collector.log.read_text()
    assert [line for line in said.splitlines() if re.search(r"\t(warn|error)\t", line)] == []


def test_the_collector_takes_less_than_it_asks_for(collector: Running) -> None:
    del collector
    assert memory.peak("otelcol") < memory.limit({"limits": COLLECTOR["resources"]["requests"]})


def test_the_image_is_of_the_release_that_is_tried_here() -> None:
    tried = re.search(r"collector/otelcol v(\S+)", (Path(__file__).parents[2] / "lab/collector/go.mod").read_text())
    assert tried is not None
    assert COLLECTOR["image"].rpartition(":")[2] == tried[1]


def test_the_collector_sends_where_alloy_sends() -> None:
    alloy = (GITOPS / "logs/collector/release.yaml").read_text()
    assert COLLECTOR["config"]["exporters"]["otlp_grpc"]["endpoint"] in alloy
