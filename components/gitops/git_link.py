"""What links the cluster's own Git server with Flux and with the seed.

Owns one Secret in that server's namespace, which says whom a push is told to, and from where to where newest commits
go. Does not own what acts on it: that is beside the server in the repository (`gitops/gitea/hand-over/`), as it needs
the server. Must exist before: the namespace and the Receiver.

Gitea cannot do it by itself: it pushes to no address of SSH (`IsMigrateURLAllowed` in services/migrations/migrate.go of
https://github.com/go-gitea/gitea), and webhooks are made through its API alone. The direction follows the setting: the
side that Flux does not read gets what the other one has.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.gitops.hand_over import DeployKey
from components.kit.kubernetes_object import Secret

SECRET: Final = "flux-hand-over"  # noqa: S105 - the name of a Secret

_REPOSITORY: Final = re.compile(r"/([A-Za-z0-9][A-Za-z0-9._-]*)/([A-Za-z0-9._-]+?)(\.git)?")
"""The path of a repository of Gitea: its owner and its name."""


def repository_of(url: str) -> tuple[str, str] | None:
    """Owner and name of the repository that a URL of Gitea names; None if it names none."""
    found = _REPOSITORY.fullmatch(urlsplit(url).path)
    return (found.group(1), found.group(2)) if found else None


@dataclass(frozen=True, kw_only=True)
class GitLinkArgs:
    """Arguments of `GitLink`.

    namespace: of the cluster's own Git server.
    webhook, token: where a push is told, and with what that is signed; secrets.
    own, seed, branch: URLs of the repository in it and outside the cluster, and the branch that is deployed.
    from_own: whether Flux reads the cluster's own server, so that the seed follows; else that server follows the seed.
    key: what reads and writes the seed over SSH; None if nothing does, and then a seed over SSH is left alone, as is
        one over HTTPS that had to be written.
    """

    namespace: pulumi.Input[str]
    webhook: pulumi.Input[str]
    token: pulumi.Input[str]
    own: str
    seed: str
    branch: str
    from_own: bool
    key: DeployKey | None

    def __post_init__(self) -> None:
        if repository_of(self.own) is None:
            raise ValueError(f"own: {self.own!r} names no repository; give a URL that ends in /<owner>/<name>.git")

    def data(self) -> dict[str, pulumi.Input[str]]:
        """The Secret's content by key, as text."""
        parts = urlsplit(self.own)
        owner, name = repository_of(self.own) or ("", "")
        known: dict[str, pulumi.Input[str]] = {
            "own": self.own,
            "address": f"{parts.scheme}://{parts.netloc}",
            "owner": owner,
            "name": name,
            "branch": self.branch,
            "webhook-url": self.webhook,
            "webhook-token": self.token,
        }
        return known | self._direction()

    def _direction(self) -> dict[str, pulumi.Input[str]]:
        if self.key is None and (self.from_own or self.seed.startswith("ssh://")):
            return {}
        source, target = (self.own, self.seed) if self.from_own else (self.seed, self.own)
        ends: dict[str, pulumi.Input[str]] = {"from": source, "to": target}
        if self.key is not None:
            ends |= {"identity": self.key.private_key, "known_hosts": self.key.known_hosts}
        return ends


class GitLink(pulumi.ComponentResource):
    """Where the cluster's own Git server finds Flux and the seed."""

    secret: Secret

    def __init__(self, name: str, args: GitLinkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:gitops:GitLink", name, None, opts)
        self.secret = Secret(
            name,
            metadata=ObjectMetaArgs(name=SECRET, namespace=args.namespace),
            type="Opaque",
            # In `data`, the form that the API returns.
            data={key: pulumi.Output.secret(value).apply(_base64) for key, value in args.data().items()},
            opts=pulumi.ResourceOptions(
                parent=self,
                custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m", delete="2m"),
            ),
        )
        self.register_outputs({"secret": SECRET})


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
