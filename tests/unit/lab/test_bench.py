"""What `make bench` holds its figures to."""

from __future__ import annotations

import pytest

from lab import bench


def test_a_figure_at_its_limit_is_within_it() -> None:
    assert bench.beyond(bench.LIMITS) == []


def test_a_figure_that_was_not_taken_is_not_beyond_its_limit() -> None:
    assert bench.beyond({"labSeconds": 1.0}) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("labSeconds", "labSeconds is 181.0, at most 180"),
        ("previewToEmptyPreview", "previewToEmptyPreview is 6.0, at most 5"),
    ],
)
def test_a_figure_beyond_its_limit_is_named_with_both(name: str, told: str) -> None:
    assert bench.beyond({**bench.LIMITS, name: bench.LIMITS[name] + 1}) == [told]


def test_previews_are_compared_as_multiples_of_the_empty_one() -> None:
    figures = {"preview": {"seconds": 2.4, "cpuSeconds": 3.0}, "emptyPreview": {"seconds": 0.5, "cpuSeconds": 0.75}}
    assert (bench.ratio(figures), bench.ratio(figures, "cpuSeconds")) == (4.8, 4.0)
