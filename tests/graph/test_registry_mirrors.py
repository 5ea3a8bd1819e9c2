"""What a node's containerd asks for an image: with the mirrors off, on, and on while nobody answers there.

From the machine configurations of the recorded program. How containerd reads them: `RegistryMirrorConfig` becomes one
hosts.toml for each registry, whose hosts are tried in order, and after them the registry itself; an answer above 399
counts as none (core/remotes/docker/config/hosts.go and core/remotes/docker/resolver.go of containerd 2.2.1). To a host
whose path is not overridden it adds `/v2`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest

from checks.graph import Graph, reveal
from checks.program import recorded
from stacks.cluster import CACHED
from tests.conftest import ROOT
from tests.graph.test_machine_configuration import documents

DOMAIN = "test-cluster.agentydragon.com"
HARBOR = f"registry.{DOMAIN}"
INGRESS, EDGE = "10.0.3.2", "172.235.48.86"
NODES = ("controlplane-0", "controlplane-1", "controlplane-2", "worker-0", "worker-1")
OWN_HOSTS = {"docker.io": "registry-1.docker.io"}
"""Where a registry itself answers, if not at its name (`DefaultHost` in core/remotes/docker)."""


@cache
def program(mirrors: bool) -> Graph:
    def change(settings: dict[str, Any]) -> None:
        settings["registry"] = {"mirrors": mirrors}

    return recorded("prod", change=change)


def asked(mirrors: bool, node: str, registry: str, path: str, answers: Callable[[str], bool]) -> list[str]:
    """The URLs that a node asks for an image's manifest, up to the first that answers."""
    found = [one for one in documents_of(mirrors, node) if one.get("kind") == "RegistryMirrorConfig"]
    tried = []
    for document in found:
        if document["name"] == registry:
            for endpoint in document["endpoints"]:
                base = endpoint["url"] if endpoint.get("overridePath") else f"{endpoint['url']}/v2"
                tried.append(f"{base}/{path}/manifests/1.0")
            if document["skipFallback"]:
                break
    else:
        tried.append(f"https://{OWN_HOSTS.get(registry, registry)}/v2/{path}/manifests/1.0")
    until = next((number for number, url in enumerate(tried) if answers(url)), len(tried) - 1)
    return tried[: until + 1]


def documents_of(mirrors: bool, node: str) -> list[dict[str, Any]]:
    return documents(program(mirrors), node, cluster="atlas")


def address_of(mirrors: bool, node: str, host: str) -> str:
    """Where a node finds a host: by its own entries, else by DNS, which has the public host for names of the domain."""
    entries: dict[str, str] = {
        name: document["name"]
        for document in documents_of(mirrors, node)
        if document.get("kind") == "StaticHostConfig"
        for name in document["hostnames"]
    }
    return entries.get(host, EDGE if host.endswith(DOMAIN) else "elsewhere")


def everybody(_: str) -> bool:
    return True


def all_but_harbor(url: str) -> bool:
    return urlsplit(url).hostname != HARBOR


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("registry", CACHED)
def test_without_mirrors_the_registry_itself_is_asked(node: str, registry: str) -> None:
    host = OWN_HOSTS.get(registry, registry)
    assert asked(False, node, registry, "a/b", everybody) == [f"https://{host}/v2/a/b/manifests/1.0"]


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("registry", CACHED)
def test_with_mirrors_harbors_cache_is_asked_and_nobody_else(node: str, registry: str) -> None:
    assert asked(True, node, registry, "a/b", everybody) == [f"https://{HARBOR}/v2/{registry}/a/b/manifests/1.0"]


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("registry", CACHED)
def test_a_harbor_that_is_dead_holds_up_no_pull(node: str, registry: str) -> None:
    *_, last = asked(True, node, registry, "a/b", all_but_harbor)
    assert last == f"https://{OWN_HOSTS.get(registry, registry)}/v2/a/b/manifests/1.0"


def images_of_harbor() -> list[str]:
    """Of all pods that it needs: the chart's, its database's, and that of the setup."""
    applied = [(ROOT / "gitops/harbor" / file).read_text() for file in ("database/cluster.yaml", "setup/cron-job.yaml")]
    chart = (ROOT / "charts/records/harbor.json").read_text()
    found = set(re.findall(r'"image": "([^"]+)"', chart))
    return sorted(found.union(*(re.findall(r"^ *image(?:Name)?: (\S+)$", text, re.M) for text in applied)))


def test_the_images_of_harbor_are_those_of_all_its_parts() -> None:
    assert {image.split("/")[1] for image in images_of_harbor()} == {"goharbor", "cloudnative-pg", "library"}


@pytest.mark.parametrize("image", images_of_harbor())
def test_an_image_of_harbor_can_be_had_without_it(image: str) -> None:
    """Or it would never start again."""
    registry, _, path = image.partition("/")
    host = OWN_HOSTS.get(registry, registry)
    assert urlsplit(asked(True, "worker-0", registry, path, all_but_harbor)[-1]).hostname == host


def test_turning_mirrors_on_changes_the_configuration_of_each_node_and_nothing_else() -> None:
    off, on = program(False), program(True)
    changed = {node.name for urn, node in off.nodes.items() if reveal(node.inputs) != reveal(on.nodes[urn].inputs)}
    assert off.nodes.keys() == on.nodes.keys()
    assert changed == {f"atlas-{node}" for node in NODES}


@pytest.mark.parametrize(("earlier", "later"), pairwise(NODES))
def test_a_node_takes_mirrors_after_the_one_before_it(earlier: str, later: str) -> None:
    assert program(True).depends(f"atlas-{later}", f"atlas-{earlier}")


@pytest.mark.parametrize("node", NODES)
def test_images_do_not_go_through_the_public_host(node: str) -> None:
    assert address_of(False, node, HARBOR) == EDGE
    assert address_of(True, node, HARBOR) == INGRESS


def test_each_mirror_is_a_cache_that_harbor_is_set_up_with() -> None:
    plan = json.loads((ROOT / "gitops/harbor/setup/plan.json").read_text())
    assert {cache["name"] for cache in plan["caches"]} == set(CACHED)


def test_a_mirror_of_the_site_is_asked_after_harbor() -> None:
    def change(settings: dict[str, Any]) -> None:
        settings["registry"] = {"mirrors": True}
        settings["talos"]["registryMirrors"] = {"docker.io": ["http://10.0.0.9:5000"]}

    [document] = [
        one
        for one in documents(recorded("prod", change=change), "worker-0", cluster="atlas")
        if one.get("kind") == "RegistryMirrorConfig" and one["name"] == "docker.io"
    ]
    assert [one["url"] for one in document["endpoints"]] == [f"https://{HARBOR}/v2/docker.io", "http://10.0.0.9:5000"]
