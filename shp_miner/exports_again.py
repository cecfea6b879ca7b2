"""Taking what was forgotten out of exports: each that may hold any of it is made again from the store as it is now."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
import polars as pl
import pyarrow.parquet as pq

from shp_miner.errors import BadInput, UsageError
from shp_miner.export.publish import clear_leftovers, fingerprint, formats_in, is_export
from shp_miner.load import read_manifest
from shp_miner.mine import Selection
from shp_miner.pipeline import export_dataset
from shp_miner.replacing import replace_file, temporaries
from shp_miner.store import Store
from shp_miner.store.exports import KnownExport, drop_export, mark_clean
from shp_miner.store.forgotten import Forgotten
from shp_miner.store.lake import TABLES

Outcome = Literal["rewritten", "removed", "nothing in it", "not there"]

#: The columns by which formats name the answers of a row. Formats without any cannot tell whose text they hold.
_ANSWER_IDS = (("answer1_id", "answer2_id"), ("c_root_id_A", "c_root_id_B"))
_PAIR_ID = "pair_id"


class ExportDone(msgspec.Struct):
    """What became of an export, and why where it is not there any more. In a dry run: what would become of it."""

    path: str
    outcome: Outcome
    why: str = ""


def export_again(
    store: Store, known: KnownExport, wanted: Forgotten, whole: Forgotten, *, dry_run: bool = False
) -> Iterator[ExportDone]:
    """Make an export again, with the settings in its manifest, if it may hold anything on the list.

    An export that is as it was when it was last found clean is held against `wanted`, any other against the `whole`
    list. Where the store has no pair left for it, or its settings are none of this version's, it is removed.
    """
    folder = Path(known.path)
    if not dry_run:
        clear_leftovers(folder)
    formats = formats_in(folder)
    if not formats:
        if not dry_run and folder.parent.is_dir() and not any(Path(path).is_dir() for path in known.dropped):
            drop_export(store, known)
        yield ExportDone(known.path, "not there", "deleted or moved; if moved, name it with --export")
        return
    against = wanted if known.clean == fingerprint(formats) else whole
    if not _may_hold(formats, against, lambda: _communities(store, against)):
        yield ExportDone(known.path, "nothing in it")
    elif dry_run:
        yield ExportDone(known.path, "rewritten")
        return
    else:
        yield _made_again(store, folder, formats, whole)
    if not dry_run and (left := formats_in(folder)):
        mark_clean(store, known, fingerprint(left))


def dropped_again(known: KnownExport, whole: Forgotten, *, dry_run: bool = False) -> Iterator[ExportDone]:
    """Empty the rows on the list in the folders that got an export's dropped posts and answers."""
    for folder in known.dropped:
        rows = 0
        for name in TABLES:
            if not dry_run:
                for left in temporaries(Path(folder, name)):
                    left.unlink(missing_ok=True)  # of a run that was killed
            for path in sorted(Path(folder, name).glob("*.parquet")):
                try:
                    emptied, count = whole.emptied_rows(pl.read_parquet(path, glob=False), name)
                except pl.exceptions.PolarsError:
                    if not dry_run:
                        path.unlink()  # an export was killed while it wrote this
                    continue
                rows += count
                if count and not dry_run:
                    # On the disk before the request is crossed out: a loss of power would bring the rows back.
                    replace_file(path, partial(emptied.write_parquet, statistics=False), durable=True)
        if Path(folder).is_dir():
            yield ExportDone(folder, "rewritten" if rows else "nothing in it")


# -- whether anything is in it ---------------------------------------------------------------------------------------


def _may_hold(formats: Mapping[str, Path], against: Forgotten, communities: Callable[[], set[str]]) -> bool:
    """Whether any text of the list's items may be in an export: by ids where it has them, else by communities."""
    if against.lines.is_empty():
        return False
    posts = against.items["posts"].select("post_id").unique()
    answers = against.items["answers"].select("post_id", "answer_id").unique()
    for folder in formats.values():
        files = read_manifest(folder)["files"]
        if any(against.is_profile(file["community"]) for file in files):
            return True
        for file in files:
            try:
                ids = _ids(folder / file["path"])
            except (OSError, pl.exceptions.PolarsError, ValueError):
                return True  # damaged: what it holds cannot be said
            if ids is None:
                if file["community"] in communities():
                    return True
            elif ids.join(posts, on="post_id", how="semi").height or (
                ids.join(answers, on=["post_id", "answer_id"], how="semi").height
            ):
                return True
    return False


def _ids(path: Path) -> pl.DataFrame | None:
    """The ids of the posts and answers in a file of an export (`post_id`, `answer_id`); None if it does not say."""
    names = set(pq.read_schema(path).names)
    for sides in _ANSWER_IDS:
        if {"post_id", *sides} <= names:
            rows = pl.read_parquet(path, columns=["post_id", *sides], glob=False)
            return pl.concat([rows.select("post_id", answer_id=side) for side in sides]).unique()
    if _PAIR_ID not in names:
        return None
    parts = pl.read_parquet(path, columns=[_PAIR_ID], glob=False)[_PAIR_ID].str.split("/")
    sides_of = parts.list.get(-1).str.split("-")
    if (parts.list.len() != 3).any() or (sides_of.list.len() != 2).any():
        return None  # ids with a slash or a dash in them: where one ends cannot be said
    return pl.DataFrame({"post_id": parts.list.get(1), "answer_id": sides_of}).explode("answer_id").unique()


def _communities(store: Store, against: Forgotten) -> set[str]:
    """The communities that the list's items were seen in."""
    hashes = pl.Series(against.threads)
    snapshot = store.snapshot()
    found: set[str] = set()
    for name in TABLES:
        rows = snapshot.scan(name).filter(pl.col("thread_hash").is_in(hashes.implode())).select("community").unique()
        found |= set(rows.collect(engine="streaming")["community"])
    return found


# -- making it again -------------------------------------------------------------------------------------------------


def _made_again(store: Store, folder: Path, formats: Mapping[str, Path], whole: Forgotten) -> ExportDone:
    try:
        settings = {name: read_manifest(place)["configuration"] for name, place in formats.items()}
        first = next(iter(settings.values()))
        if is_export(folder) and all(one == first for one in settings.values()):
            _export(store, folder, list(formats), first, whole)
        else:  # exports that were made one by one, or have something else beside them
            for name, place in formats.items():
                _export(store, place, [name], settings[name], whole)
    except (BadInput, UsageError) as error:
        for place in formats.values():
            shutil.rmtree(place)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        return ExportDone(str(folder), "removed", error.message)
    return ExportDone(str(folder), "rewritten")


def _export(store: Store, out: Path, formats: list[str], settings: Any, whole: Forgotten) -> None:
    try:
        selection = msgspec.convert(settings, Selection)
    except msgspec.ValidationError as error:
        raise BadInput(f"Its settings are none of this version's: {error}.", "") from error
    communities = [name for name in selection.communities if not whole.is_profile(name)]
    if selection.communities and not communities:
        raise BadInput("It was of a forgotten person's own community.", "")
    export_dataset(
        store,
        out,
        rule=selection.rule,
        formats=formats,
        communities=communities,
        validation=selection.validation,
        test=selection.test,
    )
