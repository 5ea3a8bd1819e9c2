"""The beginning of the platform: the same layers as in the real `__main__.py`, up to storage, and its outputs of them.

An `up` of it takes a fraction of the time, and nothing in the layers that come later looks at a machine.
"""

import asyncio

import pulumi

import stacks.cluster
import stacks.edge_host
import stacks.network
import stacks.outputs
import stacks.site
import stacks.storage
from stacks.settings.load import load

settings, credentials = load()
site = stacks.site.deploy(settings, credentials)
edge_host = stacks.edge_host.deploy(settings, credentials, site=site)
cluster = stacks.cluster.deploy(settings, credentials, site=site, edge_host=edge_host)
network = stacks.network.deploy(settings, cluster=cluster)
stacks.storage.deploy(settings, credentials, site=site, network=network)
stacks.outputs.export(
    {
        "apiEndpoint": cluster.talos.endpoint,
        "talosconfig": cluster.talos.talosconfig,
        "kubeconfig": cluster.talos.kubeconfig,
    }
)
pulumi.run(lambda: asyncio.sleep(0))
