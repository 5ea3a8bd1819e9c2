"""A program that does not start without a Secret: its pod has a gate, which goes once the Secret is there.

After `processWildcardSecret` in cmd/nginx-ingress/main.go of the NGINX Ingress Controller 5.5, which asks the API for
the wildcard certificate's Secret and ends if there is none. A real pod is started again and again; this one waits.
"""

from __future__ import annotations

from lab.operators.world import Kind, Object, Outcome, Rule, World, event, value

POD = Kind("Pod", "v1", "pods")
NEEDED = "homelab.lab/secret"
"""The annotation that names the Secret, and the gate; `lab/charts.py` writes both."""


def _pod(item: Object, world: World) -> Outcome | None:
    gates = item["spec"].get("schedulingGates") or []
    if {"name": NEEDED} not in gates:
        return None
    wanted = str((item["metadata"].get("annotations") or {}).get(NEEDED) or "")
    namespace, _, name = wanted.partition("/")
    found = world.find("Secret", name, namespace)
    for each in ("tls.crt", "tls.key"):
        if wanted and value(found, each) is None:
            told = f"Error when getting the wildcard secret {wanted}: "
            told += f'secrets "{name}" not found' if found is None else f"it has no {each}"
            return Outcome(makes=[event(item, "nginx-ingress", "BackOff", told)])
    return Outcome(spec={"schedulingGates": [each for each in gates if each["name"] != NEEDED]})


RULES = (Rule(POD, None, _pod),)
