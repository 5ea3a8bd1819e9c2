"""How long the lab takes to come up, and a preview beside an empty one; `make bench` measures both alone."""

from __future__ import annotations

from collections.abc import Callable

from lab import bench
from tests.lab.conftest import FirstUp


def test_the_lab_is_up_in_the_time_that_it_may_take(first_up: FirstUp, figure: Callable[[str], None]) -> None:
    limit = bench.LIMITS["labSeconds"]
    figure(f"`make lab`, the state written once: {first_up.seconds:.0f} s of at most {limit:.0f} s")
    assert first_up.seconds <= limit


BESIDE_OTHERS = 2
"""By how much a preview may be beyond the limit that it has alone on a machine: beside other tests, the larger process
loses more of the caches, so that also its processor time grows. `make bench` holds the limit itself."""


def test_a_preview_takes_few_times_what_that_of_an_empty_program_takes(figure: Callable[[str], None]) -> None:
    figures = bench.previews("pytest-previews")
    by_clock, by_processor = bench.ratio(figures), bench.ratio(figures, "cpuSeconds")
    limit = bench.LIMITS["previewToEmptyPreview"]
    figure(
        f"preview: {by_clock} times that of an empty program by the clock, {by_processor} times by the processor time; "
        f"at most {limit:g} times on a machine that does nothing else"
    )
    assert by_processor <= BESIDE_OTHERS * limit
