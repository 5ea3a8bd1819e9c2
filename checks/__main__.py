"""Finds faults of a platform before anything of it is created.

    python -m checks                      check every stack of the repository
    python -m checks --stack prod         check one
    python -m checks --plan plan.json     also against a Terraform plan (terraform show -json)
    python -m checks --explain RULE       say what a rule is for
    python -m checks --json, --sarif      print findings for programs
    python -m checks --graph FILE         also draw the platform as a page for a browser
    python -m checks --stack prod --deployed FILE
                                          check nothing: write the objects that Flux deploys, as JSON

Exit status 1 with findings, 2 where it could not check.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from checks.deployed import deployed
from checks.examination import STACKS, Examined, examined_together, merged, platforms
from checks.model.building import Sources
from checks.picture import page
from checks.program import ROOT
from checks.report import as_json, as_sarif, as_text, explained
from checks.rules.all import RULES
from checks.rules.rule import Finding
from checks.waivers import FILE, Waivers


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _options(arguments)
    if options.explain:
        print(explained(RULES[options.explain]))
        return 0
    start = time.perf_counter()
    try:
        sources = Sources.found(ROOT, options.plan)
        if options.deployed:
            [platform] = platforms(options.stack, sources)
            options.deployed.write_text(json.dumps(deployed(platform), sort_keys=True, default=str))
            return 0
        waivers = Waivers.read(options.waivers)
        found = examined_together(options.stack or STACKS, sources, draw=options.graph is not None)
        findings = waivers.applied(merged(found))
    except ValueError as error:
        print(f"checks: {error}", file=sys.stderr)
        return 2
    if options.graph:
        drawings = {one.stack: one.drawing for one in found if one.drawing is not None}
        options.graph.write_text(page(drawings, findings), encoding="utf-8")
    form = as_json if options.json else as_sarif if options.sarif else as_text
    print(form(findings, RULES), end="")
    if not (options.json or options.sarif):
        _summary(found, findings, time.perf_counter() - start)
    return 1 if findings else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m checks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", action="append", help="a stack to check; default: all of the repository")
    parser.add_argument("--plan", action="append", type=Path, default=[], help="a Terraform plan in JSON")
    parser.add_argument("--graph", type=Path, metavar="FILE", help="write the platform as a page for a browser")
    parser.add_argument("--waivers", type=Path, default=FILE, help="the waivers; default: checks/waivers.yaml")
    parser.add_argument("--explain", choices=sorted(RULES), metavar="RULE", help="say what a rule is for")
    parser.add_argument("--deployed", type=Path, help="write what Flux deploys of the one --stack to this file")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print findings as JSON")
    forms.add_argument("--sarif", action="store_true", help="print findings as SARIF 2.1.0, for pull requests")
    options = parser.parse_args(arguments)
    if options.deployed and len(options.stack or []) != 1:
        parser.error("--deployed is about one stack: name it with --stack")
    return options


def _summary(found: Sequence[Examined], findings: Sequence[Finding], seconds: float) -> None:
    said = [f"{one.stack}: {one.objects} objects, {one.releases} releases" for one in found]
    said += [f"unknown is what a chart makes, {text}" for text in sorted(set().union(*(one.absent for one in found)))]
    times = {rule: sum(one.seconds[rule] for one in found) for rule in RULES}
    slow = sorted(times.items(), key=lambda item: -item[1])
    said.append("rules: " + ", ".join(f"{name} {1000 * took:.0f} ms" for name, took in slow))
    said.append(f"{len(findings) or 'no'} findings by {len(RULES)} rules in {seconds:.1f} s")
    print("\n".join(f"checks: {line}" for line in said), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
