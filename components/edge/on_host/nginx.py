"""Puts configuration files in front of a running nginx, and takes them back.

New files are tried in a copy of the whole configuration first, so that a faulty one is never where nginx would find it,
even if it is restarted at that moment. After the reload, nginx must have started new workers: a reload that nginx
itself gives up, for a port that another program holds, is told only in its log.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from typing import Any

from .common import HostError, Record, read, replace, run, until

RELOAD_SECONDS = 15
"""How long nginx may take to start workers with a new configuration."""


def install(wanted: dict[str, Any]) -> None:
    """Put `wanted["files"]` in place and have nginx use them."""
    record = Record(wanted["record"], wanted["owner"])
    files: dict[str, str | None] = {path: "\n".join([*lines, ""]) for path, lines in wanted["files"].items()}
    check(wanted, files)
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    in_use = record.facts.get("digest") == digest and all(read(path) == text for path, text in files.items())
    record.save(owner=wanted["owner"], host=wanted["host"], files=sorted({*files, *record.facts.get("files", [])}))
    if in_use and workers(wanted):
        print("nginx: nothing to change")
        return
    take_over(wanted, {**dict.fromkeys(record.facts["files"]), **files})
    record.save(digest=digest, files=sorted(files))
    print(f"nginx: uses {', '.join(sorted(files))}")


def remove(wanted: dict[str, Any]) -> None:
    """Take away what `install` put there."""
    record = Record(wanted["record"], wanted["owner"])
    if record.facts.get("host", wanted["host"]) != wanted["host"]:
        print(f"nginx: left as it is, because it was set up again as {record.facts['host']}")
        return
    files = dict.fromkeys(record.facts.get("files", wanted["files"]))
    if any(read(path) is not None for path in files):
        check(wanted, files)
        take_over(wanted, files)
        print("nginx: as it was before")
    record.forget()


def take_over(wanted: dict[str, Any], files: dict[str, str | None]) -> None:
    """Swap files that `check` has seen, and reload; without success, swap them back."""
    before = replace(files)
    old = workers(wanted)
    try:
        run(wanted["reload"])
        if not until(lambda: workers(wanted) - old and not accepting(old), RELOAD_SECONDS):
            raise HostError(
                "nginx goes on with what it had; its error log says why, most likely because another program listens "
                f"on port {' or '.join(map(str, wanted['ports']))}"
            )
    except HostError:
        replace(before)
        raise


def check(wanted: dict[str, Any], files: dict[str, str | None]) -> None:
    """Have nginx read a copy of its configuration with the files in it.

    Raises:
        HostError: nginx refuses it, does not read one of the files, or shares a port that must be ours alone.
    """
    main = os.path.realpath(wanted["main"])
    if not os.path.exists(main):
        raise HostError(f"{main}: not found, so nginx is not here; install it: apt-get install {wanted['packages']}")
    directory = os.path.dirname(main)
    with tempfile.TemporaryDirectory(prefix="homelab-nginx-") as scratch:
        copy = os.path.join(scratch, "nginx")
        shutil.copytree(directory, copy, ignore_dangling_symlinks=True)
        for parent, _, names in os.walk(copy):
            for name in names:
                redirect(os.path.join(parent, name), directory, copy)
        replace({inside(path, directory, copy): text for path, text in files.items()})
        try:
            dump = run([*wanted["nginx"], "-T", "-c", os.path.join(copy, os.path.basename(main))])
        except HostError as fault:
            text = str(fault).replace(copy, directory)
            if '"stream" directive is duplicate' in text:
                text += (
                    "\nThis host has a `stream` block of its own: name its servers in homelab:edge.sites, and remove it"
                )
            raise HostError(f"nginx refuses the new configuration and keeps the one that it has:\n{text}") from None
        parts = sections(dump.replace(copy, directory))
    unread = sorted(path for path, text in files.items() if text is not None and path not in parts)
    if unread:
        raise HostError(f"nginx does not read {', '.join(unread)}: include its directory in {main}")
    if all(text is None for text in files.values()):
        return
    for path, text in parts.items():
        shared = ports(text) & set(wanted["ports"]) if path not in files else set()
        if shared:
            raise HostError(
                f"{path}: listens on port {min(shared)}, where connections are routed by name from now on. Have it "
                "listen elsewhere, as 127.0.0.1:8443, and name its servers in homelab:edge.sites"
            )


def inside(path: str, directory: str, copy: str) -> str:
    """The place in the copy that stands for `path`."""
    return os.path.join(copy, os.path.relpath(path, directory))


def redirect(path: str, directory: str, copy: str) -> None:
    """In a file of the copy, make every path into the original lead into the copy."""
    try:
        text = read(path)
    except (UnicodeDecodeError, OSError):
        return
    if text is not None and directory + "/" in text:
        replace({path: text.replace(directory + "/", copy + "/")})


def sections(dump: str) -> dict[str, str]:
    """What `nginx -T` prints, by file."""
    parts = re.split(r"^# configuration file (.+):$", dump, flags=re.MULTILINE)
    return {parts[number]: parts[number + 1] for number in range(1, len(parts), 2)}


def ports(text: str) -> set[int]:
    """The TCP ports on which a file's servers listen."""
    plain = re.sub(r"#.*", "", text)
    found = set()
    for address in re.findall(r"(?:^|[\s{;])listen\s+([^\s;]+)", plain):
        if not address.startswith("unix:"):
            number = re.search(r"(?:^|:)(\d+)$", address)
            found.add(int(number[1]) if number else 80)
    return found


def workers(wanted: dict[str, Any]) -> set[int]:
    """Process ids of the workers of the nginx that runs; none if it does not."""
    master = (read(wanted["pid"]) or "").strip()
    found = set()
    for name in os.listdir("/proc") if master else []:
        stat = of_process(name, "stat")
        # After the name, which is in parentheses: state and parent.
        if stat and stat.rpartition(")")[2].split()[1] == master:
            found.add(int(name))
    return found


def accepting(old: set[int]) -> set[int]:
    """Workers that take connections still; one that ends its last ones says so in its title."""
    return {
        process for process in old if "shutting down" not in (of_process(str(process), "cmdline") or "shutting down")
    }


def of_process(process: str, name: str) -> str | None:
    """A file of a process in /proc; None if it is not one, or has gone."""
    try:
        return read(f"/proc/{process}/{name}") if process.isdigit() else None
    except OSError:
        return None
