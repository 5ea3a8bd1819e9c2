"""The page that shows the platform: whole in itself, and true to the model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from checks import __main__ as command
from checks.examination import Examined
from checks.model.platform import Platform
from checks.picture import COLUMNS, drawing_of, group_of, page
from checks.rules.rule import RULES, Finding
from tests.checks.platforms import object_of, real

FOUND = Finding("reference", "Deployment gitea/gitea", "spec", "names </script> x", "a.yaml:1", "Do.", ("prod",))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return real(tmp_path_factory.mktemp("picture"))


@pytest.fixture(scope="module")
def text(made: Platform) -> str:
    return page({made.stack: drawing_of(made)}, [FOUND])


@pytest.fixture(scope="module")
def data(text: str) -> dict[str, Any]:
    [found] = re.findall(r"^const DATA = (.*);$", text, re.MULTILINE)
    return dict(json.loads(found)["stacks"]["prod"])


def test_the_page_asks_no_server(text: str) -> None:
    loads = re.findall(r"(?:src|href)\s*=|@import|url\(|fetch\(|XMLHttpRequest", text)
    assert (loads, text.count("</script>")) == ([], 1)


def test_every_object_is_there_once(made: Platform, data: dict[str, Any]) -> None:
    assert [one[0] for one in data["objects"]] == [str(thing) for thing in made.objects]


def test_an_edge_leads_from_what_needs_to_what_is_needed(data: dict[str, Any]) -> None:
    names = [one[0] for one in data["objects"]]
    edges = {(names[start], names[end]) for start, end, _ in data["needs"] if isinstance(end, int)}
    assert ("Ingress gitea/gitea", "Service gitea/gitea-http") in edges


def test_a_finding_is_with_its_object(data: dict[str, Any]) -> None:
    assert [one["object"] for one in data["findings"]] == ["Deployment gitea/gitea"]


@pytest.mark.parametrize(
    ("kind", "name", "group"),
    [
        ("Deployment", "gitea", ("applications", "gitea")),
        ("Service", "gitea-postgres-rw", ("applications", "gitea-database")),
        ("IPAddressPool", "services-pool", ("network", "AddressPool")),
    ],
)
def test_an_object_is_with_its_component_or_application(
    made: Platform, kind: str, name: str, group: tuple[str, str]
) -> None:
    assert group_of(made, object_of(made, kind, name)) == group


def test_every_subject_has_its_column(made: Platform) -> None:
    assert {group_of(made, thing)[0] for thing in made.objects} <= set(COLUMNS)


def test_the_page_shows_no_value(text: str) -> None:
    assert "planted" not in text


def test_the_command_writes_it(tmp_path: Path, made: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Examined("prod", 0, 0, frozenset(), [], dict.fromkeys(RULES, 0.0), drawing_of(made))
    monkeypatch.setattr(command, "examined_together", lambda *_, draw: [known] if draw else [])
    nothing_waived = tmp_path / "waivers.yaml"
    assert command.main(["--graph", str(tmp_path / "platform.html"), "--waivers", str(nothing_waived)]) == 0
    assert (tmp_path / "platform.html").read_text().startswith("<!doctype html>")
