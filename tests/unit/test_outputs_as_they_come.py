"""Outputs are registered as they become known, so that an `up` that fails later leaves them.

What the engine makes of it, a test in the lab shows with the engine itself.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pulumi
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import resource_pb2

from checks.graph import record
from checks.graph.recorder import Recorder
from checks.graph.wire import decode_struct
from stacks import outputs


def registered(monkeypatch: pytest.MonkeyPatch, *, dry_run: bool) -> list[set[str]]:
    """The names in each registration of the outputs of a program, one of which is known after a while."""
    seen: list[set[str]] = []
    real = Recorder.RegisterResourceOutputs

    def noting(recorder: Recorder, request: resource_pb2.RegisterResourceOutputsRequest) -> empty_pb2.Empty:
        seen.append(set(decode_struct(request.outputs)))
        return real(recorder, request)

    monkeypatch.setattr(Recorder, "RegisterResourceOutputs", noting)
    monkeypatch.setattr(outputs, "is_dry_run", lambda: dry_run)

    def program() -> None:
        later: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.2, later.set_result, "known later")
        outputs.export({"known": "before", "later": pulumi.Output.from_input(later)})

    record(program)
    return seen


def test_an_output_does_not_wait_for_one_that_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_, last = registered(monkeypatch, dry_run=False)
    assert (first, last) == ({"known"}, {"known", "later"})


def test_a_preview_registers_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert registered(monkeypatch, dry_run=True) == [{"known", "later"}]
