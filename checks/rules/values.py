"""Values of own charts do something."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from checks.charts.chart import load
from checks.charts.keys import look_up
from checks.model.objects import mapping
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule


@rule(
    "dead-value",
    title="Each value of an own chart is read by a template",
    why="It is set, and nothing happens.",
    remedy="Read it in a template, or take it out of values.yaml.",
)
def dead(platform: Platform) -> Iterator[Finding]:
    """Values of charts of this repository that no template reads."""
    for directory in sorted((platform.root / "charts").iterdir()):
        if not (directory / "Chart.yaml").is_file():
            continue
        chart = load(directory)
        version = f"{chart.name} {chart.version}"
        defaults = mapping(yaml.safe_load((directory / "values.yaml").read_text()))
        chart.defaults, chart.schemas = {}, {}
        given = [defaults, *(one.values for one in platform.releases if one.own and one.chart == chart.name)]
        unread: dict[str, None] = {}
        for values in given:
            unread |= dict.fromkeys(look_up(chart, values).unknown)
        for path in unread:
            file = f"charts/{directory.name}/values.yaml"
            yield finding(f"the chart {version}", path, "is read by no template", file)
