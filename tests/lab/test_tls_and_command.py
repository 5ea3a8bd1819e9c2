"""Keys, certificates and commands through the real engine: one program. The tests are its steps, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import pulumi_program
from tests.lab.pulumi_program import Program

PLANTED = "planted-b7f3c1"
"""A secret of the configuration that is to stay out of state, output and logs."""

PROGRAM = """
import pulumi
import pulumi_command
import pulumi_tls

config = pulumi.Config()
key = pulumi_tls.PrivateKey("key", algorithm="ED25519")
certificate = pulumi_tls.SelfSignedCert(
    "certificate",
    private_key_pem=key.private_key_pem,
    subject={"common_name": "trial"},
    dns_names=["trial.test"],
    validity_period_hours=24,
    early_renewal_hours=config.get_int("early") or 1,
    allowed_uses=["digital_signature", "server_auth"],
)
note = pulumi_command.local.Command(
    "note",
    create='echo "create $MESSAGE" >> journal; cat > certificate.pem; echo "made $MESSAGE"',
    update='echo "update $MESSAGE after $PULUMI_COMMAND_STDOUT" >> journal; echo "changed $MESSAGE"; exit "$STATUS"',
    delete='echo "delete after $PULUMI_COMMAND_STDOUT" >> journal',
    stdin=certificate.cert_pem,
    environment={
        "MESSAGE": config.get("message") or "one",
        "STATUS": config.get("status") or "0",
        "TOKEN": config.require_secret("token"),
    },
    triggers=[config.get("trigger") or "first"],
)
hidden = pulumi_command.local.Command(
    "hidden",
    create="cat",
    stdin=config.require_secret("token"),
    logging="none",
    opts=pulumi.ResourceOptions(additional_secret_outputs=["stdout"]),
)
pulumi.export("note", note.stdout)
pulumi.export("certificate", certificate.cert_pem)
pulumi.export("key", key.private_key_pem)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program before its first `up`."""
    root = tmp_path_factory.mktemp("lab")
    with pulumi_program.program(root, PROGRAM, providers=("tls", "command"), secrets={"token": PLANTED}) as made:
        yield made


def journal(program: Program) -> Path:
    return program.directory / "journal"


def lines(program: Program) -> list[str]:
    """What the command's scripts have written."""
    return journal(program).read_text().splitlines()


def test_a_preview_runs_no_command(program: Program) -> None:
    program.pulumi("preview")
    assert not journal(program).exists()


def test_a_command_runs_and_its_output_is_an_output(program: Program) -> None:
    program.up()
    assert (lines(program), program.outputs()["note"]) == (["create one"], "made one")


def test_a_command_gets_what_another_resource_made(program: Program) -> None:
    assert (program.directory / "certificate.pem").read_text() == program.outputs()["certificate"]


def test_nothing_changes_without_a_change(program: Program) -> None:
    program.up("--expect-no-changes")


def test_a_refresh_finds_nothing(program: Program) -> None:
    program.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")


@pytest.mark.parametrize("secret", ["key", "token"])
def test_no_secret_is_in_clear_in_the_state(program: Program, secret: str) -> None:
    text = program.outputs()["key"].splitlines()[1] if secret == "key" else PLANTED
    assert text not in program.pulumi("stack", "export")


def test_an_input_changes_a_command_in_place(program: Program) -> None:
    program.set(message="two")
    program.up()
    assert lines(program)[1:] == ["update two after made one"]
    assert program.outputs()["note"] == "changed two"


def test_an_earlier_renewal_keeps_the_certificate(program: Program) -> None:
    before = program.outputs()["certificate"]
    program.set(early="2")
    program.up()
    assert program.outputs()["certificate"] == before


def test_a_certificate_that_is_due_is_replaced(program: Program) -> None:
    before = program.outputs()["certificate"]
    program.set(early="30")
    program.up()
    assert program.outputs()["certificate"] != before
    program.set(early="1")
    program.up()


def test_a_trigger_replaces_a_command(program: Program) -> None:
    seen = len(lines(program))
    program.set(trigger="second", message="three")
    program.up()
    assert lines(program)[seen:] == ["create three", "delete after changed two"]


def test_a_command_that_fails_says_what_it_printed(program: Program) -> None:
    program.set(status="3")
    printed = program.up(fails=True)
    assert "exit status 3" in printed
    assert "changed three" in printed
    program.set(status="0")


def test_a_failed_command_keeps_its_last_output_for_the_next_attempt(program: Program) -> None:
    program.set(message="four")
    program.up()
    assert lines(program)[-1] == "update four after made three"


def test_no_secret_is_shown(program: Program) -> None:
    program.set(message="five")
    assert PLANTED not in program.up("--diff", "--logtostderr", "--verbose=3")


def test_destroy_runs_the_delete_script(program: Program) -> None:
    program.pulumi("destroy", "--yes", "--skip-preview")
    assert lines(program)[-1] == "delete after changed five"
