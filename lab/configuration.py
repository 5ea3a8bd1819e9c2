"""The lab's own copy of a stack's configuration. The checkout's `Pulumi.<stack>.yaml` is read, never written.

In the copy every secret is the lab's own, and the settings that point at the outside world point at the lab. What was
replaced is told to the user.
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from components.secrets.sealing import make_keypair
from lab.cli import Cli
from lab.edge_host.host import new_key
from lab.errors import LabError
from lab.network import shifted
from lab.session import CHECKOUT, Session, write_private
from stacks.settings import stack_file
from stacks.settings.credentials import PROJECT

API_TOKEN = "homelab:proxmoxApiToken"  # noqa: S105 (the name of a key)
PASSWORD = "homelab:proxmoxPassword"  # noqa: S105 (the name of a key)
TAILSCALE_KEY = "homelab:tailscaleAuthKey"
EDGE_SSH_KEY = "homelab:edgeSshKey"
EDGE_TSIG_KEY = "homelab:edgeTsigKey"
GIT_KEY = "homelab:gitDeployKey"
SECRETS = (API_TOKEN, PASSWORD, TAILSCALE_KEY, EDGE_SSH_KEY, EDGE_TSIG_KEY, GIT_KEY)
"""What the lab can invent."""

SEALING_KEY = "homelab:sealingKey"

REHEARSED_DATASTORES = "rehearsal:datastores"
"""The key of a stack's file, which the program does not read, with what a simulated site's datastores are."""

PROXMOX = "proxmox"
"""The process that plays the site."""

_ENCRYPTION_KEYS = ("encryptionsalt", "encryptedkey", "secretsprovider")


@dataclass(frozen=True)
class Derived:
    """A configuration without secrets, the paths at which it needs some, and what was replaced, in words."""

    config: dict[str, Any]
    secret_paths: frozenset[str]
    replaced: Mapping[str, str]


def read(session: Session) -> dict[str, Any]:
    """The `config` mapping of the file that a session's stack comes from.

    Raises:
        LabError: if the file is missing or no text, is refused, or has no mapping `config`.
    """
    path = session.source
    try:
        document = stack_file.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = sorted(found.name.split(".")[1] for found in CHECKOUT.glob("Pulumi.*.yaml"))
        raise LabError(
            f"there is no stack {session.stack!r}: {path} is missing. Stacks: {', '.join(known) or 'none'}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path} cannot be read as text: {error}") from None
    except stack_file.StackFileError as error:
        raise LabError(f"{path}: {error}") from None
    if not isinstance(document.get("config"), dict):
        raise LabError(f"{path} has no `config:` mapping")
    # As the engine does it: a key without a namespace is the project's.
    return {key if ":" in key else f"{PROJECT}:{key}": value for key, value in document["config"].items()}


def derive(source: Mapping[str, Any], *, octet: int | None, replacements: Mapping[str, str]) -> Derived:
    """The lab's configuration for a source: other addresses for an octet, other values at the paths of `replacements`.

    A path is `homelab:<key>.<key>`, or longer; each replacement is named in `replaced`.
    """
    wanted = set(_secure_paths(source))
    config = _without_secure(source)
    replaced = dict.fromkeys(sorted(wanted), "generated")
    if octet is not None:
        config = shifted(config, octet)
    for path, value in replacements.items():
        if _replace(config, path.split("."), value):
            replaced[path] = value if len(value.splitlines()) == 1 else "the lab's own"
    for path in _required(config) - wanted:
        wanted.add(path)
        replaced[path] = "generated"
    return Derived(config, frozenset(wanted), replaced)


def _replace(section: dict[str, Any], way: list[str], value: str) -> bool:
    """Set the value at the end of a path, in copies of the maps on it. Says whether it changed."""
    key, *rest = way
    if not rest:
        changed = section.get(key) != value
        section[key] = value
        return changed
    section[key] = dict(section.get(key) or {})
    return _replace(section[key], rest, value)


def install(session: Session, cli: Cli, derived: Derived) -> dict[str, str]:
    """Write the copy, make the stack if needed, store the secrets; return these by path, in clear.

    Secrets that were generated before stay, so that a second `up` changes nothing.
    """
    known = _stored(session)
    values = {path: known.get(path) or _generate(path) for path in sorted(derived.secret_paths)}
    before = stack_file.parse(session.config.read_text()) if session.config.exists() else {}
    document = {key: before[key] for key in _ENCRYPTION_KEYS if key in before} | {"config": dict(derived.config)}
    kept = set()
    for path in values:
        secure = (before.get("config") or {}).get(path)
        if path in known and isinstance(secure, dict) and "secure" in secure:
            document["config"][path] = secure
            kept.add(path)
    write_private(session.config, stack_file.dump(document))
    write_private(session.directory / "secrets.json", json.dumps(values))
    cli.init()
    for path in sorted(values.keys() - kept):
        cli.set_secret(path, values[path])
    session.config.chmod(0o600)
    return values


def sealing_certificate(session: Session) -> str:
    """The lab's own certificate for SealedSecrets, whose private key takes the place of the stack's: made once."""
    path = session.directory / "sealing-certificate.pem"
    if not path.exists():
        keypair = make_keypair()
        write_private(
            session.directory / "secrets.json", json.dumps(_stored(session) | {SEALING_KEY: keypair.private_key_pem})
        )
        write_private(path, keypair.certificate_pem)
    return path.read_text()


def site_authority(session: Session, endpoint: str) -> str:
    """The authority of the simulated Proxmox at `endpoint`; every program of the lab that asks its machine trusts it.

    Raises:
        LabError: if it cannot be made.
    """
    state = session.state_of(PROXMOX)
    command = [sys.executable, "-m", "lab.proxmox.tls", str(state), str(urlsplit(endpoint).hostname)]
    made = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if made.returncode:
        raise LabError(f"the simulated Proxmox has no certificate: {made.stderr.strip()}")
    authority = (state / "ca.pem").read_text()
    write_private(session.trusted / "site.pem", authority)
    return authority


def _stored(session: Session) -> dict[str, str]:
    path = session.directory / "secrets.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _required(config: Mapping[str, Any]) -> set[str]:
    """Secrets without which the program refuses the configuration."""
    required = set()
    site = config.get("homelab:site") or {}
    if not {API_TOKEN, PASSWORD} & config.keys():
        required.add(PASSWORD if site.get("username") else API_TOKEN)
    extensions = (config.get("homelab:talos") or {}).get("extensions") or {}
    if extensions.get("tailscale") and TAILSCALE_KEY not in config:
        required.add(TAILSCALE_KEY)
    edge = config.get("homelab:edge") or {}
    if edge and EDGE_SSH_KEY not in config:
        required.add(EDGE_SSH_KEY)
    if (edge.get("secondary") or {}).get("tsig") and EDGE_TSIG_KEY not in config:
        required.add(EDGE_TSIG_KEY)
    if ((config.get("homelab:gitops") or {}).get("seed") or "").startswith("ssh://") and GIT_KEY not in config:
        required.add(GIT_KEY)
    return required


def _generate(path: str) -> str:
    if path == API_TOKEN:
        return f"root@pam!lab={uuid.uuid4()}"
    if path == TAILSCALE_KEY:
        return f"tskey-auth-lab-{secrets.token_hex(16)}"
    if path in (EDGE_SSH_KEY, GIT_KEY):
        return new_key()
    if path == EDGE_TSIG_KEY:
        return base64.b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(24)


def _secure_paths(value: Any, path: str = "") -> Iterator[str]:
    if _is_secure(value):
        yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secure_paths(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _secure_paths(item, f"{path}[{index}]")


def _without_secure(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_secure(item) for key, item in value.items() if not _is_secure(item)}
    if isinstance(value, list):
        return [_without_secure(item) for item in value if not _is_secure(item)]
    return value


def _is_secure(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"secure"}
