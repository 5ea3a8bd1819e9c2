"""PowerDNS Operator: zones of PowerDNS as objects of the cluster.

Owns the Helm release with its four kinds. Does not own zones (`zone.py`), nor a namespace: it lives in that of
PowerDNS, whose API key it takes for its environment. Must exist before: PowerDNS, and its key.

It calls the API once before it starts, and exits if there is no answer within ten seconds, or its key is refused: this
causes the restarts seen before PowerDNS is up and while a key is being rotated. docs/dns.md says more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi

from components.dns.powerdns import PowerDns
from components.kit.chart import ChartSource, values
from components.kit.definitions import ChartDefinitions, ChartDefinitionsArgs
from components.kit.release import Release
from components.kit.versions import POWERDNS_OPERATOR
from components.secrets.reloader import restart_on


@dataclass(frozen=True, kw_only=True)
class PowerDnsOperatorArgs:
    """Arguments of `PowerDnsOperator`.

    kubeconfig: of an administrator; a secret.
    """

    charts: ChartSource
    kubeconfig: pulumi.Input[str]
    powerdns: PowerDns


class PowerDnsOperator(pulumi.ComponentResource):
    """The kinds Zone, ClusterZone, RRset and ClusterRRset, and what acts on them."""

    ready: Release
    """Up when the operator has reached PowerDNS; a zone depends on it."""

    def __init__(self, name: str, args: PowerDnsOperatorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:dns:PowerDnsOperator", name, None, opts)
        namespace = args.powerdns.namespace
        key = args.powerdns.api_key(namespace=namespace)
        configured: dict[str, Any] = values("powerdns-operator")
        configured["api"] = {"url": args.powerdns.api_url}
        configured["credentials"] = {"existingSecret": key.name}
        configured["annotations"] = restart_on(key)
        definitions = ChartDefinitions(
            f"{name}-definitions",
            ChartDefinitionsArgs(charts=args.charts, pin=POWERDNS_OPERATOR, kubeconfig=args.kubeconfig),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ready = args.charts.install(
            POWERDNS_OPERATOR,
            name,
            parent=self,
            name="powerdns-operator",
            namespace=namespace,
            values=configured,
            depends_on=[args.powerdns.ready, key.ready, definitions.ready],
            skip_crds=True,
        )
        self.register_outputs({"release": self.ready.name})
