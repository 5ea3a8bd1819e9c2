"""`python -m checks.capacity`: what all pods request, namespace by namespace, beside what is there with a node down.

With `--stack` of one stack alone. Exit status 1 if it is too much. The rule `requests` says the same of every check.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator

from checks.examination import STACKS, platforms
from checks.model.building import Sources
from checks.model.platform import Platform
from checks.program import ROOT
from checks.rules.capacity import RESOURCES, requested, room

_UNITS = {"cpu": (1.0, "cores"), "memory": (2.0**30, "GiB")}


def table(platform: Platform) -> list[tuple[str, dict[str, float]]]:
    """Each namespace with what its pods request, the most memory first."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(RESOURCES, 0.0))
    for one in requested(platform):
        for resource, size in one.amounts.items():
            found[one.of.namespace][resource] += size
    return sorted(found.items(), key=lambda row: (-row[1]["memory"], row[0]))


def fits(platform: Platform) -> bool:
    """Whether everything runs with the largest node down."""
    rows = table(platform)
    return all(sum(row[resource] for _, row in rows) <= room(platform, resource)[1] for resource in RESOURCES)


def lines(platform: Platform) -> Iterator[str]:
    """The table as text."""
    rows = table(platform)
    yield f"{platform.stack:32}" + "".join(f"{_UNITS[resource][1]:>10}" for resource in RESOURCES)
    for name, amounts in rows:
        yield _line(name, amounts)
    yield _line("requested", {resource: sum(row[resource] for _, row in rows) for resource in RESOURCES})
    yield _line("there with a node down", {resource: room(platform, resource)[1] for resource in RESOURCES})


def _line(name: str, amounts: dict[str, float]) -> str:
    return f"{name:32}" + "".join(f"{amounts[resource] / _UNITS[resource][0]:10.2f}" for resource in RESOURCES)


def main(arguments: list[str] | None = None) -> int:
    """Print the table of each stack."""
    parser = argparse.ArgumentParser(prog="python -m checks.capacity", description=__doc__)
    parser.add_argument("--stack", action="append", help="a stack; default: all of the repository")
    options = parser.parse_args(arguments)
    found = platforms(options.stack or STACKS, Sources.found(ROOT))
    print("\n\n".join("\n".join(lines(platform)) for platform in found))
    return 0 if all(fits(platform) for platform in found) else 1


if __name__ == "__main__":
    sys.exit(main())
