"""Reads the YAML of manifests as Kubernetes' own tools do.

Owns one loader. To YAML 1.1, and so to PyYAML, an unquoted `=` is a value of a type of its own, which its safe loaders
refuse; the definitions of the Prometheus operator have it in a list of signs. To Kubernetes it is text.
"""

from __future__ import annotations

from typing import Any

from components.kit import safe_yaml

LOADER: Any = type("ManifestLoader", (safe_yaml.LOADER,), {})
"""A safe loader, and a fast one: the definitions of one chart may be several megabytes."""

LOADER.add_constructor("tag:yaml.org,2002:value", safe_yaml.LOADER.construct_yaml_str)
