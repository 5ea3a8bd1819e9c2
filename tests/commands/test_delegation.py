"""What `make delegation` prints of a stack's file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.commands import delegation
from stacks.commands.stack import CONFIG_FILE
from tests.conftest import ROOT

NOT_SIGNED = "; no DS record: the zone is not signed. Remove one that is left from an earlier zone lab.home.arpa"


def printed(tmp_path: Path, capsys: pytest.CaptureFixture[str], **changed: Any) -> list[str]:
    """The lines for the lab's file with these settings in the place of its own; None takes one out."""
    content = yaml.safe_load((ROOT / "Pulumi.lab.yaml").read_text())
    content["config"] |= {f"homelab:{key}": value for key, value in changed.items()}
    content["config"] = {key: value for key, value in content["config"].items() if value is not None}
    file = tmp_path / "changed.yaml"
    file.write_text(yaml.safe_dump(content))
    assert delegation.main(["--stack", "lab", "--config-file", str(file)]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.fixture(autouse=True)
def no_other_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONFIG_FILE, raising=False)
    # Neither Pulumi nor a cluster is asked.
    monkeypatch.setenv("PATH", "/nowhere")


def test_an_edge_is_name_server_address_and_secondary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(tmp_path, capsys) == [
        "lab.home.arpa. 3600 IN NS ns1.home.arpa.",
        "ns1.home.arpa. 3600 IN A 127.20.0.12",
        NOT_SIGNED,
        "; ns1.home.arpa is set up by `pulumi up`; it transfers lab.home.arpa from 127.20.3.3, signed with the "
        "hmac-sha256 key edge (homelab:edgeTsigKey)",
    ]


def test_another_secondary_is_somebody_elses_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(tmp_path, capsys, edge=None, dns={"transfer": {"notify": ["192.0.2.1"]}})
    assert "; secondary 192.0.2.1: set it up by hand, to transfer lab.home.arpa from 127.20.3.3" in lines


def test_a_public_address_is_the_glue_of_the_domains_own_name_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(tmp_path, capsys, edge=None, dns={"publicAddress": "192.0.2.7"}) == [
        "lab.home.arpa. 3600 IN NS ns1.lab.home.arpa.",
        "ns1.lab.home.arpa. 3600 IN A 192.0.2.7",
        NOT_SIGNED,
    ]


def test_a_name_that_only_ends_like_the_domain_is_somebody_elses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(
        tmp_path, capsys, edge=None, dns={"nameserver": "ns1.otherlab.home.arpa", "publicAddress": "192.0.2.7"}
    )
    assert lines[0] == "lab.home.arpa. 3600 IN NS ns1.otherlab.home.arpa."
    assert [line for line in lines if " IN A " in line] == []


def test_glue_that_the_settings_do_not_know_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(tmp_path, capsys, edge=None) == [
        "lab.home.arpa. 3600 IN NS ns1.lab.home.arpa.",
        NOT_SIGNED,
        "; ns1.lab.home.arpa needs an address record: the public address at which port 53 reaches 127.20.3.3 "
        "(homelab:dns.publicAddress is not set)",
    ]


def test_a_name_server_elsewhere_has_its_address_from_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"nameserver": "ns.example.net", "publicAddress": "192.0.2.7"}
    assert printed(tmp_path, capsys, edge=None, dns=settings) == [
        "lab.home.arpa. 3600 IN NS ns.example.net.",
        NOT_SIGNED,
        "; ns.example.net needs an address record: the public address at which port 53 reaches 127.20.3.3",
    ]


def test_refused_settings_are_told_as_in_a_preview(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "refused.yaml"
    file.write_text("config:\n  homelab:cluster: {name: lab}\n")
    assert delegation.main(["--stack", "lab", "--config-file", str(file)]) == 1
    assert "homelab:cluster.domain" in capsys.readouterr().err
