"""Flux's notification controller: a Receiver is Ready once the Secret with its token is there. Nothing listens.

After internal/controller/receiver_controller.go of the notification controller 1.9.
"""

from __future__ import annotations

import hashlib

from lab.operators.world import Kind, Object, Outcome, Rule, World, condition, value

RECEIVER = Kind("Receiver", "notification.toolkit.fluxcd.io/v1", "receivers")


def _receiver(item: Object, world: World) -> Outcome:
    name, namespace = item["spec"]["secretRef"]["name"], item["metadata"]["namespace"]
    known = world.find("Secret", name, namespace)
    if value(known, "token") is None:
        problem = f"invalid \"{name}\" secret data: required field 'token'"
        told = problem if known else f"unable to read token from secret '{namespace}/{name}' error: not found"
        return Outcome({"conditions": [condition(item, "Ready", False, "TokenNotFound", told, generation=True)]})
    signed = f"{value(known, 'token')}{item['metadata']['name']}{namespace}"
    told = f"Receiver initialized for path: /hook/{hashlib.sha256(signed.encode()).hexdigest()}"
    return Outcome({"conditions": [condition(item, "Ready", True, "Succeeded", told, generation=True)]})


RULES = (Rule(RECEIVER, None, _receiver),)
