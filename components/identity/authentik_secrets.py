"""What only Authentik may know: its own application secrets, as plain data.

Owns no resource: `stacks/application_secrets.py` has them in its table, `authentik.py` hands them to the pods.
"""

from __future__ import annotations

from typing import Final

from components.secrets.secret_spec import Hex, Password, Plain, SecretSpec

NAMESPACE: Final = "authentik"

DATABASE: Final = SecretSpec(
    name="authentik-database",
    namespace=NAMESPACE,
    # The form in which CloudNativePG expects a database's owner. With the label it sets a changed password at once.
    type="kubernetes.io/basic-auth",
    keys={"username": Plain("authentik"), "password": Password(length=48)},
    labels={"cnpg.io/reload": "true"},
)

CONFIGURATION: Final = SecretSpec(
    name="authentik-configuration",
    namespace=NAMESPACE,
    # Signs sessions: a new value ends all of them, and nothing else.
    keys={"AUTHENTIK_SECRET_KEY": Hex(bytes=48)},
)

BOOTSTRAP: Final = SecretSpec(
    name="authentik-bootstrap",
    namespace=NAMESPACE,
    # Read only at the first start, which creates the administrator akadmin from them.
    keys={
        "AUTHENTIK_BOOTSTRAP_PASSWORD": Password(length=48),
        "AUTHENTIK_BOOTSTRAP_TOKEN": Password(length=64),
    },
)
