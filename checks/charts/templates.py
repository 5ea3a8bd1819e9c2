"""Which values a chart's templates use, read from their text.

Follows `.Values`, `with`, `range`, variables, named templates and the functions that pass a value on, which covers how
charts are written; it is not an implementation of Go templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from checks.charts.uses import ANY, Inclusion, Keys, Use, template

_COMMENT = re.compile(r"\{\{-?\s*/\*.*?\*/\s*-?\}\}", re.DOTALL)
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_ASSIGNMENT = re.compile(r"(?:\$\w*\s*,\s*)?(\$\w*)\s*:?=\s*(?!=)")
_TOKEN = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|`[^`]*`|'(?:\\.|[^'\\])*') | (?P<open>\() | \)(?P<close>(?:\.\w+)*)
    | (?P<pipe>\|) | (?P<chain>\$\w*(?:\.\w+)*|\.(?:\w+(?:\.\w+)*)?) | (?P<word>[^\s()|,]+)""",
    re.VERBOSE,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TEST = _words("not eq ne lt le gt ge empty kindIs kindOf typeIs typeOf len int int64 float64 semverCompare fail")
"""Functions that look at a value, and at nothing in it."""
_PASS_ON = _words(
    "and or default coalesce ternary required deepCopy mustDeepCopy merge mustMerge mergeOverwrite mustMergeOverwrite "
    "omit pick concat uniq compact without first last rest initial reverse"
)
"""Functions whose result is, or is made of, their arguments."""
_PRINT = _words("toYaml toYamlPretty mustToYaml toJson mustToJson toPrettyJson toToml tpl keys values")
"""Functions that take a map with whatever is in it."""


def scan(text: str, root: Use, places: Iterable[Keys] = ((),)) -> set[Inclusion]:
    """Add what a template's text uses to `root`, and return what it gives to named templates.

    places: where the values of the template's chart lie; a subchart's lie below its name.
    """
    scanner = _Scanner()
    for action in _ACTION.finditer(_COMMENT.sub("", text)):
        scanner.action(action.group(1))
    inclusions = set()
    for place in places:

        def placed(keys: Keys, place: Keys = place) -> Keys:
            return keys if keys[0] == "global" or keys[0].startswith("\0") else place + keys

        for keys, kind in scanner.found:
            use = root.at(placed(keys))
            use.printed |= kind == "printed"
            use.passed |= kind == "passed"
        inclusions |= {Inclusion(i.template, i.key, placed(i.value)) for i in scanner.inclusions}
    return inclusions


@dataclass(frozen=True)
class _Term:
    """A part of an expression: the values that it may be, a made map of such, a quoted text, or a function's name."""

    values: frozenset[Keys] = frozenset()
    made: Mapping[str, _Term] = field(default_factory=dict)
    text: str | None = None
    function: str = ""


_NOTHING = _Term()


def _either(terms: Iterable[_Term]) -> _Term:
    """What may be each of several terms."""
    terms = list(terms)
    names = {name for term in terms for name in term.made}
    made = {name: _either(term.made[name] for term in terms if name in term.made) for name in names}
    return _Term(frozenset(keys for term in terms for keys in term.values), made)


class _Scanner:
    """Walks the actions of one file; `found` says which values they touch, print and pass."""

    def __init__(self) -> None:
        self.found: set[tuple[Keys, str]] = set()
        self.inclusions: set[Inclusion] = set()
        self._dot = _NOTHING
        self._outer: list[tuple[str, _Term]] = []
        self._variables: dict[str, _Term] = {}

    def action(self, text: str) -> None:
        """Take one action: what stands between two pairs of braces."""
        keyword, rest = _first_word(text)
        match keyword:
            case "if" | "with" | "range" | "define" | "block":
                self._outer.append((keyword, self._dot))
                self._enter(keyword, rest)
            case "else":
                kind, outer = self._outer[-1] if self._outer else ("if", self._dot)
                self._dot = outer if kind in ("with", "range") else self._dot
                self._enter(*_first_word(rest))
            case "end":
                self._dot = self._outer.pop()[1] if self._outer else _NOTHING
            case _:
                term = self._expression(text)
                if not _ASSIGNMENT.match(text):
                    self._add(term.values, "passed")

    def _enter(self, keyword: str, expression: str) -> None:
        match keyword:
            case "if":
                self._expression(expression)
            case "with":
                self._dot = self._expression(expression)
            case "range":
                self._dot = self._expression(expression, elements=True)
            case "define" | "block":
                name = re.match(r"\"([^\"]*)\"", expression)
                self._dot = _Term(frozenset({(template(name.group(1)),)}) if name else frozenset())
                self._variables = {"$": self._dot}

    def _expression(self, text: str, *, elements: bool = False) -> _Term:
        """What an expression may be, or what is in it; a variable that it assigns is remembered."""
        assignment = _ASSIGNMENT.match(text)
        found = _TOKEN.finditer(text, assignment.end() if assignment else 0)
        tokens = [(str(match.lastgroup), match.group(str(match.lastgroup))) for match in found]
        term = self._pipeline(tokens[::-1])
        if elements:
            term = _either([self._select(term, [ANY]), *term.made.values()])
        if assignment:
            self._variables[assignment.group(1)] = term
        return term

    def _pipeline(self, tokens: list[tuple[str, str]]) -> _Term:
        """What the tokens up to the next closing parenthesis are; takes them from the list's end."""
        command: list[_Term] = []
        piped: list[_Term] = []
        while tokens:
            kind, content = tokens.pop()
            match kind:
                case "close":
                    return self._select(self._call([*command, *piped]), content.split(".")[1:])
                case "pipe":
                    piped, command = [self._call([*command, *piped])], []
                case "open":
                    command.append(self._pipeline(tokens))
                case "chain":
                    command.append(self._chain(content))
                case "text":
                    command.append(_Term(text=content[1:-1]))
                case _:
                    command.append(_Term(function=content))
        return self._call([*command, *piped])

    def _chain(self, text: str) -> _Term:
        """What `.a.b`, `$.Values.a` or `$variable.a` may be."""
        start, *fields = text.split(".")
        fields = [name for name in fields if name]
        if "Values" in fields:
            return self._select(_Term(frozenset({()})), fields[fields.index("Values") + 1 :])
        return self._select(self._variables.get(start, _NOTHING) if start else self._dot, fields)

    def _select(self, term: _Term, fields: list[str]) -> _Term:
        if not fields:
            return term
        below = frozenset((*keys, *fields) for keys in term.values)
        self._add(below, "touched")
        made = [self._select(term.made[fields[0]], fields[1:])] if fields[0] in term.made else []
        return _either([_Term(below), *made])

    def _call(self, terms: list[_Term]) -> _Term:
        """What a command is: its only term, or the result of its function."""
        if not terms or not terms[0].function:
            return terms[0] if terms else _NOTHING
        function, arguments = terms[0].function, terms[1:]
        every = _either(arguments)
        match function:
            case "index" | "get" | "hasKey" if arguments:
                return self._select(arguments[0], [ANY if a.text is None else a.text for a in arguments[1:]])
            case "dig" if len(arguments) > 2:
                return self._select(arguments[-1], [a.text for a in arguments[:-2] if a.text])
            case "dict":
                pairs = zip(arguments[::2], arguments[1::2], strict=False)
                return _Term(made={name.text: value for name, value in pairs if name.text})
            case "list" | "tuple":
                return _Term(made={ANY: every})
            case "include" | "template" if len(arguments) > 1 and arguments[0].text:
                self._include(arguments[0].text, (), arguments[1])
                return _NOTHING
        if function in _PASS_ON:
            return every
        if function not in _TEST:
            self._add(every.values, "printed" if function in _PRINT else "passed")
        return _NOTHING

    def _include(self, name: str, key: Keys, term: _Term) -> None:
        self.inclusions |= {Inclusion(name, key, keys) for keys in term.values if keys and keys != (template(name),)}
        for below, value in term.made.items():
            self._include(name, (*key, below), value)

    def _add(self, values: Iterable[Keys], kind: str) -> None:
        self.found.update((keys, kind) for keys in values if keys)


def _first_word(text: str) -> tuple[str, str]:
    word, *rest = text.split(None, 1) or [""]
    return word, rest[0] if rest else ""
