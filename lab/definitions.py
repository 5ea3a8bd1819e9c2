"""`python -m lab.definitions` writes into charts/records what the kinds of Flux and of its operator look like.

The operator's chart cannot be had where no registry of images is in reach, but its source can, and has the definitions
of every release of Flux. Owns that one record's fields and schemas; what the chart makes stays unknown
(`checks/model/records.py`). To be run again when the operator or Flux has another version.
"""

from __future__ import annotations

import sys
from typing import Final

import yaml

from checks.manifest_yaml import LOADER
from checks.model.distil import fields, schemas
from checks.model.records import read, write
from components.kit.versions import FLUX, FLUX_OPERATOR
from lab.flux import PARTS, source

KINDS: Final = frozenset(
    {
        *("fluxcd.controlplane.io/v1/FluxInstance", "helm.toolkit.fluxcd.io/v2/HelmRelease"),
        *("kustomize.toolkit.fluxcd.io/v1/Kustomization", "notification.toolkit.fluxcd.io/v1/Receiver"),
        *("notification.toolkit.fluxcd.io/v1beta3/Alert", "notification.toolkit.fluxcd.io/v1beta3/Provider"),
        *(f"source.toolkit.fluxcd.io/v1/{kind}Repository" for kind in ("Git", "Helm", "OCI")),
    }
)
"""What this repository writes, or a person may."""


def main() -> int:
    """Write the record, and return the exit status."""
    folder = source(FLUX_OPERATOR.version) / "config"
    files = [folder / "crd" / "bases" / "fluxcd.controlplane.io_fluxinstances.yaml"]
    files += [folder / "data" / "flux" / f"v{FLUX}" / f"{part}.yaml" for part in PARTS]
    found = [one for file in files for one in yaml.load_all(file.read_text(), LOADER) if one]
    definitions = [one for one in found if one["kind"] == "CustomResourceDefinition"]
    record = read()[FLUX_OPERATOR.name]
    record.fields, record.schemas = fields(definitions, KINDS), schemas(definitions, KINDS)
    if missing := sorted(KINDS - record.fields.keys()):
        print(f"no definition of {', '.join(missing)} in {folder}", file=sys.stderr)
        return 1
    write(record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
