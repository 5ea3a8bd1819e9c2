"""What happens to machines is tried on a lab that ends at storage: nothing here looks at what runs later."""

from __future__ import annotations

import pytest

from tests.lab.live import LiveLab


@pytest.fixture(scope="module")
def lab(cluster_lab: LiveLab) -> LiveLab:
    """The lab of machines, in the place of the whole one."""
    return cluster_lab
