"""Brings a lab to the point where `pulumi up` can run: programs, configuration, charts, processes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lab import charts, configuration, network, processes, programs
from lab.cli import Cli
from lab.edge_host.host import host_key
from lab.errors import LabError
from lab.git_server import server
from lab.hardware import Hardware
from lab.plugins import selection
from lab.pods import images, nodes
from lab.programs import Found
from lab.progress import Progress
from lab.session import ROOT, Session, write_private

if TYPE_CHECKING:
    from stacks.settings.model import Settings

LOCAL_FACTORY = "http://127.20.0.11:8090"
"""Where the simulator serves the Talos Image Factory's API; another second octet with another LAB_ID."""


@dataclass(frozen=True)
class Lab:
    """A lab that is ready for `pulumi`."""

    session: Session
    programs: Mapping[str, Found]
    settings: Settings
    hardware: Hardware
    cli: Cli
    replaced: Mapping[str, str]


def equip(session: Session, names: tuple[str, ...]) -> dict[str, Found]:
    """Find or build the named programs and every plugin, and put them on the lab's PATH.

    Raises:
        LabError: if one can be neither found nor built.
    """
    session.create()
    tools = programs.ensure(names)
    shown = {name: tools[name] for name in ("pulumi", "kubectl", "talosctl") if name in tools}
    everything = selection.choose()
    selection.fill(session.bin, {**shown, **everything})
    return tools | everything


def prepare(session: Session, progress: Progress) -> Lab:
    """Converge programs, configuration and processes of a lab.

    Raises:
        LabError: if something is missing that cannot be made here.
    """
    with progress.stage("tools"):
        source = source_of(session)
        group = os.environ.get(nodes.GROUP)
        found = equip(session, (*programs.needed(source), *(programs.PODS if group else ())))
    with progress.stage("configuration"):
        octet = octet_of(session)
        replacements = lab_replacements(session, octet, source)
        derived = configuration.derive(source, octet=octet, replacements=replacements)
        settings = parse(derived.config)
        cli = Cli(session, found["pulumi"].path)
        values = configuration.install(session, cli, derived)
        datastores = source.get(configuration.REHEARSED_DATASTORES) or {}
        pods = nodes.settings(found, group, list(json.loads(_images_of(session).read_text()))) if group else {}
        hardware = Hardware(session, settings, replacements["homelab:talos.factory"], values, datastores, pods)
        if group:
            refuse_loopback(settings)
        if network.inside_namespace():
            hold_addresses(session, settings)
    with progress.stage("processes"):
        if group:
            processes.start(session, "images", nodes.store_command(_images_of(session)))
        hardware.start(found)
    return Lab(session, found, settings, hardware, cli, derived.replaced)


def source_of(session: Session) -> dict[str, Any]:
    """The `config` mapping of the stack's file, with addresses that pods can reach if there are to be real ones."""
    source = configuration.read(session)
    return dict(network.off_loopback(source)) if nodes.GROUP in os.environ else source


def octet_of(session: Session) -> int | None:
    """The second octet of the lab's loopback addresses; None in namespaces, where nobody else has any."""
    return None if network.inside_namespace() else second_octet(session)


def save_images(session: Session) -> None:
    """Make the images of real pods that are missing, and note where they are."""
    served = {repository: str(place) for repository, place in images.make().items()}
    write_private(_images_of(session), json.dumps(served))


def _images_of(session: Session) -> Path:
    return session.directory / "images.json"


def lab_replacements(session: Session, octet: int | None, source: Mapping[str, Any]) -> dict[str, str]:
    """The settings of `source` that are the lab's own, or point at the lab instead of the outside world.

    Lab charts are written on the way.
    """
    factory = LOCAL_FACTORY if octet is None else network.shifted(LOCAL_FACTORY, octet)
    mirror = _charts_mirror(session)
    if not mirror:
        charts.write(session.charts, charts.pinned(), real_pods=nodes.GROUP in os.environ)
        mirror = str(session.charts)
    replacements = {"homelab:talos.factory": factory, "homelab:charts.mirror": mirror}
    site = source.get("homelab:site")
    if site and not site.get("insecure"):
        endpoint = str(site.get("endpoint"))
        replacements["homelab:site.ca"] = configuration.site_authority(
            session, endpoint if octet is None else network.shifted(endpoint, octet)
        )
    if source.get("homelab:gitops"):
        places = {"seed": server.SEED, "own": server.OWN, "chartMirror": server.CHARTS}
        for key, place in places.items():
            replacements[f"homelab:gitops.{key}"] = place if octet is None else network.shifted(place, octet)
        replacements["homelab:gitops.hostKey"] = server.host_key(session)
    if "homelab:edge" in source:
        replacements["homelab:edge.ssh.hostKey"] = host_key(session)
    if (source.get("homelab:sealing") or {}).get("certificate"):
        replacements["homelab:sealing.certificate"] = configuration.sealing_certificate(session)
    return replacements


def _charts_mirror(session: Session) -> str | None:
    """The user's own source of charts; a lab that was brought up from it keeps it until `CHARTS_MIRROR=` takes it away.

    Raises:
        LabError: if it is a directory that is not there.
    """
    given = os.environ.get("CHARTS_MIRROR")
    if given is None:
        kept: str | None = session.recall("chartsMirror")
        return kept
    if given and "://" not in given:
        if not Path(given).is_dir():
            raise LabError(
                f"CHARTS_MIRROR={given}: no such directory. Give one with <chart>-<version>.tgz files, or a URL"
            )
        given = str(Path(given).resolve())
    session.remember(chartsMirror=given or None)
    return given or None


def parse(config: Mapping[str, Any]) -> Settings:
    """The typed settings of a configuration file's `config` mapping.

    Raises:
        LabError: with what the program's own checks say.
    """
    from stacks.settings.errors import SettingsError
    from stacks.settings.load import parse as checked

    prefix = "homelab:"
    raw = {
        key.removeprefix(prefix): item
        for key, item in config.items()
        if key.startswith(prefix) and key not in configuration.SECRETS
    }
    try:
        return checked(raw)
    except SettingsError as error:
        raise LabError(str(error)) from None


def second_octet(session: Session) -> int:
    """The second octet of the lab's loopback addresses, the same for as long as the lab exists."""
    known = session.recall("octet")
    if known is None:
        known = network.octet(session.name, network.octets_in_use() | _octets_of_other_labs())
        session.remember(octet=known)
    return int(known)


def refuse_loopback(settings: Settings) -> None:
    """Say that a stack cannot have real pods because no pod would reach its nodes.

    Raises:
        LabError: if a node's address is one of the loopback device.
    """
    for name, node in settings.nodes.items():
        if node.address.is_loopback:
            raise LabError(
                f"PODS=real: node {name} has the address {node.address}, which belongs to the loopback device of each "
                "pod: rehearse a stack whose nodes have addresses of a network, such as STACK=prod"
            )


def hold_addresses(session: Session, settings: Settings) -> None:
    """In a rehearsal's namespace: put the stack's addresses on the loopback device."""
    addresses = [node.address for node in settings.nodes.values()]
    addresses.append(settings.network.api_vip)
    hosts = {str(urlsplit(settings.site.endpoint).hostname)}
    if settings.edge is not None:
        addresses.append(settings.edge.address)
        hosts.add(settings.edge.ssh.host or str(settings.edge.address))
    numeric = {host: network.as_address(host) for host in hosts}
    network.hold([*addresses, *(address for address in numeric.values() if address)])
    named = {host: network.NAMED_HOST for host, address in numeric.items() if address is None}
    network.name_hosts(named, session.directory)


def _octets_of_other_labs() -> set[int]:
    others = (Session(path.parent.name, "lab").recall("octet") for path in ROOT.glob("*/lab.json"))
    return {int(octet) for octet in others if octet is not None}


def save_credentials(lab_cli: Cli, session: Session) -> None:
    """Write kubeconfig and talosconfig from the stack's outputs, for kubectl and talosctl."""
    outputs = lab_cli.outputs()
    for name, path in (("kubeconfig", session.kubeconfig), ("talosconfig", session.talosconfig)):
        if isinstance(outputs.get(name), str):
            write_private(path, outputs[name])
