"""Records the real program for checks and tests, with answers like those of the providers.

Owns the answers that a preview does not have (`_FAKES`, `_INVOKES`) and the placeholders for a stack's secrets. If a
component's outputs determine what others receive, its answer is added here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from checks.graph import Graph, Invoke, Secret, load_stack_config, record

ROOT = Path(__file__).resolve().parents[1]

PLANTED = {
    "homelab:proxmoxPassword": "planted-password",
    "homelab:proxmoxApiToken": "root@pam!planted=00000000-0000-0000-0000-000000000000",
    "homelab:tailscaleAuthKey": "planted-auth-key",
    "homelab:sealingKey": "planted-sealing-key",
    "homelab:edgeSshKey": "planted-edge-ssh-key",
    "homelab:edgeTsigKey": "planted-edge-tsig-key",
    "homelab:gitDeployKey": "planted-git-deploy-key",
    "homelab:gitPushKey": "planted-git-push-key",
}
"""Values of the stack's secrets, which checks search for where they must not appear."""

_PAIR = {"cert": "Y2VydA==", "key": "a2V5"}
_FAKES: dict[str, Any] = {
    "talos:machine/secrets:Secrets": {
        "machineSecrets": Secret(
            {
                "certs": {
                    "etcd": _PAIR,
                    "k8s": _PAIR,
                    "k8sAggregator": _PAIR,
                    "k8sServiceaccount": {"key": "a2V5"},
                    "os": _PAIR,
                },
                "cluster": {"id": "planted-cluster-id", "secret": "s"},
                "secrets": {"bootstrapToken": "b", "secretboxEncryptionSecret": "e"},
                "trustdinfo": {"token": "t"},
            }
        ),
        "clientConfiguration": {"caCertificate": "Y2E=", "clientCertificate": "Y2M=", "clientKey": Secret("Y2s=")},
    },
    "talos:imageFactory/schematic:Schematic": {"id": "f" * 64},
    "csi-token": {"id": "lab-csi@pve!api", "value": Secret("lab-csi@pve!api=planted-token")},
    "receiver-token": {"result": Secret("planted-webhook-token")},
    "talos:cluster/kubeconfig:Kubeconfig": {"kubeconfigRaw": Secret("apiVersion: v1\nkind: Config\n")},
}


def _machine_configuration(invoke: Invoke) -> dict[str, Any]:
    return {"id": "1", "machineConfiguration": json.dumps(invoke.args["configPatches"])}


_INVOKES: dict[str, Any] = {
    "talos:machine/getConfiguration:getConfiguration": _machine_configuration,
    "talos:client/getConfiguration:getConfiguration": {"id": "1", "talosConfig": Secret("context: lab\n")},
}

Change = Callable[[dict[str, Any]], None]


def _staging(settings: dict[str, Any]) -> None:
    settings["certificates"]["staging"] = not settings["certificates"].get("staging", True)


def _without_edge(settings: dict[str, Any]) -> None:
    settings.pop("edge", None)


def _without_workers(settings: dict[str, Any]) -> None:
    settings["nodes"] = {name: node for name, node in settings["nodes"].items() if node["role"] == "controlplane"}


def private(settings: dict[str, Any]) -> None:
    """The cluster's own authority signs its certificates."""
    settings["certificates"] = {"acme": False}


def _snapshots(settings: dict[str, Any]) -> None:
    settings.setdefault("storage", {})["snapshots"] = True


SHAPES: tuple[Change, ...] = (_staging, _without_edge, _without_workers, private, _snapshots)
"""Changes of a stack file by which charts get other values than those of the repository's stacks."""


def recorded(stack: str = "lab", *, change: Change | None = None, known: bool = True) -> Graph:
    """The graph of `stack`, whose settings `change` may edit first (keys without `homelab:`).

    known: answer as providers do in a second preview; otherwise outputs are unknown, as in a first preview.
    Equal settings give the same object as long as it is among the last few: nobody changes a graph.
    """
    return recorded_with_settings(stack, change=change, known=known)[0]


def recorded_with_settings(
    stack: str, *, change: Change | None = None, known: bool = True
) -> tuple[Graph, dict[str, Any]]:
    """The graph of `stack`, as `recorded` makes it, and the settings that it was made of (without `homelab:`)."""
    config = load_stack_config(ROOT, stack)
    settings = {key.removeprefix("homelab:"): json.loads(value) for key, value in config.items() if "homelab:" in key}
    others = {key: value for key, value in config.items() if "homelab:" not in key}
    if change is not None:
        change(settings)
    keys = ["homelab:proxmoxPassword" if "username" in settings["site"] else "homelab:proxmoxApiToken"]
    keys += ["homelab:sealingKey"] if "sealing" in settings else []
    keys += ["homelab:tailscaleAuthKey", *(["homelab:edgeSshKey", "homelab:edgeTsigKey"] if "edge" in settings else [])]
    over_ssh = (settings.get("gitops") or {}).get("seed", "").startswith("ssh://")
    keys += ["homelab:gitDeployKey", "homelab:gitPushKey"] if over_ssh else []
    secrets = {key: PLANTED[key] for key in keys}
    configured = {**others, **{f"homelab:{key}": json.dumps(value) for key, value in settings.items()}}
    return _recorded(stack, json.dumps([configured, secrets]), known), settings


@lru_cache(maxsize=8)
def _recorded(stack: str, given: str, known: bool) -> Graph:
    """given: the configuration and its secrets, in JSON."""
    config, secrets = json.loads(given)
    return record(
        ROOT,
        project="homelab",
        stack=stack,
        config=config,
        secrets=secrets,
        fakes=_FAKES if known else {},
        invokes=_INVOKES if known else {},
    )
