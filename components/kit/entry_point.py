"""The names by which resources in a state file run this program, and the command line that does so.

Does not own what they do: `program/__main__.py` knows the module behind each.
"""

from __future__ import annotations

from enum import StrEnum


class EntryPoint(StrEnum):
    """Part of the state of existing platforms: removing a name makes their destroy fail."""

    CHART_DEFINITIONS = "chart-definitions"
    CSI_VOLUMES = "csi-volumes"
    GIT_SOURCE = "git-source"
    NODE_REMOVAL = "node-removal"
    VM = "vm"
    VOLUME_ZONES = "volume-zones"

    def command(self, *arguments: str) -> str:
        """A command line for a resource that Pulumi runs in the project's directory.

        The path is relative, as Pulumi runs plugins there, and Pulumi.yaml names the same virtual environment.
        """
        return " ".join((".venv/bin/python -m program", self, *arguments))
