"""The secrets of one Talos cluster: its certificate authorities, keys and tokens.

Owns them, and hands them out in the shapes that the rest needs. Does not own what is signed with them.
Must exist before: nothing but the provider. They exist before the first machine, because the checks around a
machine's restart talk to its cluster. They never change: a new set is a new cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumiverse_talos as talos


@dataclass(frozen=True)
class ClientCredentials:
    """CA, certificate and key of the administrator's Talos client: PEM in base64, as in a talosconfig."""

    ca_certificate: pulumi.Output[str]
    client_certificate: pulumi.Output[str]
    client_key: pulumi.Output[str]

    def dumps(self) -> pulumi.Output[str]:
        """All three for a command, as `TalosCredentials.loads` reads them; a secret."""
        text: pulumi.Output[str] = pulumi.Output.json_dumps(
            [self.ca_certificate, self.client_certificate, self.client_key]
        )
        return pulumi.Output.secret(text)


class TalosSecrets(pulumi.ComponentResource):
    """Generated once for each cluster and kept in state as secrets."""

    client: ClientCredentials
    """The administrator's credentials for every node; the key is a secret."""

    machine_secrets: pulumi.Output[dict[str, object]]
    """What machine configurations are generated from, under the keys that the provider expects; a secret."""

    kubernetes_ca: pulumi.Output[str]
    """Certificate of the Kubernetes CA, PEM in base64."""

    cluster_id: pulumi.Output[str]
    """Changes only when the cluster is rebuilt; a secret, as it identifies the cluster to Talos's discovery service."""

    generated: pulumi.Resource
    """The resource that is deleted only with the cluster."""

    def __init__(self, name: str, talos_version: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:talos:TalosSecrets", name, None, opts)
        secrets = talos.machine.Secrets(
            name,
            talos_version=talos_version,
            # The version only determines the format at generation; following it later would make a new cluster.
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["talosVersion"]),
        )
        self.generated = secrets
        client = secrets.client_configuration
        key: pulumi.Output[str] = pulumi.Output.secret(client.client_key)
        self.client = ClientCredentials(client.ca_certificate, client.client_certificate, key)
        self.machine_secrets = pulumi.Output.secret(secrets.machine_secrets.apply(_renamed))
        self.kubernetes_ca = secrets.machine_secrets.certs.k8s.cert
        self.cluster_id = pulumi.Output.secret(secrets.machine_secrets.cluster.id)
        self.register_outputs({"cluster_id": self.cluster_id})


def _pair(certificate: Any) -> dict[str, str]:
    return {"cert": certificate.cert, "key": certificate.key}


def _renamed(known: Any) -> dict[str, object]:
    """The secrets under the provider's own keys: the SDK hands over snake_case, which the provider refuses.

    https://github.com/pulumiverse/pulumi-talos/issues/103; to be dropped when that is fixed.
    """
    certs = known.certs
    return {
        "certs": {
            "etcd": _pair(certs.etcd),
            "k8s": _pair(certs.k8s),
            "k8sAggregator": _pair(certs.k8s_aggregator),
            "k8sServiceaccount": {"key": certs.k8s_serviceaccount.key},
            "os": _pair(certs.os),
        },
        "cluster": {"id": known.cluster.id, "secret": known.cluster.secret},
        "secrets": {
            "bootstrapToken": known.secrets.bootstrap_token,
            "secretboxEncryptionSecret": known.secrets.secretbox_encryption_secret,
        },
        "trustdinfo": {"token": known.trustdinfo.token},
    }
