"""The process: reads the configuration, serves the API and the control socket, keeps the state, ends on a signal."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from lab.proxmox.cluster import LabPve
from lab.proxmox.control import Control
from lab.proxmox.power import PowerReports
from lab.proxmox.settings import Settings
from lab.proxmox.state import StateFile
from lab.proxmox.tls import ensure_certificate

log = logging.getLogger("lab.proxmox")


class Server:
    """Everything that runs in the process. `ca` is the file of the authority that clients may trust."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.state_dir.chmod(0o700)
        self.reports = PowerReports(settings.nodes_control)
        self._file = StateFile(settings.state_dir / "state.json")
        self.pve = LabPve(settings, self.reports, self._file.changed)
        self._control = Control(self.pve)
        self.ca = settings.state_dir / "ca.pem"

    async def start(self) -> None:
        """Serve. Once the API answers, so does the control socket.

        Raises:
            OSError: if an address is taken.
            ValueError: if the kept state cannot be used.
        """
        self.ca, certificate, key = ensure_certificate(self.settings.state_dir, self.settings.host)
        self._file.load(self.pve)
        self.pve.bind()
        self._file.keep(self.pve)
        self.reports.start()
        for vm in self.pve.vms:
            self.pve.announce(vm)
        await self._control.start(self.settings.control)
        await self.pve.serve(str(certificate), str(key))
        log.info("listening on %s", self.pve.url)

    async def stop(self) -> None:
        """Stop serving, deliver what can be delivered shortly, and keep the state."""
        await self._control.stop()
        await self.pve.stop()
        self._file.save()
        await self.reports.stop()
        log.info("stopped")


def log_to(path: Path) -> None:
    """Send the log of this process, and of fakepve, to a file that only its owner can read."""
    handler = logging.StreamHandler(os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a"))
    path.chmod(0o600)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("lab.proxmox", "fakepve", "aiohttp.server"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
