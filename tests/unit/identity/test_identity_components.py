"""What the components of identity and databases refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.database.postgres import PostgresArgs
from components.database.postgres_backup import PostgresBackupArgs
from components.identity.authentik import AuthentikArgs, BlueprintFile
from components.identity.authentik_secrets import CONFIGURATION, DATABASE
from components.identity.sso import Configuration, Service
from components.kit.references import SecretReference
from components.secrets.application_secret import VaultValue
from components.secrets.assembled_secret import AssembledSecretArgs
from components.secrets.secret_spec import Password, Plain
from components.vault.oidc import OidcAuth
from tests.unit.arguments import Known, refused
from tests.unit.vault.examples import addition

SECRET = SecretReference(namespace="authentik", name="x", key="y", ready=None)  # type: ignore[arg-type]


def postgres(spec: Any) -> str:
    rest = {"database": "a", "storage": None, "size": "1Gi", "schedulable": 1, "operator": None, "owner": None}
    return refused(PostgresArgs, spec=spec, callers=[], **rest)


def test_a_database_whose_password_would_not_rotate_is_refused() -> None:
    assert "has no label cnpg.io/reload=true" in postgres(replace(DATABASE, labels={}))


@pytest.mark.parametrize(
    "spec",
    [
        CONFIGURATION,
        replace(DATABASE, type="Opaque"),
        replace(DATABASE, keys={"username": Password(), "password": Password()}),
        replace(DATABASE, keys={"username": Plain("a"), "pass": Password()}),
    ],
)
def test_a_secret_that_holds_no_user_is_refused(spec: Any) -> None:
    assert "holds no user" in postgres(spec)


def test_a_backup_that_is_deleted_at_once_is_refused() -> None:
    assert "kept: 0 days" in refused(PostgresBackupArgs, database=None, storage=None, size="1Gi", kept=0)


def authentik(**changed: Any) -> str:
    arguments = {
        "charts": None,
        "host": "auth.example.org",
        "database": None,
        "environment": {"AUTHENTIK_SECRET_KEY": SECRET},
        "blueprints": (),
        "ingress": None,
        "certificate": None,
        "schedulable": 1,
    }
    return refused(AuthentikArgs, **(arguments | changed))


def test_an_authentik_without_its_key_is_refused() -> None:
    assert "no AUTHENTIK_SECRET_KEY" in authentik(environment={})


def test_a_variable_of_another_namespace_is_refused() -> None:
    environment = {"AUTHENTIK_SECRET_KEY": replace(SECRET, namespace="vault")}
    assert "is of namespace 'vault'" in authentik(environment=environment)


def test_two_blueprints_of_one_name_are_refused() -> None:
    file = BlueprintFile(name="a", secret="b", key="c")
    assert "'a' appears twice" in authentik(blueprints=(file, file))


def value(namespace: str) -> VaultValue:
    return VaultValue(access=Known(namespace=namespace), path="a", key="b", ready=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "files", "finding"),
    [
        ({}, {}, "values: of no namespace"),
        ({"a": value("x"), "b": value("y")}, {"f": "{{ .a }}{{ .b }}"}, "values: of x, y"),
        ({"a": value("x")}, {"f": "{{ .b }}"}, "files: 'b' is not a value; there are a"),
        ({"a": value("x"), "b": value("x")}, {"f": "{{ .a }}"}, "values: 'b' stands in no file"),
    ],
)
def test_what_cannot_be_put_together_is_refused(values: Any, files: Any, finding: str) -> None:
    assert finding in refused(AssembledSecretArgs, name="a", values=values, files=files)


def service(**changed: Any) -> str:
    arguments = {
        "slug": "app",
        "title": "App",
        "namespace": "app",
        "host": "app",
        "callbacks": ("/callback",),
        "groups": {"app-users": "user"},
        "configuration": lambda _: Configuration(),
        "origin": "authentik",
    }
    return refused(Service, **(arguments | changed))


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({"slug": "token"}, "token: is an endpoint of Authentik's own"),
        ({"groups": {}}, "without a group every user could open it"),
        ({"callbacks": ()}, "without a callback no login can end"),
        ({"scopes": ("openid", "profile", "roles")}, "scope 'roles' has no mapping"),
        ({"scopes": ("openid", "email")}, "needs scopes openid and profile"),
        ({"groups": {"App Users": "user"}}, "'App Users': services and groups are lower-case"),
    ],
)
def test_a_service_that_nobody_or_everybody_could_open_is_refused(changed: Any, finding: str) -> None:
    assert finding in service(**changed)


def test_a_role_that_no_group_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no group has role 'owner'; there are user"):
        Service(
            slug="app",
            title="App",
            namespace="app",
            host="app",
            callbacks=("/callback",),
            groups={"app-users": "user"},
            configuration=lambda _: Configuration(),
            origin="authentik",
        ).client("example.org", "auth.example.org").in_role("owner")


def test_vaults_client_secret_may_be_a_field_that_is_filled_in_and_nothing_else() -> None:
    [method] = [method for method in addition().auth if isinstance(method, OidcAuth)]
    assert replace(method, client_secret="{{ .client_secret }}").client_secret
    with pytest.raises(ValueError, match="would be in plain text"):
        replace(method, client_secret="hunter2")
