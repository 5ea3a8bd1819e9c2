"""The Vault custom resource, from which the operator makes pods; pure Python.

Owns no resource: `vault.py` creates it. Fields are those of vault.banzaicloud.com/v1alpha1 at release 1.24 of the
operator, whose CRD silently drops unknown ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.kit.namespace import SERVICE_DOMAIN
from components.kit.versions import BANK_VAULTS, VAULT

API_PORT = 8200
CLUSTER_PORT = 8201
RAFT_PATH = "/vault/file"
TLS_PATH = "/vault/tls"

_USER, _GROUP = 100, 1000
"""Id of the user `vault` in the image hashicorp/vault."""

_CONTAINER_SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_CONTROL_PLANE_TAINT = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}


@dataclass(frozen=True, kw_only=True)
class VaultResource:
    """A highly available Vault on raft.

    name, namespace: of the resource; its pods and their Services are `<name>-0` and so on.
    size: number of servers.
    storage_class, storage: each server's volume.
    service_account: of all pods.
    tls_secret: Secret of type kubernetes.io/tls with `ca.crt`; pods restart when a Secret with `tls_labels` changes.
    unseal_secret: Secret in which the unseal keys and the root token are stored at the first start.
    external_config: the configurer's document.
    configurer_annotations: on the configurer's Deployment.
    host_aliases: address by host name, for hosts that the servers call and DNS may not know yet.
    """

    name: str
    namespace: str
    size: int
    storage_class: str
    storage: str
    service_account: str
    tls_secret: str
    tls_labels: Mapping[str, str]
    unseal_secret: str
    external_config: Mapping[str, Any]
    configurer_annotations: Mapping[str, str]
    host_aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        """The operator's labels of the servers' pods."""
        return {"app.kubernetes.io/name": "vault", "vault_cr": self.name}

    @property
    def configurer_labels(self) -> dict[str, str]:
        """On a Secret with a key `vault-config.yml`: the operator hands it to the configurer as a further document."""
        return {"app.kubernetes.io/name": "vault-configurator", "vault_cr": self.name}

    @property
    def pods(self) -> list[str]:
        """Names of the servers' pods, each also the name of a Service."""
        return [f"{self.name}-{index}" for index in range(self.size)]

    @property
    def dns_names(self) -> list[str]:
        """Every name by which a server is called: by clients, by the configurer, and by the servers themselves."""
        domains = ("", f".{self.namespace}", f".{self.namespace}.svc", f".{self.namespace}.svc.{SERVICE_DOMAIN}")
        return [f"{service}{domain}" for service in (self.name, *self.pods) for domain in domains]

    @property
    def address(self) -> str:
        """Where clients find the active server."""
        return f"https://{self.name}.{self.namespace}.svc:{API_PORT}"

    def server_config(self) -> dict[str, Any]:
        """The servers' own configuration; `${...}` is filled in for each pod before it starts."""
        pod = f"${{.Env.POD_NAME}}.{self.namespace}.svc"
        return {
            # Raft keeps its data in memory-mapped files, which mlock would pin; Vault 2 requires an explicit setting.
            "disable_mlock": True,
            "ui": True,
            "log_format": "json",
            "api_addr": f"https://{pod}:{API_PORT}",
            "cluster_addr": f"https://{pod}:{CLUSTER_PORT}",
            "storage": {"raft": {"path": RAFT_PATH, "node_id": "${.Env.POD_NAME}"}},
            "listener": {
                "tcp": {
                    "address": f"0.0.0.0:{API_PORT}",
                    "tls_cert_file": f"{TLS_PATH}/server.crt",
                    "tls_key_file": f"{TLS_PATH}/server.key",
                }
            },
            # Metrics for Prometheus, which needs a token with a policy for sys/metrics: no listener serves them openly.
            "telemetry": {"prometheus_retention_time": "1h", "disable_hostname": True},
        }

    def spec(self) -> dict[str, Any]:
        """The resource's `spec`."""
        spec: dict[str, Any] = {
            "size": self.size,
            "image": VAULT.reference,
            "bankVaultsImage": BANK_VAULTS.reference,
            "serviceAccount": self.service_account,
            # Labels the pod of the active server, which the Service of clients selects.
            "serviceRegistrationEnabled": True,
            "statsdDisabled": True,
            "existingTlsSecretName": self.tls_secret,
            "watchedSecretsLabels": [dict(self.tls_labels)],
            "unsealConfig": self._unseal_config(),
            "config": self.server_config(),
            "externalConfig": dict(self.external_config),
            "vaultConfigurerAnnotations": dict(self.configurer_annotations),
            "volumeClaimTemplates": [self._volume_claim()],
            "volumeMounts": [{"name": "vault-raft", "mountPath": RAFT_PATH}],
            "affinity": self._affinity(),
            "tolerations": [_CONTROL_PLANE_TAINT],
            "resources": {
                # Measured: a server takes 160 to 215 MB, the configurer 63 MB.
                "vault": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
                "bankVaults": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
            },
        } | self._pod_security()
        if self.host_aliases:
            spec["vaultPodSpec"]["hostAliases"] = [
                {"ip": address, "hostnames": [host]} for host, address in sorted(self.host_aliases.items())
            ]
        return spec

    def _unseal_config(self) -> dict[str, Any]:
        """Keys in a Secret, the root token with them.

        Whoever has the keys can make a root token, so leaving it out would protect nothing; but bank-vaults would
        then print the first one to the pod's log, and make another at every run that nobody ever revokes.
        """
        return {
            "options": {"preFlightChecks": True, "storeRootToken": True, "secretShares": 5, "secretThreshold": 3},
            "kubernetes": {"secretNamespace": self.namespace, "secretName": self.unseal_secret},
        }

    def _volume_claim(self) -> dict[str, Any]:
        return {
            "metadata": {"name": "vault-raft"},
            "spec": {
                "storageClassName": self.storage_class,
                "accessModes": ["ReadWriteOnce"],
                "volumeMode": "Filesystem",
                "resources": {"requests": {"storage": self.storage}},
            },
        }

    def _affinity(self) -> dict[str, Any]:
        """Never two servers on a node, so that losing one leaves a quorum; on different Proxmox hosts if possible."""
        selector = {"labelSelector": {"matchLabels": self.labels}}
        return {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "kubernetes.io/hostname"} | selector
                ],
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 100, "podAffinityTerm": {"topologyKey": "topology.kubernetes.io/zone"} | selector}
                ],
            }
        }

    def _pod_security(self) -> dict[str, Any]:
        """What level `restricted` requires of every container, and what the image must not try without root."""
        sidecar = {"name": "bank-vaults", "securityContext": _CONTAINER_SECURITY}
        return {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _GROUP,
                "fsGroup": _GROUP,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "vaultContainerSpec": {"name": "vault", "securityContext": _CONTAINER_SECURITY},
            "vaultPodSpec": {
                "containers": [sidecar],
                "initContainers": [{"name": "config-templating", "securityContext": _CONTAINER_SECURITY}],
            },
            "vaultConfigurerPodSpec": {"containers": [sidecar]},
            # Its entrypoint would change owners and set a file capability, and exit where that is not allowed.
            "skipEntrypointSetup": True,
        }
