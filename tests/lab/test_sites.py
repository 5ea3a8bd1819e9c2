"""Sites that differ as home labs do, each rehearsed as `make rehearse` does it: up, up again, destroy, nothing left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.lab.live import STATE_AT_THE_END, completed
from tests.privileges import unshare
from tests.sites import SITES

AT_ONCE = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
"""Each has a network namespace of its own, and waits for half of its time; other workers have use for that."""

SECONDS = 600
"""For one of them; on an idle machine it is one or two minutes."""

pytestmark = pytest.mark.long

Rehearsals = dict[str, Future[subprocess.CompletedProcess[str]]]


def rehearse(site: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab", "rehearse", site, "--config-file", str(SITES[site])]
    return completed(command, os.environ | STATE_AT_THE_END, SECONDS)


@pytest.fixture(scope="module")
def rehearsals(request: pytest.FixtureRequest) -> Iterator[Rehearsals]:
    """All that were asked for, begun together; each test waits for its own."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    chosen = [str(item.callspec.params["site"]) for item in items]
    unshare("--net", "--mount")  # Else the tests are left out, by this name.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {site: pool.submit(rehearse, site) for site in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("site", SITES)
def test_a_site_comes_up_stays_and_goes_without_a_trace(rehearsals: Rehearsals, site: str) -> None:
    ended = rehearsals[site].result()
    assert ended.returncode == 0, ended.stdout
    assert re.findall(r"^the rehearsal of (.+) succeeded: nothing is left of it$", ended.stdout, re.MULTILINE) == [site]
