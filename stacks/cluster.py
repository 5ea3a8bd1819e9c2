"""The cluster layer: one VM per node, Talos on each, and a Kubernetes API that answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

import pulumi
import pulumi_command as command
import pulumi_kubernetes as kubernetes

from components.kit.stack_mark import marking
from components.proxmox.talos_vm import TalosVm, TalosVmArgs
from components.proxmox.vm_rebuilds import VmRebuilds, VmRebuildsArgs
from components.storage import longhorn_node
from components.talos.cluster import TailscaleArgs, TalosCluster, TalosClusterArgs, TalosNodeArgs
from components.talos.hooks import TalosChecks
from components.talos.node_removals import NodeRemovals, NodeRemovalsArgs
from components.talos.secrets import TalosSecrets
from components.talos.volume_zones import VolumeZones, VolumeZonesArgs
from stacks import sso
from stacks.edge_host import EdgeHostLayer
from stacks.settings.credentials import Credentials
from stacks.settings.machines import Node
from stacks.settings.model import Settings
from stacks.site import SiteLayer


@dataclass(frozen=True)
class ClusterLayer:
    """What later layers need from the cluster."""

    talos: TalosCluster
    kubernetes: kubernetes.Provider
    commands: command.Provider
    foundation: pulumi.Resource
    """The VM without which nothing in the cluster exists; everything in Kubernetes is `deleted_with` it."""
    mark: str
    """What marks this stack's objects in Kubernetes, as its tag marks its VMs."""

    def inside(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options for a component that runs in the cluster, created after `after`.

        Its objects disappear with the VMs: a destroy does not ask the API to delete them, so neither a finalizer nor a
        dead API can block it (measured: without this it fails and deletes nothing).
        """
        return pulumi.ResourceOptions(
            providers=[self.kubernetes, self.commands],
            deleted_with=self.foundation,
            depends_on=list(after),
            transformations=[marking(self.mark)],
        )


def deploy(settings: Settings, credentials: Credentials, *, site: SiteLayer, edge_host: EdgeHostLayer) -> ClusterLayer:
    """Create the VMs one by one, then Talos node by node; changes are applied in the same order."""
    providers = pulumi.ResourceOptions(providers=[site.provider, site.talos_provider])
    talos_secrets = TalosSecrets("talos-secrets", settings.versions.talos, opts=providers)
    nodes = _nodes(settings)
    talos_checks = _checks(settings, nodes, talos_secrets)
    zones = _zones(settings, site, talos_secrets)
    machines = _machines(settings, site, talos_checks, edge_host, zones.asked)
    lives = {name: machine.life for name, machine in machines.items()}
    cluster = TalosCluster(
        settings.cluster.name,
        TalosClusterArgs(
            cluster_name=settings.cluster.name,
            region=settings.site.name,
            secrets=talos_secrets,
            nodes=nodes,
            machines=[machine.vm for machine in machines.values()],
            lives=lives,
            subnet=settings.network.subnet,
            api_vip=settings.network.api_vip,
            pods=settings.network.pod_cidr,
            services=settings.network.service_cidr,
            talos_version=settings.versions.talos,
            kubernetes_version=settings.versions.kubernetes,
            installer=site.image.installer,
            install_disk=settings.talos.install_disk,
            registry_mirrors=_mirrors(settings),
            host_entries=_host_entries(settings),
            kubelet_mounts=_kubelet_mounts(settings),
            signed_kubelet_certificates=settings.talos.signed_kubelet_certificates,
            kernel_modules=_kernel_modules(settings),
            worker_sysctls=longhorn_node.SYSCTLS if settings.features.longhorn_v2 else {},
            tailscale=_tailscale(settings, credentials),
            checks=talos_checks,
        ),
        opts=providers,
    )
    removals = NodeRemovals(
        "node-removal",
        NodeRemovalsArgs(
            nodes={name: node.address for name, node in nodes.items()},
            controlplanes=frozenset(settings.control_planes),
            client=talos_secrets.client,
            members={name: [cluster.members[name], machines[name].vm] for name in nodes},
            drain_seconds=settings.talos.timeouts.drain,
            lives=lives,
            after=cluster.ready,
            cluster=talos_secrets.generated,
        ),
        opts=pulumi.ResourceOptions(providers=[site.commands]),
    )
    VmRebuilds(
        "vm-rebuild",
        VmRebuildsArgs(vms=machines, login=site.checks.login, after=removals.commands),
        opts=pulumi.ResourceOptions(providers=[site.commands]),
    )
    foundation = machines[talos_checks.first_control_plane].vm
    return ClusterLayer(cluster, _kubernetes(cluster), site.commands, foundation, site.tag)


def node_table(settings: Settings) -> dict[str, dict[str, str | int]]:
    """The nodes by name, for display."""
    return {
        name: {"role": node.role, "address": str(node.address), "vmId": node.vm_id, "host": node.host}
        for name, node in _in_order(settings).items()
    }


CACHED = ("docker.io", "ghcr.io", "quay.io", "registry.k8s.io")
"""The registries that Harbor has a cache for, each in a project of that name (gitops/harbor/setup/plan.json)."""


def _mirrors(settings: Settings) -> dict[str, list[str]]:
    """Where nodes ask for images, by registry, before they ask the registry itself."""
    found = {registry: list(urls) for registry, urls in settings.talos.registry_mirrors.items()}
    if settings.registry.mirrors:
        harbor = f"https://{sso.HARBOR.host}.{settings.cluster.domain}/v2"
        found |= {registry: [f"{harbor}/{registry}", *found.get(registry, [])] for registry in CACHED}
    return found


def _host_entries(settings: Settings) -> dict[str, IPv4Address]:
    """Harbor's name leads nodes to the ingress itself: DNS has the address of the public host, and images would go to
    the internet and back."""
    own = (
        {f"{sso.HARBOR.host}.{settings.cluster.domain}": settings.network.pools.ingress.first}
        if settings.registry.mirrors
        else {}
    )
    return {**settings.talos.host_entries, **own}


def _in_order(settings: Settings) -> dict[str, Node]:
    """Nodes in the order in which they are created and changed: control planes first."""
    return {**settings.control_planes, **settings.workers}


def _nodes(settings: Settings) -> dict[str, TalosNodeArgs]:
    return {
        name: TalosNodeArgs(
            controlplane=node.role == "controlplane",
            address=node.address,
            mac=node.mac,
            vm_id=node.vm_id,
            zone=node.host,
        )
        for name, node in _in_order(settings).items()
    }


def _checks(settings: Settings, nodes: Mapping[str, TalosNodeArgs], talos_secrets: TalosSecrets) -> TalosChecks:
    return TalosChecks(
        members=nodes,
        api_vip=settings.network.api_vip,
        client=talos_secrets.client,
        kubernetes_ca=talos_secrets.kubernetes_ca,
        talos_version=settings.versions.talos,
        kubernetes_version=settings.versions.kubernetes,
        node_timeout=settings.talos.timeouts.node,
        api_timeout=settings.talos.timeouts.api,
    )


def _zones(settings: Settings, site: SiteLayer, talos_secrets: TalosSecrets) -> VolumeZones:
    return VolumeZones(
        "volume-zones",
        VolumeZonesArgs(
            zones=frozenset(node.host for node in (settings.workers or settings.control_planes).values()),
            controlplanes=[node.address for node in settings.control_planes.values()],
            client=talos_secrets.client,
        ),
        opts=pulumi.ResourceOptions(providers=[site.commands]),
    )


def _kubernetes(cluster: TalosCluster) -> kubernetes.Provider:
    return kubernetes.Provider(
        "kubernetes",
        kubeconfig=cluster.kubeconfig,
        # Without it a changed address in the kubeconfig would replace everything in the cluster (measured).
        cluster_identifier=cluster.cluster_id,
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
    )


def _machines(
    settings: Settings, site: SiteLayer, talos_checks: TalosChecks, edge_host: EdgeHostLayer, first: pulumi.Resource
) -> dict[str, TalosVm]:
    """The VMs, chained: changing all restarts them one at a time, and the first changes only after `first`."""
    update = talos_checks.around_vm_update()
    hooks = pulumi.ResourceHookBinding(
        before_create=[site.checks.before_create()],
        before_update=[update.before, site.checks.before_update()],
        after_update=[update.after],
        on_error=[site.explained],
    )
    machines: dict[str, TalosVm] = {}
    previous: list[pulumi.Resource] = [first]
    for position, (name, node) in enumerate(_in_order(settings).items()):
        host = settings.site.hosts[node.host]
        machines[name] = TalosVm(
            name,
            TalosVmArgs(
                pool=site.pool.id,
                host=node.host,
                vm_id=node.vm_id,
                mac=node.mac,
                interface=IPv4Interface(f"{node.address}/{settings.network.subnet.prefixlen}"),
                gateway=settings.network.gateway,
                resolvers=settings.network.resolvers,
                domain=settings.cluster.domain,
                cores=node.cores,
                memory=node.memory,
                disk=node.disk,
                datastore=host.disk_datastore,
                bridge=settings.site.bridge,
                vlan=settings.site.vlan,
                image=site.image.files[node.host],
                start_order=position + 1,
                tags=sorted({"talos", node.role, site.tag}),
                agent=settings.talos.extensions.qemu_guest_agent,
                delete_protection=settings.site.delete_protection,
                data_disk=settings.data_disk(node),
                after=previous,
                # Proxmox keeps a pool that has members, and volumes are handled when nothing uses them any more.
                outlived_by=[
                    site.volumes.last,
                    site.pool.pool,
                    *([edge_host.entries[name]] if name in edge_host.entries else []),
                ],
                login=site.checks.login,
                stack_tag=site.tag,
                hooks=hooks,
            ),
            opts=pulumi.ResourceOptions(providers=[site.provider, site.commands]),
        )
        previous = [machines[name].vm]
    return machines


def _kubelet_mounts(settings: Settings) -> list[str]:
    longhorn = [longhorn_node.KUBELET_MOUNT] if settings.features.longhorn_v2 else []
    return sorted({*settings.kubelet_mounts, *longhorn})


def _kernel_modules(settings: Settings) -> list[str]:
    zfs = ["zfs"] if settings.talos.extensions.zfs else []
    return zfs + list(longhorn_node.KERNEL_MODULES if settings.features.longhorn_v2 else ())


def _tailscale(settings: Settings, credentials: Credentials) -> TailscaleArgs | None:
    if not settings.talos.extensions.tailscale or credentials.tailscale_auth_key is None:
        return None
    tailscale = settings.tailscale
    return TailscaleArgs(
        routes=tailscale.routes,
        tags=tailscale.tags,
        login_server=tailscale.login_server,
        auth_key=credentials.tailscale_auth_key,
    )
