"""The typed configuration: what a stack file says, checked as a whole before anything is created.

Owns the way from `homelab:` keys to a frozen `Settings` and, apart from it, the secrets as Outputs. This module is the
public face; models are in `settings_model` and `settings_machines`, value formats in `settings_types`, rules between
values in `settings_rules`, the wording of refusals in `settings_errors`. Nothing here asks a machine: a preview needs
no site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi.runtime import is_config_secret
from pulumi.runtime.config import CONFIG, get_config_env
from pydantic import ValidationError

from stacks import settings_errors, settings_rules
from stacks.settings_errors import PREFIX, SECRET_KEYS, SET_A_SECRET
from stacks.settings_machines import (
    Cluster,
    Extensions,
    Host,
    Network,
    Node,
    Pools,
    Site,
    Tailscale,
    Talos,
    Timeouts,
    Versions,
)
from stacks.settings_model import (
    Backend,
    Certificates,
    Charts,
    Dns,
    Edge,
    Features,
    Identity,
    Sealing,
    Secondary,
    Settings,
    Ssh,
    Storage,
    Transfer,
    Tsig,
    User,
)
from stacks.settings_rules import SNAPSHOT_USER
from stacks.settings_types import AddressRange

__all__ = [
    "AddressRange",
    "Backend",
    "Certificates",
    "Charts",
    "Cluster",
    "Dns",
    "Edge",
    "Extensions",
    "Features",
    "Host",
    "Identity",
    "Network",
    "Node",
    "Pools",
    "Sealing",
    "Secondary",
    "Secrets",
    "Settings",
    "SettingsError",
    "Site",
    "Ssh",
    "Storage",
    "Tailscale",
    "Talos",
    "Timeouts",
    "Transfer",
    "Tsig",
    "User",
    "Versions",
    "load",
    "parse",
]

_PROJECT = "homelab"
_SECTIONS = tuple(Settings.model_fields)
_PASSWORD, _TOKEN, _AUTH_KEY, _SEALING_KEY, _EDGE_SSH_KEY, _EDGE_TSIG_KEY = SECRET_KEYS


# A RunError, so that the engine shows the findings alone and not a traceback of the program.
class SettingsError(ValueError, pulumi.RunError):
    """The configuration was refused; `findings` has one line for each reason, and the message has them all."""

    def __init__(self, findings: list[str]) -> None:
        self.findings = tuple(findings)
        super().__init__("the configuration was refused:\n" + "\n".join(findings))


@dataclass(frozen=True)
class Secrets:
    """The stack's secrets, each a secret Output or absent."""

    proxmox_password: pulumi.Output[str] | None
    """Password of `site.username`; exactly one of this and the token is there."""
    proxmox_api_token: pulumi.Output[str] | None
    """`user@realm!name=uuid`."""
    tailscale_auth_key: pulumi.Output[str] | None
    """Key with which nodes join the tailnet."""
    sealing_key: pulumi.Output[str] | None
    """Private key of `sealing.certificate`, in PEM."""
    edge_ssh_key: pulumi.Output[str] | None
    """Private key of `edge.ssh.user`, in OpenSSH's format or PEM."""
    edge_tsig_key: pulumi.Output[str] | None
    """Secret of `edge.secondary.tsig`, in Base64."""


def parse(raw: Mapping[str, object]) -> Settings:
    """Check a configuration, given as the values of the `homelab:` keys without that prefix.

    Raises:
        SettingsError: with every finding of the first phase (types and formats) or, if there is none, of the second
            (rules between values).
    """
    leaked = settings_errors.secrets_in_plain_text(raw)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        raise SettingsError(settings_errors.translate(error, leaked)) from None
    findings = list(leaked.values()) or settings_rules.check(settings)
    if findings:
        raise SettingsError(findings)
    return settings


def load() -> tuple[Settings, Secrets]:
    """Read and check the selected stack's configuration.

    Raises:
        SettingsError: the configuration or the choice of credentials was refused.
    """
    raw, hidden = _read_plain()
    findings = [*hidden, *_check_secrets(raw)]
    if hidden:
        raise SettingsError(findings)  # More findings would show what is stored as a secret.
    try:
        settings = parse(raw)
    except SettingsError as error:
        raise SettingsError([*findings, *error.findings]) from None
    if findings:
        raise SettingsError(findings)
    config = pulumi.Config(_PROJECT)
    return settings, Secrets(*(config.get_secret(key) for key in SECRET_KEYS))


def _read_plain() -> tuple[dict[str, object], list[str]]:
    """The values of all keys that hold no credential, and a finding for each section that is stored as a secret."""
    config = pulumi.Config(_PROJECT)
    raw: dict[str, object] = {}
    findings: list[str] = []
    # Not only the known keys: a misspelt optional one would have no effect and nobody would know.
    stored = {name.removeprefix(PREFIX) for name in {**get_config_env(), **CONFIG.get()} if name.startswith(PREFIX)}
    for key in sorted({*_SECTIONS, *stored} - {*SECRET_KEYS}):
        if is_config_secret(PREFIX + key):
            if key not in _SECTIONS:
                raw[key] = None  # Perhaps a misspelt secret; for an unknown key, the name is all that is told.
                continue
            findings.append(
                f"{PREFIX}{key}: holds a secret, but settings stand in plain text; remove it, and {SET_A_SECRET}"
            )
        try:
            value = config.get_object(key)
        except pulumi.ConfigTypeError:
            value = config.get(key)
        if value is not None:
            raw[key] = value
    return raw, findings


def _check_secrets(raw: Mapping[str, object]) -> list[str]:
    """What is wrong with the stack's secrets. Only their presence counts, so that a preview can have placeholders."""
    config = pulumi.Config(_PROJECT)
    present = {key for key in SECRET_KEYS if config.get(key) is not None}
    findings = [
        f"{PREFIX}{key}: is stored in plain text; set it with `pulumi config set --secret {PREFIX}{key}`, "
        "and change it where it is valid"
        for key in SECRET_KEYS
        if key in present and not is_config_secret(PREFIX + key)
    ]
    if {_PASSWORD, _TOKEN} <= present:
        findings.append(f"{PREFIX}{_PASSWORD}: is set along with {_TOKEN}, and one login is enough; remove one of them")
    if not {_PASSWORD, _TOKEN} & present:
        findings.append(
            f"{PREFIX}{_TOKEN}: missing, and so is {_PASSWORD}; set one of them with "
            f"`pulumi config set --secret {PREFIX}{_TOKEN}`"
        )
    if _PASSWORD in present and _at(raw, "site", "username") is None:
        findings.append(f"{PREFIX}site.username: missing, but {_PASSWORD} is set; name its user, as root@pam")
    if _at(raw, "talos", "extensions", "tailscale") is True and _AUTH_KEY not in present:
        findings.append(
            f"{PREFIX}{_AUTH_KEY}: missing, but talos.extensions.tailscale is true; set it with "
            f"`pulumi config set --secret {PREFIX}{_AUTH_KEY}`"
        )
    copies_as_root = _at(raw, "storage", "snapshots") is True and _at(raw, "site", "username") == SNAPSHOT_USER
    if copies_as_root and _TOKEN in present and _PASSWORD not in present:
        findings.append(
            f"{PREFIX}{_PASSWORD}: missing, but storage.snapshots is true, and {SNAPSHOT_USER} copies volumes by "
            f"password alone; set it with `pulumi config set --secret {PREFIX}{_PASSWORD}` and remove {_TOKEN}"
        )
    for key, wanted_by in {_EDGE_SSH_KEY: ("edge",), _EDGE_TSIG_KEY: ("edge", "secondary", "tsig")}.items():
        if _at(raw, *wanted_by) is not None and key not in present:
            findings.append(
                f"{PREFIX}{key}: missing, but {'.'.join(wanted_by)} is set; set it with "
                f"`pulumi config set --secret {PREFIX}{key}`"
            )
    sealed = _at(raw, "sealing", "certificate") is not None
    if sealed != (_SEALING_KEY in present):
        there, missing = (_SEALING_KEY, "sealing.certificate")[:: -1 if sealed else 1]
        findings.append(
            f"{PREFIX}{missing}: missing, but {there} is set, and the two are one keypair; set both with "
            "`make sealing-key STACK=<stack>`, or remove it"
        )
    return findings


def _at(raw: object, *keys: str) -> object:
    for key in keys:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    return raw
