"""Both sides of every sign-on, as generated: that they agree, and that a disagreement is found."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import yaml

from checks.sign_on import PUBLIC, Consumer, Provider, consumer, disagreements, providers
from components.identity.sso import VALUES_KEY
from stacks import sso

DOMAIN = "example.org"
BLUEPRINTS = [sso.platform_blueprint(DOMAIN, []).text(), sso.vault_blueprint(DOMAIN).text()]
BY_SECRET = [service.slug for service in sso.others()]


def authentik(slug: str, *, old: str = "", new: str = "") -> Provider:
    """Authentik's side, of texts in which `old` is `new`."""
    texts = [text.replace(old, new) if old else text for text in BLUEPRINTS]
    assert not old or texts != BLUEPRINTS
    return providers(texts, sso.authority(DOMAIN))[slug]


def secret_of(slug: str, *, private: bool = False) -> dict[str, str]:
    """Keys of a service's Secret as the operator fills them in, but for the client's secret."""
    [service] = [service for service in sso.SERVICES if service.slug == slug]
    templates = sso.credentials(service, DOMAIN, private=private).templates
    return {key: text.replace('{{ "{{" }}', "{{") for key, text in templates.items()}


def own(slug: str, *, old: str = "", new: str = "") -> Consumer:
    """The service's side, of a Secret in which `old` is `new`."""
    secret = secret_of(slug)
    changed = {key: text.replace(old, new) if old else text for key, text in secret.items()}
    assert not old or changed != secret
    return consumer(slug, changed)


def messages(slug: str, provider: Provider, service: Consumer) -> list[str]:
    return [finding.message for finding in disagreements(slug, provider, service)]


@pytest.mark.parametrize("slug", BY_SECRET)
def test_both_sides_of_a_service_agree(slug: str) -> None:
    assert messages(slug, authentik(slug), own(slug)) == []


SIGNER = f"{sso.PRIVATE_AUTHORITY.secret}/{sso.PRIVATE_AUTHORITY.key}"


def private_messages(slug: str, secret: dict[str, str]) -> list[str]:
    """Where a service's Secret and an Authentik with a certificate of the cluster's own authority differ."""
    provider = providers(BLUEPRINTS, sso.authority(DOMAIN), SIGNER)[slug]
    return messages(slug, provider, consumer(slug, secret))


@pytest.mark.parametrize("slug", BY_SECRET)
def test_a_service_trusts_the_authority_of_a_private_certificate(slug: str) -> None:
    assert private_messages(slug, secret_of(slug, private=True)) == []


@pytest.mark.parametrize("slug", BY_SECRET)
def test_a_service_that_trusts_only_public_authorities_is_found(slug: str) -> None:
    found = private_messages(slug, secret_of(slug))
    assert found == [f"certificate: the service trusts {PUBLIC}, Authentik's is signed by {SIGNER}"]


@pytest.mark.parametrize("slug", BY_SECRET)
def test_a_service_that_trusts_another_secret_is_found(slug: str) -> None:
    secret = {key: text.replace("sign-on-authority", "other") for key, text in secret_of(slug, private=True).items()}
    assert private_messages(slug, secret) == [
        f"certificate: the service trusts other/ca.crt, Authentik's is signed by {SIGNER}"
    ]


@pytest.mark.parametrize("slug", [slug for slug in BY_SECRET if slug != "harbor"])
def test_a_file_that_is_mounted_nowhere_is_found(slug: str) -> None:
    secret = secret_of(slug, private=True)
    # Our own chart calls it a path alone.
    secret[VALUES_KEY] = re.sub(r"(mountPath|path): /authority$", r"\1: /elsewhere", secret[VALUES_KEY], flags=re.M)
    with pytest.raises(LookupError, match="nothing is mounted at /authority"):
        private_messages(slug, secret)


@pytest.mark.parametrize("slug", BY_SECRET)
def test_a_service_says_nothing_of_an_authority_that_everybody_trusts(slug: str) -> None:
    assert sso.PRIVATE_AUTHORITY.secret not in str(secret_of(slug))


@pytest.mark.parametrize("slug", BY_SECRET)
def test_another_redirect_uri_in_authentik_is_found(slug: str) -> None:
    [uri] = authentik(slug).redirect_uris
    found = messages(slug, authentik(slug, old=uri, new=f"{uri}s"), own(slug))
    assert found == [f"redirect URI: Authentik has no {uri!r}; there are {uri}s"]


@pytest.mark.parametrize("slug", BY_SECRET)
def test_another_issuer_at_the_service_is_found(slug: str) -> None:
    [found] = messages(slug, authentik(slug), own(slug, old=f"/application/o/{slug}/", new="/application/o/other/"))
    assert found.startswith("issuer: the service has 'https://auth.example.org/application/o/other/'")


@pytest.mark.parametrize("slug", BY_SECRET)
def test_another_client_id_in_authentik_is_found(slug: str) -> None:
    found = messages(slug, authentik(slug, old=f"client_id: {slug}\n", new="client_id: other\n"), own(slug))
    assert found == [f"client id: the service has {slug!r}, Authentik 'other'"]


@pytest.mark.parametrize("slug", BY_SECRET)
def test_a_claim_that_authentik_does_not_give_is_found(slug: str) -> None:
    claim = "preferred_username" if slug == "matrix" else "groups"
    found = messages(slug, authentik(slug, old=f'"{claim}":', new='"other":'), own(slug))
    assert [text.partition(";")[0] for text in found] == [f"claim: Authentik has no {claim!r}"]


@pytest.mark.parametrize("slug", BY_SECRET)
def test_a_scope_that_authentik_does_not_give_is_found(slug: str) -> None:
    provider = authentik(slug)
    found = messages(slug, replace(provider, scopes=provider.scopes - {"email"}), own(slug))
    assert [text.partition(";")[0] for text in found] == ["scope: Authentik has no 'email'"]


# Matrix knows no groups: Authentik alone says who may open it.
@pytest.mark.parametrize("slug", [slug for slug in BY_SECRET if slug != "matrix"])
def test_a_group_that_may_not_open_the_application_is_found(slug: str) -> None:
    provider = authentik(slug, old=f"!KeyOf 'group-{min(authentik(slug).groups)}'", new="!KeyOf 'group-vault-users'")
    assert any(text.startswith("group: Authentik has no") for text in messages(slug, provider, own(slug)))


@pytest.mark.parametrize(
    ("slug", "key"), [("gitea", "secret"), ("harbor", "CONFIG_OVERWRITE_JSON"), ("inventree", "providers")]
)
def test_another_secret_at_the_service_is_found(slug: str, key: str) -> None:
    secret = secret_of(slug)
    secret[key] = secret[key].replace("{{ .client_secret }}", "of another generator")
    [found] = messages(slug, authentik(slug), consumer(slug, secret))
    assert found.startswith("client secret: the service has 'of another generator'")


@pytest.mark.parametrize(
    ("slug", "named", "other"),
    [
        ("matrix", "client_secret_file: /sign-on/client_secret", "client_secret_file: /sign-on/other"),
        ("grafana", "key: client_secret", "key: other"),
    ],
)
def test_a_secret_that_is_looked_for_where_it_is_not_is_found(slug: str, named: str, other: str) -> None:
    secret = secret_of(slug)
    assert named in secret[VALUES_KEY]
    secret[VALUES_KEY] = secret[VALUES_KEY].replace(named, other)
    with pytest.raises(KeyError, match="other"):
        consumer(slug, secret)


@pytest.mark.parametrize("slug", BY_SECRET)
def test_authentik_lets_in_every_group_of_a_service_by_name(slug: str) -> None:
    [service] = [service for service in sso.SERVICES if service.slug == slug]
    assert authentik(slug).groups == set(service.groups)


def test_a_key_that_the_secret_does_not_have_is_found() -> None:
    secret = secret_of("gitea")
    del secret["secret"]
    with pytest.raises(KeyError, match="secret"):
        consumer("gitea", secret)


def test_a_chart_value_names_keys_that_the_secret_has() -> None:
    for slug in BY_SECRET:
        values = yaml.safe_load(secret_of(slug)[VALUES_KEY])
        assert f'"oidc-{slug}"' in json.dumps(values), slug


def test_matrix_gets_its_own_templates_untouched() -> None:
    told = yaml.safe_load(secret_of("matrix")[VALUES_KEY])["matrixAuthenticationService"]["additional"]["sign-on"]
    [provider] = yaml.safe_load(told["config"])["upstream_oauth2"]["providers"]
    assert provider["claims_imports"]["localpart"]["template"] == "{{ user.preferred_username }}"


def test_no_two_services_have_a_name_a_host_or_a_namespace_in_common() -> None:
    for values in zip(*((s.slug, s.title, s.host, s.namespace) for s in sso.SERVICES), strict=True):
        assert len(set(values)) == len(sso.SERVICES)


def test_the_groups_of_services_are_known() -> None:
    assert {"gitea-users", "gitea-admins", "rspcache-admins"} <= set(sso.groups())
