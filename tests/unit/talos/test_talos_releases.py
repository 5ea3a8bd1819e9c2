"""Which releases a running cluster may be taken to."""

from __future__ import annotations

import pytest

from components.talos.releases import Cluster, refusals


def cluster(*, talos: str = "v1.13.9", kubernetes: str = "v1.35.2", kubelets: str | None = None) -> Cluster:
    return Cluster(
        talos={"controlplane-0": talos, "worker-0": talos},
        servers={"controlplane-0": kubernetes},
        kubelets={"controlplane-0": kubernetes, "worker-0": kubelets or kubernetes},
    )


@pytest.mark.parametrize("wanted", ["v1.35.1", "v1.35.2", "v1.35.9", "v1.36.0"])
def test_kubernetes_goes_to_its_own_minor_release_or_to_the_next(wanted: str) -> None:
    assert list(refusals(cluster(), talos="v1.13.9", kubernetes=wanted)) == []


def test_an_earlier_minor_release_of_kubernetes_is_refused() -> None:
    assert list(refusals(cluster(), talos="v1.13.9", kubernetes="v1.34.9")) == [
        "homelab:versions.kubernetes: v1.34.9 is older than the v1.35.2 that controlplane-0 runs, and Kubernetes never "
        "goes back to an earlier minor release, whose API server may not read what is in etcd; set v1.35"
    ]


def test_a_minor_release_of_kubernetes_is_not_left_out() -> None:
    assert list(refusals(cluster(kubernetes="v1.33.0"), talos="v1.13.9", kubernetes="v1.35.0")) == [
        "homelab:versions.kubernetes: v1.35.0 is 2 minor releases above the v1.33.0 that controlplane-0 runs, and "
        "Kubernetes is upgraded one at a time; set the newest v1.34 first"
    ]


def test_an_upgrade_of_kubernetes_that_was_begun_can_be_taken_back() -> None:
    begun = Cluster(
        talos={"a": "v1.13.9", "b": "v1.13.9"}, servers={"a": "v1.36.0", "b": "v1.35.2"}, kubelets={"a": "v1.35.2"}
    )
    assert list(refusals(begun, talos="v1.13.9", kubernetes="v1.35.2")) == []


@pytest.mark.parametrize("wanted", ["v1.12.9", "v1.12.1", "v1.13.0"])
def test_talos_goes_to_its_own_minor_release_or_to_the_next(wanted: str) -> None:
    assert list(refusals(cluster(talos="v1.12.6"), talos=wanted, kubernetes="v1.35.2")) == []


def test_an_earlier_minor_release_of_talos_is_refused() -> None:
    assert list(refusals(cluster(), talos="v1.12.6", kubernetes="v1.35.2")) == [
        "homelab:versions.talos: v1.12.6 is older than the v1.13.9 that controlplane-0 runs, and a node's state of a "
        "newer minor release is not made for it; set v1.13, or take the node back to what it ran before (talosctl "
        "rollback)"
    ]


def test_a_minor_release_of_talos_is_not_left_out() -> None:
    assert list(refusals(cluster(talos="v1.11.6"), talos="v1.13.9", kubernetes="v1.35.2")) == [
        "homelab:versions.talos: v1.13.9 is 2 minor releases above the v1.11.6 that controlplane-0 runs, and Talos is "
        "upgraded one at a time; set the newest v1.12 first"
    ]


def test_a_kubelet_that_the_new_talos_does_not_support_is_raised_first() -> None:
    running = cluster(talos="v1.12.6", kubernetes="v1.31.1", kubelets="v1.30.4")
    assert list(refusals(running, talos="v1.13.9", kubernetes="v1.32.0")) == [
        "homelab:versions.talos: v1.13.9 supports Kubernetes from v1.31, and worker-0 runs v1.30.4; leave Talos at "
        "v1.12.6, and raise homelab:versions.kubernetes first, one minor release at a time"
    ]
