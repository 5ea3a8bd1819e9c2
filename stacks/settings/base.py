"""What the configuration models have in common. Owns no settings; those are in `model` and `machines`."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel


def help_texts(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field of a model, by the field's name.

    Read from the source when somebody asks, for a schema or an error message. Pydantic would parse the source of every
    model whenever the program starts (`use_attribute_docstrings`).
    """
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for made in ast.parse(inspect.getsource(model)).body
        if isinstance(made, ast.ClassDef)
        for field, text in pairwise(made.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _add_help(schema: dict[str, Any], model: type[BaseModel]) -> None:
    texts = help_texts(model)
    for name, field in model.model_fields.items():
        if name in texts:
            schema["properties"][field.alias]["description"] = texts[name]


class Model(BaseModel):
    """Frozen, with camelCase keys in stack files; rejects unknown keys and converts nothing: `"4"` is not a number."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra=_add_help,
        defer_build=True,
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
