"""Asks the program in lab/manifests, which holds the code of Flux and of the API server."""

from __future__ import annotations

import atexit
import json
import subprocess
import threading
from pathlib import Path
from typing import Any

_SECONDS = 60
"""For one answer; the largest takes four seconds on two busy cores."""


class _Tool:
    """The program while this one lives: it keeps what it built, so that a second question takes a tenth of the time."""

    def __init__(self, path: Path) -> None:
        self._process = process = subprocess.Popen(
            [str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if process.stdin is None or process.stdout is None:
            raise ValueError(f"{path}: started without pipes")
        self._questions, self._answers = process.stdin, process.stdout

    def answer(self, question: str) -> str:
        """One line of JSON; empty if the program has ended, or took too long."""
        limit = threading.Timer(_SECONDS, self._process.kill)
        limit.start()
        try:
            self._questions.write(question + "\n")
            self._questions.flush()
            return self._answers.readline()
        except BrokenPipeError:
            return ""
        finally:
            limit.cancel()

    def end(self) -> str:
        """End the program; returns what it said of its end."""
        try:
            _, said = self._process.communicate(timeout=_SECONDS)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._process.kill()
            _, said = self._process.communicate()
        return said.strip()


_running: dict[Path, _Tool] = {}


def ask(tool: Path, question: dict[str, Any]) -> dict[str, Any]:
    """The answer of the program in lab/manifests, which is started for the first question.

    Raises:
        ValueError: it could not answer.
    """
    if tool not in _running:
        _running[tool] = _Tool(tool)
        atexit.register(_end, tool)
    line = _running[tool].answer(json.dumps(question))
    if not line:
        raise ValueError(f"{tool.name}: {_end(tool) or f'no answer within {_SECONDS} seconds'}")
    answer = dict(json.loads(line))
    if error := answer.pop("error"):
        raise ValueError(f"{tool.name}: {error}")
    return answer


def _end(tool: Path) -> str:
    running = _running.pop(tool, None)
    return running.end() if running is not None else ""
