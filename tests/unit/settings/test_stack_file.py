"""What the reader of stack files refuses; tests/lab/test_stack_file_and_engine.py holds it against the engine."""

import pytest

from stacks.settings.stack_file import StackFileError, dump, parse


def refusal(text: str) -> str:
    with pytest.raises(StackFileError) as raised:
        parse(text)
    return str(raised.value)


def test_a_node_that_is_there_twice_is_refused_with_both_lines() -> None:
    text = "config:\n  homelab:nodes:\n    cp-1: {vmId: 1}\n    cp-2: {vmId: 2}\n    cp-1: {vmId: 3}\n"
    assert refusal(text) == "line 5: the key cp-1 is there twice, first in line 3; remove one"


@pytest.mark.parametrize("text", ["config: {a: 1, a: 1}", 'config: {a: 1, "a": 2}', "config: {1: a, 0x1: b}"])
def test_a_key_is_the_same_however_it_is_written(text: str) -> None:
    assert "is there twice" in refusal(text)


@pytest.mark.parametrize("number", ["02002", "0o17", "-07", "08", "00", "0_7"])
def test_a_number_with_a_leading_zero_is_refused(number: str) -> None:
    expected = f"line 2: {number} has a leading zero, which makes it octal; write it without the zero, or in quotes"
    assert refusal(f"config:\n  homelab:vmId: {number}\n") == expected


@pytest.mark.parametrize(
    ("scalar", "reason"),
    [
        ("1_000", "has an underscore"),
        (".inf", "is not a finite number"),
        ("-.NaN", "is not a finite number"),
        ("9007199254740993", "is a larger number than JSON holds exactly"),
        ("2027-1-2", "is an unquoted date"),
        ("2027-01-02 10:00:00", "is an unquoted date"),
    ],
)
def test_a_scalar_that_the_engine_rewrites_is_refused(scalar: str, reason: str) -> None:
    assert refusal(f"config:\n  a: {scalar}\n").startswith(f"line 2: {scalar} {reason}")
    assert parse(f"config:\n  a: '{scalar}'\n") == {"config": {"a": scalar}}


@pytest.mark.parametrize("scalar", ["yes", "no", "on", "off", "12:34:56:12:34:56", "190:20:30", "1.2.3", "10.0.0.0/16"])
def test_text_that_older_yaml_takes_for_something_else_stays_text(scalar: str) -> None:
    assert parse(f"config:\n  a: {scalar}\n") == {"config": {"a": scalar}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("config: {a: !!str 3}", "line 1: a tag (`!...`) is not supported; remove it"),
        ("config:\n  a: &x [*x]\n", "line 2: an anchor contains itself"),
        ("config: {a:[b]}", "line 1: the engine takes the colon after a for a part of it; put a space after"),
        ("config:\n  a: {<<: 3}\n", "line 2: `<<` takes a mapping"),
        ("config:\n  a: {~: 3}\n", "line 2: a key is neither text nor a whole number; put it in quotes"),
        ('config:\n  a: "\\/"\n', "line 2: the engine does not know the escape `\\/`; write `/`"),
        ("- config\n", "a mapping with the key `config` is expected"),
        ("config: {}\n---\nconfig: {}\n", "line 2: this is not YAML"),
        ("config: \x00", "this is not YAML: it has a character that YAML does not allow"),
        ("[" * 5000, "this is nested too deeply"),
    ],
)
def test_what_the_engine_refuses_or_reads_otherwise_is_refused(text: str, expected: str) -> None:
    assert refusal(text) == expected


def test_a_refusal_does_not_quote_the_text_around_it() -> None:
    assert "planted" not in refusal("config:\n  a: 'planted\n  b: 1")


@pytest.mark.parametrize(
    "text", ["yes", "0o17", "017", "1_0", "0X1F", "12:34:56", "~", "", "a\nb", "2027-01-02", "é", "'"]
)
def test_text_is_written_so_that_it_is_read_as_text(text: str) -> None:
    assert parse(dump({"config": {"a": text, text or "b": [text]}})) == {"config": {"a": text, text or "b": [text]}}
