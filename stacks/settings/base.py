"""What the configuration models have in common. Owns no settings; those are in `model` and `machines`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Frozen, with camelCase keys in stack files; rejects unknown keys and converts nothing: `"4"` is not a number."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
    )
