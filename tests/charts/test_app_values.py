"""Values of the app chart that are taken by their word: a zero is a number, and a transport is said or TCP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.charts.test_app_chart import NAME, objects


@pytest.mark.parametrize("said", [0, 3])
@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("backoffLimit", ("jobTemplate", "spec", "backoffLimit")),
        ("successfulJobsHistory", ("successfulJobsHistoryLimit",)),
        ("failedJobsHistory", ("failedJobsHistoryLimit",)),
    ],
)
def test_a_number_of_a_cron_job_is_taken_by_its_word_and_none_is_one_too(
    value: str, path: tuple[str, ...], said: int
) -> None:
    found: Any = objects({f"controllers/nightly/cronjob/{value}": said})["CronJob", "notes-nightly"]["spec"]
    for key in path:
        found = found[key]
    assert found == said


def test_no_pod_runs_where_no_replica_is_wanted() -> None:
    assert objects({"controllers/main/replicas": 0})["Deployment", NAME]["spec"]["replicas"] == 0


def test_a_port_of_a_service_has_the_transport_that_it_is_given_and_tcp_otherwise() -> None:
    both = {"sync": {"port": 22000}, "quic": {"port": 22000, "protocol": "UDP"}}
    found = objects({"service/sync/ports": both})["Service", "notes-sync"]["spec"]["ports"]
    assert {one["name"]: one["protocol"] for one in found} == {"sync": "TCP", "quic": "UDP"}


def test_a_port_of_a_service_leads_to_the_one_at_which_its_pods_listen() -> None:
    ports = {"http": {"port": 80, "targetPort": 8080}, "metrics": {"port": 9090}}
    found = objects({"service/main/ports": ports})["Service", NAME]["spec"]["ports"]
    assert {one["name"]: one["targetPort"] for one in found} == {"http": 8080, "metrics": 9090}
