"""Pod Security: each pod is allowed in its namespace, as the API server's own code says."""

from __future__ import annotations

from collections.abc import Iterator

from checks.model.flux_tool import ask
from checks.model.machines import EXEMPT, TALOS_PODS
from checks.model.objects import items, mapping
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule

LABEL = "pod-security.kubernetes.io/enforce"

SAFE_SYSCTLS = frozenset(
    {
        *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
        *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
        *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
        *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
    }
)
"""https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/#safe-and-unsafe-sysctls"""


def level_of(platform: Platform, namespace: str) -> tuple[str, str]:
    """The level that is enforced in a namespace, and what says so."""
    if namespace in EXEMPT:
        return "privileged", "Talos exempts it"
    for made in platform.find("", "Namespace", "", namespace):
        if level := made.labels.get(LABEL):
            return str(level), f"{LABEL}: {level}"
    return TALOS_PODS, f"no label {LABEL}, so Talos's default {TALOS_PODS}"


@rule(
    "pod-security",
    title="Each pod is allowed at the Pod Security level of its namespace",
    why="The API server refuses the pod, and its workload stays without any.",
    remedy="Give the pod what the level asks for, or the namespace the level that the pod needs.",
)
def pods(platform: Platform) -> Iterator[Finding]:
    """Pods that the admission plugin would refuse."""
    known = (one for one in platform.pods if one.spec.get("containers") and one.of.manager.system != "operator")
    asked = {str(number): one for number, one in enumerate(known)}
    levels = {number: level_of(platform, one.of.namespace) for number, one in asked.items()}
    question = [
        {"id": number, "level": levels[number][0], "metadata": one.metadata, "spec": one.spec}
        for number, one in asked.items()
        if levels[number][0] != "privileged"
    ]
    if platform.manifests is None:
        yield finding(
            "all pods",
            "securityContext",
            "were not examined: the program `manifests` was not found",
            remedy="Run it by `make check`.",
        )
        return
    for number, facts in ask(platform.manifests, {"pods": question})["pods"].items():
        one, (_, because) = asked[number], levels[number]
        if facts:
            shown = "; ".join(f"{fact['check']} ({fact['detail']})" for fact in facts)
            checks = ", ".join(fact["check"] for fact in facts)
            yield finding(
                one.of, f"{one.path}: {checks}", f"violates {shown}, and its namespace has {because}", one.of.where
            )


@rule(
    "unsafe-sysctl",
    title="A sysctl outside the safe set is allowed by kubelet",
    why="Kubelet refuses the pod: SysctlForbidden.",
    remedy="Add it to machine.kubelet.extraConfig.allowedUnsafeSysctls of the Talos configuration, or leave it out.",
)
def sysctls(platform: Platform) -> Iterator[Finding]:
    """Sysctls that no kubelet allows."""
    allowed = [
        str(name)
        for found in platform.talos.machine("kubelet", "extraConfig", "allowedUnsafeSysctls")
        for name in found
    ]
    for text in platform.talos.machine("kubelet", "extraArgs", "allowed-unsafe-sysctls"):
        allowed += str(text).split(",")
    for one in platform.pods:
        for number, entry in enumerate(items(mapping(one.spec.get("securityContext")).get("sysctls"))):
            name = str(entry.get("name"))
            fits = any(name == own or (own.endswith("*") and name.startswith(own[:-1])) for own in allowed)
            if name not in SAFE_SYSCTLS and not fits:
                place = f"{one.path}.securityContext.sysctls[{number}]"
                shown = ", ".join(allowed) or "nothing"
                problem = f"sets {name}, and machine.kubelet.extraConfig.allowedUnsafeSysctls has {shown}"
                yield finding(one.of, place, problem, one.of.where)


@rule(
    "service-account-subject",
    title="A ClusterRoleBinding says in which namespace an account is",
    why="The API server refuses such a subject: only a RoleBinding's account is by default in its own namespace.",
    remedy="Set subjects[].namespace.",
)
def subjects(platform: Platform) -> Iterator[Finding]:
    """Subjects of bindings that lack their namespace."""
    for thing in platform.of_kind("rbac.authorization.k8s.io", "ClusterRoleBinding"):
        for number, subject in enumerate(items(thing.content.get("subjects"))):
            if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
                problem = f"names ServiceAccount {subject.get('name')} without its namespace"
                yield finding(thing, f"subjects[{number}].namespace", problem, thing.where)
