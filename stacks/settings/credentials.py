"""The credentials of a stack: which ones exist, which of them its settings require, and how they reach the program.

Owns the names of their keys and the check that the right ones are set. They are Outputs, kept apart from the settings,
whose values are plain. Does not own the secrets that the platform generates for its applications
(`stacks/application_secrets.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import pulumi
from pulumi.runtime import is_config_secret
from pydantic.alias_generators import to_camel

from stacks.settings.model import SNAPSHOT_USER

PROJECT = "homelab"
PREFIX = f"{PROJECT}:"
"""Prefix of this program's keys in a stack file."""


@dataclass(frozen=True)
class Credentials:
    """Each is a secret Output, or absent. A field's key in the stack file is its name in camel case."""

    proxmox_password: pulumi.Output[str] | None
    """Password of `site.username`; exactly one of this and the token is set."""
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
    git_deploy_key: pulumi.Output[str] | None
    """Private key that may read `gitops.seed` over SSH, in OpenSSH's format or PEM."""
    git_push_key: pulumi.Output[str] | None
    """Private key that may read and write `gitops.seed` over SSH, in the same formats; the seed gets what Gitea has."""


SECRET_KEYS = tuple(to_camel(field.name) for field in fields(Credentials))
"""The stack file's keys that hold credentials, without the prefix."""

SET_A_SECRET = f"set {', '.join(SECRET_KEYS[:-1])} or {SECRET_KEYS[-1]} with `pulumi config set --secret {PREFIX}<key>`"
"""The remedy for a secret in the wrong place."""

_PASSWORD, _TOKEN = "proxmoxPassword", "proxmoxApiToken"
_AUTH_KEY, _SEALING_KEY = "tailscaleAuthKey", "sealingKey"
_EDGE_SSH_KEY, _EDGE_TSIG_KEY = "edgeSshKey", "edgeTsigKey"
_DEPLOY_KEY, _PUSH_KEY = "gitDeployKey", "gitPushKey"


def read() -> Credentials:
    """The credentials of the selected stack."""
    config = pulumi.Config(PROJECT)
    return Credentials(**{field.name: config.get_secret(to_camel(field.name)) for field in fields(Credentials)})


def check(raw: Mapping[str, object]) -> list[str]:
    """Findings about which credentials are set, given the settings `raw`.

    Only their presence is checked, so that a preview can use placeholders.
    """
    config = pulumi.Config(PROJECT)
    present = {key for key in SECRET_KEYS if config.get(key) is not None}
    findings = [
        f"{PREFIX}{key}: is stored in plain text; set it with `pulumi config set --secret {PREFIX}{key}`, "
        "and replace it wherever it is in use"
        for key in SECRET_KEYS
        if key in present and not is_config_secret(PREFIX + key)
    ]
    if {_PASSWORD, _TOKEN} <= present:
        findings.append(f"{PREFIX}{_PASSWORD}: is set as well as {_TOKEN}, but only one is used; remove one of them")
    if not {_PASSWORD, _TOKEN} & present:
        findings.append(
            f"{PREFIX}{_TOKEN}: missing, as is {_PASSWORD}; set one of them with "
            f"`pulumi config set --secret {PREFIX}{_TOKEN}`"
        )
    if _PASSWORD in present and _at(raw, "site", "username") is None:
        findings.append(f"{PREFIX}site.username: missing, but {_PASSWORD} is set; add its user, such as root@pam")
    if _at(raw, "talos", "extensions", "tailscale") is True and _AUTH_KEY not in present:
        findings.append(
            f"{PREFIX}{_AUTH_KEY}: missing, but talos.extensions.tailscale is true; set it with "
            f"`pulumi config set --secret {PREFIX}{_AUTH_KEY}`"
        )
    copies_as_root = _at(raw, "storage", "snapshots") is True and _at(raw, "site", "username") == SNAPSHOT_USER
    if copies_as_root and _TOKEN in present and _PASSWORD not in present:
        findings.append(
            f"{PREFIX}{_PASSWORD}: missing, but storage.snapshots is true, and {SNAPSHOT_USER} can copy volumes "
            f"only with a password; set it with `pulumi config set --secret {PREFIX}{_PASSWORD}` and remove {_TOKEN}"
        )
    for key, wanted_by in {_EDGE_SSH_KEY: ("edge",), _EDGE_TSIG_KEY: ("edge", "secondary", "tsig")}.items():
        if _at(raw, *wanted_by) is not None and key not in present:
            findings.append(
                f"{PREFIX}{key}: missing, but {'.'.join(wanted_by)} is set; set it with "
                f"`pulumi config set --secret {PREFIX}{key}`"
            )
    seed = _at(raw, "gitops", "seed")
    if isinstance(seed, str) and seed.startswith("ssh://") and _DEPLOY_KEY not in present:
        findings.append(
            f"{PREFIX}{_DEPLOY_KEY}: missing, but gitops.seed is read over SSH; set it with "
            f"`pulumi config set --secret {PREFIX}{_DEPLOY_KEY}`"
        )
    if _PUSH_KEY in present and not (isinstance(seed, str) and seed.startswith("ssh://")):
        findings.append(
            f"{PREFIX}{_PUSH_KEY}: has no effect, as there is no gitops.seed that begins with ssh://; remove it"
        )
    sealed = _at(raw, "sealing", "certificate") is not None
    if sealed != (_SEALING_KEY in present):
        there, missing = (_SEALING_KEY, "sealing.certificate")[:: -1 if sealed else 1]
        findings.append(
            f"{PREFIX}{missing}: missing, but {there} is set, and the two form one keypair; set both with "
            f"`make sealing-key STACK=<stack>`, or remove {there}"
        )
    return findings


def _at(raw: object, *keys: str) -> object:
    for key in keys:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    return raw
