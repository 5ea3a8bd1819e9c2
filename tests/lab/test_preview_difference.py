"""The comment on a pull request: how a preview differs from that of its base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.preview_difference import FLUX, MARKER, MOST, PROGRAM, comment, main, markdown, plan

BASE = {"a:A::kept": {"size": 1}, "a:A::gone": {"size": 2}, "a:A::moved": {"list": [1, 2], "text": "x"}}
HEAD = {"a:A::kept": {"size": 1}, "a:A::new": {"size": 3}, "a:A::moved": {"list": [1, 3], "text": "x"}}


def test_a_plan_has_the_inputs_of_each_resource_without_the_checkouts_place() -> None:
    urn = "urn:pulumi:prod::homelab::a:A$b:B::chart"
    steps = [{"op": "create", "urn": urn, "newState": {"urn": urn, "inputs": {"chart": "/srv/homelab/charts/own"}}}]
    assert plan(json.dumps({"steps": steps}), Path("/srv/homelab")) == {"a:A$b:B::chart": {"chart": "./charts/own"}}


def test_each_new_gone_and_changed_resource_is_shown_with_the_values_that_differ() -> None:
    shown = markdown(BASE, HEAD).splitlines()
    assert "1 new, 1 gone, 1 changed, of 3." in shown
    assert {"- a:A::gone", "-  size: 2", "+ a:A::new", "+  size: 3", "! a:A::moved", "-  - 2", "+  - 3"} <= {*shown}
    assert not [line for line in shown if "kept" in line]


def test_a_preview_like_that_of_the_base_says_so() -> None:
    assert "Nothing changes: the 3 resources are those of the base." in markdown(BASE, BASE)


def test_a_base_without_a_preview_is_named() -> None:
    assert "there is no preview of the base" in markdown(None, HEAD)


def test_a_comment_that_would_be_too_long_is_cut_at_a_line_and_stays_markdown() -> None:
    head = {f"a:A::new-{number}": {"text": "x" * 100} for number in range(2000)}
    text = markdown({}, head)
    assert len(text) < MOST + 100
    assert text.endswith("\n... the rest is in the run's artifact\n```\n")


def test_a_value_with_a_fence_does_not_end_the_one_around_it() -> None:
    assert markdown({}, {"a": {"text": "```\nb"}}).count("```") == 2


def test_the_program_reads_two_files_and_does_without_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "head.json").write_text(json.dumps(HEAD))
    assert main([str(tmp_path / "base.json"), str(tmp_path / "head.json")]) == 0
    assert capsys.readouterr().out.startswith(MARKER)


def test_what_flux_deploys_is_shown_beside_what_the_program_makes() -> None:
    shown = comment([(PROGRAM, BASE, BASE), (FLUX, {"Ingress notes/notes": {"host": "a"}}, {})])
    assert shown.startswith(MARKER)
    assert shown.index(PROGRAM.title) < shown.index("Nothing changes") < shown.index(FLUX.title)
    assert "1 gone, of 0." in shown
    assert "- Ingress notes/notes" in shown


def test_a_long_part_leaves_the_room_that_the_other_needs() -> None:
    head = {f"a:A::new-{number}": {"text": "x" * 100} for number in range(2000)}
    text = comment([(PROGRAM, {}, head), (FLUX, {"a": {"b": 1}}, {"a": {"b": 2}})])
    assert len(text) < MOST + 200
    assert text.endswith("-  b: 1\n+  b: 2\n```\n")


def test_without_what_flux_deploys_the_rest_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "head.json").write_text(json.dumps(HEAD))
    files = ["base.json", "head.json", "base-flux.json", "head-flux.json"]
    assert main([str(tmp_path / name) for name in files]) == 0
    assert FLUX.title not in capsys.readouterr().out
