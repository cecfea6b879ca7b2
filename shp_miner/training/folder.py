"""A model's folder: it appears whole or not at all, and nothing but an earlier model of ours is replaced."""

from __future__ import annotations

import errno
import json
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from shp_miner.errors import BadInput, UsageError
from shp_miner.store.lock import only_one
from shp_miner.store.replacing import sync_to_disk

#: The file that says what a model is and which files are its own: a model of words has it as its config.json, one of
#: transformers beside that library's.
WORDS_RECORD, TRANSFORMERS_RECORD = "config.json", "shp-miner.json"

#: Kinds of models, as their records name them.
WORDS, TRANSFORMERS = "shp-miner-words", "shp-miner-transformers"

_KEY = "shp_miner_model"
_FILES = "files"


def model_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of a model of ours, None if the folder has none."""
    for name, kind in ((WORDS_RECORD, WORDS), (TRANSFORMERS_RECORD, TRANSFORMERS)):
        try:
            read = json.loads((folder / name).read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(read, dict) and read.get(_KEY) == kind and isinstance(read.get(_FILES), list):
            return read
    return None


def known_record(folder: Path) -> dict[str, Any]:
    """Return the record of a model. Raises BadInput if the folder is not a model of `shp-miner train`."""
    record = model_record(folder)
    if record is None:
        why = "it has no record of `shp-miner train`" if folder.exists() else "it does not exist"
        raise BadInput(f"{folder} is not a model: {why}.", "Name the folder that `train` wrote to.")
    missing = [name for name in record[_FILES] if not (folder / str(name)).is_file()]
    if missing:
        raise BadInput(f"{folder} does not have the file {missing[0]} of its record.", "Train again.")
    return record


@contextmanager
def only_trainer(folder: Path) -> Iterator[None]:
    """Let nobody else write a model to `folder` while the block runs. Raises TryLater if another process does.

    Raises BadInput if nothing may be written there, before hours of training rather than after them.
    """
    with ExitStack() as stack:
        try:
            lock = only_one(_beside(folder).lock, f"A model is being trained for {folder}", "training a model")
            stack.enter_context(lock)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            raise BadInput(
                f"Nothing may be written to {folder.absolute().parent}, where the model would be.",
                "Name another folder with --out.",
            ) from error
        yield


def require_place(folder: Path) -> None:
    """Raise UsageError unless a model may be written to `folder`: it is missing, empty, or holds only a model of ours.

    A replacement that was stopped between its two steps is completed first.
    """
    old = _beside(folder).old
    if not folder.exists() and model_record(old) is not None:
        old.rename(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file.", "Choose another folder with --out.")
    record = model_record(folder)
    own = {str(name) for name in record[_FILES]} if record else set()
    others = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if (path.is_symlink() or not path.is_dir()) and path.relative_to(folder).as_posix() not in own
    )
    if others:
        what = "has files that are not the model's" if record else "exists and is not a model"
        raise UsageError(
            f"{folder} {what}: {', '.join(others[:3])}{' and more' if len(others) > 3 else ''}.",
            "Choose another folder with --out.",
        )


def write_model(folder: Path, kind: str, facts: dict[str, Any], fill: Callable[[Path], object]) -> list[str]:
    """Write a model and return the names of its files; `fill` gets an empty folder to write them to.

    `facts` go to the record. An earlier model of ours in `folder` is replaced.
    """
    require_place(folder)
    new, old, _ = _beside(folder)
    _discard(new)
    new.mkdir(parents=True)
    try:
        fill(new)
        record = WORDS_RECORD if kind == WORDS else TRANSFORMERS_RECORD
        written = {path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file()}
        names = sorted({*written, record})
        text = json.dumps({_KEY: kind, **facts, _FILES: names}, indent=2, ensure_ascii=False)
        (new / record).write_text(text + "\n", encoding="utf-8")
        # safetensors makes files that only their owner can read; a model is for whoever may read its folder.
        mode = stat.S_IMODE((new / record).stat().st_mode)
        for name in names:
            (new / name).chmod(mode)
        sync_to_disk(*(new / name for name in names), new)
        if folder.exists():
            _discard(old)
            folder.rename(old)
        new.rename(folder)
        sync_to_disk(folder.parent)
    except BaseException:
        _discard(new)
        if not folder.exists() and old.exists():
            old.rename(folder)
        raise
    _discard(old)
    return names


class _Beside(NamedTuple):
    """Where a model is built, where the replaced one waits until the new one is in its place, and the lock."""

    new: Path
    old: Path
    lock: Path


def _beside(folder: Path) -> _Beside:
    whole = folder.absolute()
    return _Beside(*(whole.with_name(f".{whole.name}.model-{name}") for name in ("new", "old", "lock")))


def _discard(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
