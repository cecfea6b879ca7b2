"""Which files hold threads of the project's own layout, told by their first bytes and columns."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shp_miner.dumps import parquet
from shp_miner.dumps.compressed import compression_of, decompressed_head
from shp_miner.dumps.guess import STARTS
from shp_miner.dumps.inputs import NotOurs, refuse_container
from shp_miner.dumps.threads_columns import refuse_naive_times
from shp_miner.dumps.threads_layout import ANSWER_KEYS, ANSWER_REQUIRED, THREAD_KEYS, THREAD_REQUIRED, check_keys
from shp_miner.errors import BadInput
from shp_miner.tally import Lost

_LAYOUT_HINT = "`shp-miner docs threads` shows the layout of `import threads`: one thread per line, with its answers."
_UTF8_MARK = b"\xef\xbb\xbf"

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


def kind_of(path: Path, *, utc: bool) -> str:
    """Either "parquet" or "jsonl", by the first bytes. Raises BadInput for any other kind of file."""
    start = decompressed_head(path, _SNIFFED)
    refuse_container(path, start, "threads")
    start = start.removeprefix(_UTF8_MARK).lstrip()
    if start.startswith(b"PAR1") and compression_of(path) == "plain":
        _check_columns(path, utc=utc)
        return "parquet"
    for line in start.decode("utf-8", "replace").split("\n")[:_LINES_SNIFFED]:
        keys = set(_KEY.findall(line))
        if keys >= {"answers", "answer_id"} or ("site" in keys and len(keys & THREAD_REQUIRED) >= _KEYS_ENOUGH):
            return "jsonl"
    for other, kind, what in _OTHER_KINDS:
        if other.search(start):
            raise NotOurs(f"{path} is {what}, not a file of threads.", f"Use `import {kind}` for it.")
    if start:
        raise NotOurs(f"{path} is not a file of threads: its first lines contain none.", _LAYOUT_HINT)
    return "jsonl"  # a file that is damaged at its start says so when it is read


def _check_columns(path: Path, *, utc: bool) -> None:
    """Raise BadInput where a Parquet file's columns cannot hold threads; every row would be lost alike."""
    try:
        schema = pq.read_schema(parquet.opened(path))
    except (pa.ArrowException, OSError):
        return  # damaged: reading it says so
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
