"""What platforms count besides the score: from the site, the dump or the file through the store to the export."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from shp_miner import load
from shp_miner.cli import run
from shp_miner.forum.live_items import LiveAnswer, LiveThread
from shp_miner.store import Store

from .crawls import KINDS, bench, content, settled

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


# -- imports, and the rule that leaves staff out ---------------------------------------------------------------------


def exported(out: Path, *options: str) -> tuple[int, int]:
    """Pairs and posts of an export of data/store, by the command."""
    assert run(["export", str(out), "--allow-unknown-age", *options]) == 0
    rows = load(out).to_polars()
    return rows.height, rows["post_id"].n_unique()


def test_staff_answers_on_a_real_forum_unless_they_are_left_out(shared_data: Path, tmp_path: Path) -> None:
    topics = shared_data / "discourse" / "urho3d_topics.ndjson.zst"
    assert run(["import", "discourse-json", str(topics), "--site", "discourse.urho3d.io"]) == 0
    assert exported(tmp_path / "all") == (163, 57)
    assert exported(tmp_path / "members", "--drop-staff") == (107, 46)
    answers = Store("data/store").answers(columns=["reads", "upvotes", "author_role"])
    assert (answers["reads"].null_count(), answers["reads"].median()) == (0, 23)
    assert answers["upvotes"].null_count() == answers.height
    assert answers.filter(pl.col("author_role").is_in(["moderator", "admin"])).height == 1903
