"""Which record of a chart is kept where nobody has the chart."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.charts.making import note
from checks.model.records import Record, Site, read, write
from tests.checks.helm_charts import PIN, release_of


@pytest.mark.parametrize(("version", "kept"), [(PIN.version, True), ("0.0.1", False)], ids=["this version", "another"])
def test_what_another_version_made_is_no_record_of_this_one(tmp_path: Path, version: str, kept: bool) -> None:
    directory, mirror = tmp_path / "records", tmp_path / "mirror"
    mirror.mkdir()
    write(Record(PIN.name, version, "somebody"), directory)
    noted = note(
        [(release_of({}), Site())], mirror=mirror, helm=Path("helm"), kinds=[], source="nobody", directory=directory
    )
    known = read(directory)[PIN.name]
    assert noted == [PIN.name]
    assert (known.version, known.absent) == (PIN.version, not kept)
