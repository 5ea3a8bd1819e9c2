"""`make recover` after an `up` that was killed at the creation of a resource of Talos or of `command`: each of them.

One site, from nothing to the whole platform. Each `up` is killed when the creations that it had just carried out for
the first time were not yet known to the engine; then comes a recovery, and the next `up`, until none is left.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.live import ROOT, LiveLab

PLUGINS = ("command", "talos")
QUIET = 3.0
"""Seconds without another held creation, after which those that were ready together have been carried out."""
ENOUGH = 40
"""Rounds; every one of them ends at another creation, of which many are held together."""


@dataclass
class Site:
    lab: LiveLab
    hold: Path

    def held(self) -> set[str]:
        """URNs of the resources whose creation was held so far."""
        return {file.read_text() for file in self.hold.iterdir()}

    def up_killed_at_creations(self) -> subprocess.Popen[bytes] | None:
        """`pulumi up` that dies once it is held; None if it ended by itself before."""
        before = self.held()
        log = self.lab.session.directory / "killed-up.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"],
                cwd=ROOT,
                env=self.lab.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
            )
        last, seen = time.monotonic(), before
        while process.poll() is None:
            now = self.held()
            if now != seen:
                last, seen = time.monotonic(), now
            if seen != before and time.monotonic() - last > QUIET:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return process
            time.sleep(0.1)
        assert process.returncode == 0, log.read_text()
        return None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site on which nothing was ever brought up, with the plugins that hold creations."""
    lab = LiveLab("pytest-creations")
    hold = tmp_path_factory.mktemp("held")
    lab.command("down")
    prepared = lab.command("shell", CMD="true")
    assert prepared.returncode == 0, prepared.stdout
    for name in PLUGINS:
        entry = lab.session.bin / f"pulumi-resource-{name}"
        # Under another name, or a recovery in another lab would take it for what a killed Pulumi left.
        held = Path(shutil.copy(entry.resolve(), hold.with_name(f"held-{name}")))
        command = [sys.executable, "-m", "tests.lab.holding_plugin", str(hold), str(held)]
        entry.unlink()
        entry.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.join(command)} "$@"\n')
        entry.chmod(0o755)
    yield Site(lab, hold)
    ended = lab.command("down")
    assert ended.returncode == 0, ended.stdout


@pytest.mark.long
def test_every_resource_of_talos_and_of_commands_is_made_after_a_kill_at_its_creation(site: Site) -> None:
    for _ in range(ENOUGH):
        if site.up_killed_at_creations() is None:
            break
        recovered = site.lab.recover()
        assert recovered.returncode == 0, recovered.stdout
    else:
        pytest.fail(f"after {ENOUGH} rounds the platform is not whole; held were {sorted(site.held())}")
    made = {
        urn
        for urn, resource in site.lab.state().items()
        if resource.get("custom") and resource["type"].startswith(("command:", "talos:"))
    }
    assert made == site.held()
    again = site.lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout
