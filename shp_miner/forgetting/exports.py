"""Removes forgotten content from exports: each export that may contain any is written again from the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
import polars as pl
import pyarrow.parquet as pq

from shp_miner.errors import BadInput, Error, in_words
from shp_miner.export.compact import row_files
from shp_miner.export.dataset import make_export_again
from shp_miner.export.dropped import is_of_dropped_rows
from shp_miner.export.formats import FORMATS
from shp_miner.export.nothing import NoPairs
from shp_miner.export.opening import read_manifest
from shp_miner.export.owned import (
    MANIFEST,
    export_fingerprint,
    formats_in,
    is_export,
    manifest_hashes,
    remove_export,
    remove_reports,
    several_in,
)
from shp_miner.export.publish import clear_leftovers, export_leftovers, is_place
from shp_miner.export.pushed import owe_purge
from shp_miner.export.reading import arrow_source
from shp_miner.export.registered import BETWEEN, HINTS, Kept, KnownExport, Owed, drop_export, write_export
from shp_miner.export.several import refresh_several
from shp_miner.mining.mine import Selection
from shp_miner.paths import expanded
from shp_miner.rules.presets import named_rule
from shp_miner.store import Store
from shp_miner.store.forgotten import Forgotten
from shp_miner.store.lake import TABLES
from shp_miner.store.replacing import replace_file, temporary_files

#: Exports with one of these outcomes are finished; exports with one of `Kept` are waited for.
Outcome = Literal["rewritten", "removed", "nothing in it", "dropped", "another store's"] | Kept

#: The columns with the ids of a row's answers. Formats without them do not say whose text a row is.
_ANSWER_IDS = (("answer1_id", "answer2_id"), ("c_root_id_A", "c_root_id_B"))
_PAIR_ID = "pair_id"

#: The last bytes of every complete Parquet file.
_PARQUET_END = b"PAR1"


class ExportDone(msgspec.Struct):
    """The outcome of forgetting for an export, with the reason. In a dry run: the expected outcome.

    `open`: the export could not be reached, and forgetting is not finished until it is; `hint` says what to do.
    """

    path: str
    outcome: Outcome
    why: str = ""
    open: bool = False
    hint: str = ""


def reach_export(
    store: Store, known: KnownExport, wanted: Forgotten, whole: Forgotten, *, dry_run: bool = False
) -> list[ExportDone]:
    """Return the outcomes for an export and its folders of dropped rows, after removing listed content from them.

    An export that has not changed since it was last found clean is checked for `wanted`, any other for the `whole`
    list. Folders that cannot be reached are noted in the store with the reason, and waited for.
    """
    if known.of:
        why = f"The store {known.of} made it; this store may be that one, moved, or a copy of it."
        held_back = [not_reached(known.path, "unsure", why)]
        if not dry_run:
            _note(store, known, held_back, anything=not whole.lines.is_empty())
        return held_back
    looked = [_tried(known.path, partial(_reached, store, known, wanted, whole, dry_run=dry_run))]
    for path in known.dropped:
        looked.append(_tried(path, partial(_dropped_reached, Path(path), whole, dry_run=dry_run)))
    done = [outcome for outcome in looked if outcome is not None]
    if not dry_run:
        _note(store, known, done, anything=not whole.lines.is_empty())
    return done


def not_reached(path: str | Path, kept_by: Kept, why: str) -> ExportDone:
    """Return the outcome of an export that could not be reached."""
    return ExportDone(str(path), kept_by, why, open=True, hint=HINTS[kept_by].format(path=path))


def _tried(path: str, look: Callable[[], ExportDone | None]) -> ExportDone | None:
    """Return the outcome of `look`; any error is a failure of this export only."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001  (a bug, too, keeps only this export waiting)
        return not_reached(path, "failed", _sentence(error))


def _sentence(error: Exception) -> str:
    words = in_words(error) or Error(str(error))
    return words.message


def _note(store: Store, known: KnownExport, done: list[ExportDone], *, anything: bool) -> None:
    """Note in the store which paths of an export are waited for."""
    owes: dict[str, Owed] = {}
    for outcome in done:
        if outcome.open and anything:
            since = known.owes[outcome.path].since if outcome.path in known.owes else time.time()
            owes[outcome.path] = Owed(since, cast("Kept", outcome.outcome), outcome.why)
    known.owes = owes
    if known.stage in ("begun", "gone") and not known.dropped and not any(outcome.open for outcome in done):
        drop_export(store, known)
    else:
        write_export(store, known)


def _reached(
    store: Store, known: KnownExport, wanted: Forgotten, whole: Forgotten, *, dry_run: bool
) -> ExportDone | None:
    """Return the outcome for the export itself; None if there never was one."""
    folder = expanded(known.path)
    if (kept := _settled_past(known, folder, dry_run=dry_run)) is not None or known.stage in ("begun", "gone"):
        return kept
    formats = formats_in(folder)
    if known.stage == "removing" and not formats:  # and killed just before that could be noted
        refresh_several(folder)
        _remove_empty(folder)
        known.stage, known.clean, known.made = "gone", "", []
        return ExportDone(known.path, "removed")
    if known.stage != "removing" and (kept := _missing(known, folder, formats)) is not None:
        return kept
    is_as_it_was = (
        known.clean == export_fingerprint(formats) and known.stage == "written" and known.path not in known.owes
    )
    against = wanted if is_as_it_was else whole
    done = ExportDone(known.path, "nothing in it")
    if _may_hold(formats, against, lambda: _communities(store, against)):
        if not dry_run:
            owe_purge(store, folder, manifest_hashes(formats))  # first: a killed run does not come here again
        done = ExportDone(known.path, "rewritten") if dry_run else _made_again(store, known, formats, whole)
    if not dry_run and done.outcome == "removed":
        known.stage, known.clean, known.made = "gone", "", []
    elif not dry_run:
        left = formats_in(folder)
        known.stage, known.clean = "written", export_fingerprint(left)
        known.add_made(manifest_hashes(left))
    return done


def _settled_past(known: KnownExport, folder: Path, *, dry_run: bool) -> ExportDone | None:
    """Clear away a killed export, and note how far it came; return an outcome if that fails."""
    if not is_place(folder):
        if _formats(folder):
            return not_reached(folder, "failed", "It cannot be written again: the folder's name is too long.")
        known.stage = "gone"  # an earlier version noted places where nothing can be
    if known.stage == "gone":
        return None
    if known.stage in BETWEEN and (why := known.why_away()):
        return not_reached(folder, "away", why)
    if known.stage == "publishing":
        is_beside = any(path.name.endswith(".new") for path in export_leftovers(folder))
        known.stage = "begun" if is_beside else "written"
    if not dry_run:
        for place in (folder, *(folder / name for name in FORMATS)):
            clear_leftovers(place)
            if left := export_leftovers(place):
                return not_reached(folder, "failed", f"{left[0]} of a killed export cannot be deleted.")
        known.stage = "gone" if known.stage == "begun" else known.stage
    return None


def _formats(folder: Path) -> Mapping[str, Path]:
    try:
        return formats_in(folder)
    except OSError:
        return {}


def _missing(known: KnownExport, folder: Path, formats: Mapping[str, Path]) -> ExportDone | None:
    """Return an outcome if the export is missing or not complete; None if it is complete."""
    try:
        empty = not any(folder.iterdir())
    except FileNotFoundError:
        return not_reached(folder, "away", "The folder does not exist.")
    except NotADirectoryError:
        return not_reached(folder, "away", "A part of its path is a file, not a folder.")
    if empty:
        return not_reached(folder, "away", "The folder is empty: its disk may not be mounted.")
    if (lacking := _lacking(folder, formats)) is not None:
        return lacking
    if not known.is_made_of(manifest_hashes(formats)):
        why = "Another export is in this folder, or an old one that this store no longer knows."
        return not_reached(folder, "away", why)
    return None


def _lacking(folder: Path, formats: Mapping[str, Path]) -> ExportDone | None:
    """Return an outcome if formats are missing or cannot be read; None if all can be read."""
    away = [name for name in several_in(folder) if name not in formats and not (folder / name).is_dir()]
    if away:
        why = f"{folder / away[0]} does not exist, but the {MANIFEST} of the export names it."
        return not_reached(folder, "away", f"{why} If it was deleted, export again without this format.")
    lacking = [] if folder in formats.values() else [name for name in FORMATS if (folder / name).is_dir()]
    lacking = [name for name in lacking if name not in formats]
    if lacking or not formats:
        place = folder / lacking[0] if lacking else folder
        return not_reached(folder, "unreadable", f"{place} is not a readable export: it has no readable {MANIFEST}.")
    return None


def _dropped_reached(folder: Path, whole: Forgotten, *, dry_run: bool) -> ExportDone:
    """Return the outcome for a folder of dropped posts and answers, after emptying its listed rows."""
    if not folder.is_dir():
        return not_reached(folder, "away", "The folder with dropped rows does not exist.")
    if not any(folder.iterdir()):
        why = "The folder with dropped rows is empty: its disk may not be mounted."
        return not_reached(folder, "away", why)
    rows = 0
    for name in TABLES:
        if not dry_run:
            for left in temporary_files(folder / name):
                left.unlink(missing_ok=True)  # of a run that was killed
        for path in sorted(path for path in (folder / name).glob("*.parquet") if is_of_dropped_rows(path.name)):
            try:
                emptied, count = whole.emptied_rows(pl.read_parquet(path, glob=False), name)
            except pl.exceptions.PolarsError:
                if path.read_bytes()[-4:] == _PARQUET_END:
                    raise
                if not dry_run:
                    path.unlink()  # an export was killed while it wrote this
                continue
            rows += count
            if count and not dry_run:
                # On the disk before the request is finished: a power cut would bring the rows back.
                replace_file(path, partial(emptied.write_parquet, statistics=False), durable=True)
    return ExportDone(str(folder), "rewritten" if rows else "nothing in it")


# -- whether anything is in it ---------------------------------------------------------------------------------------


def _may_hold(formats: Mapping[str, Path], against: Forgotten, communities: Callable[[], set[str]]) -> bool:
    """Return whether an export may contain text of listed items: by ids if it has them, else by communities."""
    if against.lines.is_empty():
        return False
    posts = against.items["posts"].select("post_id").unique()
    answers = against.items["answers"].select("post_id", "answer_id").unique()
    for folder in formats.values():
        # The texts of the compact layout are those of its pairs, which have the ids.
        files = row_files(read_manifest(folder)["files"])
        if any(against.is_profile(file["community"]) for file in files):
            return True
        for file in files:
            try:
                ids = _ids(folder / file["path"])
            except (OSError, pl.exceptions.PolarsError, ValueError):
                return True  # damaged: its content is not known
            if ids is None:
                if file["community"] in communities():
                    return True
            elif ids.join(posts, on="post_id", how="semi").height or (
                ids.join(answers, on=["post_id", "answer_id"], how="semi").height
            ):
                return True
    return False


def _ids(path: Path) -> pl.DataFrame | None:
    """Return the ids of posts and answers in an export's file (`post_id`, `answer_id`); None if it has none."""
    with arrow_source(path) as source:
        return _ids_in(pq.ParquetFile(source))


def _ids_in(file: pq.ParquetFile) -> pl.DataFrame | None:
    names = set(file.schema_arrow.names)
    for sides in _ANSWER_IDS:
        if {"post_id", *sides} <= names:
            rows = pl.DataFrame(file.read(["post_id", *sides]))
            return pl.concat([rows.select("post_id", answer_id=side) for side in sides]).unique()
    if _PAIR_ID not in names:
        return None
    parts = pl.DataFrame(file.read([_PAIR_ID]))[_PAIR_ID].str.split("/")
    sides_of = parts.list.get(-1).str.split("-")
    if (parts.list.len() != 3).any() or (sides_of.list.len() != 2).any():
        return None  # ids with a slash or a dash cannot be taken apart
    return pl.DataFrame({"post_id": parts.list.get(1), "answer_id": sides_of}).explode("answer_id").unique()


def _communities(store: Store, against: Forgotten) -> set[str]:
    """Return the communities of the listed items."""
    hashes = pl.Series(against.threads)
    snapshot = store.snapshot()
    found: set[str] = set()
    for name in TABLES:
        rows = snapshot.scan(name).filter(pl.col("thread_hash").is_in(hashes.implode())).select("community").unique()
        found |= set(rows.collect(engine="streaming")["community"])
    return found


# -- making it again -------------------------------------------------------------------------------------------------


def _made_again(store: Store, known: KnownExport, formats: Mapping[str, Path], whole: Forgotten) -> ExportDone:
    """Write an export again with the settings in its manifests, and return the outcome.

    Its files are deleted if the store has no pair left for it. After any other failure the export is unchanged.
    """
    folder = expanded(known.path)
    remove_reports(folder)
    settings = {name: read_manifest(place)["configuration"] for name, place in formats.items()}
    first = next(iter(settings.values()))
    if is_export(folder) and all(setting == first for setting in settings.values()):
        parts = [(folder, dict(formats), first)]
    else:  # exports that were made one by one, or have something else beside them
        parts = [(place, {name: place}, settings[name]) for name, place in formats.items()]
    removed, others_stay = "", False
    for out, of_part, configuration in parts:
        try:
            make_export_again(store, known, out, list(of_part), _selection(configuration, whole))
        except NoPairs as none:
            removed = none.message
            known.stage = "removing"
            write_export(store, known)
            remove_export(of_part)
            refresh_several(folder)
        else:
            others_stay = True
    if removed and not others_stay:
        _remove_empty(folder)
        return ExportDone(known.path, "removed", removed)
    return ExportDone(known.path, "rewritten", removed)


def _remove_empty(folder: Path) -> None:
    for place in (*(folder / name for name in FORMATS), folder):
        with suppress(OSError):  # not there, or somebody else's files are in it
            place.rmdir()


def _selection(settings: Any, whole: Forgotten) -> Selection:
    try:
        selection = msgspec.convert(settings, Selection)
    except msgspec.ValidationError as error:
        raise BadInput(
            f"This version does not understand the settings in its {MANIFEST}: {error}.",
            "Export it again with this version.",
        ) from error
    communities = _of_nobody(selection.communities, whole)
    places = [(site, names, _of_nobody(names, whole)) for site, names in selection.places or ()]
    kept = tuple((site, left) for site, names, left in places if left or not names)
    if (selection.communities and not communities) or (places and not kept):
        raise NoPairs("It contained only a forgotten person's own community.", "")
    changes = {"communities": communities, "places": kept or msgspec.UNSET, "rule": named_rule(selection.rule)}
    return msgspec.structs.replace(selection, **changes)


def _of_nobody(communities: Sequence[str], whole: Forgotten) -> tuple[str, ...]:
    """Return the communities that are not a forgotten person's own."""
    return tuple(name for name in communities if not whole.is_profile(name))
