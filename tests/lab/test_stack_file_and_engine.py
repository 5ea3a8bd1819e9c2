"""The reader of stack files held against the engine: what it accepts, the engine accepts with the same value."""

import json
import os
import random
import subprocess
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from lab import programs
from stacks.settings.stack_file import StackFileError, dump, parse

Read = Callable[[str], Any]

KEY = "homelab:key"

SCALARS = (
    "yes no on off y n Yes tRUE true True FALSE null Null ~ nULL 02002 0o17 0O17 08 0x1F 0X1f 0b101 0B101 -0b11 -0x_f"
    " +5 1_000 _1 1_ 12:34:56 190:20:30 1:20.5 12:34:56:12:34:56 1e3 1E+3 1. .5 +.5 1.5e3 1e .inf -.Inf .nan .NAN"
    " 0.0 -0 1e400 1e308 -1e-400 9007199254740992 9007199254740993 18446744073709551616 -9223372036854775809"
    " 2001-12-14 2001-1-2 2001-13-14 2001-12-14t21:59:43.10-05:00 = << 0 00 0.10 1.36 v1.36 0x 0b2 0o8 .e5 ._5 5."
    " infinity .5_5 0x1p-2 nan 1,000 10.0.3.0 1.2.3 - + . .. 1e5.5 1e21 1e-7 100000000000000000000000.0 a:b a#b"
)

DOCUMENTS = (
    "config:\n  homelab:key: {a: 1, a: 2}\n",
    "config:\n  homelab:key: 1\n  homelab:key: 2\n",
    "config: {}\nconfig: {}\n",
    "config:\n  homelab:key: {1: a, 01: b, true: c, 'true': d}\n",
    "config:\n  homelab:key: {1: a, -2: b, true: c, TRUE2: d}\n",
    "config:\n  homelab:key: {a: &x {b: 1, c: 2}, d: *x, e: {<<: *x, b: 3}, f: {b: 4, <<: *x}}\n",
    "config:\n  homelab:key: {a: &x {b: 1}, c: &y {b: 2, d: 3}, e: {<<: [*x, *y]}, f: {<<: [*y, *x]}}\n",
    "config:\n  homelab:key: {'<<': {a: 1}, a: 2}\n",
    "config:\n  homelab:key: &x [*x]\n",
    "config:\n  homelab:key: !!str 3\n",
    "config:\n  homelab:key: [!foo x, !!int '3']\n",
    "config:\n  homelab:key: [a, b,]\n",
    "config:\n  homelab:key: {a: , b}\n",
    "config:\n  homelab:key: {a:, b: c}\n",
    "config:\n  homelab:key: {a:{b: c}}\n",
    "config:\n  homelab:key: {'a':b}\n",
    "config:\n\thomelab:key: 1\n",
    "config:\n  homelab:key: 'a\n\n    b'\n",
    'config:\n  homelab:key: "a\\x41\\u00e9\\t\\\n     b"\n',
    'config:\n  homelab:key: "\\/"\n',
    'config:\n  homelab:key: "\\\\/"\n',
    "config:\n  homelab:key: |-\n    a\n     b\n\n",
    "config:\n  homelab:key: >+\n    a\n    b\n\n",
    "\ufeffconfig:\n  homelab:key: 1\n",
    "config:\r\n  homelab:key:\r\n    - a\r\n    - b: c\r\n",
    "config:\n  homelab:key: {a: {secure: v1:x}}\n# end",
    "config:\n  homelab:key: {? a : b}\n",
    "config:\n  homelab:key: {[a]: b}\n",
    "config:\n  homelab:key: a: b\n",
    "config:\n  homelab:key: 'a\n",
    "config:\n  homelab:key: @a\n",
    "config:\n  homelab:key: %a\n",
    "%YAML 1.1\n---\nconfig:\n  homelab:key: yes\n",
    "--- \nconfig:\n  homelab:key: [yes, ~, 0.5]\n...\n",
    "- a\n",
    "",
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """The configuration that the engine reads in a text, by key."""
    directory = tmp_path_factory.mktemp("engine")
    (directory / "state").mkdir()
    (directory / "Pulumi.yaml").write_text("name: homelab\nruntime: python\n")
    pulumi = str(programs.ensure(("pulumi",))["pulumi"].path)
    environment = os.environ | {
        "PULUMI_BACKEND_URL": f"file://{directory / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "trial",
        "PULUMI_HOME": str(directory / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [pulumi, *arguments, "--non-interactive"],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ValueError(done.stderr)
        return done.stdout

    run("stack", "init", "trial")

    def read(text: str) -> Any:
        (directory / "stack.yaml").write_bytes(text.encode())
        return json.loads(run("config", "--json", "--stack", "trial", "--config-file", "stack.yaml"))

    return read


def random_scalars(count: int) -> Iterable[str]:
    source = random.Random(7)  # noqa: S311 - the same scalars each time
    for _ in range(count):
        yield source.choice("0123456789+-.~ynTtfo") + "".join(
            source.choices("0123456789_+-.:eExXobBaTn", k=source.randint(0, 6))
        )


def accepted(scalar: str) -> Any:
    """What the reader makes of a scalar in a map, or the refusal."""
    try:
        return parse(f"config:\n  {KEY}: {{k: [{scalar}]}}\n")["config"][KEY]["k"][0]
    except StackFileError as refused:
        return refused


def test_every_scalar_that_the_reader_accepts_has_the_engine_s_value(engine: Read) -> None:
    read = {scalar: accepted(scalar) for scalar in {*SCALARS.split(), *random_scalars(1500)}}
    taken = {scalar: value for scalar, value in read.items() if not isinstance(value, StackFileError)}
    assert len(taken) > len(read) / 3
    names = {f"homelab:k{number}": scalar for number, scalar in enumerate(taken)}
    found = engine("config:\n" + "".join(f"  {name}: {{k: [{scalar}]}}\n" for name, scalar in names.items()))
    differing = {
        scalar: (taken[scalar], found[name]["objectValue"]["k"][0])
        for name, scalar in names.items()
        if (type(taken[scalar]), taken[scalar]) != alike(found[name]["objectValue"]["k"][0])
    }
    assert differing == {}


def alike(value: Any) -> tuple[type, Any]:
    """The engine's value with its type; a whole number that went through JSON is a whole number."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) <= 2**53
    return (int, int(value)) if whole else (type(value), value)


@pytest.mark.parametrize("text", DOCUMENTS)
def test_a_document_that_the_reader_accepts_has_the_engine_s_values(engine: Read, text: str) -> None:
    try:
        mine = parse(text).get("config") or {}
    except StackFileError:
        return
    found = {name: entry.get("objectValue", entry.get("value")) for name, entry in engine(text).items()}
    encrypted = {name for name, value in mine.items() if "secure" in str(value)}
    assert found.keys() == mine.keys()
    assert {name: found[name] for name in found.keys() - encrypted} == {
        name: value if isinstance(value, dict | list | str) else json.dumps(value)
        for name, value in mine.items()
        if name not in encrypted
    }


def test_what_is_written_is_read_by_the_engine_as_it_was(engine: Read) -> None:
    texts = [
        *SCALARS.split(),
        *random_scalars(300),
        "a\nb",
        " a",
        "a ",
        "é\u2028",
        "'",
        '"',
        "#",
        "a: b",
        "- a",
        "\t",
        "\\/",
    ]
    content = {"config": {KEY: {"list": texts, "map": {text: text for text in texts if text != "<<"}}}}
    assert engine(dump(content))[KEY]["objectValue"] == content["config"][KEY]
