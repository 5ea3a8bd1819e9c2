"""Every rule: loading a module registers what it holds. A new module gets a line here."""

from __future__ import annotations

from checks.rules import (
    capacity,
    charts,
    commands,
    fields,
    images,
    monitors,
    names,
    network,
    order,
    ownership,
    policies,
    probes,
    program,
    references,
    secrets,
    security,
    storage,
    traffic,
    values,
    workloads,
)
from checks.rules.rule import RULES

MODULES = (
    *(references, order, ownership, network, capacity, storage, security, secrets, images, names, probes, fields),
    *(traffic, policies, monitors, workloads, commands, values, charts, program),
)

__all__ = ["MODULES", "RULES"]
