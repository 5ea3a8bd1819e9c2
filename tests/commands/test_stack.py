"""What the commands of a person share, with stand-ins for pulumi and kubectl."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stacks.application_secrets import SECRETS
from stacks.commands import enrol, recover, rotate, seal
from stacks.commands.stack import (
    CONFIG_FILE,
    CommandError,
    Stack,
    config,
    execute,
    kubectl,
    private_file,
    run,
    take_stack,
)

SETTINGS = "config:\n  homelab:site: {name: site}\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with the files of two stacks and, in bin, programs that a test writes."""
    for name in ("site", "home.lab"):
        (tmp_path / f"Pulumi.{name}.yaml").write_text(SETTINGS)
    (tmp_path / "bin").mkdir()
    return tmp_path


def program(site: Path, name: str, script: str) -> dict[str, str]:
    """An environment with a program that runs a script."""
    file = site / "bin" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return {"PATH": f"{site}/bin:/usr/bin:/bin"}


def chosen(*arguments: str) -> Stack:
    parser = argparse.ArgumentParser()
    take_stack(parser)
    return Stack.chosen(parser.parse_args(arguments))


# The stack's file


def test_the_file_has_the_stacks_name(site: Path) -> None:
    assert Stack("home.lab", {}, site).file == site / "Pulumi.home.lab.yaml"


@pytest.mark.parametrize("name", ["sites", "../site", ""])
def test_a_stack_without_a_file_is_told_which_there_are(site: Path, name: str) -> None:
    with pytest.raises(CommandError) as refusal:
        _ = Stack(name, {}, site).file
    assert str(refusal.value) == f"{name!r} is not a stack; give STACK=<name>, one of home.lab, site"


def test_another_file_is_taken_from_pulumis_option(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "here").mkdir()
    (site / "here/other.yaml").write_text("config: {a: 1}\n")
    monkeypatch.chdir(site / "here")
    monkeypatch.delenv(CONFIG_FILE, raising=False)
    by_option = chosen("--stack", "site", "--config-file", "other.yaml")
    monkeypatch.setenv(CONFIG_FILE, "other.yaml")
    by_environment = chosen("--stack", "site")
    for stack in (by_option, by_environment):
        assert stack.config() == {"a": 1}
        assert stack.environment[CONFIG_FILE] == str(site / "here/other.yaml")


def test_the_option_goes_before_the_environment(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_FILE, "nowhere.yaml")
    file = site / "Pulumi.site.yaml"
    assert chosen("--stack", "x", "--config-file", str(file)).file == file


def test_another_file_that_is_not_there_is_named(site: Path) -> None:
    with pytest.raises(CommandError, match=r"^/nowhere/o\.yaml: there is no such file; give another CONFIG_FILE="):
        Stack("site", {CONFIG_FILE: "/nowhere/o.yaml"}, site).text()


@pytest.mark.parametrize(
    ("command", "words"),
    [(rotate.main, []), (recover.main, []), (enrol.main, ["--user", "ann"]), (seal.main, ["keypair"])],
)
def test_no_command_begins_without_the_other_file(
    command: Callable[[list[str]], int], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([*words, "--stack", "prod", "--config-file", "/nowhere/o.yaml"]) == 1
    assert capsys.readouterr().err.endswith(
        ": /nowhere/o.yaml: there is no such file; give another CONFIG_FILE=, or none\n"
    )


def test_a_rotation_edits_the_other_file_only(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "other.yaml").write_text(SETTINGS)
    name = sorted(SECRETS)[0]
    assert rotate.main(["--stack", "prod", "--name", name, "--config-file", str(site / "other.yaml")]) == 0
    assert config((site / "other.yaml").read_text())["homelab:rotation"] == {name: 2}
    assert capsys.readouterr().out.startswith(f"other.yaml: homelab:rotation.{name} is 2, was 1.\n")


def test_a_file_that_is_not_yaml_is_not_quoted() -> None:
    with pytest.raises(CommandError) as refusal:
        config("config:\n  a: 'planted\n")
    assert str(refusal.value) == "the stack's file: line 3: this is not YAML; fix that first"


# Programs


def test_pulumi_is_asked_for_the_stack_and_told_of_its_file(site: Path) -> None:
    environment = program(site, "pulumi", f'echo "$@ ${CONFIG_FILE}"; pwd') | {CONFIG_FILE: "/other.yaml"}
    asked = Stack("site", environment, site).pulumi("config", "get", "a")
    assert asked == f"config get a --stack site --non-interactive /other.yaml\n{site}\n"


def test_a_program_that_is_not_there_is_named(site: Path) -> None:
    with pytest.raises(CommandError, match=r"^pulumi is not on PATH; install it$"):
        Stack("site", {"PATH": str(site)}, site).pulumi("stack", "export")


def test_a_failure_names_the_commands_words_and_its_errors(site: Path) -> None:
    script = "cat; echo warning: old >&2; echo 'error: no stack' >&2; echo 'error: at all' >&2; exit 3"
    stack = Stack("site", program(site, "pulumi", script), site)
    with pytest.raises(CommandError) as refusal:
        stack.pulumi("config", "set", "--secret", "key", given="planted")
    assert str(refusal.value) == "pulumi config set: no stack; at all"


def test_a_failure_without_a_word_is_reported_by_its_status(site: Path) -> None:
    with pytest.raises(CommandError, match=r"^kubectl get pods: failed with exit status 7$"):
        kubectl(Path("/dev/null"), program(site, "kubectl", "exit 7"), "get", "pods", "-A")


@pytest.mark.parametrize(("progress", "said"), [(True, "x: planted error"), (False, "x: failed with exit status 1")])
def test_standard_output_is_in_an_error_only_if_it_is_not_data(site: Path, progress: bool, said: str) -> None:
    with pytest.raises(CommandError) as refusal:
        execute(["x"], program(site, "x", "echo planted error; exit 1"), progress=progress)
    assert str(refusal.value) == said


# The kubeconfig


def test_the_environments_kubeconfig_comes_first(site: Path) -> None:
    with Stack("site", {"KUBECONFIG": "/given"}, site).kubeconfig() as file:
        assert file == Path("/given")


def test_the_stacks_kubeconfig_is_in_a_file_of_its_own_for_a_while(site: Path) -> None:
    # Pulumi says no more than that there is a secret, unless it is told to show it.
    pulumi = program(site, "pulumi", 'case "$*" in *--show-secrets*) echo "$3" ;; *) echo "[secret]" ;; esac')
    with Stack("site", pulumi, site).kubeconfig() as file:
        assert (file.read_text(), file.stat().st_mode & 0o777) == ("kubeconfig\n", 0o600)
    assert not file.exists()


def test_a_missing_kubeconfig_is_reported_with_what_helps(site: Path) -> None:
    environment = program(site, "pulumi", "echo 'error: no state' >&2; exit 1")
    with (
        pytest.raises(CommandError, match=r"^no kubeconfig for stack site: pulumi stack output .*no state; set KUBE"),
        Stack("site", environment, site).kubeconfig(),
    ):
        pass


def test_a_private_file_goes_with_a_failure() -> None:
    with pytest.raises(CommandError), private_file("planted") as file:
        raise CommandError("no")
    assert not os.path.exists(file)


# What went wrong


def test_what_went_wrong_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise CommandError("the file is missing; add it")

    assert (run("rotate", fail), run("rotate", lambda: None)) == (1, 0)
    assert capsys.readouterr() == ("", "rotate: the file is missing; add it\n")
