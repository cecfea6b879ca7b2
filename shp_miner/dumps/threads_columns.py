"""What tables become when programs write them: columns whose every row is wrong, decimals, and NaN for empty cells."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from shp_miner.errors import BadInput
from shp_miner.tally import Lost

_TIMES = ("created_at", "observed_at", "accepted_at")

#: The reasons of keys whose values have reasons of their own; others are of the wrong type.
_REASONS = {
    **dict.fromkeys(_TIMES, "bad_time"),
    **dict.fromkeys(("site", "community", "post_id", "answer_id"), "bad_id"),
    **dict.fromkeys(("reads", "upvotes", "downvotes", "views"), "bad_count"),
    "score": "bad_score",
}


def refuse_naive_times(path: Path, schema: pa.Schema) -> None:
    """Raise BadInput for columns of times without a zone, with the line that mends them."""
    for name in _TIMES:
        if name in schema.names and _naive(schema.field(name).type):
            raise BadInput(
                f"The times in the column {name} of {path} have no time zone.",
                f'If they are UTC, give --utc, or: df["{name}"] = pandas.to_datetime(df["{name}"], utc=True); '
                "write the file again.",
            )
    for field in _fields_of_answers(schema):
        if field.name in _TIMES and _naive(field.type):
            raise BadInput(
                f"The times in answers.{field.name} of {path} have no time zone.",
                'If they are UTC, give --utc, or write them as pa.timestamp("us", tz="UTC").',
            )


def _fields_of_answers(schema: pa.Schema) -> list[pa.Field[pa.DataType]]:
    item = getattr(schema.field("answers").type, "value_type", None) if "answers" in schema.names else None
    return list(item) if item is not None and pa.types.is_struct(item) else []


def _naive(kind: pa.DataType) -> bool:
    return pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None)


def without_decimals(record: dict[str, Any]) -> dict[str, Any]:
    """A record with the decimals that databases write as whole numbers, or floats where they have a fraction."""
    if not any(isinstance(value, Decimal) for value in record.values()):
        return record
    return {name: _number(value) if isinstance(value, Decimal) else value for name, value in record.items()}


def refuse_nan(record: dict[str, Any], required: frozenset[str]) -> None:
    """Raise Lost for a value that is NaN: pandas and others write an empty cell so, where `null` is meant."""
    for name, value in record.items():
        if isinstance(value, float) and value != value:  # noqa: PLR0124
            if name == "score":
                do = "write null if the forum hides the score"
            elif name == "author":
                do = "leave author out if the name is unknown, or write null if the account is gone"
            else:
                do = f"fill {name} in" if name in required else f"write null, or leave {name} out"
            raise Lost(_REASONS.get(name, "wrong_type"), f"{name} is NaN, which pandas writes for an empty cell; {do}")


def _number(value: Decimal) -> int | float:
    return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
