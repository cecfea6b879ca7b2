"""What a store lacks where only one half of a forum was imported: answers without their posts, or posts alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from msgspec import Struct

from shp_miner.tally import Tally, counted

#: The file that has the other half, by the name of a file that has one.
_OTHERS = (
    (re.compile(r"RC(?=_)"), "RS"),
    (re.compile(r"RS(?=_)"), "RC"),
    (re.compile(r"(?<=[_-])comments\b"), "submissions"),
    (re.compile(r"(?<=[_-])submissions\b"), "comments"),
)
_NAMED = 3
_LOOKED_AT = 200


class Half(Struct, frozen=True):
    """The half that a store lacks: a sentence on it, and the files that would have it (of Reddit, by their names)."""

    says: str
    files: list[Path]


def missing_half(kind: str, paths: Sequence[Path], tally: Tally, store: Path) -> Half | None:
    """Return the half of a forum that an import lacks; None if the store has posts and answers."""
    kept = {name for name, count in tally.read.items() if count}
    if kept not in ({"answer"}, {"post"}):
        return None
    from shp_miner.store import Store  # noqa: PLC0415  (tables take a second to import)

    snapshot = Store(store).snapshot()
    lacking = "posts" if kept == {"answer"} else "answers"
    if snapshot.rows(lacking):
        return None
    if kind != "reddit-dump":
        return Half(f"The store has no {lacking}, so nothing can be exported yet: import threads with answers.", [])
    files = list(dict.fromkeys(islice(_others(paths), _NAMED)))
    names = ", ".join(file.name for file in files)
    names = names or ("RS_* of the same months" if lacking == "posts" else "RC_* of the same months")
    (have,) = kept
    there = counted(tally.read[have], "comment" if have == "answer" else "post")
    kinds = "posts (submissions)" if lacking == "posts" else "answers (comments)"
    return Half(f"The store has {there} and no {kinds}, so nothing can be exported yet: also import {names}.", files)


def _others(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        files = islice(sorted(path.rglob("*")), _LOOKED_AT) if path.is_dir() else [path]
        for file in files:
            for pattern, other in _OTHERS:
                if pattern.search(file.name):
                    yield file.with_name(pattern.sub(other, file.name, count=1))
                    break
