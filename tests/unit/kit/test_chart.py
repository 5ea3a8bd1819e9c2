"""Where a chart is taken from."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from components.kit.chart import ChartError, ChartSource, locate_own
from components.kit.versions import ChartPin

PIN = ChartPin("demo", "1.2.3", "https://charts.example.org")
OCI_PIN = ChartPin("demo", "1.2.3", "oci://registry.example.org/charts")


def release(mirror: str | None, pin: ChartPin = PIN) -> dict[str, object]:
    return ChartSource(mirror).locate(pin)


def pack(directory: Path, content: str, mtime: int = 0) -> Path:
    archive = directory / "demo-1.2.3.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo("demo/Chart.yaml")
        info.size, info.mtime = len(content), mtime
        tar.addfile(info, io.BytesIO(content.encode()))
    return archive


def test_without_a_mirror_the_publisher_serves_the_pinned_version() -> None:
    args = release(None)
    assert (args["chart"], args["version"]) == ("demo", "1.2.3")
    assert args["repositoryOpts"] == {"repo": "https://charts.example.org"}


def test_a_registry_is_asked_by_the_charts_full_name() -> None:
    assert release(None, OCI_PIN)["chart"] == "oci://registry.example.org/charts/demo"


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_url_as_mirror_replaces_the_repository(scheme: str) -> None:
    mirror = f"{scheme}://mirror.example.org"
    assert release(mirror, OCI_PIN)["repositoryOpts"] == {"repo": mirror}


def test_a_registry_as_mirror_replaces_the_repository() -> None:
    args = release("oci://mirror.example.org/charts/")
    assert args["chart"] == "oci://mirror.example.org/charts/demo"
    assert "repositoryOpts" not in args


def test_a_directory_as_mirror_gives_the_archive_of_the_pinned_version(tmp_path: Path) -> None:
    assert release(str(tmp_path) if pack(tmp_path, "v") else None)["chart"] == str(tmp_path / "demo-1.2.3.tgz")


def test_a_directory_as_mirror_gives_an_unpacked_chart(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "Chart.yaml").write_text("version: v1.2.3\n")
    assert release(str(tmp_path))["chart"] == str(tmp_path / "demo")


def test_an_unpacked_chart_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "Chart.yaml").write_text("version: 9.9.9\n")
    with pytest.raises(ChartError, match=r"holds demo 9\.9\.9, but its values are written for 1\.2\.3"):
        release(str(tmp_path))


def test_a_chart_that_the_mirror_lacks_is_named_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(ChartError, match=r"helm pull demo --repo https://charts\.example\.org --version 1\.2\.3"):
        release(str(tmp_path))


def test_a_chart_of_a_registry_is_fetched_by_its_full_name(tmp_path: Path) -> None:
    with pytest.raises(ChartError, match=r"helm pull oci://registry\.example\.org/charts/demo --version 1\.2\.3"):
        release(str(tmp_path), OCI_PIN)


def test_an_edited_chart_of_the_same_version_changes_the_release(tmp_path: Path) -> None:
    pack(tmp_path, "one")
    before = release(str(tmp_path))["description"]
    pack(tmp_path, "two")
    assert release(str(tmp_path))["description"] != before


def test_a_chart_packed_again_does_not_change_the_release(tmp_path: Path) -> None:
    pack(tmp_path, "one", mtime=1)
    before = release(str(tmp_path))["description"]
    pack(tmp_path, "one", mtime=2)
    assert release(str(tmp_path))["description"] == before


@pytest.fixture
def schema_on_the_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An unpacked chart, beside a cache of its own, whose schema refers to the web."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    chart = tmp_path / "charts" / "demo"
    chart.mkdir(parents=True)
    (chart / "Chart.yaml").write_text("version: 1.2.3\n")
    properties = {
        "labels": {"title": "Labels", "$ref": "https://schemas.example.org/labels.json"},
        "port": {"type": "integer"},
    }
    (chart / "values.schema.json").write_text(json.dumps({"properties": properties, "additionalProperties": False}))
    return chart


def packed_schema(archive: object) -> dict[str, object]:
    with tarfile.open(str(archive)) as tar:
        content = tar.extractfile("demo/values.schema.json")
        assert content is not None
        return dict(json.load(content))


def test_a_schema_on_the_web_is_not_asked_for_and_the_rest_of_the_schema_stays(schema_on_the_web: Path) -> None:
    assert packed_schema(release(str(schema_on_the_web.parent))["chart"]) == {
        "properties": {"labels": {"title": "Labels"}, "port": {"type": "integer"}},
        "additionalProperties": False,
    }


def test_a_chart_without_a_schema_on_the_web_is_taken_from_where_it_is(schema_on_the_web: Path) -> None:
    (schema_on_the_web / "values.schema.json").write_text('{"properties": {"port": {"$ref": "#/definitions/port"}}}')
    assert release(str(schema_on_the_web.parent))["chart"] == str(schema_on_the_web)


def test_the_copy_of_a_chart_is_made_once(schema_on_the_web: Path) -> None:
    first = Path(str(release(str(schema_on_the_web.parent))["chart"]))
    made = first.stat().st_mtime_ns
    assert Path(str(release(str(schema_on_the_web.parent))["chart"])).stat().st_mtime_ns == made


def test_our_own_chart_is_named_by_its_place_in_the_program_and_by_its_content() -> None:
    chart = locate_own("powerdns")
    assert (chart["chart"], chart.get("version")) == ("./charts/powerdns", None)
    assert chart["description"].startswith("powerdns 1.")
    assert "sha256:" in chart["description"]
