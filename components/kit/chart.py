"""Where a pinned chart is taken from, its values from `charts/values/`, and its installation.

Owns the form of every `Release`, so that each is pinned, awaited and bounded in time in the same way. Does not
own their number: each component installs its own. `charts.mirror` replaces every repository: a directory (for
air-gapped sites and the lab), an oci:// path or the URL of one Helm repository. Charts of this repository come from
here alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi
from yaml import YAMLError

from components.kit import image_pulls, safe_yaml
from components.kit.chart_archive import ChartPlace
from components.kit.offline_chart import files, without_remote_schemas
from components.kit.release import Release
from components.kit.versions import ChartPin

CHARTS = Path(__file__).resolve().parents[2] / "charts"

DELETE: Final = "5m"
"""How long the engine waits for the removal of a release, unless its component says otherwise."""


class ChartError(ValueError):
    """A chart cannot be found where the settings point."""


@dataclass(frozen=True)
class ChartSource:
    """Where charts come from: their publishers, or a single mirror that replaces them all."""

    mirror: str | None = None

    def install(
        self,
        pin: ChartPin,
        logical_name: str,
        *,
        parent: pulumi.Resource,
        name: str,
        namespace: pulumi.Input[str],
        values: Mapping[str, Any],
        depends_on: Sequence[pulumi.Resource] = (),
        delete: str = DELETE,
        skip_crds: bool | None = None,
    ) -> Release:
        """The Release `name` of chart `pin`, a child of `parent`.

        delete: how long a removal may take, as `15m`.
        skip_crds: leave out the definitions in the chart's directory `crds`.

        Raises ChartError when the mirror is a directory that lacks the chart.
        """
        chart = {**self.locate(pin), **({} if skip_crds is None else {"skipCrds": skip_crds})}
        opts = _options(parent, depends_on, delete=delete)
        return Release(logical_name, _arguments(chart, name, namespace, values), opts=opts)

    def locate(self, pin: ChartPin) -> dict[str, Any]:
        """What a Release says of where chart `pin` is, and of which one it is.

        Raises ChartError when the mirror is a directory that lacks the chart.
        """
        place = self.place(pin)
        said: dict[str, Any] = {"chart": place.chart, "description": place.description}
        if place.version is not None:
            said["version"] = place.version
        if place.repository is not None:
            said["repositoryOpts"] = {"repo": place.repository}
        return said

    def place(self, pin: ChartPin) -> ChartPlace:
        """Where chart `pin` is taken from.

        The description carries a digest of a local chart: the provider does not notice a chart that was edited under
        the same version (measured), but it does notice a changed description.

        Raises ChartError when the mirror is a directory that lacks the chart.
        """
        described = f"{pin.name} {pin.version}"
        base = self.mirror or pin.repository
        if base.startswith("oci://"):
            return ChartPlace(chart=f"{base.rstrip('/')}/{pin.name}", version=pin.version, description=described)
        if base.startswith(("http://", "https://")):
            return ChartPlace(chart=pin.name, version=pin.version, repository=base, description=described)
        path = in_directory(Path(base).expanduser(), pin)
        chart = str(without_remote_schemas(path))
        return ChartPlace(chart=chart, description=f"{described} sha256:{_digest(path)[:16]}")


def install_own(
    chart: str,
    logical_name: str,
    *,
    parent: pulumi.Resource,
    name: str,
    namespace: pulumi.Input[str],
    values: Mapping[str, Any],
    depends_on: Sequence[pulumi.Resource] = (),
) -> Release:
    """The Release `name` of `charts/<chart>`, which no mirror replaces; a child of `parent`."""
    opts = _options(parent, depends_on, delete=DELETE)
    return Release(logical_name, _arguments(locate_own(chart), name, namespace, values), opts=opts)


def locate_own(chart: str) -> dict[str, Any]:
    """What a Release says of `charts/<chart>`; for the digest see `ChartSource.locate`.

    The path is the one from the program's directory, where the engine runs program and provider, so that a checkout in
    another place changes nothing.
    """
    path = CHARTS / chart
    version = safe_yaml.load((path / "Chart.yaml").read_text())["version"]
    return {
        "chart": f"./{path.relative_to(CHARTS.parent)}",
        "description": f"{chart} {version} sha256:{_digest(path)[:16]}",
    }


def _arguments(
    chart: Mapping[str, Any], name: str, namespace: pulumi.Input[str], values: Mapping[str, Any]
) -> dict[str, Any]:
    own = {"name": name, "namespace": namespace, "values": dict(values)}
    return {**own, "timeout": image_pulls.SECONDS, "maxHistory": 5, **chart}


def _options(parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource], *, delete: str) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(
        parent=parent,
        depends_on=list(depends_on),
        custom_timeouts=pulumi.CustomTimeouts(create=image_pulls.AWAITED, update=image_pulls.AWAITED, delete=delete),
    )


def in_directory(mirror: Path, pin: ChartPin) -> Path:
    """The archive `<name>-<version>.tgz` or the unpacked chart `<name>/` in `mirror`.

    Raises ChartError when neither exists, or the unpacked chart has another version.
    """
    archive, unpacked = mirror / f"{pin.name}-{pin.version}.tgz", mirror / pin.name
    if archive.is_file():
        return archive
    if (unpacked / "Chart.yaml").is_file():
        found = _version_in(unpacked / "Chart.yaml")
        if found.removeprefix("v") != pin.version.removeprefix("v"):
            raise ChartError(
                f"{unpacked} holds {pin.name} {found}, but its values are written for "
                f"{pin.version}; put {archive.name} into the mirror"
            )
        return unpacked
    oci = pin.repository.startswith("oci://")
    chart = f"{pin.repository}/{pin.name}" if oci else f"{pin.name} --repo {pin.repository}"
    raise ChartError(
        f"neither {archive.name} nor {pin.name}/Chart.yaml is in {mirror}; "
        f"fetch it with: helm pull {chart} --version {pin.version} -d {mirror}"
    )


def _version_in(file: Path) -> str:
    try:
        return str(safe_yaml.load(file.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, TypeError, KeyError, YAMLError) as error:
        raise ChartError(f"{file} names no version ({type(error).__name__}); unpack the chart again") from None


def _digest(chart: Path) -> str:
    """SHA-256 over the names and contents of a chart's files; timestamps do not count."""
    digest = hashlib.sha256()
    for name, content in files(chart):
        digest.update(f"{name}\0".encode() + content)
    return digest.hexdigest()


def values(name: str) -> dict[str, Any]:
    """The values of release `name` from `charts/values/<name>.yaml`."""
    loaded: dict[str, Any] = safe_yaml.load((CHARTS / "values" / f"{name}.yaml").read_text())
    return loaded


def own_values(chart: str) -> dict[str, Any]:
    """The default values of `charts/<chart>`."""
    loaded: dict[str, Any] = safe_yaml.load((CHARTS / chart / "values.yaml").read_text())
    return loaded
