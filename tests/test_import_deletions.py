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
from shp_miner.forgetting import forget, purge
from shp_miner.report.doctor import examine
from shp_miner.store import Store
from shp_miner.store.exports import remember_export
from shp_miner.store.forgotten import Forgotten
from shp_miner.store.forgotten_list import FOLDER, has_pending, import_noted, pending_since
from shp_miner.store.lock import exclusive
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
    remember_export(store, out, dropped=tmp_path / "dropped")
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
        import_dump("reddit-dump", write_month(tmp_path / "dump", records, ""), tmp_path / "store", now=NOW)
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
    store.append(chunk([], [live, *stubs]), imported=True)
    assert newest(store)[0] == "deleted"
    purge(store)
    assert seen(store.path, SECRET, AUTHOR) == []
    store.append(chunk([], [live]))
    assert seen(store.path, SECRET, AUTHOR) == []


def test_the_text_of_rows_that_said_deleted_in_earlier_versions_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr("shp_miner.model.without_the_gone", lambda rows: rows)
        store.append(chunk([post_row(title=SECRET, author=AUTHOR, state="removed")], []))
    assert seen(store.path, SECRET)
    imported(store.path, submission("p1", removed_by_category="moderator"))
    assert seen(store.path, SECRET, AUTHOR) == []


def test_while_somebody_uses_the_store_it_waits_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = imported(tmp_path / "store", said())
    monkeypatch.setattr("shp_miner.forgetting.exclusive", lambda path, doing: exclusive(path, doing, wait_s=0))
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
    from shp_miner.store.lock import shared

    with shared(store, "writing an export"):
        held.touch()
        while not end.exists():
            time.sleep(0.01)


def killed(store: Path, moment: str) -> None:
    die_at(moment)
    imported(store, said() | TOLD["stub"], read_at=READ + DAY)


MOMENTS = [
    "shp_miner.store.lake:note_import after 1",
    "shp_miner.store.lake:sync_log after 1",
    "shp_miner.store.imported:add before 1",
    "shp_miner.store.imported:imports_looked_through before 1",
    "shp_miner.store.imported:imports_looked_through after 1",
    "shp_miner.forgetting:purge_table after 2",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_step_the_next_purge_completes_it(moment: str, tmp_path: Path) -> None:
    store = imported(tmp_path / "store", said())
    processes = get_context("forkserver")
    processes.set_forkserver_preload([__name__, "shp_miner.forgetting"])
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
        assert "note_import" in moment, "killed before a row came in"
        imported(tmp_path / "store", said() | TOLD["stub"], read_at=READ + DAY)
        assert seen(store.path, SECRET, AUTHOR) == []


@pytest.mark.parametrize("note", ["", "9", "99.99", "not a version"])
def test_a_note_that_was_cut_off_means_the_whole_store(note: str, tmp_path: Path) -> None:
    store = imported(tmp_path / "store", said())
    store.append(chunk([], [answer_row("gone", post_id="p1", state="deleted", observed_at=(READ + DAY) * 1_000_000)]))
    (store.path / FOLDER).mkdir(exist_ok=True)
    (store.path / FOLDER / "imported").write_text(note)
    purge(store)
    assert not import_noted(store.path)
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
