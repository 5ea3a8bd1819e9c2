"""`python -m checks.charts`: see the package. Exit status 1 with findings, 2 for invalid arguments."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

from checks.charts.examine import Examination, examine
from checks.charts.gitops import of_platform, of_repository, platforms
from checks.charts.making import kinds_of, note
from checks.charts.record import FILE, read, unrecorded, write
from checks.charts.releases import of_graph, pins
from checks.crds import schema_findings
from checks.model.building import site_of
from checks.model.records import DIRECTORY
from checks.program import recorded

STACKS = ("lab", "prod")
"""The stacks whose values are looked up."""


def main(arguments: list[str] | None = None) -> int:
    """Run the check and return its exit status."""
    options = _options(arguments)
    try:
        releases = of_repository(STACKS, options.manifests)
        pinned = pins(releases)
        result = examine(releases, mirror=options.mirror, helm=options.helm, only_present=options.only_present)
    except ValueError as error:
        print(error)
        return 1
    findings = [*result.findings]
    if options.mirror is None:
        findings += unrecorded(releases, read(options.checked))
    elif options.record and not findings:
        kept = {name: entry for name, entry in read(options.checked).items() if name in pinned}
        write({**kept, **result.checked}, options.checked)
        _note(options)
    for stack in STACKS if result.crds else ():
        findings += schema_findings(recorded(stack), result.crds)
    for finding in sorted(set(findings)):
        print(finding)
    _summary(options, pinned, result)
    return 1 if findings else 0


def _note(options: argparse.Namespace) -> None:
    """Record what the charts make, for each stack."""
    found = []
    kinds: set[str] = set()
    for made in platforms(STACKS, options.manifests):
        releases = [*of_graph(made.graph, made.settings["versions"]["kubernetes"]), *of_platform(made)]
        found += [(release, site_of(made.settings)) for release in releases]
        kinds |= kinds_of(made)
    note(found, mirror=options.mirror, helm=options.helm, kinds=kinds, source=options.source, directory=options.records)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m checks.charts", description=__doc__)
    parser.add_argument("--mirror", type=Path, help="directory with <chart>-<version>.tgz files, as in charts.mirror")
    parser.add_argument("--only-present", action="store_true", help="accept charts that are not in the mirror")
    parser.add_argument("--record", action="store_true", help="write what was looked up, if all of it is known")
    parser.add_argument("--checked", type=Path, default=FILE, help="the record; default: charts/checked.yaml")
    parser.add_argument("--records", type=Path, default=DIRECTORY, help="what charts make; default: charts/records")
    parser.add_argument("--source", default="the publisher's archive", help="where the charts came from, in words")
    parser.add_argument("--helm", type=Path, help="the helm to render with; default: the one on PATH")
    parser.add_argument("--manifests", type=Path, help="the program that builds gitops/; default: the one on PATH")
    options = parser.parse_args(arguments)
    if options.mirror is None and os.environ.get("CHARTS_MIRROR") and "://" not in os.environ["CHARTS_MIRROR"]:
        options.mirror = Path(os.environ["CHARTS_MIRROR"])
    if options.mirror is not None and not options.mirror.is_dir():
        parser.error(f"{options.mirror} is not a directory: give one with <chart>-<version>.tgz files")
    for name in ("helm", "manifests"):
        found = getattr(options, name) or shutil.which(name)
        setattr(options, name, Path(found) if found else None)
    if options.record and (options.mirror is None or options.helm is None):
        parser.error("--record needs --mirror, and helm on PATH or --helm: what it records was looked up and rendered")
    return options


def _summary(options: argparse.Namespace, pinned: Collection[str], result: Examination) -> None:
    held = f", {len(result.checked)} looked up in {options.mirror}" if options.mirror else ""
    notes = [f"{len(pinned)} pinned{held}"]
    notes += [f"not there: {name}" for name in sorted(result.missing)]
    notes += [f"anything passes where a schema refers to {url}: not fetched" for url in sorted(result.unchecked)]
    notes += ["helm was not found: nothing was rendered"] if options.mirror and not options.helm else []
    print("\n".join(f"charts: {note}" for note in notes), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
