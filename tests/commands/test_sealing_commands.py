"""What a person types to seal: with the real Pulumi CLI, on a stack of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.secrets.sealing import Keypair, check_keypair
from lab.programs import ensure
from stacks.commands.seal import BOOTSTRAP_SECRETS
from stacks.commands.stack import CONFIG_FILE
from tests.keypairs import keypair, opened

ROOT = Path(__file__).resolve().parents[2]
STACK_FILE = "# A comment.\nconfig:\n  homelab:cluster:\n    name: test\n"
NAMED = ("--namespace", "apps", "--name", "mail")


class Desk:
    """A directory with a stack's file, as a person has it; every `pulumi` that is started there is written down."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "Pulumi.test.yaml"
        self.calls = directory / "calls"
        bin_directory = directory / "bin"
        bin_directory.mkdir()
        wrapper = bin_directory / "pulumi"
        wrapper.write_text(f'#!/bin/sh\necho "$@" >> {self.calls}\nexec {ensure(["pulumi"])["pulumi"].path} "$@"\n')
        wrapper.chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{bin_directory}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PULUMI_HOME": str(directory / "home"),
            "PULUMI_BACKEND_URL": directory.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # The program's directory is the commands' own, and the stack's file is not there.
            CONFIG_FILE: "Pulumi.test.yaml",
        }
        (directory / "Pulumi.yaml").write_text("name: homelab\nruntime: python\n")
        self.file.write_text(STACK_FILE)

    def seal(self, *arguments: str, given: str | bytes = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
        """Run `python -m stacks.commands.seal`."""
        return subprocess.run(
            [sys.executable, "-m", "stacks.commands.seal", *arguments],
            cwd=self.directory,
            env=self.environment | environment,
            input=given.encode() if isinstance(given, str) else given,
            capture_output=True,
            check=False,
        )

    def pulumi(self, *arguments: str, given: str = "") -> str:
        """Run the Pulumi CLI; it must succeed."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.directory,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def hold(self, pair: Keypair) -> None:
        """Put a certificate into the stack's file."""
        content = yaml.safe_load(self.file.read_text())
        content["config"]["homelab:sealing"] = {"certificate": pair.certificate_pem}
        self.file.write_text(yaml.safe_dump(content))

    def certificate(self) -> str:
        """The one in the stack's file."""
        return str(yaml.safe_load(self.file.read_text())["config"]["homelab:sealing"]["certificate"])


def manifests(done: subprocess.CompletedProcess[bytes]) -> list[Any]:
    assert done.returncode == 0, done.stderr.decode()
    return list(yaml.safe_load_all(done.stdout))


def refusal(done: subprocess.CompletedProcess[bytes]) -> str:
    """The message of a command that failed, and printed nothing else."""
    assert (done.returncode, done.stdout) == (1, b"")
    return done.stderr.decode()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Without a keypair, and without a stack in the backend."""
    return Desk(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """With the keypair that `make sealing-key` made."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.pulumi("stack", "init", "test")
    done = desk.seal("keypair", "--stack", "test")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""
    return desk


# A value


def test_a_value_is_sealed_byte_for_byte_without_pulumi(desk: Desk) -> None:
    desk.hold(keypair())
    value = b"\x00pass\xffword\n"
    [manifest] = manifests(desk.seal("value", *NAMED, "--key", "password", "--stack", "test", given=value))
    assert opened(manifest, keypair(), label="apps/mail") == {"password": value}
    assert not desk.calls.exists()


def test_a_value_is_sealed_for_a_certificate_that_lies_in_a_file(desk: Desk) -> None:
    (desk.directory / "c.pem").write_text(keypair().certificate_pem)
    [manifest] = manifests(desk.seal("value", *NAMED, "--key", "password", "--certificate", "c.pem", given="1"))
    assert opened(manifest, keypair(), label="apps/mail") == {"password": b"1"}


def test_scope_and_type_are_what_was_asked_for(desk: Desk) -> None:
    desk.hold(keypair())
    asked = ("--scope", "namespace-wide", "--type", "kubernetes.io/ssh-auth")
    [manifest] = manifests(desk.seal("value", *NAMED, "--key", "k", "--stack", "test", *asked, given="1"))
    assert opened(manifest, keypair(), label="apps") == {"k": b"1"}
    assert manifest["spec"]["template"]["type"] == "kubernetes.io/ssh-auth"


def test_a_line_break_at_the_end_of_a_value_is_pointed_out(desk: Desk) -> None:
    desk.hold(keypair())
    with_it = desk.seal("value", *NAMED, "--key", "k", "--stack", "test", given="secret\n")
    without = desk.seal("value", *NAMED, "--key", "k", "--stack", "test", given="secret")
    assert b"ends with a line break" in with_it.stderr
    assert without.stderr == b""


def test_no_value_is_not_an_empty_one(desk: Desk) -> None:
    desk.hold(keypair())
    assert "no value on standard input" in refusal(desk.seal("value", *NAMED, "--key", "k", "--stack", "test"))


def test_a_stack_without_a_keypair_is_told_how_to_get_one(desk: Desk) -> None:
    message = refusal(desk.seal("value", *NAMED, "--key", "k", "--stack", "test", given="1"))
    assert "homelab:sealing.certificate is not in Pulumi.test.yaml" in message
    assert "make sealing-key STACK=test" in message


def test_a_stack_that_does_not_exist_is_one_clear_message(desk: Desk) -> None:
    message = refusal(desk.seal("value", *NAMED, "--key", "k", "--stack", "none", given="1", **{CONFIG_FILE: ""}))
    assert message == "seal: 'none' is not a stack; give STACK=<name>, one of lab, prod\n"


def test_a_name_that_kubernetes_would_refuse_is_one_clear_message(desk: Desk) -> None:
    desk.hold(keypair())
    done = desk.seal("value", *NAMED, "--key", "a key", "--stack", "test", given="planted")
    assert refusal(done).startswith("seal: key 'a key' of apps/mail: not a key; use letters")
    assert b"planted" not in done.stderr


# The keypair


def test_a_made_keypair_lies_in_the_stacks_file_its_private_half_encrypted(made: Desk) -> None:
    private = made.pulumi("config", "get", "--stack", "test", "homelab:sealingKey")
    check_keypair(Keypair(made.certificate(), private))
    assert set(yaml.safe_load(made.file.read_text())["config"]["homelab:sealingKey"]) == {"secure"}


def test_the_rest_of_the_stacks_file_stays(made: Desk) -> None:
    text = made.file.read_text()
    assert text.startswith("# A comment.\n")
    assert yaml.safe_load(text)["config"]["homelab:cluster"] == {"name": "test"}


def test_the_private_key_is_in_no_argument(made: Desk) -> None:
    calls = made.calls.read_text()
    assert "config set --secret homelab:sealingKey --stack test" in calls
    private = made.pulumi("config", "get", "--stack", "test", "homelab:sealingKey")
    assert "PRIVATE KEY" not in calls
    assert private.splitlines()[5] not in calls


def test_a_keypair_is_not_replaced_without_being_told_twice(made: Desk) -> None:
    before = made.file.read_text()
    message = refusal(made.seal("keypair", "--stack", "test"))
    assert "must be sealed again from its plain value" in message
    assert "FORCE=1" in message
    assert made.file.read_text() == before


def test_a_private_half_alone_is_not_replaced_either(desk: Desk) -> None:
    desk.file.write_text("config:\n  homelab:sealingKey:\n    secure: v1:AAAA\n")
    assert "has a keypair" in refusal(desk.seal("keypair", "--stack", "test"))


def test_a_keypair_that_pulumi_cannot_encrypt_leaves_the_file_as_it_was(made: Desk) -> None:
    before = made.file.read_text()
    done = made.seal("keypair", "--stack", "test", "--force", PULUMI_CONFIG_PASSPHRASE="wrong")
    assert "incorrect passphrase" in refusal(done)
    assert made.file.read_text() == before


def test_told_twice_a_keypair_is_replaced_as_a_whole(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.pulumi("stack", "init", "test")
    desk.hold(keypair())
    assert desk.seal("keypair", "--stack", "test", "--force").returncode == 0
    private = desk.pulumi("config", "get", "--stack", "test", "homelab:sealingKey")
    assert desk.certificate() != keypair().certificate_pem
    check_keypair(Keypair(desk.certificate(), private))


def test_a_missing_pulumi_is_named(desk: Desk) -> None:
    done = desk.seal("keypair", "--stack", "test", PATH="/nonexistent")
    assert "pulumi is not on PATH; install it" in refusal(done)
    assert desk.file.read_text() == STACK_FILE


# Bootstrap secrets


@pytest.fixture
def deployed(desk: Desk) -> Desk:
    """A stack with a certificate; what it puts out is set with `put_out`."""
    desk.pulumi("stack", "init", "test")
    desk.hold(keypair())
    return desk


def put_out(desk: Desk, **outputs: Any) -> None:
    """Give the stack outputs, each a secret, as an `up` would."""
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
    resource = {
        "urn": "urn:pulumi:test::homelab::pulumi:pulumi:Stack::homelab-test",
        "type": "pulumi:pulumi:Stack",
        "outputs": {name: secret | {"plaintext": json.dumps(value)} for name, value in outputs.items()},
    }
    state = json.loads(desk.pulumi("stack", "export", "--stack", "test"))
    state["deployment"]["resources"] = [resource]
    desk.pulumi("stack", "import", "--stack", "test", given=json.dumps(state))


def test_every_bootstrap_secret_is_sealed_under_its_own_name(deployed: Desk) -> None:
    csi = {"namespace": "csi-proxmox", "name": "csi", "type": "Opaque", "data": {"config.yaml": "token: ü\n"}}
    flux = {"namespace": "flux-system", "name": "flux", "type": "Opaque", "data": {"identity": "k", "known_hosts": "h"}}
    put_out(deployed, **{BOOTSTRAP_SECRETS: [csi, flux]})
    first, second = manifests(deployed.seal("bootstrap", "--stack", "test"))
    assert opened(first, keypair(), label="csi-proxmox/csi") == {"config.yaml": "token: ü\n".encode()}
    assert opened(second, keypair(), label="flux-system/flux") == {"identity": b"k", "known_hosts": b"h"}


def test_other_outputs_of_the_stack_are_not_asked_for(deployed: Desk) -> None:
    put_out(deployed, kubeconfig="planted", **{BOOTSTRAP_SECRETS: []})
    assert "has no bootstrap secrets" in refusal(deployed.seal("bootstrap", "--stack", "test"))
    assert deployed.calls.read_text().splitlines()[-1].endswith(f"{BOOTSTRAP_SECRETS} --stack test --non-interactive")


def test_a_stack_that_is_not_up_has_no_bootstrap_secrets_yet(deployed: Desk) -> None:
    message = refusal(deployed.seal("bootstrap", "--stack", "test"))
    assert "does not have output property 'bootstrapSecrets'; the secrets exist once `pulumi up` has ended" in message


@pytest.mark.parametrize("malformed", [{"name": "planted"}, "planted", {"data": {"planted": 1}}])
def test_a_malformed_bootstrap_secret_is_named_by_its_number_only(deployed: Desk, malformed: Any) -> None:
    good = {"namespace": "a", "name": "b", "type": "Opaque", "data": {"c": "d"}}
    put_out(deployed, **{BOOTSTRAP_SECRETS: [good, malformed]})
    message = refusal(deployed.seal("bootstrap", "--stack", "test"))
    assert message == "seal: stack output bootstrapSecrets[1]: not of the form {namespace, name, type, data}\n"
