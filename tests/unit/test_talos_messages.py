"""Messages of the Talos machine API on the wire: the numbers of their fields are Talos's."""

from __future__ import annotations

import pytest

from components.talos import messages


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (messages.Empty(), b""),
        (messages.UpgradeRequest("a/b"), b"\x0a\x03a/b"),
        (messages.ReadRequest("/x"), b"\x0a\x02/x"),
        (messages.ResourceListRequest("n", "t"), b"\x0a\x01n\x12\x01t"),
        (messages.EtcdRemoveMemberRequest(2**63), b"\x08" + b"\x80" * 9 + b"\x01"),
        (messages.ApplyRequest(data=b"x", mode=messages.MODE_AUTO, dry_run=True), b"\x0a\x01x\x20\x01\x28\x01"),
    ],
)
def test_a_request_is_encoded_as_talos_reads_it(message: messages.Message, wire: bytes) -> None:
    assert messages.Codec().encode(message, type(message)) == wire


def test_an_answer_is_read_field_by_field_and_what_it_lacks_is_zero() -> None:
    etcd = b"\x0a\x04etcd\x12\x07Running\x22\x02\x10\x01"
    bare = b"\x0a\x01x"
    node = b"".join(b"\x12" + bytes([len(service)]) + service for service in (etcd, bare))
    answer = messages.Codec().decode(b"\x0a" + bytes([len(node)]) + node, messages.ServiceListResponse)
    assert answer.messages[0].services == [
        messages.ServiceInfo("etcd", "Running", messages.ServiceHealth(unknown=False, healthy=True)),
        messages.ServiceInfo("x", "", messages.ServiceHealth(unknown=False, healthy=False)),
    ]


def test_fields_that_nobody_reads_are_passed_over() -> None:
    member = b"\x10\x07\x1a\x01a\x22\x03u:1\x2a\x03c:1\x30\x01"
    members = b"\x12\x01?\x1a" + bytes([len(member)]) + member
    answer = messages.Codec().decode(b"\x0a" + bytes([len(members)]) + members, messages.EtcdMembersResponse)
    assert answer.messages[0].members == [messages.EtcdMember(7, "a", ["u:1"], True)]


def test_the_content_of_a_resource_is_a_message_in_a_message() -> None:
    content = b"\x0a\x01i\x12\x06\x0a\x01s\x12\x01v"
    spec = b"\x0a" + bytes([len(content)]) + content
    resource = b"\x0a\x01?\x12" + bytes([len(spec)]) + spec
    answer = messages.Codec().decode(b"\x0a" + bytes([len(resource)]) + resource, messages.ResourceListResponse)
    extension = messages.Codec().decode(answer.resource.spec.content, messages.Extension)
    assert extension == messages.Extension(messages.ExtensionMetadata("s", "v"))
