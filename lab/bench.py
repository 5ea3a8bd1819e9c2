"""How long the program takes, by the number of nodes: `make bench` prints one JSON object.

Owns the measurement alone: for each size a lab of its own, on which preview, up, a second up and destroy are timed as
whole processes, and an empty program's preview in the same run, because a figure means something only beside another
one. Memory is the largest peak among the processes that one command started; the lab's own processes do not count.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from lab import commands
from lab.preparation import prepare
from lab.progress import Progress
from lab.session import CHECKOUT, Session

SIZES = (5, 25, 100)
_OPTIONS = ("--yes", "--skip-preview", "--non-interactive")
_EMPTY = "name: empty\nruntime:\n  name: python\n"


def grown(settings: Mapping[str, Any], size: int) -> None:
    """Make settings (keys without `homelab:`) of `size` nodes from the lab's: more workers, on hosts that hold them."""
    site, nodes = settings["site"], settings["nodes"]
    worker = nodes["worker-0"]
    prefix = worker["address"].rsplit(".", 1)[0]
    hosts = list(site["hosts"])
    for host in site["hosts"].values():
        host |= {"cores": 4096, "memory": 64 * 2**20}
        host.pop("disk", None)
    for number in range(len(nodes), size):
        mac = f"BC:24:11:02:{number >> 8:02X}:{number & 255:02X}"
        identity = {"address": f"{prefix}.{number + 10}", "vmId": 5000 + number, "mac": mac}
        nodes[f"worker-{number}"] = worker | identity | {"host": hosts[number % len(hosts)]}


def _timed(arguments: list[str], environment: dict[str, str], cwd: Path = CHECKOUT) -> dict[str, float]:
    """Seconds and peak MiB of one command.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    script = (
        "import json,resource,subprocess,sys,time\n"
        "start=time.monotonic()\n"
        "done=subprocess.run(sys.argv[1:],stdin=subprocess.DEVNULL,stdout=subprocess.PIPE,stderr=subprocess.STDOUT)\n"
        "used=resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([done.returncode,time.monotonic()-start,used.ru_maxrss/1024,done.stdout.decode()[-3000:]]))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )
    status, seconds, peak, output = json.loads(shown.stdout)
    if status:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{output}")
    return {"seconds": round(seconds, 2), "peakMiB": round(peak)}


def _empty_preview(environment: dict[str, str]) -> dict[str, float]:
    """Preview of a program without resources, with the same engine and language host."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        (path / "Pulumi.yaml").write_text(_EMPTY)
        (path / "__main__.py").write_text("")
        own = {k: v for k, v in environment.items() if k not in ("PULUMI_STACK", "PULUMI_OPTION_CONFIG_FILE")}
        subprocess.run(
            ["pulumi", "stack", "init", "empty"], cwd=path, env=own, check=True, capture_output=True, stdin=None
        )
        _timed(["pulumi", "preview", "--non-interactive"], own, path)
        return _timed(["pulumi", "preview", "--non-interactive"], own, path)


def _measure(size: int) -> dict[str, Any]:
    session = Session(f"bench-{size}", "lab")
    try:
        with session.locked():
            lab = prepare(session, Progress(quiet=True))
        content = yaml.safe_load(session.config.read_text())
        grown({key.removeprefix("homelab:"): value for key, value in content["config"].items()}, size)
        session.config.write_text(yaml.safe_dump(content, sort_keys=False))
        environment = lab.cli.environment
        _timed(["pulumi", "preview", "--non-interactive"], environment)
        figures: dict[str, Any] = {"emptyPreview": _empty_preview(environment)}
        figures["preview"] = _timed(["pulumi", "preview", "--non-interactive"], environment)
        figures["up"] = _timed(["pulumi", "up", *_OPTIONS], environment)
        figures["noChangeUp"] = _timed(["pulumi", "up", *_OPTIONS, "--expect-no-changes"], environment)
        figures["destroy"] = _timed(["pulumi", "destroy", *_OPTIONS], environment)
        figures["previewToEmptyPreview"] = round(figures["preview"]["seconds"] / figures["emptyPreview"]["seconds"], 2)
        return figures
    finally:
        commands.down(session)


def main() -> int:
    """Print the figures of every size, and what one node more costs from each size to the next."""
    sizes = [int(size) for size in sys.argv[1:]] or list(SIZES)
    started = time.monotonic()
    figures = {}
    for size in sizes:
        print(f"measuring {size} nodes", file=sys.stderr, flush=True)
        with _quiet():
            figures[size] = _measure(size)
    costs = {
        f"{small}to{large}": {
            step: round((figures[large][step]["seconds"] - figures[small][step]["seconds"]) / (large - small), 3)
            for step in ("preview", "up", "noChangeUp", "destroy")
        }
        for small, large in pairwise(sizes)
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {"nodes": figures, "secondsPerNodeMore": costs, "seconds": round(time.monotonic() - started)}
    print(json.dumps(result | {"benchPeakMiB": round(peak)}, indent=2))
    return 0


class _quiet:  # noqa: N801 - reads as a statement
    """Sends what the lab says to standard error, so that standard output is one JSON object."""

    def __enter__(self) -> None:
        sys.stdout.flush()
        self._saved = os.dup(1)
        os.dup2(2, 1)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        os.dup2(self._saved, 1)
        os.close(self._saved)


if __name__ == "__main__":
    sys.exit(main())
