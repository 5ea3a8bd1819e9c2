"""The site layer: the Proxmox provider, the VMs' pool, the Talos image on each host, and volumes in a destroy."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_proxmoxve as proxmox
import pulumiverse_talos as talos

from components.kit import ports
from components.proxmox.api import ProxmoxLogin
from components.proxmox.hooks import ProxmoxChecks
from components.proxmox.site.plan import PlannedAccount, PlannedAddresses, PlannedHost, PlannedSite
from components.proxmox.talos_image import TalosImage, TalosImageArgs
from components.proxmox.talos_vm import DISK_OPTIONS, disks
from components.proxmox.vm_pool import VmPool, VmPoolArgs, path_of
from components.proxmox.vm_update import PlannedVm
from components.storage import longhorn_node
from components.storage.csi_volume_names import CSI_VM_ID
from components.storage.csi_volumes import CsiVolumes, CsiVolumesArgs
from components.storage.csi_volumes_command import Plan
from components.storage.proxmox_csi import PRIVILEGES
from components.talos.api import PORT as TALOS_API
from components.talos.image_factory import ImageBuilds
from stacks.settings.credentials import Credentials
from stacks.settings.model import Settings

EXTENSIONS = {
    "qemu_guest_agent": ("siderolabs/qemu-guest-agent",),
    "tailscale": ("siderolabs/tailscale",),
    "zfs": ("siderolabs/zfs",),
    "nfs_utils": ("siderolabs/nfs-utils",),
    "gvisor": ("siderolabs/gvisor",),
}
"""The official system extensions that each switch of homelab:talos.extensions installs."""


@dataclass(frozen=True)
class SiteLayer:
    """What later layers need from the site."""

    provider: proxmox.Provider
    talos_provider: talos.Provider
    commands: command.Provider
    """For what neither provider can do; it runs nothing before the site has passed its checks."""
    checks: ProxmoxChecks
    explained: pulumi.ErrorHook
    """Explains errors; for every resource in Proxmox."""
    pool: VmPool
    """What every VM of the stack is made in."""
    image: TalosImage
    volumes: CsiVolumes
    """Deleted after the last VM."""

    @property
    def tag(self) -> str:
        """The tag that marks this stack's VMs."""
        return self.checks.tag


def deploy(settings: Settings, credentials: Credentials) -> SiteLayer:
    """Check the site, then create in it what does not depend on a cluster."""
    site = settings.site
    login = ProxmoxLogin(
        endpoint=site.endpoint,
        insecure=site.insecure,
        ca=site.ca,
        username=site.username,
        password=credentials.proxmox_password,
        api_token=credentials.proxmox_api_token,
    )
    checks = _checks(settings, login)
    provider = _provider(login, checks)
    # If the site fails its checks, nothing at all is created, not even a cluster's secrets.
    talos_provider = talos.Provider(
        "talos",
        image_factory_url=settings.talos.factory,
        opts=pulumi.ResourceOptions(depends_on=[provider]),
    )
    explained = checks.on_error()
    both = pulumi.ResourceOptions(providers=[provider, talos_provider])
    pool = VmPool(
        "vm-pool",
        VmPoolArgs(
            # Two stacks at one site never share the tag either.
            pool=checks.tag,
            comment=checks.site.pool_comment,
            hooks=pulumi.ResourceHookBinding(before_create=[checks.before_pool()], on_error=[explained]),
        ),
        opts=pulumi.ResourceOptions(providers=[provider]),
    )
    image = TalosImage(
        "talos",
        TalosImageArgs(
            factory=settings.talos.factory,
            version=settings.versions.talos,
            extensions=_extensions(settings),
            kernel_args=settings.talos.kernel_args,
            owner=checks.tag,
            datastores={host: site.hosts[host].image_datastore for host in settings.hosts_in_use},
            shared=site.shared_image_datastores,
            hooks=pulumi.ResourceHookBinding(
                before_create=[checks.before_image(), ImageBuilds().before_create()], on_error=[explained]
            ),
        ),
        opts=both,
    )
    commands = command.Provider("command", opts=pulumi.ResourceOptions(depends_on=[provider]))
    volumes = _volumes(settings, login, checks.tag, commands)
    return SiteLayer(provider, talos_provider, commands, checks, explained, pool, image, volumes)


def _checks(settings: Settings, login: ProxmoxLogin) -> ProxmoxChecks:
    return ProxmoxChecks(
        login=login, site=planned_site(settings, f"{pulumi.get_project()}-{pulumi.get_stack()}".lower())
    )


def planned_site(settings: Settings, tag: str) -> PlannedSite:
    """What the settings demand of the site, for the stack that `tag` marks."""
    site = settings.site
    return PlannedSite(
        tag=tag,
        vms={
            name: PlannedVm(
                vm_id=node.vm_id,
                host=node.host,
                address=str(node.address),
                datastore=site.hosts[node.host].disk_datastore,
                disks=disks(node.disk, settings.data_disk(node)),
                options=DISK_OPTIONS,
            )
            for name, node in settings.nodes.items()
        },
        hosts={
            host: PlannedHost(
                required_datastores(settings, host), cores=site.hosts[host].cores, memory=site.hosts[host].memory
            )
            for host in settings.hosts_in_use
        },
        shared=frozenset(site.shared_image_datastores),
        reserved={CSI_VM_ID: "is the storage driver's, whose volumes are called vm-9999-*"},
        bridge=site.bridge,
        vlan=site.vlan,
        # For snapshots the driver has root's password instead.
        account=None if settings.storage.snapshots else storage_account(settings, tag),
        volumes=settings.storage.datastore,
        addresses=_addresses(settings),
        nobody=settings.network.subnet.broadcast_address,
    )


def storage_account(settings: Settings, tag: str) -> PlannedAccount:
    """The account that the storage driver gets: rights on its datastore and on this stack's VMs, and no others."""
    return PlannedAccount(
        name=f"{settings.cluster.name}-csi",
        # The tag as well: a second stack may have given its cluster the same name.
        comment=f"Proxmox CSI of cluster {settings.cluster.name} of {tag}, managed by Pulumi",
        privileges=PRIVILEGES,
        paths=[f"/storage/{settings.storage.datastore}", path_of(tag)],
    )


def _addresses(settings: Settings) -> list[PlannedAddresses]:
    """Virtual addresses of the cluster, with the ports that its services have there."""
    network = settings.network
    pools = {"ingress": (ports.HTTP, ports.HTTPS), "dns": (ports.DNS,), "services": (ports.HTTP, ports.HTTPS)}
    return [
        PlannedAddresses("homelab:network.apiVip", network.api_vip, network.api_vip, (TALOS_API, ports.KUBERNETES_API)),
        *(
            PlannedAddresses(f"homelab:network.pools.{name}", pool.first, pool.last, listens)
            for name, listens in pools.items()
            for pool in [getattr(network.pools, name)]
        ),
    ]


def required_datastores(settings: Settings, host: str) -> dict[str, list[str]]:
    """The datastores that `host` must have, each with the content types that it must take.

    That of the volumes is among them: a volume is made on the host of the node that wants it.
    """
    stores = settings.site.hosts[host]
    wanted = (
        (stores.image_datastore, "import"),
        (stores.disk_datastore, "images"),
        (settings.storage.datastore, "images"),
    )
    return {name: list(dict.fromkeys(kind for other, kind in wanted if other == name)) for name, _ in wanted}


def _provider(login: ProxmoxLogin, checks: ProxmoxChecks) -> proxmox.Provider:
    site_is_ready = checks.before_anything()
    return proxmox.Provider(
        "proxmox",
        endpoint=login.endpoint,
        insecure=login.insecure,
        username=login.username if login.api_token is None else None,
        password=login.password,
        api_token=login.api_token,
        # Also before an update: credentials that Proxmox refuses must not replace those in the state, which a destroy
        # uses.
        opts=pulumi.ResourceOptions(
            hooks=pulumi.ResourceHookBinding(before_create=[site_is_ready], before_update=[site_is_ready])
        ),
    )


def _volumes(settings: Settings, login: ProxmoxLogin, tag: str, commands: command.Provider) -> CsiVolumes:
    return CsiVolumes(
        "csi-volumes",
        CsiVolumesArgs(
            on_destroy=settings.storage.on_destroy,
            plan=Plan(
                endpoint=login.endpoint,
                insecure=login.insecure,
                ca=login.ca,
                username=login.username,
                cluster=settings.cluster.name,
                tag=tag,
                hosts=sorted(settings.site.hosts),
                datastore=settings.storage.datastore,
            ),
            login=login,
        ),
        opts=pulumi.ResourceOptions(providers=[commands]),
    )


def _extensions(settings: Settings) -> list[str]:
    switches = settings.talos.extensions.model_dump()
    chosen = [extension for switch, names in EXTENSIONS.items() if switches[switch] for extension in names]
    return chosen + list(longhorn_node.EXTENSIONS if settings.features.longhorn_v2 else ())
