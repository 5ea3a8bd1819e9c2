"""The platform, layer by layer. Each layer's arguments are what it depends on."""

import pulumi

from stacks import cluster, edge, edge_host, ingress, network, proxmox, settings

configured, secrets = settings.load()

site = proxmox.deploy(configured, secrets)
host = edge_host.deploy(configured, secrets, site=site)
kubernetes = cluster.deploy(configured, secrets, site=site, edge=host)
pods = network.deploy(configured, cluster=kubernetes)
web = ingress.deploy(configured, network=pods)
edge.deploy(configured, secrets, host=host, cluster=kubernetes, ingress=web)

pulumi.export("apiEndpoint", kubernetes.talos.endpoint)
pulumi.export("nodes", cluster.node_table(configured))
pulumi.export("ingressAddress", web.nginx.address)
pulumi.export("delegation", edge.delegation(configured))
pulumi.export("kubeconfig", kubernetes.talos.kubeconfig)
pulumi.export("talosconfig", kubernetes.talos.talosconfig)
