"""What the program brings to a cluster for sealed secrets: its keypair, and the real chart with its values.

The chart is the one in the controller's own Go module: 2.18.4, whose files differ from 2.18.5 only in the versions that
they name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_kubernetes
import yaml

from checks.graph import record, reveal
from components.kit.chart import ChartSource
from components.secrets.sealed_secrets import SealedSecrets, SealedSecretsArgs
from components.secrets.sealing import make_keypair
from components.secrets.sealing_key import given
from lab.golang import LAB, find_go
from lab.programs import ensure
from tests.servers.processes import run

MODULE = "github.com/bitnami-labs/sealed-secrets"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Installation:
    """What the program brings to a cluster."""

    certificate: str
    objects: list[Manifest]
    """The keypair Secret, then what the chart renders with the program's values."""

    @property
    def pod(self) -> Manifest:
        """The spec of the controller's pod."""
        [deployment] = [item for item in self.objects if item["kind"] == "Deployment"]
        return dict(deployment["spec"]["template"]["spec"])


def installation(directory: Path) -> Installation:
    """The components' objects for a keypair of its own; `directory` is for the chart's values."""
    pair = make_keypair()
    # As `pulumi config set` keeps them: without the last line break.
    certificate, private = pair.certificate_pem.rstrip(), pair.private_key_pem.rstrip()

    def program() -> None:
        kubernetes = pulumi_kubernetes.Provider("kubernetes", kubeconfig="{}")
        options = pulumi.ResourceOptions(providers=[kubernetes, command.Provider("command")])
        made = SealedSecretsArgs(charts=ChartSource(), kubeconfig="{}", keypair=given(certificate, private))
        SealedSecrets("sealed-secrets", made, options)

    graph = record(program)
    release = reveal(graph["kubernetes:helm.sh/v3:Release sealed-secrets"].inputs)
    keypair = reveal(graph["kubernetes:core/v1:Secret sealed-secrets-keypair"].inputs)
    values = directory / "values.yaml"
    values.write_text(yaml.safe_dump(release["values"]))
    rendered = run(
        [
            *(str(ensure(["helm"])["helm"].path), "template", release["name"], str(chart())),
            *("--namespace", release["namespace"], "--values", str(values), "--include-crds"),
        ]
    )
    return Installation(certificate, [keypair, *filter(None, yaml.safe_load_all(rendered))])


def chart() -> Path:
    """The chart's directory in the controller's module."""
    downloaded = run([find_go(), "mod", "download", "-json", MODULE], directory=LAB / "tools" / "sealed-secrets")
    return Path(json.loads(downloaded)["Dir"]) / "helm" / "sealed-secrets"
