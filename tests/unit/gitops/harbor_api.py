"""A small Harbor: what of its API the setup in `gitops/harbor/setup` uses, with Harbor's own refusals and additions.

After api/v2.0/swagger.yaml and src/server/v2.0/handler of Harbor 2.15.1; the types that a proxy cache may have are
those of the chart (templates/core/core-cm.yaml). A body with a key that the swagger does not define is refused, so that
a misspelt one is noticed; Harbor would ignore it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PASSWORD = "the administrator's"
PREFIX = "robot$"
PERMITTED = ("docker-hub", "harbor", "azure-acr", "ali-acr", "aws-ecr", "google-gcr", "docker-registry", "github-ghcr")
TEMPLATES = ("latestPushedK", "latestPulledN", "nDaysSinceLastPull", "nDaysSinceLastPush", "always")
ROLES = {1: "projectAdmin", 2: "developer", 3: "guest", 4: "maintainer", 5: "limitedGuest"}
"""Of members of a project, by the number that the API takes (src/common/const.go)."""
RIGHTS = {
    "projectAdmin": {"pull", "push", "delete", "members"},
    "maintainer": {"pull", "push", "delete"},
    "developer": {"pull", "push"},
    "guest": {"pull"},
    "limitedGuest": {"pull"},
}
"""What a role may: images in src/common/rbac/project/rbac_role.go, and whether it makes others members."""
_POLICY = {"id", "algorithm", "rules", "trigger", "scope"}
_BODIES = {
    ("POST", "registries"): {"name", "type", "url", "insecure", "description", "credential"},
    ("PUT", "registries"): {"name", "description", "url", "insecure", "credential_type", "access_key", "access_secret"},
    ("POST", "projects"): {"project_name", "public", "metadata", "cve_allowlist", "storage_limit", "registry_id"},
    ("PUT", "projects"): {"project_name", "public", "metadata", "cve_allowlist", "storage_limit", "registry_id"},
    ("POST", "members"): {"role_id", "member_user", "member_group"},
    ("PUT", "members"): {"role_id"},
    ("POST", "retentions"): _POLICY,
    ("PUT", "retentions"): _POLICY,
    ("POST", "schedule"): {"schedule", "parameters"},
    ("PUT", "schedule"): {"schedule", "parameters"},
    ("POST", "robots"): {"name", "description", "secret", "level", "disable", "duration", "permissions"},
    ("PATCH", "robots"): {"secret"},
}


class RefusalError(Exception):
    """An answer that is none of success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class FakeHarbor:
    """What a Harbor knows; a new one has the project `library`."""

    def __init__(self) -> None:
        self.registries: dict[int, dict[str, Any]] = {}
        self.projects: dict[int, dict[str, Any]] = {1: _project(1, "library", None, "true")}
        self.members: dict[str, list[dict[str, Any]]] = {"library": []}
        self.retentions: dict[int, dict[str, Any]] = {}
        self.schedule: dict[str, Any] | None = None
        self.robots: dict[int, dict[str, Any]] = {}
        self.secrets: dict[str, str] = {}
        self.writes: list[str] = []
        self.fails_at: int | None = None
        """At which write it fails; it has been done then, or has not, as `fails_after` says."""
        self.fails_after = False
        self.url = ""

    @contextmanager
    def serving(self) -> Iterator[FakeHarbor]:
        """Listen on a free port of this machine, at `url`."""
        harbor = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                try:
                    status, found = harbor.handle(self.command, self.path, self.headers["Authorization"], body)
                except RefusalError as refusal:
                    status, found = refusal.status, {"errors": [{"message": str(refusal)}]}
                content = b"" if found is None else json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the names that the class looks for

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            Thread(target=server.serve_forever, daemon=True).start()
            yield self
            server.shutdown()

    def may(self, group: str, project: str) -> set[str]:
        """What members of a group may in a project, apart from what everybody may in a public one."""
        roles = [one["role_id"] for one in self.members.get(project, []) if one["entity_name"] == group]
        return set().union(*(RIGHTS[ROLES[role]] for role in roles))

    def handle(self, method: str, target: str, login: str | None, body: Any) -> tuple[int, Any]:
        """Status and content of the answer to a request. Raises RefusalError."""
        parts = urlsplit(target)
        user, _, password = base64.b64decode((login or " ").partition(" ")[2]).decode().partition(":")
        known = (user, password) == ("admin", PASSWORD) or (user in self.secrets and self.secrets[user] == password)
        if not known:
            raise RefusalError(401, "unauthorized")
        if parts.path == "/v2/":
            return 200, {}
        if user != "admin":
            raise RefusalError(403, "forbidden")
        path = parts.path.removeprefix("/api/v2.0")
        if method == "GET":
            return 200, self._read(path, dict(parse_qsl(parts.query)))
        return self._counted(method, path, body)

    def _counted(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        fails = len(self.writes) == self.fails_at
        self.writes.append(f"{method} {path}")
        if fails and not self.fails_after:
            raise RefusalError(500, "the database is away")
        done = self._write(method, path, body)
        if fails:
            raise RefusalError(502, "the answer was lost")
        return done

    def _read(self, path: str, query: dict[str, str]) -> Any:
        lists: dict[str, Any] = {
            "/registries": self.registries,
            "/projects": self.projects,
            "/robots": self.robots,
        }
        if path in lists:
            return _page(list(lists[path].values()), query)
        if path == "/configurations":
            return {"robot_name_prefix": {"value": PREFIX, "editable": False}}
        if path == "/system/gc/schedule":
            return self.schedule
        if found := re.fullmatch(r"/projects/([^/]+)", path):
            return self._project(found[1])
        if found := re.fullmatch(r"/projects/([^/]+)/members", path):
            return _page(self.members.setdefault(self._project(found[1])["name"], []), query)
        if found := re.fullmatch(r"/retentions/(\d+)", path):
            return self.retentions[int(found[1])]
        raise RefusalError(404, f"no such path: {path}")

    def _project(self, name: str) -> dict[str, Any]:
        found = [one for one in self.projects.values() if name in (one["name"], str(one["project_id"]))]
        if not found:
            raise RefusalError(404, f"project {name} not found")
        return found[0]

    def _write(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        what = next(word for word in reversed(path.split("/")) if not word.isdigit())
        if method == "PUT" and re.fullmatch(r"/projects/[^/]+", path):
            what = "projects"
        allowed = _BODIES.get((method, what))
        if allowed is None or not body.keys() <= allowed:
            raise RefusalError(422, f"{method} {path} is not defined so: {sorted(body)}")
        created = getattr(self, f"_{method.lower()}_{what}")(path, body)
        return (201, created) if method == "POST" else (200, created)

    def _post_registries(self, _: str, body: dict[str, Any]) -> None:
        if any(one["name"] == body["name"] for one in self.registries.values()):
            raise RefusalError(409, "registry already exists")
        number = len(self.registries) + 1
        self.registries[number] = {**body, "id": number, "status": "healthy"}

    def _put_registries(self, path: str, body: dict[str, Any]) -> None:
        self.registries[_number(path)] |= body

    def _post_projects(self, _: str, body: dict[str, Any]) -> None:
        name, registry = body["project_name"], body.get("registry_id")
        if any(one["name"] == name for one in self.projects.values()):
            raise RefusalError(409, "the project name is already in use")
        if registry is not None and self.registries[registry]["type"] not in PERMITTED:
            raise RefusalError(400, f"unsupported registry type {self.registries[registry]['type']}")
        number = len(self.projects) + 1
        self.projects[number] = _project(number, name, registry, body.get("metadata", {}).get("public", "false"))
        if registry is not None:
            rule = {"template": "nDaysSinceLastPull", "params": {"nDaysSinceLastPull": 7}, "tag_selectors": []}
            scope = {"level": "project", "ref": number}
            settings = {"cron": "0 0 0 * * *"}
            self._post_retentions(
                "", {"algorithm": "or", "rules": [rule], "trigger": {"settings": settings}, "scope": scope}
            )

    def _put_projects(self, path: str, body: dict[str, Any]) -> None:
        self._project(path.split("/")[2])["metadata"] |= body["metadata"]

    def _post_members(self, path: str, body: dict[str, Any]) -> None:
        members = self.members.setdefault(path.split("/")[2], [])
        group = body["member_group"]
        if group["group_type"] != 3:
            raise RefusalError(400, "the group is one of another way to sign on")
        if any(one["entity_name"] == group["group_name"] for one in members):
            raise RefusalError(409, "the project member already exists")
        members.append(
            {
                "id": len(members) + 1,
                "entity_type": "g",
                "entity_name": group["group_name"],
                "role_id": body["role_id"],
            }
        )

    def _put_members(self, path: str, body: dict[str, Any]) -> None:
        [member] = [one for one in self.members[path.split("/")[2]] if one["id"] == _number(path)]
        member["role_id"] = body["role_id"]

    def _post_retentions(self, _: str, body: dict[str, Any]) -> None:
        project = self.projects[body["scope"]["ref"]]
        if project["metadata"].get("retention_id"):
            raise RefusalError(400, f"project {project['project_id']} already has retention policy")
        number = len(self.retentions) + 1
        self.retentions[number] = _policy(number, body)
        project["metadata"]["retention_id"] = str(number)

    def _put_retentions(self, path: str, body: dict[str, Any]) -> None:
        self.retentions[_number(path)] = _policy(_number(path), body)

    def _post_schedule(self, _: str, body: dict[str, Any]) -> None:
        cron = body["schedule"]["cron"].split(" ")
        if len(cron) != 6 or cron[0] != "0":
            raise RefusalError(400, "the 1st field (indicating Seconds of time) of the cron setting must be 0")
        self.schedule = {
            "id": 1,
            "job_parameters": json.dumps(body["parameters"]),
            "schedule": {**body["schedule"], "next_scheduled_time": "2026-01-01T00:00:00Z"},
        }

    _put_schedule = _post_schedule

    def _post_robots(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
        if "secret" in body or not body["permissions"]:
            raise RefusalError(400, "a secret is made by Harbor, and a robot has permissions")
        number = len(self.robots) + 1
        name = f"{PREFIX}{body['name']}"
        if any(one["name"] == name for one in self.robots.values()):
            raise RefusalError(409, "robot account already exists")
        self.robots[number] = {**body, "id": number, "name": name}
        self.secrets[name] = "Made1ByHarbor"
        return {"id": number, "name": name, "secret": self.secrets[name]}

    def _patch_robots(self, path: str, body: dict[str, Any]) -> None:
        secret = body["secret"]
        kinds = [r"[A-Z]", r"[a-z]", r"[0-9]"]
        if not 8 <= len(secret) <= 128 or not all(re.search(kind, secret) for kind in kinds):
            raise RefusalError(400, "the secret must be 8-128 characters long with at least 1 of each kind")
        self.secrets[self.robots[_number(path)]["name"]] = secret


def _project(number: int, name: str, registry: int | None, public: str) -> dict[str, Any]:
    return {"project_id": number, "name": name, "registry_id": registry, "metadata": {"public": public}}


def _policy(number: int, body: dict[str, Any]) -> dict[str, Any]:
    for rule in body["rules"]:
        if rule["template"] not in TEMPLATES or set(rule["params"]) != {rule["template"]}:
            raise RefusalError(400, f"no rule is called {rule['template']}")
    return {
        **body,
        "id": number,
        "rules": [{"id": 0, "priority": 0, "disabled": False, **one} for one in body["rules"]],
    }


def _page(entries: list[Any], query: dict[str, str]) -> list[Any]:
    """Ten entries where nothing is said, and a hundred at most."""
    size, number = int(query.get("page_size", 10)), int(query.get("page", 1))
    if size > 100:
        raise RefusalError(422, "page_size in query should be less than or equal to 100")
    return entries[size * (number - 1) : size * number]


def _number(path: str) -> int:
    return int(path.rpartition("/")[2])
