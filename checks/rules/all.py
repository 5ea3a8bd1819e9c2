"""Every rule: loading a module registers what it holds. A new module gets a line here."""

from __future__ import annotations

from checks.rules import (
    accounts,
    border,
    capacity,
    certificates,
    chart_values,
    charts,
    commands,
    compatibility,
    fields,
    images,
    limits,
    machines,
    monitors,
    names,
    network,
    order,
    ownership,
    patches,
    policies,
    probes,
    program,
    references,
    reloads,
    schedules,
    secrets,
    security,
    storage,
    traffic,
    values,
    workloads,
    zone_records,
)
from checks.rules.rule import RULES

MODULES = (
    *(
        references,
        order,
        ownership,
        network,
        capacity,
        storage,
        security,
        secrets,
        images,
        compatibility,
        names,
        probes,
        fields,
    ),
    *(traffic, policies, workloads, commands, values, charts, chart_values, machines, accounts, certificates),
    *(zone_records, monitors, limits, patches, schedules, border, reloads, program),
)

__all__ = ["MODULES", "RULES"]
