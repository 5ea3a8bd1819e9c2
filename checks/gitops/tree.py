"""The files of `gitops/`, and the HelmReleases in them.

Reads the YAML as it is written: patches of Kustomize and the values of `${...}` are not applied. What only they could
say about a HelmRelease (its chart, its version, its values) therefore has to be in its own file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from checks.program import ROOT
from components.kit.versions import ChartPin

GITOPS = ROOT / "gitops"

OFF = re.compile(r"^  # - (\S+/flux\.yaml)$", re.MULTILINE)
"""The line of an application that is switched off, in the kustomization.yaml of `gitops/`."""

_FOLDER = "kustomization.yaml"
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)\}")


@dataclass(frozen=True)
class FluxRelease:
    """A HelmRelease.

    pin, path: its chart, from a repository or from this one.
    values: as written, with the name of a variable in its place.
    secrets: names of the Secrets that its further values come from, in their order.
    source: its file, from the root of the repository.
    """

    name: str
    namespace: str
    pin: ChartPin | None
    path: Path | None
    values: dict[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    source: str = ""


def documents(directory: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each object below a directory, with its file; lists of Kustomize and components included."""
    for file in sorted(directory.rglob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if document:
                yield file, document


def variables(directory: Path) -> set[str]:
    """The variables that files below a directory ask Flux to fill in."""
    return {name for file in directory.rglob("*.yaml") for name in _VARIABLE.findall(file.read_text(encoding="utf-8"))}


def releases(directory: Path = GITOPS) -> list[FluxRelease]:
    """Return every HelmRelease below a directory.

    Raises:
        ValueError: one has no exact chart.
    """
    return [
        _release(file, document, directory)
        for file, document in documents(directory)
        if document.get("kind") == "HelmRelease"
    ]


def pins(directory: Path = GITOPS) -> list[ChartPin]:
    """Return the charts of repositories that HelmReleases below a directory install, each once."""
    return list(dict.fromkeys(release.pin for release in releases(directory) if release.pin))


def switch_on(root: Path) -> None:
    """Switch on every application that is off in a copy of the repository, and take away why each was off."""
    switches = root / "gitops" / _FOLDER
    switches.write_text(OFF.sub(r"  - \1", switches.read_text(encoding="utf-8")), encoding="utf-8")
    (root / "gitops" / ".checkignore").unlink()


def _release(file: Path, document: Mapping[str, Any], directory: Path) -> FluxRelease:
    name, spec = str(document["metadata"]["name"]), document["spec"]
    place = f"{file.relative_to(directory.parent)}: HelmRelease {name}"
    secrets = [one["name"] for one in spec.get("valuesFrom") or [] if one["kind"] == "Secret"]
    pin, path = _chart(place, file, (spec.get("chart") or {}).get("spec") or {})
    return FluxRelease(
        name=name,
        namespace=_namespace(place, file, document),
        pin=pin,
        path=path,
        values=_filled(spec.get("values") or {}),
        secrets=tuple(map(str, secrets)),
        source=str(file.relative_to(directory.parent)),
    )


def _chart(place: str, file: Path, chart: Mapping[str, Any]) -> tuple[ChartPin | None, Path | None]:
    source = chart.get("sourceRef") or {}
    name = str(chart.get("chart", ""))
    if source.get("kind") == "GitRepository":
        return None, (ROOT / name).resolve()
    version = str(chart.get("version", ""))
    if source.get("kind") != "HelmRepository" or not re.fullmatch(r"v?\d+\.\d+\.\d+\S*", version):
        raise ValueError(
            f"{place}: its chart is {name!r} {version!r} of a {source.get('kind')}; name a HelmRepository and one "
            "exact version, or a folder of the GitRepository"
        )
    for _, document in documents(file.parent):
        if document.get("kind") == "HelmRepository" and document["metadata"]["name"] == source["name"]:
            url = str(document["spec"]["url"]).rstrip("/")
            return ChartPin(name, version, url), None
    raise ValueError(f"{place}: there is no HelmRepository {source['name']} in {file.parent.name}/; add it")


def _namespace(place: str, file: Path, document: Mapping[str, Any]) -> str:
    folder = file.with_name(_FOLDER)
    said = yaml.safe_load(folder.read_text()).get("namespace") if folder.is_file() else None
    namespace = document["metadata"].get("namespace", said)
    if not namespace:
        raise ValueError(f"{place}: no namespace; give it as `namespace` in {_FOLDER}")
    return str(namespace)


def _filled(value: Any) -> Any:
    """A value with each variable's own name in its place, in the form that a name of Kubernetes has."""
    if isinstance(value, dict):
        return {key: _filled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item) for item in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: found.group(1).replace("_", "-"), value)
    return value
