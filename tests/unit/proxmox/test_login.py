"""How this program logs in to Proxmox VE, and what each later request carries; Proxmox's answers are played."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message

import pytest

from components.proxmox.api import API_TOKEN, PASSWORD, ProxmoxApi, ProxmoxError

ENDPOINT = "https://192.0.2.9:8006/"
SECRET = "0f4d9e7c-1b2a-4c3d-8e5f-a0b1c2d3e4f5"
TOKEN = f"root@pam!homelab={SECRET}"
USER = "root@pam"

Requests = list[urllib.request.Request]
Proxmox = Callable[[int], Requests]
"""Has Proxmox answer every request with a status; gives what it is asked."""


@pytest.fixture(name="proxmox")
def _proxmox(monkeypatch: pytest.MonkeyPatch) -> Proxmox:
    def answering(status: int) -> Requests:
        asked: Requests = []

        def urlopen(request: urllib.request.Request, **_: object) -> io.BytesIO:
            asked.append(request)
            if status != 200:
                raise urllib.error.HTTPError(request.full_url, status, "as played", Message(), None)
            return io.BytesIO(json.dumps({"data": {"ticket": "a-ticket", "CSRFPreventionToken": "a-proof"}}).encode())

        monkeypatch.setattr(urllib.request, "urlopen", urlopen)
        return asked

    return answering


def _logged_in(variables: dict[str, str]) -> ProxmoxApi:
    return ProxmoxApi.of_command(ENDPOINT, False, None, USER, variables)


@pytest.mark.parametrize(
    ("variables", "named", "setting"),
    [
        ({API_TOKEN: TOKEN}, "the API token root@pam!homelab", "proxmoxApiToken"),
        ({PASSWORD: SECRET}, f"the password of {USER}", "proxmoxPassword"),
    ],
    ids=["token", "password"],
)
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_named_without_its_secret(
    proxmox: Proxmox, variables: dict[str, str], named: str, setting: str, status: int
) -> None:
    proxmox(status)
    with pytest.raises(ProxmoxError) as refused:
        _logged_in(variables)
    assert (f"refused {named};" in str(refused.value), setting in str(refused.value), SECRET in str(refused.value)) == (
        True,
        True,
        False,
    )


@pytest.mark.parametrize("variables", [{API_TOKEN: TOKEN}, {PASSWORD: SECRET}], ids=["token", "password"])
def test_a_proxmox_that_fails_is_not_told_as_a_wrong_credential(proxmox: Proxmox, variables: dict[str, str]) -> None:
    proxmox(500)
    with pytest.raises(ProxmoxError, match="answered 500"):
        _logged_in(variables)


def test_a_token_is_proved_and_goes_with_each_request(proxmox: Proxmox) -> None:
    asked = proxmox(200)
    _logged_in({API_TOKEN: TOKEN}).put("/version", {})
    assert [each.get_header("Authorization") for each in asked] == [f"PVEAPIToken={TOKEN}"] * 2


def test_a_change_carries_the_ticket_of_a_password_and_the_proof_without_which_proxmox_refuses_it(
    proxmox: Proxmox,
) -> None:
    asked = proxmox(200)
    _logged_in({PASSWORD: SECRET}).put("/version", {})
    assert {key.lower(): value for key, value in asked[-1].header_items() if key.lower() != "content-type"} == {
        "cookie": "PVEAuthCookie=a-ticket",
        "csrfpreventiontoken": "a-proof",
    }


def test_a_password_goes_in_the_body_of_a_request_and_not_in_its_address(proxmox: Proxmox) -> None:
    asked = proxmox(200)
    _logged_in({PASSWORD: SECRET})
    assert [(each.get_method(), SECRET in each.full_url, SECRET.encode() in (each.data or b"")) for each in asked] == [  # type: ignore[operator]
        ("POST", False, True)
    ]
