"""What holds for every resource of the real program: in each stack that the repository brings, and for other sites."""

from __future__ import annotations

import ast
import base64
from functools import cache
from typing import Any

import pytest

from checks.application_secrets import stray_findings
from checks.direct_vault import program_findings
from checks.graph import Graph, component_types, convention_findings, leaked_values, plain_strings, reveal
from checks.program import PLANTED, ROOT, recorded
from tests.charts.kubelet import commands, deaf, loses_a_dollar, pods
from tests.keypairs import keypair
from tests.sites import SITES
from tests.sites import settings as settings_of

STACKS = ("lab", "prod")

COMPONENT_TYPES = {
    "homelab:certificates:AcmeIssuers",
    "homelab:certificates:CertManager",
    "homelab:certificates:Certificate",
    "homelab:certificates:ClusterCa",
    "homelab:certificates:Dns01Webhook",
    "homelab:database:CloudNativePg",
    "homelab:database:Postgres",
    "homelab:database:PostgresBackup",
    "homelab:dns:DnsZone",
    "homelab:dns:ExternalDns",
    "homelab:dns:PowerDns",
    "homelab:dns:PowerDnsOperator",
    "homelab:dns:TransferKey",
    "homelab:edge:EdgeRouter",
    "homelab:edge:EdgeSecondary",
    "homelab:edge:HeadscaleNodes",
    "homelab:edge:HeadscaleRoutes",
    "homelab:gitops:ApplicationNamespace",
    "homelab:gitops:Border",
    "homelab:gitops:Flux",
    "homelab:gitops:GitLink",
    "homelab:gitops:GitSource",
    "homelab:gitops:HandOver",
    "homelab:gitops:Receiver",
    "homelab:gitops:Scraping",
    "homelab:identity:Authentik",
    "homelab:identity:AuthentikHome",
    "homelab:identity:OidcProbe",
    "homelab:identity:ProxiedEntry",
    "homelab:ingress:NginxIngress",
    "homelab:kit:ChartDefinitions",
    "homelab:network:AddressPool",
    "homelab:network:Cilium",
    "homelab:network:CoreDns",
    "homelab:network:KubeletCertificates",
    "homelab:network:MetalLb",
    "homelab:proxmox:ProxmoxAccount",
    "homelab:proxmox:TalosImage",
    "homelab:proxmox:TalosVm",
    "homelab:proxmox:VmPool",
    "homelab:proxmox:VmRebuilds",
    "homelab:secrets:ApplicationSecret",
    "homelab:secrets:AssembledSecret",
    "homelab:secrets:ExternalSecrets",
    "homelab:secrets:GivenSecret",
    "homelab:secrets:PublicCopy",
    "homelab:secrets:Reflector",
    "homelab:secrets:Reloader",
    "homelab:secrets:SealedSecrets",
    "homelab:secrets:SealingKey",
    "homelab:secrets:Vault",
    "homelab:secrets:VaultAccess",
    "homelab:secrets:VaultEntry",
    "homelab:secrets:VaultOperator",
    "homelab:secrets:VaultStore",
    "homelab:storage:CsiVolumes",
    "homelab:storage:Longhorn",
    "homelab:storage:ProxmoxCsi",
    "homelab:storage:StorageClass",
    "homelab:storage:VolumeSnapshots",
    "homelab:talos:NodeRemovals",
    "homelab:talos:VolumeZones",
    "homelab:talos:TalosCluster",
    "homelab:talos:TalosSecrets",
}
"""Every component's type token. State knows a component and all below it by this name: to change one that a site
already runs needs an alias in the component, else its resources are deleted and made again."""


@cache
def graph_of(stack: str, *, known: bool) -> Graph:
    """The graph of a stack, or of a site."""
    if stack not in SITES:
        return recorded(stack, known=known)

    def change(settings: dict[str, Any]) -> None:
        settings.clear()
        settings.update(settings_of(stack))

    return recorded(change=change, known=known)


@cache
def graph_with_a_sealing_key() -> Graph:
    """The graph of prod after `make sealing-key STACK=prod`."""

    def change(settings: dict[str, Any]) -> None:
        settings["sealing"] = {"certificate": keypair().certificate_pem}

    return recorded("prod", change=change)


@pytest.fixture(params=[*STACKS, *SITES])
def stack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["first-preview", "known-outputs"])
def graph(request: pytest.FixtureRequest, stack: str) -> Graph:
    return graph_of(stack, known=request.param)


def test_every_convention_is_kept(graph: Graph) -> None:
    assert [str(finding) for finding in convention_findings(graph, "homelab")] == []


def test_every_command_in_a_pod_reaches_its_container_as_it_is_written(graph: Graph) -> None:
    found = [(node, command) for node in graph.nodes.values() for command in commands(reveal(node.inputs))]
    assert found
    assert [repr(node) for node, command in found if loses_a_dollar(command)] == []


def test_every_object_in_kubernetes_says_which_stack_made_it(graph: Graph) -> None:
    # After an `up` that was killed, nothing else tells an object of this stack from one of another.
    objects = [
        node for node in graph.resources() if node.type.startswith("kubernetes:") and ":helm.sh" not in node.type
    ]
    assert len(objects) > 50
    marks = {node: (reveal(node.inputs["metadata"]).get("annotations") or {}).get("homelab/stack") for node in objects}
    # VMs carry it too, and their pool has its name.
    stack = graph["proxmoxve:index/poolLegacy:PoolLegacy vm-pool"].inputs["poolId"]
    assert {node: mark for node, mark in marks.items() if mark != stack} == {}


def test_every_pod_of_the_program_ends_when_it_is_told(graph: Graph) -> None:
    found = [(node, pod) for node in graph.nodes.values() for pod in pods(reveal(node.inputs))]
    assert found
    assert [f"{node!r}: {name}" for node, pod in found for name in deaf(pod)] == []


def test_nothing_is_beyond_the_recorder(graph: Graph) -> None:
    assert graph.unsupported == []


def test_no_resource_waits_for_a_value_that_only_an_up_knows(stack: str) -> None:
    first, later = graph_of(stack, known=False), graph_of(stack, known=True)
    assert set(first.nodes) == set(later.nodes)


def test_every_function_is_called_once_its_arguments_are_known(stack: str) -> None:
    assert graph_of(stack, known=True).invokes_skipped == []


@pytest.mark.parametrize("stack", STACKS)
def test_every_faked_answer_is_asked_for(stack: str) -> None:
    assert graph_of(stack, known=True).unused_fakes == []


def test_a_recorded_component_has_a_pinned_type(graph: Graph) -> None:
    assert component_types(graph) - COMPONENT_TYPES == set()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cert-manager", "components/certificates/cert_manager.py"),
        ("cert-manager-namespace", "components/certificates/cert_manager.py"),
        ("powerdns", "components/dns/powerdns.py"),
    ],
)
def test_the_source_of_what_the_kit_makes_is_the_component(graph: Graph, name: str, file: str) -> None:
    [made] = [node for node in graph.nodes.values() if node.name == name and node.type.startswith("kubernetes:")]
    assert made.source.startswith(f"{ROOT / file}:")


def test_a_pinned_type_belongs_to_exactly_one_component_class() -> None:
    assert sorted(tokens_in_source()) == sorted(COMPONENT_TYPES)


def test_nothing_but_vaults_own_parts_speaks_to_vault(graph: Graph) -> None:
    assert [str(finding) for finding in program_findings(graph)] == []


def test_no_generated_secret_is_made_outside_its_component(graph: Graph) -> None:
    assert [str(finding) for finding in stray_findings(graph)] == []


def test_no_secret_of_the_configuration_shows_in_clear(graph: Graph) -> None:
    assert [str(finding) for finding in leaked_values(graph, PLANTED)] == []


def test_every_convention_is_kept_with_a_sealing_key_of_the_configuration() -> None:
    assert [str(finding) for finding in convention_findings(graph_with_a_sealing_key(), "homelab")] == []


def test_a_sealing_key_of_the_configuration_shows_no_more_than_the_others() -> None:
    assert [str(finding) for finding in leaked_values(graph_with_a_sealing_key(), PLANTED)] == []


@pytest.mark.parametrize("key", PLANTED)
def test_the_search_for_secrets_looks_for_values_that_are_used(key: str) -> None:
    graphs = [*(graph_of(stack, known=True) for stack in STACKS), graph_with_a_sealing_key()]
    forms = (PLANTED[key], base64.b64encode(PLANTED[key].encode()).decode())
    hidden = (text for graph in graphs for text in revealed_strings(graph))
    assert any(form in text for text in hidden for form in forms), (
        f"no stack passes {key} on, so its search could not fail"
    )


def revealed_strings(graph: Graph) -> list[str]:
    return [text for node in graph.resources() for text in plain_strings(reveal(node.inputs))]


def tokens_in_source() -> list[str]:
    """The first argument of `super().__init__` in each ComponentResource: a literal, whatever the instance's name."""
    found = []
    for file in sorted((ROOT / "components").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any("ComponentResource" in ast.unparse(b) for b in node.bases):
                calls = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
                [start] = [call for call in calls if ast.unparse(call.func) == "super().__init__"]
                found.append(str(ast.literal_eval(start.args[0])))
    return found
