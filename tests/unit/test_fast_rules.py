"""The rules that run before each preview, and what is loaded for them."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from pulumi import RunError

from checks import before
from checks.rules import fast
from checks.rules.all import RULES
from checks.rules.rule import Finding
from tests.conftest import ROOT

NOT_BEFORE_A_PREVIEW = (
    "checks.charts",
    "checks.model.building",
    "checks.model.flux",
    "grpclib.client",
    "checks.rules.all",
)


def test_every_fast_rule_is_in_a_module_that_a_preview_loads() -> None:
    loaded = {module.__name__ for module in fast.MODULES}
    assert {rule.check.__module__ for rule in RULES.values() if rule.fast} == loaded


def test_a_program_loads_no_more_than_it_needs_for_a_preview() -> None:
    program = (ROOT / "__main__.py").read_text().partition("\nsettings, ")[0]
    # What is deferred is there by name, and nothing of it was run.
    shown = "[name for name, one in sys.modules.items() if type(one).__name__ != '_LazyModule']"
    said = f"{program}\nimport sys\nprint(*{shown})"
    done = subprocess.run([sys.executable, "-c", said], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "checks.rules.network" in loaded
    assert [name for name in loaded if name.startswith(NOT_BEFORE_A_PREVIEW)] == []


def test_what_a_rule_refuses_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's registrations wait for the end of the program, and would go on after its error."""
    fault = Finding("a-rule", "Namespace one", "metadata", "is wrong", "program.py:1", "right it")
    monkeypatch.setattr(before, "findings", lambda *_: [fault])
    registered = []

    async def rpc_wrapper() -> None:
        registered.append("Namespace one")

    async def program() -> None:
        seen = before.Seen()
        task = asyncio.ensure_future(rpc_wrapper())
        with pytest.raises(RunError, match="nothing was created, because it would not work"):
            before.refuse(seen, {})
        await asyncio.wait([task])

    asyncio.run(program())
    assert registered == []
