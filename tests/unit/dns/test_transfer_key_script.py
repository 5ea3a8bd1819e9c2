"""What the Job asks of PowerDNS so that transfers are signed, with an API that is played."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from typing import Any, cast

import pytest

from components.dns.transfer_key_script import Api, NotYetError, RefusedError, ensure

OLD, NEW = (base64.b64encode(text.encode()).decode() for text in ("an old key", "a new key"))
ZONE = "cluster.example.org"


class PowerDns:
    """The API as https://doc.powerdns.com/authoritative/http-api/tsigkey.html has it, without the network."""

    def __init__(self, *keys: dict[str, str], signed_by: tuple[str, ...] = ()) -> None:
        self.keys = {f"{key['name']}.": {**key, "id": f"{key['name']}."} for key in keys}
        self.signed_by = list(signed_by)
        self.writes: list[str] = []

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        if method != "GET":
            self.writes.append(f"{method} {path}")
        if path.startswith("/zones/"):
            if method == "PUT":
                self.signed_by = list(body["master_tsig_key_ids"])
            return {"master_tsig_key_ids": list(self.signed_by)}
        if (method, path) == ("GET", "/tsigkeys"):
            return [{"id": one["id"], "name": one["name"]} for one in self.keys.values()]
        if method == "POST":
            self.keys[f"{body['name']}."] = {**body, "id": f"{body['name']}."}
            return self.keys[f"{body['name']}."]
        key = path.removeprefix("/tsigkeys/")
        return self.keys.pop(key) if method == "DELETE" else self.keys[key]


def key(secret: str, algorithm: str = "hmac-sha256") -> dict[str, str]:
    return {"name": "edge", "algorithm": algorithm, "key": secret}


def signed(server: PowerDns, wanted: dict[str, str]) -> bool:
    return ensure(cast(Api, server), ZONE, wanted)


def test_a_zone_that_nobody_signs_is_signed() -> None:
    server = PowerDns()
    assert signed(server, key(NEW))
    assert (server.signed_by, server.keys["edge."]["key"]) == (["edge."], NEW)


def test_nothing_is_written_where_all_is_as_it_should_be() -> None:
    server = PowerDns(key(NEW), signed_by=("edge.",))
    assert not signed(server, key(NEW))
    assert server.writes == []


def test_an_earlier_key_no_longer_opens_the_zone() -> None:
    server = PowerDns({**key(OLD), "name": "before"}, signed_by=("before.",))
    signed(server, key(NEW))
    assert server.signed_by == ["edge."]


@pytest.mark.parametrize("before", [key(OLD), key(NEW, "hmac-sha512")], ids=["another value", "another algorithm"])
def test_a_key_that_differs_in_anything_is_replaced(before: dict[str, str]) -> None:
    server = PowerDns(before, signed_by=("edge.",))
    assert signed(server, key(NEW))
    assert {part: server.keys["edge."][part] for part in key(NEW)} == key(NEW)


def answering(status: int, monkeypatch: pytest.MonkeyPatch) -> Api:
    """A client whose server answers with that status."""

    def refuse(request: Any, timeout: float) -> Any:
        assert timeout
        raise urllib.error.HTTPError(request.full_url, status, "no", cast(Any, {}), None)

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return Api("http://powerdns-api.powerdns.svc:8081", "key")


@pytest.mark.parametrize(("status", "said"), [(401, "the API key is not the server's"), (422, "422 no")])
def test_what_no_waiting_changes_is_refused_at_once(status: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RefusedError, match=said):
        answering(status, monkeypatch)("GET", "/tsigkeys")


@pytest.mark.parametrize("status", [404, 500, 503])
def test_what_may_come_by_itself_is_waited_for(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotYetError):
        answering(status, monkeypatch)("GET", "/tsigkeys")


def test_a_refusal_never_shows_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RefusedError) as refusal:
        answering(422, monkeypatch)("POST", "/tsigkeys", key(NEW))
    assert NEW not in str(refusal.value)
