"""The messages of the Talos machine API that this program sends or reads, as dataclasses, and how they are encoded.

Owns the only place where their fields and numbers are written, as in talos/pkg/machinery/api v1.13: no generated
bindings for Python exist for this version. Fields that nobody reads are left out, which protobuf allows; what a node
leaves out has its type's zero, as in proto3. Does not own the calls: see `api.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message as ProtobufMessage
from grpclib.encoding.base import CodecBase

MODE_REBOOT, MODE_AUTO, MODE_NO_REBOOT = 0, 1, 2
"""Values of ApplyConfigurationRequest.Mode."""

_PACKAGE = "homelab.talos"

_Field = descriptor_pb2.FieldDescriptorProto
# An enumeration is an int here: on the wire its values are the same.
_SCALARS = {str: _Field.TYPE_STRING, bytes: _Field.TYPE_BYTES, bool: _Field.TYPE_BOOL, int: _Field.TYPE_UINT64}


@dataclass(frozen=True)
class Message:
    """A message: each field is annotated with its number. A field's name is not on the wire, and so is ours."""


MessageT = TypeVar("MessageT", bound=Message)


@dataclass(frozen=True)
class Empty(Message):
    """No argument, or no answer that is read."""


@dataclass(frozen=True)
class VersionInfo(Message):
    """machine.VersionInfo."""

    tag: Annotated[str, 1]


@dataclass(frozen=True)
class Version(Message):
    """machine.Version."""

    version: Annotated[VersionInfo, 2]


@dataclass(frozen=True)
class VersionResponse(Message):
    """machine.VersionResponse."""

    messages: Annotated[Sequence[Version], 1]


@dataclass(frozen=True)
class ServiceHealth(Message):
    """machine.ServiceHealth."""

    unknown: Annotated[bool, 1]
    healthy: Annotated[bool, 2]


@dataclass(frozen=True)
class ServiceInfo(Message):
    """machine.ServiceInfo."""

    id: Annotated[str, 1]
    state: Annotated[str, 2]
    health: Annotated[ServiceHealth, 4]


@dataclass(frozen=True)
class ServiceList(Message):
    """machine.ServiceList."""

    services: Annotated[Sequence[ServiceInfo], 2]


@dataclass(frozen=True)
class ServiceListResponse(Message):
    """machine.ServiceListResponse."""

    messages: Annotated[Sequence[ServiceList], 1]


@dataclass(frozen=True, kw_only=True)
class ApplyRequest(Message):
    """machine.ApplyConfigurationRequest."""

    data: Annotated[bytes, 1]
    mode: Annotated[int, 4]
    dry_run: Annotated[bool, 5]


@dataclass(frozen=True)
class Apply(Message):
    """machine.ApplyConfiguration."""

    mode: Annotated[int, 3]


@dataclass(frozen=True)
class ApplyResponse(Message):
    """machine.ApplyConfigurationResponse."""

    messages: Annotated[Sequence[Apply], 1]


@dataclass(frozen=True)
class UpgradeRequest(Message):
    """machine.UpgradeRequest."""

    image: Annotated[str, 1]


@dataclass(frozen=True)
class ReadRequest(Message):
    """machine.ReadRequest."""

    path: Annotated[str, 1]


@dataclass(frozen=True)
class Data(Message):
    """common.Data, a part of a stream."""

    content: Annotated[bytes, 2]


@dataclass(frozen=True)
class EtcdMember(Message):
    """machine.EtcdMember."""

    id: Annotated[int, 2]
    hostname: Annotated[str, 3]
    peer_urls: Annotated[Sequence[str], 4]
    is_learner: Annotated[bool, 6]


@dataclass(frozen=True)
class EtcdMembers(Message):
    """machine.EtcdMembers."""

    members: Annotated[Sequence[EtcdMember], 3]


@dataclass(frozen=True)
class EtcdMembersResponse(Message):
    """machine.EtcdMemberListResponse."""

    messages: Annotated[Sequence[EtcdMembers], 1]


@dataclass(frozen=True)
class EtcdRemoveMemberRequest(Message):
    """machine.EtcdRemoveMemberByIDRequest."""

    member_id: Annotated[int, 1]


@dataclass(frozen=True)
class ResourceListRequest(Message):
    """cosi.resource.ListRequest."""

    namespace: Annotated[str, 1]
    type: Annotated[str, 2]


@dataclass(frozen=True)
class ResourceSpec(Message):
    """cosi.resource.Spec; its content is a message of the resource's type, and its text the same as YAML."""

    content: Annotated[bytes, 1]
    text: Annotated[str, 2]


@dataclass(frozen=True)
class Resource(Message):
    """cosi.resource.Resource."""

    spec: Annotated[ResourceSpec, 2]


@dataclass(frozen=True)
class ResourceListResponse(Message):
    """cosi.resource.ListResponse, a part of a stream."""

    resource: Annotated[Resource, 1]


@dataclass(frozen=True)
class ResourceGetRequest(Message):
    """cosi.resource.GetRequest."""

    namespace: Annotated[str, 1]
    type: Annotated[str, 2]
    id: Annotated[str, 3]


@dataclass(frozen=True)
class ResourceGetResponse(Message):
    """cosi.resource.GetResponse."""

    resource: Annotated[Resource, 1]


@dataclass(frozen=True)
class MachineConfiguration(Message):
    """talos.resource.definitions.config.MachineConfigSpec: YAML."""

    document: Annotated[bytes, 1]


@dataclass(frozen=True, kw_only=True)
class ImagePullRequest(Message):
    """machine.ImagePullRequest."""

    namespace: Annotated[int, 1]
    reference: Annotated[str, 2]


@dataclass(frozen=True)
class ExtensionMetadata(Message):
    """Metadata of an extension (talos/pkg/machinery/extensions)."""

    name: Annotated[str, 1]
    version: Annotated[str, 2]


@dataclass(frozen=True)
class Extension(Message):
    """The spec of an ExtensionStatus: one layer of the running image."""

    metadata: Annotated[ExtensionMetadata, 2]


class Codec(CodecBase):
    """Encodes and decodes the messages of this module for grpclib."""

    __content_subtype__ = "proto"

    def encode(self, message: Message, message_type: type[Message]) -> bytes:
        """The message as protobuf."""
        return _protobuf()[message_type](**asdict(message)).SerializeToString()

    def decode(self, data: bytes, message_type: type[MessageT]) -> MessageT:
        """The message that protobuf bytes hold, each field that they lack at its zero."""
        return _read(message_type, _protobuf()[message_type].FromString(data))


def _read(kind: type[MessageT], received: ProtobufMessage) -> MessageT:
    return kind(**{field.name: field.read(getattr(received, field.name)) for field in _fields(kind)})


@dataclass(frozen=True)
class _Shape:
    """A field as its annotation describes it."""

    name: str
    number: int
    of: type
    repeated: bool

    def described(self) -> descriptor_pb2.FieldDescriptorProto:
        label = _Field.LABEL_REPEATED if self.repeated else _Field.LABEL_OPTIONAL
        described = _Field(name=self.name, number=self.number, label=label)
        if issubclass(self.of, Message):
            described.type, described.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{self.of.__name__}"
        else:
            described.type = _SCALARS[self.of]
        return described

    def read(self, value: Any) -> object:
        if not issubclass(self.of, Message):
            return list(value) if self.repeated else value
        return [_read(self.of, each) for each in value] if self.repeated else _read(self.of, value)


def _fields(kind: type[Message]) -> list[_Shape]:
    shapes = []
    for name, annotated in get_type_hints(kind, include_extras=True).items():
        annotation, number = get_args(annotated)
        repeated = get_origin(annotation) is not None
        shapes.append(_Shape(name, number, get_args(annotation)[0] if repeated else annotation, repeated))
    return shapes


@cache
def _protobuf() -> Mapping[type[Message], type[ProtobufMessage]]:
    """The class of protobuf's own that encodes each message."""
    kinds = Message.__subclasses__()
    file = descriptor_pb2.FileDescriptorProto(name="homelab/talos.proto", package=_PACKAGE, syntax="proto3")
    for kind in kinds:
        file.message_type.add(name=kind.__name__, field=[field.described() for field in _fields(kind)])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    classes = message_factory.GetMessageClassesForFiles([file.name], pool)
    return {kind: classes[f"{_PACKAGE}.{kind.__name__}"] for kind in kinds}
