"""Values that only a running pod shows to be wrong, as the recorded program gives them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from checks.graph import reveal
from components.database.postgres import PORT
from components.kit.versions import AUTHENTIK, AUTHENTIK_SERVER
from components.vault.clients import VAULT_NAMESPACE
from tests.graph.test_conventions import graph_of

RELEASE = "kubernetes:helm.sh/v3:Release"
CRONJOB = "kubernetes:batch/v1:CronJob"
DATABASE = "authentik-postgres"


@cache
def values(release: str) -> Any:
    return reveal(graph_of("prod", known=True)[f"{RELEASE} {release}"].inputs["values"])


@cache
def backup() -> Any:
    made = reveal(graph_of("prod", known=True)[f"{CRONJOB} {DATABASE}-backup"].inputs)
    return made["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def client(name: str) -> tuple[dict[str, str], Mapping[str, Any]]:
    """Environment of a client of the database, and the tree with its volumes and mounts."""
    if name == "backup":
        [container] = backup()["containers"]
        given, tree = container["env"], {"volumes": backup()["volumes"], "volumeMounts": container["volumeMounts"]}
    else:
        tree = values("authentik")["global"]
        given = tree["env"]
    return {one["name"]: one["value"] for one in given if "value" in one}, tree


CLIENTS = {
    "backup": ("PGSSLMODE", "PGSSLROOTCERT", "PGHOST"),
    "authentik": ("AUTHENTIK_POSTGRESQL__SSLMODE", "AUTHENTIK_POSTGRESQL__SSLROOTCERT", "AUTHENTIK_POSTGRESQL__HOST"),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_of_the_database_verifies_whom_it_talks_to(name: str) -> None:
    environment, _ = client(name)
    mode, _, host = CLIENTS[name]
    assert environment[mode] == "verify-full"
    # One of the names that the operator puts into a server's certificate: GetClusterAltDNSNames in
    # https://github.com/cloudnative-pg/cloudnative-pg/blob/main/api/v1/cluster_funcs.go
    assert environment[host] == f"{DATABASE}-rw.authentik.svc"


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_of_the_database_gets_its_authority_without_the_key(name: str) -> None:
    environment, tree = client(name)
    directory, _, file = environment[CLIENTS[name][1]].rpartition("/")
    [mount] = [mount for mount in tree["volumeMounts"] if mount["mountPath"] == directory]
    [volume] = [volume for volume in tree["volumes"] if volume["name"] == mount["name"]]
    # The operator's name and key: docs/src/certificates.md of CloudNativePG.
    assert volume["secret"]["secretName"] == f"{DATABASE}-ca"
    assert volume["secret"]["items"] == [{"key": "ca.crt", "path": file}]


def test_no_client_of_the_database_is_forgotten() -> None:
    """Whatever has the host or the port of the database in a variable is one of the clients above."""
    graph = graph_of("prod", known=True)
    found = [
        node.name
        for node in graph.resources()
        if f"{DATABASE}-rw" in repr(reveal(node.inputs)) or f"'{PORT}'" in repr(reveal(node.inputs))
    ]
    assert sorted(found) == ["authentik", f"{DATABASE}-backup"]


def test_shared_memory_of_authentik_is_a_volume_that_lasts() -> None:
    tree = values("authentik")["global"]
    [mount] = [mount for mount in tree["volumeMounts"] if mount["mountPath"] == "/dev/shm"]  # noqa: S108
    [volume] = [volume for volume in tree["volumes"] if volume["name"] == mount["name"]]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "512Mi"}


def test_servers_and_workers_of_authentik_run_the_image_of_the_pin() -> None:
    assert values("authentik")["global"]["image"] == {"tag": AUTHENTIK_SERVER.version}


def test_the_image_of_authentik_is_of_the_charts_line() -> None:
    assert AUTHENTIK_SERVER.version.rpartition(".")[0] == AUTHENTIK.version.rpartition(".")[0]
    assert int(AUTHENTIK_SERVER.version.rpartition(".")[2]) >= int(AUTHENTIK.version.rpartition(".")[2])


def test_a_new_leader_of_reloader_restarts_what_changed_and_nothing_else() -> None:
    # Each of the three is wrong without the others; the sources are beside the values.
    reloader = values("reloader")["reloader"]
    assert (reloader["reloadOnCreate"], reloader["syncAfterRestart"], reloader["reloadStrategy"]) == (
        True,
        True,
        "env-vars",
    )


@pytest.mark.parametrize("part", ["controller", "speaker"])
def test_nothing_throttles_what_answers_for_the_clusters_addresses(part: str) -> None:
    """A throttled speaker answered ARP requests 15 seconds late; the source is beside the values."""
    assert set(values("metallb")[part]["resources"]["limits"]) == {"memory"}


def test_vaults_operator_keeps_copies_of_one_namespace_alone() -> None:
    """Its memory grows with what it watches; the source is beside the values."""
    assert values("vault-operator")["watchNamespace"] == VAULT_NAMESPACE


def test_external_dns_keeps_no_copies_of_pods() -> None:
    """It needs none for Services of this one type, and its memory would grow with them."""
    assert values("external-dns")["extraArgs"]["service-type-filter"] == "LoadBalancer"


def test_definitions_outside_templates_come_before_the_release() -> None:
    """Helm never upgrades what is in a chart's directory `crds`: these charts have such a directory."""
    graph = graph_of("prod", known=True)
    for release in ("vault-operator", "powerdns-operator", "sealed-secrets"):
        node = graph[f"{RELEASE} {release}"]
        assert node.inputs["skipCrds"] is True
        assert graph.depends(f"{RELEASE} {release}", f"command:local:Command {release}-definitions")
