"""`python -m program chart-definitions`: gives the cluster the definitions of a chart's directory `crds`.

Owns the command that `ChartDefinitions` has Pulumi run before it installs or upgrades the chart. Helm installs such
definitions once and never again (https://helm.sh/docs/chart_best_practices/custom_resource_definitions/). Each is
applied by the API server (server-side apply), so that one which Helm or an earlier version made is changed in place and
keeps its objects. None is ever deleted, not even one that a chart no longer has, as its objects would go with it.

Everything comes through the environment (`PLAN`, `KUBECONFIG`), so that no secret is in a command line.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from components.kit.api_server import KUBECONFIG, REQUEST_SECONDS, ApiServer, ApiServerError
from components.kit.chart_archive import ChartPlace, ChartUnavailableError
from components.kit.safe_yaml import LOADER

PLAN = "HOMELAB_CHART_DEFINITIONS"
"""The variable that has a `ChartPlace` as JSON."""

MANAGER = "homelab"
"""Owner of the applied fields, as the API server records it."""

_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_IN_CHART = re.compile(r"(?:charts/[^/]+/)*crds/.+\.ya?ml")
"""Of the chart itself and of the charts in it, whose own directories Helm reads as well."""

_SERVED_SECONDS = 60
_POLL = 0.2
Definition = dict[str, Any]


def definitions(place: ChartPlace) -> list[Definition]:
    """The CustomResourceDefinitions in a chart's directories `crds`, sorted by name.

    Raises:
        ChartUnavailableError: the chart cannot be had, or has none.
    """
    found: list[Definition] = []
    for name, content in place.files():
        if _IN_CHART.fullmatch(name):
            try:
                documents = list(yaml.load_all(content, LOADER))
            except yaml.YAMLError as error:
                raise ChartUnavailableError(f"{name} of {place.chart}: {error}") from None
            found += [one for one in documents if one and one.get("kind") == "CustomResourceDefinition"]
    if not found:
        raise ChartUnavailableError(
            f"{place.description}: no definitions in its directory crds; if its templates bring them, it needs no "
            "ChartDefinitions"
        )
    return sorted(found, key=lambda definition: str(definition["metadata"]["name"]))


class Cluster(ApiServer):
    """The API server, as it takes definitions."""

    def apply(self, definition: Definition) -> None:
        """Make or change a definition, and wait until its kind is served. Raises ApiServerError."""
        name = str(definition["metadata"]["name"])
        # An API server does not take a status from anybody but itself.
        body = json.dumps({key: value for key, value in definition.items() if key != "status"})
        try:
            with self.answer(
                "PATCH", f"{_PATH}/{name}?fieldManager={MANAGER}&force=true", body, "application/apply-patch+yaml"
            ) as answer:
                answer.read()
            self._established(name)
            self._served(definition["spec"])
        except OSError as error:
            raise ApiServerError(f"{name}: {self.server}: {error}") from None

    def _served(self, spec: Mapping[str, Any]) -> None:
        """Ask for the objects of a definition until there is an answer.

        For a moment an API server answers 404 or 429 ("storage is (re)initializing") for an established kind.
        """
        group, plural, deadline = spec["group"], spec["names"]["plural"], time.monotonic() + _SERVED_SECONDS
        for version in (one["name"] for one in spec["versions"] if one["served"]):
            while True:
                try:
                    with self.answer("GET", f"/apis/{group}/{version}/{plural}?limit=1") as answer:
                        answer.read()
                    break
                except ApiServerError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_POLL)

    def _established(self, name: str) -> None:
        """Follow a definition until the API server says that it is established."""
        query = f"watch=true&timeoutSeconds={_SERVED_SECONDS}&fieldSelector=metadata.name%3D{name}"
        conditions: Mapping[str, str] = {}
        with self.answer("GET", f"{_PATH}?{query}", timeout=_SERVED_SECONDS + REQUEST_SECONDS) as events:
            for line in events:
                conditions = conditions_of(json.loads(line)["object"])
                if conditions.get("Established") == "True":
                    return
        raise ApiServerError(
            f"{name} is not served after {_SERVED_SECONDS} s ({dict(conditions)}); see: kubectl describe crd {name}"
        )


def conditions_of(definition: Definition) -> Mapping[str, str]:
    """What the API server says of a definition, by type; of one that it has only just taken it says `null`."""
    stated = (definition.get("status") or {}).get("conditions") or []
    return {one["type"]: one["status"] for one in stated}


def applied(place: ChartPlace, cluster: Cluster) -> Iterator[str]:
    """Apply each definition of a chart, and give its name once its kind is served."""
    for definition in definitions(place):
        cluster.apply(definition)
        yield str(definition["metadata"]["name"])


def main(_arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Apply the definitions; return 1, with the reason on standard error, if one was not."""
    place = ChartPlace.loads(environment[PLAN])
    try:
        for name in applied(place, Cluster(environment[KUBECONFIG])):
            print(f"{name} is that of {place.description}", flush=True)
    except (ChartUnavailableError, ApiServerError) as error:
        print(f"definitions of {place.description}: {error}; repeat with `pulumi up`", file=sys.stderr)
        return 1
    return 0
