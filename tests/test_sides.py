"""The table of how formats name question and answers: one row for each format, and all formats say the same."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shp_miner.export.formats import FORMATS
from shp_miner.export.sides import SIDES, TEXTS, Sides, form_with, sides_of

from .training_data import exported, made_threads

BOTH = [form for form, sides in SIDES.items() if sides.has_both]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """All formats of one store, as sides."""
    out = exported(tmp_path_factory.mktemp("sides"), made_threads(40), list(FORMATS))
    files = {form: sorted((out / form).rglob("*.parquet")) for form in FORMATS}
    return {form: sides_of(form, pa.concat_tables(map(_read, paths))) for form, paths in files.items()}


def _read(path: Path) -> pa.Table:
    return pq.ParquetFile(path).read()


def test_every_format_has_a_row_of_its_own_columns() -> None:
    assert list(SIDES) == [*BOTH, *(form for form in SIDES if form not in BOTH)]
    assert set(SIDES) == set(FORMATS)
    for form, sides in SIDES.items():
        schema = FORMATS[form].schema
        assert {*sides.columns(), *sides.key} <= set(schema.names)
        if FORMATS[form].answers:
            assert set(sides.columns("better", "worse")) >= set(FORMATS[form].answers or ())
        assert (sides.better_is_first is not None) == (FORMATS[form].balance is not None)


@pytest.mark.parametrize("form", [form for form in BOTH if form != "shp"])
def test_all_formats_of_pairs_say_the_same(form: str, exports: dict[str, pl.DataFrame]) -> None:
    names = ("question", "better", "worse", "better_score", "worse_score", "ratio", "thread")
    told = [name for name in names if name in exports[form].columns and (name != "thread" or SIDES[form].by_ids)]
    ours, all_pairs = (exports[name].select(told).sort(told) for name in (form, "pairs"))
    assert ours.height > 20
    assert ours.equals(all_pairs)


def test_shp_says_the_same_in_one_line(exports: dict[str, pl.DataFrame]) -> None:
    names = ("better_score", "worse_score", "ratio", "seconds", "better_is_first", "better", "worse")
    shp, pairs = (exports[form].select(names).sort(names) for form in ("shp", "pairs"))
    assert shp.equals(pairs)
    ages = [
        exports[form].select((pl.col("better_at") - pl.col("worse_at")).dt.total_seconds()).to_series().sort()
        for form in ("shp", "pairs")
    ]
    assert ages[0].equals(ages[1])
    assert exports["shp"]["thread"].n_unique() == exports["pairs"]["thread"].n_unique()


@pytest.mark.parametrize("form", SIDES)
def test_a_format_is_known_by_the_columns_of_its_texts(form: str) -> None:
    sides, schema = SIDES[form], FORMATS[form].schema
    has_answers = sides.has_both or sides.answer is not None
    is_chat = any(pa.types.is_list(schema.field(name).type) for name in sides.columns(*TEXTS))
    found = form_with(schema.names, conversations=is_chat)
    assert (found is not None) == has_answers
    if found is not None:
        assert _texts(SIDES[found]) == _texts(sides)


def _texts(sides: Sides) -> list[str]:
    return [str(expression) for expression in sides.select(*TEXTS).values()]


@pytest.mark.parametrize("messages", [0, 1])
def test_a_conversation_without_an_answer_has_none(messages: int) -> None:
    said = [{"role": "user", "content": "Why?"}][:messages]
    row = dict.fromkeys(FORMATS["chat-pairs"].schema.names) | {"chosen": said, "rejected": said}
    sides = sides_of("chat-pairs", pa.Table.from_pylist([row], FORMATS["chat-pairs"].schema)).row(0, named=True)
    assert (sides["better"], sides["worse"]) == (None, None)
