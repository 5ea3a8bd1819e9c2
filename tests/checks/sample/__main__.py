"""A program small enough to know by heart, with each kind of edge that the recorder has to see."""

import asyncio

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_proxmoxve as proxmox
import pulumi_random as random
from parts import App, Cluster, Machines  # type: ignore[import-not-found]
from pulumi import ResourceOptions

config = pulumi.Config()
token = config.require_secret("token")


def note(args: pulumi.ResourceHookArgs) -> None:
    if args.name == "forbidden":
        raise ValueError(f"{args.name} may not be created")


site = proxmox.Provider("site", endpoint="https://127.0.0.1:8006/", api_token=token)
generator = random.Provider("generator")
machines = Machines("node", 2, pulumi.ResourceHook("note", note), ResourceOptions(providers=[site]))
cluster = Cluster("talos", machines, ResourceOptions(depends_on=[machines]))
cloud = [cluster.provider, generator]
first = App("first", [], ResourceOptions(depends_on=[cluster], providers=cloud))
second = App("second", [first], ResourceOptions(providers=cloud))

if config.get_bool("inApply"):
    second.release.name.apply(
        lambda name: kubernetes.core.v1.ConfigMap(
            "in-apply", data={"release": name}, opts=ResourceOptions(provider=cluster.provider)
        )
    )
if config.get_bool("bug"):
    raise RuntimeError("bug in program")
if config.get_bool("bugInApply"):
    pulumi.Output.from_input("word").apply(int)
if config.get_bool("never"):

    async def never() -> None:
        await asyncio.Event().wait()

    pulumi.run(never)

pulumi.export("token", token)
pulumi.export("kubeconfig", cluster.kubeconfig.kubeconfig_raw)
pulumi.export("platform", (config.get_object("platform") or {}).get("name"))
