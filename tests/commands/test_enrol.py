"""The link for a person's first sign-on, with a stand-in for kubectl that writes down how it was called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stacks.commands.enrol import link, username
from stacks.commands.stack import CommandError

ROOT = Path(__file__).resolve().parents[2]
STACK = """\
config:
  homelab:cluster: { domain: example.org }
  homelab:identity:
    users:
      ann: { email: Ann@example.org }
      bob: { email: bob@example.org, active: false }
"""
PATH = "/recovery/use-token/abcDEF123_-x/"
PRINTED = f"""\
Store this link safely, as it will allow anyone to access authentik as ann.
This recovery token is valid for 1 day.
{PATH}
"""


@pytest.mark.parametrize("wanted", ["ann", "ann@example.org", "ANN@EXAMPLE.ORG"])
def test_a_person_is_found_by_name_or_address(wanted: str) -> None:
    assert username(STACK, wanted) == ("ann", "example.org")


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [("root", "'root' is not in homelab:identity.users, which has ann, bob"), ("bob", "bob is not active")],
)
def test_nobody_else_gets_a_link(wanted: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        username(STACK, wanted)


def test_a_stack_without_a_domain_is_refused() -> None:
    with pytest.raises(CommandError, match=r"homelab:cluster\.domain is missing"):
        username("config: {}", "ann")


def test_the_link_begins_with_authentiks_address() -> None:
    assert link(PRINTED, "", "example.org") == f"https://auth.example.org{PATH}"


def test_a_user_that_authentik_does_not_know_is_reported_though_its_command_succeeds() -> None:
    with pytest.raises(CommandError, match=r"made no link: User 'ann' not found\."):
        link("", "{}\nUser 'ann' not found.\n", "example.org")


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/calls\ncat <<END\n{PRINTED}END\n')
    kubectl.chmod(0o755)
    return tmp_path / "calls"


def enrol(calls: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stacks.commands.enrol", "--stack", "prod", *arguments],
        cwd=ROOT,
        env={"PATH": f"{calls.parent}:/usr/bin:/bin", "KUBECONFIG": "/dev/null"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_authentiks_worker_is_asked_for_the_link(calls: Path) -> None:
    done = enrol(calls, "--user", "agentydragon@gmail.com", "--minutes", "30")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert done.stdout.endswith(PATH + "\n")
    assert calls.read_text().split() == [
        *("--kubeconfig", "/dev/null", "exec", "deployment/authentik-worker", "--namespace", "authentik", "--"),
        *("ak", "create_recovery_key", "30", "agentydragon"),
    ]


def test_a_link_for_longer_than_a_week_is_refused(calls: Path) -> None:
    done = enrol(calls, "--user", "agentydragon", "--minutes", "10081")
    assert (done.returncode, calls.exists()) == (1, False)
    assert done.stderr == "enrol: --minutes: 10081; a link is good for 1 to 10080 minutes\n"


def test_a_stack_that_is_not_there_is_named(calls: Path) -> None:
    done = enrol(calls, "--stack", "nowhere", "--user", "ann")
    assert done.stderr == "enrol: 'nowhere' is not a stack; give STACK=<name>, one of lab, prod\n"
