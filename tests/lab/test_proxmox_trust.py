"""Whose certificate is accepted for Proxmox (`components/proxmox/trust.py`), against one of the stock form."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.proxmox import trust
from components.proxmox.api import ProxmoxApi, ProxmoxError, ProxmoxLogin
from components.proxmox.hooks import ProxmoxChecks
from components.proxmox.site.plan import PlannedSite
from components.proxmox.trust import accepted_by_plugin
from lab.proxmox.tls import ensure_certificate
from tests.lab import pulumi_program
from tests.lab.proxmox_site import HOST, PASSWORD, ROOT_TOKEN, Site
from tests.lab.pulumi_program import Program

SYSTEM = "/etc/ssl/certs:/etc/pki/tls/certs"

ROLE = """
import pulumi
import pulumi_proxmoxve as proxmox

config = pulumi.Config()
provider = proxmox.Provider("site", endpoint=config.require("endpoint"), api_token=config.require_secret("token"))
proxmox.RoleLegacy("role", role_id="Trial", privileges=["VM.Audit"], opts=pulumi.ResourceOptions(provider=provider))
"""


def authority(site: Site) -> str:
    return (site.settings.state_dir / "ca.pem").read_text()


def endpoint(site: Site, host: str = HOST) -> str:
    return f"https://{host}:{site.server.pve.port}"


def log_in(site: Site, ca: str | None, host: str = HOST) -> None:
    ProxmoxApi(endpoint(site, host), insecure=False, ca=ca).log_in("root@pam", PASSWORD)


@pytest.fixture
def fresh_contexts() -> Iterator[None]:
    """No TLS context of another test, and none left for another."""
    trust.tls_context.cache_clear()
    yield
    trust.tls_context.cache_clear()


def test_the_site_is_accepted_by_its_own_authority(site: Site) -> None:
    log_in(site, authority(site))


@pytest.mark.usefixtures("fresh_contexts")
def test_the_site_is_accepted_by_a_python_that_checks_strictly(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary = ssl.create_default_context

    def as_from_python_3_13(**authorities: Any) -> ssl.SSLContext:
        context = ordinary(**authorities)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", as_from_python_3_13)
    log_in(site, authority(site))


def test_a_stock_certificate_without_the_setting_names_the_setting_and_the_file(site: Site) -> None:
    with pytest.raises(ProxmoxError, match=r"set homelab:site\.ca to the content of /etc/pve/pve-root-ca\.pem"):
        log_in(site, None)


def test_an_authority_that_signed_nothing_here_is_named(site: Site, tmp_path: Path) -> None:
    other, _, _ = ensure_certificate(tmp_path, HOST)
    with pytest.raises(ProxmoxError, match=r"homelab:site\.ca is not the authority that signed it"):
        log_in(site, other.read_text())


def test_an_endpoint_that_the_certificate_does_not_name_is_refused_with_what_to_write(site: Site) -> None:
    # Another spelling of the same address, and no address to a certificate.
    with pytest.raises(ProxmoxError, match=r"write homelab:site\.endpoint with an address or a name that is in"):
        log_in(site, authority(site), host="127.34.1")


def test_the_plugin_is_known_to_refuse_an_authority_that_only_the_setting_names(site: Site) -> None:
    assert not accepted_by_plugin(endpoint(site), {})


def test_the_plugin_is_known_to_accept_an_authority_in_a_directory(site: Site, tmp_path: Path) -> None:
    (tmp_path / "any-name").write_text(f"a comment\n{authority(site)}")
    assert accepted_by_plugin(endpoint(site), {"SSL_CERT_DIR": f"{SYSTEM}:{tmp_path}"})


def test_the_plugin_is_known_to_accept_an_authority_in_a_file(site: Site) -> None:
    file = site.settings.state_dir / "ca.pem"
    assert accepted_by_plugin(endpoint(site), {"SSL_CERT_FILE": str(file)})


def test_a_site_that_the_plugin_would_refuse_is_refused_before_anything_is_made(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_DIR", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    [finding] = checks(site, insecure=False)._plugin()
    assert "export SSL_CERT_DIR=/etc/ssl/certs:/etc/pki/tls/certs:<directory>" in finding


def test_a_site_that_is_not_to_be_verified_is_not_refused_for_its_certificate(site: Site) -> None:
    assert checks(site, insecure=True)._plugin() == []


def test_a_certificate_that_the_plugin_refuses_in_an_update_is_explained(site: Site) -> None:
    failure = 'Get "https://...": tls: failed to verify certificate: x509: certificate signed by unknown authority'
    explanation = asyncio.run(checks(site, insecure=False)._explain([failure]))
    assert explanation == trust.plugin_remedy(endpoint(site))


def checks(site: Site, *, insecure: bool) -> ProxmoxChecks:
    """The checks of a stack whose settings name the site's authority."""
    ca = None if insecure else authority(site)
    login = ProxmoxLogin(
        endpoint=endpoint(site), insecure=insecure, ca=ca, username=None, password=None, api_token=None
    )
    return ProxmoxChecks(login=login, site=PlannedSite(tag="homelab-test"))


@pytest.fixture
def role(site: Site, tmp_path: Path) -> Iterator[Program]:
    """A program that has the upstream provider make a role, on a machine that does not know the site's authority."""
    root = tmp_path / "lab"
    root.mkdir()
    with pulumi_program.program(root, ROLE, providers=("proxmoxve",), secrets={"token": ROOT_TOKEN}) as made:
        made.environment["SSL_CERT_DIR"] = SYSTEM
        made.set(endpoint=endpoint(site))
        yield made


def test_the_provider_refuses_an_authority_that_its_machine_does_not_trust(role: Program) -> None:
    assert trust.DISTRUSTED in role.up(fails=True)


def test_the_provider_accepts_an_authority_in_the_documented_directory(
    site: Site, role: Program, tmp_path: Path
) -> None:
    directory = tmp_path / "authorities"
    directory.mkdir()
    (directory / "site.pem").write_text(authority(site))
    role.environment["SSL_CERT_DIR"] = f"{SYSTEM}{os.pathsep}{directory}"
    role.up()
    assert [entry["roleid"] for entry in site.api("GET", "/access/roles") if entry["roleid"] == "Trial"] == ["Trial"]
