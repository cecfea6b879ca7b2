"""What names things: sites, threads and answers together, and the names of communities and configurations."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from shp_miner.cli import run

from .build import comment as reddit_comment
from .build import submission, write_month


def numbered_thread(number: int, answers: int = 2, **changes: Any) -> dict[str, Any]:
    """A thread of a forum that numbers the answers of each thread from 1; later answers have more votes."""
    read = "2024-03-01T00:00:00Z"
    return {
        "site": "forum.example",
        "community": "cooking",
        "post_id": str(number),
        "title": f"Why {number}?",
        "body": "Some detail.",
        "created_at": "2024-01-02T03:04:05Z",
        "observed_at": read,
        "score": 12,
        "author": f"asker-{number}",
        "answers": [
            {
                "answer_id": str(k),
                "body": f"Answer {k} to question {number}.",
                "created_at": f"2024-01-02T04:{k:02}:00Z",
                "observed_at": read,
                "score": 3 + k,
                "author": f"writer-{k}",
            }
            for k in range(1, answers + 1)
        ],
        **changes,
    }


def store_of(folder: Path, threads: list[dict[str, Any]]) -> Path:
    """A store with these threads, imported as a user does it."""
    file = folder / "threads.jsonl"
    file.write_text("".join(json.dumps(thread) + "\n" for thread in threads), encoding="utf-8")
    assert run(["import", "threads", str(file), "--store", str(folder / "store"), "--quiet"]) == 0
    return folder / "store"


def rows_of(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(file) for file in sorted(folder.rglob("*.parquet"))])


# -- sides and samples ------------------------------------------------------------------------------------------------


def test_a_forum_that_numbers_the_answers_of_each_thread_has_fair_sides(tmp_path: Path) -> None:
    store = store_of(tmp_path, [numbered_thread(number) for number in range(142)])
    assert run(["export", str(tmp_path / "out"), "--store", str(store), "--quiet"]) == 0
    won = Counter(rows_of(tmp_path / "out")["preferred"])
    assert won.total() == 142
    assert 42 < won[1] < 100  # within five standard deviations


def test_a_subreddit_whose_answers_are_numbered_in_each_thread_has_fair_sides(tmp_path: Path) -> None:
    records = []
    for number in range(60):
        records.append(submission(f"p{number}"))
        answers = ((f"{k}", f"p{number}", {"score": 3 + k, "created_utc": 1_600_000_060 + k}) for k in range(3))
        records += [reddit_comment(name, post, **more) for name, post, more in answers]
    write_month(tmp_path / "dump", records)
    store = str(tmp_path / "store")
    assert run(["import", "reddit-dump", str(tmp_path / "dump"), "--store", store, "--quiet"]) == 0
    assert run(["export", str(tmp_path / "out"), "--store", store, "--format", "shp", "--quiet"]) == 0
    assert 57 < rows_of(tmp_path / "out")["labels"].sum() < 123  # of 180


def test_samples_differ_between_threads_whose_answers_have_the_same_numbers(tmp_path: Path) -> None:
    store = store_of(tmp_path, [numbered_thread(number, answers=8) for number in range(40)])
    options = ["--rule", "shp", "--max-pairs-per-post", "1", "--store", str(store), "--quiet"]
    assert run(["export", str(tmp_path / "out"), *options]) == 0
    pairs = rows_of(tmp_path / "out")["pair_id"].str.split("/").list.last()
    assert len(pairs) == 40
    assert pairs.n_unique() > 15  # one number for all threads would take the same pair of each


def test_sides_and_samples_of_a_thread_do_not_follow_other_threads(tmp_path: Path) -> None:
    stores = []
    for count in (5, 50):
        (tmp_path / str(count)).mkdir()
        stores.append(store_of(tmp_path / str(count), [numbered_thread(number, answers=6) for number in range(count)]))
    columns = ["pair_id", "answer1_id", "answer2_id", "preferred"]
    rows = []
    for store in stores:
        out = store.parent / "out"
        command = ["export", str(out), "--max-pairs-per-post", "5", "--store", str(store), "--quiet"]
        assert run(command) == 0
        rows.append(set(rows_of(out).select(columns).rows()))
    assert rows[0] < rows[1]
