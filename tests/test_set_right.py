"""What earlier versions let into a store, and what a clock noted that was ahead once."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from shp_miner.cli import run
from shp_miner.model import ANSWER, POST, Check, empty_table
from shp_miner.platforms.rows import Chunk, Rows
from shp_miner.store import Store

from .build import thread, write_dump
from .crawls import Bench, bench, rows, settled

DAY_S = 86_400.0
YEAR_S = 365 * DAY_S


def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a sound thread, and with a promoted post as earlier versions stored it."""
    records = [*thread("p1"), *thread("p2")]
    posts = write_dump(tmp_path / "RS_x", [record for record in records if "title" in record])
    answers = write_dump(tmp_path / "RC_x", [record for record in records if "title" not in record])
    store = Store(tmp_path / "store")
    assert run(["import", "reddit-dump", str(posts), str(answers), "--store", str(store.path), "--quiet"]) == 0
    row = rows(store, "posts").row(0, named=True)
    with monkeypatch.context() as patch:
        patch.setattr(Check, "__call__", lambda *_: None)
        bad = Rows(POST)
        times = {name: int(row[name].timestamp() * 1_000_000) for name in ("created_at", "observed_at")}
        bad.add(**(row | times | {"community": None, "post_id": "ad1"}))
        store.append(_chunk(bad))
    return store


def _chunk(posts: Rows) -> Chunk:
    return Chunk(posts.take(), empty_table(ANSWER))


def test_doctor_mends_a_store_with_promoted_posts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = filled(tmp_path, monkeypatch)
    at = ["--store", str(store.path)]
    assert store.snapshot().rows("posts") == 3
    # Neither command stumbles over it, and doctor says so.
    assert run(["stats", *at, "--quiet"]) == 0
    assert run(["export", str(tmp_path / "before"), *at, "--quiet"]) == 0
    capsys.readouterr()
    assert run(["doctor", *at, "--json"]) == 5
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert "cannot be used (1 no_community)" in problem
    assert run(["doctor", *at, "--repair", "--json"]) == 0
    assert "removed from the table" in json.loads(capsys.readouterr().out)["repaired"][0]
    assert store.snapshot().rows("posts") == 2
    assert run(["doctor", *at, "--quiet"]) == 0
    assert run(["export", str(tmp_path / "after"), *at, "--quiet"]) == 0
    shards = [sorted((tmp_path / name).rglob("*.parquet")) for name in ("before", "after")]
    assert [shard.read_bytes() for shard in shards[0]] == [shard.read_bytes() for shard in shards[1]]


def scores(at: Bench) -> dict[str, int]:
    newest = rows(at.store, "answers").sort("observed_at", nulls_last=False).unique("answer_id", keep="last")
    return dict(newest.select("answer_id", "score").iter_rows())


@pytest.mark.parametrize("name", ["discourse", "stackexchange"])
def test_a_clock_that_was_ahead_once_freezes_nothing(name: str, tmp_path: Path) -> None:
    with bench(name, tmp_path / "store", settled(4, readers=300)) as at:
        at.crawl()
        at.clock.time += 3 * YEAR_S
        assert at.recheck().read == 4
        newest = rows(at.store, "answers")["observed_at"].max()
        assert newest.timestamp() >= at.clock.time - 1
        at.clock.time -= 3 * YEAR_S
        at.pass_time(2 * DAY_S)
        # A new observation counts, and the visits go on at once.
        done = at.recheck()
        assert (done.read, done.complete) == (4, True)
        late = pl.col("observed_at").dt.timestamp("us") > (at.clock.time + DAY_S) * 1e6
        for table in ("posts", "answers"):
            assert rows(at.store, table).filter(late).is_empty()
            newest = rows(at.store, table)["observed_at"].max()
            assert abs(newest.timestamp() - at.clock.time) < DAY_S
        at.pass_time(40 * DAY_S)
        assert at.recheck().read == 4


def test_a_listing_in_the_future_is_read_again(tmp_path: Path) -> None:
    with bench("discourse", tmp_path / "store", settled(4)) as at:
        at.crawl()
        far = round((at.clock.time + YEAR_S) * 1e6)
        with closing(sqlite3.connect(at.store.path / "crawl.sqlite")) as database, database:
            database.execute("UPDATE windows SET complete_to = ?", (far,))
            database.execute("UPDATE threads SET changed_at = ?, read_change = ?, claimed_until = ?", (far, far, far))
        one = at.community.threads()[0].post_id
        at.pass_time(DAY_S)
        at.community.answer(one, "And another thing.")
        at.pass_time(60)
        done = at.crawl()
        assert (done.listed, done.read >= 1, done.complete) == (4, True, True)
        assert "And another thing." in "".join(rows(at.store, "answers")["body"])


def test_status_and_doctor_with_a_visit_beyond_the_calendar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with bench("discourse", tmp_path / "store", settled(4)) as at:
        at.clock.time = at.community.now_s
        at.crawl()
        with closing(sqlite3.connect(at.store.path / "crawl.sqlite")) as database, database:
            database.execute("UPDATE threads SET due_at = ?", (9 * 10**18,))
            database.execute("UPDATE windows SET complete_to = ?", (-9 * 10**18,))
        for form in ([], ["--json"]):
            assert run(["status", "--store", str(at.store.path), *form]) in (0, 3)
        assert "9999-12-31" in capsys.readouterr().out
        assert run(["doctor", "--store", str(at.store.path), "--json"]) == 5
        assert "has times in the future" in capsys.readouterr().out
        assert run(["doctor", "--repair", "--store", str(at.store.path), "--quiet"]) == 0
        with closing(sqlite3.connect(at.store.path / "crawl.sqlite")) as database:
            (due,) = database.execute("SELECT max(due_at) FROM threads").fetchone()
        assert due <= time.time() * 1e6
