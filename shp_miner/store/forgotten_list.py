"""The list of the forgotten as it lies in a store: small Parquet files, and the salt of its hashes.

It keeps the ids of items, so that they are never read in again. Of people it has only hashes, under a salt of the
store's own: no file of the list names anybody. A file is written once and never changed. A "pending" file is a request
that has not reached every copy yet.

A person's request never ends. A platform's deletion has a time and ends when the platform shows the item again later.
Content seen up to that time stays out even then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal
from uuid import uuid4

import msgspec
import polars as pl

from shp_miner.errors import BadInput
from shp_miner.model import SKEW_US, thread_hash
from shp_miner.paths import is_remote
from shp_miner.store.files import replace_file, sync_to_disk
from shp_miner.store.salt import heal_salt, lost_salt, new_salt

FOLDER = "forgotten"
PENDING = ".pending.parquet"
_SETTLED = ".parquet"

#: Rows have come in, and nobody has looked yet whether they tell of deletions. Imports alone left it once.
_TO_LOOK = "imported"

GoneState = Literal["deleted", "removed"]

#: A line of the list. kind "item": `site`, `post_id`, `answer_id` (null for a post), the state it is left in, and `by`
#: whom: a "person", or the "platform", which said so `at` that time (microseconds since 1970; null for persons). kind
#: "restored": the platform showed the item again `at` that time. Of the other kinds `digest` is the salted hash of a
#: person's name, of the number or page of an account, or of an item's page; `site` is where it counts, null for
#: everywhere.
_TEXTS = ("kind", "site", "post_id", "answer_id", "state", "digest", "by")
LINE = pl.Schema({**dict.fromkeys(_TEXTS, pl.String), "thread_hash": pl.Int64, "at": pl.Int64})

#: What names an item in a line.
ITEM_KEY = ("site", "post_id", "answer_id")


class ForgottenItem(msgspec.Struct, frozen=True):
    """A post, or with `answer_id` one of its answers."""

    site: str
    post_id: str
    answer_id: str | None = None


Line = dict[str, str | int | None]


def list_line(kind: str, *, site: str | None, digest: str) -> Line:
    """Return one line of the list, for a person or a page."""
    return {**dict.fromkeys(LINE), "kind": kind, "site": site, "digest": digest}


def item_line(item: ForgottenItem) -> Line:
    """Return one line of the list, for an item that a person wants gone."""
    return {**_line_of(item), "state": "deleted", "by": "person"}


def of_items(items: Iterable[ForgottenItem], state: GoneState, at: int) -> pl.DataFrame:
    """Return lines for items that the platform reported as gone `at` that time (microseconds since 1970)."""
    told: Line = {"state": state, "by": "platform", "at": at}
    return pl.DataFrame([_line_of(item) | told for item in items], schema=LINE).unique()


def _line_of(item: ForgottenItem) -> Line:
    named: Line = {"site": item.site, "post_id": item.post_id, "answer_id": item.answer_id}
    return {**dict.fromkeys(LINE), "kind": "item", **named, "thread_hash": thread_hash(item.site, item.post_id)}


def in_effect(lines: pl.DataFrame, restored: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return the combined effect of lines on each item, one row per item.

    The lines of kind "restored" may be in other files of the list. Columns: ITEM_KEY, `thread_hash`, `state`, `person`
    (a person's request is among them), `at` (the latest deletion by the platform, null without one), `back` (when the
    platform last showed it again) and `over`: whether that was later, so that the deletion has ended. A person's
    request is never over.
    """
    again = [lines.filter(pl.col("kind") == "restored"), *([restored] if restored is not None else [])]
    back = pl.concat(again).group_by(ITEM_KEY).agg(pl.col("at").max().alias("back"))
    items = (
        lines.filter(pl.col("kind") == "item")
        .sort("at", "state", nulls_last=False)
        .group_by(ITEM_KEY)
        .agg(
            pl.col("thread_hash").first(),
            pl.col("state").last(),
            (pl.col("by") == "person").any().alias("person"),
            pl.col("at").max(),
        )
        .join(back, on=ITEM_KEY, how="left", nulls_equal=True)
    )
    over = (pl.col("back") > pl.col("at")).fill_null(value=False) & ~pl.col("person")
    state = pl.when("person").then(pl.lit("deleted")).otherwise("state")
    return items.with_columns(state.alias("state"), over.alias("over"))


def _shortest(lines: pl.DataFrame) -> pl.DataFrame:
    """The same list in as few lines as can say it: one for each item, and one for each that was restored."""
    known = in_effect(lines)
    by = pl.when("person").then(pl.lit("person")).otherwise(pl.lit("platform"))
    at = pl.when(~pl.col("person")).then("at")
    items = known.select(*ITEM_KEY, "thread_hash", "state", kind=pl.lit("item"), by=by, at=at)
    back = known.filter("over").select(*ITEM_KEY, "thread_hash", kind=pl.lit("restored"), at="back")
    others = lines.filter(~pl.col("kind").is_in(["item", "restored"])).unique()
    return pl.concat([pl.DataFrame(schema=LINE), others, items, back], how="diagonal").sort(LINE.names())


def write_part(folder: Path, lines: pl.DataFrame, *, pending: bool) -> Path:
    """Add lines to the list in `folder`, safe from a loss of power when this returns."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{uuid4()}{PENDING if pending else _SETTLED}"
    chosen = lines.select(LINE.names())
    replace_file(path, lambda file: chosen.write_parquet(file, compression="zstd"), durable=True)
    return path


def add_lines(store: Path, lines: pl.DataFrame, *, pending: bool) -> Path:
    """Add lines to the list of a store."""
    return write_part(store / FOLDER, lines, pending=pending)


def settle_list(store: Path, done: set[str]) -> None:
    """Merge the whole list into one settled file, because every copy was reached.

    Pages in `done` are known as items now.

    Only under the exclusive lock.
    """
    folder = store / FOLDER
    names = part_names(folder)
    whole = read_list(folder, names)
    found = (pl.col("kind") == "page") & pl.col("digest").is_in(list(done))
    write_part(folder, _shortest(whole.filter(~found.fill_null(value=False))), pending=False)
    for path in (folder / name for name in names):
        path.unlink()
    for left in folder.glob(".*"):
        left.unlink()
    sync_to_disk(folder)
    read_part.cache_clear()


def list_names(store: Path) -> tuple[str, ...]:
    """Return the names of the list's files. They change with every change of the list."""
    return part_names(store / FOLDER)


def has_pending(store: Path) -> bool:
    """Whether a forget request has not reached every copy yet."""
    return look_noted(store) or any(name.endswith(PENDING) for name in part_names(store / FOLDER))


def pending_since(store: Path) -> float | None:
    """Return since when a forget request has not reached every copy, in seconds since 1970."""
    times = []
    for name in (*list_names(store), _TO_LOOK):
        if name.endswith(PENDING) or name == _TO_LOOK:
            with suppress(FileNotFoundError):  # just settled
                times.append((store / FOLDER / name).stat().st_mtime)
    return min(times, default=None)


def note_look(store: Path, version: str) -> None:
    """Note, before rows are committed, that they must be searched for deletions; `version` is the one before them.

    Under the shared lock, with the commit: the search deletes the note under the exclusive lock.
    """
    folder = store / FOLDER
    folder.mkdir(exist_ok=True)
    # Of two that begin at once, the first one's version is before the rows of both.
    with suppress(FileExistsError), (folder / _TO_LOOK).open("xb") as note:
        note.write(version.encode())
    sync_to_disk(folder / _TO_LOOK, folder, store)


def look_noted(store: Path) -> bool:
    """Whether new rows must be searched for deletions."""
    return (store / FOLDER / _TO_LOOK).exists()


def noted_version(store: Path) -> str:
    """Return the version before the rows to search, as "posts.answers". A damaged note counts as none."""
    version = (store / FOLDER / _TO_LOOK).read_bytes()
    return version.decode() if re.fullmatch(rb"[0-9]+\.[0-9]+", version) else ""


def looked_through(store: Path) -> None:
    """Delete the note: all deletions in the rows are on the list. Only under the exclusive lock."""
    (store / FOLDER / _TO_LOOK).unlink(missing_ok=True)
    sync_to_disk(store / FOLDER)


def files_ahead(store: Path, now: int) -> list[str]:
    """Return the list's files with times later than `now` (microseconds since 1970): a clock was ahead."""
    folder = store / FOLDER
    late = pl.col("at") > now + SKEW_US
    return [name for name in part_names(folder) if read_part(folder / name).filter(late).height]


def set_back_list(store: Path, now: int) -> int:
    """Set times that a clock ahead has noted to `now`; return the number of files concerned.

    Items shown again after a deletion stay so. Only under the exclusive lock. An interrupted call can be repeated.
    """
    folder, late = store / FOLDER, files_ahead(store, now)
    if not late:
        return 0
    known = in_effect(read_list(folder, part_names(folder))).select(*ITEM_KEY, "over")
    for name in late:
        lines = read_part(folder / name).join(known, on=ITEM_KEY, how="left", nulls_equal=True)
        is_back = ((pl.col("kind") == "restored") & pl.col("over")).fill_null(value=False)
        right = pl.when(pl.col("at") > now + SKEW_US).then(now + is_back.cast(pl.Int64)).otherwise("at")
        write_part(folder, lines.with_columns(at=right), pending=name.endswith(PENDING))
        (folder / name).unlink()
    sync_to_disk(folder)
    return len(late)


def make_salt(store: Path) -> None:
    """Create the list's salt if there is none. Only under the exclusive lock. Raises BadInput if it was lost."""
    folder = store / FOLDER
    if heal_salt(folder) is None:
        if names_people(read_list(folder, part_names(folder))):
            raise lost_salt(folder)  # with another salt nobody on it would be known again
        new_salt(folder)


def names_people(lines: pl.DataFrame) -> bool:
    """Whether lines of the list name people or pages, and not only ids."""
    return lines["digest"].null_count() < lines.height


def read_list(folder: Path, names: Iterable[str]) -> pl.DataFrame:
    """Return the lines of several files of a list."""
    return pl.concat([pl.DataFrame(schema=LINE), *(read_part(folder / name) for name in names)])


def part_names(folder: Path) -> tuple[str, ...]:
    """Return the names of a list's files, in order."""
    try:
        names = [path.name for path in folder.iterdir()] if is_remote(folder) else os.listdir(folder)  # noqa: PTH208  (names are all that is wanted, at every append)
    except FileNotFoundError:
        return ()
    return tuple(sorted(name for name in names if name.endswith(_SETTLED) and not name.startswith(".")))


@lru_cache(maxsize=10_000)
def read_part(path: Path) -> pl.DataFrame:
    """Return the lines of a file of the list, a frame of LINE. Raises BadInput if it is damaged."""
    try:
        return _completed(pl.read_parquet(path.read_bytes()), path).cast(dict(LINE))  # type: ignore[arg-type]
    except (pl.exceptions.PolarsError, OSError) as error:
        hint = "Restore it from a backup. Else run `shp-miner doctor --repair` and repeat every `shp-miner forget`."
        raise BadInput(f"{path} is damaged.", hint) from error


def _completed(lines: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The lines with `by` and `at`, which earlier versions did not write.

    Persons never asked for the state "removed", while "deleted" may have been either and so never ends. When the
    platform said so was not written down: not later than the file was, and what is shown later than that ends it.
    """
    if "by" not in lines.columns:
        written_us = path.stat().st_mtime_ns // 1000
        removed = (pl.col("kind") == "item") & (pl.col("state") == "removed")
        deleted = (pl.col("kind") == "item") & ~removed
        lines = lines.with_columns(
            by=pl.when(removed).then(pl.lit("platform")).when(deleted).then(pl.lit("person")),
            at=pl.when(removed).then(pl.lit(written_us, pl.Int64)),
        )
    return lines.select(LINE.names())
