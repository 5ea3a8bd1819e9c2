"""The platform, layer by layer. Each layer's arguments are what it depends on."""

import pulumi

from stacks import cluster, ingress, network, proxmox, settings

configured, secrets = settings.load()

site = proxmox.deploy(configured, secrets)
kubernetes = cluster.deploy(configured, secrets, site=site)
pods = network.deploy(configured, cluster=kubernetes)
web = ingress.deploy(configured, network=pods)

pulumi.export("apiEndpoint", kubernetes.talos.endpoint)
pulumi.export("nodes", cluster.node_table(configured))
pulumi.export("ingressAddress", web.nginx.address)
pulumi.export("kubeconfig", kubernetes.talos.kubeconfig)
pulumi.export("talosconfig", kubernetes.talos.talosconfig)
