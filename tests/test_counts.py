"""What platforms count besides the score: from the site, the dump or the file through the store to the export."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shp_miner import load
from shp_miner.cli import run
from shp_miner.forum.live_items import LiveAnswer, LiveThread
from shp_miner.forum.serve.server import Forum
from shp_miner.mining.calibrate import drop_fits
from shp_miner.store import Store

from .build import READ, T0, tree
from .crawls import KINDS, bench, content, settled, with_limits
from .earlier import set_back
from .stackexchange_dump import USERS, answer, element, folder, question, table

COUNTS = ("reads", "upvotes", "downvotes")


def told(name: str, item: LiveThread | LiveAnswer) -> dict[str, int | None]:
    """What a platform says of an item besides its score; on Lemmy it begins with the author's own vote."""
    votes = {"upvotes": item.up, "downvotes": item.down}
    match name:
        case "discourse":
            return {"reads": item.reads}
        case "nodebb":
            return votes
        case "lemmy-v3" | "lemmy-v4":
            return {**votes, "upvotes": item.up + 1}
    return {}


@pytest.mark.parametrize("name", KINDS)
def test_a_crawl_keeps_what_each_platform_counts(name: str, tmp_path: Path) -> None:
    community = settled(4)
    answered = next(thread for thread in community.threads() if thread.answers)
    community.vote(answered.answers[0].answer_id, up=7, down=2)
    with bench(name, tmp_path / "s", community) as at:
        at.crawl()
    found = content(Store(tmp_path / "s"))
    threads = community.threads()
    for thread in threads:
        (row,) = found["posts"].filter(post_id=thread.post_id).to_dicts()
        wanted = dict.fromkeys(COUNTS) | told(name, thread)
        wanted["views"] = thread.views if name in ("discourse", "nodebb", "stackexchange") else None
        assert {column: row[column] for column in wanted} == wanted
    answers = {answer.answer_id: answer for thread in threads for answer in thread.answers if answer.state == "live"}
    rows = found["answers"].filter(pl.col("answer_id").is_in(list(answers))).to_dicts()
    assert len(rows) == len(answers)
    for row in rows:
        assert {column: row[column] for column in COUNTS} == dict.fromkeys(COUNTS) | told(
            name, answers[row["answer_id"]]
        )


# -- exports, from every way in ---------------------------------------------------------------------------------------

PAIRS = [f"{name}{side}" for name in COUNTS for side in (1, 2)]


def pairs_of(out: Path, *options: str) -> pl.DataFrame:
    """The pairs that an export of data/store has, by the command."""
    assert run(["export", str(out), "--rule", "votes", "--min-score-age", "0s", *options]) == 0
    return load(out).to_polars()


def assert_as_stored(pairs: pl.DataFrame, *, told: tuple[str, ...]) -> None:
    """Every number of every row is the one that the store has; of these columns, those `told` are known."""
    answers = {
        row.pop("answer_id"): row for row in Store("data/store").answers(columns=["answer_id", *COUNTS]).to_dicts()
    }
    views = dict(Store("data/store").posts(columns=["post_id", "views"]).iter_rows())
    assert pairs.height
    for row in pairs.to_dicts():
        assert row["views"] == views[row["post_id"]]
        for side in (1, 2):
            assert {name: row[f"{name}{side}"] for name in COUNTS} == answers[row[f"answer{side}_id"]]
    known = {name for name in (*COUNTS, "views") if pairs[name if name == "views" else f"{name}1"].null_count() == 0}
    assert known == set(told)


@pytest.mark.parametrize(
    ("platform", "options", "told"),
    [
        ("discourse", ["latest"], ("reads", "views")),
        ("nodebb", ["workbench"], ("upvotes", "downvotes", "views")),
        ("lemmy", ["workbench"], ("upvotes", "downvotes")),
        ("stackexchange", ["all"], ("views",)),
    ],
)
def test_what_a_crawl_read_is_in_the_export_in_both_layouts(
    platform: str, options: list[str], told: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_limits(patch=monkeypatch, requests=100_000, burst=100, pause_s=0)
    site = "workbench.stackexchange.com" if platform == "stackexchange" else "forum.example"
    view = next(kind.view for kind in KINDS.values() if kind.source == platform)(community := settled(6))
    with Forum(community, [view]) as forum:
        asked = ["crawl", platform, *options, "--site", site, "--url", forum.url(view.platform), "--allow-private"]
        assert run(asked) == 0
    joined = pairs_of(tmp_path / "joined")
    assert_as_stored(joined, told=told)
    assert joined.equals(pairs_of(tmp_path / "compact", "--layout", "compact"))


def test_a_dump_of_stack_exchange_gives_votes_apart_and_the_day_of_the_choice(tmp_path: Path) -> None:
    days = [f"2016-01-{day:02}T00:00:00.000" for day in range(1, 20)]
    cast = [(2, 2), (2, 2), (2, 3), (3, 2), (3, 2), (3, 2), (3, 1)]
    votes = [
        element(Id=number, PostId=post, VoteTypeId=kind, CreationDate=days[number])
        for number, (post, kind) in enumerate(cast)
    ]
    posts = [question(1, ViewCount=52, AcceptedAnswerId=3), answer(2, 1, Score=1), answer(3, 1, Score=3, OwnerUserId=9)]
    members = {"Posts.xml": table("posts", *posts), "Users.xml": USERS, "Votes.xml": table("votes", *votes)}
    assert run(["import", "stackexchange-dump", str(folder(tmp_path / "beer.stackexchange.com", members))]) == 0
    pairs = pairs_of(tmp_path / "out")
    assert_as_stored(pairs, told=("upvotes", "downvotes", "views"))
    assert Store("data/store").answers(columns=["answer_id", "accepted_at"]).sort("answer_id").rows() == [
        ("2", None),
        ("3", datetime(2016, 1, 7, tzinfo=UTC)),
    ]


def test_threads_of_ones_own_carry_them_and_an_earlier_store_exports_its_columns_as_ever(tmp_path: Path) -> None:
    """The same threads with and without numbers; the store without them is one that an earlier version made."""
    replies = [
        {
            "answer_id": str(n),
            "body": f"Answer {n}.",
            "created_at": T0 + n,
            "score": n,
            "reads": 9 * n,
            "upvotes": n + 1,
        }
        | {"downvotes": 1, "observed_at": READ}
        for n in range(1, 5)
    ]
    thread: dict[str, Any] = {
        "site": "forum.example", "community": "c", "post_id": "p", "title": "Why?", "created_at": T0, "score": 3,
        "observed_at": READ, "views": 99, "answers": replies,
    }  # fmt: skip
    path = tmp_path / "threads.jsonl"
    path.write_text(json.dumps(thread))
    assert run(["import", "threads", str(path)]) == 0
    with_numbers = pairs_of(tmp_path / "with")
    assert_as_stored(with_numbers, told=(*COUNTS, "views"))
    set_back(Path("data/store"), 2)
    drop_fits(Path("data/store"))  # an earlier store has fitted nothing to readers
    unread = pairs_of(tmp_path / "as-it-is")
    assert_as_stored(unread, told=())
    told = (*PAIRS, "views", "confidence", "tier")  # readers, where they are known, say how sure a label is
    assert unread.drop(told).equals(with_numbers.drop(told))
    assert run(["vacuum", "--store", "data/store"]) == 0, "which migrates it"
    pairs_of(tmp_path / "migrated")
    assert tree(tmp_path / "as-it-is") == tree(tmp_path / "migrated")
    assert run(["import", "threads", str(path)]) == 0
    assert pairs_of(tmp_path / "again").equals(with_numbers), "an import of the same file fills them in"


# -- the rule that leaves staff out ---------------------------------------------------------------------


def exported(out: Path, *options: str) -> tuple[int, int]:
    """Pairs and posts of an export of data/store, by the command."""
    assert run(["export", str(out), "--allow-unknown-age", *options]) == 0
    rows = load(out).to_polars()
    return rows.height, rows["post_id"].n_unique()


def test_staff_answers_on_a_real_forum_unless_they_are_left_out(shared_data: Path, tmp_path: Path) -> None:
    topics = shared_data / "discourse" / "urho3d_topics.ndjson.zst"
    assert run(["import", "discourse-json", str(topics), "--site", "discourse.urho3d.io"]) == 0
    above = ("--min-answer-score", "1")
    assert exported(tmp_path / "all", *above) == (163, 57)
    assert exported(tmp_path / "members", "--drop-staff", *above) == (107, 46)
    assert exported(tmp_path / "any-loser")[0] == 1449, "a losing answer without a like is one, too"
    answers = Store("data/store").answers(columns=["reads", "upvotes", "author_role"])
    assert (answers["reads"].null_count(), answers["reads"].median()) == (0, 23)
    assert answers["upvotes"].null_count() == answers.height
    assert answers.filter(pl.col("author_role").is_in(["moderator", "admin"])).height == 1903
