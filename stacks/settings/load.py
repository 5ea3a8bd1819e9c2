"""Turns a stack's configuration into settings, checked as a whole before anything is created.

Owns reading the `homelab:` keys into a frozen `Settings`. The models are in `model` and `machines`, the formats of
values in `types`, the rules between values in `rules` and `machine_rules`, the wording of error messages in `errors`,
the secrets in `credentials`. Nothing here contacts a machine: a preview needs no site.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pulumi
from pulumi.runtime import is_config_secret
from pulumi.runtime.config import CONFIG, get_config_env
from pydantic import ValidationError

from components.kit.spelling import did_you_mean
from stacks.settings import chart_mirror, credential_forms, credentials, errors, rules
from stacks.settings.credentials import PREFIX, PROJECT, SECRET_KEYS, SET_A_SECRET, Credentials
from stacks.settings.errors import SettingsError
from stacks.settings.model import Settings

_SECTIONS = tuple(Settings.model_fields)


def parse(raw: Mapping[str, object]) -> Settings:
    """Check a configuration, given as the values of the `homelab:` keys without that prefix.

    Raises:
        SettingsError: with all findings of the first phase (types and formats) or, if there are none, of the second
            (rules between values).
    """
    leaked = errors.secrets_in_plain_text(raw)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        raise SettingsError(errors.translate(error, leaked)) from None
    findings = list(leaked.values()) or rules.check(settings)
    if findings:
        raise SettingsError(findings)
    return settings


def load() -> tuple[Settings, Credentials]:
    """Read and check the selected stack's configuration; a preview only warns of what `rules.needed_by_up` finds.

    Raises:
        SettingsError: the settings or the set of credentials was refused.
    """
    raw, hidden = _read_plain()
    findings = [*hidden, *credentials.check(raw)]
    if hidden:
        raise SettingsError(findings)  # Further findings would show values that are stored as secrets.
    try:
        settings = parse(raw)
    except SettingsError as error:
        raise SettingsError([*findings, *error.findings]) from None
    findings += chart_mirror.check(settings)
    needed = [*rules.needed_by_up(settings), *_misformed_credentials(settings)]
    if pulumi.runtime.is_dry_run():
        for finding in needed:
            pulumi.log.warn(f"{finding}. A preview does without, `pulumi up` does not")
    else:
        findings += needed
    if findings:
        raise SettingsError(findings)
    return settings, credentials.read()


def _read_plain() -> tuple[dict[str, object], list[str]]:
    """The values of all keys that are not credentials, and a finding for each section that is stored as a secret."""
    config = pulumi.Config(PROJECT)
    raw: dict[str, object] = {}
    findings: list[str] = []
    # Not only the known keys: a misspelt optional one would silently have no effect.
    stored = {name.removeprefix(PREFIX) for name in {**get_config_env(), **CONFIG.get()} if name.startswith(PREFIX)}
    for key in sorted({*_SECTIONS, *stored} - {*SECRET_KEYS}):
        if is_config_secret(PREFIX + key):
            if key not in _SECTIONS:
                raw[key] = None  # Perhaps a misspelt secret; for an unknown key, only its name is reported.
                continue
            findings.append(
                f"{PREFIX}{key}: is stored as a secret, but settings are plain text; remove it, and {SET_A_SECRET}"
            )
        try:
            value = config.get_object(key)
        except pulumi.ConfigTypeError:
            value = config.get(key)
        # The engine hands on a section whose lines are all comments as empty text.
        if value is not None and not (value == "" and key in _SECTIONS):
            raw[key] = value
    return raw, [*findings, *_misspelt_namespaces()]


def _misformed_credentials(settings: Settings) -> Iterator[str]:
    """A finding for each credential of the wrong form; those of a preview may be placeholders."""
    config = pulumi.Config(PROJECT)
    values = {key: value for key in SECRET_KEYS if (value := config.get(key)) is not None}
    return credential_forms.findings(values, settings)


def _misspelt_namespaces() -> Iterator[str]:
    """A finding for each key whose namespace is nearly this project's; it would silently have no effect."""
    for name in sorted({*get_config_env(), *CONFIG.get()}):
        namespace, _, key = name.partition(":")
        if namespace != PROJECT and did_you_mean(namespace, [PROJECT]):
            yield f"{name}: no such namespace; did you mean {PREFIX}{key}?"
