"""One lab: its directory under .lab/, what it remembers, and the environment of everything that runs in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.errors import LabError

CHECKOUT = Path(__file__).resolve().parent.parent
ROOT = CHECKOUT / ".lab"

MARKER = "HOMELAB_LAB_PROCESS"
"""Environment variable that every process of a lab carries; its value is the lab's directory."""

SOCKET_PATH_LIMIT = 100
"""Bytes that a Unix socket's path may have, with room for the longest name used here. Linux itself allows 108."""

_NOT_FOR_A_LAB = ("PROXMOX_VE_", "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "HOMELAB_LAB", "KUBE_", "SSL_CERT_")
"""Prefixes of variables that name credentials, or another lab. Proxies go too: everything of a lab is local."""

_FROM_A_LAB_SHELL = ("PULUMI_STACK", "PULUMI_OPTION_CONFIG_FILE", "PULUMI_BACKEND_URL", "KUBECONFIG", "TALOSCONFIG")


class Session:
    """The directory of one lab and the files in it. Everything below it is readable by its owner only."""

    def __init__(self, name: str, stack: str, source: Path | None = None) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", name):
            raise LabError(f"LAB_ID={name!r}: use lower-case letters, digits and hyphens, at most 41")
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", stack):
            raise LabError(f"STACK={stack!r}: a stack's name has letters, digits, '_', '.' and '-'")
        self.name = name
        self.stack = stack
        self.source = source or CHECKOUT / f"Pulumi.{stack}.yaml"
        self.directory = ROOT / name
        self.pulumi_home = self.directory / "pulumi"
        self.state = self.directory / "state"
        self.bin = self.directory / "bin"
        self.logs = self.directory / "logs"
        self.pids = self.directory / "pids"
        self.charts = self.directory / "charts"
        self.trusted = self.directory / "trusted"
        self.passphrase = self.directory / "passphrase"
        self.config = self.directory / f"Pulumi.{stack}.yaml"
        self.kubeconfig = self.directory / "kubeconfig"
        self.talosconfig = self.directory / "talosconfig"

    def exists(self) -> bool:
        """Whether anything of this lab is left on disk."""
        return self.directory.is_dir()

    def create(self) -> None:
        """Make the directories and the passphrase; what is there stays."""
        os.umask(0o077)
        parts = (self.pulumi_home, self.state, self.bin, self.logs, self.pids, self.charts, self.trusted)
        for path in (ROOT, self.directory, *parts):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.passphrase.exists():
            write_private(self.passphrase, secrets.token_urlsafe(32))

    def state_of(self, process: str) -> Path:
        """The directory that a process of the lab keeps its state in."""
        path = self.directory / "state-of" / process
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    @property
    def sockets(self) -> Path:
        """Where control sockets are: in the lab's directory, or in a short one if its path is too long for a socket."""
        here = self.directory / "run"
        if len(os.fsencode(here)) < SOCKET_PATH_LIMIT - len("/control.sock"):
            here.mkdir(exist_ok=True, mode=0o700)
            return here
        remembered = self.recall("sockets")
        if not remembered or not Path(remembered).is_dir():
            remembered = tempfile.mkdtemp(prefix="homelab-", dir=os.environ.get("XDG_RUNTIME_DIR"))
            self.remember(sockets=remembered)
        return Path(remembered)

    def recall(self, key: str) -> Any:
        """What `remember` stored under that key, else None."""
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return json.loads((self.directory / "lab.json").read_text()).get(key)
        return None

    def remember(self, **values: Any) -> None:
        """Store facts that later commands need. A value of None removes one."""
        path = self.directory / "lab.json"
        known: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            known = json.loads(path.read_text())
        known.update(values)
        write_private(path, json.dumps({key: value for key, value in known.items() if value is not None}, indent=2))

    def remove(self) -> None:
        """Delete every file of this lab, and .lab itself when it was the last."""
        remembered = self.recall("sockets")
        if remembered:
            shutil.rmtree(remembered, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.directory.exists():
            raise LabError(f"{self.directory} cannot be removed: look at its owner, then remove it by hand")
        (ROOT / f"{self.name}.lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            ROOT.rmdir()

    @contextlib.contextmanager
    def locked(self, *, wait: bool = False) -> Iterator[None]:
        """Keep a second command from changing the same lab at the same time.

        Raises:
            LabError: if another command holds the lock and this one is not to wait.
        """
        ROOT.mkdir(exist_ok=True, mode=0o700)
        path = ROOT / f"{self.name}.lock"
        with path.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError(
                    f"another command is working on the lab {self.name!r}: wait for it, or name another lab: LAB_ID=..."
                ) from None
            yield

    def environment(self) -> dict[str, str]:
        """The environment in which `pulumi` and the clients work on this lab."""
        return outer_environment() | {
            "PATH": f"{self.bin}{os.pathsep}{outer_path()}",
            "PULUMI_HOME": str(self.pulumi_home),
            # Without the checksum that the file backend would write beside the state, at each of its steps.
            "PULUMI_BACKEND_URL": f"{self.state.as_uri()}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.passphrase),
            "PULUMI_STACK": self.stack,
            "PULUMI_OPTION_CONFIG_FILE": str(self.config),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "KUBECONFIG": str(self.kubeconfig),
            "TALOSCONFIG": str(self.talosconfig),
            "HELM_CACHE_HOME": str(self.directory / "helm" / "cache"),
            "HELM_CONFIG_HOME": str(self.directory / "helm" / "config"),
            "HELM_DATA_HOME": str(self.directory / "helm" / "data"),
            "KUBECACHEDIR": str(self.directory / "kubectl"),
            # As on a machine at a site: Pulumi's Proxmox plugin accepts the site's authority only so.
            "SSL_CERT_DIR": f"/etc/ssl/certs:/etc/pki/tls/certs:{self.trusted}",
            "HOMELAB_LAB": self.name,
            "HOMELAB_LAB_DIRECTORY": str(self.directory),
        }


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    scratch.rename(path)


def outer_path() -> str:
    """PATH without the directories of any lab, as it is outside a lab's shell."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if not Path(entry).is_relative_to(ROOT))


def outer_environment() -> dict[str, str]:
    """The user's environment without what a lab's shell, or a site's credentials, would bring into another lab."""
    environment = {key: value for key, value in os.environ.items() if key not in _FROM_A_LAB_SHELL}
    for key in list(environment):
        if key.startswith(_NOT_FOR_A_LAB) or key.lower().endswith("_proxy"):
            del environment[key]
    if Path(environment.get("PULUMI_HOME", "/")).is_relative_to(ROOT):
        del environment["PULUMI_HOME"]
    return environment | {"PATH": outer_path()}
