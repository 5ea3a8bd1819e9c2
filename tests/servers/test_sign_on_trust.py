"""What a service's settings make of a provider whose certificate the cluster's own authority signed, with the kind of
client that the service is: Go's (Gitea), OpenSSL's (Synapse), `requests` (InvenTree), a bundle in memory (Grafana).

The provider is a real one over TLS. The services themselves are in no registry of packages; Harbor's chart adds the
file to its images' certificates, for which there is no client of its own. Vault is in `test_vault_sign_on.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.identity.sso import VALUES_KEY
from lab.programs import ensure
from stacks import sso
from tests.servers.kubernetes import certificate, pem
from tests.servers.oidc_provider import OidcProvider, oidc_provider

REFUSED = ("certificate signed by unknown authority", "CERTIFICATE_VERIFY_FAILED")
REACHED = ("reached", "404 NOT FOUND")
"""What the clients in Python print after an answer, and what Helm says of one that is no chart."""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    directory = tmp_path_factory.mktemp("provider")
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = certificate("cluster CA", authority_key, "cluster CA", authority_key)
    served = certificate("auth", server_key, "cluster CA", authority_key)
    encoding = serialization.Encoding.PEM
    (directory / "ca.crt").write_bytes(authority.public_bytes(encoding))
    (directory / "server.crt").write_bytes(served.public_bytes(encoding))
    (directory / "server.key").write_bytes(pem(server_key))
    with oidc_provider({}, directory / "ca.crt") as running:
        yield running


def chart_values(slug: str, *, private: bool) -> Any:
    [service] = [service for service in sso.SERVICES if service.slug == slug]
    templates = sso.credentials(service, "example.org", private=private).templates
    return yaml.safe_load(templates[VALUES_KEY].replace('{{ "{{" }}', "{{"))


def listed(env: list[dict[str, str]]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in env}


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def helm(url: str) -> list[str]:
    """A program in Go that fetches a URL; what it gets is no chart, which it says once it has it."""
    return [str(ensure(["helm"])["helm"].path), "show", "chart", f"{url}/x.tgz"]


CLIENTS: Mapping[str, tuple[Callable[[Any], dict[str, str]], Callable[[str], list[str]]]] = {
    "gitea": (lambda values: listed(values.get("deployment", {}).get("env", [])), helm),
    "matrix": (
        lambda values: listed(values["matrixAuthenticationService"].get("extraEnv", [])),
        lambda url: python(
            f"import urllib.request as u; u.build_opener(u.ProxyHandler({{}})).open('{url}'); print('reached')"
        ),
    ),
    "inventree": (
        lambda values: {
            key: value
            for key, value in values["controllers"]["main"]["containers"]["server"]["env"].items()
            if not key.startswith("INVENTREE_")
        },
        lambda url: python(f"import requests; requests.get('{url}').raise_for_status(); print('reached')"),
    ),
    "grafana": (
        lambda values: {
            "FILE": values["grafana"]["grafana.ini"]["auth.generic_oauth"].get("tls_client_ca", ""),
        },
        lambda url: python(
            "import os, ssl, urllib.request as u; c = ssl.create_default_context(cafile=os.environ['FILE'] or None); "
            f"u.build_opener(u.ProxyHandler({{}}), u.HTTPSHandler(context=c)).open('{url}'); print('reached')"
        ),
    ),
}
"""By service: the variables that its values give to the container, and a client of its kind."""


def outcome(slug: str, provider: OidcProvider, *, private: bool) -> str:
    """What comes of a client with a service's settings that asks the provider."""
    variables, client = CLIENTS[slug]
    # In a container, the certificate is mounted where the settings say.
    mounted = {
        key: value.replace(sso.PRIVATE_AUTHORITY.file, str(provider.ca))
        for key, value in variables(chart_values(slug, private=private)).items()
    }
    url = f"{provider.issuer}/.well-known/openid-configuration"
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME")}
    ran = subprocess.run(
        client(url), env=kept | {"NO_PROXY": "*"} | mounted, capture_output=True, text=True, timeout=120, check=False
    )
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("slug", CLIENTS)
def test_a_service_accepts_a_private_certificate(provider: OidcProvider, slug: str) -> None:
    found = outcome(slug, provider, private=True)
    assert any(text in found for text in REACHED), found


@pytest.mark.parametrize("slug", CLIENTS)
def test_a_service_without_the_authority_refuses_it(provider: OidcProvider, slug: str) -> None:
    found = outcome(slug, provider, private=False)
    assert any(text in found for text in REFUSED), found


def test_every_service_is_tried_here_or_elsewhere() -> None:
    assert {service.slug for service in sso.SERVICES} == {*CLIENTS, "harbor", "vault"}
