"""Faults that machines make, each put into a real store, and `doctor --repair` after it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from shp_miner import TryLater, export_dataset, import_dump
from shp_miner.cli import run
from shp_miner.crawling.state import CrawlState
from shp_miner.export.registered import remember_export
from shp_miner.forgetting.forget import forget
from shp_miner.health.doctor import examine
from shp_miner.health.repair import look, repair
from shp_miner.platforms.items import Origin
from shp_miner.sources.source import Listed
from shp_miner.store import Store
from shp_miner.store.database import FILE
from shp_miner.store.files import write_file
from shp_miner.store.forget import ForgottenItem, tombstone_items
from shp_miner.store.lock import LOCK, only_one, shared_lock, working_beside
from shp_miner.store.migrate import MARK, SCHEMA_VERSION
from shp_miner.store.runs import Runs

from .build import answer_row, chunk, thread, tree, write_month
from .crawls import bare
from .killing import killed
from .test_vacuum import content, data_files, filled

ORIGIN = Origin("discourse", "discourse", "forum.example", "c1")
HOURS_AGO = 2 * 3600


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose answers have versions 0 to 7."""
    return filled(tmp_path / "s")


def entry(store: Store, version: int, table: str = "answers") -> Path:
    return store.path / table / "_delta_log" / f"{version:020d}.json"


def aged(path: Path) -> Path:
    """A file or folder as if it had been left two hours ago."""
    os.utime(path, (time.time() - HOURS_AGO,) * 2)
    return path


def repaired(store: Store) -> list[str]:
    """Repair; what was done, one sentence each. All must have been put right, and a second time finds nothing."""
    before = [fault.fault for fault in look(store.path)]
    found = repair(store.path)
    assert all(fault.fixed for fault in found), [fault.sentence() for fault in found]
    assert [fault.fault for fault in found] == before, "it says beforehand what is wrong"
    assert repair(store.path) == []
    assert examine(store.path)["problems"] == []
    return [fault.sentence() for fault in found]


def set_aside(store: Store) -> list[str]:
    return sorted(path.name.partition("-2")[0] for path in (store.path / "damaged").iterdir())


def test_a_sound_store_is_left_as_it_is(store: Store) -> None:
    before = tree(store.path)
    assert repair(store.path) == []
    after = {name: data for name, data in tree(store.path).items() if not name.startswith("locks/")}
    assert after == {name: data for name, data in before.items() if not name.startswith("locks/")}


# -- the log ----------------------------------------------------------------------------------------------------------

CUT: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("how", list(CUT))
def test_the_newest_entry_of_a_log_cut_off_by_a_pulled_plug(how: str, store: Store) -> None:
    before = content(store, "7.6")
    entry(store, 7).write_bytes(CUT[how](entry(store, 7).read_bytes()))
    assert any("doctor --repair" in problem for problem in examine(store.path)["problems"])
    (said,) = repaired(store)
    assert "Entry 7 of the log" in said
    assert "version 6 is the newest" in said
    assert set_aside(store) == ["answers-00000000000000000007.json"]
    assert (content(store), store.snapshot().version) == (before, "7.6")
    store.append(chunk([], [answer_row("after")]))
    assert store.snapshot().version == "7.7"


def test_several_at_the_end(store: Store) -> None:
    before = content(store, "7.5")
    for version in (6, 7):
        entry(store, version).write_bytes(b"")
    (said,) = repaired(store)
    assert "Entry 6, 7 of" in said
    assert content(store) == before


@pytest.mark.parametrize("how", list(CUT))
def test_an_entry_in_the_middle_comes_to_say_nothing(how: str, store: Store) -> None:
    rows = len(content(store)[1])
    # The plug was pulled after version 6, and the store was used since without anybody noticing.
    entry(store, 6).write_bytes(CUT[how](entry(store, 6).read_bytes()))
    repaired(store)
    assert len(content(store)[1]) == rows - 3
    assert store.snapshot().version == "7.7"


def test_a_lost_compaction_loses_no_row(store: Store) -> None:
    before = content(store)
    entry(store, 4).write_bytes(b"")
    repaired(store)
    assert content(store) == before


def test_an_entry_under_a_checkpoint_is_not_needed(store: Store) -> None:
    from shp_miner.store.vacuum import write_checkpoint

    before = content(store)
    write_checkpoint(store.path / "answers", 7)
    entry(store, 7).write_bytes(b"")
    repaired(store)
    assert (content(store), store.snapshot().version) == (before, "7.7")


def test_what_was_noted_and_lost_is_read_and_imported_again(store: Store) -> None:
    now = round(time.time() * 1_000_000)
    hours = 3_600_000_000
    with CrawlState(store.path) as state, Runs(store.path) as runs:
        for post_id, ago in (("early", 3), ("late", 0)):
            state.listed(ORIGIN, [Listed(post_id, 5)])
            state.read(ORIGIN, bare(post_id), now - ago * hours, now + hours)
            runs.did(f"import:{post_id}", "whole", now - ago * hours)
        assert state.waiting(ORIGIN) == 0
    entry(store, 7).write_bytes(b"")
    (said,) = repaired(store)
    assert "read again by the next run" in said
    with CrawlState(store.path) as state, Runs(store.path) as runs:
        assert state.claim_waiting(ORIGIN, now, now + 1, 9) == ["late"]
        assert (runs.state_of("import:early"), runs.state_of("import:late")) == ("whole", None)


def test_a_log_that_cannot_be_saved_is_left_with_what_to_do(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    # Version 4 removed the files of 1 to 3, which are gone since.
    store.vacuum(0)
    store.append(chunk([], [answer_row("more")]))
    for path in (store.path / "answers" / "_delta_log").glob("*.checkpoint.parquet"):
        path.write_bytes(b"PAR1 and no more")
    before = tree(store.path / "answers")
    assert run(["doctor", "--repair", "--store", str(store.path)]) == 5
    assert "Restore the store from a backup" in capsys.readouterr().out
    assert tree(store.path / "answers") == before


def test_a_damaged_checkpoint_that_the_log_can_do_without(store: Store) -> None:
    from shp_miner.store.vacuum import write_checkpoint

    before = content(store)
    write_checkpoint(store.path / "answers", 7)
    (file,) = (store.path / "answers" / "_delta_log").glob("*.checkpoint.parquet")
    file.write_bytes(file.read_bytes()[:100])
    (said,) = repaired(store)
    assert "a new checkpoint was written" in said
    assert content(store) == before


@pytest.mark.parametrize("text", ["", '{"version":', '{"version":99,"size":3}'])
def test_a_pointer_to_no_checkpoint(text: str, store: Store) -> None:
    before = content(store)
    (store.path / "posts" / "_delta_log" / "_last_checkpoint").write_text(text)
    (said,) = repaired(store)
    assert "_last_checkpoint" in said
    assert content(store) == before


def test_a_long_log_gets_a_checkpoint(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shp_miner.store.repair._MANY", 5)
    assert [said.rpartition("Repaired: ")[2] for said in repaired(store)] == ["one was written."] * 2
    assert len(list((store.path / "posts" / "_delta_log").glob("*.checkpoint.parquet"))) == 1


# -- data files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [True, False])
def test_data_that_is_lost_is_said_and_nothing_is_touched(
    lost: bool, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(store.snapshot()._files["answers"]["path"][0])
    if lost:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-10])
    before = tree(store.path / "answers")
    assert run(["doctor", "--repair", "--store", str(store.path), "--json"]) == 5
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert f"A data file of {store.path / 'answers'} missing or cut off, such as {file.name}." in problem
    assert "backup" in problem
    assert tree(store.path / "answers") == before


def test_files_of_killed_writers_go_when_they_are_old(store: Store) -> None:
    rows = chunk([], [answer_row("never")]).answers
    old, young = (store.path / "answers" / write_file(store.path / "answers", rows).path for _ in range(2))
    aged(old)
    before = content(store, "7.3")
    (said,) = repaired(store)
    assert "1 file" in said
    assert (old.exists(), young.exists()) == (False, True)
    assert content(store, "7.3") == before, "files of earlier versions stay"


# -- the crawl's file and the mark ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["garbage", "header", "page", "tables"])
def test_a_damaged_crawls_file_is_set_aside(how: str, store: Store) -> None:
    with CrawlState(store.path) as state:
        for number in range(300):
            state.listed(ORIGIN, [Listed(f"p{number}", 5)])
    file = store.path / FILE
    data = file.read_bytes()
    match how:
        case "garbage":
            file.write_bytes(b"x" * 9000)
        case "header":
            file.write_bytes(data[:60] + b"\xff" * 60 + data[120:])
        case "page":
            file.write_bytes(data[:4096] + b"\0" * 8192 + data[12288:])
        case "tables":
            with closing(sqlite3.connect(file)) as database:
                database.execute("DROP TABLE windows")
    damaged = file.read_bytes()
    (said,) = repaired(store)
    assert "crawls read everything again" in said
    (kept,) = (store.path / "damaged").glob("crawl.sqlite-2*")
    assert kept.read_bytes() == damaged
    with CrawlState(store.path) as state:
        assert state.waiting(ORIGIN) == 0
    with Runs(store.path) as runs:
        assert runs.last(1) == []


def test_a_sound_store_on_a_disk_that_is_only_read_is_sound(small_disk: Path) -> None:
    store = filled(small_disk / "s", 2)
    CrawlState(store.path).close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert look(store.path) == []


def test_everything_at_once(store: Store) -> None:
    (store.path / FILE).write_bytes(b"x" * 9000)
    (store.path / MARK).write_bytes(b"")
    for name in ("posts", "answers"):
        entry(store, 7, name).write_bytes(b"")
    (store.path / "posts" / "_delta_log" / "_last_checkpoint").write_text("{")
    found = repair(store.path)
    assert all(fault.fixed for fault in found)
    assert len(found) == 5
    assert repair(store.path) == []
    assert store.snapshot().version == "6.6"


def test_a_newer_crawls_file_is_not_taken_for_a_damaged_one(store: Store) -> None:
    CrawlState(store.path).close()
    with closing(sqlite3.connect(store.path / FILE)) as database:
        database.execute("PRAGMA user_version = 99")
    assert repair(store.path) == []


def test_a_damaged_mark_is_written_anew_if_the_tables_are_sound(store: Store) -> None:
    before = content(store)
    (store.path / MARK).write_bytes(b"")
    (said,) = repaired(store)
    assert "written again from the tables" in said
    assert content(Store(store.path)) == before
    (store.path / MARK).write_bytes(b"{")
    shutil.rmtree(store.path / "posts")
    assert run(["doctor", "--repair", "--store", str(store.path), "--quiet"]) == 5
    assert (store.path / MARK).read_bytes() == b"{"


def test_where_no_store_is_nothing_is_said_to_be_repaired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--repair", "--store", str(tmp_path / "typo")]) == 5
    assert "There is no store" in capsys.readouterr().err
    assert run(["doctor", "--store", str(tmp_path / "typo")]) == 0, "a new installation has none"


def test_a_newer_store_is_left_alone(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (store.path / MARK).write_text('{"schema": 99}')
    entry(store, 7).write_bytes(b"")
    before = {name: data for name, data in tree(store.path).items() if not name.startswith("locks/")}
    assert run(["doctor", "--repair", "--store", str(store.path)]) == 5
    assert "Install the newest shp-miner." in capsys.readouterr().out
    assert {name: data for name, data in tree(store.path).items() if not name.startswith("locks/")} == before


def test_an_older_store_is_brought_forward(store: Store) -> None:
    (store.path / MARK).write_text('{"schema": 1}')
    assert examine(store.path)["problems"] == []
    (said,) = repaired(store)
    assert said.endswith("Repaired: updated.")
    assert json.loads((store.path / MARK).read_bytes())["schema"] == SCHEMA_VERSION


# -- what the killed left ---------------------------------------------------------------------------------------------


def test_what_killed_processes_left_is_cleared_away(store: Store) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    note = store.path / "locks" / f"{dead.pid}-0123456789ab"
    note.write_text("writing rows")
    (store.path / LOCK).write_text(f"{dead.pid} running p.toml")
    for name in (f"{MARK}.123", "exports/abc.123", "forgotten/.abc", "fits/.abc.123/fits.parquet"):
        (store.path / name).parent.mkdir(parents=True, exist_ok=True)
        (store.path / name).write_text("x")
    for name in (f"{MARK}.123", "exports/abc.123", "forgotten/.abc", "fits/.abc.123"):
        aged(store.path / name)
    young = store.path / "exports" / "def.456"
    young.write_text("x")
    assert (examine(store.path)["problems"], len(examine(store.path)["leftovers"])) == ([], 6)
    assert len(repaired(store)) == 6
    assert not note.exists()
    assert not (store.path / LOCK).exists()
    assert [path.name for folder in ("exports", "forgotten", "fits") for path in (store.path / folder).iterdir()] == [
        young.name
    ]


def test_what_killed_exports_left_is_cleared_away(tmp_path: Path, now: datetime) -> None:
    dump = write_month(tmp_path / "dump", [record for i in range(6) for record in thread(f"p{i}")])
    store = Store(tmp_path / "s")
    import_dump("reddit-dump", dump, store, now=now)
    for name in ("whole", "half"):
        export_dataset(store, tmp_path / name, rule="votes")
    made = tree(tmp_path / "half")
    (tmp_path / "half").rename(tmp_path / ".half.old")  # killed between the two renames
    (tmp_path / ".half.new" / "train").mkdir(parents=True)
    (tmp_path / ".half.lock").write_text("1 writing it")
    (tmp_path / ".whole.new").mkdir()
    remember_export(store, tmp_path / "never")
    (tmp_path / ".never.lock").write_text("")
    assert len(repaired(store)) == 3
    assert tree(tmp_path / "half") == made
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dump", "half", "s", "whole"]


def test_an_export_that_goes_on_elsewhere_is_left_alone(store: Store, tmp_path: Path) -> None:
    remember_export(store, tmp_path / "out")
    (tmp_path / ".out.new").mkdir()
    with only_one(tmp_path / ".out.lock", "It is being written", "writing it"):
        assert repair(store.path) == []
        assert (tmp_path / ".out.new").exists()


def test_what_is_to_be_forgotten_is_completed(store: Store) -> None:
    tombstone_items(store, [ForgottenItem("reddit.com", "p1")], "deleted", 1)
    (said,) = repaired(store)
    assert "content removed from the store and the exports" in said


def test_what_was_set_aside_goes_when_something_is_forgotten(store: Store) -> None:
    entry(store, 7).write_bytes(b"")
    repaired(store)
    forget(store, ids=["reddit.com/p1"])
    assert not (store.path / "damaged").exists()


# -- beside others, and killed itself ---------------------------------------------------------------------------------


def test_it_waits_for_nobody_and_disturbs_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    entry(store, 7).write_bytes(b"")
    with only_one(store.path / LOCK, "It has a run", "me"), pytest.raises(TryLater, match="in use by a run already"):
        repair(store.path)
    with working_beside(store.path, "crawl", lambda: None), pytest.raises(TryLater, match="in use by a crawl"):
        repair(store.path)
    monkeypatch.setattr("shp_miner.health.repair._PATIENCE_S", 0.1)
    with shared_lock(store.path, "writing rows"), pytest.raises(TryLater, match="writing rows"):
        repair(store.path)
    assert entry(store, 7).exists()
    repaired(store)


@pytest.mark.parametrize(
    "moment",
    [
        "shp_miner.store.repair:path_aside before 1",
        "shp_miner.store.repair:_set_aside after 1",
        "shp_miner.store.repair:copy_file after 1",
        "shp_miner.store.repair:_set_aside after 2",
        "shp_miner.crawling.state:CrawlState.read_again after 1",
    ],
)
def test_a_repair_that_is_killed_is_completed_by_the_next(moment: str, store: Store) -> None:
    rows = len(content(store)[1])
    CrawlState(store.path).close()
    for version in (5, 7):
        entry(store, version).write_bytes(b"")
    killed(repair, store.path, moment)
    repair(store.path)
    assert repair(store.path) == []
    assert (len(content(store)[1]), store.snapshot().version) == (rows - 6, "7.6")


def test_a_real_writer_killed_leaves_a_store_that_doctor_finds_sound(store: Store) -> None:
    code = (
        "import sys; from tests.build import *; from shp_miner.store import Store\n"
        "store = Store(sys.argv[1]); print('started', flush=True)\n"
        "while True: store.append(chunk([post_row(post_id='z')], [answer_row('z')]))"
    )
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(store.path)],
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        found: Any = repair(store.path)
        assert all(fault.fixed and fault.harmless for fault in found)
    for name in ("posts", "answers"):
        for path in (store.path / name).glob("*.parquet"):
            aged(path)
    repair(store.path)
    from shp_miner.store.vacuum import needed_files

    assert data_files(store) == needed_files(store.path / "answers")
