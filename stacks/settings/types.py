"""The scalar types of the configuration: the format of each single value.

Owns formats and their normal forms. Does not own rules between values; those are in `rules`.
Every parser raises ValueError with a text that states the value, the rule and the remedy.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from pathlib import PurePosixPath
from typing import Annotated, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from components.identity.directory import USERNAME
from components.kit.address_range import AddressRange
from components.kit.namespace import SERVICE_DOMAIN
from components.proxmox.trust import ROOT_CA
from components.storage.csi_volume_names import LONGEST_CLUSTER_NAME
from stacks.settings import hosts
from stacks.settings.public_names import is_public_suffix

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_CLUSTER_NAME = re.compile(rf"[a-z0-9]([a-z0-9-]{{0,{LONGEST_CLUSTER_NAME - 2}}}[a-z0-9])?")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_MAC = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
_STORAGE_ID = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]")
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
_VERSION = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_TAG = re.compile(r"tag:[A-Za-z][A-Za-z0-9-]*")
_USER = re.compile(r"[^\s:/@!]+@[A-Za-z][A-Za-z0-9._-]+")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`|~-]+@[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_SYSTEM_DISK = re.compile(r"/dev/sd[a-z]")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_SERVER_NAME = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_KEY_TYPE = re.compile(r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)")
_HOST_KEY = re.compile(rf"({_KEY_TYPE.pattern}) [A-Za-z0-9+/]{{60,}}={{0,2}}")
_OF_TALOS = ("/var/lib/etcd", "/var/lib/containerd", "/var/lib/kubelet", "/var/run", "/var/system")
"""From pkg/machinery/constants/constants.go of Talos 1.13, and the mounts of its kubelet (services/kubelet.go)."""
_LONGEST_CLUSTER_DOMAIN = 253 - 1 - 63
"""Leaves room for one label below it: https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4."""

_THIS_NETWORK = IPv4Network("0.0.0.0/8")


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError:
        remedy = "write four numbers up to 255, such as 10.0.1.1"
        for end in (":", "/"):
            with suppress(AddressValueError):
                remedy = f"write {IPv4Address(text.partition(end)[0])} alone"
        raise ValueError(f"{text!r} is not an IPv4 address; {remedy}") from None


def _network(text: str) -> IPv4Network:
    remedy = "write a network with its prefix length, such as 10.0.0.0/16"
    if not re.fullmatch(r"[^/]+/\d{1,2}", text):
        raise ValueError(f"{text!r} is not an IPv4 network; {remedy}")
    try:
        network = IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError):
        raise ValueError(f"{text!r} is not an IPv4 network; {remedy}") from None
    if str(network) != text:
        raise ValueError(f"{text} has bits set beyond its prefix length; write {network}")
    return network


def _address_or_network(text: str) -> IPv4Address | IPv4Network:
    if re.search(r"[A-Za-z]", text):
        raise ValueError(f"{text!r} is a name, but PowerDNS accepts only addresses here; write one, such as 100.64.0.3")
    return _network(text) if "/" in text else _address(text)


def _subnet(network: IPv4Network) -> IPv4Network:
    if network.prefixlen > 29:
        raise ValueError(f"{network} has too few addresses for a cluster; give a network of /29 or larger")
    if network.is_multicast or network.is_reserved or network.overlaps(_THIS_NETWORK):
        raise ValueError(f"{network} is reserved, no node can use it; give a private one, such as 10.0.0.0/16")
    return network


def _service_network(network: IPv4Network) -> IPv4Network:
    # kube-apiserver refuses a range with more than 20 host bits; CoreDNS uses its tenth address.
    if not 12 <= network.prefixlen <= 24:
        raise ValueError(
            f"{network} has a size that Kubernetes does not accept for services; give a prefix from /12 to /24"
        )
    return network


def _mac(text: str) -> str:
    mac = text.upper().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise ValueError(f"{text!r} is not a MAC address; write six hexadecimal pairs, such as BC:24:11:00:10:01")
    if int(mac[:2], 16) & 1:
        raise ValueError(f"{mac} is a multicast address (its first pair is odd); use one that starts with BC:24:11")
    if mac == "00:00:00:00:00:00":
        raise ValueError(f"{mac} is not the address of any interface; use one that starts with BC:24:11")
    return mac


def _domain(text: str) -> str:
    labels = text.split(".")
    if labels[-1].isdecimal():
        raise ValueError(f"{text!r} ends in a number, as only addresses do; write a name, such as lab.example.org")
    if len(labels) < 2 or len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        remedy = "write lower-case labels joined by dots, without a trailing dot, such as lab.example.org"
        with suppress(UnicodeError):
            if not text.isascii():
                remedy = f"write it as DNS stores it, {text.encode('idna').decode()}"
        raise ValueError(f"{text!r} is not a DNS domain; {remedy}")
    return text


def _cluster_domain(text: str) -> str:
    if is_public_suffix(text):
        raise ValueError(
            f"{text} is a public suffix, below which names belong to different people; choose a domain that you own, "
            f"such as one below {text}"
        )
    if len(_domain(text)) > _LONGEST_CLUSTER_DOMAIN:
        raise ValueError(
            f"{text!r} has {len(text)} characters, which leaves no room for names below it (253 are the limit in "
            f"DNS); choose a domain of at most {_LONGEST_CLUSTER_DOMAIN}"
        )
    if f".{text}".endswith(f".{SERVICE_DOMAIN}"):
        raise ValueError(
            f"{text} belongs to Kubernetes's own DNS, so pods would never ask the platform's name servers for it; "
            "choose a domain that you own, or one below home.arpa"
        )
    return text


def _kernel_argument(text: str) -> str:
    if not text or re.search(r"\s", text):
        raise ValueError(f"{text!r} is not a single kernel argument; write each as its own list item, without spaces")
    return text


def _system_disk(text: str) -> str:
    if text.startswith("/dev/vd"):
        raise ValueError(
            f"{text} is a virtio-blk disk, but VMs have their disk on the virtio-scsi bus, where the first is "
            "/dev/sda; write /dev/sda"
        )
    if not _SYSTEM_DISK.fullmatch(text):
        raise ValueError(f"{text!r} is not a disk on the VM's virtio-scsi bus; write /dev/sda")
    return text


def _bridge(text: str) -> str:
    bridge, dot, tag = text.rpartition(".")
    if dot and tag.isdecimal():
        raise ValueError(
            f"{text} is the name of a VLAN on {bridge}, not of a bridge; write {bridge}, and {tag} under site.vlan"
        )
    return text


def _user_name(text: str) -> str:
    name, _, realm = text.rpartition("@")
    if realm.lower() in ("pam", "pve") and not realm.islower():
        raise ValueError(f"{text} has a realm in capitals, which Proxmox does not know; write {name}@{realm.lower()}")
    return text


def _var_path(text: str) -> str:
    path = PurePosixPath(text)
    if path.parts[:2] != ("/", "var") or len(path.parts) < 3 or ".." in path.parts or str(path) != text:
        raise ValueError(
            f"{text!r} is not a directory under /var, the only persistent writable place on a Talos node; "
            "write one such as /var/lib/storage"
        )
    for own in _OF_TALOS:
        if path.is_relative_to(own) or PurePosixPath(own).is_relative_to(path):
            where = "" if text == own else f"holds {own}, " if own.startswith(text) else f"lies in {own}, "
            raise ValueError(
                f"{text} {where}{'which ' if where else ''}is used by Talos itself; write a directory that nothing "
                "else uses, such as /var/lib/storage"
            )
    return text


def _host_key(text: str) -> str:
    keys = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(keys) > 1:
        raise ValueError("holds several keys; keep one, such as the line with ssh-ed25519")
    # As `ssh-keyscan` and known_hosts have it, the key follows the host; in a .pub file, a comment follows the key.
    fields = keys[0] if keys else []
    start = 0 if fields and _KEY_TYPE.fullmatch(fields[0]) else 1
    key = " ".join(fields[start : start + 2])
    if not _HOST_KEY.fullmatch(key):
        raise ValueError(f"{text!r} is not an SSH host key; write a line that `ssh-keyscan -t ed25519 <host>` prints")
    return key


def _certificate(text: str) -> str:
    remedy = "create one with `make sealing-key STACK=<stack>`"
    try:
        key = x509.load_pem_x509_certificate(text.encode()).public_key()
    except ValueError:
        raise ValueError(f"is not a PEM certificate; {remedy}") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError(f"does not contain an RSA key, the only kind that SealedSecrets supports; {remedy}")
    return text


def _authority(text: str) -> str:
    remedy = f"give the content of {ROOT_CA}, or the certificate of another authority that signed the API's"
    try:
        certificates = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise ValueError(f"is not a certificate in PEM; {remedy}") from None
    for certificate in certificates:
        name = certificate.subject.rfc4514_string()
        if not _is_authority(certificate):
            raise ValueError(f"{name!r} is the certificate of a server, not of an authority; {remedy}")
        if certificate.not_valid_after_utc <= datetime.datetime.now(datetime.UTC):
            raise ValueError(f"{name!r} expired on {certificate.not_valid_after_utc:%Y-%m-%d}; {remedy}")
    return text


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


def _distinct(values: list[Any]) -> list[Any]:
    seen: list[Any] = []
    for value in values:
        if value in seen:
            raise ValueError(f"{value} is listed twice; remove one")
        seen.append(value)
    return values


def text_schema(description: str, pattern: re.Pattern[str] | None = None) -> WithJsonSchema:
    schema = {"type": "string", "description": description}
    return WithJsonSchema(schema | {"pattern": f"^{pattern.pattern}$"} if pattern else schema)


@dataclass(frozen=True)
class _Named:
    """A pydantic annotation: text that matches a pattern, with the words for what it is and how to write it."""

    pattern: re.Pattern[str]
    noun: str
    remedy: str

    def check(self, text: str) -> str:
        if not self.pattern.fullmatch(text):
            raise ValueError(f"{text!r} is not {self.noun}; {self.remedy}")
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {
            "pattern": f"^{self.pattern.pattern}$",
            "description": f"{self.noun}: {self.remedy}",
        }


def _parsed(parse: Callable[[str], object]) -> BeforeValidator:
    """A parser that converts the type: it runs first, so that pydantic's strict check sees an instance."""

    def convert(value: object) -> object:
        if not isinstance(value, str):
            if value is None:
                raise ValueError("has no value; give one, or remove the key")
            shown = "a map" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)
            raise ValueError(f"{shown} is not an address or a network; write one, such as 10.0.1.1 or 10.0.0.0/16")
        return parse(value)

    return BeforeValidator(convert)


Address = Annotated[IPv4Address, _parsed(_address), text_schema("an IPv4 address")]
Network = Annotated[
    IPv4Network, _parsed(_network), text_schema("an IPv4 network without host bits, such as 10.0.0.0/16")
]
Subnet = Annotated[Network, AfterValidator(_subnet)]
ServiceNetwork = Annotated[Network, AfterValidator(_service_network)]
AddressOrNetwork = Annotated[
    IPv4Address | IPv4Network,
    _parsed(_address_or_network),
    text_schema("an IPv4 address, or a network without host bits, such as 10.0.0.0/8"),
]
Range = Annotated[
    AddressRange, _parsed(AddressRange.parse), text_schema("one IPv4 address, or a range such as 10.0.3.4-10.0.3.20")
]
DnsLabel = Annotated[str, _Named(_LABEL, "a DNS label", "use at most 63 lower-case letters, digits and inner hyphens")]
ClusterName = Annotated[
    str,
    _Named(
        _CLUSTER_NAME,
        "a cluster name",
        f"use at most {LONGEST_CLUSTER_NAME} lower-case letters, digits and inner hyphens; volume names contain it",
    ),
]
HostName = Annotated[str, _Named(_HOST_NAME, "a Proxmox node name", "use at most 63 letters, digits and inner hyphens")]
StorageId = Annotated[
    str, _Named(_STORAGE_ID, "a Proxmox storage ID", "use letters, digits, '-', '_' and '.', starting with a letter")
]
Bridge = Annotated[
    str,
    _Named(_INTERFACE, "a bridge name", "use at most 15 letters, digits, '-', '_' and '.', starting with a letter"),
    AfterValidator(_bridge),
]
Version = Annotated[str, _Named(_VERSION, "a release", "write it in full with a leading v, such as v1.13.9")]
TailscaleTag = Annotated[str, _Named(_TAG, "a Tailscale tag", "write tag: followed by letters, digits and hyphens")]
UserName = Annotated[
    str, _Named(_USER, "a Proxmox user", "write name and realm, such as root@pam"), AfterValidator(_user_name)
]
Person = Annotated[
    str,
    _Named(
        USERNAME,
        "a user name that every service accepts",
        "start with a letter and use lower-case letters and digits, with single dots, hyphens or underscores between",
    ),
]
Email = Annotated[str, _Named(_EMAIL, "an e-mail address", "write name@domain, with the domain in lower case")]
Domain = Annotated[
    str, AfterValidator(_domain), text_schema("a DNS domain of lower-case labels, without a trailing dot")
]
ClusterDomain = Annotated[
    str, AfterValidator(_cluster_domain), text_schema("a DNS domain of lower-case labels, without a trailing dot")
]
Mac = Annotated[
    str, AfterValidator(_mac), text_schema("a unicast MAC address; Proxmox's own range starts with BC:24:11")
]
ProxmoxEndpoint = Annotated[
    str, AfterValidator(hosts.proxmox_endpoint), text_schema("https://host:port/ of the Proxmox VE API")
]
FactoryUrl = Annotated[str, AfterValidator(hosts.factory_url), text_schema("http(s)://host[:port]")]
LoginServerUrl = Annotated[str, AfterValidator(hosts.login_server_url), text_schema("http(s)://host[:port]")]
MirrorUrl = Annotated[str, AfterValidator(hosts.mirror_url), text_schema("an http(s) URL")]
Registry = Annotated[str, AfterValidator(hosts.registry), text_schema("a registry host with an optional port, or *")]
ChartSource = Annotated[str, AfterValidator(hosts.chart_source), text_schema("a directory, or an http(s) or oci URL")]
KernelArgument = Annotated[str, AfterValidator(_kernel_argument), text_schema("one kernel argument")]
SystemDisk = Annotated[str, AfterValidator(_system_disk), text_schema("a disk on the virtio-scsi bus", _SYSTEM_DISK)]
VarPath = Annotated[str, AfterValidator(_var_path), text_schema("an absolute path under /var")]
Account = Annotated[str, _Named(_ACCOUNT, "an account name", "use lower-case letters, digits, '_' and '-'")]
ServerName = Annotated[
    str,
    _Named(_SERVER_NAME, "a server name", "write lower-case labels joined by dots, after *. to cover all names below"),
]
SshHost = Annotated[str, AfterValidator(hosts.ssh_host), text_schema("a host name, or an IPv4 or IPv6 address")]
HostKey = Annotated[
    str, AfterValidator(_host_key), text_schema("an SSH host key: a line that `ssh-keyscan -t ed25519 <host>` prints")
]
Certificate = Annotated[str, AfterValidator(_certificate), text_schema("an X.509 certificate with an RSA key, in PEM")]
Authority = Annotated[
    str, AfterValidator(_authority), text_schema("X.509 certificates of authorities that have not expired, in PEM")
]
Distinct = AfterValidator(_distinct)
"""For a list whose items must differ."""
