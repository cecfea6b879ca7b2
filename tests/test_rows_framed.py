"""Rows of values as frames."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from shp_miner.platforms.rows import _framed

from .property import examples

TYPES = pl.Schema({"text": pl.String, "number": pl.Int64, "flag": pl.Boolean, "ratio": pl.Float64})
NONE = st.none()
#: Mostly of the right types, so that most frames are made column by column.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
ROW = st.tuples(
    NONE | TEXT | st.just(7),
    NONE | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.just(2.0),
    NONE | st.booleans() | st.just(1),
    NONE | st.floats(0, 1) | st.just(1),
)


@given(st.lists(ROW, min_size=1, max_size=5))
@examples(100)
def test_columns_hold_what_rows_hold(rows: list[tuple[Any, ...]]) -> None:
    assert _framed(rows, TYPES).equals(pl.DataFrame(rows, schema=TYPES, orient="row"))
