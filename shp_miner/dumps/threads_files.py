"""Which files hold threads, of the project's own layout or a published one, told by their first bytes and columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from shp_miner.dumps import arrow, parquet
from shp_miner.dumps.compressed import compression_of, decompressed_head
from shp_miner.dumps.guess import STARTS
from shp_miner.dumps.inputs import NotOurs, refuse_container
from shp_miner.dumps.parquet_reader import opened
from shp_miner.dumps.plain_lines import UTF8_MARK
from shp_miner.dumps.published import check_columns, layout_of
from shp_miner.dumps.threads_columns import refuse_naive_times
from shp_miner.dumps.threads_layout import ANSWER_KEYS, ANSWER_REQUIRED, THREAD_KEYS, THREAD_REQUIRED, check_keys
from shp_miner.errors import BadInput
from shp_miner.tally import Lost

_LAYOUT_HINT = "`shp-miner docs threads` shows the layout of `import threads`: one thread per line, with its answers."
#: Bytes looked at to tell what kind of file this is.
_SNIFFED = 1 << 16
#: Lines looked at, and how many of the required keys make one of them a thread. Other records have some of them.
_LINES_SNIFFED = 20
_KEYS_ENOUGH = 4
_KEY = re.compile(r'"(\w+)"\s*:')

#: What the first bytes of files of other kinds look like, the `import` that takes them, and what to call them.
_OTHER_KINDS = (
    (re.compile(rb"\A<(?:\?xml|posts|users|votes)\b"), "stackexchange-dump", "an XML file"),
    (STARTS["discourse-json"], "discourse-json", "a Discourse topic"),
    (STARTS["reddit-dump"], "reddit-dump", "a Reddit dump"),
)


class FileKind(NamedTuple):
    """What holds the records of a file ("jsonl", "parquet" or "arrow"), and their layout if it is not ours."""

    container: str
    layout: str = ""

    @property
    def in_batches(self) -> bool:
        """Whether records are read some thousand at once, and the file may be read in sections."""
        return not self.layout and self.container != "arrow"


def kind_of(path: Path, *, utc: bool) -> FileKind:
    """Return the kind of a file, by its first bytes. Raises BadInput for a file without threads."""
    start = decompressed_head(path, _SNIFFED)
    refuse_container(path, start, "threads")
    start = start.removeprefix(UTF8_MARK).lstrip()
    if compression_of(path) == "plain":
        if start.startswith(b"PAR1"):
            return FileKind("parquet", _check_columns(path, utc=utc))
        if start.startswith(arrow.MAGIC):
            return FileKind("arrow", _check_stream(path))
    lines = start.decode("utf-8", "replace").split("\n")[:_LINES_SNIFFED]
    layout = _published(lines)
    if layout:
        return FileKind("jsonl", layout)
    for line in lines:
        keys = set(_KEY.findall(line))
        if keys >= {"answers", "answer_id"} or ("site" in keys and len(keys & THREAD_REQUIRED) >= _KEYS_ENOUGH):
            return FileKind("jsonl")
    for other, kind, what in _OTHER_KINDS:
        if other.search(start):
            raise NotOurs(f"{path} is {what}, not a file of threads.", f"Use `import {kind}` for it.")
    if start:
        raise NotOurs(f"{path} is not a file of threads: its first lines contain none.", _LAYOUT_HINT)
    return FileKind("jsonl")  # a file that is damaged at its start says so when it is read


def _published(lines: Sequence[str]) -> str:
    """Return the layout of the first lines if it is a published one, else ""."""
    keys = set(_KEY.findall("\n".join(lines)))
    if "features" in keys or "site" in keys:  # the description that `datasets` writes beside its files; our layout
        return ""
    return layout_of(keys)


def _check_stream(path: Path) -> str:
    """Return the layout of an Arrow stream. Raises BadInput if it has none that is read, or is damaged there."""
    try:
        names = arrow.column_names(path)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path} is an Arrow IPC stream with a damaged beginning.", "Get the file again.") from error
    layout = layout_of(names)
    if layout:
        check_columns(path, layout, names)
    elif not set(names) >= THREAD_REQUIRED:
        raise NotOurs(f"{path} is an Arrow IPC stream, not of threads.", _LAYOUT_HINT)
    return layout


def _check_columns(path: Path, *, utc: bool) -> str:
    """Return the layout of a Parquet file. Raises BadInput if its columns cannot hold threads: all would be lost."""
    try:
        schema = pq.read_schema(opened(path))
        layout = layout_of(schema.names)
    except parquet.UNREADABLE:
        return ""  # damaged: reading it says so
    if layout:
        check_columns(path, layout, schema.names)
        return layout
    if not utc:
        refuse_naive_times(path, schema)
    try:
        check_keys(schema.names, THREAD_KEYS, THREAD_REQUIRED)
        item = getattr(schema.field("answers").type, "value_type", None)
        if item is not None and pa.types.is_struct(item):
            check_keys([field.name for field in item], ANSWER_KEYS, ANSWER_REQUIRED, "answers.")
        elif item is None or not pa.types.is_null(item):
            raise Lost("wrong_type", "answers is not a list of structs")
    except Lost as lost:
        raise BadInput(f"The columns of {path} are not those of threads: {lost.what}.", _LAYOUT_HINT) from lost
    return ""
