"""Which values a template's text is seen to use."""

from __future__ import annotations

import pytest

from checks.charts.templates import scan
from checks.charts.uses import ANY, Use, resolve


def uses(text: str) -> Use:
    root = Use()
    resolve(root, scan(text, root))
    return root


def leaves(use: Use, path: str = "") -> set[str]:
    """Each path that is used and has none below it; `!` marks one that is printed as it is."""
    below = [leaves(child, f"{path}.{key}") for key, child in use.children.items() if not key.startswith("\0")]
    return set().union(*below) if below else {path.lstrip(".") + ("!" if use.printed else "")}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{{ .Values.a.b }}", "a.b"),
        ("{{- $.Values.a.b | quote -}}", "a.b"),
        ("{{ if and .Values.a.b (not .Values.a.c) }}{{ end }}", "a.b a.c"),
        ("{{ (.Values.a).b }}", "a.b"),
        ('{{ index .Values "a" "b-c" }}', "a.b-c"),
        ('{{ get .Values.a "b" }}', "a.b"),
        ('{{ dig "a" "b" "fallback" .Values }}', "a.b"),
        ('{{ if hasKey .Values.a "b" }}{{ end }}', "a.b"),
        ("{{ with .Values.a }}{{ .b }}{{ end }}", "a.b"),
        ("{{ with .Values.a }}{{ else }}{{ .b }}{{ end }}", "a"),
        ("{{ with .Values.a }}{{ else with .Values.b }}{{ .c }}{{ end }}", "a b.c"),
        ("{{ with .Values.a }}{{ if .b }}{{ else }}{{ .c }}{{ end }}{{ end }}", "a.b a.c"),
        ("{{ with .Values.a }}{{ end }}{{ .b }}", "a"),
        ("{{ with (default .Values.a .Values.b) }}{{ .c }}{{ end }}", "a.c b.c"),
        ("{{ range .Values.a }}{{ .b }}{{ end }}", f"a.{ANY}.b"),
        ("{{ range $i, $x := .Values.a }}{{ $x.b }}{{ end }}", f"a.{ANY}.b"),
        ("{{ $x := .Values.a }}{{ $x.b }}", "a.b"),
        ("{{ toYaml .Values.a }}", "a!"),
        ("{{ .Values.a | default dict | toYaml | nindent 4 }}", "a!"),
        ("{{ with .Values.a }}{{ toYaml . | indent 2 }}{{ end }}", "a!"),
        ('{{ toYaml (omit .Values.a "enabled") }}', "a!"),
        ("{{/* .Values.a */}}{{- /* .Values.b */ -}}", ""),
        ("{{ .Release.Name }} .Values.a", ""),
    ],
)
def test_a_template_uses(text: str, found: str) -> None:
    assert leaves(uses(text)) == (set(found.split()) or {""})


@pytest.mark.parametrize(
    ("include", "define", "found"),
    [
        ('{{ include "x" .Values.a }}', "{{ .b }}", "a.b"),
        ('{{ include "x" (dict "v" .Values.a "root" $) }}', "{{ toYaml .v }}", "a!"),
        ('{{ include "x" (dict "v" .Values.a "root" $) }}', "{{ .v.b }}{{ .root.Values.c }}", "a.b c"),
        ('{{ template "x" . }}', "{{ .Values.a.b }}", "a.b"),
        ('{{ range (list .Values.a .Values.b) }}{{ include "x" . }}{{ end }}', "{{ .c }}", "a.c b.c"),
    ],
)
def test_a_named_template_uses_what_it_is_given(include: str, define: str, found: str) -> None:
    assert leaves(uses(f'{include}{{{{ define "x" }}}}{define}{{{{ end }}}}')) == set(found.split())


def test_a_named_template_that_includes_itself_ends() -> None:
    define = '{{ define "x" }}{{ range .v }}{{ .b }}{{ include "x" (dict "v" .) }}{{ end }}{{ end }}'
    found = leaves(uses(define + '{{ include "x" (dict "v" .Values.a) }}'))
    assert {f"a.{ANY}.b", f"a.{ANY}.{ANY}.b"} <= found


def test_the_values_of_a_subchart_are_found_below_its_name() -> None:
    root = Use()
    scan("{{ .Values.a }}{{ .Values.global.b }}", root, [("sub",)])
    assert leaves(root) == {"sub.a", "global.b"}
