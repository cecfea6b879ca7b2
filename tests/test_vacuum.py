"""Old versions end when they are old; no row, no number and no export changes by it, whatever ends the work."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shp_miner import BadInput, TryLater, UsageError, export_dataset, import_dump
from shp_miner.cli import run
from shp_miner.forgetting.forget import forget
from shp_miner.pipeline.config import parse
from shp_miner.pipeline.ran import Ran
from shp_miner.pipeline.run import run as run_pipeline
from shp_miner.sources.registry import Access
from shp_miner.store import Store
from shp_miner.store.database import FILE
from shp_miner.store.files import write_file
from shp_miner.store.lake import TABLES
from shp_miner.store.lock import exclusive_lock, shared_lock
from shp_miner.store.vacuum import log_entries, needed_files

from .build import answer_row, chunk, post_row, thread, tree, write_month
from .conftest import ROOT
from .crawls import rows
from .killing import killed
from .web import FakeClock

DAY_S = 86_400.0


def filled(folder: Path, count: int = 6) -> Store:
    """A store of several versions, compacted in their middle."""
    store = Store(folder)
    for i in range(count):
        if i == count // 2:
            store.compact()
        store.append(chunk([post_row(post_id=f"p{i}")], [answer_row(f"a{i}{k}", post_id=f"p{i}") for k in range(3)]))
    return store


def age(store: Store, days: list[float]) -> float:
    """Say in the log that version n of each table was made `days[n]` days ago; returns what time it is now."""
    now_s = time.time()
    for name in TABLES:
        for day, (_, entry) in zip(days, log_entries(store.path / name / "_delta_log"), strict=False):
            told = [json.loads(line) for line in entry.read_text().splitlines()]
            for line in told:
                if "commitInfo" in line:
                    line["commitInfo"]["timestamp"] = round((now_s - day * DAY_S) * 1000)
            entry.write_text("".join(json.dumps(line) + "\n" for line in told))
    return now_s


def content(store: Store, version: str | None = None) -> list[Any]:
    snapshot = store.snapshot(version)
    return [snapshot.scan(name).collect().sort(["post_id", "content_hash"]).to_dicts() for name in TABLES]


def data_files(store: Store, name: str = "answers") -> set[str]:
    return {path.name for path in (store.path / name).glob("*.parquet")}


def test_versions_within_the_time_stay_and_what_only_older_ones_need_goes(tmp_path: Path) -> None:
    # Versions: 0 made, 1 to 3 appends, 4 compacts them, 5 to 7 appends.
    store = filled(tmp_path / "s")
    now_s = age(store, [30, 20, 15, 10, 8, 6, 3, 1])
    assert len(data_files(store)) == 7
    before = {f"{n}.{n}": content(store, f"{n}.{n}") for n in (4, 5, 6, 7)}
    version = store.snapshot().version
    done = store.vacuum(7 * DAY_S, now_s=now_s)
    # A week ago version 4 was the newest, so it can still be opened.
    assert (done.files, store.snapshot().version) == (6, version)
    assert {n: content(store, n) for n in before} == before
    with pytest.raises(UsageError, match="The oldest version of its posts is 4"):
        store.snapshot("3.3")
    with pytest.raises(UsageError, match="old versions are deleted after a time"):
        store.snapshot(datetime.fromtimestamp(now_s - 12 * DAY_S, UTC).isoformat())
    assert store.vacuum(7 * DAY_S, now_s=now_s).files == 0
    assert store.vacuum(0, now_s=now_s + 1).files == 0, "all that is left is needed by the newest version"
    with pytest.raises(UsageError):
        store.snapshot("6.6")
    store.append(chunk([post_row(post_id="later")], []))
    assert content(store)[1] == before["7.7"][1]


def test_a_dry_run_tells_what_goes_and_deletes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = filled(tmp_path / "s")
    now_s = age(store, [30, 20, 15, 10, 8, 6, 3, 1])
    before = {name: tree(store.path / name) for name in TABLES}
    told = store.would_vacuum(7 * DAY_S, now_s=now_s)
    assert run(["vacuum", "--dry-run", "--keep", "7d", "--store", str(store.path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {name: printed[name] for name in TABLES} == msgspec.to_builtins(told)
    assert run(["vacuum", "--dry-run", "--keep", "7d", "--store", str(store.path)]) == 0
    assert "0 to 3" in capsys.readouterr().out
    assert {name: tree(store.path / name) for name in TABLES} == before
    assert [ended.versions for ended in told.values()] == [[0, 1, 2, 3]] * 2
    done = store.vacuum(7 * DAY_S, now_s=now_s)
    for name in ("files", "size_bytes", "log_files"):
        assert getattr(done, name) == sum(getattr(ended, name) for ended in told.values())
    assert all(not ended.versions for ended in store.would_vacuum(7 * DAY_S, now_s=now_s).values())


def test_nothing_goes_before_its_time(tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    before = tree(store.path / "answers")
    done = store.vacuum()
    assert (done.files, done.log_files) == (0, 0)
    assert before.items() <= tree(store.path / "answers").items()
    assert content(store, "2.2")[0]


def test_what_a_killed_writer_left_goes_and_a_living_one_is_left_in_peace(tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    left = write_file(store.path / "answers", chunk([], [answer_row("never")]).answers).path
    with shared_lock(store.path, "writing rows"), pytest.raises(TryLater, match="writing rows"):
        store.vacuum(0, wait_s=0.1)
    assert left in data_files(store)
    store.vacuum()
    assert left not in data_files(store)
    with exclusive_lock(store.path, "something"):
        assert run(["vacuum", "--store", str(store.path), "--keep", "0s", "--quiet"]) == 0


WRITER = """
import sys
from tests.build import *
from shp_miner.store import Store
store = Store(sys.argv[1])
for i in range(30):
    store.append(chunk([], [answer_row(f"w{i}")]))
    print(i, flush=True)
"""


def test_a_writer_and_a_vacuum_in_two_processes_lose_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    command = [sys.executable, "-c", WRITER, str(store.path)]
    vacuums = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        for _ in writer.stdout:  # between and in the middle of its commits
            with suppress(TryLater):
                store.vacuum(0, wait_s=0.5)
                vacuums += 1
            if vacuums % 10 == 0:
                store.compact()
    assert writer.returncode == 0
    assert vacuums >= 10
    assert sorted(rows(store, "answers")["answer_id"])[-30:] == sorted(f"w{i}" for i in range(30))
    assert len(rows(store, "answers")) == 18 + 30
    store.vacuum(0, now_s=time.time() + 1)
    assert data_files(store) == needed_files(store.path / "answers")


def test_a_table_that_lacks_files_is_left_as_it_is(tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    needed = store.snapshot()._files["answers"]["path"][0]
    Path(needed).unlink()
    before = tree(store.path)
    assert run(["vacuum", "--store", str(store.path), "--keep", "0s"]) == 5
    answers = {name: data for name, data in before.items() if name.startswith("answers")}
    assert answers.items() <= tree(store.path).items()


def test_an_empty_entry_of_the_log_is_not_made_final(tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    newest = store.path / "answers" / "_delta_log" / f"{7:020d}.json"
    newest.write_bytes(b"")
    before = data_files(store)
    with pytest.raises(BadInput, match="is empty") as caught:
        store.vacuum(0)
    assert "doctor --repair" in caught.value.hint
    assert data_files(store) == before


def test_the_commands_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = filled(tmp_path / "s")
    assert run(["vacuum", "--store", str(store.path), "--keep", "0s", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    # A kept version needs the one file of before and the three since.
    assert (told["files"], len(data_files(store))) == (6, 4)
    assert run(["vacuum", "--store", str(store.path)]) == 0
    assert "Deleted 0 data files" in capsys.readouterr().out
    assert run(["vacuum", "--store", str(tmp_path / "nowhere")]) == 5


# -- kill -9 ----------------------------------------------------------------------------------------------------------


def vacuumed(folder: Path) -> None:
    Store(folder).vacuum(0)


def compacted(folder: Path) -> None:
    Store(folder).compact()


VACUUM = "shp_miner.store.vacuum"


@pytest.mark.parametrize(
    "moment",
    [
        f"{VACUUM}:write_checkpoint after 1",
        f"{VACUUM}:shorten_log before 1",
        f"{VACUUM}:Path.unlink after 1",
        f"{VACUUM}:Path.unlink after 7",
        f"{VACUUM}:Path.unlink after 9",
        "shp_miner.store.lake:end_before after 1",
        f"{VACUUM}:shorten_log after 2",
    ],
)
def test_killed_at_any_step_nothing_is_lost_and_the_next_time_ends_it(moment: str, tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    before, version = content(store), store.snapshot().version
    killed(vacuumed, store.path, moment)
    assert (content(store), store.snapshot().version) == (before, version)
    store.append(chunk([], [answer_row("more")]))
    store.vacuum(0, now_s=time.time() + 1)
    for name in TABLES:
        assert data_files(store, name) == needed_files(store.path / name)
    assert len(data_files(store)) == 5
    assert len(rows(store, "answers")) == 19


@pytest.mark.parametrize("when", ["before 1", "after 1", "before 2", "after 2"])
def test_a_compaction_that_is_killed_changes_nothing_anybody_reads(when: str, tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    before, fingerprint = content(store), store.content()
    killed(compacted, store.path, f"deltalake.table:TableOptimizer.z_order {when}")
    assert (content(store), store.content()) == (before, fingerprint)
    store.compact()
    store.vacuum(0, now_s=time.time() + 1)
    assert (content(store), store.content()) == (before, fingerprint)
    assert {name: len(data_files(store, name)) for name in TABLES} == {"posts": 1, "answers": 1}


def test_a_full_disk_is_said_and_loses_nothing(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(small_disk / "s")
    before = content(store)
    filler = small_disk / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1k"], stderr=subprocess.DEVNULL, check=False)
    with pytest.raises(TryLater, match="No space is left"):
        store.vacuum(0)
    assert content(store) == before
    filler.unlink()
    assert store.vacuum(0, now_s=time.time() + 1).files == 6
    assert content(store) == before


# -- what compaction and vacuum mean for exports ----------------------------------------------------------------------


def test_the_content_changes_with_rows_and_with_nothing_else(tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    seen = [store.content()]
    store.compact()
    store.vacuum(0)
    assert store.content() == seen[0]
    store.append(chunk([], [answer_row("more")]))
    seen.append(store.content())
    forget(store, ids=["reddit.com/p1"])
    seen.append(store.content())
    shutil.rmtree(store.path)
    filled(store.path)
    seen.append(store.content())
    assert len(set(seen)) == 4


@pytest.fixture
def pipeline(tmp_path: Path, now: datetime) -> Any:
    dump = write_month(tmp_path / "dump", [record for i in range(6) for record in thread(f"p{i}")])
    import_dump("reddit-dump", dump, tmp_path / "s", now=now)
    keys: dict[str, Any] = {"store": str(tmp_path / "s"), "export": [{"out": str(tmp_path / "out")}]}
    return parse({**keys, "limits": {"min_free": "0GB"}, "recheck": {"enabled": False}})  # which would compact, too


def outcomes(ran: Ran) -> dict[str, str]:
    return {step.step: step.said for step in ran.steps}


def test_a_run_compacts_and_vacuums_about_daily_and_exports_stay_up_to_date(
    pipeline: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shp_miner.store.lake.FILES_BEFORE_COMPACTION", 2)
    store, clock = Store(tmp_path / "s"), FakeClock(1_000_000.0)
    for i in range(3):
        store.append(chunk([], [answer_row(f"x{i}", post_id="p1")]))

    def ran(hours: float) -> Ran:
        clock.time += hours * 3600
        return run_pipeline(pipeline, "p", access=Access(clock=clock))

    first = ran(0)
    assert first.exit_code == 0
    assert outcomes(first)["tidy"] == "compacted"
    made = tree(tmp_path / "out")
    age(store, [30] * 6)
    assert outcomes(ran(1)) == {"export": "up to date"}, "a vacuum is not due"
    later = outcomes(ran(20))
    assert later["export"] == "up to date"
    assert "4 files of old versions deleted" in later["tidy"]
    assert store.file_counts() == {"posts": 1, "answers": 1}
    assert tree(tmp_path / "out") == made
    store.append(chunk([], [answer_row("new", post_id="p1")]))
    assert outcomes(ran(1))["export"] != "up to date"


def test_a_run_without_time_or_alone_leaves_it_to_the_next_but_not_for_ever(
    pipeline: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock = Store(tmp_path / "s"), FakeClock(1_000_000.0)
    calls: list[float] = []
    real = Store.vacuum

    def counted(store: Store, **options: Any) -> Any:
        calls.append(clock.time)
        return real(store, **options)

    monkeypatch.setattr(Store, "vacuum", counted)
    hurried = msgspec.structs.replace(pipeline, limits=msgspec.structs.replace(pipeline.limits, max_seconds=0.0))

    def ran(which: Any, hours: float) -> int:
        clock.time += hours * 3600
        before = len(calls)
        assert run_pipeline(which, "p", access=Access(clock=clock), only=["tidy"]).exit_code == 0
        return len(calls) - before

    assert ran(pipeline, 0) == 1
    assert ran(hurried, 24) == 0
    assert ran(hurried, 47) == 0
    assert ran(hurried, 1) == 1
    with shared_lock(store.path, "reading"):
        assert ran(pipeline, 24) == 1, "it tries"
    assert ran(pipeline, 1) == 1, "and again"
    assert ran(pipeline, 1) == 0
    assert (store.path / FILE).exists()
    assert not (store.path / f"{FILE}-wal").exists()


def test_what_was_written_ahead_is_taken_over(pipeline: Any, tmp_path: Path) -> None:
    run_pipeline(pipeline, "p", only=["export"])
    file = tmp_path / "s" / FILE
    with closing(sqlite3.connect(file)) as reader:  # somebody who has it open keeps the log from going away
        reader.execute("SELECT count(*) FROM runs").fetchone()
        run_pipeline(pipeline, "p", only=["export"])
        assert file.with_name(f"{FILE}-wal").stat().st_size > 0
        assert run(["vacuum", "--store", str(tmp_path / "s"), "--quiet"]) == 0
        assert file.with_name(f"{FILE}-wal").stat().st_size == 0


def test_an_export_after_both_has_the_same_bytes(pipeline: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    export_dataset(store, tmp_path / "a")
    store.compact()
    store.vacuum(0)
    export_dataset(store, tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
