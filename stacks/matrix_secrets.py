"""The generated secrets of Matrix, as rows of `application_secrets.py` have them: recipes, and no values."""

from __future__ import annotations

from components.secrets.secret_spec import Hex, Password, Plain, SecretSpec
from stacks import sso

NAMESPACE = sso.MATRIX.namespace
"""The namespace of Matrix, which Flux fills."""

DATABASE = SecretSpec(
    name="matrix-database",
    namespace=NAMESPACE,
    type="kubernetes.io/basic-auth",
    keys={"username": Plain("synapse"), "password": Password(length=48)},
    labels={"cnpg.io/reload": "true"},
)

ACCOUNTS_DATABASE = SecretSpec(
    name="matrix-accounts-database",
    namespace=NAMESPACE,
    type="kubernetes.io/basic-auth",
    keys={"username": Plain("accounts"), "password": Password(length=48)},
    labels={"cnpg.io/reload": "true"},
)

PARTS = SecretSpec(
    name="matrix-parts",
    namespace=NAMESPACE,
    keys={"macaroon": Password(), "registration": Password(), "synapse": Password()},
)
"""What Synapse and the Matrix Authentication Service know each other by, and what Synapse signs for itself."""

SIGNING_KEY = SecretSpec(
    name="matrix-signing-key",
    namespace=NAMESPACE,
    keys={"seed": Password()},
    # Algorithm, name of the key, and its seed of 32 bytes in Base64 without padding:
    # https://element-hq.github.io/synapse/latest/usage/configuration/config_documentation.html#signing_key_path
    derived={"signing.key": 'ed25519 a_vault {{ .seed | b64enc | trimSuffix "=" }}'},
)
"""With which the homeserver signs its events; other servers know it by it."""

ENCRYPTION = SecretSpec(name="matrix-encryption", namespace=NAMESPACE, keys={"encryption": Hex()})
"""With it the Matrix Authentication Service encrypts secrets in its database: 32 bytes, as hexadecimal digits."""
