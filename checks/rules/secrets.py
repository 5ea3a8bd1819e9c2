"""Secrets: one source for each, values that stay, and none in clear."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import yaml

from checks.application_secrets import stray_findings
from checks.direct_vault import file_findings, program_findings, signs
from checks.model.objects import Object, items, mapping, walk
from checks.model.operators import external_keys
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule, there

_VARIABLE = re.compile(r"\{\{[^}]*?(?<![\w)\]\"])\.([A-Za-z_]\w*)")
_YEAR = 365 * 24
_SIGN_ON = re.compile(r"oidc|oauth|sso|client.?secret", re.IGNORECASE)


@rule(
    "generator-refresh",
    title="A generated value stays what it is",
    why="Each refresh makes another value, and what keeps the first (a database, a volume) refuses it.",
    remedy="Set refreshPolicy: CreatedOnce or refreshInterval: 0, or keep the value in Vault as other generated ones.",
)
def refreshes(platform: Platform) -> Iterator[Finding]:
    """ExternalSecrets of a generator that refresh within a year."""
    for thing in platform.of_kind("external-secrets.io", "ExternalSecret"):
        generators = _generators(thing)
        interval = str(thing.spec.get("refreshInterval", "1h"))
        if not generators or thing.spec.get("refreshPolicy") == "CreatedOnce" or not 0 < _hours(interval) < _YEAR:
            continue
        target = str(mapping(thing.spec.get("target")).get("name") or thing.name)
        users = sorted(
            {
                str(one)
                for one, need in platform.needs
                if need.kind == "Secret" and need.name == target and need.namespace == thing.namespace
            }
        )
        used = f"; {', '.join(users[:3])} use it" if users else ""
        yield finding(
            thing,
            "spec.refreshInterval",
            f"is {interval}, and the value is of {', '.join(generators)}{used}",
            thing.where,
        )


def _generators(thing: Object) -> list[str]:
    sources = [*items(thing.spec.get("dataFrom")), *items(thing.spec.get("data"))]
    references = [mapping(mapping(source.get("sourceRef")).get("generatorRef")) for source in sources]
    return [f"{one.get('kind')} {one.get('name')}" for one in references if one]


def _hours(text: str) -> float:
    units = {"h": 1.0, "m": 1 / 60, "s": 1 / 3600}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))


@rule(
    "two-sources",
    title="A credential that two sides know has one source",
    why="Each side has a value of its own, and they never agree: signing on fails.",
    remedy="Let both read the value that is in Vault: declare it in stacks/application_secrets.py.",
)
def sources(platform: Platform) -> Iterator[Finding]:
    """Generators for a credential that is also written to Vault, and paths in Vault with two writers."""
    written = _written(platform)
    drawn = list(_drawn_twice(platform, written))
    yield from drawn
    known = {one.object for one in drawn}
    for thing in platform.of_kind("external-secrets.io", "ExternalSecret"):
        generators = _generators(thing) if str(thing) not in known else []
        target = mapping(thing.spec.get("target"))
        words = (
            f"{thing.name} {target.get('name', '')} {' '.join(mapping(mapping(target.get('template')).get('data')))}"
        )
        if not generators or not _SIGN_ON.search(words):
            continue
        app = re.sub(r"[-_]?(oidc|oauth2?|sso|client|secret|credentials)[-_]?", "", thing.name) or thing.namespace
        others = sorted(
            f"{path} ({by[0]})" for path, by in written.items() if _names(path, app) or _names(path, thing.namespace)
        )
        if others:
            yield finding(
                thing,
                "spec.dataFrom.sourceRef.generatorRef",
                f"takes a value of {', '.join(generators)}, and the same credential is in Vault at {others[0]}",
                thing.where,
            )
    for path, by in written.items():
        if len(by) > 1:
            yield finding(by[1], "spec.data.match.remoteRef", f"writes {path} in Vault as {by[0]} does", by[1].where)


def _drawn_twice(platform: Platform, written: dict[str, list[Object]]) -> Iterator[Finding]:
    """ExternalSecrets that draw from a generator whose other draw is in Vault."""
    drawn = {
        (push.namespace, str(mapping(mapping(push.spec.get("selector")).get("generatorRef")).get("name"))): path
        for path, by in written.items()
        for push in by
    }
    for thing in platform.of_kind("external-secrets.io", "ExternalSecret"):
        for source in (*items(thing.spec.get("dataFrom")), *items(thing.spec.get("data"))):
            name = str(mapping(mapping(source.get("sourceRef")).get("generatorRef")).get("name"))
            if path := drawn.get((thing.namespace, name)):
                yield finding(
                    thing,
                    "spec.dataFrom.sourceRef.generatorRef",
                    f"draws a value of {name}, and another draw of it is in Vault at {path}",
                    thing.where,
                )


def _names(path: str, app: str) -> bool:
    return bool(app) and bool(re.search(rf"(^|[^a-z]){re.escape(app)}([^a-z]|$)", path))


def _written(platform: Platform) -> dict[str, list[Object]]:
    """What PushSecrets write: path and property to the writers."""
    found: dict[str, list[Object]] = defaultdict(list)
    for thing in platform.of_kind("external-secrets.io", "PushSecret"):
        for entry in items(thing.spec.get("data")):
            place = mapping(mapping(entry.get("match")).get("remoteRef"))
            found[f"{place.get('remoteKey')}#{place.get('property', '')}"].append(thing)
    return found


@rule(
    "vault-property",
    title="What is read from Vault is what something writes there",
    why="External Secrets Operator reports that the property does not exist, and makes no Secret.",
    remedy="Read a property that is written, or write this one.",
)
def properties(platform: Platform) -> Iterator[Finding]:
    """Paths and properties that no PushSecret writes."""
    written = _written(platform)
    stores = {one.name for one in _vaults(platform)}
    paths = {path.partition("#")[0] for path in written}
    for thing in platform.of_kind("external-secrets.io", "ExternalSecret"):
        if mapping(thing.spec.get("secretStoreRef")).get("name") not in stores or _given(platform, thing):
            continue
        for number, entry in enumerate(items(thing.spec.get("data"))):
            place = mapping(entry.get("remoteRef"))
            key, name = str(place.get("key") or ""), str(place.get("property") or "")
            if not key or f"{key}#{name}" in written:
                continue
            if key not in paths:
                yield finding(
                    thing,
                    f"spec.data[{number}].remoteRef.key",
                    f"is {key}, which nothing writes: {there(paths, key)}",
                    thing.where,
                )
            elif name:
                known = [path.partition("#")[2] for path in written if path.startswith(f"{key}#")]
                yield finding(
                    thing,
                    f"spec.data[{number}].remoteRef.property",
                    f"is {name}, and {key} has no such: {there(known, name)}",
                    thing.where,
                )


def _given(platform: Platform, thing: Object) -> bool:
    """Whether a person writes its values to Vault."""
    node = platform.graph.nodes.get(thing.step)
    above = platform.graph.nodes.get(node.parent) if node is not None else None
    return above is not None and above.type == "homelab:secrets:GivenSecret"


@rule(
    "template-variable",
    title="Each variable of a Secret's template has a source",
    why="The template fails, or writes <no value> into the Secret.",
    remedy="Use a name that data[].secretKey, or the generator, gives.",
)
def variables(platform: Platform) -> Iterator[Finding]:
    """Variables in the templates of ExternalSecrets that get no value."""

    def find(group: str, kind: str, namespace: str, name: str) -> Object | None:
        return next(iter(platform.find(group, kind, namespace, name)), None)

    for thing in platform.of_kind("external-secrets.io", "ExternalSecret"):
        known, unsure = external_keys(thing, find)
        if unsure:
            continue
        for key, text in mapping(mapping(mapping(thing.spec.get("target")).get("template")).get("data")).items():
            for name in dict.fromkeys(_VARIABLE.findall(str(text))):
                if name not in known:
                    problem = f"uses .{name}, which has no source: {there(known, name)}"
                    yield finding(thing, f"spec.target.template.data.{key}", problem, thing.where)


_IMPURE = re.compile(
    r"\b(rand(?:AlphaNum|Alpha|Numeric|Ascii|Bytes|Int)|uuidv4|gen(?:PrivateKey|CA\w*|SelfSignedCert\w*|SignedCert\w*)|now|htpasswd|bcrypt|encryptAES)\b"
)


@rule(
    "impure-template",
    title="A template gives the same text each time",
    why="Each rendering makes other values: pods restart, and what kept the first value refuses the new one.",
    remedy="Take the value from a Secret that is generated once.",
)
def templates(platform: Platform) -> Iterator[Finding]:
    """Functions of chance or time in own charts, and in templates within custom resources."""
    for file in sorted((platform.root / "charts").glob("*/templates/**/*")):
        if file.suffix in (".yaml", ".yml", ".tpl"):
            for number, line in enumerate(file.read_text().splitlines(), 1):
                for inside in re.findall(r"\{\{(?!/\*|- /\*)(.*?)\}\}", line):
                    for name in _IMPURE.findall(inside):
                        place = file.relative_to(platform.root)
                        yield finding(
                            f"the chart {place.parts[1]}",
                            str(place),
                            f"calls {name}, whose result changes",
                            f"{place}:{number}",
                        )
    for thing in platform.of_kind("external-secrets.io", "ExternalSecret"):
        if thing.spec.get("refreshPolicy") in ("OnChange", "CreatedOnce"):
            continue  # applied once for each change of the object (shouldRefresh in externalsecret_controller.go)
        for path, text in walk(mapping(thing.spec.get("target")).get("template")):
            for inside in re.findall(r"\{\{(.*?)\}\}", text) if isinstance(text, str) else []:
                for name in _IMPURE.findall(inside):
                    yield finding(
                        thing, f"spec.target.template.{path}", f"calls {name}, whose result changes", thing.where
                    )


_SECRET_NAME = re.compile(r"(password|passwd|secret|token|api.?key|private.?key)$", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"^(\$\{?\w|\{\{|\(secret\)|file:|/|env:)|^$|known-after-up")


@rule(
    "literal-secret",
    title="No secret is written into Git",
    why="Everybody who can read the repository knows it, and a rotation leaves it valid in the history.",
    remedy="Seal it (make seal), or declare it in stacks/application_secrets.py.",
)
def literals(platform: Platform) -> Iterator[Finding]:
    """Secrets with data in the tree of Flux, and literals where a password belongs."""
    for thing in platform.objects:
        if thing.manager.system == "flux" and thing.kind == "Secret" and thing.group == "":
            for field in ("data", "stringData"):
                for key in mapping(thing.content.get(field)):
                    yield finding(thing, f"{field}.{key}", "is in Git", thing.where)
    for one in platform.pods:
        if one.of.release is not None and not one.of.release.own:
            continue
        for place, container in one.containers():
            for number, variable in enumerate(items(container.get("env"))):
                value = str(variable.get("value") or "")
                if _SECRET_NAME.search(str(variable.get("name"))) and not _PLACEHOLDER.search(value):
                    yield finding(
                        one.of,
                        f"{place}.env[{number}].value",
                        f"gives {variable.get('name')} as a literal",
                        one.of.where,
                    )
    for release in platform.releases:
        if release.manager.system == "flux":
            given = dict(walk(release.values))
            for path, value in given.items():
                parent, _, name = path.rpartition(".")
                if (
                    isinstance(value, str)
                    and _SECRET_NAME.search(name)
                    and not re.search("existing|Ref|Key$|Name", name)
                    and not _PLACEHOLDER.search(value)
                    # The name of a Secret, with one of its keys beside it.
                    and f"{parent}.{name}Key" not in given
                ):
                    yield finding(release, f"spec.values.{path}", "gives a secret as a literal", release.where)


@rule(
    "stray-secret",
    title="Generated secrets come from the component that makes them rightly",
    why="A rotation does not know them, or their refresh locks consumers out.",
    remedy="Declare the secret in stacks/application_secrets.py.",
)
def strays(platform: Platform) -> Iterator[Finding]:
    """Objects of External Secrets Operator outside their components, or written by hand."""
    for one in stray_findings(platform.graph):
        yield finding(one.resource, "apiVersion", one.message, one.source)
    vaults = {one.name for one in _vaults(platform)}
    for thing in platform.objects:
        if thing.manager.system == "flux" and thing.group == "external-secrets.io":
            own = mapping(thing.spec.get("secretStoreRef")).get("name") in vaults or thing.kind == "PushSecret"
            if own or thing.kind == "ClusterSecretStore":
                yield finding(thing, "kind", "is made by hand, and a rotation does not know it", thing.where)


def _vaults(platform: Platform) -> list[Object]:
    stores = platform.of_kind("external-secrets.io", "ClusterSecretStore")
    return [one for one in stores if mapping(one.spec.get("provider")).get("vault")]


@rule(
    "store-namespace",
    title="A store serves the namespaces that use it",
    why="External Secrets Operator refuses the store to any other namespace: no Secret is made.",
    remedy="Declare the secret in stacks/application_secrets.py, whose component opens the store to its namespace.",
)
def stores(platform: Platform) -> Iterator[Finding]:
    """Users of a ClusterSecretStore in a namespace that its conditions leave out."""
    for kind in ("ExternalSecret", "PushSecret"):
        for thing in platform.of_kind("external-secrets.io", kind):
            named = [mapping(thing.spec.get("secretStoreRef")), *items(thing.spec.get("secretStoreRefs"))]
            for reference in named:
                found = platform.find("external-secrets.io", "ClusterSecretStore", "", str(reference.get("name") or ""))
                for store in found if reference.get("kind") == "ClusterSecretStore" else []:
                    conditions = items(store.spec.get("conditions"))
                    spaces = [space for one in conditions for space in one.get("namespaces") or []]
                    if spaces and thing.namespace not in spaces:
                        problem = f"uses {store}, whose spec.conditions has only {', '.join(spaces)}"
                        yield finding(thing, "spec.secretStoreRef", problem, thing.where)


@rule(
    "direct-vault",
    title="No application speaks to Vault itself",
    why="It would need rights in Vault that nobody grants, and know an address that is not its own.",
    remedy="Let it read a Secret.",
)
def vault(platform: Platform) -> Iterator[Finding]:
    """Addresses, variables and annotations of Vault's clients in applications."""
    found = [*program_findings(platform.graph), *file_findings(_gitops(platform))]
    for one in found:
        yield finding(one.resource, "its text", one.message, one.source)
    for thing in platform.objects:
        if thing.release is not None and thing.release.own and thing.kind != "Secret":
            for sign in sorted(set(signs(yaml.safe_dump(thing.content)))):
                yield finding(thing, "its text", f"holds {sign}", thing.where)


def _gitops(platform: Platform) -> Path:
    return platform.root / "gitops"
