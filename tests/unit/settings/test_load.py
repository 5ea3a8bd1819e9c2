"""What `load` makes of a stack's configuration as Pulumi hands it over: texts, some of them secret."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.kit.versions import CILIUM
from lab.edge_host.host import new_key
from stacks.settings.chart_mirror import charts
from stacks.settings.credentials import Credentials
from stacks.settings.errors import SettingsError
from stacks.settings.load import load, parse
from stacks.settings.model import Settings
from tests.keypairs import keypair
from tests.unit.settings import fixtures

TOKEN, PASSWORD, AUTH_KEY = "homelab:proxmoxApiToken", "homelab:proxmoxPassword", "homelab:tailscaleAuthKey"
PLANTED = "planted-value"
VALUES = {
    TOKEN: f"root@pam!{PLANTED}=00000000-0000-0000-0000-000000000000",
    AUTH_KEY: f"tskey-auth-{PLANTED}",
    "homelab:edgeSshKey": new_key(),
    "homelab:edgeTsigKey": "cGxhbnRlZA==",
    "homelab:gitDeployKey": new_key(),
    "homelab:gitPushKey": new_key(),
    "homelab:sealingKey": keypair().private_key_pem,
}
"""The credentials whose form is checked; all others are PLANTED."""

Load = Callable[..., tuple[Settings, Credentials]]


@pytest.fixture
def load_with() -> Iterator[Load]:
    """`load` in an `up` of a configuration: settings as objects, secret keys, and keys stored in plain text."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def run(settings: Mapping[str, Any], secret: tuple[str, ...] = (), plain: Mapping[str, str] | None = None) -> Any:
        config = {f"homelab:{key}": json.dumps(value) for key, value in settings.items()}
        config |= {key: VALUES.get(key, PLANTED) for key in secret if key not in config} | dict(plain or {})

        def isolated() -> tuple[Settings, Credentials]:
            pulumi.runtime.set_all_config(config, list(secret))
            return load()

        return contextvars.copy_context().run(isolated)

    yield run
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def warned_in_a_preview(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `load` warns of, which believes itself in a preview."""
    warned: list[str] = []
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    return warned


def base(**sections: Any) -> dict[str, Any]:
    raw: dict[str, Any] = copy.deepcopy(fixtures.BASE)
    for section, values in sections.items():
        raw[section] = raw.get(section, {}) | values
    return raw


def refusal(load_with: Load, *args: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load_with(*args, **kwargs)
    assert PLANTED not in str(error.value)
    return list(error.value.findings)


@pytest.mark.parametrize("path", fixtures.files("refused_with_credentials"), ids=lambda path: path.stem)
def test_refused_credentials_yield_exactly_their_findings(
    load_with: Load, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    fixture = fixtures.read(path)
    secret = {f"homelab:{key}": value for key, value in fixture.get("secret", {}).items()}
    for key, value in secret.items():
        if value is not None:
            monkeypatch.setitem(VALUES, key, value)
    plain = fixture.get("plain", {})
    found = refusal(load_with, without(fixtures.changed(fixture), secret), tuple(secret), plain)
    assert found == fixture["expect"]
    assert [value for value in (*secret.values(), *plain.values()) if value and value in "".join(found)] == []


def without(settings: dict[str, Any], secret: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those that are stored as a secret."""
    return {key: value for key, value in settings.items() if f"homelab:{key}" not in secret}


def test_settings_arrive_as_their_types(load_with: Load) -> None:
    settings, _ = load_with(base(), (TOKEN,))
    assert str(settings.network.subnet) == "10.0.0.0/16"


def test_a_section_of_its_own_key_is_read(load_with: Load) -> None:
    settings, _ = load_with(base(storage={"datastore": "tank"}), (TOKEN,))
    assert settings.storage.datastore == "tank"


def test_a_token_arrives_as_a_secret_output(load_with: Load) -> None:
    _, secrets = load_with(base(), (TOKEN,))
    assert secrets.proxmox_api_token is not None
    assert _resolved(secrets.proxmox_api_token) == (VALUES[TOKEN], True)


def test_a_password_arrives_as_a_secret_output(load_with: Load) -> None:
    _, secrets = load_with(base(site={"username": "root@pam"}), (PASSWORD,))
    assert secrets.proxmox_password is not None
    assert _resolved(secrets.proxmox_password) == (PLANTED, True)


def test_an_auth_key_arrives_as_a_secret_output(load_with: Load) -> None:
    _, secrets = load_with(base(talos={"extensions": {"tailscale": True}}), (TOKEN, AUTH_KEY))
    assert secrets.tailscale_auth_key is not None
    assert _resolved(secrets.tailscale_auth_key) == (VALUES[AUTH_KEY], True)


def test_secrets_that_are_not_set_are_absent(load_with: Load) -> None:
    _, secrets = load_with(base(), (TOKEN,))
    assert (secrets.proxmox_password, secrets.tailscale_auth_key) == (None, None)


def test_a_secret_is_not_shown_by_the_repr_of_what_load_gives(load_with: Load) -> None:
    assert PLANTED not in repr(load_with(base(), (TOKEN,)))


def test_snapshots_with_roots_password_are_accepted(load_with: Load) -> None:
    settings, _ = load_with(base(site={"username": "root@pam"}, storage={"snapshots": True}), (PASSWORD,))
    assert settings.storage.snapshots


def test_a_sealing_certificate_without_its_key_is_refused(load_with: Load) -> None:
    sealing = {"certificate": (fixtures.HERE / "certificate.pem").read_text()}
    assert refusal(load_with, base(sealing=sealing), (TOKEN,)) == [
        "homelab:sealingKey: missing, but sealing.certificate is set, and the two form one keypair; set both with "
        "`make sealing-key STACK=<stack>`, or remove sealing.certificate"
    ]


HOST_KEY = f"ssh-ed25519 {'A' * 68}"
UNSIGNED: dict[str, Any] = {
    "address": "192.0.2.10",
    "ssh": {"hostKey": HOST_KEY},
    "secondary": {"name": "ns1.example.org", "address": "100.64.0.3"},
}
EDGE = UNSIGNED | {"secondary": {**UNSIGNED["secondary"], "tsig": {"name": "edge"}}}
EDGE_KEYS = ("homelab:edgeSshKey", "homelab:edgeTsigKey")


def test_an_edge_without_its_ssh_key_is_refused(load_with: Load) -> None:
    assert refusal(load_with, base(edge=EDGE), (TOKEN, "homelab:edgeTsigKey")) == [
        "homelab:edgeSshKey: missing, but edge is set; set it with `pulumi config set --secret homelab:edgeSshKey`"
    ]


def test_keys_of_the_edge_arrive_as_secret_outputs(load_with: Load) -> None:
    _, secrets = load_with(base(edge=EDGE), (TOKEN, *EDGE_KEYS))
    for name, key in zip(EDGE_KEYS, (secrets.edge_ssh_key, secrets.edge_tsig_key), strict=True):
        assert key is not None
        assert _resolved(key) == (VALUES[name], True)


GITOPS = {"seed": "ssh://git@192.0.2.10/srv/git/homelab.git"}
GIT_KEY = "homelab:gitDeployKey"


def test_a_repository_over_ssh_without_its_key_is_refused(load_with: Load) -> None:
    known = GITOPS | {"hostKey": EDGE["ssh"]["hostKey"]}
    assert refusal(load_with, base(gitops=known), (TOKEN,)) == [
        "homelab:gitDeployKey: missing, but gitops.seed is read over SSH; set it with "
        "`pulumi config set --secret homelab:gitDeployKey`"
    ]


def test_an_up_refuses_a_repository_whose_server_nobody_knows(load_with: Load) -> None:
    assert refusal(load_with, base(gitops=GITOPS), (TOKEN, GIT_KEY)) == [
        "homelab:gitops.hostKey: missing, so any server that answers at 192.0.2.10 could deploy to the cluster; set it "
        "to what `ssh-keyscan -t ed25519 192.0.2.10` prints after the address, once the host's own console has shown "
        "the same"
    ]


def test_a_repository_on_the_edge_host_is_known_by_that_hosts_key(load_with: Load) -> None:
    settings, _ = load_with(base(edge=EDGE, gitops=GITOPS), (TOKEN, *EDGE_KEYS, GIT_KEY))
    assert settings.edge is not None
    assert settings.seed_host_key == settings.edge.ssh.host_key


def test_a_repository_at_another_port_of_the_edge_host_is_another_server(load_with: Load) -> None:
    there = {"seed": "ssh://git@192.0.2.10:2222/srv/git/homelab.git"}
    [finding] = refusal(load_with, base(edge=EDGE, gitops=there), (TOKEN, *EDGE_KEYS, GIT_KEY))
    assert finding.startswith("homelab:gitops.hostKey: missing")


def test_a_preview_warns_of_the_keys_of_the_edge_that_are_missing(
    load_with: Load, warned_in_a_preview: list[str]
) -> None:
    load_with(base(edge=UNSIGNED | {"ssh": {}}), (TOKEN, "homelab:edgeSshKey"))
    assert [line.split(": ")[0] for line in warned_in_a_preview] == [
        "homelab:edge.ssh.hostKey",
        "homelab:edge.secondary.tsig",
    ]


def test_a_section_that_holds_a_secret_is_refused_and_not_shown(load_with: Load) -> None:
    raw = base(site={"bridge": f"{PLANTED}!"})
    assert refusal(load_with, raw, ("homelab:site", TOKEN)) == [
        "homelab:site: is stored as a secret, but settings are plain text; remove it, and set proxmoxPassword, "
        "proxmoxApiToken, tailscaleAuthKey, sealingKey, edgeSshKey, edgeTsigKey, gitDeployKey or gitPushKey with "
        "`pulumi config set --secret homelab:<key>`",
    ]


def test_a_misspelt_section_is_refused(load_with: Load) -> None:
    assert refusal(load_with, base(featuers={"longhornV2": True}), (TOKEN,)) == [
        'homelab:featuers: unknown key; did you mean "features"?'
    ]


def test_a_misspelt_secret_is_refused_and_not_shown(load_with: Load) -> None:
    assert refusal(load_with, base(), (TOKEN, "homelab:tailscaleAuthKy")) == [
        'homelab:tailscaleAuthKy: unknown key; did you mean "tailscaleAuthKey"?'
    ]


def test_a_misspelt_secret_in_plain_text_is_refused_and_not_shown(load_with: Load) -> None:
    assert refusal(load_with, base(), (TOKEN,), {"homelab:proxmoxPasword": PLANTED}) == [
        'homelab:proxmoxPasword: unknown key; did you mean "proxmoxPassword"?'
    ]


def test_keys_of_other_namespaces_are_none_of_its_business(load_with: Load) -> None:
    settings, _ = load_with(base(), (TOKEN,), {"kubernetes:context": "elsewhere"})
    assert settings.site.name == "atlas"


def test_a_section_that_is_text_is_refused(load_with: Load) -> None:
    assert refusal(load_with, base(), (TOKEN,), {"homelab:charts": "mirror"}) == [
        "homelab:charts: 'mirror' is not a map; write `name: value` lines below the key"
    ]


def test_findings_about_settings_and_credentials_are_reported_together(load_with: Load) -> None:
    findings = refusal(load_with, base(site={"vlan": 4095}))
    assert [line.split(": ")[0] for line in findings] == ["homelab:proxmoxApiToken", "homelab:site.vlan"]


def _resolved(output: pulumi.Output[str]) -> tuple[str | None, bool]:
    async def both() -> tuple[str | None, bool]:
        return await output.future(), await output.is_secret()

    return asyncio.get_event_loop().run_until_complete(both())


def test_a_preview_only_warns_of_a_credential_of_the_wrong_form(
    load_with: Load, warned_in_a_preview: list[str]
) -> None:
    load_with(base(), (TOKEN,), {TOKEN: PLANTED})
    assert [line.split(": ")[0] for line in warned_in_a_preview] == [TOKEN]


def test_a_section_of_comments_is_one_that_is_not_there(load_with: Load) -> None:
    settings, _ = load_with(base(), (TOKEN,), {"homelab:dns": "", "homelab:edge": ""})
    assert settings.edge is None


def test_a_chart_mirror_without_a_chart_is_refused_once_for_each(load_with: Load, tmp_path: Path) -> None:
    findings = refusal(load_with, base(charts={"mirror": str(tmp_path)}), (TOKEN,))
    assert len(findings) == len(charts(parse(base())))
    assert findings[0].startswith(f"homelab:charts.mirror: neither {CILIUM.name}-{CILIUM.version}.tgz nor ")


def test_a_chart_of_another_version_in_the_mirror_is_refused(load_with: Load, tmp_path: Path) -> None:
    for pin in charts(parse(base())):
        (tmp_path / f"{pin.name}-{pin.version}.tgz").touch()
    (tmp_path / f"{CILIUM.name}-{CILIUM.version}.tgz").unlink()
    (tmp_path / CILIUM.name).mkdir()
    (tmp_path / CILIUM.name / "Chart.yaml").write_text("version: 1.2.3\n")
    [finding] = refusal(load_with, base(charts={"mirror": str(tmp_path)}), (TOKEN,))
    assert f"holds cilium 1.2.3, but its values are written for {CILIUM.version}" in finding


@pytest.mark.parametrize(
    ("mirror", "reason"),
    [("~nobody-of-that-name/charts", "there is no such user"), ("a" * 5000, "File name too long")],
)
def test_a_chart_mirror_that_cannot_even_be_looked_for_is_refused(load_with: Load, mirror: str, reason: str) -> None:
    [finding] = refusal(load_with, base(charts={"mirror": mirror}), (TOKEN,))
    wrong = f"{mirror[:100]!r} cannot be looked into ({reason})"
    assert finding == f"homelab:charts.mirror: {wrong}; correct the path, or its permissions"


@pytest.mark.parametrize("content", ["", "- 1", "name: cilium", "version: [", "version: \xff"])
def test_a_chart_in_the_mirror_that_names_no_version_is_refused(load_with: Load, tmp_path: Path, content: str) -> None:
    for pin in charts(parse(base())):
        (tmp_path / f"{pin.name}-{pin.version}.tgz").touch()
    (tmp_path / f"{CILIUM.name}-{CILIUM.version}.tgz").unlink()
    (tmp_path / CILIUM.name).mkdir()
    file = tmp_path / CILIUM.name / "Chart.yaml"
    file.write_bytes(content.encode("latin-1"))
    [finding] = refusal(load_with, base(charts={"mirror": str(tmp_path)}), (TOKEN,))
    assert finding.startswith(f"homelab:charts.mirror: {file} names no version (")
