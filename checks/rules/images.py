"""Images, charts and versions: pinned, and fitting each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.charts.record import FILE, read, unrecorded
from checks.charts.releases import ChartRelease
from checks.model.objects import walk
from checks.model.platform import Platform
from checks.model.program import LATER
from checks.rules.rule import Finding, finding, rule
from components.kit.versions import ChartPin

_FLOATING = re.compile(r"^(latest|stable|edge|main|master|nightly|dev|v?\d+|lts|alpine)$")
_GONE = {
    "docker.io/bitnami/": "removed by their publisher in 2025 (https://github.com/bitnami/charts/issues/35164)",
    "bitnami/": "removed by their publisher in 2025 (https://github.com/bitnami/charts/issues/35164)",
    "docker.io/bitnamilegacy/": "frozen copies without updates (https://github.com/bitnami/charts/issues/35164)",
    "bitnamilegacy/": "frozen copies without updates (https://github.com/bitnami/charts/issues/35164)",
}

_FIELDS = ("image", "imageName")
"""Fields of custom resources that name an image of pods which an operator makes."""
_KEPT = ("docker.io/bitnami/sealed-secrets-", "bitnami/sealed-secrets-")
"""Images of the same publisher that are a product of their own (https://github.com/bitnami-labs/sealed-secrets)."""


@rule(
    "image-pin",
    title="Each image is named by a version or a digest",
    why="Another image may run after each restart, and nobody can say which one did.",
    remedy="Name a full version, or a digest.",
)
def images(platform: Platform) -> Iterator[Finding]:
    """Images without a version, with one that moves, or that their publisher gave up."""
    for one in platform.pods:
        for place, container in one.containers():
            image = str(container.get("image") or "")
            by = f" (of {one.of.release.chart} {one.of.release.version})" if one.of.release else ""
            for problem in _problems(image, by):
                yield finding(one.of, f"{place}.image", problem, one.of.where)
    for thing in platform.objects:
        if thing.manager.system in ("pulumi", "flux") and "." in thing.group and thing.kind != "HelmRelease":
            for path, value in walk(thing.spec):
                if path.rpartition(".")[2] in _FIELDS and isinstance(value, str):
                    for problem in _problems(value, ""):
                        yield finding(thing, f"spec.{path}", problem, thing.where)


def _problems(image: str, by: str) -> Iterator[str]:
    """What is wrong with the name of an image."""
    if not image or image == "auto" or LATER in image:
        return
    name, _, tag = image.partition("@")[0].rpartition(":")
    if "/" in tag:
        name, tag = image, ""
    if "@sha256:" not in image and (not name or not tag or _FLOATING.match(tag)):
        said = f"has the tag {tag}, which moves" if tag and name else "has no tag"
        yield f"is {image}{by}, which {said}"
    for prefix, why in _GONE.items():
        if image.startswith(prefix) and not image.startswith(_KEPT):
            yield f"is {image}{by}: images of {prefix} are {why}"


@rule(
    "chart-pin",
    title="Each chart is named by one exact version, the one whose values were looked up",
    why="The repository may not have it, or serves another one tomorrow.",
    remedy="Give the version that charts/checked.yaml has, or look the values up in the new one.",
)
def pins(platform: Platform) -> Iterator[Finding]:
    """Versions that are ranges or that nobody looked up, and values that the chart does not know."""
    checked = read(FILE if platform.root == FILE.parents[1] else platform.root / "charts" / "checked.yaml")
    for release in platform.releases:
        if release.own or platform.doubled(release):
            continue
        if not re.fullmatch(r"v?\d+\.\d+\.\d+([-+][\w.+-]+)?", release.version):
            yield finding(
                release,
                "chart.spec.version",
                f"is {release.version or 'missing'}, which is no exact version of {release.chart}",
                release.where,
            )
            continue
        entry = checked.get(release.chart)
        if entry is not None and entry.version != release.version:
            problem = f"is {release.version}, and charts/checked.yaml has {release.chart} {entry.version}"
            yield finding(release, "chart.spec.version", problem, release.where)
            continue
        pin = ChartPin(release.chart, release.version, "")
        asked = ChartRelease(release.name, release.namespace, release.values, pin, None, "", release.where)
        for one in unrecorded([asked], checked):
            path = match.group(1) if (match := re.search(r"knows (\S+):", one.message)) else "chart"
            yield finding(release, f"values.{path}", one.message.partition(": put ")[0], release.where)
