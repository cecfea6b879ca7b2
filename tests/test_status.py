"""What `status` shows, when it calls for somebody, and that it disturbs nobody."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shp_miner import BadInput, TryLater
from shp_miner.cli import run
from shp_miner.cli.status import verdict_of
from shp_miner.crawling.state import CrawlState
from shp_miner.health.status import Status, status
from shp_miner.platforms.items import Origin
from shp_miner.sources.source import Listed
from shp_miner.store import Store
from shp_miner.store.database import FILE
from shp_miner.store.forget import ForgottenItem, tombstone_items
from shp_miner.store.lock import LOCK, lock_holder, only_one, shared_lock, working_beside
from shp_miner.store.runs import Runs

from .build import answer_row, chunk, post_row
from .crawls import bare
from .test_migrate import first_schema

DAY_S = 86_400
NOW_S = 1_780_000_000
ORIGIN = Origin("discourse", "discourse", "forum.example", "c1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "s")
    store.append(chunk([post_row()], [answer_row("a"), answer_row("b")]))
    return store


def seen(store: Store, **options: Any) -> Status:
    return status(store.path, now_s=NOW_S, free_bytes=lambda _: 10**12, **options)


def us(days: float) -> int:
    """The time so many days from now."""
    return round((NOW_S + days * DAY_S) * 1_000_000)


def wrong(found: Status) -> list[str]:
    return [problem.what for problem in found.wrong]


def noted(store: Store, *runs: tuple[float, float | None, int | None]) -> None:
    """Runs by when they started and ended, in days from now, and their exit codes."""
    with Runs(store.path) as notes:
        for start, end, code in runs:
            number = notes.begin("eli5.toml", us(start))
            if end is not None and code is not None:
                notes.end(number, us(end), code, {"new": 3, "pairs": 40, "steps": []})


def crawled(store: Store, post_id: str, *, due: float | None, failed: float | None = None) -> None:
    with CrawlState(store.path) as state:
        state.asked_at("discourse", "forum.example", None, allow_private=False)
        state.listed(ORIGIN, [Listed(post_id, us(-30))], us(-1))
        if due is not None:
            state.read(ORIGIN, bare(post_id), us(-30), us(due))
        if failed is not None:
            for when in (failed, failed + 0.5):  # the first failure is what counts
                state.failed(ORIGIN, post_id, "forum.example is down.", us(when + 0.1), us(when))


def test_a_store_without_a_run_or_a_crawl_is_fine(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    found = seen(store)
    assert (found.wrong, found.runs, found.cursors, found.running, found.next_visit) == ([], [], [], None, None)
    posts, answers = found.tables["posts"], found.tables["answers"]
    assert (posts.observations, answers.observations, posts.files, posts.version) == (1, 2, 1, 1)
    file = next((store.path / "posts").glob("*.parquet"))
    assert posts.bytes == posts.disk_bytes == file.stat().st_size
    assert run(["status", "--store", str(store.path), "--min-free", "0GB"]) == 0
    assert capsys.readouterr().out.startswith("All is well: no pipeline has run on this store.\n")
    with pytest.raises(BadInput, match="no store"):
        status(store.path.parent / "nowhere")


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([(-1, -0.9, 0)], []),
        ([(-1, -0.9, 3)], []),
        ([(-5, -4.9, 0), (-1, -0.9, 3)], []),
        ([(-5, -4.9, 0)], ["runs"]),  # nobody starts it any more
        ([(-5, -4.9, 0), (-1, -0.9, 75)], ["runs"]),
        ([(-5, -4.9, 4), (-1, -0.9, 4)], ["runs"]),
        ([(-1, -0.9, 4)], []),  # not for long enough
        ([(-1, None, None)], ["killed"]),
        ([(-1.5, None, None), (-1, -0.9, 0)], []),
        ([(-5, -4.9, 0), (-1, None, None)], ["killed", "runs"]),
    ],
)
def test_when_runs_call_for_somebody(runs: list[Any], expected: list[str], store: Store) -> None:
    noted(store, *runs)
    assert wrong(seen(store)) == expected
    assert wrong(seen(store, stale_s=10 * DAY_S)) == [problem for problem in expected if problem == "killed"]


def test_runs_are_shown_with_their_outcomes(store: Store) -> None:
    noted(store, (-4, -3.9, 0), (-3, None, None), (-2, -1.9, 5), (-1, -0.9, 75), (-0.5, -0.4, 3))
    shown = seen(store).runs
    assert [run.outcome for run in shown] == ["in part", "later", "failed", "killed", "done"]
    assert shown[0].counts == {"new": 3, "changed": 0, "deleted": 0, "pairs": 40, "requests": 0}
    assert (shown[-1].started_at.timestamp(), shown[3].ended_at) == (NOW_S - 4 * DAY_S, None)


@pytest.mark.parametrize(
    ("due", "failed", "expected"),
    [
        (1, None, []),
        (-1, None, []),
        (-3, None, ["visits"]),
        (None, -1, []),
        (None, -2.1, ["retries"]),
        (-3, -3, ["retries", "visits"]),
    ],
)
def test_when_threads_call_for_somebody(due: float, failed: float, expected: list[str], store: Store) -> None:
    crawled(store, "p1", due=due, failed=failed)
    assert wrong(seen(store)) == expected


def test_what_a_crawl_left_is_counted(store: Store) -> None:
    crawled(store, "late", due=-0.5)
    crawled(store, "later", due=-0.4)
    crawled(store, "next", due=0.25)
    crawled(store, "bad", due=None, failed=-1)
    found = seen(store)
    (cursor,) = found.cursors
    assert (cursor.complete_to, cursor.threads, cursor.waiting, cursor.due, cursor.failing) == (us(-1), 4, 1, 2, 1)
    assert (found.due, found.waiting, found.failing) == (2, 1, 1)
    assert found.unchecked_longest
    assert found.failing_longest
    assert (found.unchecked_longest.post_id, found.unchecked_longest.since) == ("late", us(-0.5))
    assert (found.failing_longest.post_id, found.failing_longest.since) == ("bad", us(-1))
    assert found.failing_longest.error == "forum.example is down."
    assert found.next_visit
    assert found.next_visit.timestamp() == NOW_S + 0.25 * DAY_S


def test_a_thread_that_was_read_does_not_fail_any_more(store: Store) -> None:
    crawled(store, "p1", due=None, failed=-9)
    crawled(store, "p1", due=1)
    assert wrong(seen(store)) == []
    crawled(store, "p1", due=None, failed=-9)
    with CrawlState(store.path) as state:
        state.gone(ORIGIN, "p1", us(0), us(9))
    assert wrong(seen(store)) == []


def test_forgetting_and_the_disk(store: Store) -> None:
    tombstone_items(store, [ForgottenItem("reddit.com", "p1")], "deleted", us(-9))
    (pending,) = (store.path / "forgotten").glob("*.pending.parquet")
    for days, expected in ((-1, []), (-3, ["forgetting"])):
        os.utime(pending, (NOW_S + days * DAY_S,) * 2)
        with working_beside(store.path, "crawl", lambda: None):  # which purges when it ends
            assert wrong(seen(store)) == expected
        with shared_lock(store.path, "writing an export"):
            assert wrong(seen(store)) == expected
        assert wrong(seen(store)) == ["forgetting"], "nobody is about to finish it"
    pending.unlink()
    assert wrong(status(store.path, now_s=NOW_S, free_bytes=lambda _: 999_999_999)) == ["disk"]


def test_the_command_for_machines_and_for_people(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    noted(store, (-9, -8.9, 0))
    crawled(store, "p1", due=-9, failed=-9)
    arguments = ["status", "--store", str(store.path), "--min-free", "0GB"]
    assert run([*arguments, "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [problem["what"] for problem in told["wrong"]] == ["runs", "retries", "visits"]
    assert told["cursors"][0]["complete_to"] == "2026-05-27T20:26:40Z"
    assert told["failing_longest"]["since"] == "2026-05-19T20:26:40Z"
    assert run(arguments) == 3
    shown = capsys.readouterr().out
    assert shown.startswith("Wrong: runs, retries, visits. Exit code 3.\n! Since 2026-05-")
    assert "eli5.toml" in shown
    assert "forum.example is down." in shown
    assert run([*arguments, "--quiet"]) == 3
    assert capsys.readouterr().out == ""
    assert run([*arguments, "--stale", "20000d", "--quiet"]) == 0


@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        ((-1, -0.5, 0), "All is well: last run 12 h ago."),
        (
            (-1, -0.5, 3),
            "No problem yet: the last run was done in part 12 h ago (exit code 3); none has lasted longer than 2 d.",
        ),
        (
            (-1, -0.5, 75),
            "No problem yet: the last run had to stop early 12 h ago (exit code 75); none has lasted longer than 2 d.",
        ),
        *(
            (
                (-1, -0.5, code),
                f"Failed: the last run, 12 h ago, with exit code {code} ({means}); its log says why. "
                "Exit code 3 after 2 d without a good run.",
            )
            for code, means in ((1, "a bug in shp-miner"), (2, "wrong usage"), (4, "not allowed"), (5, "bad input"))
        ),
        ((-1, None, None), "Wrong: killed. Exit code 3."),
    ],
)
def test_the_verdict(runs: tuple[float, float | None, int | None], verdict: str, store: Store) -> None:
    noted(store, runs)
    found = seen(store)
    assert verdict_of(found) == verdict
    words = {"All is well": "good", "No problem yet": "waiting", "Failed": "waiting", "Wrong": "wrong"}
    assert verdict_of(found).meaning == words[verdict.partition(":")[0]]
    assert (verdict_of(found).meaning == "wrong") == bool(found.wrong)


def test_the_verdict_names_a_run_that_goes_on(store: Store) -> None:
    noted(store, (-1, None, None))
    with only_one(store.path / LOCK, "The store is in use by a run", "running eli5.toml"):
        assert verdict_of(seen(store)).startswith("All is well: running eli5.toml now")


# -- beside others ----------------------------------------------------------------------------------------------------


def test_a_run_that_goes_on_is_named_and_not_taken_for_a_killed_one(store: Store) -> None:
    noted(store, (-1, None, None))
    with only_one(store.path / LOCK, "The store is in use by a run", "running eli5.toml"):
        found = seen(store)
        assert found.running
        assert (found.running["process"], found.running["doing"]) == (os.getpid(), "running eli5.toml")
        assert abs(found.running["since"].timestamp() - time.time()) < 60
        assert ([run.outcome for run in found.runs], found.wrong) == (["running"], [])
    found = seen(store)
    assert (found.running, [run.outcome for run in found.runs], wrong(found)) == (None, ["killed"], ["killed"])


RUN = """
import sys, time
from pathlib import Path
from shp_miner.store.lock import LOCK, only_one
from shp_miner.store.runs import Runs
store = Path(sys.argv[1])
with only_one(store / LOCK, "The store is in use by a run", "running p.toml"), Runs(store) as runs:
    runs.begin("p.toml", int(sys.argv[2]))
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(store: Store) -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-c", RUN, str(store.path), str(us(-1))]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    yield process
    process.kill()
    process.communicate()


def test_a_run_of_another_process_until_it_is_killed(store: Store, other: subprocess.Popen[str]) -> None:
    found = seen(store)
    assert found.running
    assert (found.running["process"], found.runs[0].outcome, found.wrong) == (other.pid, "running", [])
    with pytest.raises(TryLater, match=f"process {other.pid}"), only_one(store.path / LOCK, "It has a run", "me"):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    found = seen(store)
    assert (found.running, found.runs[0].outcome, wrong(found)) == (None, "killed", ["killed"])


def test_nobody_is_locked_out_by_who_only_looks(store: Store) -> None:
    noted(store, (-1, -0.9, 0))
    stop, looks = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            lock_holder(store.path / LOCK)
            looks.append(seen(store).wrong)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(40):
            with only_one(store.path / LOCK, "It has a run", "me"), Runs(store.path) as runs:
                runs.did("x", "y", 1)
    finally:
        stop.set()
        thread.join()
    assert looks
    assert all(found == [] for found in looks)


def test_it_looks_while_somebody_writes_to_the_crawls_file(store: Store) -> None:
    crawled(store, "p1", due=1)
    with closing(sqlite3.connect(store.path / FILE, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM threads")
        assert seen(store).cursors[0].threads == 1


def test_files_of_earlier_schemas_are_read_as_they_are(store: Store) -> None:
    first_schema(store.path)
    before = (store.path / FILE).read_bytes()
    found = seen(store)
    assert (found.runs, found.cursors[0].threads, found.failing) == ([], 2, 1)
    assert (store.path / FILE).read_bytes() == before


def test_a_store_nobody_may_write_to_is_looked_at(small_disk: Path) -> None:
    store = Store(small_disk / "s")
    store.append(chunk([post_row()], []))
    crawled(store, "p1", due=1)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match="Read-only"):
        (store.path / "x").touch()
    assert seen(store).cursors[0].threads == 1


@pytest.mark.parametrize("damage", [b"", b"SQLite format 3\0 and then nothing", b"x" * 5000])
def test_a_damaged_file_is_said(damage: bytes, store: Store) -> None:
    crawled(store, "p1", due=1)
    (store.path / FILE).write_bytes(damage)
    if damage:
        with pytest.raises(BadInput, match="cannot be read") as caught:
            seen(store)
        assert "doctor --repair" in caught.value.hint
    else:
        assert seen(store).cursors == []  # SQLite takes an empty file for an empty database
