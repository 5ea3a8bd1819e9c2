"""What the configuration models have in common. Owns no settings; those are in `model` and `machines`."""

from __future__ import annotations

from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator
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

    @model_validator(mode="before")
    @classmethod
    def _omit_empty_sections(cls, raw: Any) -> Any:
        """A section whose lines are all comments is one that is not there."""
        if not isinstance(raw, dict):
            return raw
        sections = {field.alias for field in cls.model_fields.values() if _is_map(field.annotation)}
        return {key: value for key, value in raw.items() if not (value is None and key in sections)}


def _is_map(annotation: Any) -> bool:
    kinds = set(get_args(annotation)) - {NoneType} if NoneType in get_args(annotation) else {annotation}
    return any(get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel)) for kind in kinds)
