"""What the program changes for a person who leaves: the first step of the drill in docs/identity.md."""

from __future__ import annotations

from functools import cache
from typing import Any

from checks.graph import Graph, reveal
from checks.program import recorded
from components.identity.blueprint import load

BLUEPRINTS = "kubernetes:external-secrets.io/v1:ExternalSecret authentik-blueprints"
ANN = {"email": "ann@example.org", "groups": ["gitea-users", "harbor-users", "matrix-users"]}


@cache
def graph(**more: Any) -> Graph:
    """Prod with Ann as she is in the settings; without her for `gone`."""
    ann: dict[str, Any] = {**ANN, "groups": [] if more.get("groups") == "none" else ANN["groups"]}
    ann |= {"active": False} if more.get("active") is False else {}

    def change(settings: dict[str, Any]) -> None:
        users = settings["identity"]["users"]
        settings["identity"]["users"] = users if more.get("gone") else {**users, "ann": ann}

    return recorded("prod", change=change)


def changed(after: Graph) -> list[str]:
    """What an `up` with the other settings changes."""
    before = graph()
    assert before.nodes.keys() == after.nodes.keys()
    return [
        f"{node.type} {node.name}"
        for urn, node in before.nodes.items()
        if reveal(node.inputs) != reveal(after.nodes[urn].inputs)
    ]


def people(found: Graph) -> dict[str, dict[str, Any]]:
    """What Authentik is told of each person, by name."""
    texts = reveal(found[BLUEPRINTS].inputs)["spec"]["target"]["template"]["data"].values()
    return {
        entry["identifiers"]["username"]: entry["attrs"]
        for text in texts
        for entry in load(text.replace('{{ "{{" }}', "{{"))["entries"]
        if entry["model"] == "authentik_core.user"
    }


def test_who_leaves_is_shut_out_by_one_object_and_no_other_changes() -> None:
    assert people(graph())["ann"]["is_active"] is True
    assert people(graph(active=False))["ann"]["is_active"] is False
    assert changed(graph(active=False)) == [BLUEPRINTS]


def test_who_leaves_keeps_their_groups_until_they_are_taken_out_so_that_a_mistake_is_undone_by_one_word() -> None:
    assert people(graph(active=False))["ann"]["groups"] == people(graph())["ann"]["groups"]


def test_who_is_out_of_every_group_may_open_nothing_and_nothing_else_changes() -> None:
    assert people(graph(groups="none"))["ann"]["groups"] == []
    assert changed(graph(groups="none")) == [BLUEPRINTS]


def test_an_entry_that_is_removed_tells_authentik_nothing_of_the_person() -> None:
    """So they stay as they were, which is why the drill begins with `active: false`."""
    assert "ann" not in people(graph(gone=True))
    assert changed(graph(gone=True)) == [BLUEPRINTS]
