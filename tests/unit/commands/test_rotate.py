"""The edit of a stack file by `make rotate`: what it changes, and that it changes nothing else."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
import yaml

from components.secrets.secret_spec import Password, SecretSpec
from stacks import application_secrets
from stacks.application_secrets import DeclaredSecret, Uptake, table
from stacks.commands import rotate
from stacks.commands.rotate import outcome, raised
from stacks.commands.stack import CommandError, Stack


def row(uptake: Uptake = "restart", *, also_in: tuple[str, ...] = ()) -> DeclaredSecret:
    return DeclaredSecret(
        spec=SecretSpec(name="api-key", namespace="dns", keys={"key": Password()}),
        uptake=uptake,
        consumers="the DNS servers",
        procedure="PowerDNS" if uptake == "procedure" else None,
        also_in=also_in,
    )


SECRETS = table([row()])
HEAD = "# a stack\nconfig:\n  homelab:site: { name: lab } # the site\n"

FORMS = {
    "no setting": HEAD,
    "no line end": HEAD.rstrip("\n"),
    "more keys after config": HEAD + "\nencryptionsalt: v1:x\n",
    "keys before config": "encryptionsalt: v1:x\n" + HEAD,
    "empty setting": HEAD + "  homelab:rotation:\n",
    "null setting": HEAD + "  homelab:rotation: null # none yet\n  homelab:other: 1\n",
    "empty map": HEAD + "  homelab:rotation: {}\n",
    "another entry": HEAD + "  homelab:rotation:\n    other: 2 # since March\n\n  homelab:other: 1\n",
    "other entry in a flow map": HEAD + "  homelab:rotation: { other: 2 } # since March\n",
    "the entry": HEAD + "  homelab:rotation:\n    api-key: 4 # leaked\n    other: 2\n",
    "the entry in a flow map": HEAD + '  homelab:rotation: {"api-key": 4, other: 2}\n',
    "a list at the end": HEAD + "  homelab:tags:\n    - a\n    - b\n",
    "text over lines at the end": HEAD + "  homelab:text: |\n    one\n    two\n",
    "deep indentation": "config:\n      homelab:site:\n          name: lab\n",
    "windows line ends": HEAD.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_the_generation_is_one_higher_and_all_else_is_equal(text: str) -> None:
    edited, generation = raised(text, "api-key")
    before, after = yaml.safe_load(text), yaml.safe_load(edited)
    assert after["config"].pop("homelab:rotation")["api-key"] == generation == (5 if "api-key" in text else 2)
    before["config"].pop("homelab:rotation", None)
    assert after == before


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_no_comment_and_no_other_line_is_touched(text: str) -> None:
    edited, _ = raised(text, "api-key")
    changes = [line for line in difflib.ndiff(text.splitlines(), edited.splitlines()) if line.startswith("- ")]
    assert [line for line in changes if "rotation" not in line and "api-key" not in line] == []
    assert [comment for comment in ("# a stack", "# the site", "# since March", "# leaked") if comment in text] == [
        comment for comment in ("# a stack", "# the site", "# since March", "# leaked") if comment in edited
    ]


def test_the_line_endings_of_the_file_are_kept() -> None:
    edited, _ = raised(FORMS["windows line ends"], "api-key")
    assert edited.count("\n") == edited.count("\r\n")


@pytest.mark.parametrize("stack", ["lab", "prod"])
def test_a_stack_file_of_this_repository_can_be_edited(root: Path, stack: str) -> None:
    text = (root / f"Pulumi.{stack}.yaml").read_text()
    edited, _ = raised(text, "api-key")
    added = [line for line in difflib.ndiff(text.splitlines(), edited.splitlines()) if line[0] in "+-"]
    assert added == ["+ ", "+   homelab:rotation:", "+     api-key: 2"]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "has no map `config`"),
        ("config: 1\n", "has no map `config`"),
        (HEAD + "  homelab:rotation: [api-key]\n", "is not a map of names to whole numbers"),
        (HEAD + "  homelab:rotation: {api-key: two}\n", "is not a map of names to whole numbers"),
        (HEAD + "  homelab:rotation: {api-key: true}\n", "is not a map of names to whole numbers"),
        (
            "config: {homelab:site: {name: lab}}\n",
            "not written one key a line; set `api-key: 2` in its homelab:rotation",
        ),
        (
            "base: &base {other: 2}\nconfig:\n  homelab:rotation: *base\n",
            "cannot be edited safely; set `api-key: 2` in its homelab:rotation by hand",
        ),
    ],
)
def test_a_file_that_cannot_be_edited_safely_is_refused(text: str, finding: str) -> None:
    with pytest.raises(CommandError, match=finding):
        raised(text, "api-key")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.site.yaml").write_text(HEAD)
    (tmp_path / "Pulumi.site.yaml").chmod(0o640)
    return tmp_path


def test_a_rotation_is_written_and_reported(site: Path) -> None:
    told = rotate.rotate(Stack("site", {}, site), "api-key", SECRETS)
    assert yaml.safe_load((site / "Pulumi.site.yaml").read_text())["config"]["homelab:rotation"] == {"api-key": 2}
    assert told[0] == "Pulumi.site.yaml: homelab:rotation.api-key is 2, was 1."


def test_a_rotation_leaves_one_file_with_its_mode(site: Path) -> None:
    rotate.rotate(Stack("site", {}, site), "api-key", SECRETS)
    assert [(path.name, path.stat().st_mode & 0o777) for path in site.iterdir()] == [("Pulumi.site.yaml", 0o640)]


def test_without_a_name_the_secrets_are_listed_and_nothing_is_written(site: Path) -> None:
    assert rotate.rotate(Stack("site", {}, site), "", SECRETS) == ["dns/api-key: generation 1 (restart)"]
    assert (site / "Pulumi.site.yaml").read_text() == HEAD


@pytest.mark.parametrize(
    ("stack", "name", "finding"),
    [
        ("site", "api-kee", 'is not an application secret; did you mean "api-key"?'),
        ("site", "quite-other", "is not an application secret; choose one of api-key"),
        ("sites", "api-key", "'sites' is not a stack; give STACK=<name>, one of site"),
        ("../site", "api-key", "'../site' is not a stack"),
    ],
)
def test_an_unknown_name_is_refused_and_nothing_is_written(site: Path, stack: str, name: str, finding: str) -> None:
    with pytest.raises(CommandError) as refusal:
        rotate.rotate(Stack(stack, {}, site), name, SECRETS)
    assert finding in str(refusal.value)
    assert (site / "Pulumi.site.yaml").read_text() == HEAD


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        (row("restart"), "Reloader then restarts the DNS servers."),
        (row("nothing"), "It is read by the DNS servers."),
        (row("procedure"), 'first read "PowerDNS" in docs/rotation.md.'),
        (row(also_in=("edge",)), "its copies in edge follow."),
        (row(), "writes a new value to Vault, dns/api-key/v7"),
    ],
)
def test_what_follows_is_said(declared: DeclaredSecret, told: str) -> None:
    assert told in "\n".join(outcome(declared, 7))


def test_every_procedure_of_the_table_is_a_heading_of_the_runbook(root: Path) -> None:
    headings = {line.lstrip("# ") for line in (root / "docs/rotation.md").read_text().splitlines() if line[:1] == "#"}
    assert {row.procedure for row in application_secrets.SECRETS.values() if row.procedure} - headings == set()
