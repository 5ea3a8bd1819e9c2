"""A real Vault, configured by the real configurer with the document that our own objects render."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from components.vault.lint import KEYS
from components.vault.oidc import OidcAuth
from tests.servers.kubernetes import KubernetesApi
from tests.servers.processes import eventually
from tests.servers.vault import VaultServer, first_document, platform_vault
from tests.serving import serving
from tests.unit.vault.examples import addition, configuration

SECRET = {"OIDC_CLIENT_SECRET": "only-letters-1"}


def second_document(api: KubernetesApi, provider: str) -> dict[str, Any]:
    document = addition().document()
    document["auth"][0]["config"]["kubernetes_host"] = api.url
    document["auth"][1]["config"]["oidc_discovery_url"] = provider
    return document


@pytest.fixture(scope="module")
def vault(kubernetes: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    with platform_vault(kubernetes, tmp_path_factory.mktemp("vault")) as server:
        kubernetes.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": SNAPSHOT})
        yield server


SNAPSHOT = {"name": "snapshot", "namespace": "vault"}


@pytest.fixture(scope="module")
def client(vault: VaultServer) -> str:
    """A token of the namespace gitea's login."""
    return token(vault, "gitea", "vault-client", "external-secrets")


def token(vault: VaultServer, *login: str) -> str:
    answer = vault.login(*login)
    assert answer.status == 200, answer.body
    return str(answer.body["auth"]["client_token"])


def write(vault: VaultServer, path: str, value: str, *, cas: int, token: str | None = None) -> int:
    body = {"data": {"value": value}, "options": {"cas": cas}}
    return vault.request("POST", f"kv/data/{path}", body, token=token).status


def test_the_active_server_labels_its_own_pod(vault: VaultServer) -> None:
    """The Service of clients selects by this label."""

    def active() -> bool | None:
        labels = vault.api.get("v1", "Pod", "instance-0", "vault")["metadata"]["labels"]
        return True if labels.get("vault-active") == "true" else None

    assert eventually(active, "label vault-active")


def test_the_audit_device_is_there(vault: VaultServer) -> None:
    (device,) = configuration().document()["audit"]
    found = vault.request("GET", "sys/audit").data["stdout/"]
    assert (found["type"], found["options"]) == (device["type"], device["options"])


def test_the_engine_is_there_with_its_settings(vault: VaultServer) -> None:
    (engine,) = configuration().document()["secrets"]
    mounted = vault.request("GET", "sys/mounts").data["kv/"]
    assert (mounted["type"], mounted["options"]) == ("kv", engine["options"])
    (settings,) = engine["configuration"]["config"]
    assert vault.request("GET", "kv/config").data.items() >= settings.items()


@pytest.mark.parametrize("role", configuration().document()["auth"][0]["roles"], ids=lambda role: role["name"])
def test_a_role_is_there_as_it_was_asked_for(vault: VaultServer, role: dict[str, Any]) -> None:
    found = vault.request("GET", f"auth/kubernetes/role/{role['name']}").data
    assert found.items() >= {key: value for key, value in role.items() if key != "name"}.items()


@pytest.mark.parametrize("policy", configuration().document()["policies"], ids=lambda policy: policy["name"])
def test_a_policy_is_there_as_it_was_asked_for(vault: VaultServer, policy: dict[str, Any]) -> None:
    accessor = vault.request("GET", "sys/auth").data["kubernetes/"]["accessor"]
    found = vault.request("GET", f"sys/policies/acl/{policy['name']}").data["policy"]
    assert found.split() == policy["rules"].replace("${ accessor `kubernetes` }", accessor).split()


def test_a_login_lasts_as_long_as_its_use(vault: VaultServer) -> None:
    auth = vault.login("gitea", "vault-client", "external-secrets").body["auth"]
    assert (auth["lease_duration"], auth["token_policies"]) == (600, ["default", "external-secrets"])


REFUSED_LOGINS = {
    "a token for the API server": (("gitea", "vault-client", "external-secrets"), "https://kubernetes.default.svc"),
    "a token for another server": (("gitea", "vault-client", "external-secrets"), "harbor"),
    "another account": (("gitea", "other", "external-secrets"), "vault"),
    "another namespace": (("stranger", "vault-client", "external-secrets"), "vault"),
    "another role": (("gitea", "vault-client", "snapshot"), "vault"),
    "an unknown role": (("gitea", "vault-client", "root"), "vault"),
}


@pytest.mark.parametrize("case", REFUSED_LOGINS)
def test_a_login_is_refused_to(vault: VaultServer, case: str) -> None:
    (namespace, account, role), audience = REFUSED_LOGINS[case]
    assert vault.login(namespace, account, role, audience=audience).status in (400, 403)


def test_external_secrets_can_push_a_value_once_and_read_it(vault: VaultServer, client: str) -> None:
    """Its calls, in its order, for a value of two properties: v2.9.0, providers/v1/vault/client_push.go."""
    path, mark = "gitea/admin/v1", {"custom_metadata": {"managed-by": "external-secrets"}}
    ask = vault.request
    assert ask("GET", f"kv/data/{path}", token=client).status == 404
    for version in (0, 1):
        assert ask("PUT", f"kv/metadata/{path}", mark, token=client).status == 204
        assert write(vault, path, f"value {version}", cas=version, token=client) == 200
        assert ask("GET", f"kv/metadata/{path}", token=client).data["custom_metadata"] == mark["custom_metadata"]
    assert ask("GET", f"kv/data/{path}", token=client).data["data"] == {"value": "value 1"}


def test_external_secrets_can_end_its_own_login(vault: VaultServer) -> None:
    own = token(vault, "dns", "vault-client", "external-secrets")
    assert vault.request("GET", "auth/token/lookup-self", token=own).status == 200
    assert vault.request("PUT", "auth/token/revoke-self", token=own).status == 204
    assert vault.request("GET", "auth/token/lookup-self", token=own).status == 403


def test_nobody_overwrites_blindly(vault: VaultServer, client: str) -> None:
    answer = vault.request("POST", "kv/data/gitea/blind", {"data": {"value": "x"}}, token=client)
    assert (answer.status, "check-and-set" in json.dumps(answer.body)) == (400, True)


FORBIDDEN = {
    "read another namespace's value": ("GET", "kv/data/dns/key"),
    "write another namespace's value": ("POST", "kv/data/dns/new"),
    "read a namespace whose name begins alike": ("GET", "kv/data/gitea-runner/key"),
    "list its own": ("LIST", "kv/metadata/gitea/"),
    "delete its own": ("DELETE", "kv/data/gitea/admin/v1"),
    "forget its own": ("DELETE", "kv/metadata/gitea/admin/v1"),
    "destroy its own": ("PUT", "kv/destroy/gitea/admin/v1"),
    "change the engine": ("POST", "kv/config"),
    "see the engines": ("GET", "sys/mounts"),
    "take a snapshot": ("GET", "sys/storage/raft/snapshot"),
    "write a role": ("POST", "auth/kubernetes/role/external-secrets"),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_a_namespaces_login_may_not(vault: VaultServer, client: str, case: str) -> None:
    method, path = FORBIDDEN[case]
    body = None if method in ("GET", "LIST", "DELETE") else {"data": {}, "options": {"cas": 0}, "versions": [1]}
    assert write(vault, "dns/key", "theirs", cas=0) in (200, 400)
    assert vault.request(method, path, body, token=client).status == 403


def test_the_backup_takes_a_snapshot_and_reads_no_secret(vault: VaultServer) -> None:
    backup = token(vault, "vault", "snapshot", "snapshot")
    assert vault.request("GET", "sys/storage/raft/snapshot", token=backup).status == 200
    assert vault.request("GET", "kv/data/gitea/admin/v1", token=backup).status == 403


def everything(vault: VaultServer) -> dict[str, Any]:
    """All that the configurer can change."""
    ask = vault.request
    listed = ask("LIST", "sys/policies/acl").data["keys"]
    roles = ask("LIST", "auth/kubernetes/role").data["keys"]
    return {
        "audit": ask("GET", "sys/audit").data,
        "auth": ask("GET", "sys/auth").data,
        "mounts": ask("GET", "sys/mounts").data,
        "engine": ask("GET", "kv/config").data,
        "method": ask("GET", "auth/kubernetes/config").data,
        "policies": {name: ask("GET", f"sys/policies/acl/{name}").data for name in listed},
        "roles": {name: ask("GET", f"auth/kubernetes/role/{name}").data for name in roles},
    }


def test_applied_twice_it_changes_nothing(vault: VaultServer) -> None:
    before = everything(vault)
    vault.configure(first_document(vault.api))
    assert everything(vault) == before


def test_a_role_that_was_changed_by_hand_is_put_back(vault: VaultServer) -> None:
    """A write changes only the fields that it names, so each must be named each time."""
    before = everything(vault)["roles"]
    changed = {"token_ttl": 7200, "token_max_ttl": 7200, "audience": "other", "token_policies": "people"}
    assert vault.request("POST", "auth/kubernetes/role/external-secrets", changed).status in (200, 204)
    assert everything(vault)["roles"] != before
    vault.configure(first_document(vault.api))
    assert everything(vault)["roles"] == before


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The address of an identity provider, of which Vault asks no more than who it is until somebody logs in."""

    class Discovery(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer = f"http://{self.headers['Host']}"
            paths = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
            document: dict[str, Any] = {"keys": []}
            if self.path.startswith("/.well-known/"):
                algorithms = {"id_token_signing_alg_values_supported": ["RS256"]}
                document = {"issuer": issuer, **{key: issuer + path for key, path in paths.items()}, **algorithms}
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Discovery)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"


@contextlib.contextmanager
def fresh_methods(vault: VaultServer) -> Iterator[None]:
    """No auth method at the block's begin; at its end only that of the first document."""
    vault.request("DELETE", "sys/auth/kubernetes")
    try:
        yield
    finally:
        vault.request("DELETE", "sys/auth/oidc")
        vault.request("DELETE", "sys/auth/kubernetes")
        vault.configure(first_document(vault.api))


def roles_of(vault: VaultServer, method: str, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every role of a method as Vault has it, with the fields that were asked for."""
    names = vault.request("LIST", f"auth/{method}/role").data.get("keys", [])
    fields = {role["name"]: role for role in asked}
    found = []
    for name in names:
        data = {"name": name, **vault.request("GET", f"auth/{method}/role/{name}").data}
        found.append({key: data.get(key) for key in fields.get(name, data)})
    return found


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first document first", "second document first"])
def test_both_documents_in_either_order_leave_each_methods_roles_as_written(
    vault: VaultServer, provider: str, order: tuple[int, int]
) -> None:
    documents = [first_document(vault.api), second_document(vault.api, provider)]
    with fresh_methods(vault):
        vault.configure(*(documents[index] for index in order), environment=SECRET)
        for method in documents[1]["auth"]:
            found = roles_of(vault, method["path"], method["roles"])
            by_name = sorted(method["roles"], key=lambda role: str(role["name"]))
            assert sorted(found, key=lambda role: str(role["name"])) == by_name


def test_a_group_of_the_provider_gets_its_policies(vault: VaultServer, provider: str) -> None:
    with fresh_methods(vault):
        vault.configure(first_document(vault.api), second_document(vault.api, provider), environment=SECRET)
        group = vault.request("GET", "identity/group/name/vault-admins").data
        accessor = vault.request("GET", "sys/auth").data["oidc/"]["accessor"]
    assert (group["policies"], group["alias"]["mount_accessor"]) == (["people"], accessor)


def test_a_second_document_without_the_first_ones_methods_would_mix_roles(vault: VaultServer, provider: str) -> None:
    """Why `Addition` repeats them: should this pass one day, it no longer needs to."""
    alone = second_document(vault.api, provider)
    del alone["auth"][0]
    with fresh_methods(vault), pytest.raises(AssertionError, match="error putting external-secrets"):
        vault.configure(first_document(vault.api), alone, environment=SECRET)


def openapi(vault: VaultServer, path: str) -> dict[str, Any]:
    """What Vault says of itself that it takes at a path: the properties of each request body."""
    schemas = vault.request("GET", f"{path}?help=1").body["openapi"]["components"]["schemas"]
    return {key: value for schema in schemas.values() for key, value in schema.get("properties", {}).items()}


PLACES = {
    "kubernetes config": ("auth/kubernetes/config", KEYS["vault"]["kubernetes"]["config"]),
    "kubernetes role": ("auth/kubernetes/role/any", KEYS["vault"]["kubernetes"]["role"]),
    "oidc config": ("auth/oidc/config", KEYS["vault"]["oidc"]["config"]),
    "oidc role": ("auth/oidc/role/any", KEYS["vault"]["oidc"]["role"]),
    "kv config": ("kv/config", KEYS["vault"]["kv"]["config"]),
}


@pytest.fixture(scope="module")
def with_oidc(vault: VaultServer) -> Iterator[VaultServer]:
    vault.request("POST", "sys/auth/oidc", {"type": "oidc"})
    yield vault
    vault.request("DELETE", "sys/auth/oidc")


@pytest.mark.parametrize("place", PLACES)
def test_the_lint_knows_exactly_the_keys_that_vault_names(with_oidc: VaultServer, place: str) -> None:
    path, known = PLACES[place]
    assert sorted(openapi(with_oidc, path)) == sorted(known)


@pytest.mark.parametrize("method", ["kubernetes", "oidc"])
def test_the_lint_knows_which_keys_vault_calls_deprecated(with_oidc: VaultServer, method: str) -> None:
    properties = openapi(with_oidc, f"auth/{method}/role/any")
    deprecated = sorted(key for key, value in properties.items() if value.get("deprecated"))
    assert deprecated == KEYS["vault"][method]["deprecated"]


@pytest.mark.parametrize(
    ("keys", "path"), [("auth-options", "sys/auth/any/tune"), ("mount-config", "sys/mounts/any/tune")]
)
def test_the_lint_knows_no_option_of_a_mount_that_vault_does_not(vault: VaultServer, keys: str, path: str) -> None:
    assert set(KEYS["vault"][keys]) - {"force_no_cache"} <= openapi(vault, path).keys()


@pytest.mark.parametrize("section", [key for key in KEYS["configurer"] if key not in ("top", "refused")])
def test_the_configurer_takes_the_keys_of_an_entry_that_the_lint_knows_and_no_other(
    vault: VaultServer, section: str
) -> None:
    entry = dict.fromkeys([*KEYS["configurer"][section], "nonsense"])
    with pytest.raises(AssertionError, match=r"has invalid keys: nonsense\n"):
        vault.configure({section: [entry]})


def test_the_configurer_takes_the_sections_that_the_lint_knows_and_no_other(vault: VaultServer) -> None:
    sections = dict.fromkeys([*KEYS["configurer"]["top"], *KEYS["configurer"]["refused"], "nonsense"])
    with pytest.raises(AssertionError, match=r"has invalid keys: nonsense\n"):
        vault.configure(sections)


def test_a_sealed_vault_lets_nobody_in_and_comes_back_by_its_own_keys(vault: VaultServer) -> None:
    login = ("gitea", "vault-client", "external-secrets")
    assert vault.request("PUT", "sys/seal").status == 204
    assert vault.login(*login).status == 503
    vault.unseal()
    eventually(lambda: vault.login(*login).status == 200 or None, "login")


def test_unseal_keys_are_changed_as_the_runbook_says(vault: VaultServer) -> None:
    old = [vault.keys[f"vault-unseal-{index}"] for index in range(5)]
    asked = {"secret_shares": 5, "secret_threshold": 3, "require_verification": True}
    nonce = vault.request("PUT", "sys/rekey/init", asked).body["nonce"]
    entered = [vault.request("PUT", "sys/rekey/update", {"key": key, "nonce": nonce}) for key in old[:3]][-1].body
    new, verification = entered["keys"], entered["verification_nonce"]
    for key in new[:3]:
        vault.request("PUT", "sys/rekey/verify", {"key": key, "nonce": verification})
    vault.keep({f"vault-unseal-{index}": key for index, key in enumerate(new)})
    assert vault.request("PUT", "sys/seal").status == 204
    for key in old[:3]:
        refused = vault.request("PUT", "sys/unseal", {"key": key}, token="")
    assert refused.status == 400
    vault.unseal()
    eventually(lambda: vault.request("GET", "sys/health").status == 200 or None, "active Vault")


def test_the_root_token_is_changed_as_the_runbook_says(vault: VaultServer) -> None:
    old = vault.keys["vault-root"]
    asked = {"policies": ["root"], "no_parent": True}
    vault.keep({"vault-root": vault.request("POST", "auth/token/create", asked).body["auth"]["client_token"]})
    assert vault.request("POST", "auth/token/revoke", {"token": old}).status == 204
    assert vault.request("GET", "sys/mounts", token=old).status == 403
    vault.configure(first_document(vault.api))


def test_the_client_secret_is_in_no_document() -> None:
    method = next(m for m in addition().auth if isinstance(m, OidcAuth))
    assert SECRET["OIDC_CLIENT_SECRET"] not in json.dumps(method.document())
