"""A test that may not do what it needs is left out by name as an ordinary user, and fails as root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import privileges


@pytest.fixture(autouse=True)
def refusing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose kernel makes no namespaces."""
    (tmp_path / "unshare").write_text("#!/bin/sh\necho not permitted >&2\nexit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    privileges._trial.cache_clear()


def test_without_root_the_reason_and_the_remedy_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(pytest.skip.Exception, match=r"not permitted.*allow user namespaces"):
        privileges.unshare("--pid")
    with pytest.raises(pytest.skip.Exception, match="not run as an ordinary user: because"):
        privileges.need_root("because")


def test_as_root_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    privileges.need_root("because")
    with pytest.raises(AssertionError, match=r"not permitted.*CAP_SYS_ADMIN"):
        privileges.unshare("--pid")
