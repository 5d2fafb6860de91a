"""The base of every typed section, and what its fields say about the sections inside of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, dataclass_transform, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema

if TYPE_CHECKING:
    # Pydantic has no public name for its metaclass, and a type checker does not understand `type(BaseModel)`.
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


def _refuse_conversions(schema: Any) -> None:
    """Makes the numbers and booleans of a schema strict, and nothing else.

    Strictness for a whole model would also refuse a list for a tuple, and a text for a path. The keys of mappings are
    always text in a document, whatever they become.
    """
    if isinstance(schema, dict):
        if schema.get("type") in ("int", "float", "bool"):
            schema["strict"] = True
        for name, part in schema.items():
            if name not in ("default", "keys_schema"):
                _refuse_conversions(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _refuse_conversions(part)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
class _FrozenModel(ModelMetaclass):
    """Tells type checkers that every section is frozen, so that a system may narrow the type of a field."""


class Section(BaseModel, metaclass=_FrozenModel):
    """A frozen group of typed keys; keys that it does not have are refused.

    A whole number is fine where a number is asked, but booleans, and numbers in quotes, are not numbers, and a number
    with a point is not a whole number. The docstring under a field is its help.

    A field may offer several sections, told apart by their `name`:

        class Bce(Section):
            name: Literal["bce"] = "bce"

        class Focal(Section):
            name: Literal["focal"] = "focal"
            gamma: float = 2.0

        class Losses(Section):
            loss: Bce | Focal = Bce()

    The name alone (`loss: focal`) then stands for the section with its defaults.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        use_attribute_docstrings=True,
        ser_json_inf_nan="constants",
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        for field in cls.__pydantic_fields__.values():
            if len(sections_in(field.annotation)) > 1:
                field.discriminator = "name"
        schema = handler(source)
        _refuse_conversions(schema)
        return schema

    @model_validator(mode="before")
    @classmethod
    def _write_out_sections(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        fields = cls.model_fields
        return {
            key: written_out(value, fields[key].annotation) if key in fields else value for key, value in values.items()
        }


def written_out(value: Any, annotation: Any) -> Any:
    """Gives a field's value with its shorthand written out: the name of a section, or nothing for an empty one."""
    sections = sections_in(annotation)
    if len(sections) > 1 and isinstance(value, str):
        return {"name": value}
    if sections and value is None and NoneType not in alternatives(annotation):
        return {}
    return value


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Gives the types that an annotation allows, one by one."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return alternatives(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return tuple(each for part in get_args(annotation) for each in alternatives(part))
    return (NoneType if annotation is None else annotation,)


def sections_in(annotation: Any) -> tuple[type[Section], ...]:
    """Gives the sections that may stand in a field; none for a field that holds plain values or a list."""
    return tuple(each for each in alternatives(annotation) if isinstance(each, type) and issubclass(each, Section))


def item_sections_in(annotation: Any) -> tuple[type[Section], ...]:
    """Gives the sections that may stand in the list of a field."""
    lists = (each for each in alternatives(annotation) if get_origin(each) in (list, tuple))
    return tuple(section for each in lists for section in sections_in(get_args(each)[0]))


def name_of(section: type[Section]) -> Any:
    """Gives the name that chooses this section among others."""
    field = section.model_fields.get("name")
    return field.default if field else None


def chosen(sections: tuple[type[Section], ...], name: Any) -> type[Section] | None:
    """Gives the section that is meant: the only one, or the one of that name."""
    if len(sections) == 1:
        return sections[0]
    return next((section for section in sections if name_of(section) == name), None)
