"""Stores of earlier schemas: opened as they are, brought forward by the first who writes, whatever ends the work."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from shp_miner import BadInput, TryLater, export_dataset, import_dump
from shp_miner.cli import run
from shp_miner.crawling.state import CrawlState
from shp_miner.forgetting.forget import forget
from shp_miner.platforms.items import Origin
from shp_miner.platforms.rows import Chunk
from shp_miner.store import Store
from shp_miner.store.database import FILE, SCHEMAS
from shp_miner.store.forget import ForgottenItem, tombstone_items
from shp_miner.store.lake import TABLES
from shp_miner.store.lock import exclusive_lock, shared_lock
from shp_miner.store.migrate import MARK, SCHEMA_VERSION, migrate_store
from shp_miner.store.replacing import temporary_files
from shp_miner.store.runs import Runs
from shp_miner.store.snapshot import EVERYTHING

from .build import answer_row, chunk, post_row, thread, tree, write_month
from .earlier import columns, files_without, set_back
from .killing import killed

#: What the code of schema 1 wrote.
MARK_1 = b'{"schema":1}'
ORIGIN = Origin("discourse", "discourse", "forum.example", "c1")


@pytest.fixture
def old(tmp_path: Path, now: datetime) -> Path:
    """A store as schema 1 had it, with a crawl's file of the first schema."""
    dump = write_month(tmp_path / "dump", [record for i in range(6) for record in thread(f"p{i}")])
    import_dump("reddit-dump", dump, tmp_path / "s", now=now)
    set_back(tmp_path / "s", 1)
    (tmp_path / "s" / MARK).write_bytes(MARK_1)
    first_schema(tmp_path / "s")
    return tmp_path / "s"


def first_schema(folder: Path) -> None:
    with closing(sqlite3.connect(folder / FILE)) as database:
        database.executescript(SCHEMAS[0])
        database.execute("PRAGMA user_version = 1")
        database.execute("INSERT INTO sites VALUES ('discourse', 'forum.example', 'http://127.0.0.1:8000', 1)")
        database.execute("INSERT INTO windows VALUES ('discourse', 'forum.example', 'c1', 500)")
        read = (100, 100, 100, 300, 600, 0, 0, 0, 0, 0, None, 0)
        failed = (None, 200, None, None, None, 0, 0, 0, 2, 1800, "down", 0)
        for post_id, values in (("1", read), ("2", failed)):
            marks = ", ".join("?" * 16)
            database.execute(
                f"INSERT INTO threads VALUES ({marks})", ("discourse", "forum.example", post_id, "c1", *values)
            )
        database.execute("INSERT INTO answers VALUES ('discourse', 'forum.example', '1', 'a', 100, 0)")
        database.commit()


def mark(folder: Path) -> dict[str, object]:
    told: dict[str, object] = json.loads((folder / MARK).read_bytes())
    return told


def test_an_old_store_is_read_as_it_is_and_gives_the_same_bytes(old: Path, tmp_path: Path, now: datetime) -> None:
    export_dataset(old, tmp_path / "before", rule="votes")
    assert (old / MARK).read_bytes() == MARK_1, "who only reads brings nothing forward"
    migrate_store(old)
    export_dataset(old, tmp_path / "after", rule="votes")
    assert tree(tmp_path / "before") == tree(tmp_path / "after")
    fresh = tmp_path / "fresh"
    import_dump("reddit-dump", [tmp_path / "dump"], fresh, now=now)
    export_dataset(fresh, tmp_path / "same", rule="votes")
    assert tree(tmp_path / "same") == tree(tmp_path / "after")


@pytest.mark.parametrize("how", ["append", "tombstone", "forget", "compact", "vacuum", "import"])
def test_whoever_writes_brings_it_forward(how: str, old: Path, tmp_path: Path, now: datetime) -> None:
    store = Store(old)
    match how:
        case "append":
            store.append(chunk([], [answer_row("a")]))
        case "tombstone":
            tombstone_items(store, [ForgottenItem("reddit.com", "p1")], "deleted", 1)
        case "forget":
            forget(store, ids=["reddit.com/p1"])
        case "import":
            import_dump("reddit-dump", [tmp_path / "dump"], old, now=now)
        case "compact":
            store.compact()
        case "vacuum":
            store.vacuum()
    told = mark(old)
    assert told["schema"] == SCHEMA_VERSION
    assert told["made_by"] is None
    for name, schema in TABLES.items():
        assert columns(old, name) == schema.names
    made_s = datetime.fromisoformat(str(told["made_at"])).timestamp()
    assert abs(made_s - (old / "posts").stat().st_ctime) < 60, "the tables know when they were made"
    assert told["migrated_by"]
    again = (old / MARK).read_bytes()
    Store(old).append(chunk([], [answer_row("b")]))
    assert (old / MARK).read_bytes() == again


def test_numbers_stand_beside_rows_that_have_none(tmp_path: Path) -> None:
    def seen(**numbers: int) -> Chunk:
        return chunk([post_row()], [answer_row(name, **numbers) for name in "ab"])

    folder = tmp_path / "s"
    Store(folder).append(seen())
    set_back(folder, 2)
    store = Store(folder)
    assert store.answers()["reads"].to_list() == [None, None]
    store.append(seen(reads=30, upvotes=7))  # the same moment, read again by this version
    rows, contradicting = store.snapshot().answers(EVERYTHING)
    assert (rows["reads"].to_list(), rows["upvotes"].to_list(), contradicting) == ([30, 30], [7, 7], 0)
    assert files_without(folder, "answers", "reads") == 1
    store.compact()
    assert files_without(folder, "answers", "reads") == 0
    assert sorted(store.observations("answers").collect()["reads"].to_list(), key=str) == [30, 30, None, None]
    forget(store, ids=["reddit.com/p1/a"])
    gone = store.answers().filter(state="deleted")
    assert gone.select("answer_id", "score", "reads", "body").rows() == [("a", 5, 30, "")], "only text goes"


@pytest.mark.parametrize("lost_by", ["schema 2", "schema 3"])
def test_a_lost_mark_is_written_by_the_tables(lost_by: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    store.append(chunk([post_row()], [answer_row("a")]))
    if lost_by == "schema 2":
        set_back(store.path, 2)
    (store.path / MARK).write_text("")
    assert run(["doctor", "--repair", "--store", str(store.path)]) == 0
    assert mark(store.path)["schema"] == SCHEMA_VERSION
    assert [columns(store.path, name) for name in TABLES] == [schema.names for schema in TABLES.values()]


def test_a_new_store_says_who_made_it(tmp_path: Path) -> None:
    Store(tmp_path / "s").append(chunk([], [answer_row("a")]))
    told = mark(tmp_path / "s")
    assert (told["schema"], told["migrated_at"]) == (SCHEMA_VERSION, None)
    assert told["made_by"]
    assert told["made_at"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"schema": 99, "more": []}', "schema 99; this version reads 3"),
        ("", "is damaged"),
        ('{"schema"', "is damaged"),
        ("{}", "is damaged"),
        ('{"schema": "2"}', "is damaged"),
        ('{"schema": 0}', "is damaged"),
    ],
)
def test_a_newer_or_damaged_mark_is_refused_and_left(text: str, says: str, old: Path) -> None:
    (old / MARK).write_text(text)
    with pytest.raises(BadInput, match=says):
        Store(old)
    assert (old / MARK).read_text() == text


def test_nobody_is_disturbed_who_uses_it(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(exclusive_lock.__wrapped__.__kwdefaults__, "wait_s", 0.1)
    with shared_lock(old, "writing an export"), pytest.raises(TryLater, match="writing an export"):
        Store(old).append(chunk([], [answer_row("a")]))
    assert (old / MARK).read_bytes() == MARK_1
    Store(old).append(chunk([], [answer_row("a")]))
    assert mark(old)["schema"] == SCHEMA_VERSION


def test_two_at_once_bring_it_forward_once(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shp_miner.store import migrate as module

    taken = []

    def slow(folder: Path, before: module.Mark) -> module.Mark:
        taken.append(folder)
        time.sleep(0.2)
        return before

    monkeypatch.setattr(module, "STEPS", (slow,))
    both = [threading.Thread(target=migrate_store, args=(old,)) for _ in range(2)]
    for worker in both:
        worker.start()
    for worker in both:
        worker.join()
    assert len(taken) == 1


def brought_forward(folder: Path) -> None:
    Store(folder).create()


HERE = "shp_miner.store.migrate"


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "moment",
    [
        f"{HERE}:DeltaTable.metadata after 1",
        f"{HERE}:write_mark before 1",
        "deltalake.table:TableAlterer.add_columns before 1",
        "deltalake.table:TableAlterer.add_columns after 1",
        "deltalake.table:TableAlterer.add_columns after 2",
        f"{HERE}:write_mark after 2",
        "shp_miner.places.replacing:os.fsync before 1",
        "shp_miner.places.replacing:Path.replace before 1",
        "shp_miner.places.replacing:Path.replace after 1",
        f"{HERE}:write_mark after 1",
    ],
)
def test_killed_at_any_step_it_is_old_or_new_and_the_next_ends_it(moment: str, old: Path, tmp_path: Path) -> None:
    export_dataset(old, tmp_path / "before", rule="votes")
    killed(brought_forward, old, moment)
    assert mark(old)["schema"] in range(1, SCHEMA_VERSION + 1)
    export_dataset(old, tmp_path / "between", rule="votes")
    Store(old).append(chunk([], []))
    assert mark(old)["schema"] == SCHEMA_VERSION
    export_dataset(old, tmp_path / "after", rule="votes")
    assert tree(tmp_path / "before") == tree(tmp_path / "between") == tree(tmp_path / "after")


def test_a_full_disk_leaves_the_old_mark(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shp_miner.places.replacing.os.fsync", full)
        assert run(["vacuum", "--store", str(old)]) == 75
    assert (old / MARK).read_bytes() == MARK_1
    assert list(temporary_files(old)) == []


# -- the crawl's file -------------------------------------------------------------------------------------------------


def test_a_crawls_file_of_the_first_schema_keeps_all_it_knows(old: Path) -> None:
    with CrawlState(old) as state:
        assert state.sites() == [("discourse", "forum.example", "http://127.0.0.1:8000", True)]
        assert state.windows.complete_to(ORIGIN) == 500
        assert state.due_communities("discourse", "forum.example", 600) == ["c1"]
        assert state.known(ORIGIN, ["1"])[0].answers == [("a", 100)]
        assert state.failures(ORIGIN, "2") == (2, 1800)
        assert state.waiting(ORIGIN) == 1
    with Runs(old) as runs:
        assert runs.last(5) == []
        assert runs.begin("p", 1) == 1
    with closing(sqlite3.connect(old / FILE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (len(SCHEMAS),)
        found = database.execute("SELECT post_id, failed_since FROM threads ORDER BY 1").fetchall()
    assert found == [("1", None), ("2", 1800)]


def opened_state(folder: Path) -> None:
    CrawlState(folder).close()


@pytest.mark.parametrize("moment", ["before 1", "after 1"])
def test_a_crawls_file_is_brought_forward_whole_or_not_at_all(moment: str, tmp_path: Path) -> None:
    first_schema(tmp_path)
    killed(opened_state, tmp_path, f"shp_miner.store.database:_brought_forward {moment}")
    with closing(sqlite3.connect(tmp_path / FILE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'runs'").fetchone() == (0,)
    opened_state(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (len(SCHEMAS),)
