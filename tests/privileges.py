"""What a test may do on this machine beyond what any user may; a test that may not is left out by its name.

Nothing is left out as root: there a refusal of the kernel fails the test, with what allows it.
"""

from __future__ import annotations

import functools
import os
import subprocess

import pytest

_ALLOW = (
    "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 and "
    "kernel.apparmor_restrict_unprivileged_userns=0), run as root, or in a container give it CAP_SYS_ADMIN"
)


def need_root(why: str) -> None:
    """Leave the running test out, unless it runs as root."""
    if os.geteuid() != 0:
        pytest.skip(f"not run as an ordinary user: {why}")


def unshare(*kinds: str) -> tuple[str, ...]:
    """The command that runs a program in namespaces of these kinds, such as `--pid` and `--mount`.

    Raises:
        AssertionError: root may not make them.
    """
    flags, refused = _trial(kinds)
    if flags is not None:
        return ("unshare", *flags)
    if os.geteuid() == 0:
        raise AssertionError(f"this machine allows no namespaces ({refused}): {_ALLOW}")
    pytest.skip(f"not run as an ordinary user ({refused}): {_ALLOW}")


@functools.cache
def _trial(kinds: tuple[str, ...]) -> tuple[tuple[str, ...] | None, str]:
    refusals = []
    for root in ((), ("--map-root-user",)):
        flags = (*root, *kinds)
        trial = subprocess.run(["unshare", *flags, "true"], capture_output=True, text=True, check=False)
        if trial.returncode == 0:
            return flags, ""
        refusals.append(trial.stderr.strip())
    return None, "; ".join(refusals)
