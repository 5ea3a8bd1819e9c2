"""What Harbor is set up with: once from nothing, from any half-done state, and never twice."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks import sso
from tests.conftest import ROOT
from tests.unit.gitops.harbor_api import PASSWORD, PREFIX, FakeHarbor

SETUP = ROOT / "gitops" / "harbor" / "setup"
PLAN = json.loads((SETUP / "plan.json").read_text())
SECRET = "Chosen4ByVaultChosen4ByVault"
CACHES = ["docker.io", "ghcr.io", "quay.io", "registry.k8s.io"]


@pytest.fixture
def harbor() -> Iterator[FakeHarbor]:
    with FakeHarbor().serving() as fake:
        yield fake


def _program() -> Any:
    spec = importlib.util.spec_from_file_location("harbor_setup", SETUP / "configure.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROGRAM = _program()


@pytest.fixture(autouse=True)
def _arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["configure.py", str(SETUP / "plan.json")])


def run(harbor: FakeHarbor, *, secret: str = SECRET, password: str = PASSWORD) -> int:
    """Its exit status."""
    harbor.writes.clear()
    environment = {"HARBOR_URL": harbor.url, "HARBOR_ADMIN_PASSWORD": password, "ROBOT_SECRET": secret}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return int(PROGRAM.main())


def test_it_runs_as_the_cron_job_starts_it(harbor: FakeHarbor) -> None:
    """With the standard library alone, and nothing of the project on the path."""
    environment = {
        "PATH": os.environ["PATH"],
        "HARBOR_URL": harbor.url,
        "HARBOR_ADMIN_PASSWORD": PASSWORD,
        "ROBOT_SECRET": SECRET,
    }
    command = [sys.executable, "-I", str(SETUP / "configure.py"), str(SETUP / "plan.json")]
    subprocess.run(command, env=environment, timeout=120, check=True)
    assert harbor.secrets == {f"{PREFIX}push": SECRET}


def state(harbor: FakeHarbor) -> Any:
    """What a Harbor has, apart from the numbers that it gave."""
    kept = {str(one["name"]): one for one in harbor.projects.values()}
    return copy.deepcopy(
        {
            "registries": sorted((one["name"], one["type"], one["url"]) for one in harbor.registries.values()),
            "projects": {
                name: (
                    (harbor.registries.get(one["registry_id"]) or {}).get("name"),
                    one["metadata"]["public"],
                    [rule["params"] for rule in harbor.retentions[int(one["metadata"]["retention_id"])]["rules"]],
                )
                for name, one in kept.items()
            },
            "members": [(one["entity_name"], one["role_id"]) for one in harbor.members["library"]],
            "schedule": (harbor.schedule or {})["schedule"]["cron"],
            "robots": [one["name"] for one in harbor.robots.values()],
            "secrets": harbor.secrets,
        }
    )


def test_a_new_harbor_gets_all_that_the_plan_says(harbor: FakeHarbor) -> None:
    assert run(harbor) == 0
    found = state(harbor)
    assert [name for name, *_ in found["registries"]] == CACHES
    for name in CACHES:
        assert found["projects"][name] == (name, "true", [{"nDaysSinceLastPull": 30}])
    assert found["projects"]["library"][2] == [{"latestPushedK": 20}, {"nDaysSinceLastPull": 90}]
    assert found["schedule"] == PLAN["garbage_collection_cron"]


def test_a_second_run_writes_nothing(harbor: FakeHarbor) -> None:
    run(harbor)
    assert run(harbor) == 0
    assert harbor.writes == []


@pytest.fixture(scope="module")
def whole() -> tuple[int, Any]:
    """How many writes a Harbor takes from nothing, and what it has then."""
    with FakeHarbor().serving() as fake, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["configure.py", str(SETUP / "plan.json")])
        assert run(fake) == 0
        return len(fake.writes), state(fake)


@pytest.mark.parametrize("after", [False, True], ids=["not-done", "done-unanswered"])
def test_a_run_that_ended_half_way_is_finished_by_the_next(whole: tuple[int, Any], after: bool) -> None:
    writes, complete = whole
    for number in range(writes):
        with FakeHarbor().serving() as fake:
            fake.fails_at, fake.fails_after = number, after
            assert run(fake) == 1, f"write {number} failed, and nobody was told"
            fake.fails_at = None
            assert run(fake) == 0
            assert state(fake) == complete, f"after write {number}"


def test_the_robot_account_has_the_secret_of_vault_and_not_harbors(harbor: FakeHarbor) -> None:
    run(harbor)
    assert harbor.secrets == {f"{PREFIX}push": SECRET}


def test_a_rotated_secret_is_the_only_thing_that_is_written(harbor: FakeHarbor) -> None:
    run(harbor)
    rotated = SECRET.replace("4", "5")
    run(harbor, secret=rotated)
    assert (harbor.writes, harbor.secrets) == (["PATCH /robots/1"], {f"{PREFIX}push": rotated})


def test_the_robot_account_may_push_to_one_project_and_nothing_else(harbor: FakeHarbor) -> None:
    run(harbor)
    [permission] = harbor.robots[1]["permissions"]
    assert (permission["kind"], permission["namespace"]) == ("project", "library")
    assert {(one["resource"], one["action"]) for one in permission["access"]} == {
        ("repository", "pull"),
        ("repository", "push"),
    }


def test_no_secret_is_printed(harbor: FakeHarbor, capfd: pytest.CaptureFixture[str]) -> None:
    run(harbor)
    run(harbor, password="Wrong1password")
    printed = "".join(capfd.readouterr())
    assert "set the secret of" in printed
    assert not any(secret in printed for secret in (SECRET, PASSWORD, "Wrong1password", "Made1ByHarbor"))


def test_a_wrong_password_is_told_and_changes_nothing(harbor: FakeHarbor, capfd: pytest.CaptureFixture[str]) -> None:
    assert (run(harbor, password="Wrong1password"), harbor.writes) == (1, [])
    assert "401" in capfd.readouterr().err


def test_a_harbor_that_does_not_answer_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    nobody = FakeHarbor()
    nobody.url = "http://127.0.0.1:9"
    assert run(nobody) == 1
    assert "the next run goes on from here" in capfd.readouterr().err


def test_a_project_with_the_name_of_a_cache_is_left_alone(
    harbor: FakeHarbor, capfd: pytest.CaptureFixture[str]
) -> None:
    harbor.projects[2] = {"project_id": 2, "name": "quay.io", "registry_id": None, "metadata": {"public": "true"}}
    assert run(harbor) == 1
    assert "the project quay.io is no proxy cache" in capfd.readouterr().err


def test_a_project_that_somebody_closed_is_opened_again(harbor: FakeHarbor) -> None:
    run(harbor)
    harbor.projects[3]["metadata"]["public"] = "false"
    run(harbor)
    assert harbor.writes == ["PUT /projects/ghcr.io"]


def test_more_projects_than_a_page_has_are_all_seen(harbor: FakeHarbor) -> None:
    run(harbor)
    caches = list(harbor.projects.values())
    others = [
        {"project_id": 10 + number, "name": f"p{number}", "registry_id": None, "metadata": {"public": "true"}}
        for number in range(250)
    ]
    harbor.projects = {one["project_id"]: one for one in [*others, *caches]}
    assert run(harbor) == 0
    assert harbor.writes == []


@pytest.mark.parametrize(
    ("change", "put_back"),
    [
        (lambda harbor: harbor.registries[2].update(url="https://ghcr.example.org"), "PUT /registries/2"),
        (lambda harbor: harbor.retentions[1]["rules"][0]["params"].update(nDaysSinceLastPull=1), "PUT /retentions/1"),
        (lambda harbor: harbor.retentions[1]["trigger"]["settings"].update(cron=""), "PUT /retentions/1"),
        (lambda harbor: harbor.schedule["schedule"].update(cron="0 0 0 * * 0"), "PUT /system/gc/schedule"),
        (lambda harbor: harbor.members["library"][0].update(role_id=1), "PUT /projects/library/members/1"),
    ],
    ids=["registry", "retention", "when-retention-runs", "garbage-collection", "role"],
)
def test_what_somebody_changed_is_put_back_by_one_write(
    harbor: FakeHarbor, change: Callable[[FakeHarbor], None], put_back: str
) -> None:
    run(harbor)
    before = state(harbor)
    change(harbor)
    assert state(harbor) != before or put_back == "PUT /retentions/1"
    run(harbor)
    assert (harbor.writes, state(harbor)) == ([put_back], before)


def test_quays_own_type_is_refused_for_a_cache_and_that_is_told(
    harbor: FakeHarbor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = copy.deepcopy(PLAN)
    [cache] = [cache for cache in plan["caches"] if cache["name"] == "quay.io"]
    cache["type"] = "quay"
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    monkeypatch.setattr(sys, "argv", ["configure.py", str(tmp_path / "plan.json")])
    assert run(harbor) == 1
    assert "POST /projects: 400" in (told := capfd.readouterr().err)
    assert "unsupported registry type quay" in told


def test_a_registry_of_another_type_is_left_to_a_person(harbor: FakeHarbor, capfd: pytest.CaptureFixture[str]) -> None:
    """Harbor has no way to change it."""
    run(harbor)
    harbor.registries[3]["type"] = "quay"
    assert (run(harbor), harbor.writes) == (1, [])
    assert "delete its project and the registry in Harbor" in capfd.readouterr().err


@pytest.mark.parametrize("group", sso.HARBOR.groups)
def test_a_group_may_what_its_role_says_and_no_more(harbor: FakeHarbor, group: str) -> None:
    """Administrators are those of all of Harbor, by their sign-on, and so need no role in a project."""
    run(harbor)
    administers = json.loads(sso.credentials(sso.HARBOR, "example.org", private=False).derived["CONFIG_OVERWRITE_JSON"])
    if sso.HARBOR.groups[group] == "administrator":
        assert administers["oidc_admin_group"] == group
        assert harbor.may(group, "library") == set()
    else:
        assert administers["oidc_admin_group"] != group
        assert harbor.may(group, "library") == {"pull", "push"}


def test_each_cache_keeps_what_was_pulled_lately() -> None:
    assert {cache["name"] for cache in PLAN["caches"]} <= set(PLAN["retention"])
