"""Known faults of references, secrets and memory."""

from __future__ import annotations

from tests.checks.changes import at, memory
from tests.checks.known.edits import GENERATED, GENERATOR, GITEA, SOLVER
from tests.checks.known.fault import Case, Known
from tests.checks.platforms import appended, edited

REFERENCES: tuple[Known, ...] = (
    Known(
        "a key that the Secret does not have",
        "The solver of certificates asked for it for ever.",
        (
            Case(
                name="of the solver",
                change=at(
                    "ClusterIssuer",
                    "letsencrypt-prod-dns",
                    *SOLVER,
                    "config",
                    "apiKeySecretRef",
                    "key",
                    value="api-key",
                ),
                rule="reference-key",
                words=("ClusterIssuer letsencrypt-prod-dns", "apiKeySecretRef", "powerdns-api", "PDNS_API_KEY"),
            ),
            Case(
                name="of a container",
                edit=edited(
                    "gitops/harbor/setup/cron-job.yaml",
                    ("name: harbor-robot, key: secret", "name: harbor-robot, key: token"),
                ),
                rule="reference-key",
                words=("CronJob harbor/harbor-setup", "secretKeyRef", "Secret harbor/harbor-robot", "secret"),
            ),
            Case(
                name="in a chart's value",
                edit=edited(GITEA, ("{name: gitea-database, key: password}", "{name: gitea-database, key: PASSWORD}")),
                rule="value-reference",
                words=(
                    "release gitea/gitea",
                    "valueFrom.secretKeyRef",
                    "PASSWORD",
                    "Secret gitea/gitea-database",
                    "password",
                ),
            ),
        ),
    ),
    Known(
        "a Secret without the key that a chart fixes",
        "The chart's container did not start; the repair renamed the variables of the template too, and broke that.",
        (
            Case(
                name="another key",
                change=at(
                    "ExternalSecret", "gitea-admin", "spec", "target", "template", "data", value={"user": "platform"}
                ),
                rule="reference-key",
                words=("Deployment gitea/gitea", "initContainers", "username", "Secret gitea/gitea-admin"),
            ),
            Case(
                name="another variable",
                change=at("ExternalSecret", "oidc-gitea", "spec", "data", 0, "secretKey", value="clientSecret"),
                rule="template-variable",
                words=(
                    "ExternalSecret authentik/oidc-gitea",
                    "spec.target.template.data.secret",
                    ".client_secret",
                    "clientSecret",
                ),
            ),
        ),
    ),
    Known(
        "two generators of one credential",
        "One value went to the identity provider, another one to the application.",
        (
            Case(
                name="of signing on",
                change=at(
                    "ExternalSecret",
                    "oidc-gitea",
                    "spec",
                    value={
                        "refreshInterval": "0",
                        "dataFrom": [{"sourceRef": {"generatorRef": {**GENERATOR, "name": "oidc-gitea-password-64"}}}],
                        "target": {
                            "name": "oidc-gitea",
                            "template": {"data": {"key": "gitea", "secret": "{{ .client_secret }}"}},
                        },
                    },
                ),
                rule="two-sources",
                words=("ExternalSecret authentik/oidc-gitea", "generatorRef", "authentik/oidc-gitea/v1"),
            ),
            Case(
                name="of a database",
                change=at(
                    "ExternalSecret",
                    "harbor-database",
                    "spec",
                    value={
                        "refreshInterval": "0",
                        "dataFrom": [
                            {"sourceRef": {"generatorRef": {**GENERATOR, "name": "harbor-database-password-48"}}}
                        ],
                        "target": {"name": "harbor-database"},
                    },
                ),
                rule="two-sources",
                words=("ExternalSecret harbor/harbor-database", "generatorRef", "harbor/harbor-database/v1"),
            ),
        ),
    ),
    Known(
        "a generated value that is made anew",
        "Its consumer had stored the first one in its database.",
        (
            Case(
                name="each hour",
                edit=appended("gitops/gitea/network-policies.yaml", GENERATED),
                rule="generator-refresh",
                words=("ExternalSecret gitea/gitea-cache", "spec.refreshInterval", "1h", "Password cache"),
            ),
        ),
    ),
    Known(
        "a value of our own chart that no template emits",
        "The secondary could not transfer the zone.",
        (
            Case(
                name="an allow list",
                edit=edited("charts/powerdns/templates/settings.yaml", ('{{ join "," .Values.transfer.allow }}', "")),
                rule="dead-value",
                words=("transfer.allow", "powerdns"),
            ),
            Case(
                name="a misspelt setting",
                edit=edited("charts/powerdns/templates/settings.yaml", ("    also-notify=", "    also-notifiy=")),
                rule="transfer-address",
                words=("ConfigMap powerdns/powerdns", "also-notify", "100.64.0.3"),
            ),
        ),
    ),
    Known(
        "memory whose floor and ceiling are swapped",
        "Nodes stayed at a quarter of what they were to have.",
        (
            Case(
                name="swapped",
                change=memory("floating", 16384),
                rule="vm-memory",
                words=("VM controlplane-0", "memory.floating", "16384", "memory.dedicated", "8192"),
            ),
            Case(
                name="too little",
                change=memory("dedicated", 64),
                rule="vm-memory",
                words=("VM controlplane-0", "memory.dedicated", "64"),
            ),
        ),
    ),
)
