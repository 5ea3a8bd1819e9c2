"""The parts that rules stand on: the order of events, records of charts, waivers, forms of output, and the guard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi_random import RandomString

from checks import before
from checks.graph import record
from checks.graph.run import RECORDING
from checks.model import outside
from checks.model.order import Order
from checks.model.records import Made, Record, Site, find, split
from checks.report import as_json, as_sarif, as_text, explained
from checks.rules.all import RULES
from checks.rules.rule import Finding
from checks.waivers import Waivers

FOUND = Finding("reference", "Ingress a/b", "spec.tls", "names Secret a/c", "gitops/a/b.yaml:7", "Make it.", ("prod",))


def test_a_loop_is_the_shortest_way_round_through_what_nobody_declared() -> None:
    order = Order()
    for after, earlier in (("b", "a"), ("c", "b"), ("d", "c"), ("c", "a")):
        order.add(after, earlier, "depends_on")
    order.add("a", "c", "needs it", declared=False)
    [loop] = order.loops()
    assert [(edge.after, edge.before) for edge in loop] == [("a", "c"), ("c", "a")]


def test_what_nobody_declared_does_not_make_anything_wait() -> None:
    order = Order()
    order.add("b", "a", "needs it", declared=False)
    assert not order.follows("b", "a")


SITE, OTHER = Site(["home.example.org"], "home"), Site(["other.example.net"], "other")
VALUES: dict[str, Any] = {
    "host": "auth.home.example.org",
    "address": "10.0.0.1",
    "servers": ["10.0.0.3", "10.0.0.4"],
    "replicas": 2,
    "kind": "Recreate",
    "configuration": 'listen 0.0.0.0:4317\nallow 10.0.0.0/8, 100.64.0.3\npush "http://logs.home.example.org/push"\n',
}


def recorded() -> Record:
    digest, own = split(VALUES, SITE)
    objects = [{"host": "https://auth.home.example.org/", "kind": "Ingress"}]
    return Record("a", "1.0.0", made=[Made(digest, own, objects)])


def test_a_record_serves_every_site() -> None:
    values = {
        **VALUES,
        "host": "auth.other.example.net",
        "address": "192.168.1.7",
        "servers": ["192.168.1.8"],
        "replicas": 1,
        "configuration": 'listen 0.0.0.0:4317\nallow 192.168.0.0/16\npush "http://logs.other.example.net/push"\n',
    }
    assert find(recorded(), values, OTHER) == [{"host": "https://auth.other.example.net/", "kind": "Ingress"}]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "RollingUpdate"},
        {"more": True},
        {"host": "login.home.example.org"},
        {"configuration": VALUES["configuration"].replace("push ", "send ")},
        {"configuration": VALUES["configuration"].replace("0.0.0.0:", "127.0.0.1:")},
        {"configuration": VALUES["configuration"].replace(":4317", ":4318")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_values_need_another_record(change: dict[str, object]) -> None:
    assert find(recorded(), {**VALUES, **change}, SITE) is None


def waivers(tmp_path: Path, text: str) -> Waivers:
    file = tmp_path / "waivers.yaml"
    file.write_text(text)
    return Waivers.read(file)


def test_a_waiver_takes_its_finding_away(tmp_path: Path) -> None:
    accepted = waivers(tmp_path, "- {rule: reference, object: Ingress a/*, reason: made by hand today}")
    assert accepted.applied([FOUND]) == []


def test_a_waiver_that_fits_nothing_is_a_finding(tmp_path: Path) -> None:
    accepted = waivers(tmp_path, "- {rule: loop, object: Ingress a/b, reason: made by hand today}")
    assert [one.rule for one in accepted.applied([FOUND])] == ["reference", "unused-waiver"]


@pytest.mark.parametrize("text", ["- {rule: loop, object: a}", "- {rule: loop, object: a, reason: why}", "- loop"])
def test_a_waiver_without_a_reason_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="waiver"):
        waivers(tmp_path, text)


def test_an_object_from_outside_needs_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "outside.yaml"
    file.write_text("- {object: Secret a/b}")
    with pytest.raises(ValueError, match="reason"):
        outside.read(file)


def test_text_says_what_to_do_where_and_why() -> None:
    text = as_text([FOUND], RULES)
    assert text.startswith("Make it.\n")
    assert all(word in text for word in ("Ingress a/b · spec.tls", "gitops/a/b.yaml:7", RULES["reference"].why))


def test_json_has_every_part_of_a_finding() -> None:
    [one] = json.loads(as_json([FOUND], RULES))
    assert set(one) == {"rule", "object", "field", "problem", "where", "why", "remedy", "stacks"}


def test_sarif_points_at_the_line() -> None:
    [run] = json.loads(as_sarif([FOUND], RULES))["runs"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("gitops/a/b.yaml", 7)
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_each_rule_explains_itself_in_sentences(name: str) -> None:
    rule = RULES[name]
    assert rule.why.endswith(".")
    assert rule.remedy
    assert explained(rule).startswith(f"{name}: ")


def program(settings: dict[str, object]) -> None:
    RECORDING.set(False)  # as in a program that runs for its own sake
    seen = before.watch()
    RandomString("made", length=8)
    before.refuse(seen, settings)
    pulumi.export("ended", True)


def test_a_program_with_a_fault_registers_nothing_but_its_stack() -> None:
    graph = record(lambda: program({"tailscale": {"routes": ["10.0.3.4/28"]}}), check=False)
    assert [node for node in graph.nodes.values() if node.type != "pulumi:pulumi:Stack"] == []
    assert "10.0.3.0/28" in str(graph.error)


def test_a_program_without_a_fault_registers_all() -> None:
    graph = record(lambda: program({"tailscale": {"routes": ["10.0.3.0/27"]}}))
    assert len(graph.nodes) == 2
