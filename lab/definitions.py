"""`python -m lab.definitions` writes into charts/records what kinds of operators look like, from their source.

A chart cannot be had where no registry of images is in reach, but the source of its operator can, and has the same
definitions. Owns those fields and schemas of the records; what a chart makes is another's (`checks/model/records.py`).
To be run again when an operator has another version.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from checks.manifest_yaml import LOADER
from checks.model.distil import fields, schemas
from checks.model.records import read, write
from components.kit.versions import CLOUDNATIVE_PG, FLUX, FLUX_OPERATOR
from lab import flux
from lab.errors import LabError
from lab.golang import source_of


@dataclass(frozen=True)
class Operator:
    """Where an operator's source has its definitions.

    chart: whose record gets them. module, version, checksum: of the source, as Go knows it.
    files: patterns below its directory. kinds: what this repository writes, or a person may.
    """

    chart: str
    module: str
    version: str
    checksum: str
    files: Collection[str]
    kinds: Collection[str]

    def definitions(self) -> Iterator[dict[str, Any]]:
        """Every definition in the files. Raises LabError if the source cannot be had, or is not what it was."""
        source = source_of(self.module, self.version, self.checksum)
        for file in sorted(path for pattern in self.files for path in source.glob(pattern)):
            found = yaml.load_all(file.read_text(), LOADER)
            yield from (one for one in found if one and one["kind"] == "CustomResourceDefinition")


OPERATORS: Final = (
    Operator(
        FLUX_OPERATOR.name,
        flux.MODULE,
        FLUX_OPERATOR.version,
        flux.CHECKSUMS.get(FLUX_OPERATOR.version, ""),
        (
            "config/crd/bases/fluxcd.controlplane.io_fluxinstances.yaml",
            *(f"config/data/flux/v{FLUX}/{part}.yaml" for part in flux.PARTS),
        ),
        (
            *("fluxcd.controlplane.io/v1/FluxInstance", "helm.toolkit.fluxcd.io/v2/HelmRelease"),
            *("kustomize.toolkit.fluxcd.io/v1/Kustomization", "notification.toolkit.fluxcd.io/v1/Receiver"),
            *("notification.toolkit.fluxcd.io/v1beta3/Alert", "notification.toolkit.fluxcd.io/v1beta3/Provider"),
            *(f"source.toolkit.fluxcd.io/v1/{kind}Repository" for kind in ("Git", "Helm", "OCI")),
        ),
    ),
    Operator(
        "kube-prometheus-stack",
        "github.com/prometheus-operator/prometheus-operator",
        # The chart says which it is on each definition, as operator.prometheus.io/version.
        "0.93.1",
        "h1:4Juk8v93RdG1DSGD/mGp+SeQKPmnlLIj2iq3blLZgFY=",
        ("example/prometheus-operator-crd/*.yaml",),
        [f"monitoring.coreos.com/v1/{kind}" for kind in ("PodMonitor", "Probe", "PrometheusRule", "ServiceMonitor")],
    ),
    Operator(
        CLOUDNATIVE_PG.name,
        "github.com/cloudnative-pg/cloudnative-pg",
        # What the chart names: appVersion.
        "1.30.0",
        "h1:fnhVq44xXx97MNiuvJsPrX1vSjYbgdyBK5MSGfdHdp0=",
        ("config/crd/bases/*.yaml",),
        [f"postgresql.cnpg.io/v1/{kind}" for kind in ("Cluster", "Database", "ScheduledBackup")],
    ),
)


def main() -> int:
    """Write the records, and return the exit status."""
    known = read()
    for operator in OPERATORS:
        try:
            definitions = list(operator.definitions())
        except LabError as error:
            print(error, file=sys.stderr)
            return 1
        found = fields(definitions, operator.kinds)
        if missing := sorted(set(operator.kinds) - found.keys()):
            print(f"no definition of {', '.join(missing)} in {operator.module} {operator.version}", file=sys.stderr)
            return 1
        record = known[operator.chart]
        record.fields |= found
        record.schemas |= schemas(definitions, operator.kinds)
        write(record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
