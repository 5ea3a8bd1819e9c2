"""What an application secret may consist of, and what is refused before anything exists."""

from __future__ import annotations

from typing import Any

import pytest

from components.secrets.secret_spec import GivenSpec, Hex, Password, Plain, SecretSpec


def spec(**changes: Any) -> SecretSpec:
    known: dict[str, Any] = {"name": "db", "namespace": "app", "keys": {"password": Password(), "user": Plain("app")}}
    return SecretSpec(**known | changes)


def test_a_password_has_letters_and_digits_alone() -> None:
    assert Password().generator["symbols"] == 0


@pytest.mark.parametrize(("recipe", "encoding"), [(Password(), "raw"), (Hex(), "hex")])
def test_a_recipe_says_its_encoding(recipe: Password | Hex, encoding: str) -> None:
    assert recipe.generator["encoding"] == encoding


def test_a_recipe_leaves_nothing_to_defaults_of_the_operator() -> None:
    assert Hex(bytes=24).generator == {
        "length": 24,
        "digits": 6,
        "symbols": 0,
        "noUpper": False,
        "allowRepeat": True,
        "encoding": "hex",
    }


def test_recipes_that_differ_have_labels_that_differ() -> None:
    recipes = (Password(), Password(length=33), Hex(), Hex(bytes=16))
    assert len({recipe.label for recipe in recipes}) == len(recipes)


@pytest.mark.parametrize("recipe", [lambda: Password(length=15), lambda: Hex(bytes=8)])
def test_a_value_that_could_be_guessed_is_refused(recipe: Any) -> None:
    with pytest.raises(ValueError, match="is too short to be safe from guessing; give 16 or more"):
        recipe()


def test_a_path_holds_namespace_name_and_generation() -> None:
    assert spec().path(3) == "app/db/v3"


def test_a_plain_field_does_not_come_from_vault() -> None:
    assert (list(spec().generated), spec().templates) == (["password"], {"user": "app"})


def test_a_derived_key_is_a_template_of_the_secret() -> None:
    url = "postgresql://app:{{ .password }}@db/app"
    assert spec(derived={"url": url}).templates == {"url": url, "user": "app"}


def test_a_derived_key_may_name_a_key_with_a_dash() -> None:
    keys = {"api-key": Password()}
    assert spec(keys=keys, derived={"header": 'Bearer {{ index . "api-key" | trim }}'}).templates


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"name": "DB"}, "name: 'DB' is not a DNS label"),
        ({"namespace": "a" * 64}, "namespace: 'a+' is not a DNS label"),
        ({"keys": {"user": Plain("app")}}, "keys: none of db is generated"),
        ({"keys": {"a.b": Password()}}, "keys: 'a.b' cannot be generated"),
        ({"keys": {"": Password()}}, "keys: '' cannot be generated"),
        ({"keys": {"a": Password(), "b c": Plain("x")}}, "keys: 'b c' is not a key of a Secret"),
        ({"derived": {"password": "{{ .password }}"}}, "derived: 'password' is already in keys"),
        ({"derived": {"url": "postgresql://db"}}, "derived: 'url' uses no generated key; make it a Plain key"),
        ({"derived": {"url": "{{ .pasword }}"}}, "uses 'pasword', which is not generated; there are password"),
        ({"derived": {"url": "{{ .user }}:{{ .password }}"}}, "uses 'user', which is not .*; write its value into the"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_what_could_not_work_is_refused(changes: dict[str, Any], finding: str) -> None:
    with pytest.raises(ValueError, match=finding):
        spec(**changes)


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"name": "Mail"}, "name: 'Mail' is not a DNS label"),
        ({"keys": {}}, "keys: mail has none; name what a person gives"),
        ({"keys": {"a.b": "of the server"}}, "keys: 'a.b' cannot be given"),
    ],
    ids=["name", "nothing", "key"],
)
def test_what_nobody_could_give_is_refused(changes: dict[str, Any], finding: str) -> None:
    known: dict[str, Any] = {"name": "mail", "namespace": "apps", "keys": {"password": "of the server"}}
    with pytest.raises(ValueError, match=finding):
        GivenSpec(**known | changes)


def test_a_plain_value_that_looks_like_a_template_arrives_as_it_is() -> None:
    assert Plain("{{ user.name }}").template == '{{ "{{" }} user.name }}'


def test_a_spec_does_not_follow_changes_of_its_arguments() -> None:
    keys: dict[str, Any] = {"password": Password()}
    made = spec(keys=keys)
    keys["late"] = Password()
    assert list(made.keys) == ["password"]


@pytest.mark.parametrize("template", ["app:{{ .password | bcrypt }}", '{{ htpasswd "app" .password "bcrypt" }}'])
def test_a_hash_with_a_salt_is_one_that_differs_each_time(template: str) -> None:
    assert spec(derived={"file": template}).salted
    assert not spec(derived={"url": "postgresql://bcrypt:{{ .password }}@db/app"}).salted
