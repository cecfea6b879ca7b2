"""Replacing files in one step, and what a half-written one is told by."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from shp_miner.health.repair import look, repair
from shp_miner.store.replacing import is_temporary, replace_file, temporary_files

from .conftest import ROOT
from .killing import killed
from .test_repair import aged
from .test_vacuum import filled

#: Whole folders that are moved, files that are moved as they are, and files of a folder that nobody sees yet.
MOVES = {
    ("mining/calibrate.py", "new.rename(kept)"),
    ("export/publish.py", "file.replace(place)"),
    ("export/publish.py", "new.rename(out / (_INSIDE + _WHOLE))"),
    ("export/publish.py", "new.rename(out)"),
    ("export/publish.py", "old.rename(out)"),
    ("export/publish.py", "path.rename(out / path.name)"),
    ("export/publish.py", "whole.rename(moving)"),
    ("export/earlier.py", "linked.replace(new)"),
    ("health/repair.py", "file.replace(path_aside(path.parent, file))"),
    ("health/repair.py", "path.replace(path_aside(folder, path))"),
    ("places/replacing.py", "temporary.replace(path)"),
    ("training/folder.py", "folder.rename(old)"),
    ("training/folder.py", "new.rename(folder)"),
    ("training/folder.py", "old.rename(folder)"),
    ("sources/clocks.py", "self.path.replace(aside)"),
    ("store/repair.py", "path.replace(target)"),
    ("store/repair_list.py", "(place / name).replace(path_aside(folder, place / name))"),
    ("store/repair_list.py", "path.replace(path_aside(folder, path))"),
}


def test_no_file_is_renamed_into_its_place_by_any_other_function() -> None:
    found = set()
    for path in (ROOT / "shp_miner").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                if isinstance(call.args[0] if call.args else None, ast.Dict | ast.DictComp):
                    continue  # a frame's columns
                # A string's `replace` has two arguments, and a struct's has keywords.
                moves = call.func.attr in ("rename", "replace") and len(call.args) == 1 and not call.keywords
                if (moves and "pl." not in ast.unparse(call.func)) or call.func.attr in ("renames", "move"):
                    found.add((path.relative_to(ROOT / "shp_miner").as_posix(), ast.unparse(call)))
    assert found == MOVES


def test_a_file_is_replaced_whole_and_keeps_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)  # as long as a name may be
    for durable in (False, True):
        replace_file(path, b"first", durable=durable)
        assert path.read_bytes() == b"first"
        replace_file(path, lambda file: file.write(b"second"), durable=durable)
        assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_what_fails_leaves_the_file_before_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"before", durable=True)

    def broken(file: BinaryIO) -> None:
        file.write(b"half")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        replace_file(path, broken, durable=True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "folder", b"after", durable=True)
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "missing" / "file", b"after", durable=True)
    assert path.read_bytes() == b"before"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_what_is_durable_waits_for_the_disk_in_the_right_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        done.append("folder" if Path(f"/proc/self/fd/{handle}").is_dir() else "file")
        real_sync(handle)

    def replace(path: Path, target: Any) -> Any:
        done.append("rename")
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    replace_file(tmp_path / "file", b"x", durable=True)
    assert done == ["file", "rename", "folder"]
    done.clear()
    replace_file(tmp_path / "file", b"x", durable=False)
    assert done == ["rename"]


def replaced(folder: Path) -> None:
    replace_file(folder / "exports" / "file", b"after", durable=True)


def test_what_a_killed_process_leaves_is_known_by_its_name_and_cleared_away(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", 2)
    (store.path / "exports").mkdir()
    killed(replaced, store.path, "pathlib:Path.replace before 1")
    (left,) = temporary_files(store.path / "exports")
    assert is_temporary(left.name)
    assert look(store.path) == [], "somebody may be writing it"
    places = [store.path, store.path / "forgotten", store.path / "posts" / "_delta_log"]
    aged(left)
    for number, place in enumerate(places):
        place.mkdir(exist_ok=True)
        (place / f".{number:032x}.tmp").write_bytes(b"half")
        aged(place / f".{number:032x}.tmp")
    said = [fault.sentence() for fault in repair(store.path)]
    assert len(said) == 4
    assert all(re.search(r"A killed process left .* half-written. Repaired: deleted.$", sentence) for sentence in said)
    assert look(store.path) == []


def test_a_store_whose_making_was_killed_is_made_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / f".{'0' * 32}.tmp").write_bytes(b"{")
    assert filled(tmp_path / "s", 1).snapshot().version


def test_it_needs_nothing_that_is_slow_to_import() -> None:
    code = "import sys, shp_miner.store.replacing; print(sorted({'pyarrow', 'polars', 'deltalake'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now
