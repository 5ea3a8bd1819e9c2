"""A provider plugin that does what another one does, but keeps quiet about creations: `HOLD PLUGIN ARGUMENTS...`.

It starts the plugin and passes every request on. A creation that succeeded is written to the directory `HOLD`, and its
answer never arrives: the moment in which an `up` is killed, held open. A resource that is there already is let through,
so that each creation is held once. When the engine is gone, so are both.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2

_CREATE = "/pulumirpc.ResourceProvider/Create"
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class _Passing(grpc.GenericRpcHandler):
    def __init__(self, there: grpc.Channel, hold: Path) -> None:
        self._there, self._hold = there, hold

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = handler_call_details.method
        ask: Callable[..., bytes] = self._there.unary_unary(method)
        # Without serialisers, a message is its bytes.
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._pass(ask, method, request, context))

    def _pass(self, ask: Callable[..., bytes], method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            answer = ask(request, metadata=context.invocation_metadata())
        except grpc.RpcError as error:
            # Details of a failed operation, such as what it made all the same, are in the trailing metadata.
            context.set_trailing_metadata(tuple((each.key, each.value) for each in error.trailing_metadata()))
            context.abort(error.code(), error.details() or "")
            raise
        if method == _CREATE:
            created = provider_pb2.CreateRequest.FromString(request)
            file = self._hold / hashlib.sha256(created.urn.encode()).hexdigest()
            if not created.preview and not file.exists():
                file.write_text(created.urn)
                threading.Event().wait()
        return answer


def main(hold: str, plugin: str, *arguments: str) -> None:
    """Serve until the plugin or the engine ends."""
    engine = os.getppid()
    with subprocess.Popen([plugin, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        there = grpc.insecure_channel(f"127.0.0.1:{process.stdout.readline().strip()}", options=_UNLIMITED)
        server = grpc.server(ThreadPoolExecutor(200), handlers=[_Passing(there, Path(hold))], options=_UNLIMITED)
        print(server.add_insecure_port("127.0.0.1:0"), flush=True)
        server.start()
        while process.poll() is None and os.getppid() == engine:
            time.sleep(0.1)
        process.kill()
        # Held answers would keep the interpreter.
        os._exit(process.wait())


if __name__ == "__main__":
    main(*sys.argv[1:])
