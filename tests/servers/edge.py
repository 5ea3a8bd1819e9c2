"""The programs that the edge's components send to a host, run here as a host's sshd would run them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_command

from checks.graph import Graph, record, reveal
from components.edge.ssh import SshHost

HOST = SshHost(host="edge.example.org", private_key="planted-ssh-key")


def sent(make: Callable[[pulumi.ResourceOptions], Any], command: str) -> str:
    """Standard input of the remote command of that name, which a component makes."""

    def program() -> None:
        make(pulumi.ResourceOptions(providers=[pulumi_command.Provider("command")]))

    graph: Graph = record(program)
    return str(reveal(graph[f"command:remote:Command {command}"].inputs["stdin"]))


def on_host(text: str, function: str) -> subprocess.CompletedProcess[str]:
    """What becomes of the text on the standard input of `python3 -`, with the name of a function as its argument."""
    return subprocess.run([sys.executable, "-", function], input=text, capture_output=True, text=True, check=False)


def succeed(text: str, function: str = "install") -> str:
    """What the program printed.

    Raises:
        AssertionError: it failed.
    """
    done = on_host(text, function)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(text: str, function: str = "install") -> str:
    """What the program said when it failed, in its own words.

    Raises:
        AssertionError: it did not fail, or without a word of its own.
    """
    done = on_host(text, function)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr
