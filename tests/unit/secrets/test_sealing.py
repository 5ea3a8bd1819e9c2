"""What is sealed has the form that the controller opens, in its scope only; what cannot be sealed is refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidTag

from components.secrets.sealing import (
    Keypair,
    PlainSecret,
    Scope,
    SealingError,
    certificate_key,
    check_keypair,
    make_keypair,
    seal,
)
from tests.keypairs import elliptic_keypair, keypair, opened

VALUES = {"config.yaml": b"clusters: []\n", "empty": b"", "binary": bytes(range(256))}


def plain(**changes: Any) -> PlainSecret:
    known: dict[str, Any] = {"namespace": "csi-proxmox", "name": "csi", "data": VALUES}
    return PlainSecret(**known | changes)


def sealed(scope: Scope = Scope.STRICT, **changes: Any) -> dict[str, Any]:
    return seal(plain(**changes), keypair().certificate_pem, scope)


@pytest.mark.parametrize(
    ("scope", "label"),
    [(Scope.STRICT, "csi-proxmox/csi"), (Scope.NAMESPACE_WIDE, "csi-proxmox"), (Scope.CLUSTER_WIDE, "")],
)
def test_the_private_key_opens_every_value_in_its_scope(scope: Scope, label: str) -> None:
    assert opened(sealed(scope), keypair(), label=label) == VALUES


@pytest.mark.parametrize("label", ["csi-proxmox/other", "csi-proxmox", ""])
def test_a_strict_value_opens_under_no_other_label(label: str) -> None:
    with pytest.raises(ValueError, match="Decryption failed"):
        opened(sealed(), keypair(), label=label)


def test_another_private_key_opens_nothing() -> None:
    with pytest.raises(ValueError, match="Decryption failed"):
        opened(sealed(), keypair(1), label="csi-proxmox/csi")


def test_a_value_that_was_changed_on_its_way_does_not_open() -> None:
    manifest = sealed()
    value = bytearray(base64.b64decode(manifest["spec"]["encryptedData"]["config.yaml"]))
    value[-1] ^= 1
    manifest["spec"]["encryptedData"]["config.yaml"] = base64.b64encode(value).decode()
    with pytest.raises(InvalidTag):
        opened(manifest, keypair(), label="csi-proxmox/csi")


def test_a_sealed_value_is_a_length_the_encrypted_key_and_the_value_with_its_tag() -> None:
    value = base64.b64decode(sealed(data={"key": b"12345"})["spec"]["encryptedData"]["key"])
    assert (value[:2], len(value)) == (b"\x01\x00", 2 + 256 + 5 + 16)


def test_equal_values_are_sealed_differently() -> None:
    data = sealed(data={"one": b"same", "two": b"same"})["spec"]["encryptedData"]
    assert data["one"][-24:] != data["two"][-24:]


def test_a_strict_manifest_has_no_annotation() -> None:
    manifest = sealed(data={"key": b"1"}, type="kubernetes.io/ssh-auth")
    del manifest["spec"]["encryptedData"]
    metadata = {"name": "csi", "namespace": "csi-proxmox"}
    assert manifest == {
        "apiVersion": "bitnami.com/v1alpha1",
        "kind": "SealedSecret",
        "metadata": metadata,
        "spec": {"template": {"metadata": metadata, "type": "kubernetes.io/ssh-auth"}},
    }


@pytest.mark.parametrize("scope", [Scope.NAMESPACE_WIDE, Scope.CLUSTER_WIDE])
def test_a_wider_scope_is_annotated_where_the_controller_and_kubeseal_look(scope: Scope) -> None:
    manifest = sealed(scope)
    expected = {f"sealedsecrets.bitnami.com/{scope.value}": "true"}
    assert manifest["metadata"]["annotations"] == expected
    assert manifest["spec"]["template"]["metadata"]["annotations"] == expected


def test_labels_are_those_of_the_secret_that_will_be() -> None:
    manifest = sealed(labels={"app": "csi"})
    assert manifest["spec"]["template"]["metadata"]["labels"] == {"app": "csi"}
    assert "labels" not in manifest["metadata"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"namespace": "Apps"}, "namespace 'Apps': not a namespace's name"),
        ({"namespace": "a" * 64}, "63 at most"),
        ({"namespace": ""}, "namespace '': not a namespace's name"),
        ({"name": "my_secret"}, "name 'my_secret': not a Secret's name"),
        ({"name": "a/b"}, "name 'a/b': not a Secret's name"),
        ({"name": "a" * 254}, "253 at most"),
        ({"data": {"a b": b"1"}}, "key 'a b' of csi-proxmox/csi: not a key"),
        ({"data": {"..": b"1"}}, r"key '\.\.' of csi-proxmox/csi: not a key"),
        ({"data": {"..a": b"1"}}, r"key '\.\.a' of csi-proxmox/csi: not a key"),
        ({"data": {"": b"1"}}, "key '' of csi-proxmox/csi: not a key"),
        ({"data": {}}, "csi-proxmox/csi: has no values; give at least one key"),
        ({"data": {"a": bytes(1024 * 1024), "b": b"1"}}, "have 1048577 bytes, and a Secret holds 1048576; split it"),
    ],
)
def test_what_the_api_server_would_refuse_is_refused_before(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SealingError, match=message):
        plain(**changes)


def test_a_name_may_have_dots_and_a_key_may_begin_with_one() -> None:
    assert plain(name="tls.example.org", data={".dockerconfigjson": b"{}", "a..b": b"1"}).name == "tls.example.org"


@pytest.mark.parametrize(
    ("pem", "message"),
    [
        ("", "this is not a certificate in PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "this is not a certificate in PEM"),
        (keypair().private_key_pem, "this is not a certificate in PEM"),
        (elliptic_keypair().certificate_pem, "holds no RSA key"),
        (keypair(bits=1024).certificate_pem, "has 1024 bits, and less than 2048 are not safe"),
        (keypair(days=-1).certificate_pem, "the certificate expired on 20"),
    ],
    ids=["nothing", "no-certificate", "a-private-key", "elliptic", "short", "expired"],
)
def test_a_certificate_that_cannot_be_sealed_for_is_refused(pem: str, message: str) -> None:
    with pytest.raises(SealingError, match=message):
        seal(plain(), pem)


def test_an_expired_certificate_still_has_its_key() -> None:
    assert certificate_key(keypair(days=-1).certificate_pem).key_size == 2048


def test_the_two_halves_of_a_pair_fit() -> None:
    check_keypair(keypair())


@pytest.mark.parametrize(
    ("private", "message"),
    [
        (keypair(1).private_key_pem, "the sealing key is not the certificate's"),
        (elliptic_keypair().private_key_pem, "the sealing key is not the certificate's"),
        ("no key", "the sealing key is not a private key in PEM without a passphrase"),
    ],
    ids=["another", "elliptic", "none"],
)
def test_halves_of_two_pairs_are_told_apart(private: str, message: str) -> None:
    with pytest.raises(SealingError, match=message):
        check_keypair(Keypair(keypair().certificate_pem, private))


def test_a_made_pair_is_rsa_with_4096_bits_for_ten_years() -> None:
    made = make_keypair()
    check_keypair(made)
    assert certificate_key(made.certificate_pem).key_size == 4096
    until = x509.load_pem_x509_certificate(made.certificate_pem.encode()).not_valid_after_utc
    assert abs(until - datetime.now(UTC) - timedelta(days=3650)) < timedelta(hours=1)


def test_what_is_secret_is_not_in_a_representation() -> None:
    assert "clusters" not in repr(plain())
    assert "PRIVATE KEY" not in repr(keypair())
