"""What the components of the hand-over refuse and derive."""

from __future__ import annotations

import pytest

from components.gitops import git_source_command
from components.gitops.git_source_command import HeadsDifferError, Plan, chosen, revision
from components.gitops.hand_over import DeployKey, HandOverArgs, repository
from components.kit.api_server import ApiServer
from tests.unit.arguments import Known, refused

PLAN = Plan(namespace="flux-system", repository="homelab", candidate="homelab-own", seed="ssh://seed", own="http://own")


class Answers(ApiServer):
    """An API server whose Flux has done what it was asked, with these newest commits by the object's name."""

    def __init__(self, url: str | None, commits: dict[str, str]) -> None:
        self.url, self.commits, self.token = url, commits, ""

    def get(self, path: str) -> dict[str, object] | None:
        if self.url is None:
            return None
        if not self.commits:
            return {"spec": {"url": self.url}}
        name = path.rsplit("/", 1)[1]
        conditions = [{"type": "Ready", "status": "True", "message": "stored"}]
        artifact = {"revision": self.commits[name]}
        status = {"conditions": conditions, "artifact": artifact, "lastHandledReconcileAt": self.token}
        return {"spec": {"url": self.url}, "status": status}

    def patch(self, path: str, body: str, kind: str) -> None:  # noqa: ARG002 - as the real one
        self.token = body.split('"')[-2]


def test_a_variable_that_flux_would_refuse_is_refused() -> None:
    message = refused(
        HandOverArgs, flux=Known(), url="ssh://x", branch="main", path="./gitops", key=None, variables={"a-b": "x"}
    )
    assert "'a-b' can be no variable" in message


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("ssh://git@192.0.2.1/srv/git/homelab.git", "192.0.2.1"),
        ("ssh://git@192.0.2.1:22/homelab.git", "192.0.2.1"),
        ("ssh://git@192.0.2.1:2222/homelab.git", "[192.0.2.1]:2222"),
    ],
)
def test_a_server_is_known_by_name_and_port(url: str, host: str) -> None:
    assert DeployKey(url=url, private_key="k", host_key="ssh-ed25519 AAAA").known_hosts == f"{host} ssh-ed25519 AAAA\n"


def test_a_new_cluster_begins_with_the_seed() -> None:
    assert chosen(PLAN, Answers(None, {})) == PLAN.seed


def test_equal_heads_let_the_clusters_own_server_take_over() -> None:
    heads = {"homelab": "main@sha1:aa", "homelab-own": "main@sha1:aa"}
    assert chosen(PLAN, Answers(PLAN.seed, heads)) == PLAN.own


def test_heads_that_differ_refuse_the_switch_and_are_named() -> None:
    heads = {"homelab": "main@sha1:aa", "homelab-own": "main@sha1:bb"}
    with pytest.raises(HeadsDifferError, match="ssh://seed has main@sha1:aa, http://own has main@sha1:bb"):
        chosen(PLAN, Answers(PLAN.seed, heads))


def test_what_is_read_already_is_not_compared_again() -> None:
    assert chosen(PLAN, Answers(PLAN.own, {})) == PLAN.own


def test_an_answer_from_before_the_question_does_not_count() -> None:
    old = {"status": {"lastHandledReconcileAt": "1", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert revision(old, "2") is None


def test_a_repository_that_flux_cannot_read_any_more_has_no_newest_commit() -> None:
    """Its artifact is that of the last time, and may be what the other one has been ahead of since."""
    failed = {
        "lastHandledReconcileAt": "1",
        "conditions": [{"type": "Ready", "status": "False", "message": "no route"}],
        "artifact": {"revision": "main@sha1:aa"},
    }
    assert revision({"status": failed}, "1") is None


def test_a_repository_that_stays_unread_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_source_command, "_SECONDS", -1)
    monkeypatch.setattr(Answers, "patch", lambda *_: None)
    heads = {"homelab": "main@sha1:aa", "homelab-own": "main@sha1:aa"}
    with pytest.raises(HeadsDifferError, match=r"Flux cannot read ssh://seed \(stored\), http://own \(stored\)"):
        chosen(PLAN, Answers(PLAN.seed, heads))


def test_the_key_of_the_seed_is_not_shown_to_another_server() -> None:
    assert repository(PLAN.seed, "main", keyed=True)["secretRef"]
    assert "secretRef" not in repository(PLAN.own, "main", keyed=True)
