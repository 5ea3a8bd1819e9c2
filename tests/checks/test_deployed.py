"""What a reviewer compares: the objects that Flux deploys, before and after a change of the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.deployed import deployed
from lab.preview_difference import FLUX, markdown
from tests.checks.platforms import edited, platform


def test_a_changed_file_shows_the_object_and_the_line_that_change(tmp_path: Path) -> None:
    before = deployed(platform(tmp_path / "base"))
    after = deployed(platform(tmp_path / "head", edit=edited("gitops/forge/release.yaml", ("size: 5Gi", "size: 7Gi"))))
    shown = markdown(before, after, FLUX).splitlines()
    changed = [line for line in shown if line.startswith("!")]
    assert "! HelmRelease.helm.toolkit.fluxcd.io forge/forge" in changed
    assert {"-      size: 5Gi", "+      size: 7Gi"} <= set(shown)


def test_variables_have_their_values(tmp_path: Path) -> None:
    assert "${domain}" not in str(deployed(platform(tmp_path)))


def test_a_tree_that_cannot_be_built_is_named_and_not_shown_as_empty(tmp_path: Path) -> None:
    broken = edited("gitops/forge/kustomization.yaml", ("release.yaml", "missing.yaml"))
    with pytest.raises(ValueError, match=r"missing\.yaml"):
        deployed(platform(tmp_path, edit=broken))
