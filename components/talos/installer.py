"""What an installer image brings, and whether a node runs it.

Owns the comparison of a node with its installer image: an upgrade proves nothing by ending. A system that fails to
boot is taken back by Talos, and the node is healthy with the old one, as `revertBootloader` does in
https://github.com/siderolabs/talos/blob/v1.13.9/internal/app/machined/main.go. Does not upgrade: see `hooks.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from components.talos.api import TalosError, TalosNode

_SCHEMATIC = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Installer:
    """An installer image.

    schematic: id of the schematic of which the Image Factory made it; None for an image of another origin.
    version: of Talos, such as v1.13.9.
    """

    image: str
    schematic: str | None
    version: str

    @classmethod
    def parse(cls, image: str) -> Installer:
        """From a reference such as factory.talos.dev/nocloud-installer/<schematic>:v1.13.9.

        Raises TalosError when its tag is no version, as nobody could say whether a node runs it.
        """
        name, _, version = image.rpartition("/")[2].partition(":")
        if not version.startswith("v"):
            raise TalosError(f"installer image {image} has no version such as v1.13.9 as its tag; give it one")
        return cls(image, name if _SCHEMATIC.fullmatch(name) else None, version)

    async def difference(self, node: TalosNode) -> str | None:
        """What the node runs instead of this; None if it runs this."""
        version, schematic = await node.version(), await node.schematic()
        if version == self.version and self.schematic in (None, schematic):
            return None
        return f"{version} of schematic {schematic or 'unknown'}"
