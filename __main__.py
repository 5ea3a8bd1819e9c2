"""The platform, layer by layer. Each layer's arguments are what it depends on."""

import pulumi

from stacks import cluster, ingress, network, proxmox, settings, storage
from stacks import secrets as safe

configured, secrets = settings.load()

site = proxmox.deploy(configured, secrets)
kubernetes = cluster.deploy(configured, secrets, site=site)
pods = network.deploy(configured, cluster=kubernetes)
web = ingress.deploy(configured, network=pods)
volumes = storage.deploy(configured, secrets, site=site, network=pods)
kept = safe.deploy(
    configured, network=pods, authority=web.ca.issuer, storage=volumes.default, application_namespaces=()
)

pulumi.export("apiEndpoint", kubernetes.talos.endpoint)
pulumi.export("nodes", cluster.node_table(configured))
pulumi.export("ingressAddress", web.nginx.address)
pulumi.export("kubeconfig", kubernetes.talos.kubeconfig)
pulumi.export("talosconfig", kubernetes.talos.talosconfig)
pulumi.export("bootstrapSecrets", volumes.bootstrap_secrets)
