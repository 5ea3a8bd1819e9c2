"""A small client of the Talos machine API (port 50000) for what the Talos provider cannot do.

Used only by resource hooks, so never in a preview. Owns no resource. The provider can apply a configuration, but it
cannot tell whether a node is healthy, whether a configuration will reboot it, or upgrade it; and its Bootstrap retries
for ten minutes on a cluster that is bootstrapped already.

The messages are described here field by field, as in talos/pkg/machinery/api/machine v1.13; no generated bindings for
Python exist for this version. Fields that nobody reads are left out, which protobuf allows.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

PORT = 50000
"""Port of apid on every node (talos/pkg/machinery/constants)."""

RPC_TIMEOUT = 10
"""Seconds for one call to a node that answers."""

UPGRADE_RPC_TIMEOUT = 900
"""Seconds for an Upgrade call: it returns after the node has pulled and checked the installer image."""

_PACKAGE = "homelab.talos"
_STRING, _BYTES, _BOOL, _ENUM = "TYPE_STRING", "TYPE_BYTES", "TYPE_BOOL", "TYPE_INT32"

# message -> field -> (number, type or message name, repeated)
_MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "Empty": {},
    "VersionInfo": {"tag": (1, _STRING, False)},
    "Version": {"version": (2, "VersionInfo", False)},
    "VersionResponse": {"messages": (1, "Version", True)},
    "ServiceHealth": {"unknown": (1, _BOOL, False), "healthy": (2, _BOOL, False)},
    "ServiceInfo": {"id": (1, _STRING, False), "state": (2, _STRING, False), "health": (4, "ServiceHealth", False)},
    "ServiceList": {"services": (2, "ServiceInfo", True)},
    "ServiceListResponse": {"messages": (1, "ServiceList", True)},
    "ApplyRequest": {"data": (1, _BYTES, False), "mode": (4, _ENUM, False), "dry_run": (5, _BOOL, False)},
    "Apply": {"mode": (3, _ENUM, False), "mode_details": (4, _STRING, False)},
    "ApplyResponse": {"messages": (1, "Apply", True)},
    "UpgradeRequest": {"image": (1, _STRING, False)},
    "ReadRequest": {"path": (1, _STRING, False)},
    "Data": {"bytes": (2, _BYTES, False)},
    "EtcdMember": {"hostname": (3, _STRING, False), "is_learner": (6, _BOOL, False)},
    "EtcdMembers": {"members": (3, "EtcdMember", True)},
    "EtcdMembersResponse": {"messages": (1, "EtcdMembers", True)},
}
_MODE_REBOOT, _MODE_AUTO = 0, 1  # ApplyConfigurationRequest.Mode


def _message_classes() -> dict[str, Any]:
    def described(field: str, number: int, kind: str, repeated: bool) -> dict[str, object]:
        label = "LABEL_REPEATED" if repeated else "LABEL_OPTIONAL"
        of = {"type": kind} if kind.startswith("TYPE_") else {"type": "TYPE_MESSAGE", "typeName": f".{_PACKAGE}.{kind}"}
        return {"name": field, "number": number, "label": label, **of}

    messages = [
        {"name": name, "field": [described(field, *shape) for field, shape in fields.items()]}
        for name, fields in _MESSAGES.items()
    ]
    file = descriptor_pb2.FileDescriptorProto()
    json_format.ParseDict(
        {"name": "homelab/talos.proto", "package": _PACKAGE, "syntax": "proto3", "messageType": messages}, file
    )
    pool: Any = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES = _message_classes()


class TalosError(Exception):
    """A node does not answer or refuses a call; the message names the node and what to do."""


@dataclass(frozen=True)
class TalosCredentials:
    """CA, client certificate and key of a talosconfig, each PEM."""

    ca_certificate: bytes
    client_certificate: bytes
    client_key: bytes


async def answers(address: str) -> bool:
    """Whether anything completes a TLS handshake on the node's API port, in maintenance mode or configured.

    A configured node asks for a client certificate and then refuses us: that is an answer too.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(RPC_TIMEOUT):
            _, writer = await asyncio.open_connection(address, PORT, ssl=context)
            writer.close()
            return True
    except ssl.SSLError:
        return True
    except (OSError, TimeoutError):
        return False


class TalosNode:
    """The machine API of one configured node; an async context manager.

    Every method raises TalosError when the node does not answer within its time.
    """

    def __init__(self, address: str, credentials: TalosCredentials) -> None:
        self.address = address
        tls = grpc.ssl_channel_credentials(
            credentials.ca_certificate, credentials.client_key, credentials.client_certificate
        )
        # A proxy of the environment is never on the way to a machine of the site.
        self._channel = grpc.aio.secure_channel(f"{address}:{PORT}", tls, options=[("grpc.enable_http_proxy", 0)])

    async def __aenter__(self) -> TalosNode:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def _call(self, method: str, request: Any, response: str, timeout: float = RPC_TIMEOUT) -> Any:
        call: Any = self._channel.unary_unary(
            f"/machine.MachineService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=_CLASSES[response].FromString,
        )
        try:
            return await call(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise _RefusedError(self.address, method, error) from None

    async def version(self) -> str:
        """The running Talos version, such as v1.13.9."""
        answer = await self._call("Version", _CLASSES["Empty"](), "VersionResponse")
        return str(answer.messages[0].version.tag)

    async def services(self) -> Mapping[str, bool]:
        """Every service of the node, and whether it runs and its health check (if any) passes."""
        answer = await self._call("ServiceList", _CLASSES["Empty"](), "ServiceListResponse")
        return {
            service.id: service.state == "Running" and (service.health.healthy or service.health.unknown)
            for service in answer.messages[0].services
        }

    async def etcd_members(self) -> list[str]:
        """Host names of the cluster's etcd members that vote; control planes only."""
        answer = await self._call("EtcdMemberList", _CLASSES["Empty"](), "EtcdMembersResponse")
        return [member.hostname for member in answer.messages[0].members if not member.is_learner]

    async def will_reboot(self, configuration: str) -> bool:
        """Whether the node would reboot to apply `configuration`: it is asked for a dry run."""
        request = _CLASSES["ApplyRequest"](data=configuration.encode(), mode=_MODE_AUTO, dry_run=True)
        answer = await self._call("ApplyConfiguration", request, "ApplyResponse")
        return bool(answer.messages[0].mode == _MODE_REBOOT)

    async def boot_id(self) -> str:
        """An id that changes with every boot of the node's kernel."""
        call: Any = self._channel.unary_stream(
            "/machine.MachineService/Read",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=_CLASSES["Data"].FromString,
        )
        content = b""
        try:
            request = _CLASSES["ReadRequest"](path="/proc/sys/kernel/random/boot_id")
            async for chunk in call(request, timeout=RPC_TIMEOUT):
                content += chunk.bytes
        except grpc.aio.AioRpcError as error:
            raise _RefusedError(self.address, "Read", error) from None
        return content.decode().strip()

    async def bootstrap(self) -> bool:
        """Starts etcd as the first member of a new cluster; False when the cluster was bootstrapped before."""
        try:
            await self._call("Bootstrap", _CLASSES["Empty"](), "Empty")
        except _RefusedError as refusal:
            if refusal.code == grpc.StatusCode.ALREADY_EXISTS:
                return False
            raise
        return True

    async def upgrade(self, image: str) -> None:
        """Installs `image` beside the running system and reboots into it."""
        await self._call("Upgrade", _CLASSES["UpgradeRequest"](image=image), "Empty", UPGRADE_RPC_TIMEOUT)


class _RefusedError(TalosError):
    def __init__(self, address: str, method: str, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        super().__init__(f"node {address}: {method}: {self.code.name}: {error.details()}")
