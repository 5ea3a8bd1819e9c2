"""How long workloads may take to come up, with the images that their nodes first have to pull.

Owns two durations, for everything that is awaited and brings images of its own. Owns no resource.

They suit a line of 20 Mbit/s and five nodes, at which the whole platform arrives within one of them: Cilium, which each
node pulls and everything else waits for, is about 1.7 GB together; all the rest, which is pulled side by side, about
4 GB. (Estimated from compressed sizes, each image counted once for each node that runs it.) On a slower line, or with
more nodes, put a registry mirror into the site's own network (homelab:talos.registryMirrors), or run `up` again: what
has been pulled stays.
"""

from __future__ import annotations

from typing import Final

SECONDS: Final = 1800
"""For Helm, which says what is missing when it gives up; its own default is 300."""

AWAITED: Final = "35m"
"""For the engine: longer than Helm, so that Helm is the one to say it."""
