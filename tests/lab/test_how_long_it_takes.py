"""How long the lab takes to come up, and a preview beside an empty one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab import bench
from tests.lab.conftest import FirstUp

pytestmark = pytest.mark.long

BUSY = 2
"""How many times as long everything may take here as alone: two workers bring labs up at once, on the same processors.
`make bench` holds the limits themselves."""


def test_the_lab_is_up_in_the_time_that_it_may_take(first_up: FirstUp, figure: Callable[[str], None]) -> None:
    limit = BUSY * bench.LIMITS["labSeconds"]
    figure(f"`make lab`, the state written once: {first_up.seconds:.0f} s of at most {limit:.0f} s")
    assert first_up.seconds <= limit


def test_a_preview_takes_few_times_what_that_of_an_empty_program_takes(figure: Callable[[str], None]) -> None:
    figures = bench.previews("pytest-previews")
    by_clock, by_processor = bench.ratio(figures), bench.ratio(figures, "cpuSeconds")
    limit = BUSY * bench.LIMITS["previewToEmptyPreview"]
    figure(
        f"preview: {by_clock} times that of an empty program by the clock, {by_processor} times by the processor time; "
        f"at most {limit:g} times"
    )
    # Not by the clock, in which the scheduler has a say.
    assert by_processor <= limit
