"""Plays the operators of one cluster until it is told to end: `python -m lab.operators --kubeconfig FILE`."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.operators.api import FAILURES, Api, Copy, RefusedError
from lab.operators.rules import CORE, CUSTOM, KINDS, RULES, SHORT_LIVED
from lab.operators.world import PLAYED_BY, Kind, Object, Outcome, outcomes

_GATHER = 0.1
"""Seconds in which further changes may arrive before the rules look."""

_AGAIN = 2.0
"""Seconds after which they look without a change, as something may have been refused."""


class Player:
    """Does what rules say, once."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._answers: dict[str, tuple[Any, Any]] = {}
        self._missing: list[str] = []

    def play(self, copy: Copy) -> None:
        """Look at the cluster once, and write what differs."""
        with copy.lock:
            if missing := copy.missing():
                if missing != self._missing:
                    print(f"not listed yet, so nothing is played: {', '.join(missing)}", flush=True)
                self._missing = missing
                return
            self._missing = []
            todo = list(outcomes(RULES, copy.world))
            known = {(each, key): item for each in KINDS for key, item in _by_place(copy.world.all(each))}
        made = set()
        for rule, item, outcome in todo:
            made |= {_place(each) for each in outcome.makes}
            for each in outcome.makes:
                self._try(self._make, each, known.get((each["kind"], _place(each)[1:])))
            self._try(self._write, rule.kind, item, outcome)
        played = {rule.kind.name for rule, _, _ in todo}
        for name, because_of in SHORT_LIVED.items():
            for (kind, _), item in known.items():
                mine = kind == name and item["metadata"].get("labels", {}).get(PLAYED_BY)
                if mine and because_of in played and _place(item) not in made:
                    self._try(self._api.request, "DELETE", _path(item))

    def _try(self, act: Any, *arguments: Any) -> None:
        """Do one thing. What is refused, because it changed meanwhile or goes, is looked at again."""
        try:
            act(*arguments)
        except RefusedError as refusal:
            if refusal.status not in (404, 409):
                print(f"refused: {refusal}", flush=True)
        except FAILURES as failure:
            print(f"no answer: {failure}", flush=True)

    def _make(self, wanted: Object, known: Object | None) -> None:
        if known is None:
            name = wanted["metadata"]["name"]
            made = self._api.request("POST", _path(wanted).removesuffix(f"/{name}"), wanted)
            if "status" in wanted and "status" not in made:
                self._api.request("PATCH", _path(wanted) + "/status", {"status": wanted["status"]})
        elif not _within(_content(wanted), known):
            self._api.request("PATCH", _path(wanted), _content(wanted))

    def _write(self, kind: Kind, item: Object, outcome: Outcome) -> None:
        path, name = _path(item), item["metadata"].get("uid", "")
        annotations = item["metadata"].get("annotations") or {}
        if any(annotations.get(each) != value for each, value in outcome.annotations.items()):
            self._api.request("PATCH", path, {"metadata": {"annotations": dict(outcome.annotations)}})
        if outcome.spec:
            # Refused if it has changed since the rule looked: a list in it would undo that.
            seen = {name: value for name, value in item["metadata"].items() if name == "resourceVersion"}
            self._api.request("PATCH", path, {"metadata": seen, "spec": dict(outcome.spec)})
        now, wanted = item.get("status") or {}, dict(outcome.status)
        if not wanted or _within(wanted, now) or self._answers.get(name) == (wanted, now):
            return
        body = {"status": _with_times(wanted, now)}
        answer = self._api.request("PATCH", path + ("/status" if kind.status_subresource else ""), body)
        # A real definition may leave out what the rule says: then equal writes change nothing.
        self._answers[name] = wanted, answer.get("status") or {}


def _with_times(wanted: dict[str, Any], now: Object) -> dict[str, Any]:
    """The status with the time at which each condition became what it is."""
    before = {each["type"]: each for each in now.get("conditions") or []}
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    timed = []
    for each in wanted.get("conditions", []):
        known = before.get(each["type"], {})
        same = known.get("status") == each["status"] and "lastTransitionTime" in known
        timed.append({**each, "lastTransitionTime": known["lastTransitionTime"] if same else moment})
    return wanted | ({"conditions": timed} if timed else {})


def _within(wanted: Any, known: Any) -> bool:
    """Whether all that is wanted is there, whatever else is. An API server leaves out maps without entries."""
    if wanted == {} and known is None:
        return True
    if isinstance(wanted, dict):
        return isinstance(known, dict) and all(_within(value, known.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(known, list) and len(wanted) == len(known) and all(map(_within, wanted, known))
    return bool(wanted == known)


def _content(item: Object) -> dict[str, Any]:
    """What a later look compares and changes."""
    kept = {name: value for name, value in item.items() if name in ("data", "type")}
    return kept | {"metadata": {name: item["metadata"].get(name) or {} for name in ("labels", "annotations")}}


def _by_place(items: list[Object]) -> list[tuple[tuple[str, str], Object]]:
    return [(_place(item)[1:], item) for item in items]


def _place(item: Object) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace") or "", item["metadata"]["name"]


def _path(item: Object) -> str:
    return KINDS[item["kind"]].path(item["metadata"].get("namespace"), item["metadata"]["name"])


def end_with(failure: threading.ExceptHookArgs) -> None:
    """End the process as soon as one of its threads fails, so that it is started anew.

    A copy that misses a kind would stay as it is for good, and nothing would become ready any more.
    """
    traceback.print_exception(failure.exc_type, failure.exc_value, failure.exc_traceback)
    sys.stderr.flush()
    os._exit(1)


def main() -> int:
    """Play until the process is ended."""
    threading.excepthook = end_with
    parser = argparse.ArgumentParser(prog="lab.operators", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--real", action="append", default=[], metavar="REPOSITORY", help="an image whose pods run")
    arguments = parser.parse_args()
    api = Api(arguments.kubeconfig)
    copy, player = Copy(api, CORE, CUSTOM, arguments.real), Player(api)
    while True:
        copy.changed.wait(_AGAIN)
        time.sleep(_GATHER)
        copy.changed.clear()
        player.play(copy)


if __name__ == "__main__":
    sys.exit(main())
