"""SealedSecrets: a controller that decrypts what is sealed in git, with the stack's own keypair.

Owns the Helm release and the Secret with the keypair. Does not own the keypair itself (`sealing_key.py`), the sealing
(`sealing.py`) nor any SealedSecret. Must exist before: a Kubernetes API, and pods that can talk to it. A SealedSecret
depends on `ready`, which brings its CRD.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.chart import ChartSource, values
from components.kit.definitions import ChartDefinitions, ChartDefinitionsArgs
from components.kit.hook_inputs import known
from components.kit.kubernetes_object import Secret
from components.kit.release import Release
from components.kit.versions import SEALED_SECRETS
from components.secrets.sealing import Keypair, check_keypair
from components.secrets.sealing_key import SealingKeypair

NAMESPACE = "kube-system"
"""Where kubeseal looks for the controller unless it is told otherwise."""

KEYPAIR_NAME = "sealed-secrets-key"
KEYPAIR_LABELS = {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}
"""The label by which the controller finds its keypairs when it starts."""


@dataclass(frozen=True, kw_only=True)
class SealedSecretsArgs:
    """Arguments of `SealedSecrets`.

    kubeconfig: of an administrator; a secret.
    keypair: what the controller decrypts with; changing it restarts the controller.
    """

    charts: ChartSource
    kubeconfig: pulumi.Input[str]
    keypair: SealingKeypair


class SealedSecrets(pulumi.ComponentResource):
    """The sealed-secrets controller with one keypair that it never renews."""

    ready: Release
    """Up when the controller is; brings the CRD of SealedSecrets."""

    certificate: pulumi.Output[str]
    """The certificate for which Secrets are sealed; public, in PEM."""

    def __init__(self, name: str, args: SealedSecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:SealedSecrets", name, None, opts)
        fits = pulumi.ResourceHook("sealing-keypair-fits", halves_fit)
        # Before the controller, which would otherwise make its own keypair. In `data`, the form that the API returns.
        keypair = Secret(
            f"{name}-keypair",
            metadata=ObjectMetaArgs(name=KEYPAIR_NAME, namespace=NAMESPACE, labels=KEYPAIR_LABELS),
            type="kubernetes.io/tls",
            data={
                "tls.crt": args.keypair.certificate_pem.apply(_base64),
                "tls.key": args.keypair.private_key_pem.apply(_base64),
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m", delete="2m"),
                hooks=pulumi.ResourceHookBinding(before_create=[fits], before_update=[fits]),
            ),
        )
        configured: dict[str, Any] = values("sealed-secrets")
        configured["secretName"] = KEYPAIR_NAME
        # The controller reads its keypair once.
        configured["podAnnotations"] = {"homelab/sealing-certificate": args.keypair.certificate_pem.apply(_digest)}
        definitions = ChartDefinitions(
            f"{name}-definitions",
            ChartDefinitionsArgs(charts=args.charts, pin=SEALED_SECRETS, kubeconfig=args.kubeconfig),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ready = args.charts.install(
            SEALED_SECRETS,
            name,
            parent=self,
            name="sealed-secrets",
            namespace=NAMESPACE,
            values=configured,
            depends_on=[keypair, definitions.ready],
            skip_crds=True,
        )
        self.certificate = args.keypair.certificate_pem
        self.register_outputs({"release": self.ready.name, "certificate": self.certificate})


async def halves_fit(args: pulumi.ResourceHookArgs) -> None:
    """Refuses halves of two keypairs: the controller would take them, and open nothing."""
    data = await known((args.new_inputs or {})["data"])
    certificate, key = [str(await known(data[name])) for name in ("tls.crt", "tls.key")]
    check_keypair(Keypair(base64.b64decode(certificate).decode(), base64.b64decode(key).decode()))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
