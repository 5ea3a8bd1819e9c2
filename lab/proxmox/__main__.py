"""`python -m lab.proxmox --config FILE`: the simulated Proxmox VE as a process."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from lab.proxmox.server import Server, log_to
from lab.proxmox.settings import Settings


def main() -> int:
    """Serve until SIGTERM or SIGINT; 1 if the configuration or an address cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m lab.proxmox", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON file; see lab/proxmox/settings.py")
    path = parser.parse_args().config
    os.umask(0o077)
    try:
        settings = Settings.model_validate_json(path.read_bytes())
        asyncio.run(_serve(settings))
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False):
            print(f"{path}: {'.'.join(str(part) for part in item['loc'])}: {item['msg']}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = Server(settings)
    log_to(settings.state_dir / "proxmox.log")
    try:
        await server.start()
        print(f"listening on {server.pve.url}", flush=True)
        await ended.wait()
    finally:
        await server.stop()


if __name__ == "__main__":
    sys.exit(main())
