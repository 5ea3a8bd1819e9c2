"""Addresses of a lab: loopback ones that do not collide with another lab's, or a namespace that holds a stack's own.

The stack `lab` uses 127.20.x.y. A lab with another LAB_ID gets another second octet. A rehearsal runs in a network
namespace with nothing but a loopback device: the stack's addresses are on it, and there is no way out. With real pods
the stack `lab` has such a namespace too, and 10.20.x.y.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.packages import how_to_install

DEFAULT_OCTET = 20
"""The second octet of the addresses in Pulumi.lab.yaml."""

PUBLIC_HOST = IPv4Address("198.51.100.12")
"""Where, with real pods, the host is that Pulumi.lab.yaml has at 127.20.0.12."""

SERVERS = r"0\.1[13](?!\d)"
"""The end of the addresses, in Pulumi.lab.yaml, of the image factory and of the Git server."""

NAMED_HOST = IPv4Address("127.0.0.2")
"""The address, in a rehearsal, of a host that the settings call by its name."""

INSIDE = "HOMELAB_REHEARSAL"
"""Environment variable that tells the re-executed launcher that it is in its namespace."""

_RTM_NEWADDR, _NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE, _NLM_F_REPLACE = 20, 0x1, 0x4, 0x400, 0x100
_IFA_ADDRESS, _IFA_LOCAL, _LOOPBACK_INDEX = 1, 2, 1
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_MS_BIND = 4096


def octet(lab_id: str, taken: set[int]) -> int:
    """The second octet for a lab: 20 for the default one, else derived from its name, the next free one if taken.

    Raises:
        LabError: if all are taken.
    """
    if lab_id == "lab":
        return DEFAULT_OCTET
    start = int.from_bytes(hashlib.sha256(lab_id.encode()).digest()[:4], "big")
    for offset in range(200):
        candidate = 40 + (start + offset) % 200
        if candidate not in taken:
            return candidate
    raise LabError("no loopback range is free for another lab: stop one with `make lab-down LAB_ID=...`")


def shifted(value: Any, second_octet: int) -> Any:
    """A copy of a configuration value in which every 127.20.x.y has another second octet."""
    return _moved(value, f"127.{second_octet}.")


def off_loopback(value: Any) -> Any:
    """A copy of a configuration value in which every 127.20.x.y is an address that pods can reach.

    10.20.x.y, but for `PUBLIC_HOST`, which may not be private, and for `SERVERS`: no pod asks those.
    """
    public = _moved(value, str(PUBLIC_HOST), r"0\.12(?!\d)")
    return _moved(public, f"10.{DEFAULT_OCTET}.", rf"(?=\d)(?!{SERVERS})")


def _moved(value: Any, to: str, end: str = r"(?=\d)") -> Any:
    if isinstance(value, str):
        return re.sub(rf"(?<![\d.])127\.{DEFAULT_OCTET}\.{end}", to, value)
    if isinstance(value, dict):
        return {_moved(key, to, end): _moved(item, to, end) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, to, end) for item in value]
    return value


def octets_in_use() -> set[int]:
    """Second octets of every loopback address on which something listens on this machine."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        address = struct.pack("<I", int(local.split(":")[0], 16))
        if state == "0A" and address[0] == 127:
            found.add(address[1])
    return found


def enter_namespace(arguments: list[str]) -> int:
    """Run the launcher again inside namespaces of its own and return its exit status.

    Raises:
        LabError: if this machine allows no network namespace.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        raise LabError(f"unshare is missing, and a rehearsal needs it: {how_to_install(['util-linux'])}")
    attempts = [["-r", "-n", "-m"], ["-n", "-m"]]
    refusals = []
    for flags in attempts:
        trial = subprocess.run([unshare, *flags, "true"], capture_output=True, text=True, check=False)
        if trial.returncode == 0:
            return launch_again([unshare, *flags], arguments)
        refusals.append(trial.stderr.strip())
    raise LabError(
        "this machine allows no network namespace, in which a rehearsal holds the stack's own addresses "
        f"({'; '.join(refusals)}). Allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 and "
        "kernel.apparmor_restrict_unprivileged_userns=0), run as root, or in a container give it CAP_SYS_ADMIN. "
        "`make preview` and `make lab` need none."
    )


def launch_again(entering: list[str], arguments: list[str], environment: dict[str, str] | None = None) -> int:
    """Run the launcher by a command that puts it into a namespace, and return its exit status."""
    command = [*entering, sys.executable, "-m", "lab", *arguments]
    return _wait(subprocess.Popen(command, env={**os.environ, INSIDE: "1", **(environment or {})}))


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the launcher in the namespace. A Ctrl-C reaches it as well, and it knows what to do."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def as_address(host: str) -> IPv4Address | None:
    """A host as an IPv4 address; None for a name."""
    try:
        return IPv4Address(host)
    except AddressValueError:
        return None


def inside_namespace() -> bool:
    """Whether this process is the one that `enter_namespace` started."""
    return os.environ.get(INSIDE) == "1"


def hold(addresses: Iterable[IPv4Address]) -> None:
    """Bring the namespace's loopback device up and put the addresses on it.

    Raises:
        LabError: if the kernel refuses one.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        for address in sorted(set(addresses)):
            if address.is_loopback:
                continue
            netlink.send(_add_address(address))
            code = struct.unpack_from("=i", netlink.recv(4096), 16)[0]
            if code:
                raise LabError(f"{address} cannot be put on the loopback device: {os.strerror(-code)}")


def name_hosts(names: dict[str, IPv4Address], directory: Path) -> None:
    """Make names resolve inside the namespace, by a hosts file of its own over /etc/hosts.

    Raises:
        LabError: if the mount is refused.
    """
    if not names:
        return
    hosts = directory / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in names.items()))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(hosts), b"/etc/hosts", None, _MS_BIND, None):
        raise LabError(
            f"{', '.join(names)} cannot be made to resolve here ({os.strerror(ctypes.get_errno())}): "
            "use an address in homelab:site.endpoint for a rehearsal on this machine"
        )


def _add_address(address: IPv4Address) -> bytes:
    attributes = b"".join(struct.pack("=HH4s", 8, kind, address.packed) for kind in (_IFA_LOCAL, _IFA_ADDRESS))
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, _LOOPBACK_INDEX) + attributes
    flags = _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_CREATE | _NLM_F_REPLACE
    return struct.pack("=IHHII", 16 + len(body), _RTM_NEWADDR, flags, 1, 0) + body
