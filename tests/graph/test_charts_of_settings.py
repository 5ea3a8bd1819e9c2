"""Which charts a mirror must have: those that the program installs, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from checks.graph import reveal
from checks.program import ROOT, recorded
from components.kit.chart import CHARTS
from stacks.settings import chart_mirror, stack_file
from stacks.settings.load import parse


@pytest.mark.parametrize("everything", [False, True], ids=["as in the lab", "with all features"])
def test_a_mirror_must_have_each_chart_that_is_installed(everything: bool) -> None:
    def change(settings: dict[str, Any]) -> None:
        if everything:
            settings["features"] = {"longhornV2": True}
            settings["storage"] = {"snapshots": True}
            for node in settings["nodes"].values():
                node["cores"] = 8

    graph = recorded("lab", change=change)
    raw = stack_file.parse((ROOT / "Pulumi.lab.yaml").read_text())["config"]
    settings = {key.removeprefix("homelab:"): value for key, value in raw.items()}
    change(settings)
    installed = {
        str(reveal(node.inputs["description"])).split(" ")[0]
        for node in graph.nodes.values()
        if node.type == "kubernetes:helm.sh/v3:Release"
    }
    own = {path.name for path in CHARTS.iterdir()}
    assert installed - own == {pin.name for pin in chart_mirror.charts(parse(settings))}
