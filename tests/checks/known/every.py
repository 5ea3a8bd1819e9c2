"""All known faults in one order: the first twenty happened most, or cost most."""

from __future__ import annotations

from tests.checks.known.order import ORDER
from tests.checks.known.places import PLACES
from tests.checks.known.references import REFERENCES
from tests.checks.known.resources import RESOURCES
from tests.checks.known.versions import VERSIONS

KNOWN = (*ORDER, *REFERENCES, *PLACES, *RESOURCES, *VERSIONS)
