"""How the stack's outputs are recorded: each as soon as it is known, so that an `up` that fails leaves what it got to.

Does not own which outputs there are: that is the table in `__main__.py`.

The SDK registers a stack's outputs once, when the last of them is known: a first `up` that fails before leaves none,
also of those known from the beginning (https://github.com/pulumi/pulumi/issues/16289). The engine, however, keeps the
latest registration of a stack that it got, and writes it at the end, whether or not the `up` failed
(`executeRegisterResourceOutputs` in pkg/resource/deploy/step_executor.go, since https://github.com/pulumi/pulumi/pull/15754,
CLI 3.112). So the program registers, whenever another output is known, all that are.

An engine that was killed writes nothing at its end. What it had made is in its state all the same; `make recover` and
the next `up`, even one that fails, bring the outputs.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from typing import Any

import grpc
import pulumi
from google.protobuf import struct_pb2
from pulumi.runtime import get_root_resource, is_dry_run, rpc
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import get_monitor


def export(outputs: Mapping[str, Any]) -> None:
    """Export the stack's outputs by name. At least one is a plain string. Raises ValueError otherwise."""
    plain = {name: value for name, value in outputs.items() if isinstance(value, str)}
    if not plain:
        raise ValueError(f"outputs: none of {', '.join(outputs) or 'none'} is a plain string; give one that is")
    for name, value in outputs.items():
        pulumi.export(name, value)
    if not is_dry_run():
        # The SDK's own registration, of all outputs, has to be the last one: it waits for all before it.
        recorded: pulumi.Output[None] = pulumi.Output.from_input(asyncio.ensure_future(_record(outputs)))
        for name, value in plain.items():
            pulumi.export(name, recorded.apply(functools.partial(_after, value)))


def _after(value: str, _recorded: None) -> str:
    return value


async def _record(outputs: Mapping[str, Any]) -> None:
    stack, monitor = get_root_resource(), get_monitor()
    if stack is None or monitor is None:
        raise RuntimeError("the program does not run in a stack")
    urn = str(await stack.urn.future())
    known = struct_pb2.Struct()
    waiting = {asyncio.ensure_future(rpc.serialize_properties({name: value}, {})) for name, value in outputs.items()}
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            # Whatever failed to make an output tells so itself.
            if one.exception() is None:
                known.MergeFrom(one.result())
        request = resource_pb2.RegisterResourceOutputsRequest(urn=urn, outputs=known)
        try:
            await asyncio.get_running_loop().run_in_executor(None, monitor.RegisterResourceOutputs, request)
        except grpc.RpcError:
            return  # The engine has ended, and says why.
