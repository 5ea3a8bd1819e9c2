"""The CustomResourceDefinitions of a chart that has them in its directory `crds`, at the version that is pinned.

Owns one command that Pulumi runs when it is made and whenever chart, version or cluster has changed
(`definitions_command.py`). Helm itself would install the definitions once and never upgrade them, and an API server
silently drops each field that an old definition lacks. They are no resources of their own: in a preview there may be
neither the chart nor a network to take it from; that of Vault alone would add a megabyte to the state; and a destroy,
or a resource that leaves the program, must never delete a definition, as every object of its kind goes with it.

Does not own the release, which depends on `ready` and skips the directory. A chart whose templates have its definitions
needs none of this. Must exist before: a Kubernetes API that answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.kit.api_server import KUBECONFIG
from components.kit.chart import ChartSource
from components.kit.definitions_command import PLAN
from components.kit.entry_point import EntryPoint
from components.kit.versions import ChartPin


@dataclass(frozen=True, kw_only=True)
class ChartDefinitionsArgs:
    """Arguments of `ChartDefinitions`.

    kubeconfig: of an administrator; a secret.
    """

    charts: ChartSource
    pin: ChartPin
    kubeconfig: pulumi.Input[str]


class ChartDefinitions(pulumi.ComponentResource):
    """The kinds of one chart, in the version that its controller expects."""

    ready: command.local.Command
    """Done when the API server serves every kind."""

    def __init__(self, name: str, args: ChartDefinitionsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:kit:ChartDefinitions", name, None, opts)
        self.ready = command.local.Command(
            name,
            # Runs again for every change, as there is no other command for an update.
            create=EntryPoint.CHART_DEFINITIONS.command(),
            environment={
                PLAN: args.charts.place(args.pin).dumps(),
                KUBECONFIG: pulumi.Output.secret(args.kubeconfig),
            },
            opts=pulumi.ResourceOptions(
                parent=self, custom_timeouts=pulumi.CustomTimeouts(create="10m", update="10m", delete="2m")
            ),
        )
        self.register_outputs({"ready": self.ready.id})
