"""The webhook inbox, run as its release runs it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.gitops.tree import GITOPS
from tests.servers.processes import eventually, free_port, server
from tests.servers.services import PASSWORD, answers, asked, container, plain


class Inbox:
    """The program of the release, in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = plain(container("webhook-inbox", "inbox")["env"])
        self.environment |= {"INBOX_FILE": str(directory / "inbox.sqlite"), "INBOX_PASSWORD": PASSWORD}

    @contextlib.contextmanager
    def running(self, **settings: str) -> Iterator[str]:
        """Its URL."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, *container("webhook-inbox", "inbox")["command"][1:-1]]
        command.append(str(GITOPS / "webhook-inbox" / "inbox.py"))
        environment = self.environment | {"INBOX_PORT": str(port)} | settings
        ready = f"{url}{container('webhook-inbox', 'inbox')['probes']['readiness']['path']}"
        with server("inbox", command, directory=self.directory, ready=lambda: answers(ready), environment=environment):
            yield url


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


def sent(url: str, body: bytes, **headers: str) -> int:
    request = urllib.request.Request(url, data=body, method="POST", headers=headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


READER = f"reader:{PASSWORD}"


def test_a_message_is_kept_as_it_came_over_a_restart(inbox: Inbox) -> None:
    body = b'{"a": 1}\x00\xff'
    with inbox.running() as url:
        assert sent(f"{url}/in/shop?x=1", body, **{"X-Signature": "sha256=ab"}) == 202
    with inbox.running() as url:
        [listed] = json.loads(asked(f"{url}/?format=json", user=READER)[1])
        assert (listed["name"], listed["path"], listed["bytes"]) == ("shop", "/in/shop?x=1", len(body))
        found = json.loads(asked(f"{url}/messages/{listed['number']}", user=READER)[1])
        assert base64.b64decode(found["body"]) == body
        assert ["X-Signature", "sha256=ab"] in found["headers"]
        assert asked(f"{url}/messages/{listed['number']}", user=READER, method="DELETE")[0] == 200
        assert json.loads(asked(f"{url}/?format=json", user=READER)[1]) == []


@pytest.mark.parametrize("user", [None, "reader:guessed", f"other:{PASSWORD}", "reader"])
def test_only_the_reader_reads(inbox: Inbox, user: str | None) -> None:
    with inbox.running() as url:
        assert sent(f"{url}/in/shop", b"x") == 202
        for path, method in (("/", "GET"), ("/messages/1", "GET"), ("/messages/1", "DELETE")):
            assert asked(f"{url}{path}", user=user, method=method)[0] == 401
        assert json.loads(asked(f"{url}/messages/1", user=READER)[1])["body"] == "eA=="


def test_no_sender_fills_the_disk(inbox: Inbox) -> None:
    with inbox.running(INBOX_KEPT="3", INBOX_LARGEST="10") as url:
        assert sent(f"{url}/in/shop", b"x" * 11) == 413
        assert [sent(f"{url}/in/shop", b"x") for _ in range(5)] == [202] * 5
        assert [one["number"] for one in json.loads(asked(f"{url}/?format=json", user=READER)[1])] == [5, 4, 3]


def test_what_a_sender_writes_is_text_on_the_readers_page(inbox: Inbox) -> None:
    with inbox.running() as url:
        assert sent(f"{url}/in/shop/<script>", b"x") == 202
        status, page = asked(f"{url}/", user=READER)
    assert (status, b"<script>" in page, b"&lt;script&gt;" in page) == (200, False, True)


@pytest.mark.parametrize("length", ["-1", "x", "1_0", "²"])
def test_a_length_that_is_no_number_is_refused(inbox: Inbox, length: str) -> None:
    with inbox.running() as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as sender:
        sender.sendall(f"POST /in/shop HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        assert b" 400 " in sender.makefile("rb").readline()


def test_the_inbox_does_not_start_open_to_all(inbox: Inbox) -> None:
    command = [sys.executable, str(GITOPS / "webhook-inbox" / "inbox.py")]
    environment = {**os.environ, **inbox.environment, "INBOX_PASSWORD": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "INBOX_PASSWORD is empty" in done.stderr


def test_the_inbox_ends_when_its_pod_does_with_all_that_it_said_it_keeps(inbox: Inbox) -> None:
    with inbox.running() as url:
        assert sent(f"{url}/in/shop", b"x") == 202
        [process] = [
            int(path.name)
            for path in Path("/proc").glob("[0-9]*")
            if str(inbox.directory / "inbox.sqlite").encode() in _variables(path)
        ]
        os.kill(process, signal.SIGTERM)
        eventually(
            lambda: None if Path(f"/proc/{process}/fd").exists() and _alive(process) else True, "end", seconds=60
        )
    with contextlib.closing(sqlite3.connect(inbox.directory / "inbox.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM messages").fetchone() == (1,)


def _variables(process: Path) -> bytes:
    with contextlib.suppress(OSError):
        return (process / "environ").read_bytes() if b"inbox.py" in (process / "cmdline").read_bytes() else b""
    return b""


def _alive(process: int) -> bool:
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    return False
