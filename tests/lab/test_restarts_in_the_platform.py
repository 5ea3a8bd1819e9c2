"""Reloader in the lab: when a Secret changes, who names it restarts, and the next `up` has nothing to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from components.secrets.reloader import restart_on
from lab.operators.reloader import digest, variable
from tests.lab.live import LiveLab
from tests.lab.pods_cluster import until

[ASKS] = restart_on()
"""The annotation that names Secrets."""

Item = dict[str, Any]


def items(lab: LiveLab, *asked: str) -> list[Item]:
    return list(json.loads(lab.run("kubectl", "get", *asked, "--output=json").stdout)["items"])


def workloads(lab: LiveLab) -> dict[str, Item]:
    """By kind, namespace and name."""
    found = items(lab, "deployments,statefulsets,daemonsets", "--all-namespaces")
    return {f"{one['kind']} {one['metadata']['namespace']}/{one['metadata']['name']}": one for one in found}


def asked(workload: Item) -> list[str]:
    """The Secrets for which a workload restarts."""
    annotations: dict[str, str] = workload["metadata"].get("annotations") or {}
    return annotations.get(ASKS, "").split(",")


def told(workload: Item, name: str) -> set[str]:
    """What its containers were told of the Secret when they were started."""
    containers = workload["spec"]["template"]["spec"]["containers"]
    variables = [one for each in containers for one in each.get("env") or []]
    return {one["value"] for one in variables if one["name"] == variable(name)}


def with_key(lab: LiveLab, namespace: str, name: str, value: str | None) -> None:
    """Give a Secret one key more, or take it away."""
    patch = json.dumps({"data": {"one-key-more": value}})
    done = lab.run("kubectl", "patch", "secret", name, "--namespace", namespace, "--type=merge", f"--patch={patch}")
    assert done.returncode == 0, done.stdout


@pytest.fixture
def changed(lab: LiveLab) -> Iterator[tuple[dict[str, Item], Item]]:
    """The workloads as they were, and a Secret that some of them name, changed."""
    before = workloads(lab)
    namespace, name = min((one["metadata"]["namespace"], asked(one)[0]) for one in before.values() if asked(one)[0])
    with_key(lab, namespace, name, "eA==")
    [secret] = items(lab, "secrets", "--namespace", namespace, f"--field-selector=metadata.name={name}")
    yield before, secret
    with_key(lab, namespace, name, None)


def test_a_changed_secret_restarts_who_names_it_and_nobody_else(
    lab: LiveLab, changed: tuple[dict[str, Item], Item]
) -> None:
    before, secret = changed
    namespace, name = secret["metadata"]["namespace"], secret["metadata"]["name"]
    naming = {
        place for place, one in before.items() if one["metadata"]["namespace"] == namespace and name in asked(one)
    }

    def restarted() -> bool:
        now = workloads(lab)
        return all(told(now[place], name) == {digest(secret)} for place in naming)

    until("restarts", restarted, lab.operators)
    now = workloads(lab)
    others = before.keys() - naming
    assert {place: now[place]["spec"] for place in others} == {place: before[place]["spec"] for place in others}
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout
