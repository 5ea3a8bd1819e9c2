"""`pulumi-language-python` on the SDK's own language runtime.

The Pulumi CLI starts it, reads the port from its first line of output and asks it over gRPC to run the program. It
runs the program in this process, with this interpreter: it makes no virtual environment, installs nothing and builds
no packages, which the official host does.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import grpc
from pulumi import RunError
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

MAX_MESSAGE_BYTES = 400 * 1024 * 1024
"""What the engine itself allows for one message."""


class Host(LanguageServer):
    """Runs the program that a request names. The base class answers what is not overridden here."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def Handshake(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802 (the protocol\'s name)
        """Answer the engine's first call. Nothing is negotiated."""
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802 (the protocol\'s name)
        """Say that this is a host without a release of its own."""
        return plugin_pb2.PluginInfo(version="0.0.0")

    def RuntimeOptionsPrompts(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802 (the protocol\'s name)
        """Ask for no options."""
        return language_pb2.RuntimeOptionsResponse()

    def Run(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 (the protocol's name)
        """Run the program; its error has been shown when the answer says `bail`."""
        directory = os.path.abspath(request.info.program_directory or request.pwd)
        entry = os.path.normpath(os.path.join(directory, request.info.entry_point or "."))
        os.chdir(request.pwd)
        self.program = lambda: _run(entry, directory)
        answer = super().Run(request, context)  # type: ignore[no-untyped-call]
        return language_pb2.RunResponse(bail=True) if answer.error else answer


def _run(entry: str, directory: str) -> None:
    """Execute the program as its directory's `__main__`.

    Raises:
        RunError: for every failure of the program, with the traceback from the program's first frame on.
    """
    sys.path[0] = directory
    sys.argv = [entry]
    try:
        runpy.run_path(entry, run_name="__main__")
    except RunError:
        raise
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise RunError(f"the program called sys.exit({stop.code!r})") from stop
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        first = next((i for i, frame in enumerate(frames) if frame.filename.startswith(directory + os.sep)), 0)
        lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames[first:])]
        lines += traceback.format_exception_only(type(error), error)
        raise RunError("Program failed with an unhandled exception:\n" + "".join(lines)) from error


def _end_with_the_engine(engine: int) -> None:
    """Leave when the engine is gone without a signal, as after a SIGKILL."""
    while os.getppid() == engine:
        time.sleep(0.5)
    os._exit(1)


def _leave_quietly(_number: int, _frame: FrameType | None) -> None:
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    """Serve until the engine ends this process, which it does with SIGINT."""
    signal.signal(signal.SIGINT, _leave_quietly)
    signal.signal(signal.SIGTERM, _leave_quietly)
    threading.Thread(target=_end_with_the_engine, args=(os.getppid(),), daemon=True).start()
    server = grpc.server(
        ThreadPoolExecutor(max_workers=4),
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ],
    )
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Host(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
