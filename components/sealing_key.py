"""The keypair of SealedSecrets: the site's own, which outlives cluster and state, or one made for this state.

Owns the generated keypair when none is given. Does not own what is done with it (`sealed_secrets.py` gives it to the
controller, `sealing.py` seals with its public half). Nothing must exist before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

from components.sealing import COMMON_NAME, KEY_BITS, VALID_YEARS, SealingError, certificate_key


@dataclass(frozen=True, kw_only=True)
class SealingKeyArgs:
    """Arguments of `SealingKey`: both halves of a keypair, or neither.

    certificate_pem: of an RSA key. private_key_pem: its key, a secret.
    """

    certificate_pem: str | None
    private_key_pem: pulumi.Input[str] | None

    def __post_init__(self) -> None:
        if (self.certificate_pem is None) != (self.private_key_pem is None):
            there, missing = ("certificate_pem", "private_key_pem")[:: 1 if self.certificate_pem else -1]
            raise ValueError(
                f"{missing}: missing, but {there} is given, and the two are one keypair; give both or none"
            )
        if self.certificate_pem is not None:
            try:
                certificate_key(self.certificate_pem)
            except SealingError as error:
                raise ValueError(f"certificate_pem: {error}") from None


class SealingKey(pulumi.ComponentResource):
    """A keypair for which Secrets are sealed."""

    certificate_pem: pulumi.Output[str]
    """The public half, for `kubeseal --cert` and `make seal`."""

    private_key_pem: pulumi.Output[str]
    """The private half; a secret."""

    def __init__(self, name: str, args: SealingKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:SealingKey", name, None, opts)
        if args.certificate_pem is not None and args.private_key_pem is not None:
            self.certificate_pem = pulumi.Output.from_input(args.certificate_pem)
            self.private_key_pem = pulumi.Output.secret(args.private_key_pem)
        else:
            pulumi.log.warn(
                "SealedSecrets gets a keypair that lives in this stack's state only: whatever is sealed for it, in git "
                "too, is lost with the state. Give the stack one that stays: make sealing-key STACK=<stack>",
                self,
            )
            child = pulumi.ResourceOptions(parent=self)
            key = tls.PrivateKey(f"{name}-private", algorithm="RSA", rsa_bits=KEY_BITS, opts=child)
            certificate = tls.SelfSignedCert(
                f"{name}-certificate",
                private_key_pem=key.private_key_pem,
                subject=tls.SelfSignedCertSubjectArgs(common_name=COMMON_NAME),
                validity_period_hours=VALID_YEARS * 365 * 24,
                allowed_uses=["data_encipherment", "key_encipherment"],
                opts=child,
            )
            self.certificate_pem = certificate.cert_pem
            self.private_key_pem = pulumi.Output.secret(key.private_key_pem)
        self.register_outputs({"certificate_pem": self.certificate_pem, "private_key_pem": self.private_key_pem})
