"""What the components of generated secrets refuse."""

from __future__ import annotations

from components.secrets.application_secret import ApplicationSecretArgs
from components.secrets.public_copy import PublicCopyArgs
from components.secrets.reflector import Mirror
from components.secrets.secret_spec import Password, SecretSpec
from components.secrets.vault_access import VaultAccessArgs
from components.secrets.vault_store import VaultStoreArgs
from tests.unit.arguments import Known, refused

SPEC = SecretSpec(name="dns-key", namespace="dns", keys={"key": Password()})


def test_a_store_for_every_namespace_is_refused() -> None:
    assert "namespaces: none" in refused(VaultStoreArgs, operator=None, login=Known(mount="kv"), namespaces=[])


def test_a_namespace_with_the_name_of_the_mount_is_refused() -> None:
    login = Known(mount="kv")
    assert "'kv' is also the mount" in refused(VaultStoreArgs, operator=None, login=login, namespaces=["kv"])


def test_access_for_a_namespace_that_the_store_does_not_serve_is_refused() -> None:
    store = Known(namespaces=("dns",))
    assert "'edge' may not use the store, which serves dns" in refused(VaultAccessArgs, store=store, namespace="edge")


def test_a_secret_with_the_access_of_another_namespace_is_refused() -> None:
    access = Known(namespace="edge")
    assert "access: is that of 'edge'" in refused(ApplicationSecretArgs, spec=SPEC, access=access)


def test_a_generation_before_the_first_is_refused() -> None:
    access = Known(namespace="dns")
    assert "generation: 0; generations count from 1" in refused(
        ApplicationSecretArgs, spec=SPEC, access=access, generation=0
    )


def test_a_copy_in_its_own_namespace_is_refused() -> None:
    mirror = Known(namespaces=("dns",))
    assert "mirror: 'dns' has the original" in refused(
        ApplicationSecretArgs, spec=SPEC, access=Known(namespace="dns"), mirror=mirror
    )


def test_a_mirror_to_nowhere_is_refused_as_it_would_be_to_everywhere() -> None:
    assert "to Reflector an empty list means all of them" in refused(Mirror, namespaces=(), ready=None)


def test_a_public_copy_that_reads_the_vault_of_another_namespace_is_refused() -> None:
    anchor = Known(access=Known(namespace="dns"))
    source = Known(namespace="authentik", name="authentik-tls")
    said = refused(PublicCopyArgs, name="authority", source=source, anchor=anchor, mirror=None)
    assert "anchor: is for 'dns', the source in 'authentik'" in said


def test_a_public_copy_over_its_source_is_refused() -> None:
    anchor = Known(access=Known(namespace="authentik"))
    source = Known(namespace="authentik", name="authentik-tls")
    said = refused(PublicCopyArgs, name="authentik-tls", source=source, anchor=anchor, mirror=None)
    assert "'authentik-tls' is the source itself" in said
