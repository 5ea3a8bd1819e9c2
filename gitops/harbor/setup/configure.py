"""Brings a Harbor to what `plan.json` says: proxy caches, retention, garbage collection, members and one robot account.

Usage: configure.py <plan.json>, with HARBOR_URL, HARBOR_ADMIN_PASSWORD and ROBOT_SECRET in the environment.

Each step looks first and writes only what differs, so a run that ended half-way is finished by the next one, and a run
that finds everything in place writes nothing. Nothing is deleted, except what a retention policy names. The API is that
of https://github.com/goharbor/harbor/blob/v2.15.1/api/v2.0/swagger.yaml; no secret is printed.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

ADMINISTRATOR = "admin"
OIDC_GROUP = 3
"""`group_type` of a group that comes with a sign-on."""
PAGE = 100
"""The most that one answer of the API lists."""
SECONDS = 30

_ALL_TAGS = {"kind": "doublestar", "decoration": "matches", "pattern": "**", "extras": json.dumps({"untagged": True})}
_ALL_REPOSITORIES = {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]}


class RefusedError(Exception):
    """Harbor's answer to a request, where it is none of those that a step expects."""


class Harbor:
    """The API of one Harbor, as its administrator."""

    def __init__(self, url: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._login = _basic(ADMINISTRATOR, password)

    def get(self, path: str, **query: str | int) -> Any:
        """What is at a path; None where the answer is empty."""
        return self._ask("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path)

    def every(self, path: str) -> list[Any]:
        """All entries of a list, page by page."""
        found: list[Any] = []
        while True:
            page = self.get(path, page=len(found) // PAGE + 1, page_size=PAGE)
            found += page or []
            if len(page or []) < PAGE:
                return found

    def write(self, method: str, path: str, body: Any, what: str) -> None:
        """Change something, and say what."""
        self._ask(method, path, body)
        print(f"harbor: {what}", flush=True)

    def accepts(self, user: str, password: str) -> bool:
        """Whether a login is right: /v2/ is refused to whoever is nobody."""
        request = urllib.request.Request(f"{self.url}/v2/", headers={"Authorization": _basic(user, password)})
        try:
            with urllib.request.urlopen(request, timeout=SECONDS):
                return True
        except urllib.error.HTTPError as error:
            if error.code == 401:
                return False
            raise

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/v2.0{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": self._login, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            told = error.read().decode(errors="replace")[:500]
            raise RefusedError(f"{method} {path}: {error.code} {told}") from None
        return json.loads(text) if text.strip() else None


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def configure(harbor: Harbor, plan: dict[str, Any], robot_secret: str) -> None:
    """All steps, in the order in which each finds what it needs."""
    for cache in plan["caches"]:
        cache_of(harbor, cache)
    for name, rules in plan["retention"].items():
        retention(harbor, name, rules, plan["retention_cron"])
    for member in plan["members"]:
        membership(harbor, **member)
    garbage_collection(harbor, plan["garbage_collection_cron"])
    robot(harbor, plan["robot"], robot_secret)


def cache_of(harbor: Harbor, cache: dict[str, str]) -> None:
    """A registry elsewhere, and the public project of the same name that passes its images on."""
    name = cache["name"]
    registry = _named(harbor.every("/registries"), name)
    wanted = {"name": name, "type": cache["type"], "url": cache["url"]}
    if registry is None:
        # Harbor asks the registry at this, and refuses one that does not answer.
        harbor.write("POST", "/registries", {**wanted, "insecure": False}, f"added the registry {name}")
        registry = _named(harbor.every("/registries"), name)
        if registry is None:
            raise RefusedError(f"the registry {name} was added, and is not there")
    elif registry["type"] != cache["type"]:
        raise RefusedError(
            f"the registry {name} is of type {registry['type']}, which cannot be changed to {cache['type']}; delete "
            "its project and the registry in Harbor, and both are made anew"
        )
    elif registry["url"].rstrip("/") != cache["url"]:
        harbor.write("PUT", f"/registries/{registry['id']}", {"url": cache["url"]}, f"changed the URL of {name}")
    project = _named(harbor.every("/projects"), name)
    if project is None:
        body = {"project_name": name, "registry_id": registry["id"], "metadata": {"public": "true"}}
        harbor.write("POST", "/projects", body, f"added the project {name}")
    elif project.get("registry_id") != registry["id"]:
        raise RefusedError(f"the project {name} is no proxy cache of the registry {name}; delete or rename it")
    elif project["metadata"].get("public") != "true":
        harbor.write("PUT", f"/projects/{name}", {"metadata": {"public": "true"}}, f"opened the project {name}")


def retention(harbor: Harbor, project_name: str, rules: list[dict[str, int]], cron: str) -> None:
    """The policy of a project: what at least one rule keeps is kept.

    A project that is a proxy cache gets one of Harbor's own when it is made (`CreateProject` in
    src/server/v2.0/handler/project.go), so it is changed as often as it is added.
    """
    project = harbor.get(f"/projects/{project_name}")
    policy = {
        "algorithm": "or",
        "rules": [_rule(template, number) for rule in rules for template, number in rule.items()],
        "trigger": {"kind": "Schedule", "settings": {"cron": cron}},
        "scope": {"level": "project", "ref": project["project_id"]},
    }
    known = project["metadata"].get("retention_id")
    if not known:
        harbor.write("POST", "/retentions", policy, f"added the retention of {project_name}")
        return
    if _essence(harbor.get(f"/retentions/{known}")) != _essence(policy):
        body = {**policy, "id": int(known)}
        harbor.write("PUT", f"/retentions/{known}", body, f"changed the retention of {project_name}")


def _rule(template: str, number: int) -> dict[str, Any]:
    return {
        "action": "retain",
        "template": template,
        "params": {template: number},
        "tag_selectors": [_ALL_TAGS],
        "scope_selectors": _ALL_REPOSITORIES,
    }


def _essence(policy: dict[str, Any]) -> Any:
    """What of a policy decides, without the ids and dates that Harbor adds."""
    rules = [
        (
            rule.get("template"),
            rule.get("params"),
            bool(rule.get("disabled")),
            [(one.get("pattern"), json.loads(one.get("extras") or "{}")) for one in rule.get("tag_selectors") or []],
        )
        for rule in policy.get("rules") or []
    ]
    trigger = policy.get("trigger") or {}
    return policy.get("algorithm"), rules, (trigger.get("settings") or {}).get("cron")


def membership(harbor: Harbor, *, project: str, group: str, role: int) -> None:
    """The role that members of a group of the sign-on have in a project."""
    members = harbor.every(f"/projects/{project}/members")
    known = next((one for one in members if (one["entity_type"], one["entity_name"]) == ("g", group)), None)
    if known is None:
        body = {"role_id": role, "member_group": {"group_name": group, "group_type": OIDC_GROUP}}
        harbor.write("POST", f"/projects/{project}/members", body, f"gave {group} a role in {project}")
    elif known["role_id"] != role:
        path = f"/projects/{project}/members/{known['id']}"
        harbor.write("PUT", path, {"role_id": role}, f"changed the role of {group} in {project}")


def garbage_collection(harbor: Harbor, cron: str) -> None:
    """When layers that no image has any more are deleted. Without a schedule the answer is empty."""
    known = harbor.get("/system/gc/schedule") or {}
    if (known.get("schedule") or {}).get("cron") == cron:
        return
    body = {"schedule": {"type": "Custom", "cron": cron}, "parameters": {"delete_untagged": False, "workers": 1}}
    method = "PUT" if known.get("schedule") else "POST"
    harbor.write(method, "/system/gc/schedule", body, "set when garbage is collected")


def robot(harbor: Harbor, wanted: dict[str, Any], secret: str) -> None:
    """The account for pushes, with a secret that is ours and not Harbor's."""
    prefix = harbor.get("/configurations")["robot_name_prefix"]["value"]
    name = f"{prefix}{wanted['name']}"
    known = _named(harbor.every("/robots"), name)
    if known is None:
        body = {**wanted, "level": "system", "duration": -1, "disable": False}
        harbor.write("POST", "/robots", body, f"added the robot account {name}")
        known = _named(harbor.every("/robots"), name)
        if known is None:
            raise RefusedError(f"the robot account {name} was added, and is not there")
    if not harbor.accepts(name, secret):
        harbor.write("PATCH", f"/robots/{known['id']}", {"secret": secret}, f"set the secret of {name}")


def _named(entries: list[Any], name: str) -> Any:
    return next((one for one in entries if one["name"] == name), None)


def main() -> int:
    """Configure the Harbor of the environment. Exit status 1 with what it refused, or that it does not answer."""
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    harbor = Harbor(os.environ["HARBOR_URL"], os.environ["HARBOR_ADMIN_PASSWORD"])
    try:
        configure(harbor, plan, os.environ["ROBOT_SECRET"])
    except (RefusedError, OSError) as error:
        print(f"harbor: {error}; the next run goes on from here", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
