"""The lab's helm-player against a real API server: what it does with a HelmRelease, and says about it.

Played here: source-controller, of which the tests make the artifacts and conditions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checks.helm_charts import write_chart
from tests.servers.helm_releases import HELM, SOURCE, Flux, definition, playing
from tests.servers.kubernetes import KubernetesApi
from tests.servers.processes import eventually

NAMESPACES = (f"n{number}" for number in itertools.count())

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data: {{ .Values.data | toJson }}
"""

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec: {containers: [{name: x, image: example.org/x:1}]}
"""


@pytest.fixture(scope="module")
def flux(kubernetes: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flux]:
    with playing(kubernetes, tmp_path_factory.mktemp("player")) as flux:
        yield flux


@pytest.fixture
def namespace(flux: Flux) -> str:
    name = next(NAMESPACES)
    flux.api.namespace(name)
    return name


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    return write_chart(tmp_path, "data: {from: chart}", templates={"map.yaml": CONFIG_MAP})


def following(chart: Path) -> None:
    """Give a chart its next version, without which a changed one is not noticed."""
    file = chart / "Chart.yaml"
    file.write_text(file.read_text().replace("1.2.3", "1.2.4"))


def test_a_release_is_installed_with_the_chart_that_is_made_for_it(flux: Flux, namespace: str, chart: Path) -> None:
    flux.release(namespace, values={"data": {"own": "1"}})
    eventually(
        lambda: (flux.condition(namespace, "Ready") or {}).get("reason") == "SourceNotReady" or None, "chart asked for"
    )
    asked = flux.api.get(SOURCE, "HelmChart", f"{namespace}-demo", namespace)["spec"]
    assert (asked["chart"], asked["version"], asked["sourceRef"]["name"]) == ("demo", "1.2.3", "charts")
    flux.chart(namespace, "demo", chart)
    ready = flux.awaited(namespace, "True")
    assert (ready["reason"], flux.condition(namespace, "Released")["reason"]) == ("InstallSucceeded",) * 2  # type: ignore[index]
    assert flux.data(namespace) == {"from": "chart", "own": "1"}
    status = flux.api.get(HELM, "HelmRelease", "demo", namespace)
    assert status["status"]["observedGeneration"] == status["metadata"]["generation"]
    assert [one["type"] for one in status["status"]["conditions"] if one["type"] == "Reconciling"] == []


def test_what_a_release_brings_is_marked_with_its_origin(flux: Flux, namespace: str, chart: Path) -> None:
    flux.release(namespace)
    flux.chart(namespace, "demo", chart)
    flux.awaited(namespace, "True")
    labels = flux.api.get("v1", "ConfigMap", "demo", namespace)["metadata"]["labels"]
    assert labels["helm.toolkit.fluxcd.io/name"] == "demo"
    assert labels["helm.toolkit.fluxcd.io/namespace"] == namespace


def test_later_values_win_over_earlier_ones_and_those_of_the_release_over_all(
    flux: Flux, namespace: str, chart: Path
) -> None:
    for number, name in enumerate(("first", "second")):
        values = yaml.safe_dump({"data": {"a": name, name: "there", "own": name}})
        flux.api.apply(
            {
                "apiVersion": "v1",
                "kind": ("Secret", "ConfigMap")[number],
                "metadata": {"name": name, "namespace": namespace},
                ("stringData", "data")[number]: {"values.yaml": values},
            }
        )
    flux.api.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "one", "namespace": namespace},
            "stringData": {"password": "a,b=c"},
        }
    )
    references = [
        {"kind": "Secret", "name": "first"},
        {"kind": "ConfigMap", "name": "second"},
        {"kind": "Secret", "name": "absent", "optional": True},
        {"kind": "Secret", "name": "one", "valuesKey": "password", "targetPath": "data.path"},
    ]
    flux.release(namespace, valuesFrom=references, values={"data": {"own": "release"}})
    flux.chart(namespace, "demo", chart)
    flux.awaited(namespace, "True")
    found = flux.data(namespace)
    assert found == {
        "from": "chart",
        "a": "second",
        "first": "there",
        "second": "there",
        "own": "release",
        "path": found["path"],
    }


def test_a_secret_that_is_missing_is_said_to_be(flux: Flux, namespace: str, chart: Path) -> None:
    flux.release(namespace, valuesFrom=[{"kind": "Secret", "name": "absent"}])
    flux.chart(namespace, "demo", chart)
    eventually(
        lambda: (flux.condition(namespace) or {}).get("reason") == "ValuesError" or None, "ValuesError", seconds=30
    )
    assert flux.data(namespace) is None


def test_a_changed_value_is_an_upgrade_and_an_equal_one_is_nothing(flux: Flux, namespace: str, chart: Path) -> None:
    flux.release(namespace, values={"data": {"own": "1"}})
    flux.chart(namespace, "demo", chart)
    flux.awaited(namespace, "True")
    flux.release(namespace, values={"data": {"own": "2"}})
    assert flux.awaited(namespace, "True")["reason"] == "UpgradeSucceeded"
    assert (flux.data(namespace)["own"], flux.revisions(namespace)) == ("2", 2)
    flux.release(namespace, values={"data": {"own": "2"}}, maxHistory=3)
    flux.awaited(namespace, "True")
    assert flux.revisions(namespace) == 2


def test_a_post_renderer_changes_what_the_chart_made(flux: Flux, namespace: str, chart: Path) -> None:
    def patched(value: str) -> list[dict[str, Any]]:
        patch = f'- {{op: add, path: /data/patched, value: "{value}"}}'
        return [{"kustomize": {"patches": [{"target": {"kind": "ConfigMap"}, "patch": patch}]}}]

    flux.release(namespace, postRenderers=patched("1"))
    flux.chart(namespace, "demo", chart)
    flux.awaited(namespace, "True")
    assert flux.data(namespace)["patched"] == "1"
    flux.release(namespace, postRenderers=patched("2"))
    flux.awaited(namespace, "True")
    assert flux.data(namespace)["patched"] == "2"


def test_a_release_waits_for_the_one_that_it_depends_on(flux: Flux, namespace: str, chart: Path) -> None:
    flux.release(namespace, "late", dependsOn=[{"name": "demo"}])
    flux.chart(namespace, "late", chart)
    assert flux.awaited(namespace, "False", name="late")["reason"] == "DependencyNotReady"
    assert flux.data(namespace, "late") is None
    flux.release(namespace)
    flux.chart(namespace, "demo", chart)
    flux.awaited(namespace, "True", name="late")
    assert flux.data(namespace, "late") is not None


def test_a_suspended_release_stays_as_it_is(flux: Flux, namespace: str, chart: Path) -> None:
    flux.release(namespace, values={"data": {"own": "1"}})
    flux.chart(namespace, "demo", chart)
    flux.awaited(namespace, "True")
    flux.release(namespace, values={"data": {"own": "2"}}, suspend=True)
    flux.release(namespace, "other")
    flux.chart(namespace, "other", chart)
    flux.awaited(namespace, "True", name="other")
    assert flux.data(namespace)["own"] == "1"


def test_a_deleted_release_is_uninstalled_with_its_chart(flux: Flux, namespace: str, chart: Path) -> None:
    flux.release(namespace)
    flux.chart(namespace, "demo", chart)
    flux.awaited(namespace, "True")
    flux.api.request("DELETE", f"/apis/{HELM}/namespaces/{namespace}/helmreleases/demo")
    eventually(lambda: flux.api.find(HELM, "HelmRelease", "demo", namespace) is None or None, "end of the release")
    assert flux.data(namespace) is None
    assert flux.api.find(SOURCE, "HelmChart", f"{namespace}-demo", namespace) is None
    assert flux.revisions(namespace) == 0


def test_an_archive_of_another_digest_is_not_installed(flux: Flux, namespace: str, chart: Path) -> None:
    flux.release(namespace)
    flux.chart(namespace, "demo", chart, digest=f"sha256:{'0' * 64}")
    eventually(
        lambda: (flux.condition(namespace) or {}).get("reason") == "ArtifactFailed" or None,
        "ArtifactFailed",
        seconds=30,
    )
    assert flux.data(namespace) is None


def test_a_failed_install_says_why_and_is_not_repeated_without_retries(
    flux: Flux, namespace: str, tmp_path: Path
) -> None:
    broken = write_chart(tmp_path, templates={"map.yaml": '{{ fail "not so" }}'})
    flux.release(namespace)
    flux.chart(namespace, "demo", broken)
    stalled = flux.awaited(namespace, "True", "Stalled")
    assert "not so" in stalled["message"]
    assert flux.condition(namespace, "Released")["reason"] == "InstallFailed"  # type: ignore[index]


def test_a_mended_release_is_tried_again(flux: Flux, namespace: str, chart: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    broken = write_chart(tmp_path / "broken", templates={"map.yaml": '{{ fail "not so" }}'}, version="1.2.2")
    flux.release(namespace)
    flux.chart(namespace, "demo", broken)
    flux.awaited(namespace, "True", "Stalled")
    flux.chart(namespace, "demo", chart)
    flux.awaited(namespace, "True")
    assert flux.condition(namespace, "Stalled") is None


def test_a_workload_that_does_not_come_up_fails_the_install(flux: Flux, namespace: str, tmp_path: Path) -> None:
    never = write_chart(tmp_path, templates={"deployment.yaml": DEPLOYMENT})
    flux.release(namespace, timeout="3s", install={"strategy": {"name": "RetryOnFailure", "retryInterval": "1h"}})
    flux.chart(namespace, "demo", never)
    eventually(
        lambda: (flux.condition(namespace) or {}).get("reason") == "InstallFailed" or None, "InstallFailed", seconds=60
    )
    # It is left for a look at it, and a retry.
    assert flux.api.find("apps/v1", "Deployment", "demo", namespace) is not None


def test_a_failed_upgrade_goes_back_to_what_ran(flux: Flux, namespace: str, chart: Path) -> None:
    remedy: dict[str, Any] = {"upgrade": {"remediation": {"retries": 0, "remediateLastFailure": True}}}
    flux.release(namespace, values={"data": {"own": "1"}}, timeout="3s", **remedy)
    flux.chart(namespace, "demo", chart)
    flux.awaited(namespace, "True")
    (chart / "templates" / "deployment.yaml").write_text(DEPLOYMENT)
    (chart / "values.yaml").write_text("data: {from: newer}")
    following(chart)
    flux.chart(namespace, "demo", chart)
    assert flux.awaited(namespace, "True", "Stalled")["reason"] == "UpgradeFailed"
    assert flux.data(namespace) == {"from": "chart", "own": "1"}


@pytest.mark.parametrize(("policy", "served"), [("Create", ["v1"]), ("CreateReplace", ["v1", "v2"]), ("Skip", ["v1"])])
def test_definitions_are_changed_by_policy_alone(
    flux: Flux, namespace: str, chart: Path, policy: str, served: list[str]
) -> None:
    group = f"{namespace}.example.org"
    first = definition(group, "Thing", "things")
    (chart / "crds").mkdir()
    (chart / "crds" / "things.yaml").write_text(yaml.safe_dump(first))
    flux.release(namespace, upgrade={"crds": policy})
    flux.chart(namespace, "demo", chart)
    flux.awaited(namespace, "True")
    second = {**first["spec"]["versions"][0], "name": "v2", "storage": False}
    first["spec"]["versions"].append(second)
    (chart / "crds" / "things.yaml").write_text(yaml.safe_dump(first))
    (chart / "values.yaml").write_text("data: {from: newer}")
    following(chart)
    flux.chart(namespace, "demo", chart)
    eventually(lambda: flux.data(namespace) == {"from": "newer"} or None, "upgrade", seconds=60)
    found = flux.api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"things.{group}")
    assert [version["name"] for version in found["spec"]["versions"]] == served


def test_a_chart_may_be_named_instead_of_made(flux: Flux, namespace: str, chart: Path) -> None:
    flux.release(namespace, "maker")
    flux.chart(namespace, "maker", chart)
    flux.awaited(namespace, "True", name="maker")
    reference = {"kind": "HelmChart", "name": f"{namespace}-maker"}
    flux.api.apply(
        {
            "apiVersion": HELM,
            "kind": "HelmRelease",
            "metadata": {"name": "demo", "namespace": namespace},
            "spec": {"interval": "1h", "chartRef": reference},
        }
    )
    flux.awaited(namespace, "True")
    assert flux.data(namespace) == {"from": "chart"}
    assert flux.api.find(SOURCE, "HelmChart", f"{namespace}-demo", namespace) is None


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("spec.serviceAccountName", {"serviceAccountName": "x"}),
        ("spec.driftDetection", {"driftDetection": {"mode": "enabled"}}),
        ("spec.test", {"test": {"enable": True}}),
        ("spec.dependsOn[].readyExpr", {"dependsOn": [{"name": "x", "readyExpr": "true"}]}),
    ],
)
def test_what_is_not_played_is_refused_by_name(flux: Flux, namespace: str, field: str, spec: dict[str, Any]) -> None:
    flux.release(namespace, **spec)
    stalled = flux.awaited(namespace, "True", "Stalled")
    assert (stalled["reason"], stalled["message"].split(" ")[0]) == ("NotPlayed", field)
