"""What the workflow on GitHub promises: read from its file, as nothing here can run it; its scripts are run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.preview_difference import MARKER
from tests.conftest import ROOT

TEXT = (ROOT / ".github/workflows/checks.yaml").read_text(encoding="utf-8")
WORKFLOW: dict[str, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, Any] = WORKFLOW["jobs"]

GH = """\
#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in *--jq*) printf '%s' "$KNOWN" ;; esac
"""


def steps(job: str, begins: str) -> list[dict[str, Any]]:
    return [step for step in JOBS[job]["steps"] if step.get("uses", "").startswith(begins)]


def named(job: str, name: str) -> dict[str, Any]:
    return next(step for step in JOBS[job]["steps"] if step.get("name", "").startswith(name))


def test_every_action_is_pinned_to_a_commit_that_a_comment_names() -> None:
    used = re.findall(r"uses: (.*)", TEXT)
    assert used
    assert [line for line in used if not re.fullmatch(r"[a-z/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_one_action_has_one_pin() -> None:
    pins = {re.sub(r"/(restore|save)@", "@", line).partition("@")[::2] for line in re.findall(r"uses: (\S+)", TEXT)}
    assert len(pins) == len({name for name, _ in pins})


@pytest.mark.parametrize("job", JOBS)
def test_tools_that_were_built_are_kept_even_if_the_run_fails(job: str) -> None:
    [restored], [saved] = steps(job, "actions/cache/restore@"), steps(job, "actions/cache/save@")
    assert saved["if"].startswith("always() && ")
    assert f"steps.{restored['id']}.outputs.cache-hit != 'true'" in saved["if"]
    assert saved["with"]["path"] == restored["with"]["path"]
    assert JOBS[job]["steps"][-1] == saved
    assert steps(job, "actions/cache@") == []


@pytest.mark.parametrize("job", JOBS)
def test_what_a_failed_run_kept_does_not_take_the_name_of_the_whole(job: str) -> None:
    [restored], [saved] = steps(job, "actions/cache/restore@"), steps(job, "actions/cache/save@")
    assert "job.status != 'success' && format(" in saved["with"]["key"]
    # A later run finds it by the beginning of its name, before older ones of other sources.
    assert restored["with"]["restore-keys"].splitlines()[0] == f"{restored['with']['key']}-"


def test_a_newer_push_ends_the_run_of_a_pull_request_and_never_one_of_main() -> None:
    concurrency = WORKFLOW["concurrency"]
    assert "github.event.pull_request.number || github.sha" in concurrency["group"]
    assert concurrency["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"


@pytest.mark.parametrize("job", JOBS)
def test_only_the_step_that_comments_has_the_token(job: str) -> None:
    holders = [step.get("name") for step in JOBS[job]["steps"] if "github.token" in str(step)]
    assert holders == [step["name"] for step in JOBS[job]["steps"] if step.get("name", "").startswith("Post ")]


def test_the_base_is_previewed_as_the_head_is() -> None:
    head, base = named("preview", "Preview")["run"], named("preview", "Preview the base")["run"]
    assert "make preview STACK=prod JSON=head.json" in head
    assert base == 'make -C base preview STACK=prod JSON="$PWD/base.json"'
    assert named("preview", "Check out the base")["with"]["path"] == "base"


@pytest.mark.parametrize(
    ("known", "expected"),
    [("17\n18\n", "--method PATCH repos/a/b/issues/comments/17"), ("", "--method POST repos/a/b/c")],
)
def test_a_comment_is_made_once_and_rewritten_afterwards(tmp_path: Path, known: str, expected: str) -> None:
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "comment.md").write_text(f"{MARKER}\ntext\n")
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "CALLS": str(tmp_path / "calls"),
        "KNOWN": known,
        "COMMENTS": "repos/a/b/c",
        "ONE_COMMENT": "repos/a/b/issues/comments",
    }
    script = named("preview", "Post the difference")["run"]
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, check=True)
    *_, last = (tmp_path / "calls").read_text().splitlines()
    assert last == f"api --silent {expected} --field body=@comment.md"
