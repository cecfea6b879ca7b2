"""The fields of settings, read from the hints of their struct: for options, for files and for the pages about both."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Struct, structs

from shp_miner.rules.presets import HEADINGS, Rule
from shp_miner.units import Duration

#: What stands around the type of a value.
_AROUND = (Annotated, Union, UnionType, list, tuple)


class Field(Struct, frozen=True):
    """A field of a struct. `name` is Python's, `key` is what a file calls it.

    `kind` is the type of its values, None aside; `many` means a list of them. `choices` are the texts that are allowed,
    if not all are. The default of a field without one is msgspec.NODEFAULT. Bounds count as `kind` does. Help shows a
    parameter of a rule under its `heading`. `in_file` means that people name a file with one value a line, and
    `option` is the name of the option where that does not follow from the field's.
    """

    name: str
    key: str
    kind: type
    default: Any
    many: bool = False
    choices: tuple[str, ...] = ()
    description: str = ""
    heading: str = ""
    example: Any = None
    in_file: bool = False
    option: str = ""
    at_least: float | None = None
    above: float | None = None
    below: float | None = None

    @property
    def table(self) -> type[Struct] | None:
        """The struct of a table or of a list of tables; None for a plain value."""
        return self.kind if issubclass(self.kind, Struct) else None


def fields(struct: type[Struct]) -> dict[str, Field]:
    """Return the fields of a struct by their keys, in order."""
    return {field.encode_name: _read(field) for field in structs.fields(struct)}


def _read(field: structs.FieldInfo) -> Field:
    hint, metas, many = field.type, [], False
    while (origin := get_origin(hint)) in _AROUND:
        hint, *others = get_args(hint)  # of a union the first: what else there is of it is None
        metas += others if origin is Annotated else []
        many |= origin in (list, tuple)

    def said(name: str) -> Any:
        return next((value for meta in metas if (value := getattr(meta, name)) is not None), None)

    return Field(
        field.name,
        field.encode_name,
        kind=str if origin is Literal else origin or hint,
        default=field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory(),
        many=many,
        choices=get_args(hint) if origin is Literal else (),
        description=said("description") or "",
        example=(said("examples") or [None])[0],
        in_file=bool((said("extra") or {}).get("file")),
        option=(said("extra") or {}).get("option", ""),
        at_least=said("ge"),
        above=said("gt"),
        below=said("lt"),
    )


def _parameter(field: Field) -> Field:
    """A parameter as people write it: a length of time carries its unit in the value, not in the key.

    A name that is a word of Python ends in an underscore there alone.
    """
    if not field.name.endswith("_s"):
        return structs.replace(field, key=field.name.rstrip("_"))
    default = None if field.default is None else Duration(field.default)
    return structs.replace(field, key=field.name.removesuffix("_s"), kind=Duration, default=default)


def _parameters() -> Iterator[Field]:
    heading = ""
    for field in fields(Rule).values():
        if field.name not in ("name", "confounded"):
            heading = HEADINGS.get(field.name, heading)
            yield structs.replace(_parameter(field), heading=heading)


#: The parameters of a rule by the names that people write. The others of its fields only a preset sets.
PARAMETERS = {field.key: field for field in _parameters()}
