"""Makes a running PowerDNS the secondary of a zone, and takes that back.

Settings lie in a file of their own beside the host's, which stay as they are. The zone is made through the HTTP API:
the host's own if it has one, else one that listens on loopback with a key that is made here and never leaves. A zone
that the host serves in another way is not touched.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
from typing import Any

from .common import HostError, Record, put, read, run, until

API_SECONDS = 30
"""How long PowerDNS may take to answer after a restart."""

TRANSFER_SECONDS = 20
"""How long the first transfer of the zone is waited for."""

SECONDARY = ("Slave", "Secondary")
"""Kind of a secondary zone in the API of PowerDNS 4, and by its newer name."""


def install(wanted: dict[str, Any]) -> None:
    """Be the secondary that `wanted` describes."""
    record = Record(wanted["record"], wanted["owner"])
    own = host_settings(wanted)
    record.save(owner=wanted["owner"], host=wanted["host"])
    key = own.get("api-key") if own.get("api") == "yes" else api_key(wanted)
    restarted = apply(wanted, texts(wanted, own, key))
    api = Api(own, wanted, key)
    print(f"PowerDNS: {'restarted with new settings' if restarted else 'no setting to change'}")
    zone = wanted["zone"]
    if record.facts.get("zone", zone["name"]) != zone["name"]:
        leave(api, record)
    follow(api, record, zone)


def remove(wanted: dict[str, Any]) -> None:
    """Take away what `install` put there; a zone that it found there gets its former primaries back."""
    record = Record(wanted["record"], wanted["owner"])
    if record.facts.get("host", wanted["host"]) != wanted["host"]:
        print(f"PowerDNS: left as it is, because it was set up again as {record.facts['host']}")
        return
    if record.exists:
        own = host_settings(wanted)
        key = own.get("api-key") if own.get("api") == "yes" else api_key(wanted)
        apply(wanted, texts(wanted, own, key))
        leave(Api(own, wanted, key), record)
    if apply(wanted, {wanted["file"]: None, wanted["apiFile"]: None}):
        print("PowerDNS: restarted with the settings that it had before")
    record.forget()


def host_settings(wanted: dict[str, Any]) -> dict[str, str]:
    """What the host's own files say, in the order in which PowerDNS reads them.

    Raises:
        HostError: there is no PowerDNS here, or it would not read our files.
    """
    main = os.path.join(wanted["directory"], "pdns.conf")
    text = read(main)
    if text is None:
        raise HostError(f"{main}: not found, so PowerDNS is not here; install it: apt-get install {wanted['packages']}")
    found = parsed(text, {})
    included = found.get("include-dir", "")
    if os.path.realpath(included) != os.path.realpath(os.path.dirname(wanted["file"])):
        raise HostError(f"{main}: has no include-dir={os.path.dirname(wanted['file'])}; add that line")
    ours = (wanted["file"], wanted["apiFile"])
    for name in sorted(os.listdir(included)):
        path = os.path.join(included, name)
        if name.endswith(".conf") and not name.startswith(".") and path not in ours:
            found = parsed(read(path) or "", found)
    if found.get("api") == "yes" and found.get("api-key", "").startswith("$"):
        raise HostError(
            "the API key in PowerDNS's own settings is stored as a hash, which opens nothing; store it in plain in a "
            "file that only PowerDNS can read, or remove api and api-key so that a key is made here"
        )
    return found


def parsed(text: str, settings: dict[str, str]) -> dict[str, str]:
    """Settings with those of one more file: `name=value`, and `name+=value`, which adds to a list."""
    settings = dict(settings)
    for line in text.splitlines():
        name, sign, value = (part.strip() for part in line.split("#")[0].partition("="))
        if sign and name.endswith("+"):
            name = name[:-1].strip()
            value = f"{settings[name]}, {value}" if settings.get(name) else value
        if sign:
            settings[name] = value
    return settings


def texts(wanted: dict[str, Any], own: dict[str, str], key: str | None) -> dict[str, str | None]:
    """Our two files: settings, and the API where the host has none."""
    lines = ["# Made by Pulumi; changes by hand are lost at its next run."]
    for name, value in wanted["settings"].items():
        # Networks that the host trusts already stay trusted.
        add = name == "trusted-notification-proxy" and own.get(name)
        lines.append(f"{name}{'+=' if add else '='}{value}")
    api = None
    if own.get("api") != "yes":
        opened = ["api=yes", f"api-key={key}"]
        if own.get("webserver") != "yes":
            opened += ["webserver=yes", "webserver-address=127.0.0.1", f"webserver-port={wanted['apiPort']}"]
        api = "\n".join([lines[0], *opened, ""])
    return {wanted["file"]: "\n".join([*lines, ""]), wanted["apiFile"]: api}


def api_key(wanted: dict[str, Any]) -> str:
    """The key of an earlier run, or a new one."""
    return parsed(read(wanted["apiFile"]) or "", {}).get("api-key") or secrets.token_urlsafe(32)


def apply(wanted: dict[str, Any], files: dict[str, str | None]) -> bool:
    """Put settings in place and restart PowerDNS for them, if they are new; without success, give it the old ones.

    Whether anything was new.
    """
    before = {path: read(path) for path in files}
    if before == files:
        return False
    write(wanted, files)
    try:
        run(wanted["restart"])
    except HostError as fault:
        write(wanted, before)
        run(wanted["restart"])
        raise HostError(f"PowerDNS did not start with the new settings, and has the old ones again: {fault}") from None
    return True


def write(wanted: dict[str, Any], files: dict[str, str | None]) -> None:
    """Put files that PowerDNS and root alone can read."""
    for path, content in files.items():
        put(path, content, mode=0o640, group=wanted["group"])


class Api:
    """PowerDNS's HTTP API on this host."""

    def __init__(self, own: dict[str, str], wanted: dict[str, Any], key: str | None) -> None:
        listens = own if own.get("webserver") == "yes" else {"webserver-port": str(wanted["apiPort"])}
        address = listens.get("webserver-address", "127.0.0.1")
        self.address = "127.0.0.1" if address in ("0.0.0.0", "::") else address  # noqa: S104 - a comparison
        self.port = int(listens.get("webserver-port", "8081"))
        self.key = key or ""
        if not until(self.answers, API_SECONDS):
            raise HostError(f"PowerDNS's API on {self.address}:{self.port} does not answer after {API_SECONDS} s")

    def answers(self) -> bool:
        """Whether the server is up."""
        try:
            self("GET", "")
        except OSError:
            return False
        return True

    def __call__(self, method: str, path: str, body: Any = None, *, may: tuple[int, ...] = ()) -> Any:
        """The answer to a request; None if it has one of the statuses `may`, or no content.

        Raises:
            HostError: the server refused.
            OSError: there was no server.
        """
        connection = http.client.HTTPConnection(self.address, self.port, timeout=20)
        try:
            connection.request(
                method,
                "/api/v1/servers/localhost" + path,
                None if body is None else json.dumps(body),
                {"X-API-Key": self.key, "Content-Type": "application/json"},
            )
            response = connection.getresponse()
            content = response.read().decode()
        finally:
            connection.close()
        if response.status in may:
            return None
        if response.status >= 400:
            # What it says of a TSIG key may hold the key.
            said = "" if path.startswith("/tsigkeys") else f" {content.strip()}"
            raise HostError(f"PowerDNS refuses {method} {path}: {response.status}{said}")
        return json.loads(content) if content else None


def follow(api: Api, record: Record, zone: dict[str, Any]) -> None:
    """Have the zone transferred from its primaries, now and after each NOTIFY."""
    name, path, tsig = zone["name"], f"/zones/{zone['name']}", zone["tsig"]
    known = api("GET", path, may=(404, 422))
    if known and known["kind"] not in SECONDARY:
        raise HostError(
            f"this host serves {name} already, as {known['kind']}, which would be overwritten; delete that zone here, "
            "or choose another"
        )
    if record.facts.get("zone") != name:
        record.save(zone=name, before=known and {"primaries": known["masters"], "keys": known["slave_tsig_key_ids"]})
    if record.facts.get("tsig") not in (None, tsig and tsig["name"]):
        forget_key(api, record, path)
    keys = [set_key(api, record, tsig)] if tsig else []
    wanted = {"kind": "Slave", "masters": zone["primaries"], "slave_tsig_key_ids": keys}
    if known:
        api("PUT", path, wanted)
    else:
        api("POST", "/zones", {"name": name, "nameservers": [], **wanted})
    api("PUT", f"{path}/axfr-retrieve")
    print(f"PowerDNS: secondary of {name}, from {', '.join(zone['primaries'])}{', by TSIG' if tsig else ''}")
    if until(lambda: transferred(api, path), TRANSFER_SECONDS):
        print(f"PowerDNS: has serial {api('GET', f'{path}?rrsets=false')['serial']}")
    else:
        print(
            f"PowerDNS: has nothing of {name} yet. It asks again each minute; if that stays so, look whether "
            f"{' or '.join(zone['primaries'])} can be reached from here, and whether it may be transferred"
        )


def transferred(api: Api, path: str) -> bool:
    """Whether there is anything in the zone; a serial of 0 may be one, or none."""
    return bool(api("GET", f"{path}?rrsets=false")["serial"] or api("GET", path)["rrsets"])


def leave(api: Api, record: Record) -> None:
    """Have the zone as it was before `follow`."""
    name, before = record.facts.get("zone"), record.facts.get("before")
    if not name:
        return
    path = f"/zones/{name}"
    known = api("GET", path, may=(404, 422))
    if known and known["kind"] in SECONDARY and before:
        api("PUT", path, {"kind": "Slave", "masters": before["primaries"], "slave_tsig_key_ids": before["keys"]})
        print(f"PowerDNS: secondary of {name} from {', '.join(before['primaries'])} again")
    elif known and known["kind"] in SECONDARY:
        api("DELETE", path)
        print(f"PowerDNS: no secondary of {name} any more")
    forget_key(api, record, path)
    record.save(zone=None, before=None)


def set_key(api: Api, record: Record, tsig: dict[str, str]) -> str:
    """Give PowerDNS the TSIG key; its id in the API."""
    known = ids_of_keys(api, tsig["name"])
    if not known:
        record.save(tsig=tsig["name"])
        return str(api("POST", "/tsigkeys", tsig)["id"])
    if record.facts.get("tsig") != tsig["name"]:
        raise HostError(f"this host has a TSIG key {tsig['name']} of its own already; choose another name")
    api("PUT", f"/tsigkeys/{known[0]}", tsig)
    if len(ids_of_keys(api, tsig["name"])) > 1:
        # PowerDNS tells keys apart by name and algorithm: the old one stayed, and it might sign with that.
        api("DELETE", f"/tsigkeys/{known[0]}")
        api("POST", "/tsigkeys", tsig)
    return known[0]


def ids_of_keys(api: Api, name: str) -> list[str]:
    """Id of each TSIG key of a name; they differ in their algorithm, not in their id."""
    return [str(key["id"]) for key in api("GET", "/tsigkeys") if key["name"].rstrip(".") == name]


def forget_key(api: Api, record: Record, path: str) -> None:
    """Remove the TSIG key that `set_key` made; the zone lets go of it first."""
    if not record.facts.get("tsig"):
        return
    if api("GET", path, may=(404, 422)):
        api("PUT", path, {"slave_tsig_key_ids": []})
    api("DELETE", f"/tsigkeys/{record.facts['tsig']}.", may=(404,))
    record.save(tsig=None)
