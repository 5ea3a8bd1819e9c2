"""Writes down what pinned charts make with the program's values: `charts/records/`, see `checks/model/records.py`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from checks.charts.releases import ChartRelease
from checks.charts.render import render
from checks.model.distil import distilled, documents, fields, schemas
from checks.model.platform import Platform
from checks.model.records import DIRECTORY, Made, Record, Site, read, split, write
from components.kit.chart import ChartError, in_directory
from components.kit.offline_chart import files

_ALWAYS = frozenset(
    {
        *("cert-manager.io/v1/Certificate", "cert-manager.io/v1/Issuer", "external-secrets.io/v1/SecretStore"),
        *("dns.cav.enablers.ob/v1alpha2/ClusterRRset", "dns.cav.enablers.ob/v1alpha2/Zone"),
        *("dns.cav.enablers.ob/v1alpha2/RRset", "postgresql.cnpg.io/v1/ScheduledBackup"),
        *("bitnami.com/v1alpha1/SealedSecret", "postgresql.cnpg.io/v1/Database"),
    }
)
"""Kinds whose fields are recorded although the program does not write them."""


def kinds_of(platform: Platform) -> set[str]:
    """The kinds of what the program and the tree of Flux declare, as `<group>/<version>/<Kind>`."""
    return {f"{thing.content.get('apiVersion')}/{thing.kind}" for thing in platform.objects}


def note(
    releases: Iterable[tuple[ChartRelease, Site]],
    *,
    mirror: Path,
    helm: Path,
    kinds: Collection[str],
    source: str,
    directory: Path = DIRECTORY,
) -> list[str]:
    """Render each pinned chart that the mirror has and write its record; return the charts that it lacks.

    A chart that is lacking keeps its record, or gets one that says that it is absent.
    """
    records = read(directory)
    fresh: dict[str, Record] = {}
    lacking = set()
    for release, site in releases:
        pin = release.pin
        if pin is None:
            continue
        try:
            path = in_directory(mirror, pin)
        except ChartError:
            lacking.add(pin.name)
            old = records.get(pin.name)
            if old is None or old.version != pin.version:
                write(Record(pin.name, pin.version, f"nobody had {pin.name} {pin.version}", absent=True), directory)
            continue
        record = fresh.setdefault(pin.name, Record(pin.name, pin.version, source, _digest(path)))
        _add(record, release, site, path, helm, {*kinds, *_ALWAYS})
    for record in fresh.values():
        write(record, directory)
    return sorted(lacking)


def _add(record: Record, release: ChartRelease, site: Site, path: Path, helm: Path, kinds: Collection[str]) -> None:
    digest, own = split(release.values, site)
    if any(made.values == digest for made in record.made):
        return
    rendering = render(helm, path, release)
    if not rendering.manifests:
        raise ValueError(f"{release.chart} does not render: {' '.join(rendering.problems)}")
    made = documents(rendering.manifests)
    objects = [_clean(distilled(content, release.namespace)) for content in made]
    record.made.append(Made(digest, own, objects))
    definitions = [content for content in made if content["kind"] == "CustomResourceDefinition"]
    record.fields |= fields(definitions, kinds)
    record.schemas |= schemas(definitions, kinds)


def _clean(content: dict[str, Any]) -> dict[str, Any]:
    """What a chart says of itself at each object (versions, checksums) tells a rule nothing."""
    noise = ("helm.sh/", "checksum/", "app.kubernetes.io/managed-by", "helm.sh/chart", "meta.helm.sh/")

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(inner) for key, inner in value.items() if not str(key).startswith(noise)}
        return [clean(inner) for inner in value] if isinstance(value, list) else value

    return dict(json.loads(json.dumps(clean(content), default=str)))


def _digest(chart: Path) -> str:
    digest = hashlib.sha256()
    for name, content in files(chart):
        digest.update(f"{name}\0".encode() + content)
    return digest.hexdigest()
