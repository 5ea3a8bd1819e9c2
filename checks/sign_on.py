"""Checks that a service and Authentik have matching sign-on settings, as each would read them itself.

The rule: client id, issuer, client secret, redirect URI, scopes, the claim with the groups and the groups themselves
agree on both sides, and the service trusts whoever signs Authentik's certificate. It reads the finished texts:
Authentik's blueprints, and a service's Secret and chart values. For each service it knows how these are interpreted:
where it finds a setting, and which redirect URI it will send.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from checks.graph import Finding
from components.identity.blueprint import Find, KeyOf, load
from components.identity.sso import CLIENT_SECRET, FILLED_IN, VALUES_KEY
from components.identity.vault_sso import CLUSTER_AUTHORITY

_RULE = "sign-on"


PUBLIC = "a public CA"
"""What every image trusts by itself."""


@dataclass(frozen=True, kw_only=True)
class Provider:
    """Authentik's settings for one application.

    signer: of its certificate: `PUBLIC`, or `<secret>/<key>` with the certificate of a private authority.
    """

    client_id: str
    issuer: str
    redirect_uris: frozenset[str]
    scopes: frozenset[str]
    claims: frozenset[str]
    groups: frozenset[str]
    signer: str = PUBLIC


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """A service's settings.

    secret: the template of the value that it uses as the client secret.
    groups: those to which it assigns a role.
    trusts: whose certificates it accepts, as in `Provider.signer`.
    """

    client_id: str
    issuer: str
    secret: str
    redirect_uris: frozenset[str]
    scopes: frozenset[str]
    groups_claim: str
    groups: frozenset[str]
    trusts: str = PUBLIC


def providers(blueprints: Sequence[str], authority: str, signer: str = PUBLIC) -> dict[str, Provider]:
    """The providers that these blueprints create, by application slug.

    authority: Authentik's host name. signer: as in `Provider`.
    """
    entries = [entry for text in blueprints for entry in load(text)["entries"]]
    found: dict[str, Provider] = {}
    for application in _of(entries, "authentik_core.application"):
        slug = application["identifiers"]["slug"]
        provider = _resolve(application["attrs"]["provider"], entries)["attrs"]
        mappings = [_resolve(mapping, entries)["attrs"] for mapping in provider["property_mappings"]]
        bindings = [
            binding["identifiers"]
            for binding in _of(entries, "authentik_policies.policybinding")
            if _resolve(binding["identifiers"]["target"], entries) is application
        ]
        found[slug] = Provider(
            client_id=provider["client_id"],
            issuer=f"https://{authority}/application/o/{slug}/",
            redirect_uris=frozenset(uri["url"] for uri in provider["redirect_uris"]),
            scopes=frozenset(mapping["scope_name"] for mapping in mappings),
            claims=frozenset(
                claim for mapping in mappings for claim in re.findall(r'^ +"(\w+)":', mapping["expression"], re.M)
            ),
            groups=frozenset(_resolve(binding["group"], entries)["identifiers"]["name"] for binding in bindings),
            signer=signer,
        )
    return found


def consumer(slug: str, secret: Mapping[str, str]) -> Consumer:
    """How a service interprets its Secret, given as key to text or template. Raises KeyError if a key is missing."""
    return _READERS[slug](yaml.safe_load(secret[VALUES_KEY]), secret)


def disagreements(slug: str, provider: Provider, service: Consumer) -> Iterator[Finding]:
    """Where the two sides of one service differ."""
    for what, here, there in (
        ("client id", service.client_id, provider.client_id),
        ("issuer", service.issuer, provider.issuer),
        ("client secret", service.secret, FILLED_IN),
    ):
        if here != there:
            yield Finding(_RULE, slug, f"{what}: the service has {here!r}, Authentik {there!r}")
    if service.trusts != provider.signer:
        message = f"certificate: the service trusts {service.trusts}, Authentik's is signed by {provider.signer}"
        yield Finding(_RULE, slug, message)
    for what, asked, given in (
        ("redirect URI", service.redirect_uris, provider.redirect_uris),
        ("scope", service.scopes, provider.scopes),
        ("claim", frozenset({service.groups_claim}), provider.claims),
        ("group", service.groups, provider.groups),
    ):
        for value in sorted(asked - given):
            yield Finding(_RULE, slug, f"{what}: Authentik has no {value!r}; there are {', '.join(sorted(given))}")


def _of(entries: Sequence[Mapping[str, Any]], model: str) -> list[Mapping[str, Any]]:
    return [entry for entry in entries if entry["model"] == model]


def _resolve(tag: KeyOf | Find, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The entry that a tag refers to. Raises LookupError if there is none."""
    for entry in entries:
        if isinstance(tag, KeyOf) and entry.get("id") == tag.id:
            return entry
        if isinstance(tag, Find) and (entry["model"], entry["identifiers"].get(tag.by)) == (tag.model, tag.value):
            return entry
    raise LookupError(f"no entry for {tag}")


def _gitea(values: Any, secret: Mapping[str, str]) -> Consumer:
    [source] = values["gitea"]["oauth"]
    root = values["gitea"]["config"]["server"]["ROOT_URL"]
    variables = _variables(values.get("deployment", {}).get("env", []))
    # The command in an init container asks the provider, and so does the server.
    mounts = [values.get(f"extra{kind}VolumeMounts", []) for kind in ("Init", "Container")]
    trusted = {_trusted(variables.get("SSL_CERT_FILE"), mount, values.get("extraVolumes", [])) for mount in mounts}
    return Consumer(
        client_id=secret["key"],
        issuer=_issuer(source["autoDiscoverUrl"]),
        secret=secret["secret"],
        redirect_uris=frozenset({f"{root}user/oauth2/{source['name']}/callback"}),
        scopes=frozenset(source["scopes"].split()),
        groups_claim=source["groupClaimName"],
        groups=frozenset({source["adminGroup"]}),
        trusts=" and ".join(sorted(trusted)),
    )


def _harbor(values: Any, secret: Mapping[str, str]) -> Consumer:
    [variable] = values["core"]["extraEnvVars"]
    settings = json.loads(secret[variable["valueFrom"]["secretKeyRef"]["key"]])
    return Consumer(
        client_id=settings["oidc_client_id"],
        issuer=settings["oidc_endpoint"],
        secret=settings["oidc_client_secret"],
        redirect_uris=frozenset({f"{values['externalURL']}/c/oidc/callback"}),
        scopes=frozenset(settings["oidc_scope"].split(",")),
        groups_claim=settings["oidc_groups_claim"],
        groups=frozenset({settings["oidc_admin_group"]}),
        # The chart's images look for this key.
        trusts=f"{values['caBundleSecretName']}/ca.crt" if "caBundleSecretName" in values else PUBLIC,
    )


def _matrix(values: Any, secret: Mapping[str, str]) -> Consumer:
    """The Matrix Authentication Service asks for no group: who may open the application is Authentik's to say."""
    service = values["matrixAuthenticationService"]
    additional = yaml.safe_load(service["additional"]["sign-on"]["config"])
    [provider] = additional["upstream_oauth2"]["providers"]
    [claim] = re.findall(r"\{\{ user\.(\w+) \}\}", provider["claims_imports"]["localpart"]["template"])
    files = {
        f"{mount['mountPath']}/{item['path']}": item["key"]
        for mount in service["extraVolumeMounts"]
        for volume in service["extraVolumes"]
        if volume["name"] == mount["name"]
        for item in volume["secret"].get("items", [])
    }
    variables = _variables(service.get("extraEnv", []))
    return Consumer(
        client_id=provider["client_id"],
        issuer=provider["issuer"],
        secret=_generated(files[provider["client_secret_file"]], secret),
        redirect_uris=frozenset({f"https://{service['ingress']['host']}/upstream/callback/{provider['id']}"}),
        scopes=frozenset(provider["scope"].split()),
        groups_claim=claim,
        groups=frozenset(),
        trusts=_trusted(variables.get("SSL_CERT_FILE"), service["extraVolumeMounts"], service["extraVolumes"]),
    )


def _grafana(values: Any, secret: Mapping[str, str]) -> Consumer:
    grafana = values["grafana"]
    login = grafana["grafana.ini"]["auth.generic_oauth"]
    variable = grafana["envValueFrom"]["GF_AUTH_GENERIC_OAUTH_CLIENT_SECRET"]
    endpoints = {login[f"{name}_url"] for name in ("auth", "token", "api")}
    [base] = {re.sub(r"(authorize|token|userinfo)/$", "", url) for url in endpoints}
    claims = set(re.findall(r"contains\((\w+)\[\*\]", login["role_attribute_path"]))
    secrets = grafana.get("extraSecretMounts", [])
    volumes = [{"name": mount["name"], "secret": {"secretName": mount["secretName"]}} for mount in secrets]
    return Consumer(
        client_id=login["client_id"],
        issuer=f"{base}{login['signout_redirect_url'].removeprefix(base).partition('/')[0]}/",
        secret=_generated(variable["secretKeyRef"]["key"], secret),
        redirect_uris=frozenset({f"{grafana['grafana.ini']['server']['root_url']}login/generic_oauth"}),
        scopes=frozenset(login["scopes"].split()),
        groups_claim="+".join(sorted(claims | {login["groups_attribute_path"]})),
        groups=frozenset(re.findall(r"'([a-z-]+)'\)", login["role_attribute_path"])),
        trusts=_trusted(login.get("tls_client_ca"), secrets, volumes),
    )


def _inventree(values: Any, secret: Mapping[str, str]) -> Consumer:
    environment = values["controllers"]["main"]["containers"]["server"]["env"]
    providers = environment["INVENTREE_SOCIAL_PROVIDERS"]["valueFrom"]["secretKeyRef"]["key"]
    [app] = json.loads(secret[providers])["openid_connect"]["APPS"]
    settings = json.loads(environment["INVENTREE_GLOBAL_SETTINGS"])
    volumes = {name: one for name, one in values.get("persistence", {}).items() if one["type"] == "secret"}
    return Consumer(
        client_id=app["client_id"],
        issuer=_issuer(app["settings"]["server_url"]),
        secret=app["secret"],
        redirect_uris=frozenset(
            {f"{environment['INVENTREE_SITE_URL']}/accounts/oidc/{app['provider_id']}/login/callback/"}
        ),
        scopes=frozenset(app["settings"]["scope"]),
        groups_claim=settings["SSO_GROUP_KEY"],
        groups=frozenset(json.loads(settings["SSO_GROUP_MAP"])),
        trusts=_trusted(
            environment.get("REQUESTS_CA_BUNDLE"),
            [
                {"name": name, "mountPath": mount["path"]}
                for name, one in volumes.items()
                for mount in one.get("advancedMounts", {}).get("main", {}).get("server", [])
            ],
            [{"name": name, "secret": {"secretName": one["name"]}} for name, one in volumes.items()],
        ),
    )


def vault(document: str, public: str, signer: str = PUBLIC) -> Consumer:
    """How Vault interprets the document with its OIDC method.

    public: the host name at which people reach it. signer: the authority whose certificate lies beside Vault's own.
    """
    content = json.loads(document)
    [method] = [auth for auth in content["auth"] if auth["type"] == "oidc"]
    [role] = method["roles"]
    callbacks = frozenset(role["allowed_redirect_uris"])
    page = f"https://{public}/ui/vault/auth/{method['path']}/oidc/callback"
    return Consumer(
        client_id=method["config"]["oidc_client_id"],
        issuer=method["config"]["oidc_discovery_url"],
        secret=method["config"]["oidc_client_secret"],
        # The page sends its own address, whatever is allowed here.
        redirect_uris=callbacks | {page},
        scopes=frozenset(role["oidc_scopes"]),
        groups_claim=role["groups_claim"],
        groups=frozenset(role["bound_claims"][role["groups_claim"]]) | {group["name"] for group in content["groups"]},
        trusts=signer if method["config"].get("oidc_discovery_ca_pem") == CLUSTER_AUTHORITY else PUBLIC,
    )


_READERS: Mapping[str, Callable[[Any, Mapping[str, str]], Consumer]] = {
    "gitea": _gitea,
    "harbor": _harbor,
    "matrix": _matrix,
    "grafana": _grafana,
    "inventree": _inventree,
}


def _issuer(discovery: str) -> str:
    return discovery.removesuffix(".well-known/openid-configuration")


def _generated(key: str, secret: Mapping[str, str]) -> str:
    """The template of a key; the generated key has none of its own."""
    return FILLED_IN if key == CLIENT_SECRET else secret[key]


def _variables(env: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A container's `env` as a map."""
    return {entry["name"]: entry.get("value") for entry in env}


def _trusted(file: str | None, mounts: Sequence[Mapping[str, Any]], volumes: Sequence[Mapping[str, Any]]) -> str:
    """The key of a Secret that a container has as `file`, as in `Provider.signer`; the public CAs if there is none.

    Raises LookupError if nothing is mounted there: a program that is told to trust a missing file does not start, or
    trusts nobody.
    """
    if file is None:
        return PUBLIC
    directory, _, key = file.rpartition("/")
    for mount in mounts:
        if mount["mountPath"] == directory:
            [volume] = [volume for volume in volumes if volume["name"] == mount["name"]]
            return f"{volume['secret']['secretName']}/{key}"
    raise LookupError(f"nothing is mounted at {directory}, where {file} should be")
