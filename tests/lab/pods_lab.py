"""A lab of the tests' own as `make lab PODS=real` makes it: real pods, in namespaces that programs have to enter."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from lab.pods import namespaces
from tests.lab.live import LiveLab


class PodsLab(LiveLab):
    """`command`, `run`, `up` and `destroy` are as for any lab."""

    def command(self, name: str, timeout: float = 1800, **variables: str) -> subprocess.CompletedProcess[str]:
        """As for any lab, with PODS=real."""
        return super().command(name, timeout, **({"PODS": "real"} | variables))

    def _entering(self) -> list[str]:
        return namespaces.keep(self.session, self.program)[1]

    @contextlib.contextmanager
    def started(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """A program in the lab that ends when its input does: at the end of the block, if not before."""
        entering, pipe = [*self._entering(), *command], subprocess.PIPE
        entered = subprocess.Popen(entering, cwd=self.program, env=self.environment, stdin=pipe, stdout=pipe, text=True)
        try:
            yield entered
        finally:
            if entered.stdin is not None and not entered.stdin.closed:
                entered.communicate()
