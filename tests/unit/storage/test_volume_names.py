"""Which volume is whose, by its name alone."""

from __future__ import annotations

import pytest

from components.storage.csi_volume_names import VolumeNames

UUID = "0f4d9e7c-1b2a-4c3d-8e5f-a0b1c2d3e4f5"
LAB = VolumeNames("lab")


@pytest.mark.parametrize(
    "volume",
    [
        f"vm-9999-pvc-lab-{UUID}",
        f"local-zfs:vm-9999-pvc-lab-{UUID}",
        f"local-zfs:vm-9999-snapshot-lab-{UUID}",
        f"nfs:9999/vm-9999-pvc-lab-{UUID}.raw",
        f"nfs:9999/vm-9999-pvc-lab-{UUID}.qcow2",
    ],
)
def test_a_volume_with_the_clusters_name_and_a_whole_uuid_is_its_own(volume: str) -> None:
    assert LAB.owns(volume)


@pytest.mark.parametrize(
    "volume",
    [
        f"local-zfs:vm-9999-pvc-{UUID}",
        f"local-zfs:vm-9999-pvc-lab-2-{UUID}",
        f"local-zfs:vm-9999-pvc-my-lab-{UUID}",
        f"local-zfs:vm-9999-pvc-lab-{UUID}-{UUID}",
        f"local-zfs:vm-9999-pvc-lab-{UUID[:-1]}",
        f"local-zfs:vm-9999-pvc-lab-{UUID.upper()}",
        f"local-zfs:vm-9999-pvc-lab-{UUID}\n",
        f"local-zfs:vm-99990-pvc-lab-{UUID}",
        f"local-zfs:vm-1001-pvc-lab-{UUID}",
        f"local-zfs:base-9999-pvc-lab-{UUID}",
        f"nfs:9999/vm-9999-pvc-lab-{UUID}",
        f"nfs:100/vm-9999-pvc-lab-{UUID}.raw",
        f"nfs:9999/vm-9999-pvc-lab-{UUID}.raw.bak",
        "local-zfs:vm-1001-disk-0",
        "local:import/talos.qcow2",
    ],
)
def test_anything_else_is_not(volume: str) -> None:
    assert not LAB.owns(volume)


def test_a_name_with_a_dot_in_it_is_not_a_pattern() -> None:
    assert not VolumeNames("l.b").owns(f"local-zfs:vm-9999-pvc-lab-{UUID}")


def test_the_prefix_is_what_the_driver_makes_a_clusters_volume_of() -> None:
    assert LAB.owns(f"local-zfs:vm-9999-{LAB.volume_prefix}-{UUID}")
    assert LAB.owns(f"local-zfs:vm-9999-{LAB.snapshot_prefix}-{UUID}")


def test_a_cluster_name_too_long_for_lvm_is_refused() -> None:
    with pytest.raises(ValueError, match="33 characters are too many for the names of its volumes on LVM; take 32"):
        VolumeNames("x" * 33)
