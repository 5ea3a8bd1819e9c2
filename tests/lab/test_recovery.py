"""`make recover` on a lab: an `up` is killed at the moment when only the cluster knows of what it made."""

from __future__ import annotations

import pytest

from tests.lab.live import VMS, LiveLab
from tests.lab.secrecy import command_lines, found_in, planted, programs

CERTIFICATE = "vault-entry-certificate"
LATEST = "vault-sign-on"
"""What the program makes last in the cluster."""
RELEASE = "reloader"


def urn_of(lab: LiveLab, name: str) -> str:
    (found,) = (urn for urn, resource in lab.state().items() if urn.endswith(f"::{name}") and resource.get("custom"))
    return found


def killed(lab: LiveLab, name: str, *listing: str) -> str:
    """Destroy a resource with what depends on it, kill the `up` that makes it again, and return its URN."""
    urn = urn_of(lab, name)
    taken = lab.run(
        *("pulumi", "destroy", "--yes", "--skip-preview", "--non-interactive"),
        *("--target", urn, "--target-dependents"),
    )
    assert taken.returncode == 0, taken.stdout
    lab.up_killed_at(*listing)
    return urn


@pytest.fixture
def whole_lab(lab: LiveLab) -> LiveLab:
    """The lab with everything in it."""
    ensured = lab.command("up")
    assert ensured.returncode == 0, ensured.stdout
    return lab


@pytest.fixture
def cut_off_object(whole_lab: LiveLab) -> str:
    """URN of an object that the cluster has and the state only knows as begun; nothing depends on it."""
    urn = killed(whole_lab, LATEST, "externalsecrets", "--namespace=vault", f"--field-selector=metadata.name={LATEST}")
    assert whole_lab.pending().get(urn) == "creating", "the kill came too late"
    return urn


@pytest.fixture
def cut_off_release(whole_lab: LiveLab) -> str:
    """URN of a release whose installation Helm has begun, and of which the state only knows that."""
    urn = killed(whole_lab, RELEASE, "secrets", f"--namespace={RELEASE}", f"--selector=owner=helm,name={RELEASE}")
    assert whole_lab.pending().get(urn) == "creating", "the kill came too late"
    return urn


def converges(lab: LiveLab) -> None:
    result = lab.up()
    assert result.returncode == 0, result.stdout
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout


def test_an_object_that_only_the_cluster_knows_is_taken_back(whole_lab: LiveLab, cut_off_object: str) -> None:
    recovered = whole_lab.recover()
    assert recovered.returncode == 0, recovered.stdout
    assert whole_lab.state()[cut_off_object]["id"] == f"vault/{LATEST}"
    converges(whole_lab)


@pytest.mark.long
def test_what_the_whole_platform_stands_on_is_taken_back_as_it_is(whole_lab: LiveLab) -> None:
    urn = killed(
        whole_lab, CERTIFICATE, "certificates", "--namespace=vault", "--field-selector=metadata.name=vault-entry"
    )
    assert whole_lab.pending().get(urn) == "creating", "the kill came too late"
    uid = "get", "certificate", "vault-entry", "--namespace=vault", "--output=jsonpath={.metadata.uid}"
    before = whole_lab.run("kubectl", *uid).stdout
    recovered = whole_lab.recover()
    assert recovered.returncode == 0, recovered.stdout
    assert whole_lab.state()[urn]["id"] == "vault/vault-entry"
    converges(whole_lab)
    assert whole_lab.run("kubectl", *uid).stdout == before


@pytest.mark.usefixtures("cut_off_release")
@pytest.mark.long
def test_a_release_whose_installation_was_cut_off_is_installed_whole(whole_lab: LiveLab) -> None:
    recovered = whole_lab.recover()
    assert recovered.returncode == 0, recovered.stdout
    converges(whole_lab)
    listed = whole_lab.run(
        *("kubectl", "get", "secrets", f"--namespace={RELEASE}", "--selector=owner=helm"),
        "--output=jsonpath={.items[*].metadata.labels.status}",
    )
    assert listed.stdout == "deployed"


@pytest.mark.long
def test_an_object_that_was_never_made_is_made_by_the_next_up(whole_lab: LiveLab, cut_off_object: str) -> None:
    whole_lab.run("kubectl", "delete", "externalsecret", LATEST, "--namespace=vault")
    recovered = whole_lab.recover()
    assert recovered.returncode == 0, recovered.stdout
    assert cut_off_object not in whole_lab.state()
    converges(whole_lab)


@pytest.mark.long
@pytest.mark.usefixtures("cut_off_object")
def test_a_dead_cluster_ends_a_recovery_that_loses_nothing(whole_lab: LiveLab) -> None:
    before = whole_lab.pending()
    whole_lab.nodes("POST", "/faults", {"fault": "api-down"})
    try:
        recovered = whole_lab.recover()
    finally:
        whole_lab.nodes("POST", "/faults", {"fault": "api-up"})
    assert recovered.returncode == 1
    assert "recover: the cluster does not answer" in recovered.stdout
    assert whole_lab.pending() == before
    assert whole_lab.recover().returncode == 0
    converges(whole_lab)


@pytest.mark.long
@pytest.mark.usefixtures("cut_off_release")
def test_no_secret_is_on_a_command_line_or_printed_during_a_recovery(whole_lab: LiveLab) -> None:
    secrets = planted(whole_lab)
    with command_lines() as seen:
        recovered = whole_lab.recover()
    assert recovered.returncode == 0, recovered.stdout
    assert {"pulumi", "kubectl"} <= programs(seen)
    assert found_in(recovered.stdout, secrets) == found_in("\n".join("\n".join(line) for line in seen), secrets) == []
    converges(whole_lab)


def test_a_destroy_that_was_killed_is_recovered_and_ends(whole_lab: LiveLab) -> None:
    whole_lab.destroy_killed_at("DELETE", "/qemu/2002")
    assert "deleting" in whole_lab.pending().values(), "the kill came too late"
    recovered = whole_lab.recover()
    assert recovered.returncode == 0, recovered.stdout
    ended = whole_lab.destroy()
    assert ended.returncode == 0, ended.stdout
    assert not whole_lab.vms().keys() & set(VMS.values())
