"""What the model takes from Flux of what comes before what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checks.model.flux import Kustomization, Tree, order_of
from checks.model.objects import Manager, Object
from checks.model.order import Order


def kustomization(name: str, parent: str = "", **spec: Any) -> Kustomization:
    content = {"kind": "Kustomization", "metadata": {"name": name, "namespace": "flux-system"}, "spec": spec}
    return Kustomization("flux-system", name, parent, f"./{name}", "gitops/flux.yaml:1", content)


@pytest.mark.parametrize("wait", [True, False])
def test_a_kustomization_is_ready_after_those_in_it_only_if_it_waits(wait: bool) -> None:
    outer = kustomization("outer", wait=wait)
    inner = kustomization("inner", parent=outer.id)
    outer.objects = [Object(inner.content, Manager("flux", outer.id), "gitops/flux.yaml:1", outer.begins)]
    order = Order()
    order_of(Tree(Path(), [outer, inner]), [], [], order)
    assert order.follows(inner.begins, outer.begins)
    assert order.follows(outer.ready, inner.ready) is wait
