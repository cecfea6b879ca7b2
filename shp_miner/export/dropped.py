"""Rows that an export leaves out: each range's in the work folder, and all in their own folder once the export appears.

So a failed export leaves no such row, and one that is killed and goes on finds those of its ranges.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import polars as pl

from shp_miner.export.publish import place_of
from shp_miner.paths import is_remote
from shp_miner.store.replacing import replace_file, replacing, sync_to_disk

#: Their kinds, which are folders, and where the work folder has these.
_KINDS, _WORKING = ("posts", "answers", "pairs"), "dropped"

#: Names of their files: the number of the range.
_NAME = re.compile(r"[0-9]{6,}\.parquet")


def is_of_dropped_rows(name: str) -> bool:
    """Return whether a file name is one of dropped rows; other files in the folder are not the export's."""
    return _NAME.fullmatch(name) is not None


def write_dropped(work: Path, number: int, dropped: Mapping[str, pl.DataFrame]) -> None:
    """Write the rows of range `number`, by kind, to the work folder."""
    for kind, frame in dropped.items():
        if frame.height:
            folder = work / _WORKING / kind
            if not is_remote(folder):
                folder.mkdir(parents=True, exist_ok=True)
            replace_file(
                folder / f"{number:06d}.parquet", partial(frame.write_parquet, statistics=False), durable=False
            )


@contextmanager
def appearing_rows(place: Path | None) -> Iterator[Callable[[Path], None]]:
    """Yield a function that takes the rows of a work folder; they appear in `place` when the block ends without error.

    They replace those of an earlier export there. After an error, and without a place, nothing changes.
    """
    if place is None:
        yield lambda _: None
        return
    folder, names = place_of(place), set[Path]()
    with ExitStack() as renames:

        def take(work: Path) -> None:
            for kind in _KINDS:
                source = work / _WORKING / kind
                for file in sorted(source.iterdir()) if source.is_dir() else ():
                    if is_of_dropped_rows(file.name):
                        names.add(folder / kind / file.name)
                        _link(file, renames.enter_context(replacing(folder / kind / file.name)))

        yield take
    for kind in filter(Path.is_dir, (folder / kind for kind in _KINDS)):
        for file in kind.iterdir():
            if is_of_dropped_rows(file.name) and file not in names:
                file.unlink()
        sync_to_disk(kind)


def _link(file: Path, new: Path) -> None:
    """Give a file a second name, or copy it where that cannot be; whoever goes on needs the first one."""
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        if is_remote(file):
            raise OSError
        os.link(file, new)
    except OSError:
        with file.open("rb") as source, new.open("xb") as target:
            shutil.copyfileobj(source, target)
    sync_to_disk(new)
