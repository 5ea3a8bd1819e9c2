"""Which requests an Ingress of one host passes on, by Kubernetes' own rules of matching."""

from __future__ import annotations

from typing import Any

import pytest

from components.kit.ingress import one_host


def passed_on(spec: dict[str, Any], path: str) -> bool:
    """https://kubernetes.io/docs/concepts/services-networking/ingress/#path-types"""
    [rule] = spec["rules"]
    wanted = [part for part in path.split("/") if part]
    for one in rule["http"]["paths"]:
        parts = [part for part in one["path"].split("/") if part]
        if path == one["path"] or (one["pathType"] == "Prefix" and wanted[: len(parts)] == parts):
            return True
    return False


@pytest.mark.parametrize("path", ["/", "/login", "/application/o/authorize/"])
def test_every_page_of_a_host_leads_to_its_service(path: str) -> None:
    assert passed_on(one_host("a.example.org", service="a", port=80, class_name="nginx"), path)
