"""The cluster's secrets stay what they are."""

from __future__ import annotations

import pulumi
import pulumiverse_talos as talos

from checks.graph import record
from components.talos.secrets import TalosSecrets


def test_a_later_talos_version_does_not_make_new_cluster_secrets() -> None:
    def program() -> None:
        TalosSecrets("talos-secrets", "v1.13.9", pulumi.ResourceOptions(providers=[talos.Provider("talos")]))

    graph = record(program)
    assert list(graph["talos:machine/secrets:Secrets talos-secrets"].option("ignoreChanges")) == ["talosVersion"]
