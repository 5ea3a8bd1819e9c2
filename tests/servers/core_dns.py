"""The file with which the cluster's DNS is started."""

from __future__ import annotations

from textwrap import indent
from typing import Any

from tests.servers.names import release_values


def corefile() -> str:
    """What chart coredns 1.46 makes of the program's values: templates/configmap.yaml."""

    def line(plugin: dict[str, Any]) -> str:
        parameters = plugin.get("parameters", "")
        # Numbers pass through the engine as floating point; Go prints a whole one without a point.
        written = f"{parameters:g}" if isinstance(parameters, float) else str(parameters)
        inner = f" {{\n{indent(plugin['configBlock'], ' ' * 4)}\n}}" if "configBlock" in plugin else ""
        return indent(f"{plugin['name']} {written}".rstrip() + inner, "  ")

    return "\n".join(
        f"{block['zones'][0]['zone']}:{block['port']:g} {{\n" + "\n".join(map(line, block["plugins"])) + "\n}"
        for block in release_values("coredns")["servers"]
    )
