"""Known faults of resources, and of what they name."""

from __future__ import annotations

from tests.checks.changes import at, endpoint
from tests.checks.known.edits import CRON_JOB, DATABASE, FLUX, GITEA, MOVED_AUTHORITY, SOLVER, taken, unwritten
from tests.checks.known.fault import Case, Known
from tests.checks.platforms import appended, edited, moved

RESOURCES: tuple[Known, ...] = (
    Known(
        "a gate that asks the address which waits for it",
        "The address needed the network, and the network waited for the gate.",
        (
            Case(
                name="the credentials",
                change=endpoint("talos:cluster/kubeconfig:Kubeconfig", "atlas-kubeconfig", "endpoint", "10.0.3.1"),
                rule="address-before-its-owner",
                words=("Kubeconfig atlas-kubeconfig", "endpoint", "10.0.3.1", "VIP", "waits for"),
            ),
            Case(
                name="a command",
                change=endpoint("command:local:Command", "volume-zones", "environment", {"ZONES": '["10.0.3.1"]'}),
                rule="address-before-its-owner",
                words=("Command volume-zones", "environment.ZONES", "10.0.3.1", "VIP"),
            ),
        ),
    ),
    Known(
        "a field that the definition does not have",
        "The server refused the resource.",
        (
            Case(
                name="of the zone",
                change=at("ClusterZone", "test-cluster.agentydragon.com", "spec", "soa", value={"refresh": 60}),
                rule="unknown-field",
                words=("ClusterZone test-cluster.agentydragon.com", "spec.soa", "soa_edit_api"),
            ),
            Case(
                name="of a database",
                edit=edited(DATABASE, ("  instances: 2", "  replicas: 2\n  instances: 2")),
                rule="unknown-field",
                words=("Cluster gitea/gitea-postgres", "spec.replicas"),
            ),
        ),
    ),
    Known(
        "an object before its namespace",
        "The server refused it; the repair gave the namespace a second owner.",
        (
            Case(
                name="an application's",
                change=taken("Namespace", "", "gitea"),
                rule="namespace-first",
                words=("gitea/", "Namespace gitea", "nothing makes"),
            ),
            Case(
                name="a misspelt one",
                edit=appended(FLUX, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: texts, namespace: gitae}\n"),
                rule="namespace-first",
                words=("ConfigMap gitae/texts", "metadata.namespace", "Namespace gitae", "nothing makes", "gitea"),
            ),
        ),
    ),
    Known(
        "a resource beside the release that defines it",
        "The first apply failed as a whole.",
        (
            Case(
                name="a rule beside Prometheus",
                edit=moved("gitops/monitoring/rules/dns.yaml", "gitops/monitoring/dns.yaml"),
                rule="definition-first",
                words=(
                    "PrometheusRule monitoring/homelab-dns",
                    "flux-system/monitoring",
                    "release monitoring/monitoring",
                ),
            ),
        ),
    ),
    Known(
        "a group that no webhook registers",
        "No challenge was ever presented.",
        (
            Case(
                name="of the solver",
                change=at("ClusterIssuer", "letsencrypt-prod-dns", *SOLVER, "groupName", value="acme.example.org"),
                rule="solver-group",
                words=("ClusterIssuer letsencrypt-prod-dns", "groupName", "acme.example.org", "acme.test-cluster"),
            ),
        ),
    ),
    Known(
        "a variable of a template without a source",
        "The Secret held `<no value>`.",
        (
            Case(
                name="of an application",
                change=at(
                    "ExternalSecret",
                    "oidc-gitea",
                    "spec",
                    "target",
                    "template",
                    "data",
                    "secret",
                    value="{{ .secret }}",
                ),
                rule="template-variable",
                words=(
                    "ExternalSecret authentik/oidc-gitea",
                    "spec.target.template.data.secret",
                    ".secret",
                    "client_secret",
                ),
            ),
        ),
    ),
    Known(
        "a value that is read from Vault, and that nothing writes",
        "The operator reported an error for ever.",
        (
            Case(
                name="another property",
                change=at(
                    "ExternalSecret", "oidc-gitea", "spec", "data", 0, "remoteRef", "property", value="clientSecret"
                ),
                rule="vault-property",
                words=("ExternalSecret authentik/oidc-gitea", "remoteRef.property", "clientSecret", "client_secret"),
            ),
            Case(
                name="no writer",
                change=unwritten,
                rule="vault-property",
                words=("ExternalSecret gitea/gitea-database", "remoteRef", "gitea/gitea-database/v1", "nothing writes"),
            ),
        ),
    ),
    Known(
        "a client that trusts the authority of before",
        "Each connection failed: unknown authority.",
        (
            Case(
                name="the store of secrets",
                change=MOVED_AUTHORITY,
                rule="trusted-root",
                words=(
                    "ClusterSecretStore vault",
                    "caProvider",
                    "Secret cert-manager/cluster-ca",
                    "Certificate vault/vault-tls",
                    "other",
                ),
            ),
        ),
    ),
    Known(
        "the address of a Service that is called otherwise",
        "The name did not resolve.",
        (
            Case(
                name="in a variable",
                edit=edited(CRON_JOB, ("http://harbor.harbor.svc", "http://registry.harbor.svc")),
                rule="service-address",
                words=("CronJob harbor/harbor-setup", "env[0].value", "harbor/registry", "harbor"),
            ),
            Case(
                name="in a chart's value",
                edit=edited(GITEA, ("gitea-postgres-rw.gitea.svc", "postgres-rw.gitea.svc")),
                rule="service-address",
                words=(
                    "HelmRelease gitea/gitea",
                    "spec.values.gitea.config.database.HOST",
                    "gitea/postgres-rw",
                    "gitea-postgres-rw",
                ),
            ),
        ),
    ),
    Known(
        "volumes under a key that the chart ignores",
        "Init containers lacked the authority.",
        (
            Case(
                name="of an application",
                edit=edited(
                    GITEA,
                    ("    deployment:\n", "    deployment:\n      extraVolumes: [{name: authority, emptyDir: {}}]\n"),
                ),
                rule="chart-pin",
                words=("release gitea/gitea", "values.deployment.extraVolumes", "gitea 12.7.0"),
            ),
        ),
    ),
)
