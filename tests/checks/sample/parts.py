"""The sample's components."""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_proxmoxve as proxmox
import pulumi_random as random
import pulumiverse_talos as talos
from pulumi import ResourceOptions


class Machines(pulumi.ComponentResource):
    def __init__(self, name: str, count: int, hook: pulumi.ResourceHook, opts: ResourceOptions) -> None:
        super().__init__("sample:compute:Machines", name, None, opts)
        self.machines = [
            proxmox.VmLegacy(
                f"{name}-{index}",
                node_name="pve1",
                vm_id=100 + index,
                opts=ResourceOptions(
                    parent=self,
                    protect=index == 0,
                    replace_on_changes=["bios"],
                    hooks=pulumi.ResourceHookBinding(before_create=[hook]),
                ),
            )
            for index in range(count)
        ]
        self.register_outputs({"count": count})


class Cluster(pulumi.ComponentResource):
    def __init__(self, name: str, machines: Machines, opts: ResourceOptions) -> None:
        super().__init__("sample:talos:Cluster", name, None, opts)
        provider = talos.Provider(f"{name}-provider", opts=ResourceOptions(parent=self))
        child = ResourceOptions(parent=self, provider=provider)
        secrets = talos.machine.Secrets(f"{name}-secrets", talos_version="v1.12.0", opts=child)
        client = secrets.client_configuration
        access: dict[str, pulumi.Output[str]] = {
            "ca_certificate": client.ca_certificate,
            "client_certificate": client.client_certificate,
            "client_key": client.client_key,
        }
        talosconfig = talos.client.get_configuration_output(
            cluster_name="sample",
            client_configuration=pulumi.Output.all(**access).apply(
                lambda known: talos.client.GetConfigurationClientConfigurationArgs(**known)
            ),
            endpoints=["127.0.0.1"],
            opts=pulumi.InvokeOutputOptions(provider=provider),
        )
        bootstrap = talos.machine.Bootstrap(
            f"{name}-bootstrap",
            node="127.0.0.1",
            client_configuration=talos.machine.ClientConfigurationArgs(**access),
            opts=ResourceOptions(parent=self, provider=provider, depends_on=machines.machines),
        )
        self.kubeconfig = talos.cluster.Kubeconfig(
            f"{name}-kubeconfig",
            node="127.0.0.1",
            client_configuration=talos.cluster.KubeconfigClientConfigurationArgs(**access),
            opts=ResourceOptions(parent=self, provider=provider, depends_on=[bootstrap]),
        )
        self.provider = kubernetes.Provider(
            f"{name}-kubernetes", kubeconfig=self.kubeconfig.kubeconfig_raw, opts=ResourceOptions(parent=self)
        )
        self.register_outputs({"talosconfig": pulumi.Output.secret(talosconfig.talos_config)})


class App(pulumi.ComponentResource):
    def __init__(self, name: str, needs: Sequence[pulumi.Resource], opts: ResourceOptions) -> None:
        super().__init__("sample:apps:App", name, None, opts)
        child = ResourceOptions(parent=self)
        password = random.RandomPassword(f"{name}-password", length=24, opts=child)
        namespace = kubernetes.core.v1.Namespace(f"{name}-namespace", opts=child)
        secret = kubernetes.core.v1.Secret(
            f"{name}-secret",
            metadata={"namespace": namespace.metadata.name},
            string_data={"password": password.result},
            opts=child,
        )
        self.release = kubernetes.helm.v3.Release(
            f"{name}-release",
            chart="sample",
            version="1.0.0",
            namespace=namespace.metadata.name,
            opts=ResourceOptions(parent=self, depends_on=[*needs, secret]),
        )
        self.register_outputs({"password": password.result})
