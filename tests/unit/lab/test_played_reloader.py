"""The lab's Reloader restarts the workloads that the real one would, and no others."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from components.kit.references import SecretReference
from components.secrets.reloader import restart_on, restart_on_mounted
from lab.operators.reloader import OPERATOR, RULES, variable
from lab.operators.world import World, outcomes

NAMESPACE = "identity"
NAMED = restart_on(SecretReference(namespace=NAMESPACE, name="keys", key="a", ready=None))  # type: ignore[arg-type]
OF_A_AND_B = "f83e99e324ba68ccc373a58ef1eb42f8ab88646a"
"""What `printf 'a=1;b=2' | sha1sum` says."""


def operator(**variables: str) -> dict[str, Any]:
    pod = {
        "containers": [
            {"name": "reloader", "image": "x", "env": [{"name": k, "value": v} for k, v in variables.items()]}
        ]
    }
    metadata = {"name": OPERATOR, "namespace": "reloader"}
    spec = {"template": {"spec": pod}}
    return {"kind": "Deployment", "metadata": metadata, "spec": spec, "status": {"availableReplicas": 1}}


def secret(name: str = "keys", namespace: str = NAMESPACE, **data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": encoded}


def workload(annotations: dict[str, str], *containers: dict[str, Any], **pod: Any) -> dict[str, Any]:
    made = [{"name": f"c{number}", **each} for number, each in enumerate(containers or ({},))]
    metadata = {"name": "server", "namespace": NAMESPACE, "annotations": annotations}
    return {"kind": "StatefulSet", "metadata": metadata, "spec": {"template": {"spec": {"containers": made, **pod}}}}


def restarted(*came: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The variables that the workload's containers get, by container, when these objects came in this order."""
    world = World()
    for item in came:
        world.put(item)
    found = [outcome for _, _, outcome in outcomes(RULES, world)]
    if not found:
        return {}
    [outcome] = found
    containers = outcome.spec["template"]["spec"]["containers"]
    return {
        each["name"]: {one["name"]: one.get("value", "") for one in each["env"]} for each in containers if "env" in each
    }


def test_a_changed_secret_restarts_who_names_it() -> None:
    changed = [secret(a="0"), workload(NAMED), secret(b="2", a="1")]
    assert restarted(operator(), *changed) == {"c0": {"STAKATER_KEYS_SECRET": OF_A_AND_B}}


def test_a_secret_that_comes_later_restarts_who_names_it() -> None:
    assert restarted(operator(), workload(NAMED), secret(a="1", b="2"))


def test_a_workload_is_not_restarted_for_what_it_was_installed_with() -> None:
    assert restarted(operator(), secret(a="1"), workload(NAMED)) == {}


def test_a_secret_that_is_written_again_as_it_was_restarts_nobody() -> None:
    again = secret(a="1") | {"metadata": {**secret()["metadata"], "labels": {"seen": "twice"}}}
    assert restarted(operator(), secret(a="1"), workload(NAMED), again) == {}


def test_nobody_is_restarted_twice_for_one_change() -> None:
    had = {"env": [{"name": "STAKATER_KEYS_SECRET", "value": OF_A_AND_B}]}
    assert restarted(operator(), workload(NAMED, had), secret(a="1", b="2")) == {}


def test_the_next_change_takes_the_place_of_the_one_before() -> None:
    had = {"env": [{"name": "STAKATER_KEYS_SECRET", "value": "old"}, {"name": "OTHER", "value": "x"}]}
    wanted = {"STAKATER_KEYS_SECRET": OF_A_AND_B, "OTHER": "x"}
    assert restarted(operator(), workload(NAMED, had), secret(a="1", b="2")) == {"c0": wanted}


@pytest.mark.parametrize(
    "changed",
    [secret("other", a="1"), secret("keys", "elsewhere", a="1"), secret("keys-2", a="1")],
    ids=["another", "of-another-namespace", "whose-name-is-longer"],
)
def test_other_secrets_restart_nobody(changed: dict[str, Any]) -> None:
    assert restarted(operator(), workload(NAMED), changed) == {}


def test_a_workload_that_asks_for_nothing_is_never_restarted() -> None:
    mounts = {"envFrom": [{"secretRef": {"name": "keys"}}]}
    assert restarted(operator(), workload({}, mounts), secret(a="1")) == {}


def test_without_a_replica_of_reloader_nobody_is_restarted() -> None:
    away = operator() | {"status": {}}
    assert restarted(away, workload(NAMED), secret(a="1")) == {}


@pytest.mark.parametrize("given", [{"WATCH_GLOBALLY": "false"}, {"KUBERNETES_NAMESPACE": ""}], ids=["lab", "chart"])
def test_one_that_watches_its_own_namespace_sees_no_other(given: dict[str, str]) -> None:
    assert restarted(operator(**given), workload(NAMED), secret(a="1")) == {}


VOLUME = {"volumes": [{"name": "v", "secret": {"secretName": "keys"}}]}
PROJECTED = {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "keys"}}]}}]}
MOUNT = {"volumeMounts": [{"name": "v"}]}


@pytest.mark.parametrize(
    ("reading", "pod"),
    [
        (MOUNT, VOLUME),
        (MOUNT, PROJECTED),
        ({"envFrom": [{"secretRef": {"name": "keys"}}]}, {}),
        ({"env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}]}, {}),
    ],
    ids=["volume", "projected", "all-keys", "one-key"],
)
def test_the_container_that_reads_the_secret_gets_the_variable(reading: dict[str, Any], pod: dict[str, Any]) -> None:
    found = restarted(operator(), workload(restart_on_mounted(), {}, reading, **pod), secret(a="1"))
    assert [name for name, given in found.items() if variable("keys") in given] == ["c1"]


def test_what_an_init_container_reads_restarts_the_pod() -> None:
    pod = {**VOLUME, "initContainers": [{"name": "init", **MOUNT}]}
    assert list(restarted(operator(), workload(restart_on_mounted(), **pod), secret(a="1"))) == ["c0"]


def test_who_asks_for_what_is_mounted_is_not_restarted_for_the_rest() -> None:
    assert restarted(operator(), workload(restart_on_mounted()), secret(a="1")) == {}
