"""The checks of the list of the forgotten: the two copies of its salt, and its files.

Losses are reported plainly. Hashes of people cannot be made again without the salt or from anything else, so the people
must be named again. Items can be found again from the rows that were emptied.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import polars as pl

from shp_miner.errors import BadInput, Error
from shp_miner.store.database import database_file, opened_database
from shp_miner.store.files import sync_to_disk
from shp_miner.store.forget import look_for_people
from shp_miner.store.forgotten import Forgotten
from shp_miner.store.forgotten_list import (
    FOLDER,
    LINE,
    PENDING,
    ForgottenItem,
    files_ahead,
    item_line,
    names_people,
    part_names,
    read_part,
    set_back_list,
    write_part,
)
from shp_miner.store.found import ASIDE, Fault, path_aside
from shp_miner.store.lake import TABLES, Store, explained_errors
from shp_miner.store.salt import FILES, SALT, differing_salts, has_salt, heal_salt, keep_salt, unsound_copies
from shp_miner.transaction import transaction

_AGAIN = "repeat `shp-miner forget --author` for everybody who was forgotten before"


def check_list(folder: Path, *, fix: bool) -> Iterator[Fault]:
    """Yield the faults of the list of the forgotten of the store in `folder`; see `health.repair`."""
    yield from _parts(folder, fix=fix)
    yield from _salt(folder, fix=fix)
    yield from _ahead(folder, fix=fix)


def _parts(folder: Path, *, fix: bool) -> Iterator[Fault]:
    """Files of the list that cannot be read."""
    place = folder / FOLDER
    bad = [name for name in part_names(place) if _lines(place / name) is None and (place / name).exists()]
    if not bad:
        return
    fault = f"Files of the list of the forgotten {place} are damaged: {', '.join(bad)}."
    try:
        known = _emptied_items(folder)
    except Error as error:
        yield Fault(fault, f"{error.message} Restore the store from a backup.", fixable=False)
        return
    if fix:
        _run_lists_again(folder)
        if known.height:
            write_part(place, known, pending=False)
        for name in bad:
            (place / name).replace(path_aside(folder, place / name))
        sync_to_disk(place)
        read_part.cache_clear()
    remedy = f"set aside in {ASIDE}/, and the items that were purged are on the list again"
    yield Fault(fault, f"{remedy}. Restore it from a backup first if you have one; else {_AGAIN}", fixed=fix)


def _salt(folder: Path, *, fix: bool) -> Iterator[Fault]:
    """Copies of the salt that are damaged or missing."""
    place = folder / FOLDER
    if salts := differing_salts(place):
        yield _two_salts(folder, salts, fix=fix)
        return
    if has_salt(place):
        if unsound := unsound_copies(place):
            # Stores of earlier versions have one copy, and get the other with the next command that writes to them.
            harmless = not any((place / name).exists() for name in unsound)
            if fix:
                heal_salt(place)
            fault = f"The copy {place / unsound[0]} of the salt is {'missing' if harmless else 'damaged'}."
            yield Fault(fault, "written again from the other copy", fixed=fix, harmless=harmless)
        return
    parts = {name: lines for name in part_names(place) if (lines := _lines(place / name)) is not None}
    of_people = {name: lines for name, lines in parts.items() if names_people(lines)}
    damaged = [place / name for name in FILES if (place / name).exists()]
    if not (of_people or damaged):
        return
    if fix:
        _set_people_aside(folder, of_people)
        for path in damaged:
            path.replace(path_aside(folder, path))
        sync_to_disk(place)
    fault = f"The salt {place / SALT} is {'damaged, and so is its copy' if damaged else 'missing'}."
    if of_people:
        count = sum(lines.filter(pl.col("digest").is_not_null()).height for lines in of_people.values())
        lost = f"{count} lines on people are useless without it and are set aside in {ASIDE}/"
        yield Fault(fault, f"{lost}. Restore it from a backup first if you have one; else {_AGAIN}", fixed=fix)
    else:
        yield Fault(fault, f"set aside in {ASIDE}/; nobody is on the list by name", fixed=fix)


def _two_salts(folder: Path, salts: list[bytes], *, fix: bool) -> Fault:
    """Two sound copies that differ: the right one is that by which somebody on the list is found in the store."""
    place = folder / FOLDER
    lines = [known for name in part_names(place) if (known := _lines(place / name)) is not None]
    whole = pl.concat([pl.DataFrame(schema=LINE), *lines])
    right = salts[:1]
    if names_people(whole):
        right = [salt for salt in salts if look_for_people(Store(folder), Forgotten(whole, salt)).digests]
    fault = f"The two copies of the salt {place / SALT} differ, and both are sound: one belongs to another store."
    if len(right) != 1:
        hint = (
            f"Nobody on the list is in the store, so the right one is unknown. Restore it from a backup; else {_AGAIN}"
        )
        return Fault(fault, f"{hint}.", fixable=False)
    if fix:
        keep_salt(place, right[0])
    return Fault(fault, "the one that the list was made with is kept", fixed=fix)


def _ahead(folder: Path, *, fix: bool) -> Iterator[Fault]:
    """Files of the list with times in the future: what was shown again since then would stay away until they come."""
    now = time.time_ns() // 1000
    with suppress(BadInput):  # damaged: said above
        if files_ahead(folder, now):
            if fix:
                set_back_list(folder, now)
            fault = f"The list of the forgotten {folder / FOLDER} has times in the future: a clock was ahead."
            yield Fault(fault, "they are set to the current time", fixed=fix)


def _set_people_aside(folder: Path, parts: dict[str, pl.DataFrame]) -> None:
    """Leave only the items of files of the list. Whatever ends this, every line is in the old file or the new one."""
    place = folder / FOLDER
    if parts:
        _run_lists_again(folder)
    for name, lines in parts.items():
        items = lines.filter(pl.col("digest").is_null())
        if items.height:
            write_part(place, items, pending=name.endswith(PENDING))
        (place / name).replace(path_aside(folder, place / name))
    read_part.cache_clear()


def _run_lists_again(folder: Path) -> None:
    """Have the next run of a pipeline read its file of what is to be forgotten again: those names are known."""
    if database_file(folder).exists():
        with closing(opened_database(folder)) as database, transaction(database):
            database.execute("DELETE FROM done WHERE what LIKE 'forget:%'")


def _emptied_items(folder: Path) -> pl.DataFrame:
    """Lines for every item of the store that was taken out: gone, and without a text in any of its rows."""
    found = [pl.DataFrame(schema=LINE)]
    with explained_errors(f"searching the store {folder}"):
        snapshot = Store(folder).snapshot()
        for name in TABLES:
            key = ["site", "post_id", *(["answer_id"] if name == "answers" else [])]
            texts = pl.any_horizontal(pl.col("body") != "", *([pl.col("title") != ""] if name == "posts" else []))
            items = snapshot.scan(name).group_by(key).agg(live=((pl.col("state") == "live") | texts).any())
            rows = items.filter(~pl.col("live")).select(key).collect(engine="streaming").iter_rows()
            lines = [
                item_line(ForgottenItem(*row)) for row in rows
            ]  # whoever asked: what may be a person's wish never ends
            found.append(pl.DataFrame(lines, schema=LINE))
    return pl.concat(found)


def _lines(path: Path) -> pl.DataFrame | None:
    """The lines of a file of the list; None if it is damaged."""
    try:
        return read_part(path)
    except BadInput:
        return None
