"""The keypair of SealedSecrets: the site's own, which outlives cluster and state, or one generated for this state.

`SealingKey` owns the generated one; `given` takes the site's own and makes nothing. Does not own what is done with a
keypair (`sealed_secrets.py` gives it to the controller, `sealing.py` seals with its public half).
Must exist before: the TLS provider; nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

from components.secrets.sealing import COMMON_NAME, KEY_BITS, VALID_YEARS, SealingError, certificate_key


@dataclass(frozen=True)
class SealingKeypair:
    """A keypair for which Secrets are sealed."""

    certificate_pem: pulumi.Output[str]
    """The public half, for `kubeseal --cert` and `make seal`."""

    private_key_pem: pulumi.Output[str]
    """The private half; a secret."""


def given(certificate_pem: str, private_key_pem: pulumi.Input[str]) -> SealingKeypair:
    """The site's own keypair.

    Raises:
        ValueError: SealedSecrets cannot use the certificate.
    """
    try:
        certificate_key(certificate_pem)
    except SealingError as error:
        raise ValueError(f"certificate_pem: {error}") from None
    return SealingKeypair(pulumi.Output.from_input(certificate_pem), pulumi.Output.secret(private_key_pem))


class SealingKey(pulumi.ComponentResource):
    """A keypair that exists only in the state, about which it warns."""

    keypair: SealingKeypair

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:SealingKey", name, None, opts)
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
        self.keypair = SealingKeypair(certificate.cert_pem, pulumi.Output.secret(key.private_key_pem))
        self.register_outputs(
            {"certificate_pem": self.keypair.certificate_pem, "private_key_pem": self.keypair.private_key_pem}
        )
