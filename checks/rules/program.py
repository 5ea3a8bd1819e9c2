"""The recorded program keeps the conventions that its order and its secrecy depend on."""

from __future__ import annotations

from collections.abc import Iterator

from checks.graph import convention_findings
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule


@rule(
    "program-convention",
    title="The program keeps its conventions: parents, providers, registered outputs, type tokens",
    why="A resource with a default provider asks the wrong cluster; a component without outputs orders nothing.",
    remedy="Do what the finding says.",
)
def conventions(platform: Platform) -> Iterator[Finding]:
    """What breaks a convention of the program."""
    for one in convention_findings(platform.graph, "homelab"):
        yield finding(one.resource, one.rule, one.message, one.source)


@rule(
    "program-recorded",
    title="Everything that the program makes can be recorded",
    why="What the recorder does not see, no rule can check.",
    remedy="Give checks/program.py what the program needs to go on, or leave the feature out.",
)
def recorded(platform: Platform) -> Iterator[Finding]:
    """Resources beyond the recorder."""
    for text in platform.graph.unsupported:
        yield finding("the program", "its graph", text)
