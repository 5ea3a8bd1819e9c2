"""Images in a machine configuration: found, and replaced with everything else as it was."""

from __future__ import annotations

import pytest

from components.talos import images
from components.talos.api import TalosError

CONFIGURATION = """\
apiVersion: v1alpha1
kind: HostnameConfig
auto: off # YAML 1.1 has a boolean here, Talos a word
---
version: v1alpha1
machine:
    kubelet:
        image: ghcr.io/siderolabs/kubelet:v1.35.2
    files:
        - permissions: 0o644
cluster:
    apiServer:
        image: "registry.k8s.io/kube-apiserver:v1.35.2"
"""


def test_only_the_image_changes() -> None:
    changed = images.replaced(CONFIGURATION, images.KUBELET, "ghcr.io/siderolabs/kubelet:v1.35.3")
    assert changed == CONFIGURATION.replace("kubelet:v1.35.2", "kubelet:v1.35.3")


def test_an_image_in_quotes_is_replaced_with_them() -> None:
    changed = images.replaced(CONFIGURATION, "kube-apiserver", "registry.k8s.io/kube-apiserver:v1.35.3")
    assert images.image(changed, "kube-apiserver") == "registry.k8s.io/kube-apiserver:v1.35.3"


def test_a_worker_has_no_api_server() -> None:
    worker = CONFIGURATION.partition("    apiServer")[0]
    with pytest.raises(TalosError, match=r"the machine configuration has no cluster\.apiServer\.image"):
        images.image(worker, "kube-apiserver")


@pytest.mark.parametrize(
    "image",
    [
        "registry.k8s.io/kube-apiserver:v1.36.3",
        "127.0.0.1:5000/kube-apiserver:v1.36.3",
        "registry.k8s.io/kube-apiserver:v1.36.3@sha256:00",
    ],
)
def test_the_version_is_the_tag(image: str) -> None:
    assert images.version(image) == "v1.36.3"
