"""How long the program takes, by the number of nodes: `make bench` prints one JSON object.

Owns the measurement alone: for each size a lab of its own, on which preview, up, an up that changes nothing and destroy
are timed as whole processes, and an empty program's preview in the same run, because a figure means something only
beside another one. Preview and the up that changes nothing are each run once before, so that both are warm. The two
previews are short compared with what else a machine does: theirs is the median of alternating runs. CPU time and
memory are of the processes that one command started (the largest peak among them); the lab's own do not count.

`lab` is the whole of `make lab` with the tools built, from nothing to a platform that is up. Two figures have limits
(`LIMITS`); what is beyond its limit is listed, and is the exit status.

`upWithoutCheckpoints` and `destroyWithoutCheckpoints` are the program's share. The engine's file backend writes the
whole state anew before and after every operation, in time that grows with the square of the resources, whatever the
program is (https://github.com/pulumi/pulumi/issues/10668); these two runs leave that out, and no other does.
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

from lab import commands
from lab.preparation import prepare
from lab.progress import Progress
from lab.session import CHECKOUT, Session
from stacks.settings import stack_file

SIZES = (5, 25, 100)
STEPS = ("preview", "up", "noChangeUp", "destroy", "upWithoutCheckpoints", "destroyWithoutCheckpoints")
LIMITS = {"labSeconds": 180.0, "previewToEmptyPreview": 5.0}
"""At most: seconds of `make lab`, and the preview of the lab's stack as a multiple of that of an empty program."""

_WITHOUT_CHECKPOINTS = {"PULUMI_SKIP_CHECKPOINTS": "true"}
_PREVIEW = ["pulumi", "preview", "--non-interactive"]
_PREVIEWS = 5
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
    """Seconds, seconds of CPU and peak MiB of one command.

    Raises:
        RuntimeError: it failed; the message has the end of its output.
    """
    script = (
        "import json,resource,subprocess,sys,time\n"
        "start=time.monotonic()\n"
        "done=subprocess.run(sys.argv[1:],stdin=subprocess.DEVNULL,stdout=subprocess.PIPE,stderr=subprocess.STDOUT)\n"
        "used=resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "figures=[time.monotonic()-start,used.ru_utime+used.ru_stime,used.ru_maxrss/1024]\n"
        "print(json.dumps([done.returncode,*figures,done.stdout.decode()[-3000:]]))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )
    status, seconds, cpu, peak, output = json.loads(shown.stdout)
    if status:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{output}")
    return {"seconds": round(seconds, 2), "cpuSeconds": round(cpu, 2), "peakMiB": round(peak)}


def previews(name: str) -> dict[str, dict[str, float]]:
    """The two previews, for the lab's stack on an empty state.

    name: of a lab that is made for this, without a process.

    Raises:
        RuntimeError: the program's preview failed.
    """
    session = Session(name, "lab")
    try:
        if commands.preview(session, like_the_lab=True):
            raise RuntimeError("the preview of the lab's stack failed")
        return _previews(_warm(session.environment()))
    finally:
        session.remove()


def ratio(figures: Mapping[str, Mapping[str, float]], unit: str = "seconds") -> float:
    """How many times as long as that of an empty program the preview takes."""
    return round(figures["preview"][unit] / figures["emptyPreview"][unit], 2)


def beyond(figures: Mapping[str, float]) -> list[str]:
    """The figures that are more than their limit, in words; those that were not taken are not."""
    return [
        f"{name} is {figures[name]}, at most {limit:g}"
        for name, limit in LIMITS.items()
        if name in figures and figures[name] > limit
    ]


def _warm(environment: dict[str, str]) -> dict[str, str]:
    """An environment in which only the first run compiles the program."""
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _previews(environment: dict[str, str]) -> dict[str, dict[str, float]]:
    """Preview of the program, and of one without resources with the same engine and language host."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        (path / "Pulumi.yaml").write_text(_EMPTY)
        (path / "__main__.py").write_text("")
        own = {k: v for k, v in environment.items() if k not in ("PULUMI_STACK", "PULUMI_OPTION_CONFIG_FILE")}
        subprocess.run(
            ["pulumi", "stack", "init", "empty"], cwd=path, env=own, check=True, capture_output=True, stdin=None
        )
        runs = [(_timed(_PREVIEW, own, path), _timed(_PREVIEW, environment)) for _ in range(1 + _PREVIEWS)][1:]
    empty, program = (sorted(run, key=lambda figures: figures["seconds"]) for run in zip(*runs, strict=True))
    return {"emptyPreview": empty[_PREVIEWS // 2], "preview": program[_PREVIEWS // 2]}


def _measure(size: int) -> dict[str, Any]:
    session = Session(f"bench-{size}", "lab")
    try:
        with session.locked():
            lab = prepare(session, Progress(quiet=True))
        content = stack_file.parse(session.config.read_text())
        grown({key.removeprefix("homelab:"): value for key, value in content["config"].items()}, size)
        session.config.write_text(stack_file.dump(content))
        environment = _warm(lab.cli.environment)
        figures: dict[str, Any] = dict(_previews(environment))
        figures["up"] = _timed(["pulumi", "up", *_OPTIONS], environment)
        # The first rewrites what the provider words differently once a VM exists; it changes nothing else.
        _timed(["pulumi", "up", *_OPTIONS, "--expect-no-changes"], environment)
        figures["noChangeUp"] = _timed(["pulumi", "up", *_OPTIONS, "--expect-no-changes"], environment)
        figures["destroy"] = _timed(["pulumi", "destroy", *_OPTIONS], environment)
        environment |= _WITHOUT_CHECKPOINTS
        figures["upWithoutCheckpoints"] = _timed(["pulumi", "up", *_OPTIONS], environment)
        figures["destroyWithoutCheckpoints"] = _timed(["pulumi", "destroy", *_OPTIONS], environment)
        figures["previewToEmptyPreview"] = ratio(figures)
        return figures
    finally:
        commands.down(session)


def _lab() -> dict[str, float]:
    """The whole of `make lab`, by its own command."""
    environment = {**os.environ, "LAB_ID": "bench-lab"}
    try:
        return _timed([sys.executable, "-m", "lab", "up"], environment)
    finally:
        subprocess.run([sys.executable, "-m", "lab", "down"], cwd=CHECKOUT, env=environment, check=True)


def main() -> int:
    """Print the figures of every size, and what one more node costs from each size to the next."""
    sizes = [int(size) for size in sys.argv[1:]] or list(SIZES)
    started = time.monotonic()
    figures = {}
    print("measuring `make lab`", file=sys.stderr, flush=True)
    with _quiet():
        lab = _lab()
    for size in sizes:
        print(f"measuring {size} nodes", file=sys.stderr, flush=True)
        with _quiet():
            figures[size] = _measure(size)
    held = {"labSeconds": lab["seconds"]}
    if SIZES[0] in figures:  # the lab's own
        held["previewToEmptyPreview"] = figures[SIZES[0]]["previewToEmptyPreview"]
    result: dict[str, Any] = {"lab": lab, "limits": LIMITS, "beyond": beyond(held), "nodes": figures}
    for unit in ("seconds", "cpuSeconds"):
        costs = _costs(figures, unit)
        result[f"{unit}PerNodeMore"] = costs
        result[f"{unit}PerNodeMoreGrowth"] = {
            f"{before} to {after}": {step: _ratio(costs[after][step], costs[before][step]) for step in STEPS}
            for before, after in pairwise(costs)
        }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result |= {"seconds": round(time.monotonic() - started), "benchPeakMiB": round(peak)}
    print(json.dumps(result, indent=2))
    return 1 if result["beyond"] else 0


def _costs(figures: Mapping[int, Mapping[str, Any]], unit: str) -> dict[str, dict[str, float]]:
    """What one more node costs at each step, from each size to the next."""
    return {
        f"{small}to{large}": {
            step: round((figures[large][step][unit] - figures[small][step][unit]) / (large - small), 3)
            for step in STEPS
        }
        for small, large in pairwise(figures)
    }


def _ratio(after: float, before: float) -> float | None:
    return round(after / before, 2) if before > 0 else None


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
