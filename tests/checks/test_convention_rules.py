"""Each convention, broken once by a program of a few lines, and kept by the sample."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import ResourceOptions

from checks.graph import Finding, Graph, component_types, convention_findings, leaked_values, record

SAMPLE = Path(__file__).parent / "sample"
PLANTED = {"token": "user@pve!sample=planted-0123456789"}


class Provider(pulumi.ProviderResource):
    def __init__(self) -> None:
        super().__init__("test", "provider")


class Thing(pulumi.CustomResource):
    def __init__(self, name: str, opts: ResourceOptions, **inputs: Any) -> None:
        super().__init__("test:index:Thing", name, inputs, opts)


class Group(pulumi.ComponentResource):
    def __init__(self, type_: str = "test:index:Group", **options: Any) -> None:
        super().__init__(type_, "group", None, ResourceOptions(**options))


def findings(program: Callable[[], None]) -> list[tuple[str, str]]:
    return [(finding.rule, finding.resource) for finding in convention_findings(record(program), "test")]


def test_a_program_that_keeps_the_conventions_has_no_finding() -> None:
    def program() -> None:
        group = Group(providers=[Provider()])
        Thing("thing", ResourceOptions(parent=group))
        group.register_outputs({})

    assert findings(program) == []


def test_the_sample_keeps_the_conventions() -> None:
    graph = record(SAMPLE, project="sample", secrets=PLANTED)
    assert convention_findings(graph, "sample") == []


def test_a_resource_outside_every_component_is_found() -> None:
    def program() -> None:
        Thing("stray", ResourceOptions(provider=Provider()))

    assert findings(program) == [("component-parent", "test:index:Thing stray")]


def test_a_resource_below_another_resource_is_found() -> None:
    def program() -> None:
        group = Group(providers=[Provider()])
        thing = Thing("thing", ResourceOptions(parent=group))
        Thing("nested", ResourceOptions(parent=thing))
        group.register_outputs({})

    assert findings(program) == [("component-parent", "test:index:Thing nested")]


def test_a_resource_with_a_default_provider_is_found() -> None:
    def program() -> None:
        group = Group()
        Thing("thing", ResourceOptions(parent=group))
        group.register_outputs({})

    assert findings(program) == [("explicit-provider", "test:index:Thing thing")]


def test_a_function_with_a_default_provider_is_found() -> None:
    def program() -> None:
        pulumi.runtime.invoke_output("test:index:getThing", {})

    assert findings(program) == [("explicit-provider", "test:index:getThing")]


def test_a_component_without_register_outputs_is_found() -> None:
    def program() -> None:
        Thing("thing", ResourceOptions(parent=Group(providers=[Provider()])))

    assert findings(program) == [("register-outputs", "test:index:Group group")]


def test_a_component_without_resources_is_found() -> None:
    def program() -> None:
        Group().register_outputs({})

    assert findings(program) == [("empty-component", "test:index:Group group")]


@pytest.mark.parametrize("token", ["other:index:Group", "test:index:group-1", "test:Group:index", "test:a:b:Group"])
def test_a_type_token_of_another_form_is_found(token: str) -> None:
    def program() -> None:
        group = Group(token, providers=[Provider()])
        Thing("thing", ResourceOptions(parent=group))
        group.register_outputs({})

    assert findings(program) == [("type-token", f"{token} group")]


def test_a_finding_tells_where_and_what_to_do() -> None:
    finding = Finding("rule", "test:index:Group group", "it is wrong: mend it", "file.py:3")
    assert str(finding) == "file.py:3: test:index:Group group: it is wrong: mend it [rule]"


def test_component_types_are_listed_once_and_without_the_stack() -> None:
    graph = record(SAMPLE, project="sample", secrets=PLANTED)
    assert component_types(graph) == {"sample:compute:Machines", "sample:talos:Cluster", "sample:apps:App"}


def test_a_secret_that_stays_secret_is_not_a_leak() -> None:
    assert leaked_values(record(SAMPLE, project="sample", secrets=PLANTED), PLANTED) == []


def leaking(program: Callable[[str], None]) -> Graph:
    return record(lambda: program(PLANTED["token"]))


@pytest.mark.parametrize(
    ("program", "place"),
    [
        (lambda token: Thing("thing", ResourceOptions(), a={"b": [f"x{token}y"]}) and None, "input a"),
        (lambda token: Thing("thing", ResourceOptions(), a={token: 1}) and None, "input a"),
        (
            lambda token: Thing("t", ResourceOptions(), a=base64.b64encode(token.encode()).decode()) and None,
            "input a",
        ),
        (lambda token: Thing(f"thing-{token}", ResourceOptions()) and None, "URN"),
        (lambda token: pulumi.export("out", token), "output out"),
        (lambda token: pulumi.log.info(f"token {token}"), "a message"),
    ],
    ids=["nested value", "key", "base64", "name", "stack output", "log"],
)
def test_a_secret_in_clear_is_found(program: Callable[[str], None], place: str) -> None:
    found = leaked_values(leaking(program), PLANTED)
    assert [finding.message.startswith(f"{place} shows token in clear") for finding in found] == [True]


@pytest.mark.parametrize(
    "program",
    [lambda token: pulumi.export("out", token), lambda token: Thing(f"thing-{token}", ResourceOptions()) and None],
    ids=["stack output", "name"],
)
def test_a_leak_is_reported_without_the_value(program: Callable[[str], None]) -> None:
    found = leaked_values(leaking(program), PLANTED)
    assert found
    assert PLANTED["token"] not in str(found)
