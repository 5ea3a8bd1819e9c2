"""Questions to a recorded graph: who depends on whom, who belongs to whom."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pytest
from pulumi import ResourceHookArgs

from checks.graph import Graph, record
from tests.checks.programs import COUNT, SAMPLE, custom, names, returning_nothing


def test_a_urn_names_the_types_of_all_parents(bare: Graph) -> None:
    assert bare["node-0"].urn == (
        "urn:pulumi:lab::sample::sample:compute:Machines$proxmoxve:index/vmLegacy:VmLegacy::node-0"
    )


def test_a_property_dependency_is_found_by_its_property(bare: Graph) -> None:
    assert bare.depends("first-secret", "first-password", via="stringData")
    assert not bare.depends("first-secret", "first-password", via="metadata")


def test_an_explicit_dependency_is_found_as_such(bare: Graph) -> None:
    assert bare.depends("first-release", "first-secret", via="explicit")
    assert not bare.depends("first-release", "first-namespace", via="explicit")


def test_a_transitive_dependency_is_not_a_direct_one(bare: Graph) -> None:
    assert bare.depends("first-release", "node-1", transitive=True)
    assert not bare.depends("first-release", "node-1")


def test_a_dependency_on_a_component_stands_for_its_resources(bare: Graph) -> None:
    assert names(bare.leaves("first")) == {"first-password", "first-namespace", "first-secret", "first-release"}
    assert bare.missing("second-release", "first") == set()


def test_a_dependency_on_an_empty_component_does_not_count() -> None:
    def program() -> None:
        empty = pulumi.ComponentResource("test:index:Empty", "empty")
        custom("after", depends_on=[empty])

    graph = record(program)
    assert names(graph.missing("after", "empty")) == {"empty"}


def test_a_child_made_in_an_apply_is_missed_by_a_dependency_on_its_component() -> None:
    def program() -> None:
        component = pulumi.ComponentResource("test:index:Late", "late")
        one = custom("one", parent=component)
        one.id.apply(lambda _: custom("two", parent=component))
        custom("after", depends_on=[component])

    graph = record(program, fakes={"one": {"id": "1"}})
    assert names(graph.missing("after", "late")) == {"two"}


def test_direct_and_transitive_cannot_be_asked_at_once(bare: Graph) -> None:
    with pytest.raises(ValueError, match="give one of the two"):
        bare.depends("first-release", "node-1", via="values", transitive=True)


def test_a_chain_in_order_has_no_complaint(bare: Graph) -> None:
    assert bare.chain(["node-0", "talos-bootstrap", "talos-kubeconfig", "first-release", "second-release"]) == []


def test_a_chain_out_of_order_names_the_broken_link(bare: Graph) -> None:
    wrong = ["node-0", "first-release", "talos-bootstrap"]
    assert bare.chain(wrong) == [f"talos-bootstrap does not wait for ['{bare['first-release'].urn}']"]


def test_components_and_custom_resources_are_told_apart(bare: Graph) -> None:
    assert [node.name for node in bare.components()] == ["first", "second", "node", "talos"]
    assert len(bare.resources()) == COUNT - 5  # four components and the stack
    assert len(bare.resources(custom=None)) == COUNT


def test_children_are_those_of_one_parent(bare: Graph) -> None:
    assert [node.name for node in bare.children("node")] == ["node-0", "node-1"]


def test_a_name_used_twice_needs_its_type() -> None:
    def program() -> None:
        pulumi.ComponentResource("test:index:App", "app")
        custom("app")

    graph = record(program)
    assert graph["test:index:Thing app"].custom
    with pytest.raises(KeyError, match="names 2 resources"):
        graph["app"]


def test_a_name_that_fits_nothing_is_an_error(bare: Graph) -> None:
    assert "nobody" not in bare
    with pytest.raises(KeyError, match="names 0 resources"):
        bare.depends("first-release", "nobody")


def test_a_child_has_the_provider_of_its_component(bare: Graph) -> None:
    assert bare["first-namespace"].provider == bare["talos-kubernetes"].urn
    assert bare["first-password"].provider == bare["generator"].urn


def test_a_resource_without_a_provider_has_none() -> None:
    assert record(lambda: returning_nothing(custom("one")))["one"].provider == ""


def test_options_are_read_from_the_request(bare: Graph) -> None:
    machine = bare["node-0"]
    assert machine.option("protect")
    assert machine.option("replaceOnChanges") == ["bios"]


def test_the_source_is_the_line_that_made_the_resource(bare: Graph) -> None:
    file, _, line = bare["first-release"].source.rpartition(":")
    assert file == str(SAMPLE / "parts.py")
    assert "helm.v3.Release(" in Path(file).read_text(encoding="utf-8").splitlines()[int(line) - 1]


def test_hooks_are_known_by_resource_and_event(bare: Graph) -> None:
    assert bare["node-1"].hooks == {"before_create": ["note"]}
    assert set(bare.hooks) == {bare["node-0"].urn, bare["node-1"].urn}


def test_a_recorded_hook_can_be_run(bare: Graph) -> None:
    with pytest.raises(ValueError, match="forbidden may not be created"):
        bare.hook("note")(ResourceHookArgs(urn="", id="", name="forbidden", type=""))  # type: ignore[arg-type]


def test_an_unknown_hook_is_an_error_that_lists_the_known(bare: Graph) -> None:
    with pytest.raises(KeyError, match=r"there are \['note'\]"):
        bare.hook("nope")
