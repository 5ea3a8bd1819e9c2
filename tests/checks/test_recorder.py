"""What a recording keeps of a program: values, hooks, functions, and what it cannot know."""

from __future__ import annotations

import pulumi
import pulumi_random as random
import pytest

from checks.graph import UNKNOWN, Graph, Secret, record
from checks.graph.recorder import Fake
from tests.checks.programs import COUNT, FAKES, INVOKES, TOKEN, custom, returning_nothing, sample


def test_every_resource_of_the_program_is_recorded(bare: Graph) -> None:
    assert len(bare.nodes) == COUNT
    assert bare.error is None


def test_a_hook_name_used_twice_is_an_error() -> None:
    def program() -> None:
        for name in ("one", "two"):
            hook = pulumi.ResourceHook("same", lambda _: None)
            custom(name, hooks=pulumi.ResourceHookBinding(before_create=[hook]))

    with pytest.raises(ValueError, match="'same' is registered twice"):
        record(program)


def test_a_secret_from_the_configuration_stays_secret(bare: Graph) -> None:
    assert bare["site"].inputs["apiToken"] == Secret(TOKEN)
    assert bare.stack.outputs["token"] == Secret(TOKEN)


def test_what_the_provider_calls_secret_is_secret_while_unknown(bare: Graph) -> None:
    assert bare["first-secret"].inputs["stringData"] == Secret(UNKNOWN)


@pytest.mark.parametrize(("fakes", "value"), [({"one": {"result": "planted"}}, "planted"), ({}, UNKNOWN)])
def test_what_a_provider_calls_secret_is_one_wherever_it_goes(fakes: dict[str, Fake], value: object) -> None:
    def program() -> None:
        pulumi.export("made", random.RandomPassword("one", length=32).result)

    assert record(program, fakes=fakes).stack.outputs["made"] == Secret(value)


def test_a_faked_secret_reaches_what_is_made_from_it(faked: Graph) -> None:
    assert faked["first-secret"].inputs["stringData"] == Secret({"password": "first-password-result"})


def test_a_secret_is_never_printed(faked: Graph) -> None:
    shown = repr([faked, faked["site"], faked["site"].inputs, faked["first-secret"].inputs])
    assert TOKEN not in shown
    assert "first-password-result" not in shown


def test_below_an_unconfigured_provider_all_is_unknown(bare: Graph) -> None:
    assert bare["first-secret"].inputs["metadata"]["namespace"] is UNKNOWN


def test_below_a_configured_provider_inputs_are_repeated(faked: Graph) -> None:
    assert faked["first-secret"].inputs["metadata"]["namespace"] == "first-namespace"


def test_an_invoke_with_unknown_arguments_is_reported_as_skipped(bare: Graph) -> None:
    assert bare.invokes == []
    assert bare.invokes_skipped == ["talos:client/getConfiguration:getConfiguration"]


def test_an_invoke_with_known_arguments_is_answered(faked: Graph) -> None:
    assert [invoke.args["clusterName"] for invoke in faked.invokes] == ["sample"]
    assert faked.invokes_skipped == []
    assert faked["talos"].outputs["talosconfig"] == Secret("sample")


def test_an_invoke_without_an_answer_is_unknown() -> None:
    graph = sample(fakes=FAKES)
    assert graph["talos"].outputs["talosconfig"] == Secret(UNKNOWN)


def test_a_fake_that_nothing_asks_for_is_reported() -> None:
    graph = sample(fakes={**FAKES, "talos-secret": {}}, invokes={**INVOKES, "talos:nope": {}})
    assert graph.unused_fakes == ["talos-secret", "talos:nope"]


def test_a_resource_made_in_an_apply_needs_a_known_value(bare: Graph) -> None:
    assert len(sample(inApply="true").nodes) == len(bare.nodes)
    graph = sample(inApply="true", fakes={"second-release": {"name": "second-1"}})
    assert graph["in-apply"].inputs["data"] == {"release": "second-1"}


def test_a_component_that_registers_nothing_is_told_from_one_that_registers_no_outputs() -> None:
    def program() -> None:
        pulumi.ComponentResource("test:index:Silent", "silent")
        pulumi.ComponentResource("test:index:Done", "done").register_outputs({})

    graph = record(program)
    assert (graph["silent"].registered_outputs, graph["done"].registered_outputs) == (False, True)


def test_a_remote_component_is_reported_as_unsupported() -> None:
    graph = record(
        lambda: returning_nothing(pulumi.ComponentResource("test:index:Remote", "far", {}, None, remote=True))
    )
    assert graph.unsupported == ["remote component far (test:index:Remote): only its plugin knows its children"]


def test_a_transform_is_reported_as_unsupported() -> None:
    def grow(_: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        return None

    graph = record(lambda: returning_nothing(custom("one", transforms=[grow])))
    assert graph.unsupported == ["transform grow was not run: the graph shows resources as they were before it"]


def test_a_resource_that_is_read_is_recorded_with_its_id() -> None:
    def program() -> None:
        read = custom("read", id="known-id")
        custom("user", {"from": read.id})

    assert record(program)["user"].inputs["from"] == "known-id"


def test_a_message_that_the_program_logs_is_kept() -> None:
    assert record(lambda: pulumi.log.warn("mind the gap")).log == ["mind the gap"]


def test_two_recordings_are_equal(faked: Graph) -> None:
    def content(graph: Graph) -> list[tuple[object, ...]]:
        return [
            (node.urn, node.inputs, node.outputs, node.dependencies, node.property_dependencies, node.provider)
            for node in graph.resources(custom=None)
        ]

    assert content(sample(fakes=FAKES, invokes=INVOKES)) == content(faked)
