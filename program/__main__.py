"""`python -m program NAME [ARGUMENT ...]`: what Pulumi runs for a resource of this program.

Such a command line stands in the state of every platform that exists, and a destroy runs it as it was written. So it
names an entry point, never a module: modules may move, these names may not. They are in
`components/kit/entry_point.py`.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from components.kit.entry_point import EntryPoint

MODULES = {
    EntryPoint.CHART_DEFINITIONS: "components.kit.definitions_command",
    EntryPoint.CSI_VOLUMES: "components.storage.csi_volumes_command",
    EntryPoint.GIT_SOURCE: "components.gitops.git_source_command",
    EntryPoint.NODE_REMOVAL: "components.talos.node_removal_command",
    EntryPoint.VM: "components.proxmox.vm_command",
    EntryPoint.VOLUME_ZONES: "components.talos.volume_zones_command",
}
"""Each has a `main(arguments, environment)` that returns an exit status."""


def main(name: str, *arguments: str) -> int:
    """Run an entry point, and return its exit status."""
    if name not in list(EntryPoint):
        print(f"{name!r} is not one of {', '.join(EntryPoint)}", file=sys.stderr)
        return 2
    return int(import_module(MODULES[EntryPoint(name)]).main(arguments, os.environ))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(f"which of {', '.join(EntryPoint)}?")
    sys.exit(main(*sys.argv[1:]))
