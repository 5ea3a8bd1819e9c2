"""Images of programs that the lab builds, each with nothing else in it.

Does not own which there are (`images`), nor how a program is built (`lab.programs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab import programs
from lab.pods.layers import Image, Layer

_NOBODY = "65534:65534"


@dataclass(frozen=True)
class OfTools:
    """Makes an image that consists of tools of the lab.

    programs: where the chart's commands look for each; where a chart gives no command, the first is what starts.
    links: further names of them, each with the path that it stands for.
    """

    repositories: tuple[str, ...]
    programs: Mapping[str, str]
    links: Mapping[str, str] = field(default_factory=dict)

    def __call__(self) -> Image:
        """The image; the tools are built if they are missing."""
        found = programs.ensure(self.programs)
        files = {place: found[tool].path for tool, place in self.programs.items()}
        key = " ".join(f"{programs.TOOLS[tool].binary.key()} {place}" for tool, place in self.programs.items())
        return static(next(iter(self.programs)), self.repositories, files, key, self.links)


def static(
    name: str,
    repositories: tuple[str, ...],
    files: Mapping[str, Path],
    key: str,
    links: Mapping[str, str] | None = None,
) -> Image:
    """An image of programs without libraries; the first is what starts, as nobody. key: what decides their content."""

    def fill(layer: Layer) -> None:
        layer.directory("/tmp", mode=0o1777)  # noqa: S108
        layer.file("/etc/passwd", b"root:x:0:0:root:/:/\nnobody:x:65534:65534:nobody:/:/\n")
        for place, program in files.items():
            layer.file(place, program.read_bytes(), mode=0o755)
        for path, target in (links or {}).items():
            layer.directory(path.rpartition("/")[0])
            layer.link(path, target)

    known = f"{key} {links}" if links else key
    return Image(name, repositories, known, fill, (next(iter(files)),), _NOBODY)
