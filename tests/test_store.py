"""The store: newest observation wins, order, compaction, earlier versions, and no statistics on text."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from shp_miner import BadInput, UsageError
from shp_miner.health.stats import stats
from shp_miner.model import ANSWER, GONE, POST, thread_hash
from shp_miner.platforms.rows import Chunk
from shp_miner.store import HashRange, Store, Within, lake
from shp_miner.store.forget import ForgottenItem, hide_items, tombstone_items
from shp_miner.store.lake import TABLES
from shp_miner.store.migrate import MARK

from .build import READ, answer_row, chunk, post_row
from .property import examples

WHOLE = HashRange(-(1 << 63), 1 << 63)
DAY_US = 86_400_000_000


def filled(path: Path, *chunks: Chunk) -> Store:
    store = Store(path)
    for rows in chunks:
        store.append(rows)
    return store


def test_posts_and_answers_of_different_appends_meet(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", chunk([], [answer_row("a")]), chunk([post_row()], []), chunk([], [answer_row("b")]))
    snapshot = store.snapshot()
    assert snapshot.posts(WHOLE)[0]["post_id"].to_list() == ["p1"]
    assert snapshot.answers(WHOLE)[0]["answer_id"].sort().to_list() == ["a", "b"]
    assert snapshot.version == "1.2"


def test_the_newest_observation_wins_whatever_the_order(tmp_path: Path) -> None:
    def seen(score: int, day: int | None) -> Chunk:
        observed = None if day is None else READ * 1_000_000 + day * DAY_US
        return chunk([], [answer_row("a", score=score, observed_at=observed)])

    chunks = [seen(99, None), seen(50, 1), seen(7, 3), seen(60, 2)]
    for order, name in ((chunks, "forward"), (chunks[::-1], "backward")):
        rows, contradicting = filled(tmp_path / name, *order).snapshot().answers(WHOLE)
        assert rows["score"].to_list() == [7]
        assert contradicting == 0


def test_observations_of_one_moment_that_differ_are_counted_and_settled_alike(tmp_path: Path) -> None:
    one, two = (chunk([], [answer_row("a", body=body)]) for body in ("first", "second"))
    taken = []
    for order, name in (((one, two), "x"), ((two, one, one), "y")):
        snapshot = filled(tmp_path / name, *order).snapshot()
        rows, contradicting = snapshot.answers(WHOLE)
        assert contradicting == 1
        taken.append(snapshot.bodies("answers", WHOLE, rows)["body"].to_list())
    assert taken[0] == taken[1]
    assert len(taken[0]) == 1


def test_the_same_observation_twice_is_one(tmp_path: Path) -> None:
    rows, contradicting = filled(tmp_path / "s", *[chunk([post_row()], [])] * 2).snapshot().posts(WHOLE)
    assert (rows.height, contradicting) == (1, 0)


def test_equal_ids_on_two_sites_stay_apart(tmp_path: Path) -> None:
    rows = [answer_row("1", post_id="1", site=site) for site in ("a.example", "b.example")]
    assert filled(tmp_path / "s", chunk([], rows)).snapshot().answers(WHOLE)[0].height == 2


@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=30), st.integers(1, 7))
@examples(8)
def test_ranges_cut_the_store_into_whole_threads(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], each: int
) -> None:
    rows = [answer_row(f"{i}", post_id=post) for i, post in enumerate(ids)]
    snapshot = filled(tmp_path_factory.mktemp("s") / "s", chunk([], rows)).snapshot()
    parts = [snapshot.answers(part)[0] for part in snapshot.ranges(each)]
    assert sum(part.height for part in parts) == len(ids)
    posts = [set(part["post_id"]) for part in parts]
    assert sum(map(len, posts)) == len(set.union(*posts))


def test_no_thread_is_the_first_to_show_numpy_to_polars() -> None:
    # Two that are at once end in "'module' object does not support item assignment".
    code = "import polars.series.series as s; import shp_miner.model; print('ndarray' in vars(s.np))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n"


def test_appending_does_not_load_pandas(tmp_path: Path) -> None:
    # It takes longer to load than the rest of an import, and pyarrow loads it to hand out a time.
    code = f"""if True:
        import sys
        from pathlib import Path
        from tests.test_store import answer_row, chunk
        from shp_miner.store import Store
        sys.modules.pop("pandas", None)
        Store(Path({str(tmp_path / "s")!r})).append(chunk([], [answer_row("1")]))
        print("pandas" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_ranges_of_some_communities_count_their_rows_alone(tmp_path: Path) -> None:
    rows = [answer_row(f"{i}", post_id=f"p{i}", community="ab"[i % 10 == 0]) for i in range(100)]
    snapshot = filled(tmp_path / "s", chunk([], rows)).snapshot()
    assert len(snapshot.ranges(10)) == 10
    assert [
        snapshot.answers(part, Within(communities=("b",)))[0].height
        for part in snapshot.ranges(10, Within(communities=("b",)))
    ] == [10]
    assert (
        sum(
            snapshot.answers(part, Within(communities=("a",)))[0].height
            for part in snapshot.ranges(45, Within(communities=("a",)))
        )
        == 90
    )
    assert len(snapshot.ranges(10, Within(communities=("nobody",)))) == 1


def test_rows_are_ordered_by_thread_hash_and_compaction_restores_it(tmp_path: Path) -> None:
    chunks = [
        chunk([], [answer_row(f"{k}x{i}", post_id=f"p{i}", body=f"body {k}") for i in range(50)]) for k in range(5)
    ]
    store = filled(tmp_path / "s", *chunks)
    before = store.snapshot().answers(WHOLE)[0].sort("answer_id")
    assert store.file_counts()["answers"] == 5
    store.compact()
    assert store.file_counts()["answers"] == 1
    (file,) = [f for f in (tmp_path / "s" / "answers").glob("*.parquet") if pq.read_metadata(f).num_rows == 250]
    hashes = pq.read_table(file)["thread_hash"].to_pylist()
    assert hashes == sorted(hashes)
    after = store.snapshot()
    assert after.answers(WHOLE)[0].sort("answer_id").equals(before)
    assert after.bodies("answers", WHOLE, before)["body"].null_count() == 0


@pytest.mark.parametrize("name", ["with space", "a#b?c*", "ünï", "{x}"])
def test_a_store_can_lie_in_any_folder(name: str, tmp_path: Path) -> None:
    store = filled(tmp_path / name, chunk([post_row()], [answer_row("a")]), chunk([], [answer_row("b")]))
    store.compact()
    assert store.snapshot().answers(WHOLE)[0]["answer_id"].sort().to_list() == ["a", "b"]


@pytest.mark.parametrize("name", ["100%20", "[x]", "a|b"])
def test_a_folder_that_no_store_can_lie_in_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="path of a store cannot contain"):
        Store(tmp_path / name)


def test_an_earlier_version_can_be_opened(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", chunk([post_row()], [answer_row("a")]))
    version = store.snapshot().version
    store.append(chunk([], [answer_row("b")]))
    store.compact()
    assert store.snapshot(version).answers(WHOLE)[0]["answer_id"].to_list() == ["a"]
    assert store.snapshot().answers(WHOLE)[0]["answer_id"].sort().to_list() == ["a", "b"]
    assert store.snapshot("2099-01-01").answers(WHOLE)[0].height == 2


@pytest.mark.parametrize("as_of", ["9.9", "yesterday", "1", "1.x"])
def test_a_version_that_is_none_is_explained(as_of: str, tmp_path: Path) -> None:
    store = filled(tmp_path / "s", chunk([post_row()], []))
    with pytest.raises(UsageError):
        store.snapshot(as_of)


def test_text_has_no_statistics_in_footers_or_log(tmp_path: Path) -> None:
    secret = "zqxjk-secret"
    rows = chunk([post_row(title=f"{secret} title", body=f"{secret} body")], [answer_row("a", body=f"{secret} answer")])
    store = filled(tmp_path / "s", rows)
    filled(tmp_path / "s", rows)
    store.compact()
    for file in (tmp_path / "s").rglob("*.parquet"):
        metadata = pq.read_metadata(file)
        for group in range(metadata.num_row_groups):
            for column in range(metadata.num_columns):
                chunk_of = metadata.row_group(group).column(column)
                if chunk_of.path_in_schema in ("body", "title"):
                    assert chunk_of.statistics is None
                if chunk_of.path_in_schema == "thread_hash":
                    assert chunk_of.statistics.has_min_max
    logs = "\n".join(path.read_text() for path in (tmp_path / "s").rglob("_delta_log/*.json"))
    assert secret not in logs
    added = [json.loads(json.loads(line)["add"]["stats"]) for line in logs.splitlines() if '"add"' in line]
    assert all(set(stats["minValues"]) <= {"thread_hash", "community", "created_at", "observed_at"} for stats in added)


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="is a file"):
        Store(tmp_path / "file")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"x")
    with pytest.raises(BadInput, match="not a store and not empty") as other:
        Store(tmp_path / "photos")
    assert "the store's own folder" in other.value.hint
    with pytest.raises(BadInput, match="no store"):
        Store(tmp_path / "nowhere").snapshot()
    newer = filled(tmp_path / "s", chunk([post_row()], []))
    (newer.path / MARK).write_text('{"schema": 99}')
    with pytest.raises(BadInput, match="schema 99"):
        Store(newer.path)


def _appended(store: Path, number: int, gate: Any) -> None:
    gate.wait()
    Store(store).append(chunk([post_row(post_id=f"p{number}")], []))


def test_many_processes_may_make_a_store_at_once(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("spawn")
    gate = processes.Barrier(4)
    made = [processes.Process(target=_appended, args=(tmp_path / "s", number, gate)) for number in range(4)]
    for process in made:
        process.start()
    for process in made:
        process.join(60)
    assert [process.exitcode for process in made] == [0] * 4
    assert Store(tmp_path / "s").snapshot().posts(WHOLE)[0].height == 4


def test_a_store_that_is_made_while_it_is_looked_at_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = lake.schema_of

    def overtaken(folder: Path) -> int | None:
        before = looked(folder)
        monkeypatch.setattr(lake, "schema_of", looked)
        filled(tmp_path / "s", chunk([post_row()], []))
        return before

    monkeypatch.setattr(lake, "schema_of", overtaken)
    store = filled(tmp_path / "s", chunk([post_row(post_id="p2")], []))
    assert store.snapshot().posts(WHOLE)[0]["post_id"].sort().to_list() == ["p1", "p2"]


@pytest.mark.parametrize("left", ["locks/4567-0123456789ab", f"{MARK}.4567", "posts/_delta_log/_tmp"])
def test_what_a_killed_maker_left_is_in_nobodys_way(left: str, tmp_path: Path) -> None:
    (tmp_path / "s" / left).parent.mkdir(parents=True)
    (tmp_path / "s" / left).write_text("")
    assert filled(tmp_path / "s", chunk([post_row()], [])).snapshot().version == "1.0"


def test_the_writer_commits_what_it_holds_and_nothing_after_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    with store.writer() as writer:
        writer.add(chunk([post_row()], [answer_row("a")]))
        assert not store.exists
    assert store.snapshot().answers(WHOLE)[0].height == 1

    def broken() -> None:
        with store.writer() as writer:
            writer.add(chunk([], [answer_row("b")]))
            raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        broken()
    assert store.snapshot().answers(WHOLE)[0].height == 1


def test_many_small_appends_are_compacted_when_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shp_miner.store.lake.ROWS_PER_COMMIT", 1)
    monkeypatch.setattr("shp_miner.store.lake.FILES_BEFORE_COMPACTION", 3)
    store = Store(tmp_path / "s")
    with store.writer() as writer:
        for i in range(5):
            writer.add(chunk([post_row(post_id=f"p{i}")], [answer_row(f"a{i}", post_id=f"p{i}")]))
    assert store.file_counts() == {"posts": 5, "answers": 5}
    store.compact_if_due()
    assert store.file_counts() == {"posts": 1, "answers": 1}
    assert store.snapshot().posts(WHOLE)[0].height == 5


def test_the_schemas_are_explicit_and_hashes_stable() -> None:
    rows = chunk([post_row()], [answer_row("a")])
    assert rows.posts.schema == POST
    assert rows.answers.schema == ANSWER
    # These numbers decide splits and ranges in stores that exist: they must never change.
    assert thread_hash("reddit.com", "himc90") == -8336596312165554434
    assert thread_hash("lemmy.world", "himc90") != -8336596312165554434


def test_communities_of_one_name_on_two_sites_are_counted_apart(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    elsewhere = {"site": "forum.example"}
    answers = [answer_row("a"), answer_row("b"), answer_row("c", **elsewhere)]
    store.append(chunk([post_row(), post_row(**elsewhere)], answers))
    counted = [(row["site"], row["posts"], row["answers"]) for row in stats(store.snapshot())["communities"]]
    assert counted == [("forum.example", 1, 1), ("reddit.com", 1, 2)]


@pytest.mark.parametrize("state", ["deleted", "removed", "unreadable"])
def test_what_is_not_live_says_neither_who_nor_what(state: str, tmp_path: Path) -> None:
    told = {"author": "Somebody", "author_id": "7", "author_url": "https://x.example/7", "author_role": "moderator"}
    told |= {"state": state, "body": "Gone text.", "url": "https://x.example/gone-title"}
    rows = chunk([post_row(**told, title="Gone title")], [answer_row("a", **told), answer_row("b")])
    posts, answers = pl.DataFrame(rows.posts), pl.DataFrame(rows.answers)
    for row in (posts.row(0, named=True), answers.row(0, named=True)):
        assert {name: row[name] for name in GONE if name in row} == {n: v for n, v in GONE.items() if n in row}
        assert (row["state"], row["score"]) == (state, row["score"])
    assert answers.row(1, named=True)["author"] == "writer-b"
    # Whoever reads the text afterwards finds the same row: what is left out does not count.
    other = chunk([], [answer_row("a", **told | {"body": "Another.", "author": "x"})])
    assert other.answers["content_hash"][0] == rows.answers["content_hash"][0]
    own = chunk([post_row(state=state, community="u_asker")], []).posts["community"].to_pylist()
    assert own == ["u_asker" if state == "unreadable" else "u_forgotten"]


def test_what_cannot_be_read_hides_what_was_until_it_is_read_again(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", chunk([post_row()], [answer_row("a"), answer_row("b"), answer_row("c")]))
    tombstone_items(store, [ForgottenItem("reddit.com", "p1", "c")], "removed", READ * 1_000_000)
    items = [
        ForgottenItem("reddit.com", "p1"),
        *(ForgottenItem("reddit.com", "p1", name) for name in ("a", "c", "never seen")),
    ]
    assert hide_items(store, items, 0) == 2
    assert hide_items(store, items, (READ + 60) * 1_000_000) == 0, "once is enough"
    snapshot = store.snapshot()
    rows = snapshot.answers(WHOLE)[0].sort("answer_id")
    assert rows["state"].to_list() == ["unreadable", "live", "removed"]
    hidden = rows.row(0, named=True)
    assert (hidden["author"], hidden["score"], hidden["community"]) == (None, None, "asktest")
    assert hidden["observed_at"].timestamp() == READ + 1e-6, "later than what it hides, whatever the clock says"
    assert [snapshot.unreadable(name) for name in ("posts", "answers")] == [1, 1]
    assert snapshot.unreadable("answers", WHOLE, Within(communities=("elsewhere",))) == 0
    assert {name: counts["unreadable"] for name, counts in stats(snapshot)["tables"].items()} == {
        "posts": 1,
        "answers": 1,
    }
    kept = snapshot.answers(WHOLE, keep_unreadable=True)[0].sort("answer_id")
    assert kept["state"].to_list() == ["live", "live", "removed"]
    assert snapshot.bodies("answers", WHOLE, kept)["body"].to_list() == ["Answer a.", "Answer b.", ""]
    store.append(chunk([], [answer_row("a", observed_at=(READ + 60) * 1_000_000)]))
    snapshot = store.snapshot()
    assert snapshot.answers(WHOLE)[0].sort("answer_id")["state"].to_list() == ["live", "live", "removed"]
    assert snapshot.unreadable("answers") == 0


@pytest.mark.parametrize("compacted", [False, True])
def test_what_is_committed_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compacted: bool) -> None:
    synced: set[str] = set()

    def fsync(handle: int) -> None:
        synced.add(Path(f"/proc/self/fd/{handle}").readlink().relative_to(tmp_path).as_posix())

    commit = DeltaTable.create_write_transaction

    def committing(self: DeltaTable, actions: Any, *given: Any, **named: Any) -> None:
        table = f"s/{Path(self.table_uri.removeprefix('file://')).name}"
        assert {table, *(f"{table}/{action.path}" for action in actions)} <= synced, "rows come before the log"
        commit(self, actions, *given, **named)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(DeltaTable, "create_write_transaction", committing)
    store = Store(tmp_path / "s")
    for number in range(2):
        store.append(chunk([post_row(post_id=f"p{number}")], [answer_row("a", post_id=f"p{number}")]))
    if compacted:
        store.compact()
    tables = [path for name in TABLES for path in (tmp_path / "s" / name).rglob("*")]
    assert len(tables) == 2 * (3 + 2 + 1 + 2 * compacted), "entries, files, a folder"
    wanted = {path.relative_to(tmp_path).as_posix() for path in [tmp_path / "s", *tables]}
    assert wanted - synced == set()
