"""`make give` with a real Vault, a real API server and a real kubectl, but for its `exec`: there is no kubelet.

In its place a program runs what `exec` would run in the pod, with Vault's own command on its PATH, and writes down the
arguments.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.programs import ensure
from stacks.application_secrets import GIVEN
from tests.conftest import ROOT
from tests.servers.kubernetes import KubernetesApi, with_kubectl
from tests.servers.vault import VaultServer, platform_vault

SPEC = GIVEN["gitea-mail"].spec
EXEC = """#!{python}
import json, os, sys
arguments = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(json.dumps(arguments) + "\\n")
if "exec" not in arguments:
    os.execv({kubectl!r}, ["kubectl", *arguments])
command = [part.replace("/vault/tls/ca.crt", {authority!r}) for part in arguments[arguments.index("--") + 1:]]
os.environ.update(VAULT_ADDR={url!r}, PATH={path!r}, HOME={home!r})
os.execvp(command[0], command)
"""
"""A kubectl."""


@dataclass
class Person:
    """Somebody at a machine from which the cluster is reached."""

    vault: VaultServer
    environment: dict[str, str]
    log: Path

    def gives(self, value: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.log.unlink(missing_ok=True)
        return subprocess.run(
            [sys.executable, "-m", "stacks.commands.give", "--stack", "prod", "--name", SPEC.name, *arguments],
            cwd=ROOT,
            env=self.environment,
            input=value,
            capture_output=True,
            text=True,
            check=False,
        )

    def in_vault(self) -> dict[str, str]:
        return dict(self.vault.request("GET", f"kv/data/{SPEC.path}").data.get("data") or {})


@pytest.fixture(scope="module")
def person(kubernetes: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    here = tmp_path_factory.mktemp("person")
    kubernetes.apply(EXTERNAL_SECRET)
    with platform_vault(kubernetes, tmp_path_factory.mktemp("vault")) as vault:
        kubernetes.apply(
            {
                "apiVersion": "external-secrets.io/v1",
                "kind": "ExternalSecret",
                "metadata": {"name": SPEC.name, "namespace": SPEC.namespace},
            }
        )
        text = EXEC.format(
            python=sys.executable,
            log=str(here / "arguments"),
            kubectl=str(ensure(["kubectl"])["kubectl"].path),
            authority=str(kubernetes.ca),
            url=vault.url,
            path=f"{_named_vault(here)}:{os.environ['PATH']}",
            home=str(here),
        )
        bin_ = here / "bin"
        bin_.mkdir()
        (bin_ / "kubectl").write_text(text)
        (bin_ / "kubectl").chmod(0o755)
        environment = with_kubectl({"HOME": str(here), "KUBECONFIG": str(kubernetes.kubeconfig)})
        environment["PATH"] = f"{bin_}:{environment['PATH']}"
        yield Person(vault, environment, here / "arguments")


def _named_vault(here: Path) -> Path:
    """A directory with the program under the name that it has in the pod."""
    programs = here / "programs"
    programs.mkdir()
    (programs / "vault").symlink_to(ensure(["vault"])["vault"].path)
    return programs


EXTERNAL_SECRET = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "externalsecrets.external-secrets.io"},
    "spec": {
        "group": "external-secrets.io",
        "scope": "Namespaced",
        "names": {"kind": "ExternalSecret", "plural": "externalsecrets", "singular": "externalsecret"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def test_values_are_put_into_vault_one_beside_the_other(person: Person) -> None:
    first = person.gives("mail.example.org", "--key", "server")
    assert (first.returncode, person.in_vault()) == (0, {"server": "mail.example.org"}), first.stderr
    assert "the Secret appears once user, password is given too" in first.stdout
    for key in ("user", "password"):
        assert person.gives(f"{key} of mail", "--key", key).returncode == 0
    assert person.in_vault() == {"server": "mail.example.org", "user": "user of mail", "password": "password of mail"}


def test_a_value_that_is_given_again_replaces_the_old_one_and_is_read_at_once(person: Person) -> None:
    def asked() -> str | None:
        found = person.vault.api.get("external-secrets.io/v1", "ExternalSecret", SPEC.name, SPEC.namespace)
        return str(found["metadata"].get("annotations", {}).get("force-sync"))

    before = asked()
    done = person.gives("another password", "--key", "password")
    assert done.returncode == 0, done.stderr
    assert person.in_vault()["password"] == "another password"
    assert asked() not in (before, None)


def test_neither_the_value_nor_a_token_is_in_an_argument_or_printed(person: Person) -> None:
    done = person.gives("tr0ub4dor-and-3", "--key", "password")
    arguments = person.log.read_text()
    assert ["exec" in json.loads(line) for line in arguments.splitlines()].count(True) == 2
    for text in (arguments, done.stdout, done.stderr):
        assert "tr0ub4dor-and-3" not in text
        assert "eyJ" not in text, "a token of a service account begins so"


def test_a_key_that_the_secret_does_not_have_is_refused(person: Person) -> None:
    done = person.gives("x", "--key", "passwort")
    assert (done.returncode, person.log.exists()) == (1, False)
    assert done.stderr == "give: gitea-mail has no key 'passwort'; give KEY=<one of server, user, password>\n"


def test_a_namespace_that_is_not_there_yet_is_named(person: Person) -> None:
    person.vault.api.request("DELETE", "/api/v1/namespaces/gitea/serviceaccounts/vault-client")
    try:
        done = person.gives("x", "--key", "user")
    finally:
        account = {"name": "vault-client", "namespace": "gitea"}
        person.vault.api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    assert done.returncode == 1
    assert "kubectl create token vault-client" in done.stderr
