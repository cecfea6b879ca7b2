"""What ended between two steps of a purge or a vacuum is completed by the next command, whichever that is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable

from shp_miner.cli import run
from shp_miner.forgetting.complete import complete_pending
from shp_miner.forgetting.forget import forget
from shp_miner.health.repair import look, repair
from shp_miner.store import Store
from shp_miner.store.forget import ForgottenItem, tombstone_items
from shp_miner.store.forgotten_list import has_pending
from shp_miner.store.lake import TABLES
from shp_miner.store.lock import shared_lock
from shp_miner.store.vacuum import LAST, LOG, UNFINISHED, is_unfinished, log_entries, needed_files, write_checkpoint

from .build import comment, thread, write_month
from .flows import written
from .killing import killed
from .test_forget import seen
from .test_vacuum import content, data_files, filled, vacuumed

NAME, TEXT = "Zephyrine_Quux", "Yttanswer"


@pytest.fixture
def dumps(tmp_path: Path) -> list[str]:
    records = [record for i in range(6) for record in thread(f"p{i}", (3, 9, 5, 7))]
    hers = comment("hers", "p1", author=NAME, body=f"{TEXT} one", score=20)
    return [str(path) for path in write_month(tmp_path / "dump", [*records, hers])]


@pytest.fixture
def store(tmp_path: Path, dumps: list[str]) -> Store:
    """A store of a few versions that was exported."""
    where = str(tmp_path / "s")
    for _ in range(2):
        assert run(["import", "reddit-dump", *dumps, "--store", where, "--quiet"]) == 0
    assert run(["export", str(tmp_path / "out"), "--rule", "votes", "--store", where, "--quiet"]) == 0
    assert seen(tmp_path / "out", TEXT)
    return Store(where)


def forgets(folder: Path) -> None:
    forget(folder, authors=[NAME])


Command = Callable[[Store, list[str]], list[str]]


def _pipeline(store: Store) -> str:
    tables = {"store": str(store.path), "export": [{"out": str(store.path.parent / "other")}]}
    limits = {"limits": {"min_free": "0GB"}, "recheck": {"enabled": False}}
    return str(written(store.path.parent / "p.toml", tables | limits))


#: One of each command that writes to a store, or to what was made of it.
COMMANDS: dict[str, Command] = {
    "import": lambda store, dumps: ["import", "reddit-dump", *dumps, "--store", str(store.path)],
    "export": lambda store, dumps: ["export", str(store.path.parent / "new"), "--store", str(store.path)],
    "recheck": lambda store, dumps: ["recheck", "--store", str(store.path)],
    "vacuum": lambda store, dumps: ["vacuum", "--store", str(store.path)],
    "doctor": lambda store, dumps: ["doctor", "--repair", "--store", str(store.path)],
    "forget": lambda store, dumps: ["forget", "--id", "x.example/1", "--store", str(store.path)],
    "run": lambda store, dumps: ["run", _pipeline(store)],
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_purge_is_completed_by_any_command(name: str, store: Store, dumps: list[str]) -> None:
    killed(forgets, store.path, "shp_miner.forgetting.forget:purge_table after 1")
    assert has_pending(store.path)
    assert seen(store.path.parent / "out", TEXT)
    assert run([*COMMANDS[name](store, dumps), "--quiet"] if name != "run" else COMMANDS[name](store, dumps)) == 0
    assert not has_pending(store.path)
    assert seen(store.path, NAME, TEXT) == []
    assert [found for out in ("out", "new", "other") for found in seen(store.path.parent / out, NAME, TEXT)] == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_vacuum_is_completed_by_any_command(name: str, store: Store, dumps: list[str]) -> None:
    before = content(store)
    killed(vacuumed, store.path, "shp_miner.store.vacuum:shorten_log after 1")
    assert is_unfinished(store.path)
    says = "A vacuum was interrupted"
    assert not any(says in fault.fault for fault in look(store.path)), "it may be going on"
    os.utime(store.path / UNFINISHED, (1, 1))
    assert look(store.path)[-1].fault.startswith(says)
    oldest = store.snapshot().version
    assert run([*COMMANDS[name](store, dumps), "--quiet"] if name != "run" else COMMANDS[name](store, dumps)) == 0
    assert not is_unfinished(store.path)
    for table, version in zip(TABLES, oldest.split("."), strict=True):
        assert log_entries(store.path / table / LOG)[0][0] >= int(version)
        assert data_files(store, table) == needed_files(store.path / table)
    if name != "import":
        assert content(store) == before


def test_a_vacuum_keeps_what_it_was_told_to_keep(tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    (store.path / UNFINISHED).write_text('{"before":"2020-01-01T00:00:00Z"}')
    assert complete_pending(store.path) is None
    assert not is_unfinished(store.path)
    assert len(log_entries(store.path / "answers" / LOG)) == 8
    for text in ("", "{", '{"before":3}'):
        (store.path / UNFINISHED).write_text(text)
        assert complete_pending(store.path) is None
        assert not is_unfinished(store.path)
    assert len(log_entries(store.path / "answers" / LOG)) == 8


def test_who_is_in_the_way_or_cannot_write_is_left_in_peace(
    store: Store, small_disk: Path, dumps: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    tombstone_items(store, [ForgottenItem("reddit.com", "p1", "hers")], "removed", 1)
    with shared_lock(store.path, "writing rows"):
        assert run([*COMMANDS["import"](store, dumps), "--quiet"]) == 0
    assert has_pending(store.path)
    copied = Store(shutil.copytree(store.path, small_disk / "s"))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    out = str(store.path.parent / "fresh")
    capsys.readouterr()
    assert run(["export", out, "--rule", "votes", "--store", str(copied.path), "--quiet"]) == 0
    assert "The unfinished work of an earlier run" not in capsys.readouterr().err


def test_what_cannot_be_completed_is_said_and_keeps_nobody_from_the_rest(
    store: Store, dumps: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    tombstone_items(store, [ForgottenItem("reddit.com", "p1", "hers")], "removed", 1)
    store = Store(shutil.copytree(store.path, store.path.parent / "other"))  # its files were never read
    (damaged,) = (store.path / "forgotten").glob("*.parquet")
    damaged.write_bytes(b"")
    capsys.readouterr()
    assert run(["vacuum", "--store", str(store.path), "--quiet"]) == 0
    said = capsys.readouterr().err
    assert f"The unfinished work of an earlier run was not completed: {damaged} is damaged." in said
    assert run(["doctor", "--store", str(store.path), "--quiet"]) == 5
    assert run(COMMANDS["run"](store, dumps)) == 5


def test_nothing_is_done_where_nothing_is_left(store: Store) -> None:
    version = store.snapshot().version
    assert complete_pending(store.path) is None
    assert complete_pending(store.path.parent / "nowhere") is None
    assert store.snapshot().version == version
    assert not (store.path.parent / "nowhere").exists()


# -- between a checkpoint and what points to it ------------------------------------------------------------------------

POINTER: dict[str, Callable[[Path], object]] = {
    "none": lambda pointer: pointer.unlink(),
    "empty": lambda pointer: pointer.write_bytes(b""),
    "cut off": lambda pointer: pointer.write_bytes(pointer.read_bytes()[:20]),
    "zeros": lambda pointer: pointer.write_bytes(bytes(61)),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("command", ["vacuum", "forget", "doctor"])
@pytest.mark.parametrize("how", [*POINTER, "of an earlier one"])
def test_a_checkpoint_that_nothing_points_to(how: str, command: str, tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    folder = store.path / "answers"
    write_checkpoint(folder, 3)
    before = (folder / LOG / LAST).read_bytes()
    DeltaTable(str(folder)).create_checkpoint()
    POINTER[how](folder / LOG / LAST) if how in POINTER else (folder / LOG / LAST).write_bytes(before)
    rows = content(store)
    arguments = {"vacuum": ["vacuum", "--keep", "0s"], "forget": ["forget", "--id", "x.example/1"]}
    assert run([*arguments.get(command, ["doctor", "--repair"]), "--store", str(store.path), "--quiet"]) == 0
    assert content(store) == rows
    assert run(["vacuum", "--keep", "0s", "--store", str(store.path), "--quiet"]) == 0
    assert content(store) == rows
    assert json.loads((folder / LOG / LAST).read_bytes())["version"] == 7
    assert len(log_entries(folder / LOG)) == 1
    assert look(store.path) == []


@pytest.mark.parametrize("command", ["vacuum", "forget", "doctor"])
def test_a_disk_that_is_full_at_any_byte_of_a_checkpoint(command: str, small_disk: Path, tmp_path: Path) -> None:
    filled(tmp_path / "s")
    ended = 0
    for kilobytes in range(12, 52, 4):
        where = small_disk / "s"
        shutil.copytree(tmp_path / "s", where)
        rows = content(Store(where))
        free = shutil.disk_usage(small_disk).free
        (small_disk / "filler").write_bytes(bytes(free - kilobytes * 1024))
        code = run(["vacuum", "--keep", "0s", "--store", str(where), "--quiet"])
        assert code in (0, 75)
        ended += code == 75
        (small_disk / "filler").unlink()
        if command == "doctor":
            assert all(fault.fixed for fault in repair(where))  # the command has words on so small a disk, too
        else:
            arguments = ["vacuum", "--keep", "0s"] if command == "vacuum" else ["forget", "--id", "x.example/1"]
            assert run([*arguments, "--store", str(where), "--quiet"]) == 0
        assert not is_unfinished(where)
        assert content(Store(where)) == rows
        assert look(where) == []
        shutil.rmtree(where)
    assert 2 <= ended <= 8


def test_a_checkpoint_that_does_not_come_ends_it_before_anything_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "s")
    before = data_files(store)
    monkeypatch.setattr(DeltaTable, "create_checkpoint", lambda table: None)
    assert run(["vacuum", "--keep", "0s", "--store", str(store.path), "--quiet"]) == 5
    assert data_files(store) == before
    assert len(log_entries(store.path / "answers" / LOG)) == 8
