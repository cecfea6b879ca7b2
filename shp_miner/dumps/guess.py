"""The kind of dump that files are, told by their contents, for those who did not name it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from shp_miner.dumps.compressed import decompressed_head
from shp_miner.errors import Error

#: The kinds of dump, with what each reads.
KINDS = {
    "reddit-dump": "Reddit's monthly RS_* and RC_* files",
    "stackexchange-dump": "Stack Exchange sites: .7z files, or Posts.xml",
    "discourse-json": "saved topics of a Discourse forum",
    "threads": "threads of any other forum, in the layout of `shp-miner docs threads`",
}

#: Bytes of a file and files of a folder that are looked at.
_START_BYTES = 1 << 16
_FILES = 50

#: What only files of one kind have at their beginning.
STARTS = {
    "reddit-dump": re.compile(rb'"(?:link_id|subreddit|subreddit_id)"\s*:'),
    "stackexchange-dump": re.compile(rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?<(?:posts|users|votes)\b"),
    "discourse-json": re.compile(rb'"post_stream"\s*:'),
    "threads": re.compile(rb'\APAR1|"answers"\s*:\s*\[\s*(?:\]|\{.*"answer_id"\s*:)', re.DOTALL),
}
#: Names that only one kind has, for archives and damaged files.
_NAMES = {
    "reddit-dump": re.compile(r"R[SC]_\d{4}-\d\d(?:\.|$)"),
    "stackexchange-dump": re.compile(r".*\.(?:com|net|org)(?:-Posts)?\.7z$|Posts\.xml$", re.IGNORECASE),
}


def guessed_kind(paths: Sequence[Path]) -> str | None:
    """Return the one kind that the files of `paths` are of; None if no file or several kinds are recognized."""
    kinds = {kind for path in paths for file in _files(path) for kind in _kinds_of(file)}
    return kinds.pop() if len(kinds) == 1 else None


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from islice((file for file in sorted(path.rglob("*")) if file.is_file()), _FILES)
    elif path.is_file():  # not a pipe: its data can be read only once
        yield path


def _kinds_of(file: Path) -> set[str]:
    named = {kind for kind, name in _NAMES.items() if name.match(file.name)}
    if named:
        return named
    try:
        start = decompressed_head(file, _START_BYTES)
    except (Error, OSError):
        return set()
    return {kind for kind, begins in STARTS.items() if begins.search(start)}
