"""The cluster's secrets stay what they are."""

from __future__ import annotations

import asyncio
import base64

import pulumi
import pulumiverse_talos as talos

from checks.graph import record
from components.talos.api import TalosCredentials
from components.talos.secrets import ClientCredentials, TalosSecrets


def test_a_later_talos_version_does_not_make_new_cluster_secrets() -> None:
    def program() -> None:
        TalosSecrets("talos-secrets", "v1.13.9", pulumi.ResourceOptions(providers=[talos.Provider("talos")]))

    graph = record(program)
    assert list(graph["talos:machine/secrets:Secrets talos-secrets"].option("ignoreChanges")) == ["talosVersion"]


def test_a_command_reads_each_of_the_administrators_credentials_as_what_it_is() -> None:
    parts = [base64.b64encode(text).decode() for text in (b"authority", b"certificate", b"key")]

    async def written() -> str:
        return str(await ClientCredentials(*map(pulumi.Output.from_input, parts)).dumps().future())

    read = TalosCredentials.loads(asyncio.run(written()))
    assert (read.ca_certificate, read.client_certificate, read.client_key) == (b"authority", b"certificate", b"key")


def test_what_verifies_kubernetes_is_the_authority_of_kubernetes() -> None:
    def pair(name: str) -> dict[str, str]:
        return {"cert": f"{name} certificate", "key": f"{name} key"}

    names = ("etcd", "k8s", "k8sAggregator", "k8sServiceaccount", "os")
    fake = {
        "certs": {name: pair(name) for name in names},
        "cluster": {"id": "id", "secret": "secret"},
        "secrets": {"bootstrapToken": "token", "secretboxEncryptionSecret": "secret"},
        "trustdinfo": {"token": "token"},
    }
    seen: list[str] = []

    def program() -> None:
        made = TalosSecrets("talos-secrets", "v1.13.9", pulumi.ResourceOptions(providers=[talos.Provider("talos")]))
        made.kubernetes_ca.apply(seen.append)

    record(program, fakes={"talos:machine/secrets:Secrets": {"machineSecrets": fake}})
    assert seen == ["k8s certificate"]
