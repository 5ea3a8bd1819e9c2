"""What the operator and a Vault are made of, each standing alone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from checks.graph import Graph
from components.kit.versions import BANK_VAULTS, VAULT
from lab import programs
from tests.unit.vault.examples import configuration, made

RESOURCE = "kubernetes:vault.banzaicloud.com/v1alpha1:Vault vault-instance"
CERTIFICATE = "kubernetes:cert-manager.io/v1:Certificate vault-certificate"
RELEASE = "kubernetes:helm.sh/v3:Release operator"


def spec(**changes: Any) -> Any:
    return made(**changes)[RESOURCE].inputs["spec"]


def level(graph: Graph, name: str) -> str:
    return str(graph[name].inputs["metadata"]["labels"]["pod-security.kubernetes.io/enforce"])


def test_each_server_has_a_node_of_its_own() -> None:
    terms = spec()["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [(term["topologyKey"], term["labelSelector"]["matchLabels"]) for term in terms] == [
        ("kubernetes.io/hostname", {"app.kubernetes.io/name": "vault", "vault_cr": "instance"})
    ]


def test_servers_may_run_on_control_planes() -> None:
    """Two workers cannot hold three servers apart."""
    taint = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}
    assert taint in spec()["tolerations"]


def test_a_drain_takes_one_server_at_a_time() -> None:
    budget = made()["vault-budget"].inputs["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"] == {"app.kubernetes.io/name": "vault", "vault_cr": "instance"}


def test_a_sealed_server_does_not_hold_up_a_drain() -> None:
    assert made()["vault-budget"].inputs["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_each_server_has_a_volume_of_the_given_class() -> None:
    (claim,) = spec()["volumeClaimTemplates"]
    assert (claim["spec"]["storageClassName"], claim["spec"]["resources"]) == (
        "proxmox",
        {"requests": {"storage": "10Gi"}},
    )
    assert spec()["volumeMounts"] == [{"name": claim["metadata"]["name"], "mountPath": "/vault/file"}]
    assert spec()["config"]["storage"]["raft"]["path"] == "/vault/file"


def test_memory_is_not_locked() -> None:
    assert spec()["config"]["disable_mlock"] is True


def test_a_server_starts_without_the_rights_that_its_image_would_like() -> None:
    """Its entry point changes owners and sets a file capability, which nobody may who is not root, and ends."""
    assert spec()["securityContext"]["runAsNonRoot"] is True
    assert spec()["skipEntrypointSetup"] is True


def test_a_server_labels_itself_as_the_one_that_leads() -> None:
    """The operator's Service of clients selects that label: without it nobody reaches Vault."""
    assert spec()["serviceRegistrationEnabled"] is True


def test_each_server_is_called_by_its_own_service() -> None:
    config = spec()["config"]
    assert (config["api_addr"], config["cluster_addr"]) == (
        "https://${.Env.POD_NAME}.vault.svc:8200",
        "https://${.Env.POD_NAME}.vault.svc:8201",
    )


@pytest.mark.parametrize(
    "caller",
    ["instance.vault.svc", "instance.vault", "instance", "instance-0.vault.svc", "instance-2.vault.svc", "instance-2"],
)
def test_the_certificate_is_for_every_name_by_which_servers_are_called(caller: str) -> None:
    assert caller in made()[CERTIFICATE].inputs["spec"]["dnsNames"]


def test_the_certificate_is_for_the_unsealer_beside_the_server() -> None:
    certificate = made()[CERTIFICATE].inputs["spec"]
    assert certificate["ipAddresses"] == ["127.0.0.1"]


def test_servers_restart_when_their_certificate_is_renewed() -> None:
    certificate = made()[CERTIFICATE].inputs["spec"]
    assert spec()["watchedSecretsLabels"] == [certificate["secretTemplate"]["labels"]]
    assert spec()["existingTlsSecretName"] == certificate["secretName"]


def test_the_configurer_restarts_for_the_secrets_that_it_mounts() -> None:
    assert spec()["vaultConfigurerAnnotations"] == {"secret.reloader.stakater.com/auto": "true"}


def test_an_up_waits_until_a_server_leads() -> None:
    annotations = made()[RESOURCE].inputs["metadata"]["annotations"]
    assert annotations["pulumi.com/waitFor"] == "condition=Healthy"


def test_a_change_prevails_over_what_the_operator_wrote_back() -> None:
    annotations = made()[RESOURCE].inputs["metadata"]["annotations"]
    assert annotations["pulumi.com/patchForce"] == "true"


@pytest.mark.parametrize("first", [RELEASE, CERTIFICATE, "vault-auth-delegator", "vault-budget", "ready"])
def test_a_vault_is_made_after_what_it_needs(first: str) -> None:
    assert made().depends(RESOURCE, first, transitive=True)


def test_the_pods_account_reads_no_secret_but_that_of_the_unseal_keys() -> None:
    rules = made()["vault-role"].inputs["rules"]
    readable = [rule.get("resourceNames") for rule in rules if {"get", "list", "watch", "*"} & set(rule["verbs"])]
    assert readable == [["instance-unseal-keys"], ["instance-0", "instance-1", "instance-2"]]
    assert spec()["unsealConfig"]["kubernetes"] == {
        "secretNamespace": "vault",
        "secretName": "instance-unseal-keys",
    }


def test_only_the_pods_account_asks_about_tokens() -> None:
    binding = made()["vault-auth-delegator"].inputs
    assert binding["roleRef"]["name"] == "system:auth-delegator"
    assert [(subject["namespace"], subject["name"]) for subject in binding["subjects"]] == [("vault", "vault")]
    assert spec()["serviceAccount"] == "vault"


def test_the_operator_has_no_right_outside_its_two_namespaces() -> None:
    operator = made()
    assert [node.name for node in operator.of_type("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole")] == []
    assert operator[RELEASE].inputs["values"]["serviceAccount"] == {"create": False, "name": "vault-operator"}
    assert operator["operator-account"].inputs["metadata"]["name"] == "vault-operator"


def test_the_operator_watches_the_namespace_in_which_it_has_rights() -> None:
    watched = made()[RELEASE].inputs["values"]["watchNamespace"]
    assert watched == made()["operator-vaults-role"].inputs["metadata"]["namespace"]


def test_the_operator_starts_with_its_rights() -> None:
    for right in ("operator-own-binding", "operator-vaults-binding", "operator-capabilities-binding"):
        assert made().depends(RELEASE, right)


def test_the_operator_starts_once_its_kind_is_there() -> None:
    # It ends when the API server does not know what a Vault is, and Helm waits for it in vain.
    assert made().depends(RELEASE, "command:local:Command operator-definitions")


def test_vaults_pods_are_restricted_where_the_api_server_can_correct_them() -> None:
    assert level(made(), "operator-vaults") == "restricted"


def test_without_correction_the_added_capabilities_need_a_privileged_namespace() -> None:
    graph = made(admission_policies=False)
    assert level(graph, "operator-vaults") == "privileged"
    assert graph.of_type("kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicy") == []


def test_the_operators_own_pods_are_restricted_in_any_case() -> None:
    assert level(made(admission_policies=False), "operator-namespace") == "restricted"


def test_the_configuration_in_the_resource_is_the_typed_one() -> None:
    assert spec()["externalConfig"] == configuration().document()


@pytest.mark.parametrize("key", ["image", "bankVaultsImage"])
def test_an_image_is_of_a_named_registry_and_of_one_release(key: str) -> None:
    # Without a host containerd would ask Docker Hub for a name that anybody may take; a floating tag would change
    # servers at their next restart.
    repository, _, tag = spec()[key].rpartition(":")
    assert "." in repository.partition("/")[0]
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)


def version_in_tests(program: str) -> str:
    return programs.TOOLS[program].binary.version()


def test_the_vault_that_runs_is_of_the_minor_version_that_is_tested() -> None:
    assert VAULT.version.split(".")[:2] == version_in_tests("vault").split(".")[:2]


def test_the_configurer_that_runs_is_the_one_that_is_tested() -> None:
    assert BANK_VAULTS.version == f"v{version_in_tests('bank-vaults')}"


def test_an_even_number_of_servers_is_refused() -> None:
    with pytest.raises(ValueError, match="size: 2 servers; raft decides by majority"):
        made(size=2)


def test_one_server_has_one_pod() -> None:
    assert made(size=1)["vault-role"].inputs["rules"][2]["resourceNames"] == ["instance-0"]
