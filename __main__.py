"""The platform, layer by layer. Each layer's arguments are what it depends on."""

import asyncio
import gc

import pulumi

from stacks import cluster, dns, edge, edge_host, identity, ingress, network, proxmox, secrets, settings, storage

# What the imports made stays until the end. Each collection would look through it again: a tenth of a preview's time.
gc.freeze()

configured, confidential = settings.load()

site = proxmox.deploy(configured, confidential)
host = edge_host.deploy(configured, confidential, site=site)
kubernetes = cluster.deploy(configured, confidential, site=site, edge=host)
pods = network.deploy(configured, cluster=kubernetes)
web = ingress.deploy(configured, network=pods)
volumes = storage.deploy(configured, confidential, site=site, network=pods)
safe = secrets.deploy(configured, confidential, site=site, network=pods, web=web, volumes=volumes)
names = dns.deploy(configured, confidential, network=pods, web=web, safe=safe, volumes=volumes)
people = identity.deploy(configured, network=pods, web=web, volumes=volumes, safe=safe, issuer=names.trusted)
edge.deploy(configured, host=host, cluster=kubernetes, ingress=web, names=names)

pulumi.export("apiEndpoint", kubernetes.talos.endpoint)
pulumi.export("nodes", cluster.node_table(configured))
pulumi.export("ingressAddress", web.nginx.address)
pulumi.export("delegation", edge.delegation(configured))
pulumi.export("kubeconfig", kubernetes.talos.kubeconfig)
pulumi.export("talosconfig", kubernetes.talos.talosconfig)
pulumi.export("sealingCertificate", safe.sealed.certificate)
pulumi.export("signOn", people.authentik.address)
pulumi.export("bootstrapSecrets", volumes.bootstrap_secrets)

# Lets every registration begin before the SDK waits for outputs: that wait takes time which grows with the square of
# what is outstanding (https://github.com/pulumi/pulumi/pull/22411; to be dropped when it no longer does).
pulumi.run(lambda: asyncio.sleep(0))
