"""Applications before which Authentik stands: what a row makes, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from checks.graph import Graph, record, reveal
from components.identity.authentik import Authentik
from components.identity.blueprint import KeyOf
from components.identity.proxied import Proxied, outpost
from components.identity.proxied_entry import ProxiedEntry, ProxiedEntryArgs
from components.network.nginx_ingress import NginxIngress
from stacks import sso
from stacks.proxied import PROXIED

NOTES = Proxied(slug="notes", title="Notes", namespace="writing", host="n", groups=("readers",), open_paths=("^/api/",))


def test_authentik_stands_between_the_host_name_and_the_service() -> None:
    [provider] = [entry for entry in NOTES.entries("example.org") if entry.model.endswith("proxyprovider")]
    assert provider.attrs["mode"] == "proxy"
    assert provider.attrs["external_host"] == "https://n.example.org"
    assert provider.attrs["internal_host"] == "http://notes.writing.svc.cluster.local"
    assert provider.attrs["skip_path_regex"] == "^/api/"


def test_only_members_of_its_groups_may_pass() -> None:
    entries = NOTES.entries("example.org")
    [application] = [entry for entry in entries if entry.model == "authentik_core.application"]
    bindings = [entry for entry in entries if entry.model == "authentik_policies.policybinding"]
    assert [binding.identifiers["target"] for binding in bindings] == [KeyOf(str(application.id))]
    assert application.attrs["policy_engine_mode"] == "any"


def test_the_proxy_in_authentiks_servers_serves_every_row() -> None:
    other = Proxied(slug="other", title="Other", namespace="other", host="other", groups=("readers",))
    [entry] = outpost([NOTES, other], "auth.example.org")
    assert entry.attrs["providers"] == [KeyOf("notes-provider"), KeyOf("other-provider")]
    assert entry.attrs["config"] == {"authentik_host": "https://auth.example.org/"}


def test_without_a_row_authentiks_own_proxy_is_left_alone() -> None:
    assert outpost([], "auth.example.org") == ()


def test_the_groups_of_a_row_exist() -> None:
    assert {name for row in PROXIED for name in row.groups} <= set(sso.groups())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"groups": ()}, "every user could open it"),
        ({"groups": ("A",)}, "lower-case letters"),
        ({"open_paths": ("/api/",)}, r"begin it with \^/"),
    ],
)
def test_a_row_that_lets_too_many_pass_is_refused(changed: dict[str, Any], told: str) -> None:
    row: dict[str, Any] = {"slug": "notes", "title": "Notes", "namespace": "n", "host": "n", "groups": ("readers",)}
    with pytest.raises(ValueError, match=told):
        Proxied(**row | changed)


@pytest.fixture(scope="module")
def graph() -> Graph:
    def program() -> None:
        provider = kubernetes.Provider("kubernetes", kubeconfig="{}")
        ready = kubernetes.core.v1.ConfigMap("ready", opts=pulumi.ResourceOptions(provider=provider))
        args = ProxiedEntryArgs(
            authentik=cast(Authentik, SimpleNamespace(ready=ready)),
            ingress=cast(NginxIngress, SimpleNamespace(ready=ready, class_name="nginx")),
            rows=[NOTES],
            domain="example.org",
        )
        ProxiedEntry("proxied", args, pulumi.ResourceOptions(providers=[provider]))

    return record(program)


def test_its_host_name_leads_to_authentik(graph: Graph) -> None:
    made = reveal(graph["kubernetes:networking.k8s.io/v1:Ingress proxied-notes"].inputs)
    [rule] = made["spec"]["rules"]
    assert made["metadata"]["namespace"] == "authentik"
    assert rule["host"] == "n.example.org"
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "authentik-server", "port": {"number": 80}}
    # Without a Secret: the controller's certificate for all names.
    assert made["spec"]["tls"] == [{"hosts": ["n.example.org"]}]
    assert made["metadata"]["annotations"]["nginx.org/websocket-services"] == "authentik-server"
