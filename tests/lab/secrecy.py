"""Where secrets must not be: which ones a lab has, and what programs are given on their command lines."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.lab.live import LiveLab

_SAMPLE_SECONDS = 0.005
_SETTLED_SECONDS = 0.5
"""Age at which a process is no longer expected to become another program."""

_SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""The key that marks a secret in an exported state (github.com/pulumi/pulumi, sdk/go/common/resource/sig)."""


def planted(lab: LiveLab) -> dict[str, str]:
    """Every secret that the lab has at the moment, by what it is: of the settings, the cluster and the CSI account."""
    exported = json.loads(lab.run("pulumi", "stack", "export", "--show-secrets").stdout)["deployment"]["resources"]
    outputs = {resource["type"]: _plain(resource.get("outputs")) for resource in exported}
    talos, token = outputs["talos:machine/secrets:Secrets"], outputs["proxmoxve:user/token:Token"]["value"]
    machine = talos["machineSecrets"]
    return {
        "Proxmox password": lab.run("pulumi", "config", "get", "homelab:proxmoxPassword").stdout.strip(),
        "Tailscale key": lab.run("pulumi", "config", "get", "homelab:tailscaleAuthKey").stdout.strip(),
        "passphrase of the state": lab.session.passphrase.read_text().strip(),
        "CSI token": token,
        "CSI token's secret part": token.partition("=")[2],
        "Talos client key": talos["clientConfiguration"]["clientKey"],
        "Kubernetes client key": outputs["talos:cluster/kubeconfig:Kubeconfig"]["kubernetesClientConfiguration"][
            "clientKey"
        ],
        "cluster secret": machine["cluster"]["secret"],
        "trustd token": machine["trustdinfo"]["token"],
        "bootstrap token": machine["secrets"]["bootstrapToken"],
        "secretbox key": machine["secrets"]["secretboxEncryptionSecret"],
    } | {f"key of {name}": pair["key"] for name, pair in machine["certs"].items()}


def found_in(text: str, secrets: Mapping[str, str]) -> list[str]:
    """Which secrets stand in a text, in any of the forms in which a program could write them."""
    return [name for name, value in secrets.items() if any(form in text for form in _forms(value))]


@contextlib.contextmanager
def command_lines() -> Iterator[set[tuple[str, ...]]]:
    """Collects the arguments of every process of this machine that lives for 10 ms while the block runs."""
    seen: set[tuple[str, ...]] = set()
    ended = threading.Event()

    def sample() -> None:
        first_seen: dict[str, float] = {}
        while not ended.wait(_SAMPLE_SECONDS):
            seen.update(_young(first_seen))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield seen
    finally:
        ended.set()
        sampler.join()


def programs(lines: Iterable[tuple[str, ...]]) -> set[str]:
    """The names of the programs that were run."""
    return {os.path.basename(arguments[0]) for arguments in lines}


def _young(first_seen: dict[str, float]) -> Iterator[tuple[str, ...]]:
    """The arguments of processes that are new since `first_seen`, which is brought up to date."""
    now = time.monotonic()
    running = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    for pid in first_seen.keys() - set(running):
        del first_seen[pid]
    for pid in running:
        if now - first_seen.setdefault(pid, now) < _SETTLED_SECONDS:
            with contextlib.suppress(OSError):
                if line := Path(f"/proc/{pid}/cmdline").read_bytes():
                    yield tuple(line.decode(errors="replace").rstrip("\0").split("\0"))


def _plain(value: Any) -> Any:
    """A state's value with its secrets in clear."""
    if isinstance(value, dict):
        if _SECRET_SIGNATURE in value:
            return _plain(json.loads(value["plaintext"]))
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _forms(value: str) -> set[str]:
    """A secret as it is, in base64, and what it stands for if it is base64 itself."""
    forms = {value, base64.b64encode(value.encode()).decode()}
    with contextlib.suppress(binascii.Error, UnicodeDecodeError):
        inner = base64.b64decode(value, validate=True).decode().strip()
        forms |= {inner, "".join(line for line in inner.splitlines() if not line.startswith("-----"))}
    return forms
