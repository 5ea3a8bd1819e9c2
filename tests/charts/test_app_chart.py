"""The app chart: what it renders, and which values it refuses."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.charts.helm import CHARTS, HelmError, rendered, run
from tests.charts.kubelet import pods

NAME = "notes"

CONTAINER: dict[str, Any] = {
    "image": {"repository": "ghcr.io/example/notes", "tag": "1.2.3", "digest": f"sha256:{'0' * 64}"},
    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
}

BASE: dict[str, Any] = {
    "controllers": {
        "main": {
            "annotations": {"secret.reloader.stakater.com/reload": "notes"},
            "initContainers": {"migrate": CONTAINER},
            "containers": {
                "notes": {
                    **CONTAINER,
                    "env": {"WORKERS": 2, "DEBUG": False, "KEY": {"valueFrom": {"secretKeyRef": {"name": "notes"}}}},
                    "probes": {
                        "liveness": {"enabled": True, "type": "HTTP", "path": "/healthz", "port": 8080},
                        "readiness": {"enabled": True, "type": "TCP", "port": 8080, "spec": {"periodSeconds": 5}},
                        "startup": {"enabled": True, "custom": True, "spec": {"exec": {"command": ["ready"]}}},
                    },
                }
            },
        },
        "nightly": {"type": "cronjob", "cronjob": {"schedule": "0 3 * * *"}, "containers": {"job": CONTAINER}},
        "cache": {"type": "statefulset", "containers": {"cache": CONTAINER}},
    },
    "service": {
        "main": {"controller": "main", "ports": {"http": {"port": 80, "targetPort": 8080}}},
        "sync": {"controller": "main", "type": "LoadBalancer", "ports": {"sync": {"port": 22000, "protocol": "UDP"}}},
    },
    "persistence": {
        "data": {
            "type": "persistentVolumeClaim",
            "accessMode": "ReadWriteOnce",
            "size": "5Gi",
            "backup": True,
            "advancedMounts": {"main": {"notes": [{"path": "/data"}]}},
        },
        "config": {
            "type": "configMap",
            "identifier": "config",
            "globalMounts": [{"path": "/etc/notes", "readOnly": True}],
        },
        "tmp": {"type": "emptyDir", "sizeLimit": "16Mi", "globalMounts": [{"path": "/tmp"}]},  # noqa: S108
    },
    "configMaps": {"config": {"data": {"notes.yaml": "x: 1"}}},
    "serviceMonitor": {"main": {"service": "main", "endpoints": [{"port": "http", "path": "/metrics"}]}},
}


def values(change: dict[str, Any]) -> dict[str, Any]:
    """The base values with `change` at its paths; `None` takes a value away."""
    result = copy.deepcopy(BASE)
    for path, value in change.items():
        *way, key = path.split("/")
        place = result
        for part in way:
            place = place.setdefault(part, {})
        if value is None:
            del place[key]
        else:
            place[key] = value
    return result


def objects(change: dict[str, Any] | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    return {(item["kind"], item["metadata"]["name"]): item for item in rendered("app", values(change or {}), name=NAME)}


@cache
def base() -> dict[tuple[str, str], dict[str, Any]]:
    return objects()


IMAGE = "controllers/main/containers/notes/image"
ONCE = "persistence/data"

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"ingress": {}}, "additional properties 'ingress' not allowed"),
    "an unknown key of a container": (
        {"controllers/main/containers/notes/privileged": True},
        "additional properties 'privileged' not allowed",
    ),
    "no workload": ({"controllers": {}}, "/controllers"),
    "an empty tag": ({f"{IMAGE}/tag": ""}, "/image/tag"),
    "no digest": ({f"{IMAGE}/digest": None}, "missing property 'digest'"),
    "the tag latest": ({f"{IMAGE}/tag": "latest"}, "/image/tag"),
    "the tag stable": ({f"{IMAGE}/tag": "stable"}, "/image/tag"),
    "a tag that YAML read as a number": ({f"{IMAGE}/tag": 1.2}, "/image/tag"),
    "a digest of another kind": ({f"{IMAGE}/digest": "sha1:abc"}, "/image/digest"),
    "no requests": ({"controllers/main/containers/notes/resources": {}}, "/resources"),
    "root": ({"defaultPodOptions/securityContext/runAsUser": 0}, "/runAsUser"),
    "a probe of no kind": (
        {"controllers/main/containers/notes/probes": {"liveness": {"enabled": True}}},
        "missing properties",
    ),
    "a CronJob without a schedule": ({"controllers/nightly/cronjob": None}, "missing property 'cronjob'"),
    "a schedule of no CronJob": ({"controllers/main/cronjob": {"schedule": "@daily"}}, "/controllers/main"),
    "a CronJob that runs beside itself": (
        {"controllers/nightly/cronjob": {"schedule": "@daily", "concurrencyPolicy": "Allow"}},
        "/concurrencyPolicy",
    ),
    "a claim that says nothing of backups": ({f"{ONCE}/backup": None}, "/persistence/data"),
    "a claim without a unit": ({f"{ONCE}/size": "5"}, "/persistence/data"),
    "a path of the node": ({f"{ONCE}/type": "hostPath"}, "/persistence/data"),
    "an unbounded empty directory": ({"persistence/tmp/sizeLimit": None}, "/persistence/tmp"),
    "a port's name that a pod may not have": (
        {"service/main/ports": {"a-name-of-seventeen": {"port": 80}}},
        "a-name-of-seventeen",
    ),
    "a node's port": ({"service/main/type": "NodePort"}, "/service/main/type"),
    "a Service of no controller": ({"service/main/controller": "web"}, "there is no controllers.web"),
    "a monitor of no Service": ({"serviceMonitor/main/service": "web"}, "there is no service.web"),
    "a volume that nothing mounts": ({"persistence/tmp/globalMounts": None}, "persistence.tmp: nothing mounts it"),
    "a mount in no container": (
        {f"{ONCE}/advancedMounts": {"main": {"web": [{"path": "/data"}]}}},
        "persistence.data.advancedMounts.main.web: there is no such container",
    ),
    "a file of no ConfigMap": ({"persistence/config/identifier": "other"}, "there is no configMaps.other"),
    "two pods of one volume": ({"controllers/main/replicas": 2}, "controllers.main.replicas: 2"),
    "two controllers of one volume": (
        {f"{ONCE}/advancedMounts/cache": {"cache": [{"path": "/data"}]}},
        "the controllers cache and main mount it",
    ),
    "one name for two ports": (
        {"service/other": {"controller": "main", "ports": {"http": {"port": 81}}}},
        "two ports of controller main are called http",
    ),
}


def test_an_image_without_a_tag_that_stays_is_named_by_its_digest() -> None:
    digest = "sha256:" + 64 * "a"
    made = rendered("app", values({f"{IMAGE}/tag": None, f"{IMAGE}/digest": digest}), name=NAME)
    [workload] = [item for item in made if (item["kind"], item["metadata"]["name"]) == ("Deployment", NAME)]
    [image] = [one["image"] for one in workload["spec"]["template"]["spec"]["containers"] if one["name"] == "notes"]
    assert image.endswith(f"@{digest}")
    assert ":" not in image.partition("@")[0].rpartition("/")[2]


def test_a_program_for_root_alone_is_root_without_a_capability_beside_others_that_are_not() -> None:
    made = rendered(
        "app", values({"controllers/main/containers/notes/securityContext": {"runAsRoot": True}}), name=NAME
    )
    [workload] = [item for item in made if (item["kind"], item["metadata"]["name"]) == ("Deployment", NAME)]
    pod = workload["spec"]["template"]["spec"]
    [own] = [one["securityContext"] for one in pod["containers"] if one["name"] == "notes"]
    assert (own["runAsNonRoot"], own["runAsUser"], own["runAsGroup"]) == (False, 0, 0)
    assert (own["allowPrivilegeEscalation"], own["capabilities"]) == (False, {"drop": ["ALL"]})
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"] > 0) == (True, True)


@pytest.mark.parametrize("case", REFUSED)
def test_a_value_that_cannot_work_is_refused_by_its_place(case: str) -> None:
    change, place = REFUSED[case]
    with pytest.raises(HelmError) as refusal:
        rendered("app", values(change), name=NAME)
    assert place in str(refusal.value)


def test_helm_finds_no_fault_in_the_chart(tmp_path: Path) -> None:
    file = tmp_path / "values.json"
    file.write_text(json.dumps(BASE))
    run("lint", str(CHARTS / "app"), "--strict", "--values", str(file))


def specs() -> list[tuple[str, dict[str, Any]]]:
    return [(name, dict(pod)) for (_, name), item in base().items() for pod in pods(item)]


def test_every_workload_has_its_pod() -> None:
    assert sorted(name for name, _ in specs()) == ["notes", "notes-cache", "notes-nightly"]


@pytest.mark.parametrize("number", range(3))
def test_a_pod_is_of_the_level_restricted(number: int) -> None:
    _, pod = specs()[number]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & pod.keys()
    assert {key for volume in pod["volumes"] for key in volume} <= {
        "name",
        "persistentVolumeClaim",
        "configMap",
        "emptyDir",
        "secret",
    }


def test_a_pod_runs_as_who_it_is_told_and_its_volumes_are_of_the_group_that_it_is_told() -> None:
    ids = {"runAsUser": 1001, "runAsGroup": 1002, "fsGroup": 1003}
    change = {f"defaultPodOptions/securityContext/{key}": value for key, value in ids.items()}
    deployments = [each for (kind, _), each in objects(change).items() if kind == "Deployment"]
    assert deployments
    for each in deployments:
        context = each["spec"]["template"]["spec"]["securityContext"]
        assert {key: context[key] for key in ids} == ids


def test_a_container_has_no_privilege_and_writes_nothing_to_its_root_file_system() -> None:
    found = [
        container["securityContext"]
        for _, pod in specs()
        for container in [*pod.get("initContainers", []), *pod["containers"]]
    ]
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert found == [wanted] * 4


def test_the_one_capability_that_restricted_allows_is_given_when_asked_for() -> None:
    change = {"controllers/main/containers/notes/securityContext": {"bindLowPorts": True}}
    [pod] = pods(objects(change)["Deployment", NAME])
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}


def test_no_pod_is_told_of_the_api_or_of_services() -> None:
    assert {(pod["automountServiceAccountToken"], pod["enableServiceLinks"]) for _, pod in specs()} == {(False, False)}


def test_a_pod_that_is_not_roots_reads_its_secret() -> None:
    """The files are root's and of the pod's `fsGroup`, which must be able to read them, and nobody else."""
    secret = {"type": "secret", "name": "token", "globalMounts": [{"path": "/token", "readOnly": True}]}
    made = rendered("app", {**BASE, "persistence": {**BASE["persistence"], "token": secret}}, NAME)
    modes = {
        volume["secret"]["defaultMode"]
        for one in made
        if one["kind"] in ("Deployment", "StatefulSet")
        for volume in one["spec"]["template"]["spec"].get("volumes", [])
        if "secret" in volume
    }
    assert modes == {0o440}


def test_an_image_is_named_by_tag_and_digest() -> None:
    images = {container["image"] for _, pod in specs() for container in pod["containers"]}
    assert images == {f"ghcr.io/example/notes:1.2.3@sha256:{'0' * 64}"}


def test_a_deployment_with_a_volume_of_one_node_is_recreated() -> None:
    assert base()["Deployment", NAME]["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("mode", ["ReadWriteOnce", "ReadWriteOncePod"])
def test_an_existing_claim_of_one_node_counts_as_well(mode: str) -> None:
    claim = {**BASE["persistence"]["data"], "existingClaim": "old", "accessMode": mode}
    change = {ONCE: {key: value for key, value in claim.items() if key not in ("size", "backup")}}
    assert objects(change)["Deployment", NAME]["spec"]["strategy"] == {"type": "Recreate"}


def test_a_deployment_without_one_is_replaced_before_it_goes() -> None:
    change = {f"{ONCE}/accessMode": "ReadWriteMany"}
    strategy = objects(change)["Deployment", NAME]["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_a_claim_that_is_to_be_backed_up_says_so_and_outlives_the_release() -> None:
    about = base()["PersistentVolumeClaim", "notes-data"]["metadata"]
    assert about["labels"]["homelab/backup"] == "true"
    assert about["annotations"]["helm.sh/resource-policy"] == "keep"


def test_a_claim_that_can_be_made_again_goes_with_the_release() -> None:
    about = objects({f"{ONCE}/backup": False})["PersistentVolumeClaim", "notes-data"]["metadata"]
    assert about["labels"]["homelab/backup"] == "false"
    # Helm keeps what has `keep` there, and takes any other value for none.
    assert about["annotations"]["helm.sh/resource-policy"] != "keep"


def test_nobody_reaches_a_pod_unless_it_is_said() -> None:
    spec = base()["NetworkPolicy", NAME]["spec"]
    assert (spec["policyTypes"], spec["ingress"]) == (["Ingress"], [])
    for _, item in base().items():
        for template in [item["spec"].get("template")] if item["kind"] in ("Deployment", "StatefulSet") else []:
            assert spec["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_a_service_with_an_address_of_its_own_is_open_to_everybody() -> None:
    spec = base()["NetworkPolicy", "notes-sync-public"]["spec"]
    assert spec["ingress"] == [{"ports": [{"port": 22000, "protocol": "UDP"}]}]


def test_pods_may_be_kept_from_calling_anybody() -> None:
    spec = objects({"networkPolicy": {"egress": []}})["NetworkPolicy", NAME]["spec"]
    assert (spec["policyTypes"], spec["egress"]) == (["Ingress", "Egress"], [])


def test_each_service_port_has_the_name_that_a_policy_gives_it() -> None:
    [pod] = pods(base()["Deployment", NAME])
    assert {(port["name"], port["containerPort"]) for port in pod["containers"][0]["ports"]} == {
        ("http", 8080),
        ("sync", 22000),
    }


def test_each_service_leads_to_the_pods_of_its_controller() -> None:
    labels = base()["Deployment", NAME]["spec"]["template"]["metadata"]["labels"]
    selectors = [item["spec"]["selector"] for (kind, _), item in base().items() if kind == "Service"]
    assert len(selectors) == 2
    assert [selector for selector in selectors if not selector.items() <= labels.items()] == []
    other = base()["StatefulSet", "notes-cache"]["spec"]["template"]["metadata"]["labels"]
    assert [selector for selector in selectors if selector.items() <= other.items()] == []


def test_a_monitor_finds_its_service_and_no_other() -> None:
    wanted = base()["ServiceMonitor", NAME]["spec"]["selector"]["matchLabels"].items()
    services = [name for (kind, name), item in base().items() if kind == "Service"]
    found = [name for name in services if wanted <= base()["Service", name]["metadata"]["labels"].items()]
    assert found == [NAME]


def test_variables_are_text_whatever_yaml_made_of_them() -> None:
    [pod] = pods(base()["Deployment", NAME])
    assert {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]} == {
        "WORKERS": "2",
        "DEBUG": "false",
        "KEY": None,
    }


def test_each_form_of_a_probe_is_rendered() -> None:
    [pod] = pods(base()["Deployment", NAME])
    container = pod["containers"][0]
    assert container["livenessProbe"] == {"httpGet": {"path": "/healthz", "port": 8080}}
    assert container["readinessProbe"] == {"tcpSocket": {"port": 8080}, "periodSeconds": 5}
    assert container["startupProbe"] == {"exec": {"command": ["ready"]}}


def test_a_changed_file_restarts_the_pods() -> None:
    def checksum(change: dict[str, Any]) -> str:
        template = objects(change)["Deployment", NAME]["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/configuration"])

    assert checksum({}) != checksum({"configMaps/config/data": {"notes.yaml": "x: 2"}})


def test_a_new_version_of_the_chart_alone_restarts_nothing() -> None:
    labels = base()["Deployment", NAME]["spec"]["template"]["metadata"]["labels"]
    assert "helm.sh/chart" not in labels


def test_every_volume_mount_has_its_volume() -> None:
    for name, pod in specs():
        mounts = {
            mount["name"]
            for container in [*pod.get("initContainers", []), *pod["containers"]]
            for mount in container.get("volumeMounts", [])
        }
        assert mounts == {volume["name"] for volume in pod["volumes"]}, name


def test_a_cron_job_is_never_beside_itself() -> None:
    spec = base()["CronJob", "notes-nightly"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    [pod] = pods(spec)
    assert pod["restartPolicy"] == "Never"


def test_a_cron_job_runs_unless_somebody_says_otherwise_and_is_started_late_rather_than_never() -> None:
    spec = base()["CronJob", "notes-nightly"]["spec"]
    assert spec["suspend"] is False
    # Its controller looks every ten seconds, and is away itself while a control plane restarts.
    assert spec["startingDeadlineSeconds"] >= 300
    assert objects({"controllers/nightly/cronjob/suspend": True})["CronJob", "notes-nightly"]["spec"]["suspend"] is True


def test_the_chart_generates_no_secret() -> None:
    assert "Secret" not in {kind for kind, _ in base()}
