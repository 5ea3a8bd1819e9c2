"""What `make certificates` says of certificates that are not issued, with a stand-in for kubectl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stacks.commands import certificates
from stacks.commands.stack import CommandError, Stack

MISSING = "Issuing certificate as Secret does not exist"


def certificate(name: str, *names: str, ready: str | None = "True", message: str = "up to date") -> dict[str, Any]:
    conditions = [] if ready is None else [{"type": "Ready", "status": ready, "message": message}]
    conditions.insert(0, {"type": "Issuing", "status": "True"})
    return {
        "metadata": {"namespace": "apps", "name": name},
        "spec": {"dnsNames": list(names)},
        "status": {"conditions": conditions},
    }


def challenge(name: str, reason: str | None) -> dict[str, Any]:
    return {"spec": {"dnsName": name}, "status": {"reason": reason} if reason else {}}


def test_an_issued_certificate_is_no_news() -> None:
    assert certificates.pending([certificate("git-tls", "git.example.org")], []) == []


def test_a_pending_certificate_is_named_with_its_reason() -> None:
    one = certificate("git-tls", "git.example.org", ready="False", message=MISSING)
    assert certificates.pending([one], []) == [f"apps/git-tls for git.example.org: {MISSING}"]


def test_a_certificate_that_nobody_looked_at_is_pending() -> None:
    assert certificates.pending([certificate("git-tls", "git.example.org", ready=None)], []) == [
        "apps/git-tls for git.example.org: cert-manager has not looked at it yet"
    ]


def test_what_its_challenges_wait_for_follows_once_a_name() -> None:
    wildcard = certificate("wildcard-tls", "example.org", "*.example.org", ready="False", message=MISSING)
    found = certificates.pending(
        [wildcard], [challenge("example.org", "NS record not found"), challenge("example.org", None)]
    )
    assert found[1:] == ["  example.org: NS record not found"]


def asked(tmp_path: Path, *found: dict[str, Any]) -> Stack:
    """A stack whose cluster has these certificates."""
    kubectl = tmp_path / "kubectl"
    answers = {certificates.CERTIFICATES: list(found), certificates.CHALLENGES: []}
    lines = [f"*' {kind} '*) echo '{json.dumps({'items': items})}';;" for kind, items in answers.items()]
    kubectl.write_text("\n".join(["#!/bin/sh", 'case " $* " in', *lines, "*) exit 1;;", "esac"]))
    kubectl.chmod(0o755)
    return Stack("prod", {"PATH": f"{tmp_path}:/usr/bin:/bin", "KUBECONFIG": "/given"}, tmp_path)


def test_all_certificates_issued_is_a_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificates.missing(asked(tmp_path, certificate("git-tls", "git.example.org")))
    assert capsys.readouterr().out == "all 1 certificates are issued\n"


def test_a_missing_certificate_is_a_failure_that_says_what_helps(tmp_path: Path) -> None:
    one = certificate("git-tls", "git.example.org", ready="False", message=MISSING)
    with pytest.raises(CommandError) as refusal:
        certificates.missing(asked(tmp_path, one))
    assert str(refusal.value).splitlines() == [
        "not issued yet:",
        f"apps/git-tls for git.example.org: {MISSING}",
        "`make delegation STACK=prod` says what the parent zone needs",
    ]
