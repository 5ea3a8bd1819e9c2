"""What the parts of the platform may do, and what they must not, on the recorded graph of stack prod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from checks.graph import Graph, Node, Secret, reveal
from checks.program import recorded
from tests.charts.kubelet import pods
from tests.graph.test_conventions import graph_of

RELEASE = "kubernetes:helm.sh/v3:Release"
NAMESPACE = "kubernetes:core/v1:Namespace"
LEVEL = "pod-security.kubernetes.io/enforce"

PRIVILEGED = {
    "metallb-system": "its speakers send raw packets in the network of their node",
    "csi-proxmox": "its node plugin mounts volumes for pods",
    "node-exporter": "it sees the processes, network and file systems of its node",
}
"""Namespaces whose pods could not run at level restricted, and why."""

AS_ROOT = {"inventree": "its image installs the program for root alone"}
"""Namespaces with pods that run as root, of level baseline, and why."""

CSI = {"Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.Audit", "VM.Audit", "VM.Config.Disk"}
"""https://github.com/sergelogvinov/proxmox-csi-plugin/blob/v0.19.1/docs/install.md"""


HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILcE6pd2y9jB0CmYG6Cvb3kQvGTh0fS0wqT3sM1tqM1k"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of("prod", known=True)


def values(graph: Graph, release: str) -> Any:
    return reveal(graph[f"{RELEASE} {release}"].inputs["values"])


def own_pods(graph: Graph) -> Iterator[tuple[Node, Mapping[str, Any]]]:
    """Pods whose spec is the program's, rather than a chart's or an operator's."""
    for node in graph.resources():
        if node.type in ("kubernetes:batch/v1:Job", "kubernetes:batch/v1:CronJob"):
            yield from ((node, pod) for pod in pods(reveal(node.inputs)))


def test_a_namespace_is_enforced_to_be_restricted_unless_its_pods_could_not_run(graph: Graph) -> None:
    labels = {node.inputs["metadata"]["name"]: node.inputs["metadata"]["labels"] for node in graph.of_type(NAMESPACE)}
    assert len(labels) > 10
    levels = {name: given[LEVEL] for name, given in labels.items() if given[LEVEL] != "restricted"}
    assert levels == dict.fromkeys(PRIVILEGED, "privileged") | dict.fromkeys(AS_ROOT, "baseline")


def test_a_pod_of_the_program_is_let_into_a_restricted_namespace(graph: Graph) -> None:
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    found = list(own_pods(graph))
    assert found
    for node, pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True, node
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, node
        for container in pod["containers"]:
            own = container["securityContext"]
            assert (own["allowPrivilegeEscalation"], own["capabilities"]) == (False, {"drop": ["ALL"]}), node


def test_a_pod_of_the_program_cannot_change_its_own_image_and_has_no_token(graph: Graph) -> None:
    for node, pod in own_pods(graph):
        assert pod["automountServiceAccountToken"] is False, node
        assert [
            c["name"] for c in pod["containers"] if c["securityContext"]["readOnlyRootFilesystem"] is not True
        ] == []


def test_a_file_that_only_its_group_may_read_belongs_to_the_pods_group(graph: Graph) -> None:
    # A projected volume belongs to root; what its group may not read, a program without root cannot.
    checked = 0
    for node, pod in own_pods(graph):
        for volume in pod.get("volumes", []):
            if (mode := (volume.get("projected") or {}).get("defaultMode")) is not None:
                assert int(mode) & 0o040, node
                assert pod["securityContext"].get("fsGroup"), node
                checked += 1
    assert checked


def test_what_writes_to_a_volume_owns_it(graph: Graph) -> None:
    writers = [(node, pod) for node, pod in own_pods(graph) if "persistentVolumeClaim" in str(pod)]
    assert writers
    assert [node.name for node, pod in writers if not pod["securityContext"].get("fsGroup")] == []


def test_the_storage_driver_may_do_in_proxmox_what_it_does_and_no_more(graph: Graph) -> None:
    [role] = graph.of_type("proxmoxve:index/roleLegacy:RoleLegacy")
    assert set(role.inputs["privileges"]) == CSI


def test_the_storage_drivers_token_has_the_rights_of_its_user_on_all_below_their_paths(graph: Graph) -> None:
    [token] = graph.of_type("proxmoxve:user/token:Token")
    assert token.inputs["privilegesSeparation"] is False
    grants = graph.of_type("proxmoxve:index/acl:Acl")
    # A pool's path has no rights of its own: it is its VMs that the driver changes.
    assert [grant.inputs["propagate"] for grant in grants] == [True, True]
    assert [path for grant in grants if (path := grant.inputs["path"]).count("/") < 2] == []


def test_the_sites_token_is_on_control_planes_alone(graph: Graph) -> None:
    driver = values(graph, "proxmox-csi")
    control_plane = "node-role.kubernetes.io/control-plane"
    assert driver["nodeSelector"] == {control_plane: ""}
    assert {"key": control_plane, "operator": "Exists", "effect": "NoSchedule"} in driver["tolerations"]


def test_nobody_writes_nginx_configuration_through_an_ingress(graph: Graph) -> None:
    # A snippet reads every certificate's key from the controller's memory and files.
    controller = values(graph, "nginx-ingress")["controller"]
    assert controller["enableSnippets"] is False
    assert controller["readOnlyRootFilesystem"] is True


def test_no_connection_from_outside_uses_broken_encryption(graph: Graph) -> None:
    entries = values(graph, "nginx-ingress")["controller"]["config"]["entries"]
    # RFC 8996 forbids what came before 1.2.
    assert set(entries["ssl-protocols"].split()) == {"TLSv1.2", "TLSv1.3"}
    suites = entries["ssl-ciphers"].split(":")
    assert [suite for suite in suites if not suite.startswith(("ECDHE+", "!"))] == []
    assert "!aNULL" in suites


def test_a_browser_that_was_here_once_never_comes_back_without_encryption(graph: Graph) -> None:
    entries = values(graph, "nginx-ingress")["controller"]["config"]["entries"]
    assert entries["hsts"] == "True"
    assert int(entries["hsts-max-age"]) >= 31_536_000


def test_authentik_has_no_account_in_kubernetes(graph: Graph) -> None:
    # It would make outposts with it: Deployments and Secrets.
    authentik = values(graph, "authentik")
    assert authentik["serviceAccount"] == {"create": False}
    for part in ("server", "worker"):
        assert authentik[part]["automountServiceAccountToken"] is False
        assert authentik[part]["containerSecurityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


def test_no_account_of_the_cluster_may_ask_for_a_sealed_value_to_be_checked(graph: Graph) -> None:
    assert values(graph, "sealed-secrets")["rbac"]["serviceProxier"] == {"create": False}


def test_external_secrets_brings_no_controller_that_reads_every_secret(graph: Graph) -> None:
    webhook = values(graph, "external-secrets")["webhook"]
    # Without cert-manager the chart runs one of its own, with rights on all Secrets.
    assert webhook["certManager"]["enabled"] is True
    assert values(graph, "external-secrets")["rbac"]["serviceAccountTokenCreate"] is False


def test_reflector_changes_what_it_copied_and_has_no_right_of_the_chart(graph: Graph) -> None:
    rules = graph["kubernetes:rbac.authorization.k8s.io/v1:ClusterRole reflector"].inputs["rules"]
    granted = {resource: set(rule["verbs"]) for rule in rules for resource in rule["resources"]}
    # A copy is patched when its original changes: https://github.com/emberstack/kubernetes-reflector
    assert granted["secrets"] == {"get", "list", "watch", "create", "patch", "delete"}
    assert values(graph, "reflector")["rbac"] == {"enabled": False}


def test_only_what_is_named_is_restarted(graph: Graph) -> None:
    reloader = values(graph, "reloader")["reloader"]
    # Everything else of the cluster has Secrets too, such as certificates that are renewed.
    assert (reloader["watchGlobally"], reloader["autoReloadAll"]) == (True, False)


def test_external_dns_sees_ingresses_and_touches_none(graph: Graph) -> None:
    given = values(graph, "external-dns")["rbac"]["additionalPermissions"]
    [rule] = [rule for rule in given if "ingresses" in rule["resources"]]
    assert set(rule["verbs"]) == {"get", "list", "watch"}
    # What it is told to read, by the group that it is told to read it of.
    resource, _, group = values(graph, "external-dns")["extraArgs"]["unstructured-resource"].split(".", 2)
    assert (resource in rule["resources"], rule["apiGroups"]) == (True, [group])


def test_cert_manager_elects_its_leader_where_it_is_and_may_do_nothing_beside_the_control_plane(graph: Graph) -> None:
    release = graph["kubernetes:helm.sh/v3:Release cert-manager"]
    election = values(graph, "cert-manager")["global"]["leaderElection"]
    assert election["namespace"] == reveal(release.inputs["namespace"]) != "kube-system"


def test_no_part_of_the_platform_accepts_any_certificate(graph: Graph) -> None:
    """Of Proxmox, of the database, of Vault: each has its authority, or the machine's."""
    told = [str(reveal(node.inputs)) for node in graph.resources()]
    assert [text[:80] for text in told if '"insecure": true' in text or "'insecure': True" in text] == []


def test_the_driver_verifies_proxmox(graph: Graph) -> None:
    assert '"insecure": false' in str(reveal(graph["proxmox-csi-config"].inputs["stringData"]))


def test_the_key_of_the_public_host_is_secret_and_the_host_is_known_by_its_own() -> None:
    def trusted(settings: dict[str, Any]) -> None:
        settings["edge"]["ssh"] = {"hostKey": HOST_KEY}

    for node in recorded("prod", change=trusted).of_type("command:remote:Command"):
        connection = node.inputs["connection"]
        # Without it the first server that answers at the address gets the keys of the tailnet and of transfers.
        assert reveal(connection)["hostKey"] == HOST_KEY
        assert isinstance(reveal_one(connection, "privateKey"), Secret)


def reveal_one(connection: Any, key: str) -> Any:
    """A member of a mapping that may be secret as a whole."""
    return connection if isinstance(connection, Secret) else connection[key]


def test_a_new_public_host_gets_everything_anew(graph: Graph) -> None:
    made = graph.of_type("command:remote:Command")
    assert made
    # A changed connection alone changes nothing: https://www.pulumi.com/registry/packages/command/api-docs/remote/command
    for node in made:
        assert reveal(node.inputs["triggers"]) == [reveal(node.inputs["connection"])["host"]]


def test_vaults_pods_meet_the_level_of_their_namespace(graph: Graph) -> None:
    spec = graph["kubernetes:vault.banzaicloud.com/v1alpha1:Vault vault-instance"].inputs["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    contained = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    parts = [spec["vaultContainerSpec"], *spec["vaultPodSpec"]["containers"], *spec["vaultPodSpec"]["initContainers"]]
    assert [part["name"] for part in parts if part["securityContext"] != contained] == []


def test_the_operator_of_vault_cannot_change_its_own_image(graph: Graph) -> None:
    assert values(graph, "vault-operator")["securityContext"]["readOnlyRootFilesystem"] is True
