"""Alloy's configuration, by Alloy's own parser and evaluator, and by what its components take and hand on.

Alloy itself is not built: it is linked with Loki, which is under the AGPL. `alloy.yaml` has what its source says.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.gitops.tree import releases
from checks.model.records import read
from lab.programs import ensure

KNOWN: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("alloy.yaml").read_text())
COMPONENTS: dict[str, Any] = KNOWN["components"]

_TYPES: dict[str, Any] = {"string": str, "boolean": bool, "number": (int, float)}

Block = dict[str, Any]


def text() -> str:
    [found] = [one for one in releases() if one.name == "alloy"]
    return str(found.values["alloy"]["configMap"]["content"])


def parsed(configuration: str) -> subprocess.CompletedProcess[str]:
    program = ensure(["alloy-syntax"])["alloy-syntax"].path
    return subprocess.run([str(program)], input=configuration, capture_output=True, text=True, timeout=60, check=False)


def misfits(configuration: str) -> list[str]:
    """What Alloy would have against a configuration."""
    done = parsed(configuration)
    if done.returncode:
        return [done.stderr.strip()]
    blocks: list[Block] = json.loads(done.stdout)
    made = {f"{one['name']}.{one['label']}": one["name"] for one in blocks}
    times = Counter(f"{one['name']}.{one['label']}" for one in blocks)
    found = [f"{name} is there {count} times" for name, count in times.items() if count > 1]
    for one in blocks:
        if one["name"] not in COMPONENTS:
            found.append(f"{one['name']} is no component")
        else:
            at = f"{one['name']}.{one['label']}"
            found += _inside(at, one, COMPONENTS[one["name"]]["arguments"], made)
    return found


def _inside(at: str, block: Block, known: Mapping[str, Any], made: Mapping[str, str]) -> Iterator[str]:
    names = {name.removesuffix("!"): form for name, form in known.items()}
    there = {*block["attributes"], *(one["name"] for one in block["blocks"])}
    for name in known:
        if name.endswith("!") and name[:-1] not in there:
            yield f"{at}: {name[:-1]} is missing"
    for name, said in block["attributes"].items():
        form = names.get(name)
        if form is None or isinstance(form, Mapping):
            yield f"{at}: {name} is no argument"
        else:
            yield from _value(f"{at}.{name}", said, form, made)
    for one in block["blocks"]:
        form = names.get(one["name"])
        if isinstance(form, Mapping):
            yield from _inside(f"{at}.{one['name']}", one, form, made)
        else:
            yield f"{at}: {one['name']} is no block"


def _value(at: str, said: Mapping[str, Any], form: Any, made: Mapping[str, str]) -> Iterator[str]:
    inner = form[0] if isinstance(form, list) else form
    for reference in said["references"]:
        component, _, export = reference.rpartition(".")
        if component not in made:
            yield f"{at}: there is no {component}"
        elif (handed := COMPONENTS[made[component]]["exports"].get(export)) != inner:
            yield f"{at}: {reference} is {handed or 'not exported'}, no {inner}"
    if not said["references"] and form != "any":
        values = said["value"] if isinstance(form, list) else [said["value"]]
        if not isinstance(values, list) or not all(_is(value, inner) for value in values):
            yield f"{at}: {said['value']!r} is no {form}"


def _is(value: Any, form: str) -> bool:
    kind = _TYPES.get(form)
    return kind is not None and isinstance(value, kind) and (form == "boolean" or not isinstance(value, bool))


def test_alloy_is_told_only_what_it_knows_and_all_that_it_must_be() -> None:
    assert misfits(text()) == []


def test_the_table_is_of_the_release_that_is_deployed() -> None:
    images = {
        container["image"].rpartition(":")[2]
        for made in read()["alloy"].made
        for one in made.objects
        if one["kind"] == "DaemonSet"
        for container in one["spec"]["template"]["spec"]["containers"]
        if container["name"] == "alloy"
    }
    assert images == {KNOWN["version"]}


def test_the_table_has_no_component_that_is_not_there() -> None:
    blocks: list[Block] = json.loads(parsed(text()).stdout)
    assert {one["name"] for one in blocks} == set(COMPONENTS)


WRONG = {
    "a brace that is missing": ("tls {", "tls", "config.alloy:"),
    "a component that is misspelt": ("loki.write ", "loki.writes ", "loki.writes is no component"),
    "an argument that is misspelt": ("role = ", "rule = ", "role is missing"),
    "a block that is misspelt": ("  endpoint {", "  endpoints {", "endpoints is no block"),
    "a value of another type": ("insecure = true", 'insecure = "true"', "'true' is no boolean"),
    "a component that is not there": (
        "loki.write.logs.receiver",
        "loki.write.log.receiver",
        "there is no loki.write.log",
    ),
    "an export that is not there": (".pods.output", ".pods.targets", "is not exported, no targets"),
    "an export of another kind": (
        "loki.write.logs.receiver",
        "discovery.relabel.pods.output",
        "is targets, no receiver",
    ),
    "a component that is there twice": ('loki.write "', 'loki.write "logs" {\n}\nloki.write "', "2 times"),
    "a function that is not there": ("sys.env(", "sys.environment(", "config.alloy:"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_alloy_would_refuse_is_found(wrong: str) -> None:
    right, changed, told = WRONG[wrong]
    assert right in text()
    assert told in "; ".join(misfits(text().replace(right, changed, 1)))
