"""What the kernel does with TERM for the first process of a PID namespace, as a container's command is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.privileges import unshare

READY = "print('ready', flush=True); "
PYTHON = [sys.executable, "-c", READY + "import time; time.sleep(60)"]
SHELL = ["sh", "-c", "echo ready; sleep 60; true"]


def ends(command: Sequence[str], *, first: bool) -> bool:
    """Whether a program ends within five seconds of a TERM, as process 1 or as one below the pod's own process 1."""
    # The one that starts it sends the signal from outside of the namespace, as a container runtime does.
    below = '"$@" & echo started; wait'
    alone = [*unshare("--pid", "--fork", "--kill-child", "--mount-proc"), "sh", "-c"]
    inner = [*alone, 'exec "$@"' if first else below, "sh", *command]
    with subprocess.Popen(inner, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        while running.stdout.readline() != "ready\n":
            assert running.poll() is None
        [child] = _children(running.pid)
        target = child if first else _children(child)[0]
        subprocess.run(["kill", "-TERM", str(target)], check=True)
        try:
            running.wait(5)
        except subprocess.TimeoutExpired:
            running.kill()
            return False
        return True


def _children(pid: int) -> list[int]:
    said = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True).stdout
    return [int(line) for line in said.split()]


@pytest.mark.parametrize("command", [PYTHON, SHELL], ids=["python", "shell"])
def test_a_program_without_a_handler_does_not_hear_term_as_process_1(command: Sequence[str]) -> None:
    assert not ends(command, first=True)


@pytest.mark.parametrize("command", [PYTHON, SHELL], ids=["python", "shell"])
def test_it_ends_when_another_process_of_the_pod_is_number_1(command: Sequence[str]) -> None:
    assert ends(command, first=False)
