"""A small client for the Proxmox VE API, for what the provider does not ask.

Used only by resource hooks and by the command that deals with a destroyed cluster's volumes, so never in a preview.
Owns no resource and keeps no state; at run time it needs only the standard library.
Answers have the form that the API documents: https://pve.proxmox.com/pve-docs/api-viewer/
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.proxmox.trust import explain, tls_context
from components.talos.power import SHUTDOWN_SECONDS

if TYPE_CHECKING:
    import pulumi

REQUEST_TIMEOUT = 20
"""Seconds for one request; pveproxy itself gives up on a node after 30."""

_TASK_TIMEOUT = SHUTDOWN_SECONDS + 120
"""Seconds. The longest task is the shutdown of a node; at its end Proxmox still has to stop the VM."""

_POLL = 0.5

PASSWORD, API_TOKEN = "HOMELAB_PROXMOX_PASSWORD", "HOMELAB_PROXMOX_API_TOKEN"
"""The variables in which a command that Pulumi runs gets one of the two credentials."""


class ProxmoxError(Exception):
    """Proxmox refused a request or failed to serve it; the message says what, where and what to do."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class ProxmoxLogin:
    """Where Proxmox is and how to log in: with an API token, or with a user name and password.

    ca: the authorities, in PEM, that may have signed Proxmox's certificate; None for those that this machine trusts.
    insecure: accept any certificate. The two secrets are Outputs and stay secret; they are awaited only inside a hook.
    """

    endpoint: str
    insecure: bool
    username: str | None
    password: pulumi.Output[str] | None
    api_token: pulumi.Output[str] | None
    ca: str | None = None

    def variables(self) -> dict[str, pulumi.Input[str]]:
        """The credential, for the environment of a command.

        Raises ValueError unless there is exactly one.
        """
        given = {PASSWORD: self.password, API_TOKEN: self.api_token}
        found: dict[str, pulumi.Input[str]] = {key: value for key, value in given.items() if value is not None}
        if len(found) != 1:
            raise ValueError("login: give a password or an API token; without one Proxmox cannot be asked")
        return found

    async def connect(self) -> ProxmoxApi:
        """A client that is logged in.

        Raises ProxmoxError when Proxmox does not answer or refuses the login.
        """
        token = await self.api_token.future() if self.api_token is not None else None
        password = await self.password.future() if self.password is not None else None
        api = ProxmoxApi(self.endpoint, self.insecure, self.ca)
        if token is not None:
            await asyncio.to_thread(api.use_token, token)
        else:
            await asyncio.to_thread(api.log_in, self.username or "", password or "")
        return api


class ProxmoxApi:
    """Requests to one Proxmox API endpoint. Methods block: call them through `asyncio.to_thread`."""

    def __init__(self, endpoint: str, insecure: bool, ca: str | None = None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._ca = ca
        self._context = tls_context(insecure, ca)
        self._headers: dict[str, str] = {}
        self.who = ""
        """The user or token that is logged in."""

    @classmethod
    def of_command(
        cls, endpoint: str, insecure: bool, ca: str | None, username: str | None, variables: Mapping[str, str]
    ) -> ProxmoxApi:
        """A client for a command, logged in with what `ProxmoxLogin.variables` gave it."""
        api = cls(endpoint, insecure, ca)
        if token := variables.get(API_TOKEN):
            api.use_token(token)
        else:
            api.log_in(username or "", variables[PASSWORD])
        return api

    def use_token(self, token: str) -> None:
        """Authenticates further requests with an API token `user@realm!name=uuid`, and proves that it is accepted."""
        self._headers = {"Authorization": f"PVEAPIToken={token}"}
        self.who = token.partition("=")[0]
        try:
            self.get("/version")
        except ProxmoxError as error:
            raise self._login_error(error, f"the API token {self.who}", "proxmoxApiToken") from None

    def log_in(self, username: str, password: str) -> None:
        """Gets a ticket for `username`; valid for two hours."""
        self.who = username
        try:
            ticket = self._request("POST", "/access/ticket", {"username": username, "password": password})
        except ProxmoxError as error:
            raise self._login_error(error, f"the password of {username}", "proxmoxPassword") from None
        self._headers = {
            "Cookie": f"PVEAuthCookie={ticket['ticket']}",
            "CSRFPreventionToken": ticket["CSRFPreventionToken"],
        }

    def _login_error(self, error: ProxmoxError, credential: str, key: str) -> ProxmoxError:
        if error.status not in (401, 403):
            return error
        return ProxmoxError(
            f"Proxmox at {self.endpoint} refused {credential}; "
            f"set the right one: pulumi config set --secret homelab:{key}",
            error.status,
        )

    def guests(self) -> dict[int, Mapping[str, Any]]:
        """Every guest of the site that the login may see, by id; containers share the id space."""
        return {int(entry["vmid"]): entry for entry in self.get("/cluster/resources?type=vm")}

    def get(self, path: str) -> Any:
        """The `data` of GET `path`, which starts with a slash."""
        return self._request("GET", path)

    def put(self, path: str, form: dict[str, Any]) -> Any:
        """The `data` of PUT `path`; a task is waited for."""
        return self._task(self._request("PUT", path, form))

    def post(self, path: str, form: dict[str, Any] | None = None) -> Any:
        """The `data` of POST `path`; a task is waited for."""
        return self._task(self._request("POST", path, form or {}))

    def delete(self, path: str) -> Any:
        """The `data` of DELETE `path`; a task is waited for."""
        return self._task(self._request("DELETE", path))

    def _request(self, method: str, path: str, form: dict[str, Any] | None = None) -> Any:
        body = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(
            f"{self.endpoint}/api2/json{path}", data=body, method=method, headers=self._headers
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT, context=self._context) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise ProxmoxError(
                f"Proxmox at {self.endpoint} answered {error.code} {error.reason} to {method} {path}", error.code
            ) from None
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise ProxmoxError(explain(self.endpoint, reason, self._ca)) from None
            if isinstance(reason, TimeoutError):
                reason = f"nothing came within {REQUEST_TIMEOUT} s"
            raise ProxmoxError(
                f"Proxmox at {self.endpoint} does not answer {method} {path} ({reason}); "
                "check homelab:site.endpoint, and that the host is up"
            ) from None

    def _task(self, data: Any) -> Any:
        """Waits for a task (`UPID:node:...`), and raises ProxmoxError when it fails."""
        if not (isinstance(data, str) and data.startswith("UPID:")):
            return data
        node = data.split(":")[1]
        path = f"/nodes/{node}/tasks/{urllib.parse.quote(data, safe='')}/status"
        deadline = time.monotonic() + _TASK_TIMEOUT
        while (state := self.get(path))["status"] == "running":
            if time.monotonic() > deadline:
                raise ProxmoxError(f"Proxmox task {data} still runs after {_TASK_TIMEOUT} s; look at it on node {node}")
            time.sleep(_POLL)
        if state.get("exitstatus") != "OK":
            raise ProxmoxError(f"Proxmox task {data} failed: {state.get('exitstatus')}")
        return data
