"""The table of application secrets, and the rule that a rotation names one of them."""

from __future__ import annotations

from typing import Any

import pytest

from components.secrets.secret_spec import GivenSpec, Password, SecretSpec
from stacks.application_secrets import SECRETS, STORE_PROBE, DeclaredSecret, GivenByAPerson, namespaces, table
from stacks.settings.load import parse
from stacks.settings.rules import rotation
from tests.unit.settings import fixtures


def row(name: str = "api-key", **changes: Any) -> DeclaredSecret:
    known: dict[str, Any] = {
        "spec": SecretSpec(name=name, namespace="dns", keys={"key": Password()}),
        "uptake": "restart",
        "consumers": "the DNS servers",
    }
    return DeclaredSecret(**known | changes)


def findings(**rotated: int) -> list[str]:
    generations = {name.replace("_", "-"): value for name, value in rotated.items()}
    settings = parse(fixtures.BASE).model_copy(update={"rotation": generations})
    return [f"{'.'.join(map(str, place))}: {text}" for place, text in rotation(settings)]


def test_a_rotation_of_a_declared_secret_is_accepted() -> None:
    assert findings(**{STORE_PROBE: 2}) == []


def test_a_misspelt_rotation_is_refused_with_the_name_that_was_meant() -> None:
    assert findings(store_prob=2) == [
        "rotation.store-prob: 'store-prob' is not an application secret; did you mean \"store-probe\"?"
    ]


def test_a_rotation_of_nothing_near_is_refused_with_all_names() -> None:
    assert findings(zzz=2) == [
        f"rotation.zzz: 'zzz' is not an application secret; choose one of {', '.join(sorted(SECRETS))}"
    ]


def test_a_name_that_is_declared_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'api-key' is declared twice"):
        table([row(), row(spec=SecretSpec(name="api-key", namespace="edge", keys={"key": Password()}))])


@pytest.mark.parametrize("changes", [{"uptake": "procedure"}, {"procedure": "PowerDNS"}])
def test_an_uptake_without_its_procedure_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="does not go with uptake"):
        row(**changes)


def test_the_store_serves_exactly_the_namespaces_of_the_table() -> None:
    other = SecretSpec(name="other", namespace="apps", keys={"key": Password()})
    given = GivenSpec(name="mail", namespace="chat", keys={"password": "of the mail server"})
    generated = table([row(), row("second"), row(spec=other, also_in=("edge",))])
    by_people = {"mail": GivenByAPerson(spec=given, consumers="nobody")}
    assert namespaces(generated, by_people) == ["apps", "chat", "dns"]
