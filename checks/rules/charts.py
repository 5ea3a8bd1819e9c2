"""What is known of charts: each with its record, and each record up to date."""

from __future__ import annotations

from collections.abc import Iterator

from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule


@rule(
    "chart-record",
    title="It is known what each chart makes with the values that it gets",
    why="No rule can see into a chart that nobody rendered with these values.",
    remedy="Put the chart's archive into a directory and run: python -m checks.charts --mirror DIRECTORY --record",
)
def records(platform: Platform) -> Iterator[Finding]:
    """Releases whose chart or values nobody recorded. A chart that nobody could have is named in the summary."""
    for problem in platform.chart_problems:
        if problem.kind == "unrecorded" and not platform.doubled(problem.release):
            yield finding(problem.release, "spec.values", problem.message, problem.release.where)


@rule(
    "chart-render",
    title="Each chart of this repository renders with the values that it gets",
    why="Helm refuses the release.",
    remedy="Mend the template or the values.",
)
def renders(platform: Platform) -> Iterator[Finding]:
    """Own charts that Helm cannot render."""
    for problem in platform.chart_problems:
        if problem.kind == "broken":
            yield finding(problem.release, "spec.values", problem.message, problem.release.where)
