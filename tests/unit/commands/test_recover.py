"""What `make recover` derives from a state: which objects to look for, which Helm records go, and the mended state."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stacks.commands.recover import Findings, examine, to_read
from stacks.commands.recover_cluster import Cluster, Record
from stacks.commands.recover_state import RELEASE, changing, kubeconfig, mended, pending, stuck, unread
from stacks.commands.stack import CommandError

PROVIDER = "urn:pulumi:prod::homelab::pulumi:providers:kubernetes::kubernetes"
INGRESS = "kubernetes:networking.k8s.io/v1:Ingress"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:prod::homelab::homelab:secrets:VaultEntry${kind}::{name}"


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"urn": urn(kind, name), "type": kind, "custom": True, "provider": f"{PROVIDER}::1234", **more}


def ingress(**more: Any) -> dict[str, Any]:
    inputs = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "entry", "namespace": "vault"},
    }
    return resource(INGRESS, "vault-entry", inputs=inputs, **more)


def release(**more: Any) -> dict[str, Any]:
    inputs = {"name": "vault", "namespace": "vault-system", "values": {"password": {**SECRET, "plaintext": '"x"'}}}
    return resource(RELEASE, "vault-operator", inputs=inputs, **more)


def operation(of: dict[str, Any], kind: str = "creating") -> dict[str, Any]:
    return {"resource": of, "type": kind}


def state(*operations: dict[str, Any], resources: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"resources": resources or [], "pending_operations": list(operations)}


def record(status: str, revision: int = 1, name: str = "vault") -> Record:
    return Record("vault-system", name, revision, status, f"sh.helm.release.v1.{name}.v{revision}")


KEY = ("vault-system", "vault")


def test_a_pending_object_is_looked_for_by_what_names_it() -> None:
    (found,) = pending(state(operation(ingress())))
    assert (found.urn, found.provider, found.release) == (urn(INGRESS, "vault-entry"), PROVIDER, None)
    assert found.manifest == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "entry", "namespace": "vault"},
    }


def test_an_object_without_a_namespace_is_looked_for_without_one() -> None:
    inputs = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vault", "labels": {"a": "b"}}}
    (found,) = pending(state(operation(resource("kubernetes:core/v1:Namespace", "vault", inputs=inputs))))
    assert found.manifest["metadata"] == {"name": "vault"}


def test_an_object_whose_names_are_secret_is_looked_for_too() -> None:
    names = {**SECRET, "plaintext": json.dumps({"name": "vault"})}
    inputs = {"apiVersion": "v1", "kind": "Namespace", "metadata": names}
    (found,) = pending(state(operation(resource("kubernetes:core/v1:Namespace", "vault", inputs=inputs))))
    assert found.manifest["metadata"] == {"name": "vault"}


def test_a_pending_release_is_known_by_namespace_and_name() -> None:
    (found,) = pending(state(operation(release())))
    assert found.release == KEY


@pytest.mark.parametrize(
    "left_out",
    [
        operation(resource("proxmoxve:index/vmLegacy:VmLegacy", "worker-0", inputs={"name": "worker-0"})),
        operation(resource("pulumi:providers:kubernetes", "kubernetes", inputs={})),
        operation(resource("kubernetes:core/v1:ConfigMapList", "all", inputs={"kind": "ConfigMapList", "items": []})),
        operation(
            resource("kubernetes:core/v1:NamespacePatch", "labels", inputs={"metadata": {"name": "kube-system"}})
        ),
        operation(ingress(), "updating"),
        operation(ingress(), "deleting"),
    ],
    ids=["no object of a cluster", "a provider", "a list", "a patch", "an update", "a deletion"],
)
def test_nothing_else_is_looked_for(left_out: dict[str, Any]) -> None:
    assert pending(state(left_out)) == []


@pytest.mark.parametrize("status", ["pending-install", "failed", "pending-upgrade", "uninstalling"])
def test_of_a_release_that_was_never_installed_every_record_goes(status: str) -> None:
    records = [record(status), record("deployed", name="other")]
    assert stuck(records, known=[], new=[KEY]) == [record(status)]


def test_the_record_of_a_release_that_was_installed_stays() -> None:
    assert stuck([record("deployed")], known=[], new=[KEY]) == []


@pytest.mark.parametrize("status", ["pending-upgrade", "pending-rollback"])
def test_of_an_upgrade_that_was_cut_off_only_its_own_record_goes(status: str) -> None:
    records = [record("superseded"), record("deployed", 2), record(status, 10)]
    assert stuck(records, known=[KEY], new=[]) == [record(status, 10)]


def test_of_an_uninstallation_that_was_cut_off_every_record_goes() -> None:
    records = [record("superseded"), record("uninstalling", 2)]
    assert stuck(records, known=[KEY], new=[]) == records


def test_a_failed_release_that_the_state_knows_is_left_to_up() -> None:
    assert stuck([record("failed")], known=[KEY], new=[]) == []


def test_a_release_that_is_not_of_the_stack_is_left_alone() -> None:
    assert stuck([record("pending-install", name="other")], known=[KEY], new=[]) == []


def test_what_was_made_is_in_the_mended_state_with_its_id_and_its_options() -> None:
    made = ingress(dependencies=["urn:a"], customTimeouts={"delete": 120})
    after = mended(state(operation(made)), {made["urn"]: "vault/entry"})
    assert after == {"resources": [made | {"id": "vault/entry", "outputs": {}}], "pending_operations": None}


def test_what_was_not_made_is_in_no_state() -> None:
    assert mended(state(operation(ingress())), {}) == {"resources": [], "pending_operations": None}


def test_a_releases_inputs_are_in_its_outputs_as_a_secret() -> None:
    made = release()
    (after,) = mended(state(operation(made)), {made["urn"]: "vault-system/vault"})["resources"]
    assert SECRET.items() <= after["outputs"]["__inputs"].items()
    assert json.loads(after["outputs"]["__inputs"]["plaintext"]) == made["inputs"]


def test_an_object_that_was_deleted_to_be_made_anew_is_in_its_place() -> None:
    old = ingress(id="vault/entry", outputs={"spec": {}}, pendingReplacement=True)
    after = mended(state(operation(ingress()), resources=[old]), {old["urn"]: "vault/entry"})
    assert after["resources"] == [ingress(id="vault/entry", outputs={})]


def test_an_object_that_was_made_before_the_old_one_goes_lets_the_old_one_go() -> None:
    old = ingress(id="vault/old", outputs={"spec": {}})
    after = mended(state(operation(ingress()), resources=[old]), {old["urn"]: "vault/entry"})
    assert after["resources"] == [old | {"delete": True}, ingress(id="vault/entry", outputs={})]


def test_an_object_is_in_the_mended_state_once_if_the_state_has_it() -> None:
    old = ingress(id="vault/entry", outputs={"spec": {}})
    assert mended(state(operation(ingress()), resources=[old]), {old["urn"]: "vault/entry"})["resources"] == [old]


def test_what_a_mended_state_took_in_is_to_be_read_even_by_a_second_recovery() -> None:
    before = state(operation(ingress()), operation(release()))
    after = mended(before, {ingress()["urn"]: "vault/entry", release()["urn"]: "vault-system/vault"})
    assert unread(after) == [ingress()["urn"], release()["urn"]]


def test_what_a_provider_has_read_is_not_read_again() -> None:
    read = [ingress(outputs={"spec": {}}), release(outputs={"status": {"status": "deployed"}})]
    assert unread(state(resources=read)) == []


def test_what_was_being_changed_is_read_if_the_state_has_it() -> None:
    vm = resource("proxmoxve:index/vmLegacy:VmLegacy", "worker-0", id="2001")
    operations = [operation(vm, "updating"), operation(ingress(), "deleting")]
    assert changing(state(*operations, resources=[vm])) == [vm["urn"]]


def test_a_release_that_helm_knows_is_not_read_as_its_failure_would_be_forgotten() -> None:
    known = release(id="vault-system/vault", outputs={"status": {}}, initErrors=["timed out"])
    findings = Findings(hindering=[(PROVIDER, record("pending-upgrade", 2))], installed={known["urn"]})
    assert to_read(state(operation(known, "updating"), resources=[known]), findings) == []


def test_a_release_that_helm_no_longer_knows_is_read_and_so_leaves_the_state() -> None:
    known = release(id="vault-system/vault", outputs={"status": {}})
    findings = Findings(hindering=[(PROVIDER, record("uninstalling"))])
    assert to_read(state(resources=[known]), findings) == [known["urn"]]


def test_the_kubeconfig_is_the_providers_own() -> None:
    text = {**SECRET, "plaintext": json.dumps("apiVersion: v1")}
    provider = {"urn": PROVIDER, "type": "pulumi:providers:kubernetes", "inputs": {"kubeconfig": text}}
    assert kubeconfig({"resources": [provider]}, PROVIDER) == "apiVersion: v1"


def test_a_state_without_a_kubeconfig_is_refused() -> None:
    with pytest.raises(CommandError, match="no kubeconfig for pulumi:providers:kubernetes kubernetes; nothing was"):
        kubeconfig({"resources": []}, PROVIDER)


class Played:
    """A cluster in which Helm has these records, and everything else is there."""

    def __init__(self, *records: Record) -> None:
        self.helm = list(records)

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def records(self) -> list[Record]:
        return self.helm

    def find(self, manifest: dict[str, Any], _: str | None) -> str:
        return f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}"


def examined(monkeypatch: pytest.MonkeyPatch, deployment: dict[str, Any], *records: Record) -> Findings:
    """What a cluster with these records says of a state."""
    monkeypatch.setattr(Cluster, "of", lambda *_: Played(*records))
    provider = {"urn": PROVIDER, "type": "pulumi:providers:kubernetes", "inputs": {"kubeconfig": "{}"}}
    return examine({**deployment, "resources": [provider, *deployment["resources"]]}, {})


def test_an_upgrade_that_was_cut_off_is_found_where_nothing_was_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    installed, cut_off = release(id="vault-system/vault"), record("pending-upgrade", 2)
    deployment = state(operation(installed, "updating"), resources=[installed])
    found = examined(monkeypatch, deployment, record("deployed"), cut_off)
    assert found.hindering == [(PROVIDER, cut_off)]


def test_what_was_made_before_the_end_is_found_in_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, state(operation(ingress()), operation(release())), record("deployed"))
    assert found.ids == {
        urn(INGRESS, "vault-entry"): "vault/entry",
        urn(RELEASE, "vault-operator"): "vault-system/vault",
    }
