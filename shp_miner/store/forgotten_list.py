"""The list of what was forgotten, as it lies in a store: small Parquet files, and the salt of its hashes.

It holds the ids of items, which stay so that nothing is fetched in again, and of people only hashes under a salt of the
store's own: no file of it names anybody. A file is written once and never changed; one that is still "pending" is a
request that has not reached every copy yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal
from uuid import uuid4

import msgspec
import polars as pl

from shp_miner.errors import BadInput
from shp_miner.model import thread_hash
from shp_miner.store.files import replace_file, sync
from shp_miner.store.salt import heal_salt, lost_salt, new_salt

FOLDER = "forgotten"
PENDING = ".pending.parquet"
_SETTLED = ".parquet"

State = Literal["deleted", "removed"]

#: A line of the list. kind "item": `site`, `post_id`, `answer_id` (null for a post) and the state it is left in. Of the
#: other kinds `digest` is the salted hash of a person's name, of the number or page of an account, or of an item's
#: page; `site` is where it counts, null for everywhere.
_TEXTS = ("kind", "site", "post_id", "answer_id", "state", "digest")
LINE = pl.Schema({**dict.fromkeys(_TEXTS, pl.String), "thread_hash": pl.Int64})


class Item(msgspec.Struct, frozen=True):
    """A post, or with `answer_id` one of its answers."""

    site: str
    post_id: str
    answer_id: str | None = None


Line = dict[str, str | int | None]


def line(kind: str, *, site: str | None, digest: str) -> Line:
    """One line of the list, of a person or a page."""
    return {**dict.fromkeys(LINE), "kind": kind, "site": site, "digest": digest}


def item_line(item: Item, state: State) -> Line:
    """One line of the list, of an item that is to be left in a state."""
    told = {"site": item.site, "post_id": item.post_id, "answer_id": item.answer_id, "state": state}
    return {**dict.fromkeys(LINE), "kind": "item", **told, "thread_hash": thread_hash(item.site, item.post_id)}


def of_items(items: Iterable[Item], state: State) -> pl.DataFrame:
    """Lines for items."""
    return pl.DataFrame([item_line(item, state) for item in items], schema=LINE).unique()


def write_part(folder: Path, lines: pl.DataFrame, *, pending: bool) -> Path:
    """Add lines to the list in `folder`, safe from a loss of power when this returns."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{uuid4()}{PENDING if pending else _SETTLED}"
    chosen = lines.select(LINE.names())
    replace_file(path, lambda file: chosen.write_parquet(file, compression="zstd"), durable=True)
    return path


def add(store: Path, lines: pl.DataFrame, *, pending: bool) -> Path:
    """Add lines to the list of a store."""
    return write_part(store / FOLDER, lines, pending=pending)


def settle(store: Path, done: set[str]) -> None:
    """Make one settled file of the whole list: every copy has been reached. Pages in `done` are known as items now.

    Only under the exclusive lock.
    """
    folder = store / FOLDER
    names = part_names(folder)
    whole = read_list(folder, names)
    found = (pl.col("kind") == "page") & pl.col("digest").is_in(list(done))
    whole = whole.filter(~found.fill_null(value=False)).unique().sort(LINE.names())
    write_part(folder, whole, pending=False)
    for path in (folder / name for name in names):
        path.unlink()
    for left in folder.glob(".*"):
        left.unlink()
    sync(folder)
    read_part.cache_clear()


def names(store: Path) -> tuple[str, ...]:
    """The names of the list's files. They are other names when anything on it has changed."""
    return part_names(store / FOLDER)


def has_pending(store: Path) -> bool:
    """Whether something is to be forgotten that has not reached every copy yet."""
    return any(name.endswith(PENDING) for name in part_names(store / FOLDER))


def pending_since(store: Path) -> float | None:
    """Since when something is to be forgotten that has not reached every copy, in seconds since 1970."""
    times = []
    for name in names(store):
        if name.endswith(PENDING):
            with suppress(FileNotFoundError):  # just settled
                times.append((store / FOLDER / name).stat().st_mtime)
    return min(times, default=None)


def make_salt(store: Path) -> None:
    """Give the list its salt, if it has none. Only under the exclusive lock. Raises BadInput where it was lost."""
    folder = store / FOLDER
    if heal_salt(folder) is None:
        if names_people(read_list(folder, part_names(folder))):
            raise lost_salt(folder)  # with another salt nobody on it would be known again
        new_salt(folder)


def names_people(lines: pl.DataFrame) -> bool:
    """Whether lines of the list are of people or pages, and not of ids alone."""
    return lines["digest"].null_count() < lines.height


def read_list(folder: Path, names: Iterable[str]) -> pl.DataFrame:
    """The lines of several files of a list."""
    return pl.concat([pl.DataFrame(schema=LINE), *(read_part(folder / name) for name in names)])


def part_names(folder: Path) -> tuple[str, ...]:
    """The names of a list's files, in order."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  (names are all that is wanted, at every append)
    except FileNotFoundError:
        return ()
    return tuple(sorted(name for name in names if name.endswith(_SETTLED) and not name.startswith(".")))


@lru_cache(maxsize=10_000)
def read_part(path: Path) -> pl.DataFrame:
    """The lines of a file of the list, a frame of LINE. Raises BadInput where it is damaged."""
    try:
        return pl.read_parquet(path, glob=False).cast(dict(LINE))  # type: ignore[arg-type]
    except (pl.exceptions.PolarsError, OSError) as error:
        hint = "Restore it from a backup. Without one, `shp-miner doctor --repair`, and name again who was forgotten."
        raise BadInput(f"{path} is damaged.", hint) from error
