"""The powerdns chart, as what it renders would behave: who reaches whom, what lasts, when a server counts as ready."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.charts.helm import rendered
from tests.charts.kubelet import expanded
from tests.charts.test_powerdns_chart import BASE, containers, objects, pods, settings

PDNS_USER, MYSQL_USER = 953, 999
"""Accounts in the images of PowerDNS and of MariaDB; files of Secrets belong to root and to a pod's `fsGroup`."""


def container(pod: str) -> dict[str, Any]:
    [found] = pods()[pod]["containers"]
    return dict(found)


def mounts(pod: str) -> dict[str, str]:
    return {mount["name"]: mount["mountPath"] for mount in container(pod)["volumeMounts"]}


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return bool((selector.get("matchLabels") or {}).items() <= labels.items())


@cache
def labels(kind: str, name: str) -> dict[str, str]:
    return dict(objects()[kind, name]["spec"]["template"]["metadata"]["labels"])


def server() -> dict[str, str]:
    return labels("Deployment", "powerdns")


def database() -> dict[str, str]:
    return labels("StatefulSet", "powerdns-database")


def test_an_update_of_the_database_takes_its_own_tables_along() -> None:
    """The image's start does that only where it is told to (docker_mariadb_upgrade in docker-entrypoint.sh)."""
    given = {one["name"]: one.get("value") for one in container("powerdns-database")["env"]}
    assert given.get("MARIADB_AUTO_UPGRADE")


def test_the_service_of_names_and_that_of_the_api_lead_to_servers_and_the_other_to_the_database() -> None:
    for name, wanted, other in (
        ("powerdns", server(), database()),
        ("powerdns-api", server(), database()),
        ("powerdns-database", database(), server()),
    ):
        selector = {"matchLabels": objects()["Service", name]["spec"]["selector"]}
        assert (matches(selector, wanted), matches(selector, other)) == (True, False), name


def reached(service: str) -> set[tuple[int, str, int]]:
    """Port of a Service, its protocol, and the port of the pod that gets it."""
    ports = {
        (one["name"], one["protocol"]): one["containerPort"] for _, c in containers() for one in c.get("ports", [])
    }
    found = set()
    for port in objects()["Service", service]["spec"]["ports"]:
        # A port's name counts only with its protocol: EndpointSlices have none for another.
        found.add((port["port"], port["protocol"], ports[port["targetPort"], port["protocol"]]))
    return found


def test_both_transports_of_names_end_at_the_port_on_which_the_server_listens() -> None:
    listens = int(settings()["local-port"])
    assert reached("powerdns") == {(53, "UDP", listens), (53, "TCP", listens)}
    assert reached("powerdns-api") == {(8081, "TCP", int(settings()["webserver-port"]))}


def test_names_are_answered_to_everybody_over_both_transports() -> None:
    # A transfer and a long answer need TCP.
    open_to_all = [rule for rule in objects()["NetworkPolicy", "powerdns"]["spec"]["ingress"] if "from" not in rule]
    allowed = {(port["port"], port["protocol"]) for rule in open_to_all for port in rule["ports"]}
    assert allowed == {("dns-udp", "UDP"), ("dns-tcp", "TCP")}


def test_the_database_is_called_by_servers_and_calls_nobody() -> None:
    spec = objects()["NetworkPolicy", "powerdns-database"]["spec"]
    assert matches(spec["podSelector"], database())
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert not spec.get("egress")
    [rule] = spec["ingress"]
    [peer] = rule["from"]
    assert matches(peer["podSelector"], server())
    assert not matches(peer["podSelector"], {"app.kubernetes.io/name": "another"})


def test_policies_are_made_unless_somebody_asks_for_none() -> None:
    # The namespace is closed: without them nobody would reach anything in it.
    assert {name for kind, name in objects() if kind == "NetworkPolicy"} == {"powerdns", "powerdns-database"}


@pytest.mark.parametrize(("name", "user"), [("powerdns", PDNS_USER), ("powerdns-database", MYSQL_USER)])
def test_a_pod_runs_as_the_account_of_its_image_and_reads_what_its_group_may(name: str, user: int) -> None:
    security = pods()[name]["securityContext"]
    assert (security["runAsUser"], security["fsGroup"]) == (user, user)
    modes = [
        source["defaultMode"]
        for volume in pods()[name]["volumes"]
        for source in (volume.get("secret") or {}, volume.get("projected") or {})
        if "defaultMode" in source
    ]
    assert modes
    assert [oct(mode) for mode in modes if not mode & 0o040 or mode & 0o007] == []


def test_the_servers_read_the_password_of_their_database_where_it_is_mounted() -> None:
    assert settings()["include-dir"] == mounts("powerdns")["secret"]


def test_the_database_keeps_its_data_on_its_volume() -> None:
    # The image's directory of data: https://hub.docker.com/_/mariadb
    assert mounts("powerdns-database")["data"] == "/var/lib/mysql"
    [claim] = objects()["StatefulSet", "powerdns-database"]["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"


def test_an_empty_database_gets_the_tables_of_the_servers_own_release() -> None:
    # The image executes what is there when it makes a new database, and only then.
    assert mounts("powerdns-database")["schema"] == "/docker-entrypoint-initdb.d"
    [init] = pods()["powerdns-database"]["initContainers"]
    assert init["image"] == container("powerdns")["image"]
    [target] = [mount["mountPath"] for mount in init["volumeMounts"]]
    assert init["command"][-1].startswith(f"{target}/")


def configuration_of_the_database() -> dict[str, str]:
    text = objects()["ConfigMap", "powerdns-database"]["data"]["server.cnf"]
    lines = [line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#")]
    return {key.strip(): value.strip() for key, value in lines}


def test_a_rotated_password_becomes_valid_with_the_next_start_of_the_database() -> None:
    executed = Path(configuration_of_the_database()["init-file"])
    assert str(executed.parent) == mounts("powerdns-database")["accounts"]
    [volume] = [v["secret"] for v in pods()["powerdns-database"]["volumes"] if v["name"] == "accounts"]
    assert executed.name in {item["path"] for item in volume["items"]}


def test_a_record_that_was_confirmed_is_on_the_disk() -> None:
    # Anything but 1 may lose the last second with the node's power.
    assert configuration_of_the_database()["innodb-flush-log-at-trx-commit"] == "1"


def test_root_of_the_database_comes_from_inside_its_pod_alone() -> None:
    environment = {one["name"]: one["value"] for one in container("powerdns-database")["env"]}
    assert environment["MARIADB_ROOT_HOST"] == "localhost"


def test_a_database_may_finish_what_it_writes() -> None:
    assert pods()["powerdns-database"]["terminationGracePeriodSeconds"] >= 60


def test_a_primary_gives_its_zones_away_and_tells_who_is_to_fetch_them() -> None:
    told = settings()
    assert (told["primary"], told["secondary"], told["disable-axfr"]) == ("yes", "no", "no")
    assert told["allow-axfr-ips"] == ",".join(BASE["transfer"]["allow"])
    # Empty, not absent: the default is every address, and then whatever a zone names is told.
    assert told["only-notify"] == ""


def test_one_server_answers_what_another_has_just_written() -> None:
    told = settings()
    # The caches that another server's change does not empty; and the pause after which a change is announced.
    assert (told["query-cache-ttl"], told["zone-cache-refresh-interval"]) == ("0", "0")
    assert int(told["xfr-cycle-interval"]) <= 5


def test_the_api_is_reached_from_other_pods() -> None:
    assert settings()["webserver-address"] == "0.0.0.0"  # noqa: S104 - a comparison


@pytest.fixture
def sdig(tmp_path: Path) -> Path:
    """A directory with an `sdig` that says what is in the file `answer` beside it."""
    program = tmp_path / "sdig"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    program.chmod(0o700)
    return tmp_path


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        ("Reply to question for qname='x', qtype=SOA\nRcode: 5 (Refused), RD: 0, QR: 1", True),
        ("Reply to question for qname='x', qtype=SOA\nRcode: 0 (No Error), RD: 0, QR: 1", True),
        ("Reply to question for qname='x', qtype=SOA\nRcode: 2 (Server Failure), RD: 0, QR: 1", False),
        ("", False),
    ],
    ids=["no such zone", "an answer", "no database", "nobody there"],
)
def test_a_server_is_ready_when_it_reaches_its_database(sdig: Path, answer: str, ready: bool) -> None:
    (sdig / "answer").write_text(f"{answer}\n")
    command = expanded(container("powerdns")["readinessProbe"]["exec"]["command"])
    done = subprocess.run(command, env={"PATH": f"{sdig}:/usr/bin:/bin"}, check=False, capture_output=True)
    assert (done.returncode == 0) is ready


@pytest.mark.parametrize("name", ["powerdns", "powerdns-database"])
def test_a_busy_container_is_not_taken_for_a_dead_one(name: str) -> None:
    probe = container(name)["livenessProbe"]
    # The least time of silence after which the kubelet starts it anew.
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 30
    assert probe["timeoutSeconds"] >= 5


@pytest.mark.parametrize("name", ["powerdns", "powerdns-database"])
def test_a_container_has_minutes_to_start_in(name: str) -> None:
    """A database that replays its log after a crash would be killed in it again and again, and servers wait for it."""
    probe = container(name)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 300


def test_of_two_servers_one_stays_through_an_update_and_through_a_drain() -> None:
    two = {item["kind"]: item for item in rendered("powerdns", BASE | {"replicas": 2}) if item["kind"] != "Service"}
    assert two["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 1
    budget = two["PodDisruptionBudget"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert matches(budget["selector"], server())


def test_the_test_of_the_chart_asks_over_both_transports() -> None:
    asked = {c["name"]: " ".join(c.get("args", [])) for c in pods()["powerdns-answers"]["containers"]}
    assert ("tcp" in asked["udp"].split(), "tcp" in asked["tcp"].replace("|", " ").split()) == (False, True)
