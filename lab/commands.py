"""The lab's commands, one function each; every one returns the exit status."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lab import configuration, flux, network, preview_difference, processes, programs, report
from lab.cli import Cli
from lab.errors import LabError
from lab.plugins import selection
from lab.pods import namespaces, nodes, workloads
from lab.preparation import (
    Lab,
    equip,
    lab_replacements,
    octet_of,
    prepare,
    save_credentials,
    save_images,
    source_of,
)
from lab.progress import Progress, say
from lab.session import CHECKOUT, Session

STACK = "lab"


def tools(*, long: bool) -> int:
    """Build whatever is missing for the lab and the tests. long: for the long tests too."""
    progress = Progress()
    with progress.stage("tools"):
        wanted = (*programs.LAB, *programs.GITOPS, *programs.TESTS)
        programs.ensure(name for name in wanted if long or name not in programs.LONG_TESTS)
        if os.geteuid() == 0:
            programs.ensure(programs.PODS)
        flux.objects()
        selection.choose()
    return 0


def check(arguments: str) -> int:
    """Run the offline checks, `python -m checks`, with the programs that they need on PATH."""
    return _with_programs("checks", arguments)


def charts(arguments: str) -> int:
    """Look the charts' values up, `python -m checks.charts`, with the programs that this needs on PATH."""
    return _with_programs("checks.charts", arguments)


def capacity(arguments: str) -> int:
    """Print what all pods request, `python -m checks.capacity`, with the programs that this needs on PATH."""
    return _with_programs("checks.capacity", arguments)


def _with_programs(module: str, arguments: str) -> int:
    found = programs.ensure(programs.CHECKS)
    path = os.pathsep.join([*(str(one.path.parent) for one in found.values()), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", module, *shlex.split(arguments)]
    return subprocess.run(command, cwd=CHECKOUT, env={**os.environ, "PATH": path}, check=False).returncode


def up(session: Session) -> int:
    """Bring the lab up, or complete it; one with real pods, in namespaces of its own.

    Raises:
        LabError: if it is to have real pods and was begun without, or this machine cannot run them.
    """
    if _has_namespaces(session, nodes.wanted()):
        return _enter(session, "up")
    progress = Progress()
    with session.locked():
        lab = prepare(session, progress)
        lab.cli.recover()
        with progress.stage("up"):
            status = lab.cli.run("up", "--yes", "--skip-preview")
        if status:
            return _failed(lab, "up", "make lab")
        save_credentials(lab.cli, session)
        ran = workloads.table(lab.programs["kubectl"].path, lab.hardware.kubeconfig) if lab.hardware.pods else []
    print(report.summary(lab, progress.seconds, ran))
    print("\nmake lab-shell for a shell in it, make lab-down to end it")
    return 0


def _has_namespaces(session: Session, wanted: bool = False) -> bool:
    """Whether a command on the lab has still to enter its namespaces; `wanted`: a lab that is begun gets some.

    Raises:
        LabError: if some are wanted for a lab that was begun without.
    """
    if network.inside_namespace():
        return False
    if wanted and namespaces.kept(session) is None and session.config.exists():
        raise LabError(
            f"PODS=real: the lab {session.name!r} was begun with played pods: `make lab-down` first, or give this one "
            "another name: LAB_ID=second"
        )
    return wanted or namespaces.kept(session) is not None


def _enter(session: Session, command: str) -> int:
    """Run a command of the lab in its namespaces. What it needs from outside is there before."""
    nodes.refuse_without_root()
    with session.locked(wait=command == "shell"):
        with Progress(quiet=command == "shell").stage("tools"):
            _equip_pods(session)
        group, entering = namespaces.keep(session)
    return network.launch_again(entering, [command], {nodes.GROUP: group})


def _equip_pods(session: Session) -> None:
    source = configuration.read(session)
    equip(session, programs.needed(source))
    if source.get("homelab:gitops"):
        flux.objects()
    programs.ensure(programs.PODS)
    save_images(session)


def preview(session: Session, *, like_the_lab: bool = False, plan: Path | None = None) -> int:
    """Preview a stack on an empty state, with no process of the lab running and no credential.

    plan: a file that gets the inputs of each resource, for `lab.preview_difference`.
    """
    with session.locked(wait=True):
        found = equip(session, programs.PREVIEW)
        mirrored = like_the_lab or os.environ.get("CHARTS_MIRROR")
        replacements = lab_replacements(session, None, {}) if mirrored else {}
        if not like_the_lab:
            replacements.pop("homelab:talos.factory", None)
        derived = configuration.derive(configuration.read(session), octet=None, replacements=replacements)
        cli = Cli(session, found["pulumi"].path)
        configuration.install(session, cli, derived)
        status = cli.run("preview")
        if plan is not None and status == 0:
            found_plan = preview_difference.plan(cli.capture("preview", "--json"), CHECKOUT)
            plan.write_text(json.dumps(found_plan, indent=1), encoding="utf-8")
        return status


def lab_preview(session: Session) -> int:
    """Preview the lab's stack: against its state if there is a lab, else as for any stack."""
    if not session.config.exists():
        return preview(Session(f"preview-{STACK}", STACK), like_the_lab=True)
    if _has_namespaces(session):
        return _enter(session, "lab-preview")
    with session.locked():
        found = equip(session, programs.PREVIEW)
        octet = octet_of(session)
        source = source_of(session)
        replacements = lab_replacements(session, octet, source)
        derived = configuration.derive(source, octet=octet, replacements=replacements)
        cli = Cli(session, found["pulumi"].path)
        configuration.install(session, cli, derived)
        return cli.run("preview")


def shell(session: Session, command: str | None) -> int:
    """A shell, or one command, with `pulumi`, `kubectl` and `talosctl` set up for the lab."""
    if _has_namespaces(session, nodes.wanted()):
        return _enter(session, "shell")
    with session.locked(wait=True):
        lab = prepare(session, Progress(quiet=True))
        state = lab.cli.stack_file()
        stale = not session.kubeconfig.exists() or session.kubeconfig.stat().st_mtime < state.stat().st_mtime
        if stale and lab.cli.resources():
            save_credentials(lab.cli, session)
    environment = session.environment()
    if command:
        return subprocess.call(["sh", "-c", command], env=environment, cwd=CHECKOUT)
    say(f"lab {session.name}: pulumi, kubectl and talosctl speak to it; `exit` leaves it running")
    return subprocess.call([os.environ.get("SHELL") or "/bin/sh"], env=environment, cwd=CHECKOUT)


def down(session: Session) -> int:
    """Destroy the lab's stack, check that nothing is left of it, stop its processes, remove its files."""
    if not session.exists():
        processes.stop_all(session)
        say(f"there is no lab {session.name!r}")
        return 0
    separate = _has_namespaces(session)
    if separate and (status := _enter(session, "down")):
        return status
    with session.locked():
        if not separate and (status := _destroy(session)):
            return status
        if network.inside_namespace():
            return 0
        stopped = processes.stop_all(session)
        session.remove()
    say(f"lab {session.name!r} is gone: {stopped} processes ended")
    return 0


def rehearse(session: Session) -> int:
    """Up, a second up that must change nothing, and destroy, in a namespace with the stack's own addresses."""
    if network.inside_namespace():
        return _rehearsal(session)
    if real := nodes.wanted():
        nodes.refuse_without_root()
    with session.locked():
        if session.exists():
            processes.stop_all(session)
            shutil.rmtree(session.directory, ignore_errors=True)
        with Progress().stage("tools"):
            source = configuration.read(session)
            if real:
                _equip_pods(session)
            else:
                equip(session, programs.needed(source))
                if source.get("homelab:gitops"):
                    flux.objects()
        arguments = ["rehearse", session.stack, "--config-file", str(session.source)]
        if real:
            group = nodes.group()
            status = network.launch_again(nodes.entering(group, []), arguments, {nodes.GROUP: group})
        else:
            status = network.enter_namespace(arguments)
        processes.stop_all(session)
        if status == 0:
            session.remove()
    return status


def _rehearsal(session: Session) -> int:
    progress = Progress()
    lab = prepare(session, progress)
    ran: list[tuple[str, str]] = []
    for step, arguments in {
        "up": ("up", "--yes", "--skip-preview"),
        "second up": ("up", "--yes", "--skip-preview", "--expect-no-changes"),
        "destroy": ("destroy", "--yes", "--skip-preview"),
    }.items():
        with progress.stage(step):
            status = lab.cli.run(*arguments)
        if status:
            return _failed(lab, step, f"make rehearse STACK={session.stack}")
        if step == "second up":
            ran = workloads.table(lab.programs["kubectl"].path, lab.hardware.kubeconfig)
    _refuse_remains(lab)
    print(report.summary(lab, progress.seconds, ran))
    print(f"\nthe rehearsal of {session.stack} succeeded: nothing is left of it")
    return 0


def _destroy(session: Session) -> int:
    """Destroy what the state holds. Parts that have died are started again for it; if that does not help, say so."""
    cli = Cli(session, programs.ensure(programs.PREVIEW)["pulumi"].path)
    if not cli.has_stack() or not session.config.exists():
        return 0
    cli.refuse_if_busy()
    if not cli.resources():
        return 0
    healthy = all(processes.running(session, name) for name in ("talos-nodes", "proxmox"))
    with _forgiven(not healthy):
        lab = prepare(session, Progress())
        lab.cli.recover()
        if lab.cli.run("destroy", "--yes", "--skip-preview"):
            raise LabError(
                f"the destroy failed; logs are in {session.logs}. The lab still runs: look at it with "
                "`make lab-shell`, then `make lab-down` again. To drop it without a destroy, "
                "`make lab-shell CMD='pulumi stack rm --yes --force'` comes first"
            )
        _refuse_remains(lab)
    return 0


@contextlib.contextmanager
def _forgiven(broken: bool) -> Iterator[None]:
    """A failure counts unless the lab was broken before: its hardware is gone then, and only files are left."""
    try:
        yield
    except LabError as error:
        if not broken:
            raise
        say(f"a part of this lab had died, and the destroy failed ({error}); what is left of it is removed")


def _refuse_remains(lab: Lab) -> None:
    left = lab.hardware.left_over()
    if left:
        raise LabError("the destroy left behind in Proxmox:\n" + "\n".join(f"  {line}" for line in left))


def _failed(lab: Lab, step: str, again: str) -> int:
    say(
        f"\n{step} failed. The lab's logs: {lab.session.logs}"
        + ("; it still runs, look at it with `make lab-shell`" if _lasts(lab.session) else "")
        + f". Continue with `{again}`"
    )
    return 1


def _lasts(session: Session) -> bool:
    """Whether a lab goes on when a command on it ends: a rehearsal does not."""
    return not network.inside_namespace() or namespaces.kept(session) is not None
