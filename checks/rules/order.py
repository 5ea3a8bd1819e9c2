"""Order: what must exist first does, and nothing waits for itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import yaml

from checks.model.objects import Object, walk
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule, there

BUILT_IN = frozenset(
    {
        *("", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io"),
        *("storage.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io"),
        *("scheduling.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "node.k8s.io"),
        *("certificates.k8s.io", "flowcontrol.apiserver.k8s.io", "resource.k8s.io", "authentication.k8s.io"),
    }
)
"""API groups that the API server serves without any definition."""


@rule(
    "definition-first",
    title="The definition of a custom resource exists before the resource",
    why="The API server refuses a kind that it does not know: `no matches for kind`.",
    remedy="Make it wait for the release that brings the definition (depends_on, or dependsOn of the Kustomization).",
)
def definitions(platform: Platform) -> Iterator[Finding]:
    """Custom resources that may come before their definition, or that have none."""
    kinds = {kind for _, kind in platform.definitions}
    late: set[tuple[str, str]] = set()
    for thing in platform.objects:
        if thing.group in BUILT_IN or thing.manager.system in ("operator", "talos") or _flux_brings(thing, platform):
            continue
        brought = platform.definitions.get((thing.group, thing.kind), [])
        if not brought:
            if not any(group == thing.group for group, _ in platform.definitions) and platform.unknown:
                continue
            known = [kind for group, kind in platform.definitions if group == thing.group]
            problem = f"is a {thing.group}/{thing.kind}, which nothing defines: {there(known or kinds, thing.kind)}"
            yield finding(thing, "kind", problem, thing.where)
        elif not any(_first(platform, thing, one) for one in brought):
            carrier = brought[0].release or brought[0].manager
            # One missing edge is one fault, however many resources come by it.
            edge = (thing.step, str(carrier))
            if edge in late:
                continue
            late.add(edge)
            problem = f"does not wait for {carrier}, which brings {brought[0]}"
            yield finding(thing, _field(thing), problem, thing.where)


def _flux_brings(thing: Object, platform: Platform) -> bool:
    """Flux's own kinds come with Flux, whose chart the model may not know."""
    flux = thing.group.endswith("toolkit.fluxcd.io")
    return flux and not any(group == thing.group for group, _ in platform.definitions)


def _first(platform: Platform, thing: Object, definition: Object) -> bool:
    same = definition.release is not None and definition.release is thing.release
    if same or definition.step == "" or platform.order.follows(thing.step, definition.step):
        return True
    # The controller applies plain definitions and namespaces of a Kustomization before everything else in it.
    return definition.release is None and definition.step == thing.step


def _field(thing: Object) -> str:
    if thing.manager.system == "flux":
        return f"spec.dependsOn of {thing.manager.name}"
    return "depends_on" if thing.manager.system == "pulumi" else "its place in the order"


@rule(
    "namespace-first",
    title="The namespace of an object exists before the object",
    why="The API server refuses an object whose namespace does not exist.",
    remedy="Make the namespace, or wait for what makes it.",
)
def namespaces(platform: Platform) -> Iterator[Finding]:
    """Objects and releases whose namespace nobody makes, or makes too late."""
    wanted: list[tuple[object, str, str, str, str]] = [
        (thing, thing.namespace, thing.step, thing.where, _field(thing))
        for thing in platform.objects
        if thing.namespace and thing.manager.system in ("pulumi", "flux")
    ]
    wanted += [
        (release, release.namespace, release.begins or release.step, release.where, "namespace")
        for release in platform.releases
        if not release.create_namespace
    ]
    seen: set[tuple[str, str]] = set()
    for of, name, step, where, field in wanted:
        for one in _namespace(platform, of, name, step, where, field):
            # One missing namespace, or one missing edge, is one fault, however many objects are in it.
            key = (name, step if field != "metadata.namespace" and platform.find("", "Namespace", "", name) else "")
            if key not in seen:
                seen.add(key)
                yield one


def _namespace(platform: Platform, of: object, name: str, step: str, where: str, field: str) -> Iterator[Finding]:
    made = platform.find("", "Namespace", "", name)
    creators = [one for one in platform.releases if one.create_namespace and one.namespace == name]
    if not made and not creators:
        known = [thing.name for thing in platform.of_kind("", "Namespace")]
        yield finding(
            of, "metadata.namespace", f"lies in Namespace {name}, which nothing makes: {there(known, name)}", where
        )
        return
    steps = [*(one.step for one in made), *(one.step for one in creators)]
    if not any(earlier == "" or platform.order.follows(step, earlier) for earlier in steps):
        by = ", ".join([*(str(one.manager) for one in made), *(str(one) for one in creators)])
        yield finding(of, field, f"does not wait for Namespace {name}, which {by} makes", where)


@rule(
    "producer-first",
    title="What an object needs to get ready is made before it, or together with it",
    why="It fails or hangs until the other appears; what waits for it gives up after its timeout.",
    remedy="Make the consumer wait for the producer (depends_on, or dependsOn of its Kustomization).",
)
def producers(platform: Platform) -> Iterator[Finding]:
    """Consumers that do not wait for what they need."""
    looping = {(edge.after, edge.before) for loop in platform.loops for edge in loop}
    done: set[tuple[str, str]] = set()
    for thing, need, producer, event in platform.waiting:
        if platform.order.follows(event, producer.step) or (event, producer.step) in looping:
            continue
        holder = platform.tree.of(thing) if platform.tree is not None else None
        consumer = holder.id if holder is not None else event
        if holder is not None and producer.step in platform.graph.nodes:
            continue  # an `up` makes it whatever Flux does, and Flux tries again until then
        if platform.order.follows(producer.step, event) or (consumer, producer.step) in done:
            continue
        done.add((consumer, producer.step))
        by = producer.origin or producer.release or producer.manager
        late = ""
        if thing.manager.system == "pulumi" and producer.manager.system == "flux":
            late = "; the program ends before Flux begins"
        problem = f"needs {need}, and does not wait for {by} ({platform.order.label(producer.step)}){late}"
        who = platform.order.label(event)
        field = f"{need.field} (spec.dependsOn of Kustomization {holder.id})" if holder is not None else need.field
        yield finding(f"{who}: {thing}", field, problem, thing.where)


@rule(
    "loop",
    title="Nothing waits for itself",
    why="Each waits for the next, and none ever gets ready.",
    remedy="Move what is needed early out of what comes late.",
)
def loops(platform: Platform) -> Iterator[Finding]:
    """Loops, through declared dependencies and through what is needed without being declared."""
    for loop in platform.loops:
        steps = [edge for edge in loop if platform.order.label(edge.after) != platform.order.label(edge.before)]
        shown = " -> ".join(f"{platform.order.label(edge.after)} [{edge.why}]" for edge in steps)
        undeclared = [edge.why for edge in steps if not edge.declared]
        first = platform.order.label(steps[0].after)
        field = "; ".join(undeclared) or "; ".join(sorted({edge.why.partition(":")[0] for edge in steps}))
        yield finding(first, field, f"waits for itself: {shown} -> {first}", _place(platform, steps[0].after))


def _place(platform: Platform, event: str) -> str:
    if event in platform.graph.nodes:
        return platform.graph.nodes[event].source
    for one in platform.tree.kustomizations if platform.tree else ():
        if event in (one.begins, one.ready):
            return one.where
    return next((one.where for one in platform.releases if event in (one.begins, one.step)), "")


@rule(
    "unlisted-file",
    title="Every manifest of the tree is part of a Kustomization",
    why="Nobody applies it, and nothing says so.",
    remedy="List it in the kustomization.yaml of its folder, or name it with a reason in gitops/.checkignore.",
)
def unlisted(platform: Platform) -> Iterator[Finding]:
    """Manifests that no kustomization.yaml names, and folders that no Kustomization reaches."""
    tree = platform.tree
    if tree is None or tree.unbuilt or not tree.directory.is_dir():
        return
    listed = set(_listed(tree.directory))
    for one in tree.kustomizations:
        folder = (platform.root / one.path).resolve()
        if folder.is_dir() and not _kustomization_in(folder):
            listed |= {file.resolve() for file in folder.rglob("*.y*ml")}
    ignored = _ignored(tree.directory / ".checkignore")
    for file in sorted(tree.directory.rglob("*.y*ml")):
        relative = file.relative_to(tree.directory).as_posix()
        if file.name in _KUSTOMIZATIONS or file.resolve() in listed or any(fnmatch(relative, one) for one in ignored):
            continue
        if _is_manifest(file):
            shown = file.relative_to(platform.root)
            by = file.parent.relative_to(platform.root) / _KUSTOMIZATIONS[0]
            yield finding(str(shown), "resources", f"is listed nowhere: {by} should have it", f"{shown}:1")


_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")


def _kustomization_in(folder: Path) -> Path | None:
    return next((folder / name for name in _KUSTOMIZATIONS if (folder / name).is_file()), None)


def _listed(directory: Path) -> Iterator[Path]:
    """Every file that some kustomization.yaml names, in whatever field."""
    for name in _KUSTOMIZATIONS:
        for file in directory.rglob(name):
            content = yaml.safe_load(file.read_text())
            for _, value in walk(content):
                text = value.rpartition("=")[2] if isinstance(value, str) else ""
                if text and (file.parent / text).is_file():
                    yield (file.parent / text).resolve()


def _is_manifest(file: Path) -> bool:
    return bool(re.search(r"^apiVersion:", file.read_text(), re.MULTILINE))


def _ignored(file: Path) -> list[str]:
    """Patterns of files that are left out on purpose: `pattern  # reason` on each line."""
    lines = file.read_text().splitlines() if file.is_file() else []
    return [line.partition("#")[0].strip() for line in lines if line.partition("#")[0].strip() and "#" in line]


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@rule(
    "inner-timeout",
    title="A Kustomization that waits gives its releases the time that they allow themselves",
    why="The outer one fails while the inner one is still within its time.",
    remedy="Raise the Kustomization's timeout above the HelmRelease's.",
)
def timeouts(platform: Platform) -> Iterator[Finding]:
    """HelmReleases that may take longer than the Kustomization that waits for them."""
    for one in platform.tree.kustomizations if platform.tree else ():
        outer = _seconds(one.spec.get("timeout") or one.spec.get("interval") or "")
        for thing in one.objects:
            if thing.kind == "HelmRelease" and one.waits_for(thing):
                inner = _seconds(thing.spec.get("timeout") or "5m")
                if outer < inner:
                    shown = one.spec.get("timeout") or f"{one.spec.get('interval')} (its interval)"
                    problem = (
                        f"has {thing.spec.get('timeout') or '5m (the default)'}, and Kustomization {one.id}, which "
                        f"waits for it, has spec.timeout {shown}"
                    )
                    yield finding(thing, "spec.timeout", problem, thing.where)


def _seconds(text: str) -> float:
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", str(text)))


@rule(
    "flux-build",
    title="Every Flux Kustomization can be built, and every file of the tree is part of one",
    why="Flux reports the error and applies nothing of it; a file that nothing lists is never applied.",
    remedy="List the file in a kustomization.yaml, or delete the line that names what does not exist.",
)
def builds(platform: Platform) -> Iterator[Finding]:
    """Kustomizations that do not build."""
    if platform.tree is None:
        return
    if platform.tree.unbuilt:
        yield finding("the tree of Flux", "", f"is unknown: {platform.tree.unbuilt}", remedy="Run it by `make check`.")
    for one in platform.tree.kustomizations:
        if one.error:
            yield finding(f"Kustomization {one.id}", "spec.path", f"{one.path} cannot be built: {one.error}", one.where)
