"""The platform, layer by layer. Each layer's arguments are what it depends on."""

# ruff: noqa: E402  (what comes before the imports is about them)
import gc

# What is made until the last line stays until the end. Collections would look through it again and again: a quarter of
# the imports' time, and a tenth of a preview's.
gc.disable()

import asyncio

import pulumi

import checks.before
import stacks.applications
import stacks.call_stacks
import stacks.cluster
import stacks.delegation
import stacks.dns
import stacks.edge
import stacks.edge_host
import stacks.gitops
import stacks.identity
import stacks.ingress
import stacks.network
import stacks.outputs
import stacks.secrets
import stacks.site
import stacks.storage
from stacks.settings.load import load

settings, credentials = load()
seen = checks.before.watch()

with stacks.call_stacks.of_the_program():
    site = stacks.site.deploy(settings, credentials)
    edge_host = stacks.edge_host.deploy(settings, credentials, site=site)
    cluster = stacks.cluster.deploy(settings, credentials, site=site, edge_host=edge_host)
    network = stacks.network.deploy(settings, cluster=cluster)
    ingress = stacks.ingress.deploy(settings, network=network)
    storage = stacks.storage.deploy(settings, credentials, site=site, network=network)
    secrets = stacks.secrets.deploy(settings, credentials, site=site, network=network, ingress=ingress, storage=storage)
    dns = stacks.dns.deploy(settings, credentials, network=network, ingress=ingress, storage=storage, secrets=secrets)
    identity = stacks.identity.deploy(
        settings, network=network, ingress=ingress, storage=storage, secrets=secrets, issuer=dns.trusted
    )
    applications = stacks.applications.deploy(network=network, secrets=secrets, identity=identity)
    stacks.gitops.deploy(
        settings,
        credentials,
        network=network,
        ingress=ingress,
        storage=storage,
        dns=dns,
        identity=identity,
        applications=applications,
    )
    stacks.edge.deploy(settings, edge_host=edge_host, cluster=cluster, ingress=ingress, dns=dns)

checks.before.refuse(seen, settings.model_dump(mode="json", by_alias=True))

stacks.outputs.export(
    {
        "delegation": stacks.delegation.records(settings),
        "apiEndpoint": cluster.talos.endpoint,
        "nodes": stacks.cluster.node_table(settings),
        "ingressAddress": ingress.nginx.address,
        "signOn": identity.authentik.url,
        "talosconfig": cluster.talos.talosconfig,
        "kubeconfig": cluster.talos.kubeconfig,
        "sealingCertificate": secrets.sealed.certificate,
        "bootstrapSecrets": storage.bootstrap_secrets,
    }
)

gc.freeze()
gc.enable()

# Lets every registration begin before the SDK waits for outputs: that wait takes time which grows with the square of
# what is outstanding (https://github.com/pulumi/pulumi/pull/22411; to be dropped when it no longer does).
pulumi.run(lambda: asyncio.sleep(0))
