"""What a platform deleted comes back when the platform shows it again; what a person wanted gone never does."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner import export_dataset, import_dump
from shp_miner.forgetting.forget import forget, purge
from shp_miner.store import Store
from shp_miner.store.forget import ForgottenItem, hide_items, tombstone_items
from shp_miner.store.forgotten import Forgotten
from shp_miner.store.forgotten_list import FOLDER, PENDING, has_pending, part_names, read_part
from shp_miner.store.snapshot import EVERYTHING

from .build import READ, answer_row, chunk, post_row, thread, tree, write_month
from .property import examples
from .test_forget import seen

A = ForgottenItem("reddit.com", "p1", "a")


def us(day: float) -> int:
    return int(READ + day * 86_400) * 1_000_000


def shown(store: Store, day: float | None, text: str, **changes: Any) -> None:
    """The platform shows answer a with a text."""
    at = None if day is None else us(day)
    store.append(chunk([], [answer_row("a", observed_at=at, body=text, **changes)]))


def now_shown(store: Store, table: str = "answers", answer_id: str = "a") -> tuple[str, str]:
    """State and text of answer a, or of the post."""
    snapshot = store.snapshot()
    rows = snapshot.bodies(table, EVERYTHING, getattr(snapshot, table)(EVERYTHING)[0])
    if table == "answers":
        rows = rows.filter(answer_id=answer_id)
    row = rows.row(0, named=True)
    return row["state"], row["body"]


def lines(store: Store) -> list[tuple[str, str | None, int | None]]:
    """The list, as kind, by whom, and when."""
    folder = store.path / FOLDER
    parts = [read_part(folder / name) for name in part_names(folder)]
    return sorted(pl.concat(parts).select("kind", "by", "at").rows(), key=str) if parts else []


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.append(chunk([post_row()], [answer_row("b")]))
    shown(store, 0, "Qzvxkfirst")
    return store


def test_deleted_purged_restored_and_deleted_again(store: Store) -> None:
    tombstone_items(store, [A], "removed", us(1))
    purge(store)
    assert seen(store.path, "qzvxkfirst") == []
    shown(store, 2, "Qzvxksecond")
    assert now_shown(store) == ("live", "Qzvxksecond")
    assert lines(store) == [("item", "platform", us(1)), ("restored", None, us(2))]
    assert not has_pending(store.path), "nothing is to be taken out"
    shown(store, 2.5, "Qzvxkthird")
    assert len(lines(store)) == 2, "said once"
    scores = store.snapshot().scan("answers").filter(pl.col("answer_id") == "a").collect().sort("observed_at")
    assert scores["score"].to_list() == [5, None, 5, 5], "scores of all readings stay"

    tombstone_items(store, [A], "deleted", us(3))
    assert now_shown(store) == ("deleted", "")
    done = purge(store)
    assert (done.tables["answers"].items, done.tables["answers"].rows) == (1, 2)
    assert seen(store.path, "qzvxksecond", "qzvxkthird") == []
    assert now_shown(store) == ("deleted", "")
    assert lines(store) == [("item", "platform", us(3))], "the list is as short as can be"
    shown(store, 4, "Qzvxkfourth")
    tombstone_items(store, [ForgottenItem("reddit.com", "p1", "b")], "removed", us(4))
    purge(store)
    assert now_shown(store) == ("live", "Qzvxkfourth")
    assert lines(store) == [
        ("item", "platform", us(3)), ("item", "platform", us(4)), ("restored", None, us(4)),
    ]  # fmt: skip


@pytest.mark.parametrize("day", [-1, 1, None])
def test_what_was_seen_before_the_deletion_or_nobody_knows_when_stays_out(day: float | None, store: Store) -> None:
    tombstone_items(store, [A, ForgottenItem("reddit.com", "p1", "c")], "removed", us(1))
    shown(store, day, "Qzvxkold")
    at = None if day is None else us(day)
    store.append(chunk([], [answer_row("c", body="Xkjqzold", observed_at=at)]))  # it was not there at all
    assert now_shown(store) == ("removed", "")
    purge(store)
    shown(store, day, "Qzvxkold")
    assert seen(store.path, "qzvxk", "xkjqzold") == []
    assert now_shown(store, answer_id="c") == ("removed", "")
    shown(store, 2, "Wqjzkack")
    shown(store, day, "Qzvxkold")
    assert now_shown(store) == ("live", "Wqjzkack")
    assert seen(store.path, "qzvxkold") == [], "not even when it is shown again"


def test_what_is_shown_as_gone_or_cannot_be_read_ends_nothing(store: Store) -> None:
    tombstone_items(store, [A], "deleted", us(1))
    for state in ("removed", "unreadable"):
        shown(store, 2, "Zzzstub", state=state)
    assert hide_items(store, [A], us(3)) == 0
    assert lines(store) == [("item", "platform", us(1))]
    assert seen(store.path, "zzzstub") == []


ASKED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"ids": ["reddit.com/p1/a"]}, {}),
    ({"authors": ["writer-a"]}, {}),
    ({"authors": ["writer-a"]}, {"author": None}),
    ({"authors": ["writer-a"]}, {"author": "renamed", "author_id": "77"}),
    ({"authors": ["https://x.example/u/7"]}, {"author": "renamed"}),
    ({"ids": ["https://x.example/t/1"]}, {"author": "renamed"}),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("first", ["person", "platform"])
@pytest.mark.parametrize(("asked", "again"), ASKED)
def test_what_a_person_wanted_gone_never_comes_back(
    first: str, asked: dict[str, Any], again: dict[str, Any], store: Store
) -> None:
    theirs = {"author_id": "77", "author_url": "https://x.example/u/7", "url": "https://x.example/t/1"}
    shown(store, 0.5, "Qzvxkhers", **theirs)
    if first == "platform":
        tombstone_items(store, [A], "removed", us(1))
        forget(store, **asked)
    else:
        forget(store, **asked)
        tombstone_items(store, [A], "removed", us(1))
    purge(store)
    for day in (2, 3):
        shown(store, day, "Qzvxkback", **theirs | again)
        tombstone_items(store, [ForgottenItem("reddit.com", "p1", "b")], "removed", us(day))
        purge(store)
    assert now_shown(store)[1] == ""
    assert seen(store.path, "qzvxk") == []
    assert ("item", "person", None) in lines(store)
    assert "restored" not in {kind for kind, _, _ in lines(store)}


def test_a_new_text_of_a_person_met_on_a_platforms_line_stays_out(store: Store) -> None:
    tombstone_items(store, [A], "removed", us(1))
    purge(store)  # nobody knows any more whose it was
    forget(store, authors=["writer-a"])
    shown(store, 2, "Qzvxkback")
    assert seen(store.path, "qzvxk") == []
    shown(store, 3, "Qzvxkback", author=None)
    assert seen(store.path, "qzvxk") == [], "what was met as theirs is theirs"


def test_restored_before_the_purge_ran(store: Store) -> None:
    page = "https://forum.example/t/Xylotitle/17"
    store.append(chunk([post_row(title="Xylotitle", url=page)], [answer_row("b", url=f"{page}/2")]))
    tombstone_items(store, [ForgottenItem("reddit.com", "p1"), A], "removed", us(1))
    store.append(chunk([], [answer_row("late", url=f"{page}/3", observed_at=us(1.5))]))
    shown(store, 2, "Qzvxksecond")
    new = "https://forum.example/t/Newtitle/17"
    back = {"observed_at": us(2), "body": "Pppback", "title": "Newtitle", "url": new}
    store.append(chunk([post_row(**back)], [answer_row("b", url=f"{new}/2", observed_at=us(2))]))
    purge(store)
    assert seen(store.path, "xylotitle", "qzvxkfirst") == [], "what was deleted is gone"
    assert now_shown(store) == ("live", "Qzvxksecond")
    assert now_shown(store, "posts") == ("live", "Pppback")
    urls = store.snapshot().answers(EVERYTHING)[0].sort("answer_id").select("answer_id", "url").rows()
    assert urls == [("a", None), ("b", f"{new}/2"), ("late", None)]
    assert lines(store) == [("item", "platform", us(1))] * 2 + [("restored", None, us(2))] * 2


def test_clocks_that_differ_do_not_keep_a_deletion_from_being_the_last_word(store: Store) -> None:
    tombstone_items(store, [A], "removed", us(1))
    shown(store, 9, "Qzvxkahead")  # a clock that is ahead
    tombstone_items(store, [A], "removed", us(2))
    assert now_shown(store) == ("removed", "")
    purge(store)
    assert seen(store.path, "qzvxk") == []
    assert lines(store) == [("item", "platform", us(9) + 1)]


def test_a_kill_between_the_list_and_the_row_leaves_a_tombstone_that_is_asked_again(store: Store) -> None:
    tombstone_items(store, [A], "removed", us(1))
    purge(store)
    back = chunk([], [answer_row("a", observed_at=us(2), body="Qzvxksecond")])
    assert Forgotten.load(store.path).filter(back).answers.equals(back.answers)
    assert now_shown(store) == ("removed", "")
    assert seen(store.path, "qzvxk") == []
    # Gone again before anybody asked: its end was earlier.
    copy = Store(shutil.copytree(store.path, store.path.with_name("copy")))
    tombstone_items(copy, [A], "removed", us(1.5))
    shown(copy, 1.8, "Qzvxkold")
    purge(copy)
    assert seen(copy.path, "qzvxkold") == []
    store.append(back)
    assert now_shown(store) == ("live", "Qzvxksecond")


def test_lists_of_earlier_versions(store: Store) -> None:
    items = [("a", "removed"), ("b", "deleted")]
    store.append(chunk([], [answer_row("b", body="Wqjzkfirst")]))
    tombstone_items(store, [A, ForgottenItem("reddit.com", "p1", "b")], "removed", us(1))
    folder = store.path / FOLDER
    (now,) = part_names(folder)
    old = read_part(folder / now).drop("by", "at").sort("answer_id")
    old = old.with_columns(state=pl.Series([state for _, state in items]))
    name = "1234.pending.parquet"
    old.write_parquet(folder / name)
    (folder / now).unlink()
    os.utime(folder / name, (READ + 86_400 * 3, READ + 86_400 * 3))
    assert lines(store) == [("item", "person", None), ("item", "platform", us(3))]
    for day in (2, 3):
        shown(store, day, "Qzvxkold")
    purge(store)
    assert seen(store.path, "qzvxk", "wqjzk") == []
    shown(store, 4, "Qzvxkback")
    store.append(chunk([], [answer_row("b", observed_at=us(4), body="Wqjzkback")]))
    assert now_shown(store) == ("live", "Qzvxkback")
    assert seen(store.path, "wqjzkback") == [], "it may have been a person's wish"


def test_only_exports_with_what_is_gone_now_are_made_again(tmp_path: Path, now: datetime) -> None:
    store, out = Store(tmp_path / "store"), tmp_path / "out"
    import_dump("reddit-dump", write_month(tmp_path / "dump", thread("p1", (3, 9, 5))), store, now=now)
    export_dataset(store, out)
    item, other = ForgottenItem("reddit.com", "p1", "p1c2"), ForgottenItem("reddit.com", "q1", "q1c1")
    tombstone_items(store, [item], "removed", us(1))
    purge(store)
    assert seen(out, "Answer p1c2") == []
    back = thread("p1", (3, 9, 5), retrieved_on=READ + 2 * 86_400)
    import_dump("reddit-dump", write_month(tmp_path / "later", back), store, now=now)
    export_dataset(store, out)
    assert seen(out, "Answer p1c2")
    before = tree(out)
    tombstone_items(store, [other], "removed", us(3))
    assert [export.outcome for export in purge(store).exports] == ["nothing in it"]
    assert tree(out) == before
    tombstone_items(store, [item], "removed", us(3))
    assert [export.outcome for export in purge(store).exports] == ["rewritten"]
    assert seen(out, "Answer p1c2") == []


# -- any order --------------------------------------------------------------------------------------------------------


STEPS = st.one_of(
    st.tuples(st.just("live"), st.integers(1, 9)),
    st.tuples(st.just("deleted"), st.integers(1, 9)),
    st.tuples(st.just("unreadable"), st.integers(1, 9)),
    st.tuples(st.sampled_from(["purge", "unknown", "person", "compact"]), st.just(0)),
)


class Oracle:
    """What the store shall hold of one item, in a few lines: rows that were let in, and what was said of it."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, str]] = []  # when, state, text
        self.deleted, self.person = -1_000_000, False

    def live(self, at: int, text: str) -> None:
        out = self.person or at <= self.deleted
        self.rows.append((at, "gone" if out else "live", "" if out else text))

    def gone(self, at: int) -> None:
        # There is a row from the beginning on, so it is always noted.
        self.deleted = max(at, *(when + 1 for when, _, _ in self.rows))
        self.rows.append((self.deleted, "gone", ""))

    def hidden(self, at: int) -> None:
        if self.newest()[1] == "live":
            self.rows.append((max(at, self.newest()[0] + 1), "unreadable", ""))

    def purge(self) -> None:
        self.rows = [
            (at, "gone" if state == "live" else state, "") if self.person or at <= self.deleted else (at, state, text)
            for at, state, text in self.rows
        ]

    def newest(self) -> tuple[int, str, str]:
        return max(self.rows, key=lambda row: row[0])

    def texts(self) -> set[str]:
        return {text for _, _, text in self.rows} - {""}


@examples(12)
@given(steps=st.lists(STEPS, min_size=2, max_size=9))
def test_in_any_order_the_store_holds_what_the_words_say(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store, model = Store(tmp_path_factory.mktemp("any") / "store"), Oracle()
    shown(store, 0, "Qtextbegin")
    model.live(us(0), "Qtextbegin")
    for number, (what, day) in enumerate(steps):
        text, at = f"Qtext{number}x", us(day) + 100 * number
        if what in ("live", "unknown"):
            when = at if what == "live" else None
            store.append(chunk([], [answer_row("a", observed_at=when, body=text)]))
            if when is not None:
                model.live(when, text)
            elif not model.person and model.deleted < 0:
                model.rows.append((-1 - len(steps) + number, "live", text))
            else:
                model.rows.append((-1 - len(steps) + number, "gone", ""))
        elif what == "deleted":
            tombstone_items(store, [A], "removed", at)
            model.gone(at)
        elif what == "unreadable":
            hide_items(store, [A], at)
            model.hidden(at)
        elif what == "person":
            forget(store, ids=["reddit.com/p1/a"])
            model.person = True
            model.purge()
        elif what == "compact":
            store.compact()
        else:
            purge(store)
            model.purge()
        state, body = now_shown(store)
        assert ("gone" if state in ("deleted", "removed") else state, body) == model.newest()[1:]
    purge(store)
    model.purge()
    rows = store.snapshot().scan("answers").collect()
    assert set(rows["body"]) - {""} == model.texts()
    every = {f"Qtext{number}x" for number in range(len(steps))} | {"Qtextbegin"}
    # Old versions that nothing was ever taken out of may have them; what was deleted is in no file.
    assert seen(store.path, *(every - model.texts())) == []
    assert not [name for name in part_names(store.path / FOLDER) if name.endswith(PENDING)]
