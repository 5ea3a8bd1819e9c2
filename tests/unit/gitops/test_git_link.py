"""What the cluster's own Git server is told: the direction follows the setting, and nothing goes without a key."""

from __future__ import annotations

from typing import Any

import pytest

from components.gitops.git_link import GitLinkArgs
from components.gitops.hand_over import DeployKey

SSH, HTTPS = "ssh://git@192.0.2.1/srv/git/homelab.git", "https://git.example.org/homelab.git"
OWN = "http://gitea-http.gitea.svc.cluster.local:3000/team/homelab.git"


def told(seed: str, *, from_own: bool, keyed: bool) -> dict[str, Any]:
    key = DeployKey(url=seed, private_key="k", host_key="ssh-ed25519 AAAA") if keyed else None
    return GitLinkArgs(
        namespace="gitea", webhook="w", token="t", own=OWN, seed=seed, branch="main", from_own=from_own, key=key
    ).data()


def test_the_repository_is_named_by_its_parts() -> None:
    found = told(SSH, from_own=False, keyed=False)
    assert found["address"] == "http://gitea-http.gitea.svc.cluster.local:3000"
    assert (found["owner"], found["name"]) == ("team", "homelab")


@pytest.mark.parametrize(("from_own", "ends"), [(False, (SSH, OWN)), (True, (OWN, SSH))])
def test_the_side_that_flux_does_not_read_follows_the_other(from_own: bool, ends: tuple[str, str]) -> None:
    found = told(SSH, from_own=from_own, keyed=True)
    assert (found["from"], found["to"]) == ends
    assert found["known_hosts"] == "192.0.2.1 ssh-ed25519 AAAA\n"


def test_a_seed_that_everybody_reads_needs_no_key_for_the_way_from_it() -> None:
    assert told(HTTPS, from_own=False, keyed=False)["from"] == HTTPS


@pytest.mark.parametrize(("seed", "from_own"), [(HTTPS, True), (SSH, True), (SSH, False)])
def test_without_the_key_that_it_takes_no_commit_goes_anywhere(seed: str, from_own: bool) -> None:
    assert not {"from", "to", "identity"} & told(seed, from_own=from_own, keyed=False).keys()


@pytest.mark.parametrize("own", ["http://gitea/homelab.git", "http://gitea/a/b/c.git", "http://gitea/"])
def test_a_url_that_names_no_repository_of_gitea_is_refused(own: str) -> None:
    with pytest.raises(ValueError, match="/<owner>/<name>"):
        GitLinkArgs(namespace="g", webhook="", token="", own=own, seed=SSH, branch="main", from_own=False, key=None)
