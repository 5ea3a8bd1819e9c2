"""The secrets of PowerDNS, as plain data: one for its database, and one with the key of its API.

Two, because they have different readers: clients of the API get a copy of the second only, and a rotated API key
restarts no database. Owns their recipes; `powerdns.py` is the consumer that names what it reads. Nothing here imports
a provider SDK, so that reading settings stays cheap.

All values are letters and digits, so that none needs quoting in SQL, in a setting or in a header.
"""

from __future__ import annotations

from typing import Final

from components.secrets.secret_spec import Password, SecretSpec

NAMESPACE: Final = "powerdns"

API_KEY: Final = "PDNS_API_KEY"
"""Key of the API's Secret; PowerDNS Operator takes the whole Secret for its environment, hence the name."""

API_SETTINGS: Final = "api.conf"
SERVER_SETTINGS: Final = "pdns-secret.conf"
ACCOUNTS: Final = "accounts.sql"
ROOT_PASSWORD: Final = "root-password"  # noqa: S105

DATABASE: Final = "powerdns"
"""Name of the database and of the server's account in it."""

# MariaDB executes this at each of its starts, the first included; a statement has one line. At the first start root
# has no password yet, and the image's entry point would not get in if it had: root gets its own only once the server's
# account is there, which is from the second start on, and the entry point makes two.
_ACCOUNTS_SQL = f"""\
SET @root = (SELECT IF(COUNT(*), "ALTER USER 'root'@'localhost' IDENTIFIED BY '{{{{ index . "{ROOT_PASSWORD}" }}}}'", \
"DO 0") FROM mysql.global_priv WHERE User = '{DATABASE}');
EXECUTE IMMEDIATE @root;
CREATE USER IF NOT EXISTS '{DATABASE}'@'%' IDENTIFIED BY '{{{{ .password }}}}';
ALTER USER '{DATABASE}'@'%' IDENTIFIED BY '{{{{ .password }}}}';
GRANT ALL PRIVILEGES ON `{DATABASE}`.* TO '{DATABASE}'@'%';
"""  # noqa: S608 - the values are letters and digits, made in the cluster

DATABASE_SECRET: Final = SecretSpec(
    name="powerdns-database",
    namespace=NAMESPACE,
    keys={"password": Password(), ROOT_PASSWORD: Password()},
    derived={SERVER_SETTINGS: "gmysql-password={{ .password }}\n", ACCOUNTS: _ACCOUNTS_SQL},
)

API_SECRET: Final = SecretSpec(
    name="powerdns-api",
    namespace=NAMESPACE,
    keys={API_KEY: Password()},
    derived={API_SETTINGS: f"api-key={{{{ .{API_KEY} }}}}\n"},
)

API_CLIENTS: Final = ("cert-manager", "external-dns")
"""Namespaces whose pods call the API, besides PowerDNS's own: each gets a copy of `API_SECRET`, and network access."""
