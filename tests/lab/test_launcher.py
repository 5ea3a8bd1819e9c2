"""The launcher's own decisions: addresses, configuration, charts, tools, processes. No lab is brought up here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.gitops import tree
from components.kit.versions import ChartPin
from lab import charts, cli, configuration, network, preparation, processes, session
from lab.errors import LabError
from lab.plugins import selection
from lab.programs import Found
from lab.session import MARKER, Session
from tests.charts import helm


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A lab in a directory of its own; nothing of it survives the test."""
    monkeypatch.setattr(session, "ROOT", tmp_path / ".lab")
    before = os.umask(0o022)
    found = Session("trial", "lab")
    found.create()
    yield found
    processes.stop_all(found)
    os.umask(before)


def test_the_default_lab_keeps_its_addresses() -> None:
    assert network.octet("lab", {20}) == network.DEFAULT_OCTET


def test_a_named_lab_gets_the_same_octet_each_time() -> None:
    assert network.octet("second", set()) == network.octet("second", set())


def test_a_named_lab_avoids_an_octet_in_use() -> None:
    first = network.octet("second", set())
    assert network.octet("second", {first}) not in {first, network.DEFAULT_OCTET}


def test_every_lab_address_is_shifted_wherever_it_stands() -> None:
    value = {"a": ["127.20.3.4-127.20.3.20", "https://127.20.0.10:8006/"], "127.20.0.1": 7}
    assert network.shifted(value, 99) == {"a": ["127.99.3.4-127.99.3.20", "https://127.99.0.10:8006/"], "127.99.0.1": 7}


def test_every_lab_address_leaves_the_loopback_device_where_pods_have_one_of_their_own() -> None:
    value = {"a": ["127.20.3.4-127.20.3.20", "https://127.20.0.10:8006/", "127.0.0.1"], "127.20.0.1": 7}
    moved = {"a": ["10.20.3.4-10.20.3.20", "https://10.20.0.10:8006/", "127.0.0.1"], "10.20.0.1": 7}
    assert network.off_loopback(value) == moved


@pytest.mark.parametrize(
    ("outside", "there"),
    [
        ("127.20.0.12", "198.51.100.12"),
        ("http://127.20.0.12:8080", "http://198.51.100.12:8080"),
        ("ssh://git@127.20.0.13:2223/homelab.git", "ssh://git@127.20.0.13:2223/homelab.git"),
        ("http://127.20.0.11:8090", "http://127.20.0.11:8090"),
        ("127.20.0.120", "10.20.0.120"),
    ],
)
def test_a_host_that_no_pod_asks_has_no_private_address_where_pods_are_real(outside: str, there: str) -> None:
    assert network.off_loopback(outside) == there


@pytest.mark.parametrize("text", ["10.127.20.1", "127.200.1.1", "v127.20"])
def test_what_only_looks_like_a_lab_address_stays(text: str) -> None:
    assert network.shifted(text, 99) == text


def test_a_host_that_is_a_name_is_not_an_address() -> None:
    assert (network.as_address("10.0.0.2"), network.as_address("pve.home.test")) == (IPv4Address("10.0.0.2"), None)


def test_an_encrypted_value_never_reaches_the_copy() -> None:
    source = {"homelab:proxmoxApiToken": {"secure": "v1:cipher"}, "homelab:site": {"name": "x"}}
    derived = configuration.derive(source, octet=None, replacements={})
    assert (derived.config, derived.secret_paths) == (
        {"homelab:site": {"name": "x"}},
        frozenset({"homelab:proxmoxApiToken"}),
    )


def test_a_site_with_a_user_name_gets_a_password() -> None:
    derived = configuration.derive({"homelab:site": {"username": "root@pam"}}, octet=None, replacements={})
    assert derived.secret_paths == {configuration.PASSWORD}


def test_a_site_without_a_user_name_gets_an_api_token() -> None:
    assert configuration.derive({"homelab:site": {}}, octet=None, replacements={}).secret_paths == {
        configuration.API_TOKEN
    }


def test_the_tailscale_extension_gets_a_key() -> None:
    source = {"homelab:talos": {"extensions": {"tailscale": True}}}
    assert configuration.TAILSCALE_KEY in configuration.derive(source, octet=None, replacements={}).secret_paths


def test_a_replaced_setting_is_reported() -> None:
    derived = configuration.derive({}, octet=None, replacements={"homelab:charts.mirror": "/charts"})
    assert derived.config["homelab:charts"] == {"mirror": "/charts"}
    assert derived.replaced["homelab:charts.mirror"] == "/charts"


def test_a_replaced_text_of_several_lines_is_not_printed_whole() -> None:
    derived = configuration.derive({}, octet=None, replacements={"homelab:site.ca": "-----BEGIN\nMII\n-----END\n"})
    assert derived.replaced["homelab:site.ca"] == "the lab's own"


def test_the_authority_of_the_simulated_site_is_trusted_as_on_a_machine_at_a_site(lab: Session) -> None:
    authority = configuration.site_authority(lab, "https://127.34.0.9:8006/")
    *_, directory = lab.environment()["SSL_CERT_DIR"].split(":")
    assert [path.read_text() for path in Path(directory).iterdir()] == [authority]


def test_the_authority_of_the_simulated_site_stays_the_same(lab: Session) -> None:
    endpoint = "https://127.34.0.9:8006/"
    assert configuration.site_authority(lab, endpoint) == configuration.site_authority(lab, endpoint)


@pytest.mark.parametrize(("site", "verified"), [({}, True), ({"insecure": True}, False)])
def test_a_stack_that_verifies_its_site_verifies_the_simulated_one(
    lab: Session, site: dict[str, bool], verified: bool
) -> None:
    source = {"homelab:site": {"endpoint": "https://127.34.0.9:8006/", **site}}
    assert ("homelab:site.ca" in preparation.lab_replacements(lab, None, source)) == verified


def test_a_replacement_leaves_the_source_alone() -> None:
    source = {"homelab:talos": {"factory": "https://factory.example.org"}}
    configuration.derive(source, octet=None, replacements={"homelab:talos.factory": "http://127.20.0.11:8090"})
    assert source == {"homelab:talos": {"factory": "https://factory.example.org"}}


def test_a_stack_without_a_file_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LabError, match=r"no stack 'absent'.*Stacks: lab, prod"):
        configuration.read(Session("trial", "absent"))


def test_every_pinned_chart_has_a_lab_chart(tmp_path: Path) -> None:
    written = charts.write(tmp_path, charts.pinned())
    assert written
    assert all(path.is_file() for path in written)


def test_lab_charts_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    first = charts.write(tmp_path, charts.pinned())[0].read_bytes()
    (tmp_path / "again").mkdir()
    assert charts.write(tmp_path / "again", charts.pinned())[0].read_bytes() == first


def test_a_chart_without_an_entry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no entry for the chart 'absent'"):
        charts.write(tmp_path, [ChartPin("absent", "1.0.0", "https://example.org")])


def test_a_lab_chart_takes_replicas_from_the_values(tmp_path: Path) -> None:
    (cilium,) = charts.write(tmp_path, [ChartPin("cilium", "9.9.9", "https://example.org")])
    with tarfile.open(cilium) as archive:
        files = {member.name: archive.extractfile(member).read().decode() for member in archive}  # type: ignore[union-attr]
    assert yaml.safe_load(files["cilium/values.yaml"]) == {"operator": {"replicas": 1}}
    assert '"replicas": {{ .Values.operator.replicas | toJson }}' in files["cilium/templates/objects.yaml"]


def objects_of(archive: Path, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The objects that a lab chart makes."""
    text = helm.run(
        "template", "release", str(archive), "--namespace", "there", "-f", "-", given=json.dumps(values or {})
    )
    return [document for document in yaml.safe_load_all(text) if document]


def test_service_and_budget_of_a_lab_chart_select_the_pods_of_their_workload(tmp_path: Path) -> None:
    (archive,) = charts.write(tmp_path, [ChartPin("nginx-ingress", "9.9.9", "https://example.org")])
    values = {"controller": {"podDisruptionBudget": {"enabled": True, "minAvailable": 1}}}
    specs = {item["kind"]: item["spec"] for item in objects_of(archive, values)}
    labels = specs["Deployment"]["template"]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/name": "nginx-ingress", "app.kubernetes.io/instance": "nginx-ingress"}
    assert specs["Deployment"]["selector"]["matchLabels"] == labels
    assert specs["PodDisruptionBudget"]["selector"]["matchLabels"] == labels
    assert specs["Service"]["selector"] == labels


@pytest.mark.parametrize("name", ["../up", "", "Lab", "a" * 60])
def test_a_lab_name_that_is_not_a_plain_word_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="LAB_ID"):
        Session(name, "lab")


def test_everything_in_a_lab_is_its_owners_only(lab: Session) -> None:
    modes = {path: path.stat().st_mode & 0o077 for path in [lab.directory, *lab.directory.rglob("*")]}
    assert set(modes.values()) == {0}


def test_what_a_lab_remembers_survives_the_command(lab: Session) -> None:
    lab.remember(octet=77, gone=1)
    lab.remember(gone=None)
    again = Session(lab.name, lab.stack)
    assert (again.recall("octet"), again.recall("gone")) == (77, None)


def test_a_control_socket_fits_its_limit_in_a_deep_checkout(lab: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.directory = lab.directory / ("deep" * 30)
    lab.directory.mkdir()
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    short = lab.sockets
    assert len(os.fsencode(short / "talos-nodes.sock")) < 108
    lab.remove()
    assert not short.exists()


def test_two_commands_do_not_change_one_lab_at_once(lab: Session) -> None:
    with lab.locked(), pytest.raises(LabError, match="another command is working on the lab"), lab.locked():
        pass


def test_a_removed_lab_leaves_nothing(lab: Session) -> None:
    with lab.locked():
        lab.remove()
    assert not session.ROOT.exists()


def test_a_sites_credentials_do_not_reach_a_lab(lab: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXMOX_VE_API_TOKEN", "site")
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "site")
    monkeypatch.setenv("KUBECONFIG", "/site")
    environment = lab.environment()
    assert "PROXMOX_VE_API_TOKEN" not in environment
    assert "PULUMI_ACCESS_TOKEN" not in environment
    assert environment["KUBECONFIG"] == str(lab.kubeconfig)


def test_a_process_is_started_once(lab: Session) -> None:
    assert processes.start(lab, "sleeper", ["sleep", "60"])
    assert not processes.start(lab, "sleeper", ["sleep", "60"])


def test_a_reused_process_id_is_not_mistaken(lab: Session) -> None:
    processes.start(lab, "sleeper", ["sleep", "60"])
    file = lab.pids / "sleeper.json"
    known = json.loads(file.read_text())
    file.write_text(json.dumps({**known, "started": known["started"] - 1}))
    assert processes.running(lab, "sleeper") is None


def test_stopping_ends_what_a_process_started_in_a_session_of_its_own(lab: Session) -> None:
    processes.start(lab, "parent", ["sh", "-c", "setsid sleep 60 & exec sleep 60"])
    # Not before both run what they are to run: a process that is about to run another program has no environment.
    _until(lambda: [processes.program(each.pid) for each in processes.members(lab)] == ["sleep"] * 2)
    assert processes.stop_all(lab) == 2
    assert processes.members(lab) == []


def test_a_process_that_ignores_sigterm_is_ended(lab: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "END_SECONDS", 0.5)
    processes.start(lab, "stubborn", ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"])
    _until(lambda: bool(processes.members(lab)))
    processes.stop_all(lab)
    assert processes.members(lab) == []


def test_a_process_whose_file_was_lost_is_found_by_its_marker(lab: Session) -> None:
    child = subprocess.Popen(["sleep", "60"], env={**os.environ, MARKER: str(lab.directory)})
    _until(lambda: bool(processes.members(lab)))
    processes.stop_all(lab)
    assert child.wait() == -signal.SIGTERM


def test_a_shell_of_the_user_is_not_the_labs(lab: Session) -> None:
    child = subprocess.Popen(["sleep", "60"], env={**os.environ, "HOMELAB_LAB_DIRECTORY": str(lab.directory)})
    processes.stop_all(lab)
    assert child.poll() is None
    child.kill()
    child.wait()


def test_a_process_that_ends_early_is_reported_with_its_log(lab: Session) -> None:
    processes.start(lab, "broken", ["sh", "-c", "echo cannot bind; exit 1"])
    with pytest.raises(LabError, match=r"(?s)broken ended before it answered on 127\.0\.0\.1:1.*cannot bind"):
        processes.wait_until(lab, "broken", lambda: False, "127.0.0.1:1")


def test_a_lock_of_a_dead_process_has_no_owner(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    (tmp_path / "lock.json").write_text(json.dumps({"pid": child.pid}))
    assert cli._live_owner(tmp_path / "lock.json") is None


def test_a_lock_whose_id_went_to_another_program_has_no_owner(tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text(json.dumps({"pid": os.getpid()}))
    assert cli._live_owner(tmp_path / "lock.json") is None


def test_the_newest_official_plugin_is_taken(tmp_path: Path) -> None:
    for version in ("4.9.0", "4.34.2", "4.34.1"):
        plugin = tmp_path / "plugins" / f"resource-kubernetes-v{version}" / "pulumi-resource-kubernetes"
        plugin.parent.mkdir(parents=True)
        plugin.touch(mode=0o755)
    found = selection.official("kubernetes", "", tmp_path)
    assert found is not None
    assert found.parent.name == "resource-kubernetes-v4.34.2"


def test_a_labs_own_stand_in_does_not_count_as_installed(lab: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.bin / "pulumi-resource-talos").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{lab.bin}{os.pathsep}/bin")
    assert selection.official("talos", session.outer_path(), lab.directory) is None


def test_a_labs_path_holds_exactly_what_is_used(lab: Session) -> None:
    (lab.bin / "stale").symlink_to("/nowhere")
    selection.fill(lab.bin, {"tool": Found(Path("/bin/true"), "installed")})
    assert {path.name: path.readlink() for path in lab.bin.iterdir()} == {"tool": Path("/bin/true")}


def _until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.02)


def patched() -> list[tuple[str, dict[str, Any]]]:
    """Every Deployment that a HelmRelease of `gitops/` changes after its chart, with the chart's name."""
    return [
        (document["spec"]["chart"]["spec"]["chart"], yaml.safe_load(patch["patch"]))
        for _, document in tree.documents(tree.GITOPS)
        if document.get("kind") == "HelmRelease"
        for renderer in document["spec"].get("postRenderers", [])
        for patch in renderer["kustomize"]["patches"]
        if patch["target"]["kind"] == "Deployment"
    ]


@pytest.mark.parametrize(("chart", "patch"), patched(), ids=lambda value: value if isinstance(value, str) else "")
def test_the_lab_chart_of_a_release_of_flux_has_what_its_patches_name(
    tmp_path: Path, chart: str, patch: dict[str, Any]
) -> None:
    (archive,) = charts.write(tmp_path, [pin for pin in charts.pinned() if pin.name == chart])
    specs = {item["metadata"]["name"]: item["spec"] for item in objects_of(archive)}
    pod = specs[patch["metadata"]["name"]]["template"]["spec"]
    named = patch["spec"].get("template", {}).get("spec", {}) if "spec" in patch else {}
    for kind in ("containers", "initContainers"):
        wanted = {container["name"] for container in named.get(kind, [])}
        assert wanted <= {container["name"] for container in pod.get(kind, [])}


def test_the_lab_chart_of_gitea_has_the_service_that_the_ingress_names(tmp_path: Path) -> None:
    (archive,) = charts.write(tmp_path, [pin for pin in charts.pinned() if pin.name == "gitea"])
    specs = {item["metadata"]["name"]: item["spec"] for item in objects_of(archive)}
    assert specs["gitea-http"]["ports"] == [{"name": "http", "port": 3000}]
