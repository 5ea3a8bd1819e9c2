"""`python -m program git-source`: which of two repositories Flux is to read from now on.

Owns the comparison that `GitSource` has Pulumi run: the cluster's own Git server takes over from the seed only when
both have the same newest commit, as Flux itself reads them. A cluster to which nothing has been handed over yet begins
with the seed, because its own Git server is one of the applications.

What it needs comes through the environment (`PLAN`, `KUBECONFIG`), so that no secret is in a command line. It prints
the URL, and nothing else, on standard output.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.kit.api_server import KUBECONFIG, ApiServer, ApiServerError
from components.kit.command_plan import CommandPlan

PLAN = "HOMELAB_GIT_SOURCE"
"""The variable that has a `Plan` as JSON."""

_ASKED = "reconcile.fluxcd.io/requestedAt"
_PATH = "/apis/source.toolkit.fluxcd.io/v1/namespaces/{}/gitrepositories/{}"
_MERGE = "application/merge-patch+json"
_SECONDS = 90
_POLL = 1.0

Repository = Mapping[str, Any]
"""A GitRepository, as the API server gives it."""


class HeadsDifferError(Exception):
    """The cluster's own repository cannot take over; the message says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Plan(CommandPlan):
    """What is compared.

    namespace: of both objects. repository, candidate: names of the GitRepository that Flux deploys from, and of the one
        that only shows what the cluster's own Git server has.
    seed, own: the URLs of both.
    """

    namespace: str
    repository: str
    candidate: str
    seed: str
    own: str


def revision(repository: Repository, token: str) -> str | None:
    """The newest commit of a repository, as read after it was asked for by `token`; None while it has not been."""
    status = repository.get("status") or {}
    ready = [one for one in status.get("conditions") or [] if one["type"] == "Ready"]
    if status.get("lastHandledReconcileAt") != token or not ready or ready[0]["status"] != "True":
        return None
    return str((status.get("artifact") or {}).get("revision"))


def chosen(plan: Plan, cluster: ApiServer) -> str:
    """The URL to read from.

    Raises:
        HeadsDifferError: the two repositories differ, or one cannot be read.
        ApiServerError: the API server refuses.
    """
    current = cluster.get(_PATH.format(plan.namespace, plan.repository))
    if current is None:
        return plan.seed
    if current["spec"]["url"] == plan.own:
        return plan.own
    newest = _newest(plan, cluster)
    if len(set(newest.values())) > 1:
        told = ", ".join(f"{url} has {commit}" for url, commit in newest.items())
        raise HeadsDifferError(
            f"{told}: what only one of them has would be undone or lost; push it to the other, and repeat `pulumi up`"
        )
    return plan.own


def _newest(plan: Plan, cluster: ApiServer) -> dict[str, str]:
    """The newest commit of both, by URL, as Flux reads it now."""
    token, deadline = str(time.time_ns()), time.monotonic() + _SECONDS
    places = {plan.seed: plan.repository, plan.own: plan.candidate}
    for name in places.values():
        patch = json.dumps({"metadata": {"annotations": {_ASKED: token}}})
        cluster.patch(_PATH.format(plan.namespace, name), patch, _MERGE)
    while True:
        read = {url: cluster.get(_PATH.format(plan.namespace, name)) or {} for url, name in places.items()}
        found = {url: commit for url, one in read.items() if (commit := revision(one, token)) is not None}
        if len(found) == len(places):
            return found
        if time.monotonic() > deadline:
            missing = ", ".join(f"{url} ({_reason(read[url])})" for url in places if url not in found)
            raise HeadsDifferError(
                f"Flux cannot read {missing}; mend that, or set homelab:gitops.source to seed, and repeat `pulumi up`"
            )
        time.sleep(_POLL)


def _reason(repository: Repository) -> str:
    conditions = (repository.get("status") or {}).get("conditions") or []
    return next((str(one["message"]) for one in conditions if one["type"] == "Ready"), "no answer")


def main(_arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Print the URL to read from; return 1, with the reason on standard error, if the switch is refused."""
    try:
        print(chosen(Plan.loads(environment[PLAN]), ApiServer(environment[KUBECONFIG])))
    except (HeadsDifferError, ApiServerError) as error:
        print(f"homelab:gitops.source: {error}", file=sys.stderr)
        return 1
    return 0
