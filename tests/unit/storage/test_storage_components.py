"""What the components of the storage layer refuse, and what each makes when it stands alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_kubernetes as kubernetes
import pytest

from checks.graph import Graph, Node, Secret, record, reveal
from components.kit.chart import ChartSource
from components.proxmox.api import ProxmoxLogin
from components.storage import longhorn_node
from components.storage.csi_volume_names import VolumeNames
from components.storage.csi_volumes import CsiVolumes, CsiVolumesArgs
from components.storage.csi_volumes_command import Plan
from components.storage.longhorn import Longhorn, LonghornArgs
from components.storage.proxmox_csi import ProxmoxCsi, ProxmoxCsiArgs
from components.storage.storage_class import StorageClass, StorageClassArgs
from components.storage.volume_snapshots import VolumeSnapshots, VolumeSnapshotsArgs

CHARTS = ChartSource()
TOKEN = {"token_id": "lab-csi@pve!api", "token_secret": "planted-secret"}
RELEASE = "kubernetes:helm.sh/v3:Release"


def alone(make: Any) -> Graph:
    """The graph of one component with providers of its own."""

    def program() -> None:
        providers = [kubernetes.Provider("kubernetes", kubeconfig="{}"), command.Provider("command")]
        make(pulumi.ResourceOptions(providers=providers))

    return record(program)


def hidden(values: Mapping[str, str]) -> dict[str, pulumi.Input[str]]:
    return {key: pulumi.Output.secret(value) for key, value in values.items()}


def csi(*, credentials: Mapping[str, str] = TOKEN, **changes: Any) -> Graph:
    def make(opts: pulumi.ResourceOptions) -> None:
        known: dict[str, Any] = {
            "charts": CHARTS,
            "endpoint": "https://10.0.0.2:8006/",
            "insecure": False,
            "credentials": hidden(credentials),
            "region": "atlas",
            "volumes": VolumeNames("lab"),
            "replicas": 2,
        }
        ProxmoxCsi("csi", ProxmoxCsiArgs(**known | changes), opts)

    return alone(make)


def config(graph: Graph) -> dict[str, Any]:
    [secret] = graph.of_type("kubernetes:core/v1:Secret")
    read: dict[str, Any] = json.loads(reveal(secret.inputs["stringData"])["config.yaml"])
    return read


def release(graph: Graph) -> Node:
    [found] = graph.of_type(RELEASE)
    return found


def test_the_drivers_configuration_has_the_types_that_it_reads() -> None:
    assert config(csi()) == {
        "features": {"provider": "default", "controllerVmID": 9999},
        "clusters": [{"url": "https://10.0.0.2:8006/api2/json", "insecure": False, **TOKEN, "region": "atlas"}],
    }


def test_the_drivers_configuration_is_a_secret() -> None:
    [secret] = csi().of_type("kubernetes:core/v1:Secret")
    assert isinstance(secret.inputs["stringData"], Secret)


def test_the_driver_takes_its_configuration_from_our_secret() -> None:
    graph = csi()
    [secret] = graph.of_type("kubernetes:core/v1:Secret")
    values = release(graph).inputs["values"]
    assert (values["existingConfigSecret"], values["existingConfigSecretKey"]) == (
        secret.inputs["metadata"]["name"],
        "config.yaml",
    )


def test_another_token_restarts_the_controller() -> None:
    def checksum(graph: Graph) -> Any:
        return reveal(release(graph).inputs["values"]["controller"]["podAnnotations"])

    assert checksum(csi()) == checksum(csi())
    assert checksum(csi()) != checksum(csi(credentials=TOKEN | {"token_secret": "another"}))


def test_another_authority_restarts_the_controller() -> None:
    def checksum(graph: Graph) -> Any:
        return reveal(release(graph).inputs["values"]["controller"]["podAnnotations"])

    assert checksum(csi(ca="one")) != checksum(csi(ca="another"))


def test_the_authority_of_the_site_is_where_the_driver_looks_for_authorities() -> None:
    graph = csi(ca="a certificate")
    [authority] = graph.of_type("kubernetes:core/v1:ConfigMap")
    values = release(graph).inputs["values"]
    assert authority.inputs["data"] == {"ca.pem": "a certificate"}
    assert values["extraVolumes"] == [
        {"name": "authority", "configMap": {"name": authority.inputs["metadata"]["name"]}}
    ]
    assert values["extraVolumeMounts"] == [{"name": "authority", "mountPath": "/etc/pki/tls/certs", "readOnly": True}]


def test_without_an_authority_of_the_site_the_driver_has_only_the_public_ones() -> None:
    graph = csi()
    assert graph.of_type("kubernetes:core/v1:ConfigMap") == []
    assert "extraVolumes" not in release(graph).inputs["values"]


def test_every_volume_is_called_after_its_cluster() -> None:
    args = release(csi()).inputs["values"]["controller"]["provisioner"]["args"]
    assert args == ["--default-fstype=ext4", "--volume-name-prefix=pvc-lab"]


def test_every_snapshot_is_called_after_its_cluster() -> None:
    snapshotter = release(csi(snapshots=True)).inputs["values"]["controller"]["snapshotter"]
    assert snapshotter == {"enabled": True, "args": ["--snapshot-name-prefix=snapshot-lab"]}


def test_without_snapshots_no_sidecar_runs_for_them() -> None:
    assert "snapshotter" not in release(csi()).inputs["values"]["controller"]


def test_volumes_can_be_attached_to_every_node() -> None:
    values = release(csi()).inputs["values"]
    assert values["node"] == {"tolerations": [{"operator": "Exists"}]}


def test_the_secret_can_be_sealed_as_it_is() -> None:
    graph = csi()
    sealed = graph["homelab:storage:ProxmoxCsi csi"].outputs["bootstrap_secret"]
    assert isinstance(sealed, Secret)
    assert {key: value for key, value in reveal(sealed).items() if key != "data"} == {
        "namespace": "csi-proxmox",
        "name": "proxmox-csi-config",
        "type": "Opaque",
    }
    assert json.loads(reveal(sealed)["data"]["config.yaml"]) == config(graph)


@pytest.mark.parametrize("given", [{}, {"token_id": "x"}, {**TOKEN, "password": "x"}])
def test_credentials_that_the_driver_would_refuse_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="give token_id and token_secret or password and username"):
        csi(credentials=given)


def volume_class(**changes: Any) -> Node:
    def make(opts: pulumi.ResourceOptions) -> None:
        driver = pulumi.ComponentResource("homelab:test:Driver", "driver")
        known: dict[str, Any] = {
            "provisioner": "csi.example.org",
            "parameters": {"storage": "local-zfs"},
            "default": False,
            "reclaim": "Retain",
            "after": driver,
        }
        StorageClass("fast", StorageClassArgs(**known | changes), opts)

    [found] = alone(make).of_type("kubernetes:storage.k8s.io/v1:StorageClass")
    return found


def test_a_class_that_is_not_the_default_has_no_annotations() -> None:
    assert volume_class().inputs["metadata"] == {"name": "fast"}


def test_the_default_class_is_annotated_as_such() -> None:
    annotations = volume_class(default=True).inputs["metadata"]["annotations"]
    assert annotations == {"storageclass.kubernetes.io/is-default-class": "true"}


def test_a_parameter_that_is_not_text_is_refused() -> None:
    with pytest.raises(ValueError, match="parameters: ssd is not text, and Kubernetes takes nothing else; quote it"):
        volume_class(parameters={"ssd": True})


def test_the_class_of_snapshots_waits_for_its_kind() -> None:
    graph = alone(
        lambda opts: VolumeSnapshots(
            "snaps", VolumeSnapshotsArgs(charts=CHARTS, class_name="proxmox", driver="d"), opts
        )
    )
    kind = "kubernetes:snapshot.storage.k8s.io/v1:VolumeSnapshotClass snaps-class"
    assert graph.depends(kind, f"{RELEASE} snaps")
    assert (graph[kind].inputs["driver"], graph[kind].inputs["deletionPolicy"]) == ("d", "Delete")


def longhorn(**changes: Any) -> LonghornArgs:
    known: dict[str, Any] = {"charts": CHARTS, "workers": 2, "cores": 8, "disk": "/dev/disk/by-id/x"}
    return LonghornArgs(**known | changes)


def test_longhorn_reserves_the_cores_that_it_polls_on() -> None:
    settings = release(alone(lambda opts: Longhorn("longhorn", longhorn(), opts))).inputs["values"]["defaultSettings"]
    assert json.loads(settings["dataEngineCPUMask"]) == {"v2": "0x3"}
    assert json.loads(settings["guaranteedInstanceManagerCPU"]) == {"v1": "12", "v2": "27"}


def test_longhorn_runs_the_v2_engine_alone_on_the_raw_disk() -> None:
    settings = release(alone(lambda opts: Longhorn("longhorn", longhorn(), opts))).inputs["values"]["defaultSettings"]
    assert (settings["v1DataEngine"], settings["v2DataEngine"]) == (False, True)
    assert settings["defaultDataPath"] == "/dev/disk/by-id/x"


@pytest.mark.parametrize(("workers", "replicas"), [(1, "1"), (2, "2"), (5, "3")])
def test_longhorn_keeps_no_more_copies_than_there_are_workers(workers: int, replicas: str) -> None:
    graph = alone(lambda opts: Longhorn("longhorn", longhorn(workers=workers), opts))
    [found] = graph.of_type("kubernetes:storage.k8s.io/v1:StorageClass")
    assert (found.inputs["parameters"]["numberOfReplicas"], found.inputs["parameters"]["dataEngine"]) == (
        replicas,
        "v2",
    )


def test_longhorns_chart_makes_no_class_of_its_own() -> None:
    # It would be a second default one, and delete its volumes.
    values = release(alone(lambda opts: Longhorn("longhorn", longhorn(), opts))).inputs["values"]
    assert values["persistence"] == {"createStorageClass": False}


def test_longhorns_class_is_not_the_default() -> None:
    [found] = alone(lambda opts: Longhorn("longhorn", longhorn(), opts)).of_type(
        "kubernetes:storage.k8s.io/v1:StorageClass"
    )
    assert found.inputs["metadata"] == {"name": "longhorn-v2"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workers": 0}, "workers: 0; Longhorn keeps volumes on workers"),
        (
            {"cores": 4},
            "cores: Longhorn's engine takes 2 of a worker's 4, and may have no more than 40 %; give each worker 6",
        ),
        ({"disk": "/var/lib/longhorn"}, "is not a block device, and the V2 engine uses nothing else"),
    ],
)
def test_a_longhorn_that_cannot_work_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        longhorn(**wrong)


def volumes(*, on_destroy: str = "retain", password: str | None = None, token: str | None = None) -> Node:
    def make(opts: pulumi.ResourceOptions) -> None:
        login = ProxmoxLogin(
            endpoint="https://10.0.0.2:8006/",
            insecure=False,
            username="root@pam",
            password=pulumi.Output.secret(password) if password else None,
            api_token=pulumi.Output.secret(token) if token else None,
        )
        plan = Plan(
            endpoint=login.endpoint,
            insecure=False,
            username="root@pam",
            cluster="lab",
            tag="homelab-lab",
            hosts=["pve1"],
            datastore="local-zfs",
        )
        CsiVolumes("volumes", CsiVolumesArgs(on_destroy=on_destroy, plan=plan, login=login), opts)  # type: ignore[arg-type]

    [found] = alone(make).of_type("command:local:Command")
    return found


@pytest.mark.parametrize("given", [{"password": "planted-password"}, {"token": "planted-token"}])
def test_credentials_of_the_command_are_secret_and_in_no_command_line(given: dict[str, str]) -> None:
    made = volumes(**given)
    [value] = [value for value in made.inputs["environment"].values() if isinstance(value, Secret)]
    assert reveal(value) in given.values()
    assert not any("planted" in str(made.inputs[key]) for key in ("create", "update", "delete"))


def test_what_a_destroy_does_is_what_the_settings_say() -> None:
    assert volumes(on_destroy="purge", token="t").inputs["delete"].endswith(" purge")
    assert volumes(on_destroy="retain", token="t").inputs["delete"].endswith(" retain")


def test_a_changed_setting_does_not_record_again_what_was_there_before() -> None:
    assert volumes(token="t").inputs["update"] == "printf '%s\\n' \"$PULUMI_COMMAND_STDOUT\""


def test_a_replaced_command_begins_with_the_deletion_that_running_vms_refuse() -> None:
    assert volumes(token="t").option("deleteBeforeReplace") is True


def test_a_deletion_of_many_volumes_is_not_cut_short() -> None:
    # Proxmox removes one after the other, each in some seconds, and snapshots of it before.
    minutes = volumes(token="t").option("customTimeouts").delete
    assert int(minutes.removesuffix("m")) >= 20


def test_a_login_without_credentials_is_refused() -> None:
    with pytest.raises(ValueError, match="login: give a password or an API token"):
        volumes()


def test_a_worker_reserves_the_memory_that_the_settings_allow_for() -> None:
    # A page is 2 MiB on x86-64; what is reserved is lost to pods.
    assert int(longhorn_node.SYSCTLS["vm.nr_hugepages"]) * 2 == longhorn_node.HUGE_PAGES
