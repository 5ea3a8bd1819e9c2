"""A Talos cluster on running machines: machine configurations, bootstrap, kubeconfig and talosconfig.

Owns everything that is done over the Talos API. Does not own the cluster's secrets (`TalosSecrets`), the machines
(`TalosVm`) or anything in Kubernetes.
Must exist before: every node's VM, booted from a Talos image. Nodes are configured one after another, each only when
the one before it is healthy; the kubeconfig is released when etcd and the Kubernetes API answer (`hooks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import pulumi
import pulumiverse_talos as talos

from components.kit.ports import KUBERNETES_API
from components.talos import config as config
from components.talos.hooks import Member, TalosChecks
from components.talos.secrets import TalosSecrets


@dataclass(frozen=True, kw_only=True)
class TalosNodeArgs(Member):
    """One node: its fixed identity, and where it runs.

    zone: the Proxmox host, as a topology label. vm_id is part of the provider id.
    """

    mac: str
    vm_id: int
    zone: str


@dataclass(frozen=True, kw_only=True)
class TailscaleArgs:
    """How nodes join a tailnet; only new nodes are given the key.

    routes: what the control planes advertise; the other nodes are members that route nothing.
    """

    routes: Sequence[IPv4Network]
    tags: Sequence[str]
    login_server: str | None
    auth_key: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class TalosClusterArgs:
    """Arguments of `TalosCluster`.

    nodes: by host name, in the order in which they are changed; control planes first.
    machines: what must exist before the first configuration is applied.
    lives: by host name: a value that is unknown while the node's machine is being replaced (`TalosVm.life`).
    installer: installer image of the schematic, see `TalosImage`.
    """

    cluster_name: str
    region: str
    secrets: TalosSecrets
    nodes: Mapping[str, TalosNodeArgs]
    machines: Sequence[pulumi.Resource]
    lives: Mapping[str, pulumi.Output[str]]
    subnet: IPv4Network
    api_vip: IPv4Address
    pods: IPv4Network
    services: IPv4Network
    talos_version: str
    kubernetes_version: str
    installer: pulumi.Input[str]
    install_disk: str
    registry_mirrors: Mapping[str, Sequence[str]]
    host_entries: Mapping[str, IPv4Address]
    kubelet_mounts: Sequence[str]
    signed_kubelet_certificates: bool
    kernel_modules: Sequence[str]
    worker_sysctls: Mapping[str, str]
    tailscale: TailscaleArgs | None
    checks: TalosChecks

    def __post_init__(self) -> None:
        if not any(node.controlplane for node in self.nodes.values()):
            raise ValueError(
                f"nodes: none of {', '.join(self.nodes) or 'none'} is a control plane; a cluster needs one"
            )

    @property
    def controlplanes(self) -> dict[str, TalosNodeArgs]:
        """The control planes by name, in order."""
        return {name: node for name, node in self.nodes.items() if node.controlplane}

    @property
    def endpoint(self) -> str:
        """URL of the Kubernetes API: the VIP, which lives when etcd does."""
        return f"https://{self.api_vip}:{KUBERNETES_API}"


class TalosCluster(pulumi.ComponentResource):
    """A bootstrapped Talos cluster, without a pod network."""

    kubeconfig: pulumi.Output[str]
    """Administrator's kubeconfig; a secret, known once the API answers."""

    talosconfig: pulumi.Output[str]
    """Administrator's talosconfig, with the control planes as endpoints; a secret."""

    endpoint: str
    """URL of the Kubernetes API."""

    cluster_id: pulumi.Output[str]
    """Changes only when the cluster is rebuilt; a secret, as it identifies the cluster to Talos's discovery service."""

    members: Mapping[str, pulumi.Resource]
    """By host name: what makes a node a member."""

    ready: pulumi.Resource
    """Created once the API answers."""

    def __init__(self, name: str, args: TalosClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:talos:TalosCluster", name, None, opts)
        self._name, self._args = name, args
        client = args.secrets.client
        self.members = applied = self._configure()

        first = args.controlplanes[args.checks.first_control_plane]
        self.ready = kubeconfig = talos.cluster.Kubeconfig(
            f"{name}-kubeconfig",
            node=str(first.address),
            endpoint=str(first.address),
            client_configuration=talos.cluster.KubeconfigClientConfigurationArgs(
                ca_certificate=client.ca_certificate,
                client_certificate=client.client_certificate,
                client_key=client.client_key,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(applied.values()),
                hooks=pulumi.ResourceHookBinding(before_create=[args.checks.before_kubeconfig()]),
            ),
        )
        endpoints = [str(node.address) for node in args.controlplanes.values()]
        talosconfig = talos.client.get_configuration_output(
            cluster_name=args.cluster_name,
            client_configuration=talos.client.GetConfigurationClientConfigurationArgs(
                ca_certificate=client.ca_certificate,  # type: ignore[arg-type]
                client_certificate=client.client_certificate,  # type: ignore[arg-type]
                client_key=client.client_key,  # type: ignore[arg-type]
            ),
            endpoints=endpoints,
            nodes=endpoints,
            opts=pulumi.InvokeOutputOptions(parent=self),
        )
        self.kubeconfig = pulumi.Output.secret(kubeconfig.kubeconfig_raw)
        self.talosconfig = pulumi.Output.secret(talosconfig.talos_config)
        self.endpoint = args.endpoint
        self.cluster_id = args.secrets.cluster_id
        self.register_outputs({"kubeconfig": self.kubeconfig, "talosconfig": self.talosconfig})

    def _configure(self) -> dict[str, pulumi.Resource]:
        """Applies each node's configuration, chained: a change never restarts two nodes at once."""
        args, applied = self._args, dict[str, pulumi.Resource]()
        first, update = args.checks.around_first_configuration(), args.checks.around_configuration_update()
        hooks = pulumi.ResourceHookBinding(
            before_create=[first.before],
            after_create=[first.after],
            before_update=[update.before],
            after_update=[update.after],
        )
        timeout = f"{args.checks.node_timeout:.0f}s"
        client = talos.machine.ClientConfigurationArgs(
            ca_certificate=args.secrets.client.ca_certificate,
            client_certificate=args.secrets.client.client_certificate,
            client_key=args.secrets.client.client_key,
        )
        for node_name, node in args.nodes.items():
            generated = talos.machine.get_configuration_output(
                cluster_name=args.cluster_name,
                cluster_endpoint=args.endpoint,
                machine_type="controlplane" if node.controlplane else "worker",
                # A dictionary, because the SDK's class sends keys that the provider does not know:
                # https://github.com/pulumiverse/pulumi-talos/issues/103
                machine_secrets=args.secrets.machine_secrets,  # type: ignore[arg-type]
                talos_version=args.talos_version,
                kubernetes_version=args.kubernetes_version,
                docs=False,
                examples=False,
                config_patches=self._patches(node_name, node),
                opts=pulumi.InvokeOutputOptions(parent=self),
            )
            applied[node_name] = talos.machine.ConfigurationApply(
                f"{self._name}-{node_name}",
                node=str(node.address),
                endpoint=str(node.address),
                client_configuration=client,
                machine_configuration_input=pulumi.Output.secret(generated.machine_configuration),
                config_patches=self._join_patches(),
                # Constant, but unknown while the machine is being replaced: the new one must be configured again.
                apply_mode=args.lives[node_name].apply(lambda _: "auto"),
                timeouts=talos.machine.TimeoutArgs(create=timeout, update=timeout, delete=timeout),
                opts=pulumi.ResourceOptions(
                    parent=self,
                    # The first waits for every machine, each of the others for the one before it: if each waited for
                    # every machine, the number of edges would grow with the square of the nodes.
                    depends_on=[*applied.values()][-1:] or list(args.machines),
                    hooks=hooks,
                    replace_on_changes=["applyMode"],
                    delete_before_replace=True,
                    # A key serves a node only when it joins; a node that has joined never gets another.
                    ignore_changes=["configPatches"],
                ),
            )
        return applied

    def _patches(self, node_name: str, node: TalosNodeArgs) -> pulumi.Output[list[str]]:
        def rendered(installer: str) -> list[str]:
            return config.render(self._documents(node_name, node, installer))

        return pulumi.Output.from_input(self._args.installer).apply(rendered)

    def _documents(self, node_name: str, node: TalosNodeArgs, installer: str) -> list[config.Document]:
        args = self._args
        documents = [
            config.hostname(node_name),
            config.link_alias(node.mac),
            config.install(disk=args.install_disk, image=installer),
            config.pod_network(pods=args.pods, services=args.services),
            config.kubeprism(),
            config.addresses(args.subnet),
            config.topology(region=args.region, zone=node.zone, vm_id=node.vm_id),
        ]
        if node.controlplane:
            addresses = [str(args.api_vip), *(str(other.address) for other in args.controlplanes.values())]
            documents += [
                config.api_vip(args.api_vip),
                config.api_certificate(addresses),
                config.etcd_addresses(args.subnet),
                config.no_cluster_dns(),
                config.control_plane_metrics(node.address),
            ]
            if len(args.controlplanes) == len(args.nodes):
                documents.append(config.ordinary_pods_on_control_planes())
        if args.signed_kubelet_certificates:
            documents.append(config.signed_kubelet_certificate())
        if args.kubelet_mounts:
            documents.append(config.kubelet_mounts(args.kubelet_mounts))
        sysctls = {} if node.controlplane else args.worker_sysctls
        if args.kernel_modules or sysctls:
            documents.append(config.kernel(modules=args.kernel_modules, sysctls=sysctls))
        documents += [
            config.registry_mirror(registry, endpoints) for registry, endpoints in args.registry_mirrors.items()
        ]
        documents += config.host_entries(args.host_entries)
        if args.tailscale is not None:
            join = args.tailscale
            documents.append(
                config.tailscale(routes=join.routes, tags=join.tags, login_server=join.login_server)
                if node.controlplane
                else config.tailscale_aside(tags=join.tags, login_server=join.login_server)
            )
        return documents

    def _join_patches(self) -> pulumi.Output[list[str]] | None:
        if self._args.tailscale is None:
            return None
        key = pulumi.Output.secret(self._args.tailscale.auth_key)
        return key.apply(lambda known: config.render([config.tailscale_auth_key(known)]))
