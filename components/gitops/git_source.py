"""Where the applications' repository is read: at the seed, or at the cluster's own Git server.

Owns a GitRepository that shows what the cluster's own server has, from which nothing is deployed, and one command that
Pulumi runs when the source is set to that server (`git_source_command.py`). Does not own the GitRepository that Flux
deploys from: that takes `url`. Must exist before: Flux.

A stack at the seed has none of this, so the way back is one changed URL that nothing refuses: it is also the way out
when the cluster's own server is lost. A new cluster begins with the seed whatever the setting says, and stays there
until the setting has been `seed` and `self` again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_command as command
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.gitops.defaults import SOURCE_API
from components.gitops.flux import Flux
from components.gitops.git_source_command import PLAN, Plan
from components.gitops.hand_over import REPOSITORY
from components.kit.api_server import KUBECONFIG
from components.kit.entry_point import EntryPoint

CANDIDATE: Final = f"{REPOSITORY}-own"
"""Name of the GitRepository that shows what the cluster's own server has."""


@dataclass(frozen=True, kw_only=True)
class GitSourceArgs:
    """Arguments of `GitSource`.

    seed, own: URLs of the repository outside the cluster, and in the cluster's own Git server.
    kubeconfig: of an administrator; a secret.
    """

    flux: Flux
    seed: str
    own: str
    branch: str
    kubeconfig: pulumi.Input[str]


class GitSource(pulumi.ComponentResource):
    """The decision which of the two is read."""

    url: pulumi.Output[str]
    """Where the repository is read."""

    def __init__(self, name: str, args: GitSourceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:gitops:GitSource", name, None, opts)
        # Not awaited: in a new cluster there is nobody yet who would answer.
        candidate = CustomResource(
            f"{name}-own",
            api_version=SOURCE_API,
            kind="GitRepository",
            metadata=ObjectMetaArgs(name=CANDIDATE, namespace=args.flux.namespace),
            spec={"interval": "10m", "timeout": "60s", "url": args.own, "ref": {"branch": args.branch}},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.flux.ready],
                custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m", delete="2m"),
            ),
        )
        plan = Plan(
            namespace=args.flux.namespace, repository=REPOSITORY, candidate=CANDIDATE, seed=args.seed, own=args.own
        )
        decision = command.local.Command(
            name,
            # Runs again for every change, as there is no other command for an update.
            create=EntryPoint.GIT_SOURCE.command(),
            environment={PLAN: plan.dumps(), KUBECONFIG: pulumi.Output.secret(args.kubeconfig)},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[candidate],
                custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m", delete="2m"),
            ),
        )
        # The answer is one of two URLs of the settings; only the variables of the command are secret.
        self.url = pulumi.Output.unsecret(decision.stdout).apply(lambda said: self._told(said.strip(), args.seed))
        self.register_outputs({"url": self.url})

    def _told(self, url: str, seed: str) -> str:
        if url == seed:
            pulumi.log.warn(
                f"the applications still come from {seed}, as the cluster is newer than its own Git server; once that "
                "has the same commits, set homelab:gitops.source to seed, `pulumi up`, to self, and `pulumi up` again",
                self,
            )
        return url
