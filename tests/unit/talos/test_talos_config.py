"""Machine configuration patches."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from components.talos import config as config


def test_the_hostname_document_turns_the_generated_name_off() -> None:
    assert config.hostname("worker-0") == {
        "apiVersion": "v1alpha1",
        "kind": "HostnameConfig",
        "auto": "off",
        "hostname": "worker-0",
    }


def test_the_vip_is_on_the_link_that_is_chosen_by_mac_address() -> None:
    alias, vip = config.link_alias("BC:24:11:00:00:01"), config.api_vip(IPv4Address("10.0.3.1"))
    assert alias["name"] == vip["link"]
    assert alias["selector"]["match"] == 'mac(link.permanent_addr) == "bc:24:11:00:00:01"'


def test_provider_id_and_topology_labels_name_the_same_region() -> None:
    machine = config.topology(region="atlas", zone="pve1", vm_id=1001)["machine"]
    assert machine["kubelet"]["extraArgs"]["provider-id"] == "proxmox://atlas/1001"
    assert machine["nodeLabels"] == {"topology.kubernetes.io/region": "atlas", "topology.kubernetes.io/zone": "pve1"}


def test_a_registry_mirror_falls_back_to_the_registry() -> None:
    document = config.registry_mirror("docker.io", ["http://10.0.3.4:5000"])
    assert document["skipFallback"] is False
    assert document["endpoints"] == [{"url": "http://10.0.3.4:5000"}]


@pytest.mark.parametrize("url", ["https://registry.example.org/v2/docker.io", "http://10.0.3.4:5000/v2"])
def test_a_mirror_that_names_the_api_is_taken_as_it_is(url: str) -> None:
    [endpoint] = config.registry_mirror("docker.io", [url])["endpoints"]
    assert endpoint == {"url": url, "overridePath": True}


@pytest.mark.parametrize(
    "url", ["https://v2.example.org", "https://mirror.example.org/v2ray", "https://m.example.org/x"]
)
def test_a_mirror_that_does_not_gets_the_api_added(url: str) -> None:
    [endpoint] = config.registry_mirror("docker.io", [url])["endpoints"]
    assert endpoint == {"url": url}


def test_names_of_one_address_are_in_one_document() -> None:
    entries = {"b.example.org": "10.0.3.2", "a.example.org": "10.0.3.2", "c.example.org": "10.0.3.4"}
    documents = config.host_entries({name: IPv4Address(address) for name, address in entries.items()})
    assert [(document["name"], document["hostnames"]) for document in documents] == [
        ("10.0.3.2", ["a.example.org", "b.example.org"]),
        ("10.0.3.4", ["c.example.org"]),
    ]


def test_etcd_gives_its_metrics_at_the_nodes_own_address_alone() -> None:
    etcd = config.control_plane_metrics(IPv4Address("10.0.1.1"))["cluster"]["etcd"]
    assert etcd["extraArgs"] == {"listen-metrics-urls": "http://10.0.1.1:2381"}


def test_a_kubelet_that_asks_for_its_certificate_is_told_so_by_an_argument_that_talos_knows() -> None:
    assert config.signed_kubelet_certificate() == {
        "machine": {"kubelet": {"extraArgs": {"rotate-server-certificates": "true"}}}
    }


def test_tailscale_settings_carry_no_key() -> None:
    document = config.tailscale(
        routes=[IPv4Network("10.0.3.0/27")], tags=["tag:cluster-router"], login_server="https://headscale.example.org"
    )
    assert "TS_ROUTES=10.0.3.0/27" in document["environment"]
    assert (
        "TS_EXTRA_ARGS=--advertise-tags=tag:cluster-router --login-server=https://headscale.example.org"
        in document["environment"]
    )
    assert not any(entry.startswith("TS_AUTHKEY") for entry in document["environment"])


def test_a_member_that_routes_nothing_leaves_the_kernels_network_alone() -> None:
    document = config.tailscale_aside(tags=["tag:cluster-router"], login_server=None)
    assert document["environment"] == [
        "TS_USERSPACE=true",
        "TS_AUTH_ONCE=true",
        "TS_EXTRA_ARGS=--advertise-tags=tag:cluster-router",
    ]


def test_the_tailscale_key_goes_into_the_same_document_as_the_settings() -> None:
    settings = config.tailscale(routes=[], tags=[], login_server=None)
    key = config.tailscale_auth_key("planted")
    assert (key["kind"], key["name"]) == (settings["kind"], settings["name"])
    assert key["environment"] == ["TS_AUTHKEY=planted"]


def test_kubelet_sees_a_mounted_directory_at_the_same_path() -> None:
    mount = config.kubelet_mounts(["/var/openebs/local"])["machine"]["kubelet"]["extraMounts"][0]
    assert mount["source"] == mount["destination"] == "/var/openebs/local"
    assert "rshared" in mount["options"]


def test_a_document_is_text_as_talos_reads_it() -> None:
    # A word that YAML 1.1 takes for a boolean stays in quotes: Talos wants the word.
    [text] = config.render([config.hostname("worker-0")])
    assert text == "apiVersion: v1alpha1\nkind: HostnameConfig\nauto: 'off'\nhostname: worker-0\n"


def test_each_patch_is_a_document_of_its_own() -> None:
    # One text with several would be read as one document, and Talos would see the last of equal keys alone.
    rendered = config.render([config.kubeprism(), config.no_cluster_dns()])
    assert len(rendered) == 2
    assert [text for text in rendered if "---" in text] == []
