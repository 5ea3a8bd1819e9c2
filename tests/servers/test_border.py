"""What Flux's controllers may write, as a real API server decides it, which gives them all rights as Flux does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from checks.program import recorded
from components.gitops.flux import NAMESPACE as FLUX_NAMESPACE
from components.gitops.flux import WRITERS
from components.kit import versions
from components.kit.stack_mark import ANNOTATION
from lab.charts import TABLE
from stacks.applications import DEFINITIONS
from tests.servers.kubernetes import ApiError, KubernetesApi
from tests.servers.manifests import manifests
from tests.servers.processes import eventually

Object = dict[str, Any]

BORDER = "what-is-pulumis"
POLICY = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
OWN = ("Namespace", "ResourceQuota", "LimitRange", "NetworkPolicy")
MERGE = "application/merge-patch+json"
OF_A_RELEASE = {"annotations": {"meta.helm.sh/release-name": "cilium", "meta.helm.sh/release-namespace": "kube-system"}}
OF_FLUX = {"labels": {"helm.toolkit.fluxcd.io/name": "grafana"}} | OF_A_RELEASE
MARK = {"annotations": {ANNOTATION: "homelab-lab"}}


def named(api_version: str, kind: str, name: str, namespace: str | None = None, **more: Any) -> Object:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **more.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def definition(group: str, kind: str, plural: str) -> Object:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return named("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.{group}", spec=spec)


KUSTOMIZATION = definition("kustomize.toolkit.fluxcd.io", "Kustomization", "kustomizations")
ROOT = named(
    "kustomize.toolkit.fluxcd.io/v1", "Kustomization", "applications", FLUX_NAMESPACE, metadata=MARK, spec={"path": "."}
)
THERE: dict[str, Object] = {
    "closed": named("v1", "ConfigMap", "there", "authentik"),
    "open": named("v1", "ConfigMap", "there", "gitea"),
    "marked": named("v1", "ConfigMap", "marked", "gitea", metadata=MARK),
    "class": named("storage.k8s.io/v1", "StorageClass", "proxmox", metadata=MARK, provisioner="csi.proxmox.example"),
    "role": named("rbac.authorization.k8s.io/v1", "ClusterRole", "cilium", metadata=OF_A_RELEASE, rules=[]),
    "flux-role": named("rbac.authorization.k8s.io/v1", "ClusterRole", "grafana", metadata=OF_FLUX, rules=[]),
    "ingress": named(
        "networking.k8s.io/v1", "IngressClass", "nginx", metadata=OF_A_RELEASE, spec={"controller": "nginx.org/i"}
    ),
    "webhook": named(
        "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "metallb", metadata=OF_A_RELEASE
    ),
    "system": named("v1", "ConfigMap", "cilium-config", "kube-system", metadata=OF_A_RELEASE),
    "root": ROOT,
    "deployment": named(
        "apps/v1",
        "Deployment",
        "there",
        "authentik",
        spec={
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "c"}]},
            },
        },
    ),
}


@dataclass(frozen=True)
class Flux:
    """One controller of Flux."""

    api: KubernetesApi
    account: str

    def writes(self, method: str, path: str, body: Object | None = None, kind: str = "application/json") -> str | None:
        """Why a write is refused; None if it is not. Nothing is changed."""
        token = self.api.token(FLUX_NAMESPACE, self.account)
        separator = "&" if "?" in path else "?"
        try:
            self.api.request(method, f"{path}{separator}dryRun=All", body, token=token, kind=kind)
        except ApiError as error:
            message = str(error.content["message"])
            if f"ValidatingAdmissionPolicy '{BORDER}'" in message:
                return message
            raise
        return None

    def makes(self, thing: Object) -> str | None:
        return self.writes("POST", _collection(self.api, thing), thing)

    def applies(self, thing: Object) -> str | None:
        """As Flux does it: server-side apply."""
        path = f"{_path(self.api, thing)}?fieldManager=kustomize-controller&force=true"
        return self.writes("PATCH", path, thing, "application/apply-patch+yaml")

    def changes(self, thing: Object, change: Mapping[str, Any], subresource: str = "") -> str | None:
        return self.writes("PATCH", _path(self.api, thing) + subresource, dict(change), MERGE)

    def deletes(self, thing: Object) -> str | None:
        return self.writes("DELETE", _path(self.api, thing))


def _collection(api: KubernetesApi, thing: Object) -> str:
    return api._collection(thing["apiVersion"], thing["kind"], thing["metadata"].get("namespace"))


def _path(api: KubernetesApi, thing: Object) -> str:
    return f"{_collection(api, thing)}/{thing['metadata']['name']}"


@pytest.fixture(scope="module")
def api(kubernetes: KubernetesApi) -> KubernetesApi:
    """With the program's namespaces and border, Flux's accounts as Flux makes them, and some objects of each owner."""
    graph = recorded("lab")
    kubernetes.namespace("monitoring")
    kubernetes.apply(*manifests(graph, *OWN))
    if kubernetes.find("v1", "Namespace", FLUX_NAMESPACE) is None:
        labels = {"homelab/owner": "pulumi"}
        kubernetes.apply(named("v1", "Namespace", FLUX_NAMESPACE, metadata={"labels": labels} | MARK))
    for account in (*WRITERS, "source-controller"):
        kubernetes.apply(named("v1", "ServiceAccount", account, FLUX_NAMESPACE))
        subject = {"kind": "ServiceAccount", "name": account, "namespace": FLUX_NAMESPACE}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        binding = named("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", account)
        kubernetes.apply(binding | {"roleRef": reference, "subjects": [subject]})
    kubernetes.apply(KUSTOMIZATION, *THERE.values(), *manifests(graph, *POLICY))
    flux = Flux(kubernetes, WRITERS[0])
    eventually(lambda: flux.deletes(THERE["closed"]), "policy at work", seconds=60)
    return kubernetes


@pytest.fixture(params=WRITERS)
def flux(request: pytest.FixtureRequest, api: KubernetesApi) -> Flux:
    return Flux(api, request.param)


def test_nothing_is_made_in_a_namespace_of_the_program(flux: Flux) -> None:
    told = flux.makes(named("v1", "ConfigMap", "new", "authentik"))
    assert told is not None
    assert (
        "configmaps new: namespace authentik is the program's; give it to an application's namespace "
        "(stacks/applications.py)" in told
    )


@pytest.mark.parametrize("name", ["closed", "marked", "class", "role", "ingress", "webhook", "system"])
def test_what_is_the_programs_is_neither_changed_nor_deleted(flux: Flux, name: str) -> None:
    thing = THERE[name]
    assert flux.changes(thing, {"metadata": {"labels": {"changed": "yes"}}})
    assert flux.applies(named(thing["apiVersion"], thing["kind"], **_place(thing), metadata={"labels": {"a": "b"}}))
    assert flux.deletes(thing)


def _place(thing: Object) -> dict[str, Any]:
    return {"name": thing["metadata"]["name"], "namespace": thing["metadata"].get("namespace")}


def test_a_workload_of_the_program_is_not_scaled(flux: Flux) -> None:
    assert flux.changes(THERE["deployment"], {"spec": {"replicas": 0}}, "/scale")


@pytest.mark.parametrize("name", ["authentik", "gitea", FLUX_NAMESPACE])
def test_a_namespace_that_the_program_made_keeps_its_labels(flux: Flux, name: str) -> None:
    namespace = named("v1", "Namespace", name)
    assert flux.changes(namespace, {"metadata": {"labels": {"homelab/owner": "flux"}}})
    assert flux.deletes(namespace)


def test_the_quota_and_the_closed_door_of_an_application_stay(flux: Flux) -> None:
    quota, closed = (
        named("v1", "ResourceQuota", "application", "gitea"),
        named("networking.k8s.io/v1", "NetworkPolicy", "closed", "gitea"),
    )
    assert flux.changes(quota, {"spec": {"hard": {"limits.memory": "999Gi"}}})
    assert flux.deletes(closed)


def test_the_api_server_asks_no_policy_about_a_policy(flux: Flux) -> None:
    """So the border does not guard itself, as its module says; were this to change, it would."""
    assert flux.deletes(named("admissionregistration.k8s.io/v1", POLICY[0], BORDER)) is None


def test_kubernetes_own_roles_stay(flux: Flux) -> None:
    role = named("rbac.authorization.k8s.io/v1", "ClusterRole", "view")
    assert flux.changes(role, {"rules": []})


def test_a_definition_of_the_programs_charts_is_neither_made_nor_deleted(flux: Flux) -> None:
    told = flux.makes(definition("postgresql.cnpg.io", "Cluster", "clusters"))
    assert told is not None
    assert "clusters.postgresql.cnpg.io is a definition of a chart that the program installs" in told
    assert flux.deletes(KUSTOMIZATION)


def test_every_definition_of_the_programs_charts_is_known_to_the_border() -> None:
    table = yaml.safe_load(TABLE.read_text())
    pinned = [value.name for value in vars(versions).values() if isinstance(value, versions.ChartPin)]
    groups = {each["group"] for name in pinned for each in table[name].get("crds", [])}
    assert {"metallb.io", "external-secrets.io", "cert-manager.io"} <= groups
    # The border knows the ends of names, as `dns.cav.enablers.ob` ends with `enablers.ob`.
    assert [each for each in groups if not f".{each}".endswith(tuple(f".{known}" for known in DEFINITIONS))] == []


def test_an_application_is_deployed(flux: Flux) -> None:
    assert flux.makes(named("v1", "ConfigMap", "new", "gitea")) is None
    assert flux.changes(THERE["open"], {"data": {"a": "b"}}) is None
    assert flux.deletes(THERE["open"]) is None
    assert flux.makes(named("v1", "ConfigMap", "new", "monitoring")) is None
    assert flux.makes(named("v1", "Namespace", "another")) is None


def test_what_a_chart_of_flux_needs_for_all_is_its_own(flux: Flux) -> None:
    reader = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": "extension-apiserver-authentication-reader",
    }
    binding = named("rbac.authorization.k8s.io/v1", "RoleBinding", "metrics-server", "kube-system", roleRef=reader)
    assert flux.makes(binding) is None
    assert (
        flux.changes(THERE["flux-role"], {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})
        is None
    )
    assert flux.deletes(THERE["flux-role"]) is None
    assert flux.makes(definition("monitoring.coreos.com", "Alertmanager", "alertmanagers")) is None


def test_flux_keeps_its_own_books_in_its_namespace(flux: Flux) -> None:
    child = named("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "gitea", FLUX_NAMESPACE, spec={"path": "gitea"})
    lease = named("coordination.k8s.io/v1", "Lease", "leader", FLUX_NAMESPACE, spec={})
    record = named("v1", "Secret", "sh.helm.release.v1.gitea.v1", FLUX_NAMESPACE)
    event = named(
        "v1", "Event", "one", FLUX_NAMESPACE, involvedObject={"kind": "Kustomization", "namespace": FLUX_NAMESPACE}
    )
    assert [flux.makes(each) for each in (child, lease, record, event)] == [None] * 4
    assert flux.makes(named("v1", "Secret", "flux-system", FLUX_NAMESPACE))


def test_flux_notes_on_the_root_what_it_did_and_changes_no_wish(flux: Flux) -> None:
    assert flux.changes(ROOT, {"metadata": {"finalizers": ["finalizers.fluxcd.io"]}}) is None
    assert flux.changes(ROOT, {"status": {"observedGeneration": 1}}, "/status") is None
    assert flux.changes(ROOT, {"spec": {"path": "elsewhere"}})
    assert flux.changes(ROOT, {"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "applications"}}})
    assert flux.deletes(ROOT)


def test_nobody_else_is_held_up(api: KubernetesApi) -> None:
    assert Flux(api, "source-controller").changes(THERE["closed"], {"data": {"a": "b"}}) is None
    api.apply(THERE["closed"] | {"data": {"by": "the administrator"}})
