"""An import that says "deleted" purges as a crawl does: no byte of the text is left, and nothing brings it back."""

from __future__ import annotations

import json
import shutil
import signal
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shp_miner import export_dataset, import_dump
from shp_miner.cli import run
from shp_miner.forgetting.forget import forget, purge
from shp_miner.health.doctor import examine
from shp_miner.store import Store
from shp_miner.store.forgotten import Forgotten
from shp_miner.store.forgotten_list import FOLDER, has_pending, look_noted, pending_since
from shp_miner.store.lock import exclusive_lock
from shp_miner.store.snapshot import EVERYTHING

from .build import READ, answer_row, chunk, comment, post_row, submission, thread, tree, write_month
from .conftest import NOW
from .killing import die_at
from .test_forget import seen

SECRET, AUTHOR = "Qzvxktext", "Wqjzkname"
DAY = 86_400


def imported(store: Path, *records: dict[str, Any], read_at: int = READ) -> Store:
    """Import records of Reddit dumps, read at a time."""
    folder = write_month(store.parent / "dump", [record | {"retrieved_on": read_at} for record in records])
    import_dump("reddit-dump", folder, store, now=NOW)
    shutil.rmtree(store.parent / "dump")
    return Store(store)


def said(**changes: Any) -> dict[str, Any]:
    """The comment that will be deleted."""
    return comment("gone", "p1", body=f"{SECRET} of a comment.", author=AUTHOR, score=9, **changes)


def newest(store: Store, answer_id: str = "gone") -> tuple[str, int | None]:
    rows = store.snapshot().answers(EVERYTHING)[0].filter(answer_id=answer_id)
    return rows.select("state", "score").row(0)


def listed(store: Store) -> list[tuple[str, str | None]]:
    """What stands on the list of the forgotten: posts and answers."""
    return sorted(Forgotten.load(store.path).lines.select("post_id", "answer_id").rows(), key=str)


#: How later files tell that the comment is gone, with what they still have of it.
TOLD = {
    "stub": {"body": "[deleted]", "author": "[deleted]"},
    "removed": {"body": "[removed]", "author": AUTHOR},
    "full text": {"_meta": {"was_deleted_later": True, "retrieved_2nd_on": READ + DAY}},
    "removal": {"_meta": {"removal_type": "moderator"}},
}


@pytest.mark.parametrize("how", TOLD)
def test_text_that_a_later_file_says_is_gone_leaves_every_copy(how: str, tmp_path: Path) -> None:
    store = imported(tmp_path / "store", *thread("p1", (3, 5)), said(), comment("never", "p1", body="[deleted]"))
    out = tmp_path / "out"
    export_dataset(store, out, rule="votes", keep_dropped=tmp_path / "dropped")
    assert seen(out, SECRET)
    assert seen(store.path, AUTHOR)
    imported(tmp_path / "store", said() | TOLD[how], comment("new", "p1", body="[removed]"), read_at=READ + DAY)
    assert newest(store) in (("deleted", 9), ("removed", 9))
    assert seen(tmp_path, SECRET, AUTHOR) == []
    assert listed(store) == [("p1", "gone")], "what never had a text needs no line"
    assert not has_pending(store.path)
    assert examine(store.path)["problems"] == []
    imported(tmp_path / "store", said())
    assert seen(tmp_path, SECRET, AUTHOR) == [], "an older file brings nothing back"
    imported(tmp_path / "store", said(), read_at=READ + 2 * DAY)
    assert newest(store) == ("live", 9)
    assert seen(store.path, SECRET), "a newer one does"


def test_a_post_goes_with_its_title_and_page(tmp_path: Path) -> None:
    post = submission("p1", title=f"{SECRET}?", permalink=f"/r/AskTest/comments/p1/{SECRET}/", author=AUTHOR)
    store = imported(tmp_path / "store", post, *thread("p1")[1:])
    imported(tmp_path / "store", post | {"removed_by_category": "moderator"}, read_at=READ + DAY)
    assert seen(tmp_path, SECRET, AUTHOR) == []
    assert store.snapshot().answers(EVERYTHING)[0]["state"].unique().to_list() == ["live"]


@pytest.mark.parametrize("together", [False, True])
def test_the_order_of_files_does_not_matter(together: bool, tmp_path: Path) -> None:
    stub = said() | TOLD["stub"]
    if together:
        records = [said() | {"retrieved_on": READ}, stub | {"retrieved_on": READ + DAY}]
        files = [path for path in write_month(tmp_path / "dump", records, "") if path.stat().st_size]
        import_dump("reddit-dump", files, tmp_path / "store", now=NOW)
        shutil.rmtree(tmp_path / "dump")
        store = Store(tmp_path / "store")
    else:
        store = imported(tmp_path / "store", stub, read_at=READ + DAY)
        assert listed(store) == []
        imported(tmp_path / "store", said())
    assert newest(store) == ("deleted", 9)
    assert seen(store.path, SECRET, AUTHOR) == []


def test_an_older_file_that_says_deleted_purges_nothing(tmp_path: Path) -> None:
    store = imported(tmp_path / "store", said(), read_at=READ + DAY)
    imported(tmp_path / "store", said() | TOLD["stub"])
    assert newest(store) == ("live", 9)
    assert seen(store.path, SECRET)
    assert listed(store) == []
    assert store.snapshot("0.1").rows("answers") == 1, "earlier versions end only where something is taken out"


def test_threads_with_a_state(tmp_path: Path) -> None:
    answer = {"answer_id": "1", "body": SECRET, "author": AUTHOR, "created_at": "2024-01-02T04:00:00Z", "score": 3}
    head = {"site": "forum.example", "community": "cooking", "post_id": "17", "title": "Why?", "score": 12}
    head |= {"created_at": "2024-01-02T03:04:05Z"}
    for day, state in ((1, "live"), (2, "removed")):
        record = head | {"observed_at": f"2024-02-0{day}T00:00:00Z", "answers": [answer | {"state": state}]}
        file = tmp_path / "file.jsonl"
        file.write_text(json.dumps(record) + "\n")
        import_dump("threads", [file], tmp_path / "store", now=NOW)
        file.unlink()
    assert newest(Store(tmp_path / "store"), "1") == ("removed", 3)
    assert seen(tmp_path, SECRET, AUTHOR) == []


def test_nobody_knows_when_it_was_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    unknown = {"observed_at": None}
    live = answer_row("gone", body=SECRET, author=AUTHOR, **unknown)
    # Of observations that nobody knows the time of, the hash decides; one of these two stubs comes after the text.
    stubs = [answer_row("gone", score=score, state="deleted", **unknown) for score in range(9)]
    store.append(chunk([], [live, *stubs]), look=True)
    assert newest(store)[0] == "deleted"
    purge(store)
    assert seen(store.path, SECRET, AUTHOR) == []
    store.append(chunk([], [live]))
    assert seen(store.path, SECRET, AUTHOR) == []


def told(tmp_path: Path, read_at: str | None, state: str = "live", answers: str = "live") -> None:
    """Import a thread of two answers, of which one is the secret, as a file says it is."""
    record = {"site": "forum.example", "community": "c", "post_id": "17", "title": f"{SECRET}?", "score": 12}
    record |= {"created_at": "2024-01-02T03:04:05Z", "state": state} | ({"observed_at": read_at} if read_at else {})
    first = {"answer_id": "1", "body": SECRET, "created_at": "2024-01-02T04:00:00Z", "score": 3, "state": answers}
    record["answers"] = [first | {"author": AUTHOR}, {**first, "answer_id": "2", "body": "Other.", "state": "live"}]
    record["answers"][1]["score"] = 9
    file = tmp_path / "file.jsonl"
    file.write_text(json.dumps(record) + "\n")
    assert run(["import", "threads", str(file), "--store", str(tmp_path / "store"), "--quiet"]) == 0
    file.unlink()


@pytest.mark.parametrize("order", ["live first", "deleted first", "both unknown"])
@pytest.mark.parametrize("what", ["post", "answer"])
def test_a_deletion_of_unknown_time_counts_as_seen_at_the_import(what: str, order: str, tmp_path: Path) -> None:
    store, live_at = str(tmp_path / "store"), None if order == "both unknown" else "2024-02-01T00:00:00Z"
    gone = {"state": "removed"} if what == "post" else {"answers": "deleted"}
    if order == "deleted first":
        told(tmp_path, None, **gone)
    told(tmp_path, live_at)
    if order != "deleted first":
        options = ["--rule", "votes", "--allow-unknown-age", "--store", store, "--quiet"]
        assert run(["export", str(tmp_path / "out"), *options]) == 0
        told(tmp_path, None, **gone)
    left = Store(store).snapshot()
    rows = left.posts(EVERYTHING)[0] if what == "post" else left.answers(EVERYTHING)[0].filter(answer_id="1")
    assert rows["state"].item() == ("removed" if what == "post" else "deleted")
    assert seen(tmp_path, f"{SECRET}?" if what == "post" else AUTHOR) == []
    assert run(["status", "--store", store, "--quiet"]) == 0
    told(tmp_path, "2024-02-01T00:00:00Z")
    assert seen(tmp_path, f"{SECRET}?" if what == "post" else AUTHOR) == [], "what was seen before stays out"


def test_a_stub_of_unknown_age_is_a_deletion(tmp_path: Path) -> None:
    store = imported(tmp_path / "store", *thread("p1", (3, 5)), said())
    stub = said() | TOLD["stub"]
    del stub["retrieved_on"]
    dump = write_month(tmp_path / "dump", [stub])
    assert run(["import", "reddit-dump", *map(str, dump), "--store", str(store.path), "--quiet"]) in (0, 3)
    shutil.rmtree(tmp_path / "dump")
    assert newest(store)[0] == "deleted"
    assert seen(tmp_path, SECRET, AUTHOR) == []


@pytest.mark.parametrize("is_noted", [True, False])
def test_what_was_shown_since_a_deletion_of_unknown_time_stays(is_noted: bool, tmp_path: Path) -> None:
    """The file that told of it may come again, and other files of the thread: it is still the same deletion."""
    store = Store(tmp_path / "store")
    told(tmp_path, "2024-02-01T00:00:00Z")
    told(tmp_path, None, answers="deleted")
    assert newest(store, "1")[0] == "deleted"
    later = answer_row("1", post_id="17", site="forum.example", body=SECRET, observed_at=time.time_ns() // 1000)
    store.append(chunk([], [later]))
    assert newest(store, "1")[0] == "live"
    store.compact()
    if not is_noted:
        (store.path / FOLDER / "imported").write_text("cut off")
    for read_at, gone in (("2024-02-02T00:00:00Z", "live"), (None, "deleted")):
        told(tmp_path, read_at, answers=gone)
        assert newest(store, "1")[0] == "live"
    assert seen(store.path, SECRET)


def test_shown_after_the_store_was_made_it_is_newer_than_a_deletion_of_unknown_time_before(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    told(tmp_path, None, answers="deleted")
    assert listed(store) == []
    shown = answer_row("1", post_id="17", site="forum.example", body=SECRET, observed_at=time.time_ns() // 1000)
    store.append(chunk([], [shown | {"observed_at": shown["observed_at"] + 2_000_000}]))
    told(tmp_path, "2024-02-02T00:00:00Z")
    assert newest(store, "1")[0] == "live"
    assert listed(store) == []


@pytest.mark.parametrize("number", range(4))
def test_of_one_time_the_deletion_counts(number: int, tmp_path: Path) -> None:
    """Whatever their hashes are."""
    read_at = "2024-02-01T00:00:00Z"
    store = Store(tmp_path / "store")
    live = answer_row("gone", body=f"{SECRET} {number}", author=AUTHOR)
    store.append(chunk([], [live, answer_row("gone", score=number, state="deleted")]))
    assert newest(store)[0] == "deleted", "in the snapshot"
    told(tmp_path, read_at)
    told(tmp_path, read_at, answers="deleted")
    assert newest(store, "1")[0] == "deleted"
    states = store.snapshot().scan("answers").filter(answer_id="1").collect()["state"]
    assert states.to_list() == ["deleted", "deleted"]


def test_the_text_of_rows_that_said_deleted_in_earlier_versions_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr("shp_miner.platforms.rows.without_the_gone", lambda rows: rows)
        store.append(chunk([post_row(title=SECRET, author=AUTHOR, state="removed")], []))
    assert seen(store.path, SECRET)
    imported(store.path, submission("p1", removed_by_category="moderator"))
    assert seen(store.path, SECRET, AUTHOR) == []


def test_while_somebody_uses_the_store_it_waits_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = imported(tmp_path / "store", said())
    monkeypatch.setattr(
        "shp_miner.forgetting.forget.exclusive_lock", lambda path, doing: exclusive_lock(path, doing, wait_s=0)
    )
    handle = get_context("forkserver").Process(target=_hold, args=(store.path, tmp_path / "held", tmp_path / "end"))
    handle.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    imported(tmp_path / "store", said() | TOLD["stub"], read_at=READ + DAY)
    assert has_pending(store.path)
    assert pending_since(store.path)
    assert any("forget" in problem for problem in examine(store.path)["problems"])
    (tmp_path / "end").touch()
    handle.join()
    assert forget(store).tables["answers"].items == 1
    assert seen(store.path, SECRET, AUTHOR) == []
    assert examine(store.path)["problems"] == []


def _hold(store: Path, held: Path, end: Path) -> None:
    from shp_miner.store.lock import shared_lock

    with shared_lock(store, "writing an export"):
        held.touch()
        while not end.exists():
            time.sleep(0.01)


def killed(store: Path, moment: str) -> None:
    die_at(moment)
    imported(store, said() | TOLD["stub"], read_at=READ + DAY)


MOMENTS = [
    "shp_miner.store.lake:note_look after 1",
    "shp_miner.store.lake:sync_log after 1",
    "shp_miner.forgetting.told_gone:add_lines before 1",
    "shp_miner.forgetting.told_gone:looked_through before 1",
    "shp_miner.forgetting.told_gone:looked_through after 1",
    "shp_miner.forgetting.forget:purge_table after 2",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_step_the_next_purge_completes_it(moment: str, tmp_path: Path) -> None:
    store = imported(tmp_path / "store", said())
    processes = get_context("forkserver")
    processes.set_forkserver_preload([__name__, "shp_miner.forgetting.forget"])
    process = processes.Process(target=killed, args=(store.path, moment))
    process.start()
    process.join()
    shutil.rmtree(tmp_path / "dump")
    assert process.exitcode == -signal.SIGKILL
    assert has_pending(store.path)
    purge(store)
    if newest(store)[0] == "deleted":
        assert seen(store.path, SECRET, AUTHOR) == []
    else:
        assert "note_look" in moment, "killed before a row came in"
        imported(tmp_path / "store", said() | TOLD["stub"], read_at=READ + DAY)
        assert seen(store.path, SECRET, AUTHOR) == []


@pytest.mark.parametrize("note", ["", "9", "99.99", "not a version"])
def test_a_note_that_was_cut_off_means_the_whole_store(note: str, tmp_path: Path) -> None:
    store = imported(tmp_path / "store", said())
    store.append(chunk([], [answer_row("gone", post_id="p1", state="deleted", observed_at=(READ + DAY) * 1_000_000)]))
    (store.path / FOLDER).mkdir(exist_ok=True)
    (store.path / FOLDER / "imported").write_text(note)
    purge(store)
    assert not look_noted(store.path)
    assert seen(store.path, SECRET, AUTHOR) == []


def test_only_threads_that_an_import_touched_are_looked_at(tmp_path: Path) -> None:
    store = imported(tmp_path / "store", said())
    store.append(chunk([], [answer_row("gone", post_id="p1", state="deleted", observed_at=(READ + DAY) * 1_000_000)]))
    before = tree(store.path / "answers")
    imported(tmp_path / "store", comment("other", "p2"))
    assert before.items() <= tree(store.path / "answers").items()
    assert store.snapshot().scan("answers").filter(pl.col("body") != "").collect().height == 2
    imported(tmp_path / "store", comment("other", "p1"))
    assert seen(store.path, SECRET) == []
