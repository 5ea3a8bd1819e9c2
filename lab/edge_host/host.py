"""The public host of a lab: an SSH server that takes the edge's programs and runs none (`ssh_hosts/cmd/edge-host`).

Owns its keys, its configuration, and the look at what is left on it after a destroy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from lab import processes
from lab.errors import LabError
from lab.programs import Found
from lab.session import Session, write_private

if TYPE_CHECKING:
    from stacks.settings.model import Edge

NAME = "edge-host"


def new_key() -> str:
    """A private key in OpenSSH's format."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def public_key(private: str) -> str:
    """The public half, as in authorized_keys and known_hosts."""
    key = load_ssh_private_key(private.encode(), None).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def host_key(session: Session) -> str:
    """The public host key; the pair is made once for a lab."""
    path = _host_key_file(session)
    if not path.exists():
        write_private(path, new_key())
    return public_key(path.read_text())


@dataclass(frozen=True)
class EdgeHost:
    """The host of one lab; `private_key` is the account's."""

    session: Session
    edge: Edge
    private_key: str

    def start(self, tools: Mapping[str, Found]) -> bool:
        """Start it unless it runs, and wait until it answers. Tells whether it was started.

        Raises:
            LabError: if the address is taken, or it does not come up.
        """
        if processes.running(self.session, NAME):
            return False
        host, port = self._address
        if processes.listening(host, port):
            raise LabError(
                f"{host}:{port} is in use by a process that is not this lab's: end it, or use another LAB_ID"
            )
        self._state.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        config = self.session.directory / f"{NAME}.json"
        write_private(
            config,
            json.dumps(
                {
                    "listen": f"{host}:{port}",
                    "user": self.edge.ssh.user,
                    "authorizedKey": public_key(self.private_key),
                    "hostKey": str(_host_key_file(self.session)),
                    "state": str(self._state),
                },
                indent=2,
            ),
        )
        processes.start(self.session, NAME, [str(tools[NAME].path), "--config", str(config)])
        processes.wait_until(self.session, NAME, lambda: processes.listening(host, port), f"{host}:{port}")
        return True

    def left_over(self) -> list[str]:
        """What is still set up on it."""
        return [f"{program} on the edge host" for program in sorted(json.loads(self._state.read_text()))]

    @property
    def _address(self) -> tuple[str, int]:
        return self.edge.ssh.host or str(self.edge.address), self.edge.ssh.port

    @property
    def _state(self) -> Path:
        return self.session.directory / "state-of" / NAME / "programs.json"


def _host_key_file(session: Session) -> Path:
    return session.directory / "edge-host-key"
