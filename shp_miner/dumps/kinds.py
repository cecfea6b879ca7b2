"""The kinds of dump: their names, what each reads, and other names that people give them."""

from __future__ import annotations

from shp_miner.arguments import known_name, one_of
from shp_miner.errors import likely

#: The kinds of dump, with what each reads.
KINDS = {
    "reddit-dump": "Reddit's monthly RS_* and RC_* files",
    "stackexchange-dump": "Stack Exchange sites: .7z files, or Posts.xml",
    "discourse-json": "saved topics of a Discourse forum",
    "table": "tables of any forum (CSV, TSV, JSONL, Parquet), by a map of their columns",
    "threads": "threads of any other forum, in the layout of `shp-miner docs threads`",
}

_ALSO = {
    "reddit": "reddit-dump",
    "pushshift": "reddit-dump",
    "stackexchange": "stackexchange-dump",
    "stack-exchange": "stackexchange-dump",
    "discourse": "discourse-json",
    "csv": "table",
    "tsv": "table",
    "tables": "table",
    "thread": "threads",
    "jsonl": "threads",
}


def meant_kind(word: str) -> str:
    """Return the kind that a word means, in any letter case; "" if it means none."""
    name = known_name(word, [*KINDS, *_ALSO])
    return name if name in KINDS else _ALSO.get(name, "")


def likely_kind(word: str) -> str:
    """Return the kind that a misspelt word means with high likelihood, else ""."""
    near = likely(word, [*KINDS, *_ALSO])
    return _ALSO.get(near, near)


def known_kind(kind: object) -> str:
    """Return the kind that is meant. Raises UsageError, with the nearest kind, if there is none."""
    word = kind if isinstance(kind, str) else ""
    return meant_kind(word) or one_of(kind, [likely_kind(word)] if likely_kind(word) else KINDS, "import kind")
