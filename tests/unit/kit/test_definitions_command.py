"""What an API server says of a definition while it takes it."""

import io
import json
from typing import Any

import pytest

from components.kit.definitions_command import MANAGER, Cluster, conditions_of


@pytest.mark.parametrize("status", [None, {}, {"conditions": None, "storedVersions": None}, {"conditions": []}])
def test_a_definition_that_was_only_just_taken_has_no_conditions(status: Any) -> None:
    assert conditions_of({"status": status}) == {}


def test_a_definition_that_is_served_says_so() -> None:
    conditions = [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]
    assert conditions_of({"status": {"conditions": conditions}})["Established"] == "True"


def test_a_definition_is_taken_from_whoever_has_made_it_and_awaited_until_it_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Helm made those of platforms that exist: without `force` the API server refuses to change what is Helm's."""
    asked: list[tuple[str, str]] = []
    established = {"object": {"status": {"conditions": [{"type": "Established", "status": "True"}]}}}

    def answer(_: Cluster, method: str, path: str, *__: object, **___: object) -> io.BytesIO:
        asked.append((method, path))
        return io.BytesIO(json.dumps(established).encode())

    monkeypatch.setattr(Cluster, "answer", answer)
    spec = {"group": "x.org", "names": {"plural": "ones"}, "versions": [{"name": "v1", "served": True}]}
    cluster = Cluster.__new__(Cluster)
    cluster.apply({"metadata": {"name": "ones.x.org"}, "spec": spec, "status": {}})
    [(method, path), (_, watched), served] = asked
    assert method == "PATCH"
    assert set(path.partition("?")[2].split("&")) == {f"fieldManager={MANAGER}", "force=true"}
    assert "watch=true" in watched
    assert served == ("GET", "/apis/x.org/v1/ones?limit=1")
