"""Phase 3 for real: the real configurer gives a real Vault the document that the program renders, and people sign on to
it through a real provider.

Only addresses, the paths of certificates, and the client that the provider registered replace what the document says.
What a document of two methods does to the roles of each is shown in `test_vault.py`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from components.identity.vault_sso import CLUSTER_AUTHORITY, MOUNT, ROLE, sign_on, text
from components.vault.clients import platform_configuration
from lab.programs import ensure
from stacks import sso
from stacks.application_secrets import GIVEN, SECRETS, namespaces
from tests.servers.kubernetes import KubernetesApi
from tests.servers.manifests import manifests
from tests.servers.oidc_provider import OidcProvider, Registered, oidc_provider
from tests.servers.processes import eventually, free_ports
from tests.servers.vault import Answer, VaultServer, vault_server
from tests.servers.vault_pods import server_pod
from tests.unit.vault.examples import made

DOMAIN = "example.org"
[PAGE, COMMAND] = sso.VAULT.redirect_uris(DOMAIN)
[ADMINS, USERS] = sso.VAULT.groups
FIRST = platform_configuration(namespaces(SECRETS, GIVEN), "vault")
PEOPLE = {
    "ann": [ADMINS, "gitea-users"],
    "bob": [USERS],
    "cat": [ADMINS, USERS],
    "eve": ["gitea-admins"],
    "may": [],
    "nog": None,
}


@pytest.fixture(scope="module")
def provider(kubernetes: KubernetesApi) -> Iterator[OidcProvider]:
    with oidc_provider(PEOPLE, kubernetes.ca) as running:
        yield running


def documents(api: KubernetesApi, provider: OidcProvider, client: Registered) -> list[dict[str, Any]]:
    """Both documents, as their Secrets and the resource have them."""
    addition = sign_on(sso.VAULT, DOMAIN, sso.authority(DOMAIN), first=FIRST, discovery_ca=CLUSTER_AUTHORITY)
    issuer = sso.VAULT.client(DOMAIN, sso.authority(DOMAIN)).issuer
    content = json.dumps([FIRST.document(), json.loads(text(addition))])
    for written, here in (
        ("https://kubernetes.default.svc", api.url),
        (issuer, provider.issuer),
        ("/vault/tls/ca.crt", str(api.ca)),
        ("{{ .client_secret }}", client.client_secret),
        (f'"oidc_client_id": "{sso.VAULT.slug}"', f'"oidc_client_id": "{client.client_id}"'),
        (f'"bound_audiences": ["{sso.VAULT.slug}"]', f'"bound_audiences": ["{client.client_id}"]'),
    ):
        assert written in content, f"the documents say {written} no longer"
        content = content.replace(written, here)
    both: list[dict[str, Any]] = json.loads(content)
    return both


@pytest.fixture(scope="module")
def client(provider: OidcProvider) -> Registered:
    return provider.register([PAGE, COMMAND])


@pytest.fixture(scope="module")
def vault(
    kubernetes: KubernetesApi, provider: OidcProvider, client: Registered, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VaultServer]:
    """Configured by both documents, in one process, as the operator has it done."""
    [resource] = manifests(made(), "Vault")
    kubernetes.apply(*manifests(made(), "Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRoleBinding"))
    pod = server_pod(resource["spec"], "instance-0", "vault")
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]["add"]
    kubernetes.request("POST", "/api/v1/namespaces/vault/pods", pod)
    with vault_server(kubernetes, resource["spec"], tmp_path_factory.mktemp("vault")) as server:
        server.unseal()
        eventually(lambda: server.request("GET", "sys/health").status == 200 or None, "active Vault")
        server.configure(*documents(kubernetes, provider, client))
        written = {"data": {"key": "value"}, "options": {"cas": 0}}
        assert server.request("POST", "kv/data/gitea/admin/v1", written).status == 200
        yield server


def login(
    vault: VaultServer, provider: OidcProvider, person: str, *, role: str = "", uri: str = PAGE, **changed: str
) -> Answer:
    """Sign on as Vault's page does: ask for the address, be this person there, come back."""
    begin = {"role": role, "redirect_uri": uri, "client_nonce": "n" * 20}
    asked = vault.request("POST", f"auth/{MOUNT}/oidc/auth_url", begin, token="")
    if not asked.data.get("auth_url"):
        return Answer(400, asked.body)
    back = provider.sign_on(asked.data["auth_url"], person) | {"client_nonce": begin["client_nonce"]} | changed
    query = "&".join(f"{key}={back[key]}" for key in ("state", "code", "client_nonce"))
    return vault.request("GET", f"auth/{MOUNT}/oidc/callback?{query}", token="")


def auth(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    return dict(answer.body["auth"])


@pytest.mark.parametrize(
    ("person", "policies"),
    [
        ("ann", ["people-admin"]),
        ("bob", ["people-reader"]),
        ("cat", ["people-admin", "people-reader"]),
    ],
)
def test_a_person_gets_the_policies_of_their_groups(
    vault: VaultServer, provider: OidcProvider, person: str, policies: list[str]
) -> None:
    found = auth(login(vault, provider, person))
    assert (found["token_policies"], found["identity_policies"]) == (["default"], policies)


@pytest.mark.parametrize("uri", [PAGE, COMMAND])
def test_a_login_lasts_a_working_day(vault: VaultServer, provider: OidcProvider, uri: str) -> None:
    found = auth(login(vault, provider, "ann", uri=uri))
    assert (found["lease_duration"], found["metadata"]["role"]) == (8 * 3600, ROLE)


@pytest.mark.parametrize("person", ["eve", "may", "nog"])
def test_whoever_is_in_none_of_the_groups_is_refused(vault: VaultServer, provider: OidcProvider, person: str) -> None:
    answer = login(vault, provider, person)
    assert (answer.status, answer.body.get("auth")) == (400, None)


REFUSED: dict[str, dict[str, str]] = {
    "another redirect URI": {"uri": "https://evil.example.org/ui/vault/auth/oidc/oidc/callback"},
    "an unknown role": {"role": "people-admin"},
    "a forged state": {"state": "st_forged"},
    "a forged code": {"code": "forged"},
    "another nonce": {"client_nonce": "m" * 20},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_login_is_refused_for(vault: VaultServer, provider: OidcProvider, case: str) -> None:
    assert login(vault, provider, "ann", **REFUSED[case]).status == 400


MAY: dict[str, tuple[str, str, Any, bool, bool]] = {
    "read a secret": ("GET", "kv/data/gitea/admin/v1", None, True, False),
    "see which secrets there are": ("LIST", "kv/metadata/gitea/admin", None, True, True),
    "write a secret": ("POST", "kv/data/gitea/by-hand", {"data": {"a": "b"}, "options": {"cas": 0}}, True, False),
    "read a policy": ("GET", "sys/policies/acl/people-admin", None, True, False),
    "write a policy": ("POST", "sys/policies/acl/people-admin", {"policy": 'path "*" {}'}, False, False),
    "write a role": ("POST", f"auth/{MOUNT}/role/{ROLE}", {"bound_claims": {}}, False, False),
    "give a group a policy": ("POST", "identity/group", {"name": "x", "policies": ["people-admin"]}, False, False),
    "read the client's secret": ("GET", f"auth/{MOUNT}/config", None, False, False),
}


@pytest.mark.parametrize("case", MAY)
def test_what_a_person_may_do(vault: VaultServer, provider: OidcProvider, case: str) -> None:
    method, path, body, admin, reader = MAY[case]
    for person, may in (("ann", admin), ("bob", reader)):
        token = str(auth(login(vault, provider, person))["client_token"])
        assert (vault.request(method, path, body, token=token).status < 300) is may, person


def test_both_methods_have_exactly_the_roles_of_the_documents(vault: VaultServer) -> None:
    found = {path: sorted(vault.request("LIST", f"auth/{path}/role").data["keys"]) for path in ("kubernetes", MOUNT)}
    assert found == {"kubernetes": ["external-secrets", "snapshot"], MOUNT: [ROLE]}


def test_a_rotated_client_secret_is_taken_by_another_run_and_changes_no_role(
    vault: VaultServer, provider: OidcProvider, client: Registered
) -> None:
    role = vault.request("GET", f"auth/{MOUNT}/role/{ROLE}").data
    rotated = documents(vault.api, provider, Registered(client.client_id, "rotated"))
    vault.configure(*reversed(rotated))
    try:
        assert login(vault, provider, "ann").status == 400
    finally:
        vault.configure(*documents(vault.api, provider, client))
    assert login(vault, provider, "ann").status == 200
    assert vault.request("GET", f"auth/{MOUNT}/role/{ROLE}").data == role


def test_a_document_that_came_before_the_provider_answers_is_applied_once_it_does(
    vault: VaultServer, provider: OidcProvider, client: Registered
) -> None:
    """Why no `up` has to wait for a public certificate of the provider."""
    [port] = free_ports(1)
    late = OidcProvider(f"https://127.0.0.1:{port}", vault.api.ca)

    def address() -> str:
        return str(vault.request("GET", f"auth/{MOUNT}/config").data["oidc_discovery_url"])

    before = address()
    try:
        with vault.configurer(*documents(vault.api, late, Registered("a", "b"))) as log:
            eventually(lambda: "error checking oidc discovery URL" in log.read_text() or None, "refusal")
            assert address() == before
            with oidc_provider(PEOPLE, vault.api.ca, port):
                eventually(lambda: address() == late.issuer or None, "configured provider", seconds=90)
    finally:
        vault.configure(*documents(vault.api, provider, client))


def test_the_document_is_refused_while_the_provider_does_not_answer(vault: VaultServer) -> None:
    """Why it waits until Authentik does."""
    away = OidcProvider("https://127.0.0.1:9", vault.api.ca)
    with pytest.raises(AssertionError, match="error checking oidc discovery URL"):
        vault.configure(*documents(vault.api, away, Registered("a", "b")))


def test_everybody_who_signed_on_is_out_once_what_the_method_gave_is_revoked(
    vault: VaultServer, provider: OidcProvider
) -> None:
    """Step 5 of the drill in docs/identity.md, with its command."""
    held = [auth(login(vault, provider, person))["client_token"] for person in ("ann", "bob")]

    def known() -> list[int]:
        return [vault.request("GET", "auth/token/lookup-self", token=token).status for token in held]

    assert known() == [200, 200]
    where = {"VAULT_ADDR": vault.url, "VAULT_CACERT": str(vault.api.ca), "VAULT_TOKEN": vault.keys["vault-root"]}
    command = [str(ensure(["vault"])["vault"].path), "token", "revoke", "-mode=path", f"auth/{MOUNT}"]
    done = subprocess.run(command, env={"HOME": "/nonexistent", **where}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert known() == [403, 403]
