"""Texts of Parquet are read plainly where pages bound them, and as dictionaries where one text may stand often."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shp_miner.dumps.parquet_footer import row_groups
from shp_miner.dumps.parquet_pages import named_values
from shp_miner.dumps.parquet_reader import Reader

#: Different texts, more than a dictionary takes, and one that stands often.
MANY = [f"{number} " + "x" * 1000 for number in range(3_000)]
LONG = "y" * 1_000_000


def read(path: Path, titles: list[str], per_row: int = 1, **options: object) -> tuple[int | None, list[int]]:
    """How many values of a file are first in a dictionary, and the bytes that each batch of 100 rows takes."""
    texts = pa.array(titles).cast(pa.string())
    ends = pa.array(range(0, len(titles) + 1, per_row), pa.int32())
    column = texts if per_row == 1 else pa.ListArray.from_arrays(ends, pa.StructArray.from_arrays([texts], ["body"]))
    pq.write_table(pa.table({"a": column}), path, row_group_size=1 << 20, compression="zstd", **options)
    (group,) = row_groups(path)
    batches = list(Reader(path).batches(0, group, 100))
    assert [value for batch in batches for value in batch.column(0).to_pylist()] == column.to_pylist()
    with path.open("rb") as file:
        return named_values(file, group.columns[0]), [batch.nbytes for batch in batches]


@pytest.mark.parametrize("per_row", [1, 10])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_batch_takes_the_room_of_its_own_texts(tmp_path: Path, per_row: int, version: str) -> None:
    for begins in (["first"] * 2000 + MANY, MANY):
        named, sizes = read(tmp_path / "a.parquet", begins, per_row, data_page_version=version)
        assert named is not None
        assert 0 < named < len(begins)
        assert max(sizes) < 1100 * 100 * per_row
    named, sizes = read(tmp_path / "a.parquet", MANY, per_row, use_dictionary=False, data_page_version=version)
    assert named == 0
    assert max(sizes) < 1100 * 100 * per_row


def test_one_long_text_that_stands_often_takes_its_room_once(tmp_path: Path) -> None:
    titles = [LONG] * 100 + MANY[:200]
    named, sizes = read(tmp_path / "a.parquet", titles, dictionary_pagesize_limit=1_100_000, write_batch_size=10)
    assert named is not None
    assert named >= 100
    assert sizes[0] < 2 * len(LONG)
    assert read(tmp_path / "a.parquet", ["alike"] * 300_000)[0] is None


def test_headers_that_say_something_else_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    read(path, MANY, use_dictionary=False)
    (group,) = row_groups(path)
    (chunk,) = group.columns
    data = path.read_bytes()
    for at in range(chunk.begin, chunk.begin + 40):
        path.write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
        with path.open("rb") as file:
            assert named_values(file, chunk) in (None, 0)
    path.write_bytes(data[: chunk.begin + 10])
    with path.open("rb") as file:
        assert named_values(file, chunk) is None
