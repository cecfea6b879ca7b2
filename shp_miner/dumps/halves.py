"""What a store lacks where only one half of a forum was imported: answers without their posts, or posts alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from shp_miner.tally import Tally, counted

if TYPE_CHECKING:
    from shp_miner.store import Snapshot

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
    """Return the half of a forum that an import lacks; None if the store has posts and answers of its places."""
    kept = {name for name, count in tally.read.items() if count}
    if kept not in ({"answer"}, {"post"}):
        return None
    from shp_miner.store import Store  # noqa: PLC0415  (tables take a second to import)

    snapshot = Store(store).snapshot()
    lacking = "posts" if kept == {"answer"} else "answers"
    if _has(snapshot, lacking, tally.places):
        return None
    others = snapshot.rows(lacking) > 0
    of = f" of {_named(tally.places)}" if others else ""
    if kind != "reddit-dump":
        what = f"The store has no {lacking}{of}, so nothing{of} can be exported yet"
        return Half(f"{what}: import threads with answers.", [])
    files = list(dict.fromkeys(islice(_others(paths), _NAMED)))
    names = ", ".join(file.name for file in files)
    names = names or ("RS_* of the same months" if lacking == "posts" else "RC_* of the same months")
    (have,) = kept
    there = counted(tally.read[have], "comment" if have == "answer" else "post")
    kinds = "posts (submissions)" if lacking == "posts" else "answers (comments)"
    what = f"The store has {there}{of} and no {kinds}, so nothing{of} can be exported yet"
    return Half(f"{what}: also import {names}.", files)


def _has(snapshot: Snapshot, table: str, places: Mapping[str, set[str] | None]) -> bool:
    """Whether the table has a row of any of the places (sites with communities; None means the whole site)."""
    import polars as pl  # noqa: PLC0415

    if not snapshot.rows(table):
        return False
    wanted = pl.lit(value=False)
    for site, names in places.items():
        within = pl.col("site") == site
        wanted |= within if names is None else within & pl.col("community").is_in(sorted(names))
    return bool(snapshot.scan(table).filter(wanted).select("site").head(1).collect().height)


def _named(places: Mapping[str, set[str] | None]) -> str:
    names = sorted({name for site, known in places.items() for name in (known or {site})})
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def _others(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        files = islice(sorted(path.rglob("*")), _LOOKED_AT) if path.is_dir() else [path]
        for file in files:
            for pattern, other in _OTHERS:
                if pattern.search(file.name):
                    yield file.with_name(pattern.sub(other, file.name, count=1))
                    break
