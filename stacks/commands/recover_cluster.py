"""What `make recover` asks of a cluster, through kubectl: whether an object is there, and Helm's records.

Owns nothing; changes nothing but the records that it is told to remove. The kubeconfig is in a file that nobody else
reads, for as long as the questions take.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.kit.stack_mark import ANNOTATION
from stacks.commands.stack import CommandError, kubectl, private_file

MANAGER = "pulumi-kubernetes"
"""How the name begins under which the provider makes objects: pulumi-kubernetes, provider/pkg/await/await.go."""

_TIMEOUT = "20s"
_FOUND = (
    '{{define "object"}}{{.metadata.namespace}}{{"\\n"}}{{.metadata.name}}{{"\\n"}}'
    f'{{{{with .metadata.annotations}}}}{{{{index . "{ANNOTATION}"}}}}{{{{end}}}}'
    '{{range .metadata.managedFields}}{{"\\n"}}{{.manager}}{{end}}{{end}}'
    '{{if .items}}{{template "object" index .items 0}}{{else if .metadata.name}}{{template "object" .}}{{end}}'
)
"""Whether kubectl gives one object or a list of it depends on its version."""
_NONE = "<no value>"
"""How a missing value is printed."""

_RECORDS = (
    r'{range .items[*]}{.metadata.namespace}{" "}{.metadata.labels.name}{" "}{.metadata.labels.version}'
    r'{" "}{.metadata.labels.status}{" "}{.metadata.name}{"\n"}{end}'
)


@dataclass(frozen=True, order=True)
class Record:
    """Helm's record of one revision of a release: a Secret, whose labels these are."""

    namespace: str
    release: str
    revision: int
    status: str
    secret: str


@dataclass(frozen=True)
class Cluster:
    """A cluster, by the file with its kubeconfig."""

    kubeconfig: Path
    environment: Mapping[str, str]

    @classmethod
    @contextmanager
    def of(cls, kubeconfig: str, environment: Mapping[str, str]) -> Iterator[Cluster]:
        """A cluster for as long as the context lasts.

        Args:
            kubeconfig: its text; a secret.
            environment: that of kubectl.
        """
        with private_file(kubeconfig) as file:
            yield cls(file, environment)

    def find(self, manifest: Mapping[str, Any], mark: str | None) -> str | None:
        """The provider's id of the object that a manifest names, if it is there and this stack's Pulumi made it.

        Both have to say so: the object's own mark, as the creation would have set it, and the API server's record of
        who set fields. A copy that an operator made of a marked object has the mark, and another stack's object has a
        manager of that name. Without a mark (None), which a creation by an earlier version of the program does not
        have, the record alone decides.

        The API server says whether the object belongs to a namespace. Raises CommandError when it does not answer.
        """
        printed = self._ask(
            ["get", "--filename", "-", "--ignore-not-found", "--show-managed-fields", f"--output=go-template={_FOUND}"],
            given=json.dumps(manifest),
        )
        if not printed:
            return None
        namespace, name, marked, *managers = printed.split("\n")
        ours = any(manager.startswith(MANAGER) for manager in managers) and mark in (None, marked)
        if not ours:
            return None
        return name if namespace == _NONE else f"{namespace}/{name}"

    def records(self) -> list[Record]:
        """Helm's records of every release, without what is in them. Raises CommandError as `find`."""
        printed = self._ask(
            ["get", "secrets", "--all-namespaces", "--selector", "owner=helm", "--output", f"jsonpath={_RECORDS}"]
        )
        lines = [line.split(" ") for line in printed.splitlines()]
        return [
            Record(namespace, release, int(revision), status, secret)
            for namespace, release, revision, status, secret in lines
        ]

    def remove(self, record: Record) -> None:
        """Delete a record, and nothing that its release made. Raises CommandError as `find`."""
        self._ask(["delete", "secret", record.secret, "--namespace", record.namespace, "--ignore-not-found"])

    def _ask(self, arguments: Sequence[str], given: str = "") -> str:
        asked = [*arguments, "--request-timeout", _TIMEOUT]
        try:
            return kubectl(self.kubeconfig, self.environment, *asked, given=given).stdout
        except CommandError as error:
            if "no matches for kind" in str(error):
                return ""  # its definition is not there, so neither is the object
            raise CommandError(
                f"the cluster does not answer ({error}); what is pending is still recorded: recover again when it does"
            ) from None
