"""The offline recorder, shown on the sample program and on programs of a few lines."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import ResourceHookArgs, ResourceOptions

from checks.graph import UNKNOWN, Fake, FakeInvoke, Graph, Ref, Secret, echo, is_secret, is_unknown, record
from checks.graph.wire import decode_struct, encode_struct, plain_strings, reveal

SAMPLE = Path(__file__).parent / "sample"
TOKEN = "user@pve!sample=11111111-2222-3333-4444-555555555555"
COUNT = 22
FAKES: dict[str, Fake] = {
    "talos-secrets": {
        "clientConfiguration": {"caCertificate": "ca", "clientCertificate": "cert", "clientKey": Secret("client-key")}
    },
    "talos-kubeconfig": {"kubeconfigRaw": Secret("apiVersion: v1")},
    "random:index/randomPassword:RandomPassword": lambda node: {"result": Secret(f"{node.name}-result")},
    "kubernetes": echo,
}
INVOKES: dict[str, FakeInvoke] = {
    "talos:client/getConfiguration:getConfiguration": lambda invoke: {"talosConfig": invoke.args["clusterName"]}
}


def sample(
    *,
    fakes: Mapping[str, Fake] | None = None,
    invokes: Mapping[str, FakeInvoke] | None = None,
    check: bool = True,
    timeout: float = 60,
    **config: str,
) -> Graph:
    return record(
        SAMPLE,
        project="sample",
        stack="lab",
        secrets={"token": TOKEN},
        config=config,
        fakes=fakes,
        invokes=invokes,
        check=check,
        timeout=timeout,
    )


@pytest.fixture(scope="module")
def bare() -> Graph:
    return sample()


@pytest.fixture(scope="module")
def faked() -> Graph:
    return sample(fakes=FAKES, invokes=INVOKES)


class Thing(pulumi.CustomResource):
    def __init__(self, name: str, inputs: Mapping[str, Any], opts: ResourceOptions) -> None:
        super().__init__("test:index:Thing", name, dict(inputs), opts)


def custom(name: str, inputs: Mapping[str, Any] | None = None, **options: Any) -> Thing:
    return Thing(name, inputs or {}, ResourceOptions(**options))


def returning_nothing(_: object) -> None:
    """Let a lambda be a program: what a program returns would be awaited."""


def names(urns: set[str]) -> set[str]:
    return {urn.rpartition("::")[2] for urn in urns}


def test_every_resource_of_the_program_is_recorded(bare: Graph) -> None:
    assert len(bare.nodes) == COUNT
    assert bare.error is None


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


def test_a_transitive_dependency_is_no_direct_one(bare: Graph) -> None:
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
    def dump(graph: Graph) -> str:
        return json.dumps(
            {
                n.urn: [repr(sorted(n.inputs.items())), n.dependencies, n.property_dependencies]
                for n in graph.resources()
            }
        )

    assert dump(sample(fakes=FAKES, invokes=INVOKES)) == dump(faked)


def test_an_error_at_the_end_keeps_the_graph() -> None:
    graph = sample(bug="true", check=False)
    assert "bug in program" in str(graph.error)
    assert len(graph.nodes) == COUNT


def test_an_error_is_raised_unless_told_otherwise() -> None:
    with pytest.raises(RuntimeError, match="bug in program"):
        sample(bug="true")


def test_an_error_in_an_apply_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal for int"):
        sample(bugInApply="true")


def test_an_error_leaves_nothing_behind(bare: Graph) -> None:
    sample(bugInApply="true", check=False)
    again = sample()
    assert again.error is None
    assert set(again.nodes) == set(bare.nodes)


def test_errors_in_applies_beside_hooks_do_not_kill_the_process() -> None:
    # The SDK's own callback server dies by a segmentation fault here, not at once but within some repetitions.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from checks.graph import record\n"
        "for _ in range(10):\n"
        "    for bug in ('true', 'false'):\n"
        "        config = {'bugInApply': bug}\n"
        "        record(sys.argv[2], project='sample', config=config, secrets={'token': 't'}, check=False)\n"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code, str(root), str(SAMPLE)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_missing_configuration_value_is_an_error() -> None:
    with pytest.raises(pulumi.ConfigMissingError, match="sample:token"):
        record(SAMPLE, project="sample")


def test_a_duplicate_urn_is_an_error_with_the_first_place() -> None:
    def program() -> None:
        custom("same")
        custom("same")

    with pytest.raises(ValueError, match=rf"duplicate URN .*first used at {__file__}:\d+"):
        record(program)


def test_a_program_that_never_ends_is_given_up() -> None:
    with pytest.raises(TimeoutError, match=r"had not ended after 0.5 s; it last registered urn:"):
        sample(never="true", timeout=0.5)


def test_a_program_that_ends_itself_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"sys.exit\(3\)"):
        record(lambda: sys.exit(3))


def test_an_async_function_is_a_program() -> None:
    async def program() -> None:
        await asyncio.sleep(0)
        custom("later")

    assert "later" in record(program)


def test_the_process_is_as_it_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", "{}")
    invoke = pulumi.runtime.invoke

    def state() -> tuple[Any, ...]:
        return os.getcwd(), list(sys.argv), list(sys.path), dict(os.environ), pulumi.runtime.invoke is invoke

    before = state()
    sample()
    assert state() == before
    assert "parts" not in sys.modules


def test_the_environment_of_the_caller_does_not_reach_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"sample:bug": "true"}))
    assert sample().error is None


def test_modules_of_the_program_are_executed_anew_each_time(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("import pulumi, counted\npulumi.export('n', counted.NUMBER)\n")
    (tmp_path / "counted.py").write_text("NUMBER = 1\n")
    assert record(tmp_path).stack.outputs["n"] == 1
    (tmp_path / "counted.py").write_text("NUMBER = 1234\n")
    assert record(tmp_path).stack.outputs["n"] == 1234


def test_a_module_that_the_caller_had_imported_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__main__.py").write_text("import shared_with_test as s\ns.VALUES.append(1)\n")
    (tmp_path / "shared_with_test.py").write_text("VALUES = []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import shared_with_test  # type: ignore[import-not-found]

    record(tmp_path)
    assert sys.modules.pop("shared_with_test") is shared_with_test
    assert shared_with_test.VALUES == []


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
