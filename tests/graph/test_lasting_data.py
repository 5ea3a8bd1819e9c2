"""What must outlive a restart, a rotation or a destroy, on the recorded graph of stack prod."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from checks.graph import Graph, reveal
from checks.program import recorded
from stacks.application_secrets import SECRETS
from tests.graph.test_conventions import graph_of

RELEASE = "kubernetes:helm.sh/v3:Release"
EXTERNAL = "kubernetes:external-secrets.io/v1:ExternalSecret"
CERTIFICATE = "kubernetes:cert-manager.io/v1:Certificate"
ISSUERS = "kubernetes:cert-manager.io/v1"
STORE = "kubernetes:external-secrets.io/v1:ClusterSecretStore"
VM = "proxmoxve:index/vmLegacy:VmLegacy"
VAULT = "kubernetes:vault.banzaicloud.com/v1alpha1:Vault vault-instance"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of("prod", known=True)


def values(graph: Graph, release: str) -> Any:
    return reveal(graph[f"{RELEASE} {release}"].inputs["values"])


def duration(text: str) -> timedelta:
    """Go's form of a duration."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    assert found, text
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


SALTED = {row.spec.name for row in SECRETS.values() if row.spec.salted}


def test_no_secret_is_read_once_and_never_again(graph: Graph) -> None:
    # `CreatedOnce` would keep a rotated value from its consumer for ever; a long interval keeps it for as long.
    read = [node for node in graph.of_type(EXTERNAL) if node.name != "missing"]
    assert len(read) > 5
    for node in read:
        spec = node.inputs["spec"]
        assert spec["refreshPolicy"] == ("OnChange" if node.name in SALTED else "Periodic"), node
        assert timedelta() < duration(spec["refreshInterval"]) <= timedelta(hours=1), node


def test_each_secret_that_is_read_from_vault_is_made(graph: Graph) -> None:
    # With `Merge` the operator waits for a Secret that somebody else makes, and with `None` it makes none:
    # https://external-secrets.io/latest/guides/ownership-deletion-policy/
    read = graph.of_type(EXTERNAL)
    assert {node.inputs["spec"]["target"]["creationPolicy"] for node in read} == {"Owner"}


def test_a_salted_hash_is_made_anew_at_a_rotation_and_at_no_other_time(graph: Graph) -> None:
    # Read periodically it would be another text each hour, and restart whoever uses it.
    assert {"harbor-registry-login"} == SALTED
    rotated = recorded("prod", change=lambda raw: raw.update(rotation={"harbor-registry-login": 2}))
    before, after = (one[f"{EXTERNAL} harbor-registry-login"].inputs["spec"]["data"] for one in (graph, rotated))
    assert before != after


def test_the_copy_of_an_authority_is_read_again_too() -> None:
    # Stack lab has it: there the cluster's own authority signs what people see.
    lab = graph_of("lab", known=True)
    policies = {node.inputs["spec"]["refreshPolicy"] for node in lab.of_type(EXTERNAL) if node.name not in SALTED}
    assert policies == {"Periodic"}
    for node in lab.of_type(EXTERNAL):
        assert timedelta() < duration(node.inputs["spec"]["refreshInterval"]) <= timedelta(hours=1), node


def test_the_store_speaks_the_version_of_the_engine_that_is_configured(graph: Graph) -> None:
    vault = graph[VAULT].inputs["spec"]["externalConfig"]
    [engine] = vault["secrets"]
    [store] = graph.of_type(STORE)
    provider = store.inputs["spec"]["provider"]["vault"]
    assert provider["version"] == f"v{engine['options']['version']}" == "v2"
    assert provider["path"] == engine["path"]


def test_nobody_overwrites_a_value_without_having_seen_it(graph: Graph) -> None:
    [engine] = graph[VAULT].inputs["spec"]["externalConfig"]["secrets"]
    [store] = graph.of_type(STORE)
    [settings] = engine["configuration"]["config"]
    # The engine refuses every write without a version, so the store has to send one: both, or neither.
    assert settings["cas_required"] is store.inputs["spec"]["provider"]["vault"]["checkAndSet"]["required"] is True


def test_the_store_trusts_the_authority_of_vaults_certificate_and_not_the_certificate(graph: Graph) -> None:
    [store] = graph.of_type(STORE)
    trusted = store.inputs["spec"]["provider"]["vault"]["caProvider"]
    certificate = graph[f"{CERTIFICATE} vault-certificate"].inputs
    # cert-manager writes tls.crt, tls.key and ca.crt; only the last one stays when the certificate is renewed.
    assert trusted == {
        "type": "Secret",
        "namespace": certificate["metadata"]["namespace"],
        "name": certificate["spec"]["secretName"],
        "key": "ca.crt",
    }


def test_a_login_to_vault_asks_for_a_role_that_takes_it(graph: Graph) -> None:
    [store] = graph.of_type(STORE)
    asked = store.inputs["spec"]["provider"]["vault"]["auth"]["kubernetes"]
    [method] = graph[VAULT].inputs["spec"]["externalConfig"]["auth"]
    [role] = [role for role in method["roles"] if role["name"] == asked["role"]]
    account = asked["serviceAccountRef"]
    assert method["path"] == asked["mountPath"]
    assert account["name"] in role["bound_service_account_names"]
    assert account["audiences"] == [role["audience"]]
    assert set(store.inputs["spec"]["conditions"][0]["namespaces"]) <= set(role["bound_service_account_namespaces"])


def test_who_sees_which_secrets_exist_reads_none_and_nobody_extends_their_own_rights(graph: Graph) -> None:
    policies = {one["name"]: one["rules"] for one in graph[VAULT].inputs["spec"]["externalConfig"]["policies"]}
    assert "/data/" not in policies["people-reader"]
    for rules in policies.values():
        for path, listed in re.findall(r'path "([^"]+)" \{\s*capabilities = \[([^\]]*)\]', rules):
            if path.startswith(("sys/", "auth/", "identity/")):
                assert set(re.findall(r'"(\w+)"', listed)) <= {"read", "list"}, path


def test_external_secrets_writes_its_mark_and_a_value_and_deletes_neither(graph: Graph) -> None:
    policies = {one["name"]: one["rules"] for one in graph[VAULT].inputs["spec"]["externalConfig"]["policies"]}
    granted = dict(re.findall(r'path "kv/(\w+)/[^"]+" \{\s*capabilities = \[([^\]]*)\]', policies["external-secrets"]))
    assert granted == dict.fromkeys(("data", "metadata"), '"create", "read", "update"')


def test_a_secret_of_vault_is_found_below_the_namespace_that_may_read_it(graph: Graph) -> None:
    for node in graph.of_type(EXTERNAL):
        for entry in node.inputs["spec"]["data"]:
            assert entry["remoteRef"]["key"].startswith(f"{node.inputs['metadata']['namespace']}/"), node


def test_vault_is_opened_by_no_single_share_of_its_key(graph: Graph) -> None:
    options = graph[VAULT].inputs["spec"]["unsealConfig"]["options"]
    assert 1 < options["secretThreshold"] <= options["secretShares"]


def test_every_request_to_vault_is_written_to_where_logs_are_kept(graph: Graph) -> None:
    # A pod's standard output; anything else would be a file in the pod, or nothing.
    [device] = graph[VAULT].inputs["spec"]["externalConfig"]["audit"]
    assert device["options"] == {"file_path": "stdout"}


def test_vault_finds_authentik_inside_the_cluster(graph: Graph) -> None:
    host = graph[f"{CERTIFICATE} authentik-certificate"].inputs["spec"]["dnsNames"][0]
    address = values(graph, "nginx-ingress")["controller"]["service"]["annotations"]["metallb.io/loadBalancerIPs"]
    aliases = graph[VAULT].inputs["spec"]["vaultPodSpec"]["hostAliases"]
    assert aliases == [{"ip": address, "hostnames": [host]}]


def test_raft_and_api_of_vault_are_on_ports_of_their_own(graph: Graph) -> None:
    config = graph[VAULT].inputs["spec"]["config"]
    assert config["api_addr"].rpartition(":")[2] != config["cluster_addr"].rpartition(":")[2]
    listener = config["listener"]["tcp"]
    assert listener["tls_cert_file"] != listener["tls_key_file"]


def test_the_clusters_authority_outlives_its_certificate_and_others_get_new_keys(graph: Graph) -> None:
    for node in graph.of_type(CERTIFICATE):
        spec = node.inputs["spec"]
        # What trusts the old certificate of a CA must trust what the renewed one signs; elsewhere a stolen key ends.
        wanted = "Never" if spec.get("isCA") else "Always"
        assert spec["privateKey"]["rotationPolicy"] == wanted, node


def test_a_certificate_is_renewed_long_before_it_ends_and_the_authority_after_all_of_them(graph: Graph) -> None:
    certificates = [node.inputs["spec"] for node in graph.of_type(CERTIFICATE)]
    leaves = [spec for spec in certificates if not spec.get("isCA")]
    [authority] = [spec for spec in certificates if spec.get("isCA")]
    for spec in leaves:
        # A fortnight without the issuer, which may be Let's Encrypt, must not end anything.
        assert duration(spec["renewBefore"]) >= timedelta(days=14)
    # Renewed after two thirds of its time, which must leave room for whatever it has signed.
    assert duration(authority["duration"]) / 3 > max(duration(spec["duration"]) for spec in leaves)


def test_a_certificate_that_people_see_is_a_servers(graph: Graph) -> None:
    assert [node.name for node in graph.of_type(CERTIFICATE) if not _is_for_servers(node.inputs["spec"])] == []


def _is_for_servers(spec: dict[str, Any]) -> bool:
    return bool(spec.get("isCA")) or "server auth" in spec["usages"]


def test_what_is_sealed_can_be_opened_by_the_key_of_the_stack_and_stays_so(graph: Graph) -> None:
    secret = graph["sealed-secrets-keypair"].inputs["metadata"]
    # The controller takes keys with this label alone, and one that it made itself would be lost with the cluster:
    # https://github.com/bitnami-labs/sealed-secrets/blob/main/docs/bring-your-own-certificates.md
    assert secret["labels"] == {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}
    given = values(graph, "sealed-secrets")
    assert (given["secretName"], given["keyrenewperiod"]) == (secret["name"], "0")


def test_a_disk_confirms_only_what_is_written(graph: Graph) -> None:
    vms = graph.of_type(VM)
    assert vms
    for vm in vms:
        for disk in vm.inputs["disks"]:
            # `unsafe` ignores flushes, by which etcd and every database confirm; `discard` returns freed blocks.
            assert (disk["cache"], disk["discard"]) == ("none", "on"), vm


def test_a_volume_confirms_only_what_is_written_and_can_grow(graph: Graph) -> None:
    storage = graph["kubernetes:storage.k8s.io/v1:StorageClass proxmox"].inputs
    assert storage["parameters"]["cache"] == "none"
    assert storage["allowVolumeExpansion"] is True


def test_a_vm_boots_what_was_installed(graph: Graph) -> None:
    for vm in graph.of_type(VM):
        # Talos is installed for UEFI, and its boot loader is not signed with the keys that firmware comes with.
        assert vm.inputs["bios"] == "ovmf"
        assert vm.inputs["efiDisk"]["preEnrolledKeys"] is False
        assert vm.inputs["bootOrders"] == [vm.inputs["disks"][0]["interface"]]


def test_another_address_makes_a_vm_anew(graph: Graph) -> None:
    # cloud-init is read at the first boot only; the node would keep the old address.
    for vm in graph.of_type(VM):
        assert "initialization.ipConfigs[0].ipv4.address" in vm.option("replaceOnChanges")
        assert vm.option("deleteBeforeReplace") is True


def test_protection_reaches_proxmox() -> None:
    def protect(settings: dict[str, Any]) -> None:
        settings["site"]["deleteProtection"] = True

    vms = recorded("prod", change=protect).of_type(VM)
    assert [(vm.inputs["protection"], vm.option("protect")) for vm in vms] == [(True, True)] * 5


def test_an_image_that_is_there_is_not_fetched_again(graph: Graph) -> None:
    files = graph.of_type("proxmoxve:download/file:File")
    assert files
    # `overwrite` compares sizes with the server, and would replace the file and with it VMs.
    assert [file.name for file in files if file.inputs["overwrite"] is not False] == []


def test_volumes_stay_unless_the_settings_say_otherwise(graph: Graph) -> None:
    assert graph["command:local:Command csi-volumes"].inputs["delete"].endswith(" retain")


def test_certificates_stay_when_cert_manager_goes(graph: Graph) -> None:
    manager = values(graph, "cert-manager")
    assert (manager["crds"]["keep"], manager["enableCertificateOwnerRef"]) == (True, False)


def test_a_changed_secret_is_changed_in_place(graph: Graph) -> None:
    provider = graph["pulumi:providers:kubernetes kubernetes"].inputs
    # Otherwise the provider deletes it and makes it anew, and pods that start in between do not.
    assert str(provider["enableSecretMutable"]).lower() == str(provider["enableConfigMapMutable"]).lower() == "true"


def test_helm_keeps_a_few_revisions_and_not_all(graph: Graph) -> None:
    # Each is a Secret of the release's whole size; 0 keeps every one.
    releases = graph.of_type(RELEASE)
    assert releases
    assert [one.name for one in releases if not 1 <= one.inputs["maxHistory"] <= 10] == []


def test_a_certificate_is_asked_of_an_issuer_that_exists(graph: Graph) -> None:
    kinds = ("ClusterIssuer", "Issuer")
    there = {(kind, node.inputs["metadata"]["name"]) for kind in kinds for node in graph.of_type(f"{ISSUERS}:{kind}")}
    for node in graph.of_type(CERTIFICATE):
        asked = node.inputs["spec"]["issuerRef"]
        assert (asked["kind"], asked["name"]) in there, node
        # Issuers of other groups are other programs'.
        assert asked["group"] == ISSUERS.removeprefix("kubernetes:").partition("/")[0], node


def test_sessions_are_signed_with_a_key_that_nobody_finds(graph: Graph) -> None:
    generators = graph.of_type("kubernetes:generators.external-secrets.io/v1alpha1:Password")
    [session] = [
        node.inputs["spec"] for node in generators if "AUTHENTIK_SECRET_KEY" in node.inputs["spec"]["secretKeys"]
    ]
    assert session["length"] >= 32
    # In SQL, in URLs and in settings; a symbol would end a statement or a value there.
    assert {node.inputs["spec"]["symbols"] for node in generators} == {0}


def test_vaults_pods_tell_their_service_which_of_them_leads(graph: Graph) -> None:
    rules = graph["vault-role"].inputs["rules"]
    [pods] = [rule for rule in rules if rule["resources"] == ["pods"]]
    # Vault's registration with Kubernetes writes labels on its own pod, by which Services choose the leader.
    assert set(pods["verbs"]) == {"get", "patch"}


def test_a_changed_vault_reaches_its_servers(graph: Graph) -> None:
    rules = graph["vault-operator-vaults-role"].inputs["rules"]
    granted = {resource: set(rule["verbs"]) for rule in rules for resource in rule["resources"]}
    for resource in ("statefulsets", "deployments", "services", "secrets"):
        assert {"create", "update"} <= granted[resource], resource


def test_vaults_pods_are_corrected_before_they_are_judged_and_never_let_in_without(graph: Graph) -> None:
    [policy] = graph.of_type("kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicy")
    spec = policy.inputs["spec"]
    [rule] = spec["matchConstraints"]["resourceRules"]
    # A pod's capabilities cannot change later, and what is admitted without correction is refused by its namespace.
    assert (rule["operations"], spec["failurePolicy"]) == (["CREATE"], "Fail")


def test_a_database_is_on_the_class_that_keeps_its_volumes(graph: Graph) -> None:
    [default] = [
        node.inputs["metadata"]["name"]
        for node in graph.of_type("kubernetes:storage.k8s.io/v1:StorageClass")
        if node.inputs["reclaimPolicy"] == "Retain" and node.inputs["metadata"].get("annotations")
    ]
    for node in graph.of_type("kubernetes:postgresql.cnpg.io/v1:Cluster"):
        assert node.inputs["spec"]["storage"]["storageClass"] == default, node
