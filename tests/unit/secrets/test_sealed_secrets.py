"""The components of SealedSecrets, each alone: where the keypair comes from, and what the controller is given."""

from __future__ import annotations

import asyncio
import base64
from functools import cache
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_kubernetes as kubernetes
import pulumi_tls as tls
import pytest

from checks.graph import UNKNOWN, Graph, is_secret, leaked_values, record, reveal
from components.kit.chart import ChartSource
from components.secrets import sealing_key
from components.secrets.sealed_secrets import SealedSecrets, SealedSecretsArgs, halves_fit
from components.secrets.sealing import SealingError, make_keypair
from tests.keypairs import elliptic_keypair, keypair

CONTROLLER = "kubernetes:helm.sh/v3:Release sealed-secrets"
KEYPAIR = "kubernetes:core/v1:Secret sealed-secrets-keypair"


@cache
def recorded(*, given: bool, number: int = 0) -> Graph:
    """The controller with the keypair `number` of a configuration, or with one that is made."""

    def program() -> None:
        providers = [
            tls.Provider("tls"),
            kubernetes.Provider("kubernetes", kubeconfig="{}"),
            command.Provider("command"),
        ]
        options = pulumi.ResourceOptions(providers=providers)
        if given:
            own = keypair(number) if number else keypair()
            pair = sealing_key.given(own.certificate_pem, own.private_key_pem)
        else:
            pair = sealing_key.SealingKey("sealing-key", options).keypair
        args = SealedSecretsArgs(charts=ChartSource(), kubeconfig="{}", keypair=pair)
        SealedSecrets("sealed-secrets", args, options)

    return record(program)


def controller_values(graph: Graph) -> Any:
    return reveal(graph[CONTROLLER].inputs["values"])


def test_a_given_keypair_makes_no_other() -> None:
    graph = recorded(given=True)
    assert [node for node in graph.resources() if node.type.startswith("tls:")] == []
    assert graph.log == []


def test_without_a_given_keypair_one_is_made_that_kubeseal_would_take() -> None:
    graph = recorded(given=False)
    private = graph["tls:index/privateKey:PrivateKey sealing-key-private"].inputs
    certificate = graph["tls:index/selfSignedCert:SelfSignedCert sealing-key-certificate"].inputs
    assert (private["algorithm"], private["rsaBits"]) == ("RSA", 4096)
    assert certificate["validityPeriodHours"] == 10 * 365 * 24


def test_a_made_keypair_is_warned_of_once_with_the_remedy() -> None:
    [warning] = recorded(given=False).log
    assert "is lost with the state" in warning
    assert "make sealing-key STACK=" in warning


def test_the_private_key_is_a_secret_wherever_it_comes_from() -> None:
    for given in (True, False):
        assert is_secret(recorded(given=given)[KEYPAIR].inputs["data"])


def test_the_private_key_shows_nowhere() -> None:
    graph = recorded(given=True)
    assert [str(finding) for finding in leaked_values(graph, {"sealingKey": keypair().private_key_pem})] == []


@pytest.mark.parametrize(
    ("certificate", "message"),
    [
        ("none", "certificate_pem: this is not a certificate in PEM"),
        (elliptic_keypair().certificate_pem, "certificate_pem: the certificate holds no RSA key"),
    ],
    ids=["no-certificate", "elliptic"],
)
def test_what_is_not_a_certificate_for_sealing_is_refused(certificate: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sealing_key.given(certificate, "none")


def test_the_controller_finds_the_keypair_by_its_label() -> None:
    secret = recorded(given=True)[KEYPAIR].inputs
    assert secret["metadata"] == {
        "name": "sealed-secrets-key",
        "namespace": "kube-system",
        "labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"},
    }
    assert secret["type"] == "kubernetes.io/tls"
    assert base64.b64decode(reveal(secret["data"])["tls.key"]).decode() == keypair().private_key_pem


def test_the_keypair_is_there_before_the_controller() -> None:
    assert recorded(given=True).depends(CONTROLLER, KEYPAIR)


def test_the_controller_makes_no_keypair_of_its_own() -> None:
    assert controller_values(recorded(given=True))["keyrenewperiod"] == "0"


def test_another_keypair_restarts_the_controller_and_the_same_one_does_not() -> None:
    # It reads its keys when it starts; what is not in the pod's template starts no pod.
    def annotations(number: int) -> Any:
        return controller_values(recorded(given=True, number=number))["podAnnotations"]

    assert annotations(0) != annotations(1)
    again = recorded.__wrapped__(given=True, number=0)
    assert controller_values(again)["podAnnotations"] == annotations(0)


def test_the_controller_has_the_names_that_kubeseal_asks_for() -> None:
    release = recorded(given=True)[CONTROLLER].inputs
    assert (release["namespace"], release["values"]["fullnameOverride"]) == ("kube-system", "sealed-secrets-controller")


def test_a_certificate_that_is_not_made_yet_is_not_a_secret() -> None:
    outputs = recorded(given=False)["homelab:secrets:SealedSecrets sealed-secrets"].outputs
    assert outputs["certificate"] == UNKNOWN


def the_check_of(certificate: str, private_key: str) -> None:
    """Run the check before the keypair's Secret is made, as the engine does: with the secret part as an Output."""

    async def run() -> None:
        data = {
            "tls.crt": base64.b64encode(certificate.encode()).decode(),
            "tls.key": pulumi.Output.secret(base64.b64encode(private_key.encode()).decode()),
        }
        await halves_fit(pulumi.ResourceHookArgs("urn", "", "keypair", "kubernetes:core/v1:Secret", {"data": data}))

    asyncio.run(run())


def test_two_halves_of_one_keypair_are_taken() -> None:
    the_check_of(keypair().certificate_pem, keypair().private_key_pem)


def test_halves_of_two_keypairs_are_refused_before_the_controller_gets_them() -> None:
    with pytest.raises(SealingError, match="the sealing key is not the certificate's; set both from one keypair"):
        the_check_of(keypair().certificate_pem, make_keypair().private_key_pem)


def test_a_keypair_is_looked_at_before_it_is_made_and_before_it_is_changed() -> None:
    hooks = recorded(given=True)[KEYPAIR].hooks
    assert hooks == {"before_create": ["sealing-keypair-fits"], "before_update": ["sealing-keypair-fits"]}
