"""References between objects of the cluster: what a component hands out so that nobody types a name twice.

Owns no resource. A reference names an object of the component that made it, and renders itself in the form that
Kubernetes, or an operator's custom resource, expects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

import pulumi


@dataclass(frozen=True, kw_only=True)
class SecretReference:
    """One key of a Secret; never its value.

    ready: the resource after which the Secret exists; whatever reads it at startup depends on this.
    """

    namespace: str
    name: str
    key: str
    ready: pulumi.Resource

    @property
    def selector(self) -> dict[str, str]:
        """The `secretKeyRef` of an environment variable, and of most custom resources."""
        return {"name": self.name, "key": self.key}

    def environment(self, variable: str) -> dict[str, Any]:
        """An entry of a container's `env` that takes its value from here."""
        return {"name": variable, "valueFrom": {"secretKeyRef": self.selector}}


@dataclass(frozen=True, kw_only=True)
class IssuerReference:
    """A cert-manager issuer: cluster-wide or, depending on `kind`, of one namespace.

    ready: the resource after which it can issue.
    awaited: whether `up` waits for its certificates. Those of a public CA depend on the world outside, which must see
        the zone first: they are requested, and whatever needs one tries again until it is there.
    ingress_annotations: what an Ingress needs besides the issuer's name.
    """

    name: str
    ready: pulumi.Resource
    awaited: bool = True
    kind: str = "ClusterIssuer"
    ingress_annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> dict[str, str]:
        """The `issuerRef` of a Certificate."""
        return {"name": self.name, "kind": self.kind, "group": "cert-manager.io"}

    @property
    def annotations(self) -> dict[str, str]:
        """On an Ingress: cert-manager makes its certificates with this issuer."""
        return {"cert-manager.io/cluster-issuer": self.name, **self.ingress_annotations}


@dataclass(frozen=True, kw_only=True)
class StorageClassReference:
    """A StorageClass; `ready` is the resource after which volumes can be provisioned from it."""

    name: str
    ready: pulumi.Resource


@dataclass(frozen=True, kw_only=True)
class ServiceAddress:
    """An address that one Service of type LoadBalancer has.

    pool: name of MetalLB's IPAddressPool.
    address: the address, or None where MetalLB chooses one of the pool.
    ready: the resource after which the address is announced.
    """

    pool: str
    address: IPv4Address | None
    ready: pulumi.Resource

    @property
    def annotations(self) -> dict[str, str]:
        """The Service's annotations; `metallb.universe.tf/*` is the deprecated form of the same keys."""
        wanted = {
            "metallb.io/address-pool": self.pool,
            "metallb.io/loadBalancerIPs": None if self.address is None else str(self.address),
        }
        return {key: value for key, value in wanted.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class VaultLogin:
    """How a workload's namespace reaches its secrets in Vault: by Kubernetes auth, with an account of its own.

    server: URL of Vault in the cluster.
    authority: the CA certificate that clients verify it with.
    auth_path, role, audience: mount of the auth method, the role to ask for, and the audience that tokens must have.
    service_account: name of the account that may log in, the same in every namespace.
    mount: of the KV engine (version 2); an account reaches only what lies below `<mount>/<its own namespace>/`.
    ready: the resource after which logins work.
    """

    server: str
    authority: SecretReference
    auth_path: str
    role: str
    audience: str
    service_account: str
    mount: str
    ready: pulumi.Resource
