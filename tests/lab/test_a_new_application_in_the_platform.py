"""`docs/adding-an-app.md`, done word for word in the lab: the row, `pulumi up`, the commit; and its removal."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.gitops.flux import NAMESPACE
from components.gitops.hand_over import ROOT
from tests.adding_an_app import NAME, author, copy_of_the_repository, perform
from tests.lab.hand_over import Repository, applications, applied, asked, git, until
from tests.lab.live import LiveLab

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def repository(lab: LiveLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """A clone of the lab's seed, with all else that the program's repository has."""
    found = Repository(lab, tmp_path_factory.mktemp("seed") / "homelab")
    copy_of_the_repository(found.directory)
    yield found
    found.push(found.first)
    until(lambda: applied(lab, found.first, ROOT))
    back = lab.up()
    assert back.returncode == 0, back.stdout


@pytest.fixture(scope="module")
def seconds(lab: LiveLab, repository: Repository) -> float:
    """Does what the page says, and gives how long it took after the commit until Flux had deployed the application."""
    variables = author() | {"PULUMI_SKIP_CONFIRMATIONS": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}

    def run(line: str) -> None:
        if line == "make check":
            return  # tests/checks/test_a_new_application.py
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=repository.directory,
            env=lab.environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            umask=0o077,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}"

    perform(repository.directory, run)
    repository.tell()
    head = git(repository.directory, "rev-parse", "HEAD")
    return until(lambda: applied(lab, head, ROOT, NAME), 360)


def there(lab: LiveLab, kind: str) -> dict[str, Any]:
    """The objects of a kind in the application's namespace, by their names."""
    return {item["metadata"]["name"]: item for item in asked(lab, "-n", NAME, kind)["items"]}


def test_one_commit_is_a_release_that_is_ready(lab: LiveLab, seconds: float, figure: Callable[[str], None]) -> None:
    figure(f"docs/adding-an-app.md: {seconds:.1f} s from the commit to an application that is Ready")
    [ready] = [one for one in there(lab, "helmreleases")[NAME]["status"]["conditions"] if one["type"] == "Ready"]
    assert ready["status"] == "True"
    assert there(lab, "deployments")[NAME]["status"]["readyReplicas"] == 1


@pytest.mark.usefixtures("seconds")
def test_its_address_leads_to_its_service(lab: LiveLab) -> None:
    domain = asked(lab, "-n", NAMESPACE, "configmap/cluster-settings")["data"]["domain"]
    [rule] = there(lab, "ingresses")[NAME]["spec"]["rules"]
    assert rule["host"] == f"{NAME}.{domain}"
    backend = rule["http"]["paths"][0]["backend"]["service"]
    ports = {port["name"] for port in there(lab, "services")[backend["name"]]["spec"]["ports"]}
    assert backend["port"]["name"] in ports


@pytest.mark.usefixtures("seconds")
def test_its_namespace_is_closed_and_limited_and_the_programs(lab: LiveLab) -> None:
    labels = asked(lab, f"namespace/{NAME}")["metadata"]["labels"]
    assert (labels["homelab/owner"], labels["pod-security.kubernetes.io/enforce"]) == ("flux", "restricted")
    assert there(lab, "resourcequotas").keys() == {"application"}
    assert f"{NAME}-from-ingress" in there(lab, "networkpolicies")


@pytest.mark.usefixtures("seconds")
def test_one_that_is_taken_out_goes_but_for_its_data(lab: LiveLab, repository: Repository) -> None:
    repository.push(repository.first)
    until(lambda: NAME not in applications(lab) and applied(lab, repository.first, ROOT))
    assert there(lab, "ingresses") == there(lab, "deployments") == there(lab, "helmreleases") == {}
    assert there(lab, "persistentvolumeclaims").keys() == {f"{NAME}-data"}
