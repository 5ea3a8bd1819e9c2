"""The hand-over with Flux's real source and kustomize controllers, from a real Git server, in the lab's platform.

The tests are steps, in order; the last one leaves the platform as its settings say.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.gitops.defaults import SETTINGS
from components.gitops.flux import NAMESPACE
from components.gitops.hand_over import REPOSITORY, ROOT
from components.kit.stack_mark import ANNOTATION
from lab import bench
from lab.git_server.server import NAME
from tests.lab.conftest import FirstUp
from tests.lab.hand_over import Repository, applications, applied, asked, git, until
from tests.lab.live import LiveLab

COMMITS = 20
"""The fewest of which the 95th of a hundred is one that was measured, and not the slowest."""


def application(name: str, **spec: Any) -> dict[str, Any]:
    """The Kustomization file of an application, as short as one may be."""
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "interval": "1h",
            "path": f"./gitops/{name}",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": REPOSITORY},
            **spec,
        },
    }


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": data,
    }


def uids(lab: LiveLab) -> dict[tuple[str, str, str], str]:
    """Every object of some kinds that the program made, by kind, namespace and name."""
    kinds = "namespaces,configmaps,secrets,networkpolicies,ingresses,storageclasses,clusterroles"
    return {
        (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item["metadata"]["uid"]
        for item in asked(lab, kinds, "-A")["items"]
        if ANNOTATION in item["metadata"].get("annotations", {})
    }


@pytest.fixture(scope="module")
def repository(lab: LiveLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    found = Repository(lab, tmp_path_factory.mktemp("seed") / "homelab")
    yield found
    found.push(found.first)
    until(lambda: applied(lab, found.first, ROOT))


def test_every_application_of_the_checkout_is_ready(lab: LiveLab, repository: Repository) -> None:
    listed = yaml.safe_load((repository.directory / "gitops" / "kustomization.yaml").read_text())["resources"]
    assert listed
    until(lambda: all(one["status"] == "True" for one in applications(lab).values()), 360)
    assert {one["revision"] for one in applications(lab).values()} == {f"main@sha1:{repository.first}"}
    assert len(applications(lab)) > len(listed)


def test_each_application_comes_after_those_that_it_needs(lab: LiveLab, repository: Repository) -> None:
    until(lambda: applied(lab, repository.first, *applications(lab)), 360)
    made: dict[str, list[str]] = {}
    kinds = "helmreleases,clusters.postgresql.cnpg.io,cronjobs,networkpolicies,podmonitors,prometheusrules"
    for item in asked(lab, kinds, "-A")["items"]:
        owner = item["metadata"].get("labels", {}).get("kustomize.toolkit.fluxcd.io/name")
        made.setdefault(owner, []).append(item["metadata"]["creationTimestamp"])
    needs = [
        (item["metadata"]["name"], needed["name"])
        for item in asked(lab, "kustomizations.kustomize.toolkit.fluxcd.io", "-A")["items"]
        for needed in item["spec"].get("dependsOn", [])
    ]
    assert needs
    assert [(one, other) for one, other in needs if min(made[one]) < max(made[other])] == []


def test_a_commit_is_deployed_in_seconds(lab: LiveLab, repository: Repository, figure: Callable[[str], None]) -> None:
    took = []
    for number in range(COMMITS):
        files = {
            "gitops/timed.yaml": application("timed"),
            "gitops/timed/map.yaml": config_map("timed", number=f"{number}", domain="${domain}"),
        }
        commit = repository.commit(files)
        took.append(until(functools.partial(applied, lab, commit, "timed")))
    took.sort()
    slowest = took[COMMITS * 95 // 100 - 1]
    figure(f"commit to Ready: median {took[COMMITS // 2]:.1f} s, p95 {slowest:.1f} s of {COMMITS} commits")
    found = asked(lab, "-n", "default", "configmap/timed")["data"]
    assert found == {
        "number": f"{COMMITS - 1}",
        "domain": asked(lab, "-n", NAMESPACE, f"configmap/{SETTINGS}")["data"]["domain"],
    }


def test_an_application_that_fails_blocks_only_those_that_need_it(lab: LiveLab, repository: Repository) -> None:
    commit = repository.commit(
        {
            "gitops/broken.yaml": application("broken"),
            "gitops/broken/map.yaml": config_map("broken", value="${nobody_defines_this}"),
            "gitops/needing.yaml": application("needing", dependsOn=[{"name": "broken"}]),
            "gitops/needing/map.yaml": config_map("needing", value="x"),
            "gitops/beside.yaml": application("beside", dependsOn=[{"name": "timed"}]),
            "gitops/beside/map.yaml": config_map("beside", value="x"),
        }
    )
    until(lambda: applied(lab, commit, ROOT, "timed", "beside"))
    until(lambda: applications(lab)["broken"]["status"] == "False")
    known = applications(lab)
    assert "variable not set" in known["broken"]["message"]
    assert "'flux-system/broken' is not ready" in known["needing"]["message"]


THEIRS: dict[str, dict[str, Any]] = {
    f"configmap/{SETTINGS}": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"domain": "example.org"}},
    "namespace/gitea": {"apiVersion": "v1", "kind": "Namespace"},
    "limitrange/application": {"apiVersion": "v1", "kind": "LimitRange", "spec": {"limits": []}},
}
"""Objects of the program, as a wrong commit would have them: in its own namespace, in none, and in an application's."""

PLACES = {f"configmap/{SETTINGS}": NAMESPACE, "limitrange/application": "gitea"}


def theirs(lab: LiveLab) -> dict[str, Any]:
    """What the program's objects are, to the last field."""
    return {name: asked(lab, "-n", PLACES.get(name, "default"), name) for name in THEIRS}


def test_an_object_of_the_program_that_git_names_is_refused_and_nothing_happens_to_it(
    lab: LiveLab, repository: Repository
) -> None:
    before = theirs(lab)
    files: dict[str, Any] = {}
    for number, (named, content) in enumerate(THEIRS.items()):
        place = {"namespace": PLACES[named]} if named in PLACES else {}
        mark = {"labels": {"changed": "by-git"}, "name": named.partition("/")[2], **place}
        files[f"gitops/theirs-{number}.yaml"] = application(f"theirs-{number}")
        files[f"gitops/theirs-{number}/object.yaml"] = content | {"metadata": mark}
    commit = repository.commit(files)
    wrong = [f"theirs-{number}" for number in range(len(THEIRS))]
    until(lambda: applied(lab, commit, ROOT, "timed"))
    until(lambda: all(applications(lab).get(name, {}).get("status") == "False" for name in wrong))
    told = [applications(lab)[name]["message"] for name in wrong]
    assert "namespace flux-system is the program's; give it to an application's namespace" in told[0]
    assert "namespaces gitea was made by the program" in told[1]
    assert "limitranges application was made by the program" in told[2]
    commit = repository.commit(dict.fromkeys(files))
    until(lambda: applied(lab, commit, ROOT) and not applications(lab).keys() & set(wrong))
    assert theirs(lab) == before


def test_an_application_that_is_taken_out_goes_and_nothing_of_pulumis(lab: LiveLab, repository: Repository) -> None:
    before = uids(lab)
    assert len(before) > 20
    gone = ("broken", "needing", "beside")
    commit = repository.commit({f"gitops/{name}{end}": None for name in gone for end in (".yaml", "/map.yaml")})
    until(lambda: applied(lab, commit, ROOT))
    until(lambda: not applications(lab).keys() & set(gone))
    left = {item["metadata"]["name"] for item in asked(lab, "-n", "default", "configmaps")["items"]}
    assert not left & set(gone)
    assert "timed" in left
    assert uids(lab) == before


def of_its_own(settings: dict[str, Any]) -> None:
    settings["gitops"]["source"] = "self"


@pytest.fixture(scope="module")
def own(lab: LiveLab, repository: Repository) -> Path:
    """The repository in the cluster's own Git server, with one commit that the seed lacks."""
    path = lab.session.state_of(NAME) / "own" / "homelab" / "homelab.git"
    seed = git(repository.directory, "remote", "get-url", "origin")
    git(repository.directory, "clone", "--quiet", "--bare", seed, str(path))
    git(path, "config", "http.receivepack", "true")
    ahead = git(path, "commit-tree", "main^{tree}", "-p", "main", "-m", "a commit that the seed lacks")
    git(path, "update-ref", "refs/heads/main", ahead)
    return path


def source(lab: LiveLab) -> dict[str, Any]:
    """The GitRepository that Flux deploys from."""
    return dict(asked(lab, "-n", NAMESPACE, f"gitrepository/{REPOSITORY}"))


@pytest.mark.long
def test_the_clusters_own_server_does_not_take_over_with_other_commits(lab: LiveLab, own: Path) -> None:
    before = source(lab)
    with lab.changed(of_its_own):
        done = lab.up()
    assert done.returncode != 0
    assert "what only one of them has would be undone or lost" in done.stdout
    assert source(lab)["spec"] == before["spec"]
    git(own, "update-ref", "refs/heads/main", "main^")


@pytest.mark.long
def test_seed_self_and_back_change_no_object(lab: LiveLab, repository: Repository, own: Path) -> None:
    before, seed = uids(lab), source(lab)
    timed = asked(lab, "-n", "default", "configmap/timed")["metadata"]["uid"]
    with lab.changed(of_its_own):
        done = lab.up()
        assert done.returncode == 0, done.stdout
        there = source(lab)
        assert (there["metadata"]["uid"], there["spec"]["url"]) == (seed["metadata"]["uid"], url_of(lab, "own"))
        assert "secretRef" not in there["spec"]
        head = git(own, "commit-tree", "main^{tree}", "-p", "main", "-m", "the cluster's own")
        git(own, "update-ref", "refs/heads/main", head)
        repository.tell()
        until(lambda: applied(lab, head, ROOT, "timed"))
        git(own, "push", "--quiet", git(repository.directory, "remote", "get-url", "origin"), "main")
    done = lab.up()
    assert done.returncode == 0, done.stdout
    assert source(lab)["spec"] == seed["spec"]
    until(lambda: applied(lab, head, ROOT, "timed"))
    git(repository.directory, "pull", "--quiet", "origin", "main")
    assert asked(lab, "-n", "default", "configmap/timed")["metadata"]["uid"] == timed
    assert uids(lab) == before


def url_of(lab: LiveLab, key: str) -> str:
    return str(yaml.safe_load(lab.session.config.read_text())["config"]["homelab:gitops"][key])


@pytest.mark.usefixtures("repository")
def test_a_hand_over_is_taken_back_within_a_minute_and_no_workload_goes(
    first_up: FirstUp, figure: Callable[[str], None]
) -> None:
    lab = first_up.lab

    def off(settings: dict[str, Any]) -> None:
        del settings["gitops"]

    there = asked(lab, "-n", "default", "configmap/timed")["metadata"]["uid"]
    with lab.changed(off):
        began = time.monotonic()
        done = lab.up()
        took = time.monotonic() - began
    assert done.returncode == 0, done.stdout
    figure(f"hand-over off: {took:.1f} s, the whole of `pulumi up`")
    assert asked(lab, "-n", "default", "configmap/timed")["metadata"]["uid"] == there
    assert NAMESPACE not in {item["metadata"]["name"] for item in asked(lab, "namespaces")["items"]}
    crds = {item["metadata"]["name"] for item in asked(lab, "crds")["items"]}
    # Those of Flux. The operator's own is a template of the real chart, and a file of the lab's that Helm leaves.
    assert not {name for name in crds if name.endswith("toolkit.fluxcd.io")}
    # A minute where the whole platform comes up in the time that it may take.
    assert took < 60 * max(1.0, first_up.seconds / bench.LIMITS["labSeconds"])


def test_a_hand_over_that_comes_back_takes_its_applications_over_again(lab: LiveLab, repository: Repository) -> None:
    done = lab.up()
    assert done.returncode == 0, done.stdout
    until(lambda: applied(lab, git(repository.directory, "rev-parse", "HEAD"), ROOT, "timed"))
    commit = repository.commit({"gitops/timed.yaml": None, "gitops/timed/map.yaml": None})
    until(lambda: applied(lab, commit, ROOT) and "timed" not in applications(lab))
    assert "timed" not in {item["metadata"]["name"] for item in asked(lab, "-n", "default", "configmaps")["items"]}
