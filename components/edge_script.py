"""The program that runs on the edge host: puts files in place, and makes the host a secondary of the zone.

Sent over SSH to `python3 -` on its standard input, followed by what it shall do (`EDGE`, JSON): so no file of the
project lies on the host, and no secret is in a command line. Standard library only, for Python 3.9 and newer.

Files are checked by the server that reads them before it reloads; if it finds a fault, the files that were there
before come back and the server keeps running as it did. Any step may be repeated.
"""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request

API_WAIT = 30
"""Seconds that PowerDNS may take to answer after its restart."""


class Failure(Exception):
    """What could not be done; the host is as it was before that step."""


def run(command, quiet=False):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode and not quiet:
        raise Failure("%s failed:\n%s" % (" ".join(command), (done.stderr or done.stdout).strip()))
    return done


def replace(files):
    """Write each file; return what was there before and whether anything changed. None means absent."""
    before = {}
    for path, content in files.items():
        try:
            with open(path) as file:
                before[path] = file.read()
        except FileNotFoundError:
            before[path] = None
        put(path, content)
    return before, before != dict(files)


def put(path, content):
    if content is None:
        if os.path.exists(path):
            os.unlink(path)
        return
    scratch = path + ".new"
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "w") as file:
        file.write(content)
    os.replace(scratch, path)


def configure_nginx(edge, files):
    before, changed = replace(files)
    try:
        run(edge["nginx"]["check"])
    except Failure as fault:
        for path, content in before.items():
            put(path, content)
        raise Failure("nginx refused the new configuration and keeps the old one; %s" % fault) from None
    if changed:
        run(edge["nginx"]["reload"])
    print("nginx: %s" % ("reloaded" if changed else "unchanged"))


def configure_powerdns(edge, present):
    """Write the settings with an API key that never leaves this host; restart only for a change."""
    powerdns = edge["powerdns"]
    path, api_path = powerdns["file"], powerdns["apiFile"]
    if not present:
        before, changed = replace({path: None, api_path: None})
        if changed:
            restart(powerdns, before)
        return None
    key = stored_key(api_path) or secrets.token_urlsafe(32)
    api = "api=yes\nwebserver=yes\nwebserver-address=127.0.0.1\nwebserver-port=%d\napi-key=%s\n" % (powerdns["port"], key)
    if stored_key(api_path) is None:
        # The server drops root before it reads nothing more: the file is its own account's alone.
        descriptor = os.open(api_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        os.close(descriptor)
    before, changed = replace({path: powerdns["settings"]})
    before_api, changed_api = replace_private(api_path, api, powerdns["group"])
    if changed or changed_api:
        restart(powerdns, {**before, **before_api})
    print("PowerDNS: %s" % ("restarted" if changed or changed_api else "unchanged"))
    return key


def replace_private(path, content, group):
    import grp

    with open(path) as file:
        before = file.read()
    if before == content:
        return {path: before}, False
    scratch = path + ".new"
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        os.fchown(descriptor, -1, grp.getgrnam(group).gr_gid)
    except (KeyError, PermissionError):
        pass
    with open(descriptor, "w") as file:
        file.write(content)
    os.replace(scratch, path)
    return {path: before or None}, True


def stored_key(path):
    try:
        with open(path) as file:
            lines = dict(line.strip().split("=", 1) for line in file if "=" in line)
    except FileNotFoundError:
        return None
    return lines.get("api-key")


def restart(powerdns, before):
    """Restart PowerDNS; if it does not come back, give it its old settings again."""
    done = run(powerdns["restart"], quiet=True)
    if done.returncode == 0:
        return
    for path, content in before.items():
        put(path, content)
    run(powerdns["restart"], quiet=True)
    raise Failure("PowerDNS did not start with the new settings and has the old ones again:\n%s" % done.stderr.strip())


class Api:
    def __init__(self, powerdns, key):
        self.base, self.key = "http://127.0.0.1:%d/api/v1/servers/localhost" % powerdns["port"], key

    def __call__(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method, headers={"X-API-Key": self.key})
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=20) as response:
            content = response.read()
        return json.loads(content) if content else None

    def wait(self):
        deadline = time.monotonic() + API_WAIT
        while True:
            try:
                return self("GET", "")
            except (OSError, urllib.error.HTTPError) as error:
                if time.monotonic() > deadline:
                    raise Failure("PowerDNS's API does not answer on %s: %s" % (self.base, error)) from None
                time.sleep(0.2)

    def find(self, path):
        try:
            return self("GET", path)
        except urllib.error.HTTPError as error:
            if error.code not in (404, 422):
                raise
            return None


def be_secondary(api, zone):
    """Make the zone a secondary one of the given primary, and fetch it."""
    tsig = zone.get("tsig")
    keys = []
    if tsig:
        found = {key["name"].rstrip("."): key for key in api("GET", "/tsigkeys")}.get(tsig["name"])
        body = {"name": tsig["name"], "algorithm": tsig["algorithm"], "key": tsig["key"]}
        if found:
            api("PUT", "/tsigkeys/" + found["id"], body)
        else:
            found = api("POST", "/tsigkeys", body)
        keys = [found["id"]]
    known = api.find("/zones/" + zone["name"])
    if known and known["kind"] not in ("Slave", "Secondary"):
        raise Failure("zone %s is here already, as %s: it would be overwritten; delete it or choose another" % (
            zone["name"], known["kind"]))
    wanted = {"kind": "Slave", "masters": zone["primaries"], "slave_tsig_key_ids": keys}
    if known:
        api("PUT", "/zones/" + zone["name"], wanted)
    else:
        api("POST", "/zones", {"name": zone["name"], "nameservers": [], **wanted})
    api("PUT", "/zones/" + zone["name"] + "/axfr-retrieve")
    print("PowerDNS: secondary of %s, from %s" % (zone["name"], ", ".join(zone["primaries"])))


def main(edge, operation):
    present = operation == "install"
    files = {path: content if present else None for path, content in edge["nginx"]["files"].items()}
    configure_nginx(edge, files)
    if not edge.get("powerdns"):
        return
    powerdns, zone = edge["powerdns"], edge["powerdns"]["zone"]
    if present:
        api = Api(powerdns, configure_powerdns(edge, True))
        api.wait()
        be_secondary(api, zone)
        return
    key = stored_key(powerdns["apiFile"])
    if key:
        api = Api(powerdns, key)
        known = api.find("/zones/" + zone["name"])
        if known and known["kind"] in ("Slave", "Secondary"):
            api("DELETE", "/zones/" + zone["name"])
            print("PowerDNS: no longer a secondary of %s" % zone["name"])
    configure_powerdns(edge, False)
