"""Programs that no test starts are told only what they know: `known_settings.yaml` has each setting with its source."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.gitops.tree import releases
from stacks import sso
from tests.unit.identity.test_what_a_service_gets import chart_values

KNOWN: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("known_settings.yaml").read_text())

_FORMS = {
    "boolean": r"true|false",
    "number": r"\d+",
    "duration": r"\d+(s|m|h)",
    "text": r"[^\n]+",
    "url": r'"?https?://[^\s"]+"?',
    "json": r"\{.*\}",
    "secret": r"secret",
}


def values(release: str) -> dict[str, Any]:
    [found] = [one for one in releases() if one.name == release]
    return found.values


def shown(value: Any) -> str:
    """A value as the program reads it; `secret` for what comes from one."""
    if isinstance(value, Mapping) and "valueFrom" in value:
        return "secret"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def leaves(value: Any, *path: str) -> Iterator[tuple[str, str]]:
    """Each setting below a value with its path; the items of a list share theirs."""
    if isinstance(value, Mapping) and "valueFrom" not in value:
        for key, inner in value.items():
            yield from leaves(inner, *path, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, *path)
    else:
        yield ".".join(path), shown(value)


def grafana() -> Iterator[tuple[str, str]]:
    """Its file, of the release and of the row for signing on, and what stands for parts of it in variables."""
    for told in (values("monitoring")["grafana"], chart_values("grafana")["grafana"]):
        yield from leaves(told["grafana.ini"])
        for name in told.get("env", {}):
            yield from leaves(told["env"][name], *_of_variable(name))
        for name in told.get("envValueFrom", {}):
            yield ".".join(_of_variable(name)), "secret"


def _of_variable(name: str) -> tuple[str, str]:
    """Section and key of GF_<SECTION>_<KEY>, where a dot of the section is an underscore too."""
    known = {key.replace(".", "_").upper(): key for key in KNOWN["grafana"]["settings"]}
    section, _, key = known.get(name.removeprefix("GF_"), f"variable.{name}").rpartition(".")
    return section, key


def loki() -> Iterator[tuple[str, str]]:
    return leaves(values("loki")["loki"])


def inventree() -> Iterator[tuple[str, str]]:
    for told in (values("inventree"), chart_values("inventree")):
        for containers in told["controllers"]["main"].values():
            for container in containers.values() if isinstance(containers, Mapping) else ():
                for name, value in container.get("env", {}).items() if isinstance(container, Mapping) else ():
                    if name.startswith("INVENTREE_"):
                        yield name, shown(value)


TOLD = {"grafana": grafana, "loki": loki, "inventree": inventree}


def misfits(program: str, told: Iterator[tuple[str, str]]) -> list[str]:
    """The settings that a program does not know, and the values that it does not take."""
    known, found = KNOWN[program]["settings"], []
    for name, value in told:
        form = known.get(name)
        if form is None:
            found.append(f"{name} is no setting of {program}")
        elif isinstance(form, dict):
            found += [f"{name} is {value}"] if value != shown(form["is"]) else []
        elif not re.fullmatch(_FORMS[form], value):
            found.append(f"{name} is {value}, no {form}")
    return found


@pytest.mark.parametrize("program", sorted(TOLD))
def test_a_program_is_told_only_what_it_knows(program: str) -> None:
    assert misfits(program, TOLD[program]()) == []


@pytest.mark.parametrize("program", sorted(TOLD))
def test_the_table_has_nothing_that_no_program_is_told(program: str) -> None:
    assert set(KNOWN[program]["settings"]) == {name for name, _ in TOLD[program]()}


def test_every_program_of_the_table_is_looked_at_and_has_sources() -> None:
    assert set(KNOWN) == set(TOLD)
    assert all(one["sources"] for one in KNOWN.values())


def test_a_misspelt_setting_and_a_value_of_another_form_are_found() -> None:
    told = iter([("auth.disable_loginform", "true"), ("server.root_url", "grafana.example.org"), ("auth_enabled", "x")])
    assert misfits("grafana", told) == [
        "auth.disable_loginform is no setting of grafana",
        "server.root_url is grafana.example.org, no url",
        "auth_enabled is no setting of grafana",
    ]


def test_what_loki_keeps_is_a_whole_number_of_its_indexes() -> None:
    told = dict(loki())
    kept, period = (int(told[name].removesuffix("h")) for name in ("limits_config.retention_period", _PERIOD))
    assert kept >= period
    assert kept % period == 0


_PERIOD = "schemaConfig.configs.index.period"


def test_inventrees_settings_of_its_own_are_those_of_signing_on() -> None:
    told = json.loads(dict(inventree())["INVENTREE_GLOBAL_SETTINGS"])
    # https://docs.inventree.org/en/stable/settings/SSO/
    assert set(told) == {
        *("LOGIN_ENABLE_SSO", "LOGIN_ENABLE_SSO_REG", "LOGIN_ENABLE_SSO_GROUP_SYNC"),
        *("SSO_GROUP_KEY", "SSO_GROUP_MAP"),
    }


def test_the_services_that_are_told_how_to_sign_on_are_in_the_table() -> None:
    assert {"grafana", "inventree"} <= {service.slug for service in sso.SERVICES}
