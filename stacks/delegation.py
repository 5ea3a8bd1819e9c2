"""What somebody has to set in the parent zone, by hand and once, so that the cluster's domain resolves.

Owns no resource; pure Python on settings alone, so that it is known before anything exists. The parent zone is managed
elsewhere, such as in Route 53, and outlives every cluster.
"""

from __future__ import annotations

from stacks.settings.model import Settings

TTL = 3600
"""TTL of the delegation in seconds; it changes only with the name server's address."""


def records(settings: Settings) -> list[str]:
    """The records for the parent zone, in zone file format: the name server, and its address if the settings know it.

    With an edge the name server is the edge's secondary. Without one, its public address is
    `homelab:dns.publicAddress`, if the name is in the domain itself.
    """
    domain, server = settings.cluster.domain, settings.nameserver
    found = [f"{domain}. {TTL} IN NS {server}."]
    if settings.public_address is not None and (settings.edge or _inside(server, domain)):
        found.append(f"{server}. {TTL} IN A {settings.public_address}")
    return found


def remarks(settings: Settings) -> list[str]:
    """What else those who manage the parent zone, or another secondary, must know; a line each."""
    domain, server = settings.cluster.domain, settings.nameserver
    primary = settings.network.pools.dns.first
    said = [f"no DS record: the zone is not signed. Remove one that is left from an earlier zone {domain}"]
    if len(records(settings)) == 1:
        said.append(
            f"{server} needs an address record: the public address at which port 53 reaches {primary}"
            + (" (homelab:dns.publicAddress is not set)" if _inside(server, domain) else "")
        )
    tsig = settings.edge.secondary.tsig if settings.edge else None
    signed = f", signed with the {tsig.algorithm} key {tsig.name} (homelab:edgeTsigKey)" if tsig else ""
    if settings.edge:
        said.append(f"{server} is set up by `pulumi up`; it transfers {domain} from {primary}{signed}")
    said += [
        f"secondary {address}: set it up by hand, to transfer {domain} from {primary}{signed}"
        for address in settings.dns.transfer.notify
        if not settings.edge or address != settings.edge.secondary.address
    ]
    return said


def _inside(name: str, domain: str) -> bool:
    return name.endswith(f".{domain}")
