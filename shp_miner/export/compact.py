"""The compact layout: each text is written once, and pairs name rows of the texts instead of repeating them.

Every community and split has three tables. `posts/` and `answers/` have what belongs to a post or an answer; `pairs/`
has the rest, and the numbers of its rows in those two (`post_row`, `answer1_row`, `answer2_row`, from 0, counted
through the files of the community and split). Together they are exactly the rows of the joined layout.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from msgspec import UNSET, Struct, structs

from shp_miner.arguments import one_of
from shp_miner.errors import UsageError
from shp_miner.export.columns import Array
from shp_miner.export.cuts import Rows
from shp_miner.export.formats import Format
from shp_miner.export.shards import Shard, folder_name, write_shards
from shp_miner.export.shared import COUNTED
from shp_miner.paths import is_remote

Index = npt.NDArray[np.int64]

#: The layouts of an export's files.
COMPACT_LAYOUT = "compact"
LAYOUTS = ("joined", COMPACT_LAYOUT)

#: The tables of the compact layout; the rows of the export are those of the first.
PAIRS, POSTS, ANSWERS = "pairs", "posts", "answers"
PARTS = (PAIRS, POSTS, ANSWERS)

#: The columns of `pairs/` that number rows of the other two tables.
POST_ROW, ANSWER_ROWS = "post_row", ("answer1_row", "answer2_row")


class Columns(Struct, frozen=True):
    """The columns of a format by table: those of posts, and of answers by their own name the two of a row."""

    posts: tuple[str, ...]
    answers: dict[str, tuple[str, str]]


#: The formats that have a compact layout: those whose rows are pairs of two separate answers.
COMPACT: dict[str, Columns] = {
    "pairs": Columns(
        ("question", "source", "community", "post_id", "post_score", "url", "author_post", "views"),
        {
            "answer": ("answer1", "answer2"),
            "answer_id": ("answer1_id", "answer2_id"),
            **{name: (f"{name}1", f"{name}2") for name in ("score", "created_at", "observed_at", "author", *COUNTED)},
        },
    ),
    "shp": Columns(
        ("post_id", "domain", "upvote_ratio", "history"),
        {name: (f"{name}_A", f"{name}_B") for name in ("c_root_id", "created_at_utc", "score", "human_ref")},
    ),
    "trl": Columns(("prompt",), {"answer": ("chosen", "rejected"), "score": ("score_chosen", "score_rejected")}),
    "trl-text": Columns(("prompt",), {"answer": ("chosen", "rejected")}),
}


def known_layout(layout: str, formats: Iterable[str]) -> str:
    """Return the layout that is meant. Raises UsageError for an unknown one, and for a format that lacks it."""
    layout = one_of(layout, LAYOUTS, "layout")
    without = [name for name in formats if layout == COMPACT_LAYOUT and name not in COMPACT]
    if without:
        raise UsageError(f"The format {without[0]} has no compact layout.", f"Formats that have: {', '.join(COMPACT)}.")
    return layout


def part_of(form: Format, part: str) -> Format:
    """Return the format of one table of the compact layout."""
    columns, schema = COMPACT[form.name], form.schema
    if part == POSTS:
        fields = [schema.field(name) for name in columns.posts]
    elif part == ANSWERS:
        fields = [schema.field(first).with_name(name) for name, (first, _) in columns.answers.items()]
    else:
        numbers = [pa.field(name, pa.int64()) for name in (POST_ROW, *ANSWER_ROWS)]
        fields = [*numbers, *(schema.field(name) for name in _of_pairs(form))]
    own = {name: name for name in columns.posts} | {name: first for name, (first, _) in columns.answers.items()}
    texts = tuple(field.name for field in fields if part != PAIRS and own[field.name] in form.texts)
    return dataclasses.replace(form, schema=pa.schema(fields), texts=texts)


def form_of_file(form: Format, file: Shard) -> Format:
    """Return the format of a file's own columns: that of its table, in the compact layout."""
    return part_of(form, file.part) if file.part else form


def _of_pairs(form: Format) -> list[str]:
    """Return the columns that belong to the pair."""
    columns = COMPACT[form.name]
    elsewhere = {*columns.posts, *(name for both in columns.answers.values() for name in both)}
    return [name for name in form.schema.names if name not in elsewhere]


# -- writing ----------------------------------------------------------------------------------------------------------


def write_part(
    folder: Path, form: Format, group: tuple[str, str], parts: Iterable[Rows], part: str, numbers: tuple[int, int]
) -> list[Shard]:
    """Write one table of some rows of a community and split under `folder`; return its files.

    The rows before them have so many posts and answers (`numbers`).
    """

    def tables() -> Iterator[Rows]:
        posts, answers = numbers
        for rows in parts:
            found = parted(form, rows, posts, answers)
            posts, answers = posts + found[POSTS].table.num_rows, answers + found[ANSWERS].table.num_rows
            yield found[part]

    return _of_part(part, write_shards(folder / part, part_of(form, part), *group, tables()))


def _of_part(part: str, shards: Iterable[Shard]) -> list[Shard]:
    return [structs.replace(shard, path=f"{part}/{shard.path}", part=part) for shard in shards]


def write_compact(
    folder: Path, work: Path, form: Format, community: str, split: str, parts: Iterable[Rows]
) -> list[Shard]:
    """Write the rows of one community and split as three tables under `folder`; return all files.

    The tables wait in `work` until all are known; on this machine if `work` is in an object store.
    """
    if is_remote(work):
        with tempfile.TemporaryDirectory(prefix="shp-miner-") as here:
            return write_compact(folder, Path(here), form, community, split, parts)
    spools = {part: work / f"{form.name}-{folder_name(community)}-{split}-{part}.arrows" for part in PARTS}
    writers: dict[str, pa.ipc.RecordBatchStreamWriter] = {}
    cuts: dict[str, list[Rows]] = {part: [] for part in PARTS}
    counts = dict.fromkeys(PARTS, 0)
    try:
        for rows in parts:
            for part, own in parted(form, rows, counts[POSTS], counts[ANSWERS]).items():
                if part not in writers:
                    writers[part] = pa.ipc.new_stream(str(spools[part]), own.table.schema)
                (batch,) = own.table.combine_chunks().to_batches()
                writers[part].write_batch(batch)
                cuts[part].append(dataclasses.replace(own, table=own.table.slice(0, 0)))
                counts[part] += own.table.num_rows
    finally:
        for writer in writers.values():
            writer.close()
    shards: list[Shard] = []
    for part in writers:
        written = write_shards(folder / part, part_of(form, part), community, split, _spooled(spools[part], cuts[part]))
        shards += _of_part(part, written)
        spools[part].unlink()
    return shards


def _spooled(path: Path, cuts: Sequence[Rows]) -> Iterator[Rows]:
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_stream(source) as reader:
        for batch, cut in zip(reader, cuts, strict=True):
            yield dataclasses.replace(cut, table=pa.Table.from_batches([batch]))


def parted(form: Format, rows: Rows, posts: int, answers: int) -> dict[str, Rows]:
    """Return the three tables of some rows; earlier tables have `posts` posts and `answers` answers."""
    columns, table = COMPACT[form.name], rows.own_table
    count = table.num_rows
    arrays: dict[str, Array] = {name: table[name].combine_chunks() for name in table.column_names}
    of_posts = {name: arrays[name] for name in columns.posts}
    of_answers = {name: _stacked(arrays[first], arrays[second]) for name, (first, second) in columns.answers.items()}
    thread = rows.thread_of_each()
    post_row, post_first = _numbered(of_posts, thread, count)
    answer_row, answer_first = _numbered(of_answers, np.tile(thread, 2), count)
    numbers = [post_row + posts, answer_row[:count] + answers, answer_row[count:] + answers]
    numbered = {name: number.to_arrow() for name, number in zip((POST_ROW, *ANSWER_ROWS), numbers, strict=True)}
    tables = {
        PAIRS: pa.table({**numbered, **{name: arrays[name] for name in _of_pairs(form)}}),
        POSTS: pa.table({name: array.take(post_first.to_arrow()) for name, array in of_posts.items()}),
        ANSWERS: pa.table({name: array.take(answer_first.to_arrow()) for name, array in of_answers.items()}),
    }
    first_rows = {PAIRS: np.arange(count), POSTS: post_first.to_numpy(), ANSWERS: answer_first.to_numpy() % count}
    return {part: rows.of_same_threads(part_of(form, part), tables[part], first_rows[part]) for part in PARTS}


def parts_of(form: Format, table: pa.Table, post_row: Index) -> list[tuple[Format, pa.Table]]:
    """Return the three tables of some rows with their formats; `post_row` has the post of each row, in order."""
    starts = np.flatnonzero(np.diff(post_row, prepend=-1)).tolist()
    counts = np.diff(starts, append=table.num_rows).tolist()
    threads = len(starts)
    rows = Rows(table, starts, counts, [0] * threads, [(0.0, 0.0)] * threads, [""] * threads)
    return [(part_of(form, part), of_part.table) for part, of_part in parted(form, rows, 0, 0).items()]


def _stacked(first: Array, second: Array) -> Array:
    """Return the values of both sides of the rows, the first sides first."""
    if not (isinstance(first, pa.DictionaryArray) and isinstance(second, pa.DictionaryArray)):
        return pa.concat_arrays([first, second])
    values, indices = first.dictionary, second.indices
    if not values.equals(second.dictionary):
        indices = (pl.Series(indices) + len(values)).to_arrow().cast(indices.type)
        values = pa.concat_arrays([values, second.dictionary])
    return pa.DictionaryArray.from_arrays(pa.concat_arrays([first.indices, indices]), values)


def _numbered(columns: Mapping[str, Array], thread: Index, rows: int) -> tuple[pl.Series, pl.Series]:
    """Return for each row the number of its distinct values, and for each number a row that has them.

    Values of two threads are distinct, so that other threads change nothing. Numbers follow the first of the `rows`
    rows with the values on either side, so a thread's texts lie together.
    """
    frame = pl.DataFrame(
        {name: array.indices if isinstance(array, pa.DictionaryArray) else array for name, array in columns.items()}
    ).with_columns(pl.Series("thread", thread))
    names = frame.columns
    distinct = frame.with_row_index("row").unique(names, keep="first", maintain_order=True)
    distinct = distinct.sort(pl.col("row") % rows, "row").with_row_index("number")
    numbers = frame.join(distinct, on=names, how="left", nulls_equal=True, maintain_order="left")["number"]
    return numbers.cast(pl.Int64), distinct["row"].cast(pl.Int64)


# -- manifests --------------------------------------------------------------------------------------------------------


def part_name(file: Mapping[str, Any]) -> str:
    """Return the table of a manifest's file; files of the joined layout count as pairs."""
    return str(file.get("part", PAIRS))


def row_files(files: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the files of a manifest that have the export's rows: not the texts of the compact layout."""
    return [dict(file) for file in files if part_name(file) == PAIRS]


def row_count(shards: Iterable[Shard]) -> int:
    """Return the rows of an export's files, without the texts of the compact layout."""
    return sum(shard.rows for shard in shards if shard.part in (UNSET, PAIRS))


def rows_of_parts(shards: Iterable[Shard]) -> dict[str, dict[str, int]]:
    """Return the row counts by table and split."""
    found: dict[str, dict[str, int]] = {}
    for shard in shards:
        splits = found.setdefault(str(shard.part), {})
        splits[shard.split] = splits.get(shard.split, 0) + shard.rows
    return found
