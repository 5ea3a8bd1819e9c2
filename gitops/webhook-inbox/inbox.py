"""An inbox for webhooks: keeps what is sent to /in/<name>, and shows it to whoever has the password.

A message is kept with its headers and its body as it came, so that a reader can verify the sender's signature. The
newest are kept, and the oldest give way: no sender fills the disk.

    GET /                       the newest messages, as JSON with ?format=json
    GET /messages/<number>      one of them, its body in Base64
    DELETE /messages/<number>   takes it out

Settings: INBOX_PORT, INBOX_FILE, INBOX_PASSWORD, INBOX_KEPT (messages), INBOX_LARGEST (bytes of a body).
"""

from __future__ import annotations

import base64
import hmac
import html
import json
import os
import re
import signal
import sqlite3
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_IN = re.compile(r"/in/([a-z0-9][a-z0-9-]{0,39})(?:/.*)?")
_MESSAGE = re.compile(r"/messages/(\d{1,18})")
_SHOWN = 100
_SECONDS = 30
"""How long a sender may take for a part of its request."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ')),
    name TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL
)
"""


@dataclass(frozen=True)
class Settings:
    """What the environment says."""

    port: int
    file: str
    password: str
    kept: int
    largest: int

    @staticmethod
    def of(environment: Mapping[str, str]) -> Settings:
        """Raises KeyError or ValueError if something is missing or is no number; ValueError without a password."""
        if not environment["INBOX_PASSWORD"]:
            raise ValueError("INBOX_PASSWORD is empty: everybody could read; give a password")
        return Settings(
            port=int(environment["INBOX_PORT"]),
            file=environment["INBOX_FILE"],
            password=environment["INBOX_PASSWORD"],
            kept=int(environment["INBOX_KEPT"]),
            largest=int(environment["INBOX_LARGEST"]),
        )


class Inbox:
    """The messages, in one file; threads take turns."""

    def __init__(self, file: str, kept: int) -> None:
        self._kept = kept
        self._turn = threading.Lock()
        self._database = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        # Else SQLite looks for a directory for large answers, and the root file system cannot be written.
        self._database.execute("PRAGMA temp_store = MEMORY")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(_SCHEMA)

    def _ask(self, question: str, *values: Any) -> list[Any]:
        with self._turn:
            return self._database.execute(question, values).fetchall()

    def put(self, name: str, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> int:
        """Keep a message and let the oldest go; return its number."""
        row = (name, method, path, json.dumps(headers), body)
        insert = "INSERT INTO messages (name, method, path, headers, body) VALUES (?, ?, ?, ?, ?) RETURNING number"
        [[number]] = self._ask(insert, *row)
        self._ask("DELETE FROM messages WHERE number <= ?", number - self._kept)
        return int(number)

    def newest(self) -> list[dict[str, Any]]:
        """The newest messages, without headers and bodies."""
        names = ("number", "at", "name", "method", "path", "bytes")
        question = "SELECT number, at, name, method, path, length(body) FROM messages ORDER BY number DESC LIMIT ?"
        return [dict(zip(names, row, strict=True)) for row in self._ask(question, _SHOWN)]

    def get(self, number: int) -> dict[str, Any] | None:
        """One message; None if it is not there."""
        names = ("number", "at", "name", "method", "path", "headers", "body")
        for row in self._ask(f"SELECT {', '.join(names)} FROM messages WHERE number = ?", number):  # noqa: S608
            found = dict(zip(names, row, strict=True))
            return found | {"headers": json.loads(found["headers"]), "body": base64.b64encode(found["body"]).decode()}
        return None

    def take_out(self, number: int) -> bool:
        """Whether there was one to delete."""
        return bool(self._ask("DELETE FROM messages WHERE number = ? RETURNING number", number))

    def answers(self) -> bool:
        """Whether the file can be read."""
        return self._ask("SELECT 1") == [(1,)]


def page(messages: list[dict[str, Any]]) -> str:
    """What a person sees."""
    rows = "".join(
        f'<tr><td><a href="/messages/{one["number"]}">{one["number"]}</a></td>'
        + "".join(f"<td>{html.escape(str(one[key]))}</td>" for key in ("at", "name", "method", "path", "bytes"))
        + "</tr>"
        for one in messages
    )
    return f"<!doctype html><meta charset=utf-8><title>Webhook inbox</title><table>{rows}</table>"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = _SECONDS
    settings: Settings
    inbox: Inbox

    def _answer(self, status: HTTPStatus, body: Any, kind: str = "application/json", **headers: str) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "default-src 'none'")
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, reason: str, **headers: str) -> None:
        # What is left of the request would pass for the next one.
        self.close_connection = True
        self._answer(status, {"error": reason}, **headers)

    def _received(self, name: str) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "send a Content-Length")
        elif not re.fullmatch("[0-9]{1,18}", length):
            self._refuse(HTTPStatus.BAD_REQUEST, "Content-Length is no number")
        elif int(length) > self.settings.largest:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {self.settings.largest} bytes")
        elif len(body := self.rfile.read(int(length))) != int(length):
            self._refuse(HTTPStatus.BAD_REQUEST, "the body ended early")
        else:
            number = self.inbox.put(name, self.command, self.path, self.headers.items(), body)
            self._answer(HTTPStatus.ACCEPTED, {"number": number})

    def _is_reader(self) -> bool:
        given = self.headers.get("Authorization", "")
        wanted = base64.b64encode(f"reader:{self.settings.password}".encode()).decode()
        return hmac.compare_digest(given.encode(), f"Basic {wanted}".encode())

    def _read(self) -> None:
        asked = urlsplit(self.path)
        found = _MESSAGE.fullmatch(asked.path)
        if found and self.command == "DELETE":
            there = self.inbox.take_out(int(found.group(1)))
            self._answer(HTTPStatus.OK if there else HTTPStatus.NOT_FOUND, {"deleted": there})
        elif found and (message := self.inbox.get(int(found.group(1)))):
            self._answer(HTTPStatus.OK, message)
        elif asked.path == "/" and self.command in ("GET", "HEAD"):
            messages = self.inbox.newest()
            if parse_qs(asked.query).get("format") == ["json"]:
                self._answer(HTTPStatus.OK, messages)
            else:
                self._answer(HTTPStatus.OK, page(messages), "text/html; charset=utf-8")
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "nothing is there"})

    def _serve(self) -> None:
        path = urlsplit(self.path).path
        if path == "/healthz":
            healthy = self.inbox.answers()
            self._answer(HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE, {"healthy": healthy})
        elif found := _IN.fullmatch(path):
            self._received(found.group(1))
        elif self._is_reader():
            self._read()
        else:
            asking = {"WWW_Authenticate": 'Basic realm="webhook inbox"'}
            self._refuse(HTTPStatus.UNAUTHORIZED, "this is for the reader", **asking)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 (http.server's names)

    def log_message(self, format: str, *args: Any) -> None:
        """Only to the health's question nothing is said."""
        if self.path != "/healthz":
            super().log_message(format, *args)


def main() -> None:
    """Serve until somebody ends it."""
    # The first process of a container hears no signal that it does not ask for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = Settings.of(os.environ)
    Handler.settings, Handler.inbox = settings, Inbox(settings.file, settings.kept)
    ThreadingHTTPServer(("", settings.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
