"""A small client for the Talos machine API (port 50000), for what the Talos provider cannot do.

Used only by resource hooks and by `node_removal_command`, so never in a preview. Owns no resource. The provider can
apply a configuration, but it cannot tell whether a node is healthy, whether a configuration will reboot it, upgrade it,
or remove it from a cluster; and its Bootstrap retries for ten minutes on a cluster that is already bootstrapped.

What goes over the wire is in `messages.py`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import yaml

from components.kit import mutual_tls
from components.kit.deferred import deferred

if TYPE_CHECKING:
    from grpclib import client, const, exceptions

    from components.talos import messages
else:
    # A preview calls no node, and these are a fiftieth of its time.
    client, const, exceptions = (deferred(f"grpclib.{name}") for name in ("client", "const", "exceptions"))
    messages = deferred("components.talos.messages")

CREDENTIALS = "HOMELAB_TALOS_CREDENTIALS"
"""The variable in which commands that Pulumi runs receive credentials, as `ClientCredentials.dumps` writes them."""

PORT = 50000
"""Port of apid on every node (talos/pkg/machinery/constants)."""

RPC_TIMEOUT = 10
"""Seconds for an ordinary call to a node."""

UPGRADE_RPC_TIMEOUT = 900
"""Seconds for an Upgrade call: it returns after the node has pulled and checked the installer image."""

PULL_RPC_TIMEOUT = 900
"""Seconds for an ImagePull call: it returns with the image."""

LEAVE_RPC_TIMEOUT = 400
"""Seconds for EtcdLeaveCluster: Talos tries for 5 minutes (talos/internal/pkg/etcd), then stops etcd."""

_MACHINE, _RESOURCES = "machine.MachineService", "cosi.resource.State"

_ResponseT = TypeVar("_ResponseT", bound="messages.Message")
_AnswerT = TypeVar("_AnswerT")


class ImageNamespace(IntEnum):
    """The stores of images on a node (common.ContainerdNamespace)."""

    SYSTEM = 1
    """Talos's own, for the kubelet."""
    CRI = 2
    """The container runtime's, for pods."""


class TalosError(Exception):
    """A node does not answer or refuses a call; the message names the node and what to do."""


@dataclass(frozen=True)
class TalosCredentials:
    """CA, client certificate and key of a talosconfig, each PEM."""

    ca_certificate: bytes
    client_certificate: bytes
    client_key: bytes

    @classmethod
    def decoded(cls, *parts: str) -> TalosCredentials:
        """From the three parts in base64, as configurations hold them."""
        return cls(*[base64.b64decode(part) for part in parts])

    @classmethod
    def loads(cls, text: str) -> TalosCredentials:
        """From the value of the variable `CREDENTIALS`: JSON, a list of the three parts in base64."""
        return cls.decoded(*json.loads(text))


@dataclass(frozen=True)
class EtcdMember:
    """An etcd member: its host name, its id in etcd, and the address at which the others reach it."""

    name: str
    id: int
    address: str


async def answers(address: str, timeout: float = RPC_TIMEOUT) -> bool:
    """Whether anything completes a TLS handshake on the node's API port, in maintenance mode or configured.

    Waits `timeout` seconds.

    A configured node asks for a client certificate and then refuses us: that is an answer too.
    """
    # Not ssl.create_default_context: it would load every CA certificate of the system, again for each node.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(timeout):
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
        # Not grpcio: its TLS library offers no Ed25519, and Talos's certificates are Ed25519.
        self._channel = client.Channel(address, PORT, codec=messages.Codec(), ssl=_tls(credentials))

    async def __aenter__(self) -> TalosNode:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    async def _call(
        self,
        method: str,
        request: messages.Message,
        response: type[_ResponseT],
        timeout: float = RPC_TIMEOUT,
        service: str = _MACHINE,
    ) -> _ResponseT:
        call = client.UnaryUnaryMethod(self._channel, f"/{service}/{method}", type(request), response)
        return await self._answer(method, call(request, timeout=timeout))

    async def _parts(
        self, service: str, method: str, request: messages.Message, part: type[_ResponseT]
    ) -> list[_ResponseT]:
        call = client.UnaryStreamMethod(self._channel, f"/{service}/{method}", type(request), part)
        return await self._answer(method, call(request, timeout=RPC_TIMEOUT))

    async def _stream(self, method: str, request: messages.Message) -> bytes:
        return b"".join(part.content for part in await self._parts(_MACHINE, method, request, messages.Data))

    async def _answer(self, method: str, answer: Awaitable[_AnswerT]) -> _AnswerT:
        try:
            return await answer
        except exceptions.GRPCError as error:
            raise _RefusedError(self.address, method, error.status, error.message or "") from None
        except (OSError, TimeoutError, exceptions.StreamTerminatedError) as error:
            reason = str(error) or type(error).__name__
            raise TalosError(f"node {self.address} does not answer {method}: {reason}") from None

    async def version(self) -> str:
        """The running Talos version, such as v1.13.9."""
        answer = await self._call("Version", messages.Empty(), messages.VersionResponse)
        return answer.messages[0].version.tag

    async def schematic(self) -> str | None:
        """Id of the schematic whose image runs; None if the Image Factory did not make it.

        The factory adds to every image an extension whose version it is (`EnhanceFromSchematic`):
        https://github.com/siderolabs/image-factory/blob/main/internal/profile/profile.go
        """
        request = messages.ResourceListRequest("runtime", "ExtensionStatuses.runtime.talos.dev")
        parts = await self._parts(_RESOURCES, "List", request, messages.ResourceListResponse)
        extensions = [messages.Codec().decode(part.resource.spec.content, messages.Extension) for part in parts]
        found = [each.metadata.version for each in extensions if each.metadata.name == "schematic"]
        return found[0] if found else None

    async def services(self) -> Mapping[str, bool]:
        """Every service of the node, and whether it runs and its health check has passed.

        After each start Talos says that the health is unknown, until the first check: 5 s for etcd, 2 s for kubelet.
        That is not healthy: etcd may not vote yet. Services of extensions have no check, and are never healthy.
        Source: `HealthSettings` in
        https://github.com/siderolabs/talos/tree/v1.13.9/internal/app/machined/pkg/system/services
        """
        answer = await self._call("ServiceList", messages.Empty(), messages.ServiceListResponse)
        return {
            service.id: service.state == "Running" and service.health.healthy for service in answer.messages[0].services
        }

    async def etcd_members(self) -> list[EtcdMember]:
        """The cluster's etcd members that vote; control planes only."""
        answer = await self._call("EtcdMemberList", messages.Empty(), messages.EtcdMembersResponse)
        return [
            EtcdMember(member.hostname, member.id, str(urlsplit(member.peer_urls[0]).hostname))
            for member in answer.messages[0].members
            if not member.is_learner
        ]

    async def remove_etcd_member(self, member: int) -> None:
        """Removes another member, which is gone already; control planes only."""
        request = messages.EtcdRemoveMemberRequest(member_id=member)
        await self._call("EtcdRemoveMemberByID", request, messages.Empty)

    async def leave_etcd(self) -> None:
        """The node's own etcd leaves the cluster, and stops; control planes only."""
        await self._call("EtcdLeaveCluster", messages.Empty(), messages.Empty, LEAVE_RPC_TIMEOUT)

    async def shut_down(self) -> None:
        """Begins to move the node's pods away and then to shut down; returns at once."""
        await self._call("Shutdown", messages.Empty(), messages.Empty)

    async def will_reboot(self, configuration: str) -> bool:
        """Whether the node would reboot to apply `configuration`: it is asked for a dry run."""
        request = messages.ApplyRequest(data=configuration.encode(), mode=messages.MODE_AUTO, dry_run=True)
        answer = await self._call("ApplyConfiguration", request, messages.ApplyResponse)
        return answer.messages[0].mode == messages.MODE_REBOOT

    async def configuration(self) -> str:
        """The machine configuration in effect, with its secrets."""
        request = messages.ResourceGetRequest("config", "MachineConfigs.config.talos.dev", "v1alpha1")
        answer = await self._call("Get", request, messages.ResourceGetResponse, service=_RESOURCES)
        found = messages.Codec().decode(answer.resource.spec.content, messages.MachineConfiguration)
        return found.document.decode()

    async def apply(self, configuration: str) -> None:
        """Puts a configuration into effect that needs no reboot; one that does is refused."""
        request = messages.ApplyRequest(data=configuration.encode(), mode=messages.MODE_NO_REBOOT, dry_run=False)
        await self._call("ApplyConfiguration", request, messages.ApplyResponse)

    async def pull(self, image: str, namespace: ImageNamespace) -> None:
        """Pulls an image into one of the node's stores, unless it is there."""
        request = messages.ImagePullRequest(namespace=namespace, reference=image)
        await self._call("ImagePull", request, messages.Empty, PULL_RPC_TIMEOUT)

    async def bootstrap_manifests(self) -> list[dict[str, Any]]:
        """The Kubernetes objects that this release of Talos wants for its configuration; control planes only."""
        request = messages.ResourceListRequest("controlplane", "Manifests.kubernetes.talos.dev")
        parts = await self._parts(_RESOURCES, "List", request, messages.ResourceListResponse)
        return [manifest for part in parts for manifest in yaml.safe_load(part.resource.spec.text)]

    async def boot_id(self) -> str:
        """An id that changes with every boot of the node's kernel."""
        content = await self._stream("Read", messages.ReadRequest(path="/proc/sys/kernel/random/boot_id"))
        return content.decode().strip()

    async def kubeconfig(self) -> bytes:
        """The administrator's kubeconfig as the only file of a tar.gz archive; control planes only."""
        return await self._stream("Kubeconfig", messages.Empty())

    async def bootstrap(self) -> bool:
        """Starts etcd as the first member of a new cluster; False when the cluster was bootstrapped before."""
        try:
            await self._call("Bootstrap", messages.Empty(), messages.Empty)
        except _RefusedError as refusal:
            if refusal.status == const.Status.ALREADY_EXISTS:
                return False
            raise
        return True

    async def upgrade(self, image: str) -> None:
        """Begins to drain the node, install `image` beside the running system and reboot into it.

        Returns once the image is pulled. If the new system fails to boot, the node comes back with the old one.
        """
        await self._call("Upgrade", messages.UpgradeRequest(image=image), messages.Empty, UPGRADE_RPC_TIMEOUT)


async def is_member(address: str, credentials: TalosCredentials) -> bool:
    """Whether a node answers as a member of the cluster: not if it is silent or has no configuration yet."""
    async with TalosNode(address, credentials) as node:
        try:
            return bool(await node.version())
        except TalosError:
            return False


async def service_runs(address: str, credentials: TalosCredentials, service: str) -> bool:
    """Whether a service of a node runs and is healthy; not if the node does not answer."""
    async with TalosNode(address, credentials) as node:
        try:
            return (await node.services()).get(service, False)
        except TalosError:
            return False


class _RefusedError(TalosError):
    def __init__(self, address: str, method: str, status: const.Status, message: str) -> None:
        self.status = status
        super().__init__(f"node {address} refuses {method}: {status.name}: {message}")


def _tls(credentials: TalosCredentials) -> ssl.SSLContext:
    context = client_context(credentials)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    return context


def client_context(credentials: TalosCredentials) -> ssl.SSLContext:
    """Mutual TLS with the cluster's own CA."""
    # Talos labels its PKCS #8 keys by their algorithm, which OpenSSL does not expect.
    key = credentials.client_key.replace(b"ED25519 PRIVATE KEY", b"PRIVATE KEY")
    return mutual_tls.client_context(credentials.ca_certificate, credentials.client_certificate, key)
