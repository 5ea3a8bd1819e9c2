"""What the engine keeps of a program's outputs when an `up` fails, with the program's own way of exporting them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import pulumi_program
from tests.lab.live import ROOT
from tests.lab.pulumi_program import Program

TEXT = f"""
import asyncio
import sys

sys.path.insert(0, {str(ROOT)!r})

import pulumi
import pulumi_command as command

import stacks.outputs

provider = command.Provider("command")
made = command.local.Command("made", create="echo made", opts=pulumi.ResourceOptions(provider=provider))
broken = command.local.Command(
    "broken",
    create="exit $FAILS",
    environment={{"FAILS": pulumi.Config().require("fails")}},
    opts=pulumi.ResourceOptions(provider=provider, depends_on=[made]),
)
stacks.outputs.export({{"known": "before", "made": made.stdout, "broken": broken.id.apply(lambda _: "made too")}})
pulumi.run(lambda: asyncio.sleep(0))
"""


@pytest.fixture
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    root = tmp_path_factory.mktemp("outputs")
    with pulumi_program.program(root, TEXT, providers=["command"], secrets={}) as program:
        yield program


def test_a_first_up_that_fails_leaves_the_outputs_that_were_known(program: Program) -> None:
    program.set(fails="1")
    program.up(fails=True)
    assert program.outputs() == {"known": "before", "made": "made"}
    program.set(fails="0")
    program.up()
    assert program.outputs() == {"known": "before", "made": "made", "broken": "made too"}
    program.up("--expect-no-changes")
