"""The Receiver: a commit is deployed when it is pushed, not when Flux next looks.

Owns the token, its Secret and the Receiver. Does not own the webhook in the Git server, which sends to `url` and signs
with the token. Must exist before: Flux and the GitRepository; a provider for pulumi-random.

It is reached from inside the cluster alone, so by the cluster's own Gitea and not by a seed on another host, at which
Flux looks once a minute. Of type `github`, which checks a signature over what is sent, and which Gitea sends as well:
X-Hub-Signature-256 and X-GitHub-Event in services/webhook/deliver.go of https://github.com/go-gitea/gitea, and
internal/server/receiver_handlers.go of https://github.com/fluxcd/notification-controller.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_random as random
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.gitops.defaults import SOURCE_API
from components.gitops.flux import RECEIVER, Flux
from components.gitops.hand_over import REPOSITORY, HandOver
from components.kit.kubernetes_object import Secret
from components.kit.readiness import READY

NAME: Final = "homelab"
"""Of the Receiver."""

SECRET: Final = "webhook-token"  # noqa: S105 - the name of a Secret
"""The Secret that has the token, under the key that Flux reads."""

TOKEN: Final = "token"  # noqa: S105 - the name of a key

_API: Final = "notification.toolkit.fluxcd.io/v1"


@dataclass(frozen=True, kw_only=True)
class ReceiverArgs:
    """Arguments of `Receiver`."""

    flux: Flux
    hand_over: HandOver


class Receiver(pulumi.ComponentResource):
    """Where news of the repository goes."""

    token: pulumi.Output[str]
    """With which a sender signs; a secret."""

    url: pulumi.Output[str]
    """Where a sender sends to. A secret too: whoever knows it and the token can only make Flux look."""

    ready: CustomResource

    def __init__(self, name: str, args: ReceiverArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:gitops:Receiver", name, None, opts)
        namespace = args.flux.namespace
        generated = random.RandomPassword(
            f"{name}-token", length=48, special=False, opts=pulumi.ResourceOptions(parent=self)
        )
        self.token = pulumi.Output.secret(generated.result)
        self.url = self.token.apply(lambda token: f"{RECEIVER}/hook/{_digest(token, namespace)}")
        secret = Secret(
            f"{name}-secret",
            metadata=ObjectMetaArgs(name=SECRET, namespace=namespace),
            type="Opaque",
            data={TOKEN: self.token.apply(lambda token: base64.b64encode(token.encode()).decode())},
            opts=self._options(args.flux.ready),
        )
        self.ready = CustomResource(
            name,
            api_version=_API,
            kind="Receiver",
            metadata=ObjectMetaArgs(name=NAME, namespace=namespace, annotations=READY),
            spec={
                "type": "github",
                "events": ["ping", "push"],
                "secretRef": {"name": SECRET},
                "resources": [{"apiVersion": SOURCE_API, "kind": "GitRepository", "name": REPOSITORY}],
            },
            opts=self._options(secret, args.hand_over.source),
        )
        self.register_outputs({"ready": self.ready.id})

    def _options(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self,
            depends_on=list(after),
            custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m", delete="2m"),
        )


def _digest(token: str, namespace: str) -> str:
    """The end of the path at which the Receiver listens: `GetWebhookPath` in api/v1/receiver_types.go of Flux."""
    return hashlib.sha256(f"{token}{NAME}{namespace}".encode()).hexdigest()
