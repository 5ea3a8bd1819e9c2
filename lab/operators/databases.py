"""CloudNativePG's clusters and the zones of the PowerDNS operator.

After internal/controller of CloudNativePG 1.30 and of PowerDNS Operator 0.6.
"""

from __future__ import annotations

from lab.operators.world import Kind, Object, Outcome, Rule, World, condition, secret, value

CLUSTER = Kind("Cluster", "postgresql.cnpg.io/v1", "clusters")
ZONE = Kind("ClusterZone", "dns.cav.enablers.ob/v1alpha2", "clusterzones", namespaced=False)


def _cluster(item: Object, world: World) -> Outcome:
    """Ready when every server can start: its volume has a class, and its owner a Secret."""
    namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
    problem = _cluster_problem(item, world)
    if problem:
        failed = condition(item, "Ready", False, "ClusterIsNotReady", f"Cluster Is Not Ready: {problem}")
        return Outcome({"conditions": [failed], "phase": "Setting up primary", "phaseReason": problem})
    authority = {"ca.crt": f"the lab's certificate of the authority {name}", "ca.key": "the lab's key"}
    made = secret(f"{name}-ca", namespace, authority, owner=item)
    ready = condition(item, "Ready", True, "ClusterIsReady", "Cluster is Ready")
    return Outcome({"conditions": [ready], "phase": "Cluster in healthy state", "phaseReason": ""}, [made])


def _cluster_problem(item: Object, world: World) -> str | None:
    spec, namespace = item["spec"], item["metadata"]["namespace"]
    storage = spec["storage"].get("storageClass")
    if storage is not None and world.find("StorageClass", storage) is None:
        return f'storageclass.storage.k8s.io "{storage}" not found'
    start = spec.get("bootstrap", {}).get("initdb", {})
    if (name := start.get("secret", {}).get("name")) is None:
        return None
    owner = world.find("Secret", name, namespace)
    if owner is None:
        return f'secret "{name}" not found'
    for each in ("username", "password"):
        if value(owner, each) is None:
            return f"missing {each} key inside the credentials"
    # A literal in the ExternalSecret's template is what the Secret holds.
    if value(owner, "username") != start["owner"]:
        return f"wrong username '{value(owner, 'username')}' in secret, expected '{start['owner']}'"
    return None


def _zone(item: Object, world: World) -> Outcome:
    """Available when PowerDNS has it; of a zone that exists twice, neither is."""
    name = item["metadata"]["name"]
    if any(each["metadata"]["name"] == name for each in world.all("Zone")):
        told = "Already existing Zone with the same FQDN"
        status, done = "Failed", condition(item, "Available", False, "ZoneDuplicated", told)
    elif (problem := _unreachable(world)) is not None:
        status, done = "Failed", condition(item, "Available", False, "SynchronizationFailed", problem)
    else:
        told = "Zone synced with PowerDNS instance"
        status, done = "Succeeded", condition(item, "Available", True, "ZoneSynced", told)
    return Outcome(
        {"conditions": [done], "syncStatus": status, "observedGeneration": item["metadata"].get("generation", 1)}
    )


def _unreachable(world: World) -> str | None:
    """Why the operator does not reach PowerDNS: the Service that it calls leads to a server that runs."""
    if world.available("powerdns") is None:
        return "connect: connection refused"
    return None


RULES = (Rule(CLUSTER, "cloudnative-pg", _cluster), Rule(ZONE, "powerdns-operator", _zone))
