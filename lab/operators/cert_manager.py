"""cert-manager's issuers and certificates; a certificate is a line that names who signed it: nobody here reads more.

After pkg/issuer/*/setup.go, pkg/controller/certificaterequests/sync.go and
internal/controller/certificates/policies/checks.go of cert-manager 1.21.
"""

from __future__ import annotations

from typing import Any

from lab.operators.world import Kind, Object, Outcome, Rule, World, condition, holds, owned_by, secret, value

API = "cert-manager.io/v1"
CERTIFICATE = Kind("Certificate", API, "certificates")
REQUEST = Kind("CertificateRequest", API, "certificaterequests")
ISSUER = Kind("Issuer", API, "issuers")
CLUSTER_ISSUER = Kind("ClusterIssuer", API, "clusterissuers", namespaced=False)

OPERATOR = "cert-manager"
TEMPORARY = "cert-manager.io/issue-temporary-certificate"


def authority(issuer: str) -> str:
    """What `ca.crt` holds beside a certificate of that issuer, and what a client has to trust."""
    return f"the lab's certificate of the authority {issuer}"


def _issuer(item: Object, world: World) -> Outcome | None:
    spec = item["spec"]
    if "selfSigned" in spec:
        return _ready(item, True, "IsReady", "")
    if "ca" in spec:
        return _signing(item, spec["ca"]["secretName"], world)
    if "acme" in spec:
        account = secret(spec["acme"]["privateKeySecretRef"]["name"], _place(item, world), {"tls.key": "the lab's key"})
        made = _ready(item, True, "ACMEAccountRegistered", "The ACME account was registered with the ACME server")
        return Outcome(made.status, [account])
    return _ready(item, False, "ErrorInitIssuer", "Error initializing issuer: no issuer specified for Issuer")


def _place(issuer: Object, world: World) -> str:
    """Where an issuer's Secrets are: beside it, or, of one of the cluster, beside cert-manager."""
    namespace: str | None = issuer["metadata"].get("namespace")
    operator = world.operator(OPERATOR)
    return namespace or ("" if operator is None else operator["metadata"]["namespace"])


def _signing(item: Object, name: str, world: World) -> Outcome:
    keypair = world.find("Secret", name, _place(item, world))
    problem = "Error getting keypair for CA issuer: "
    if keypair is None:
        return _ready(item, False, "ErrGetKeyPair", f'{problem}secret "{name}" not found')
    if value(keypair, "tls.crt") is None or value(keypair, "tls.key") is None:
        missing = "tls.crt" if value(keypair, "tls.crt") is None else "tls.key"
        return _ready(item, False, "ErrGetKeyPair", f"{problem}no data for {missing!r} in secret '{name}'")
    if "isCA" not in str(value(keypair, "tls.crt")):
        return _ready(item, False, "ErrInvalidKeyPair", f"{problem}certificate is not a CA")
    return _ready(item, True, "KeyPairVerified", "Signing CA verified")


def _ready(item: Object, ready: bool, reason: str, message: str) -> Outcome:
    return Outcome({"conditions": [condition(item, "Ready", ready, reason, message, generation=True)]})


def _certificate(item: Object, world: World) -> Outcome:
    """Issued when its issuer is Ready and inside the cluster; Let's Encrypt's waits: nobody outside sees the zone."""
    spec, metadata = item["spec"], item["metadata"]
    reference = spec["issuerRef"]
    kind, name = reference.get("kind", "Issuer"), reference["name"]
    issuer = world.find(kind, name, "" if kind == "ClusterIssuer" else metadata["namespace"])
    refusal = _refusal(kind, issuer)
    if refusal is None and issuer is not None:
        made = _keypair(item, kind, name, signer=_signer(issuer), temporary=False)
        done = [
            condition(item, "Ready", True, "Ready", "Certificate is up to date and has not expired", generation=True)
        ]
        return Outcome({"conditions": done}, [made])
    known = world.find("Secret", spec["secretName"], metadata["namespace"])
    reason, message = _pending(known, kind, name)
    waiting = [
        condition(item, "Issuing", True, reason, message, generation=True),
        condition(item, "Ready", False, reason, message, generation=True),
    ]
    makes = [_request(item, *refusal)] if refusal else []
    if metadata.get("annotations", {}).get(TEMPORARY) == "true" and known is None:
        makes.append(_keypair(item, kind, name, signer="nobody", temporary=True))
    return Outcome({"conditions": waiting}, makes)


def _refusal(kind: str, issuer: Object | None) -> tuple[str, str] | None:
    """Why an issuer signs nothing, as the certificate's request says it."""
    if issuer is None:
        return "IssuerNotFound", f'Referenced "{kind}" not found'
    if not holds(issuer, "Ready"):
        return "IssuerNotReady", "Referenced issuer does not have a Ready status condition"
    if "acme" in issuer["spec"]:
        return "Pending", "Waiting on certificate issuance from order: nobody outside sees the lab's zone"
    return None


def _pending(known: Object | None, kind: str, name: str) -> tuple[str, str]:
    """Why a certificate is being issued, as its own conditions say it."""
    annotations = {} if known is None else known["metadata"].get("annotations") or {}
    before = annotations.get("cert-manager.io/issuer-kind"), annotations.get("cert-manager.io/issuer-name")
    if known is not None and before != (kind, name):
        # A temporary certificate names no issuer: pkg/controller/certificates/issuing/temporary.go.
        was = f'"{before[0] or "Issuer"}.cert-manager.io/{before[1] or ""}"'
        return "IncorrectIssuer", f"Issuing certificate as Secret was previously issued by {was}"
    return "DoesNotExist", "Issuing certificate as Secret does not exist"


def _signer(issuer: Object) -> str:
    """The Secret whose certificate signs, or the certificate itself."""
    return str(issuer["spec"].get("ca", {}).get("secretName", "itself"))


def _keypair(item: Object, kind: str, issuer: str, *, signer: str, temporary: bool) -> dict[str, Any]:
    spec, metadata = item["spec"], item["metadata"]
    what = "isCA" if spec.get("isCA") else "leaf"
    own = f"the lab's {what} certificate {metadata['namespace']}/{spec['secretName']}, signed by {signer}"
    data = {"tls.crt": own, "tls.key": "the lab's key"}
    data |= {} if temporary else {"ca.crt": authority(spec["secretName"] if spec.get("isCA") else signer)}
    template = spec.get("secretTemplate", {})
    annotations = {"cert-manager.io/certificate-name": metadata["name"]}
    annotations["cert-manager.io/issuer-name"] = "" if temporary else issuer
    annotations["cert-manager.io/issuer-kind"] = "" if temporary else kind
    return secret(
        spec["secretName"],
        metadata["namespace"],
        data,
        kind="kubernetes.io/tls",
        labels=template.get("labels"),
        annotations={**template.get("annotations", {}), **annotations},
    )


def _request(item: Object, reason: str, message: str) -> dict[str, Any]:
    metadata = {"name": f"{item['metadata']['name']}-1", "namespace": item["metadata"]["namespace"]}
    request = {"apiVersion": API, "kind": "CertificateRequest"}
    pending = {"type": "Ready", "status": "False", "reason": reason, "message": message}
    return request | {
        "metadata": metadata | {"ownerReferences": [owned_by(item)]},
        "spec": {"issuerRef": item["spec"]["issuerRef"]},
        "status": {"conditions": [pending]},
    }


RULES = (
    Rule(ISSUER, OPERATOR, _issuer),
    Rule(CLUSTER_ISSUER, OPERATOR, _issuer),
    Rule(CERTIFICATE, OPERATOR, _certificate),
)
