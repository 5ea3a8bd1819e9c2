"""What an API server says of a definition while it takes it."""

from typing import Any

import pytest

from components.kit.definitions_command import conditions_of


@pytest.mark.parametrize("status", [None, {}, {"conditions": None, "storedVersions": None}, {"conditions": []}])
def test_a_definition_that_was_only_just_taken_has_no_conditions(status: Any) -> None:
    assert conditions_of({"status": status}) == {}


def test_a_definition_that_is_served_says_so() -> None:
    conditions = [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]
    assert conditions_of({"status": {"conditions": conditions}})["Established"] == "True"
