"""Property values between Python and Pulumi's wire format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from checks.graph import UNKNOWN, Ref, Secret, is_secret, is_unknown
from checks.graph.wire import decode_struct, encode_struct, plain_strings, reveal


def test_values_survive_encoding_and_decoding() -> None:
    values = {"a": Secret([1.0, UNKNOWN, {"b": Ref("urn:x")}]), "n": None, "t": True, "s": "text"}
    assert decode_struct(encode_struct(values)) == values


@pytest.mark.parametrize(
    ("question", "value", "answer"),
    [
        (is_unknown, {"a": [Secret(UNKNOWN)]}, True),
        (is_unknown, {"a": [Secret("known")]}, False),
        (is_secret, {"a": [Secret("known")]}, True),
        (is_secret, {"a": [UNKNOWN, "plain"]}, False),
    ],
)
def test_marks_are_found_at_any_depth(question: Callable[[Any], bool], value: Any, answer: bool) -> None:
    assert question(value) is answer


def test_plain_strings_are_those_outside_secrets() -> None:
    value = {"key": ["shown", Secret({"hidden": "hidden"}), {"inner": 1.0}], "other": UNKNOWN}
    assert list(plain_strings(value)) == ["key", "shown", "inner", "other"]


def test_reveal_opens_secrets_at_any_depth() -> None:
    assert reveal({"a": [Secret({"b": Secret("c")})]}) == {"a": [{"b": "c"}]}
