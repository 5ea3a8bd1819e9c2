"""The rules between values of the configuration, which no single value can be checked for.

Owns the list of all rules, and those about dependencies between settings. Those about addresses are in `address_rules`,
those about machines in `machine_rules`. Each rule is a generator of findings over settings whose types and formats have
already been checked; a value that one rule refused is not refused again for the consequences.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from components.gitops.git_link import repository_of
from components.identity.directory import TEMPLATE, reserved
from components.kit.spelling import did_you_mean
from stacks.application_secrets import SECRETS, DeclaredSecret, unknown
from stacks.settings import address_rules, machine_rules
from stacks.settings.address_rules import inside_the_cluster, named_pools
from stacks.settings.errors import path
from stacks.settings.hosts import is_this_machine
from stacks.settings.machine_rules import Findings
from stacks.settings.model import SNAPSHOT_USER, Settings
from stacks.settings.public_names import RESIDENTIAL, unknown_top_level
from stacks.sso import HARBOR, groups

_NEVER_DELEGATED = (RESIDENTIAL, "local", "localhost", "internal", "invalid", "test", "example", "onion", "alt", "lan")
"""Names of https://www.iana.org/assignments/special-use-domain-names, ICANN's `internal`, and the usual `lan`."""


def check(settings: Settings) -> list[str]:
    """All findings, one line each; empty if there are none."""
    rules = (
        *machine_rules.RULES,
        *address_rules.RULES,
        _tailscale,
        _edge,
        _identity,
        _snapshots,
        _dns,
        _delegation,
        _names,
        _gitops,
        _registry,
        rotation,
    )
    return [f"{path(place)}: {text}" for rule in rules for place, text in rule(settings)]


def needed_by_up(settings: Settings) -> list[str]:
    """Findings about what a preview can do without, and an `up` cannot; empty if there are none."""
    found = (*_edge_secured(settings), *_seed_known(settings))
    return [f"{path(place)}: {text}" for place, text in found]


def _edge_secured(settings: Settings) -> Findings:
    """Edge and cluster must know each other by keys: by an address alone, anybody in between would be taken for one."""
    edge = settings.edge
    if edge is None:
        return
    if edge.ssh.host_key is None:
        host = edge.ssh.host or str(edge.address)
        yield (
            ("edge", "ssh", "hostKey"),
            f"missing, so any server that answers at {host} would get what the edge is told; set it to what "
            f"`ssh-keyscan -t ed25519 {host}` prints after the address, once `ssh-keygen -lf "
            "/etc/ssh/ssh_host_ed25519_key.pub` on the host's own console has shown the same fingerprint",
        )
    if edge.secondary.tsig is None:
        yield (
            ("edge", "secondary", "tsig"),
            "missing, so whoever has an address that may transfer the zone gets all of it, unsigned; set it to "
            "{ name: edge }, and its key with `openssl rand -base64 32 | pulumi config set --secret "
            "homelab:edgeTsigKey`",
        )


def _seed_known(settings: Settings) -> Findings:
    """Flux deploys what it reads, so it reads from no server whose key it does not know."""
    gitops = settings.gitops
    if gitops is None or not gitops.over_ssh or settings.seed_host_key is not None:
        return
    host = urlsplit(gitops.seed).hostname
    yield (
        ("gitops", "hostKey"),
        f"missing, so any server that answers at {host} could deploy to the cluster; set it to what "
        f"`ssh-keyscan -t ed25519 {host}` prints after the address, once the host's own console has shown the same",
    )


def _gitops(settings: Settings) -> Findings:
    gitops = settings.gitops
    if gitops is None:
        return
    if gitops.host_key is not None and not gitops.over_ssh:
        yield (
            ("gitops", "hostKey"),
            f"has no effect, as gitops.seed {gitops.seed} is not read over SSH; remove it",
        )
    if gitops.own == gitops.seed:
        yield (
            ("gitops", "own"),
            f"{gitops.own} is also gitops.seed, which has to outlive the cluster; give a seed outside it",
        )
    if repository_of(gitops.own) is None:
        yield (
            ("gitops", "own"),
            f"{gitops.own} names no repository of Gitea; write its owner and its name, such as .../homelab/homelab.git",
        )
    if gitops.own.startswith("ssh://"):
        yield (
            ("gitops", "own"),
            f"{gitops.own} is read over SSH, but the key is for the seed; give the http URL of Gitea's Service",
        )


def _registry(settings: Settings) -> Findings:
    """Mirrors that no node could use: each pull would try them, and then go on as without them."""
    if not settings.registry.mirrors:
        return
    place = ("registry", "mirrors")
    if settings.gitops is None:
        yield place, "true, but Harbor comes with the applications; set gitops, or set this to false"
    if settings.private_authority:
        key = "staging" if settings.certificates.acme else "acme"
        change = f"certificates.{key} to {'false' if key == 'staging' else 'true'}"
        yield (
            place,
            "true, but the nodes do not trust Harbor's certificate, which the cluster's own authority signs; set "
            f"{change}, or set this to false",
        )
    host = f"{HARBOR.host}.{settings.cluster.domain}"
    if host in settings.talos.host_entries:
        yield (
            ("talos", "hostEntries", host),
            "has no effect while registry.mirrors is true, which leads nodes to the ingress; remove it",
        )


def _tailscale(settings: Settings) -> Findings:
    if settings.talos.extensions.tailscale:
        for index, route in enumerate(settings.tailscale.routes):
            # CalcAdvertiseRoutes in net/netutil/routes.go of Tailscale refuses it without ::/0.
            if route.prefixlen == 0:
                yield (
                    ("tailscale", "routes", index),
                    f"{route} would make the nodes half of an exit node, and Tailscale refuses to start with it; name "
                    "the networks that are to be reached, such as network.subnet",
                )
        return
    tailscale = settings.tailscale
    values = {
        "routes": ", ".join(map(str, tailscale.routes)),
        "tags": ", ".join(tailscale.tags),
        "loginServer": tailscale.login_server,
    }
    for key, value in values.items():
        if value:
            yield (
                ("tailscale", key),
                f"{value} has no effect while talos.extensions.tailscale is false; set that to true, or remove this",
            )


def _edge(settings: Settings) -> Findings:
    edge = settings.edge
    if edge is None:
        return
    for name in edge.sites:
        if f".{name.removeprefix('*.')}".endswith(f".{settings.cluster.domain}"):
            yield (
                ("edge", "sites", name),
                f"lies below cluster.domain {settings.cluster.domain}, whose names go to the cluster; create an "
                "Ingress for it there, or choose a name outside that domain",
            )
    login = urlsplit(settings.tailscale.login_server or "").hostname or ""
    if edge.headscale and f".{login}".endswith(f".{settings.cluster.domain}"):
        yield (
            ("tailscale", "loginServer"),
            f"{login} lies below cluster.domain {settings.cluster.domain}, whose names go to the cluster, but "
            "Headscale runs on the edge host; choose a name outside that domain",
        )
    if edge.headscale:
        missing = {
            "talos.extensions.tailscale": not settings.talos.extensions.tailscale,
            "tailscale.loginServer": settings.tailscale.login_server is None,
            "tailscale.tags": not settings.tailscale.tags,
        }
        needed = [key for key, is_missing in missing.items() if is_missing]
        if needed:
            yield (
                ("edge", "headscale"),
                f"true needs {', '.join(needed)}, so that nodes join its tailnet and are recognised by a tag; set "
                "what is missing, or set this to false",
            )
    if settings.talos.extensions.tailscale:
        for name in ("ingress", "dns"):
            pool = named_pools(settings)[name]
            for address in dict.fromkeys((pool.first, pool.last)):
                if not any(address in route for route in settings.tailscale.routes):
                    yield (
                        ("tailscale", "routes"),
                        f"no route covers {address} of network.pools.{name}, which the edge host must reach; add "
                        f"{address}/32 or a network that contains it",
                    )


def _identity(settings: Settings) -> Findings:
    known, users = groups(), settings.identity.users
    for name, user in users.items():
        for index, group in enumerate(user.groups):
            if group not in known:
                remedy = did_you_mean(group, known) or f"choose one of {', '.join(known)}"
                yield ("identity", "users", name, "groups", index), f"{group!r} is not a known group; {remedy}"
    first: dict[str, str] = {}
    for name, user in users.items():
        if owner := reserved(name):
            yield ("identity", "users", name), f"{name} is kept by {owner}; choose another user name"
        if user.name and TEMPLATE in user.name:
            yield (
                ("identity", "users", name, "name"),
                f"{user.name!r} contains {TEMPLATE}, which would start a template; leave it out",
            )
        if (other := first.setdefault(user.email.lower(), name)) != name:
            yield (
                ("identity", "users", name, "email"),
                f"{user.email} is also the address of {other}, but services identify people by it; give each their own",
            )


def _snapshots(settings: Settings) -> Findings:
    if settings.storage.snapshots and settings.site.username != SNAPSHOT_USER:
        yield (
            ("storage", "snapshots"),
            f"true needs Proxmox's root password in the cluster, as Proxmox allows only {SNAPSHOT_USER} to copy a "
            f"volume; set site.username to {SNAPSHOT_USER} and proxmoxPassword, or set this to false",
        )


def _dns(settings: Settings) -> Findings:
    dns = settings.dns
    if settings.edge:
        for key, value, decided in (
            ("nameserver", dns.nameserver, "secondary.name"),
            ("publicAddress", dns.public_address, "address"),
        ):
            if value:
                yield ("dns", key), f"{value} has no effect because edge.{decided} takes precedence; remove it"
    elif dns.public_address and (owner := inside_the_cluster(settings, dns.public_address)):
        yield (
            ("dns", "publicAddress"),
            f"{dns.public_address} belongs to the cluster ({owner}), so it cannot be reached from outside; give the "
            "address of the host that forwards connections, or omit the key",
        )


def _delegation(settings: Settings) -> Findings:
    """Let's Encrypt asks public name servers, which know nothing of names that are never delegated."""
    domain = settings.cluster.domain
    special = (one for one in _NEVER_DELEGATED if f".{domain}".endswith(f".{one}"))
    ending = next(special, None) or unknown_top_level(domain)
    certificates = settings.certificates
    if ending and certificates.acme and not certificates.staging:
        yield (
            ("certificates", "staging"),
            f"false asks Let's Encrypt for certificates of {domain}, but nobody can be given a domain below {ending} "
            "on the internet; choose a domain that you own, or set certificates.acme to false",
        )
    if not certificates.acme:
        without_effect = {
            "email": certificates.email,
            "resolvers": ", ".join(map(str, certificates.resolvers)),
            "staging": None if certificates.staging else "false",
        }
        for key, value in without_effect.items():
            if value:
                yield (
                    ("certificates", key),
                    f"{value} has no effect while certificates.acme is false; set that to true, or remove this",
                )


def _names(settings: Settings) -> Findings:
    own = {
        ("site", "endpoint"): urlsplit(settings.site.endpoint).hostname,
        ("talos", "factory"): urlsplit(settings.talos.factory).hostname,
        ("tailscale", "loginServer"): urlsplit(settings.tailscale.login_server or "").hostname,
        ("edge", "ssh", "host"): settings.edge.ssh.host if settings.edge else None,
    }
    for place, host in own.items():
        if host and is_this_machine(host):
            yield place, f"{host} means the machine itself on every machine; give the name by which others reach it"
    for name in settings.nodes:
        if name == "localhost":
            yield ("nodes", name), f"{name} means the machine itself on every machine; choose another name"


def rotation(settings: Settings, secrets: Mapping[str, DeclaredSecret] = SECRETS) -> Findings:
    """Every entry of `homelab:rotation` must name a secret, or it would have no effect."""
    for name in settings.rotation:
        if wrong := unknown(name, secrets):
            yield ("rotation", name), wrong
