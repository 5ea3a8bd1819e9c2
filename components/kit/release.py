"""A Helm release, registered with what the provider asks for.

Owns the class that registers it. Does not own where a chart comes from, nor how long a release may take: `chart.py`.
Must exist before: the API server.

The class that pulumi-kubernetes has registers the same. But its module also loads what renders charts in the program,
an HTTP client included, at each start.
"""

from __future__ import annotations

from typing import Any

import pulumi

from components.kit.kubernetes_object import PLUGIN


class Release(pulumi.CustomResource):
    """A release; `arguments` are those of `helm.v3.Release`, under the names that the provider has for them."""

    def __init__(self, logical_name: str, arguments: dict[str, Any], opts: pulumi.ResourceOptions) -> None:
        super().__init__(
            "kubernetes:helm.sh/v3:Release",
            logical_name,
            # The provider's mark of the requests that it still understands.
            {**arguments, "compat": "true"},
            pulumi.ResourceOptions.merge(pulumi.ResourceOptions(version=PLUGIN), opts),
        )

    @property
    @pulumi.getter
    def name(self) -> pulumi.Output[str]:
        """The release's, by which Helm knows it."""
        found: pulumi.Output[str] = pulumi.get(self, "name")
        return found
