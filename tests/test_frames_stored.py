"""Frames that a store gave, into another store: the copy says the same and makes the same pairs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import shp_miner
from shp_miner.forum import World
from shp_miner.forum.demo import run_demo
from shp_miner.model import OPTIONAL
from shp_miner.rules.presets import BY_VOTES

from .build import answer_row, chunk, post_row
from .conftest import NOW


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> shp_miner.Store:
    """A store in Reddit's terms, with deletions and several readings of each score."""
    folder = tmp_path_factory.mktemp("demo")
    run_demo(folder, world=World(name="small", threads=10, mean_readers=1300.0, span_days=14.0, settle_days=31.0))
    return shp_miner.Store(folder / "store")


def exported(store: shp_miner.Store, out: Path, rule: str | shp_miner.Rule) -> pl.DataFrame:
    shp_miner.export_dataset(store, out, rule=rule)
    return shp_miner.load(out).to_polars()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("rule", BY_VOTES)
def test_a_copy_exports_the_same_pairs(crawled: shp_miner.Store, tmp_path: Path, rule: str) -> None:
    copy = shp_miner.Store(tmp_path / "copy")
    done = shp_miner.import_frames(crawled.posts(), crawled.answers(), copy)
    assert done.complete
    assert copy.posts().equals(crawled.posts())
    assert set(copy.posts()["platform"]) == {"reddit"}, "whose floors rules take"
    assert set(copy.answers()["state"]) > {"live"}
    pairs = exported(copy, tmp_path / "of-copy", rule)
    assert pairs.height
    assert pairs.equals(exported(crawled, tmp_path / "of-first", rule))


def test_frames_of_an_earlier_version_lack_the_newer_columns(crawled: shp_miner.Store, tmp_path: Path) -> None:
    copy = shp_miner.Store(tmp_path / "copy")
    earlier = [frame.drop(OPTIONAL, strict=False) for frame in (crawled.posts(), crawled.answers())]
    assert shp_miner.import_frames(*earlier, copy).complete
    assert copy.posts().drop(OPTIONAL, strict=False).equals(earlier[0])
    assert copy.answers()["reads"].null_count() == earlier[1].height


def test_observations_take_the_scores_over_time_along(crawled: shp_miner.Store, tmp_path: Path) -> None:
    copy = shp_miner.Store(tmp_path / "copy")
    shp_miner.import_frames(crawled.observations("posts"), crawled.observations("answers"), copy)
    key = ["thread_hash", "answer_id", "observed_at"]
    whole = crawled.observations().collect().sort(key)
    assert whole.height > 2 * crawled.answers().height
    assert copy.observations().collect().sort(key).equals(whole)
    early = shp_miner.preset("shp", observe_at_s="2d")
    pairs = exported(copy, tmp_path / "of-copy", early)
    assert pairs.height
    assert pairs.equals(exported(crawled, tmp_path / "of-first", early))


@pytest.mark.parametrize("library", ["pandas", "pyarrow", "lazy"])
def test_a_copy_through_another_library_is_the_same(crawled: shp_miner.Store, tmp_path: Path, library: str) -> None:
    through: dict[str, Callable[[pl.DataFrame], Any]] = {
        "pandas": lambda frame: frame.to_pandas(),
        "pyarrow": lambda frame: frame.to_arrow(),
        "lazy": lambda frame: frame.lazy(),
    }
    copy = shp_miner.Store(tmp_path / "copy")
    posts, answers = through[library](crawled.posts()), through[library](crawled.answers())
    shp_miner.import_frames(posts, answers, copy)
    assert copy.posts().equals(crawled.posts())
    key = ["thread_hash", "answer_id"]
    assert copy.answers().sort(key).equals(crawled.answers().sort(key))


def test_rows_that_own_threads_cannot_say_are_kept(tmp_path: Path) -> None:
    store, copy = shp_miner.Store(tmp_path / "store"), shp_miner.Store(tmp_path / "copy")
    rows = [
        answer_row("c1", body="<p>Two <b>words</b></p>", body_format="html", body_chars=9),
        answer_row("c2", state="unreadable"),
        answer_row("c3", author=None, author_deleted=False, body_chars=10),
        answer_row("c4", post_id="of-another", state="removed"),
    ]
    store.append(chunk([post_row()], rows))
    done = shp_miner.import_frames(store.posts(), store.answers(), copy)
    assert done.complete, "an answer without its post was in the first store, too"
    assert copy.answers().sort("answer_id").equals(store.answers().sort("answer_id"))


def test_a_changed_row_is_checked_as_one_of_a_file_is(tmp_path: Path) -> None:
    store, copy = shp_miner.Store(tmp_path / "store"), shp_miner.Store(tmp_path / "copy")
    store.append(chunk([post_row()], [answer_row(f"c{number}") for number in range(6)]))
    answers = store.answers().sort("answer_id")
    number = pl.Series(range(6))
    late = NOW + timedelta(days=9)
    changed = answers.with_columns(
        body=pl.when(number == 0).then(pl.lit("Longer,\0 now")).otherwise("body"),
        state=pl.when(number == 1).then(pl.lit("lost")).otherwise("state"),
        answer_id=pl.when(number == 2).then(pl.lit("")).otherwise("answer_id"),
        site=pl.when(number == 5).then(pl.lit("no host")).otherwise(pl.lit("https://Reddit.com")),
        observed_at=pl.when(number == 3).then(pl.lit(late).cast(pl.Datetime("us", "UTC"))).otherwise("observed_at"),
        created_at=pl.when(number == 4).then(None).otherwise("created_at"),
    )
    done = shp_miner.import_frames(store.posts(), changed, copy, now=NOW)
    assert dict(done.tally.dropped) == {
        ("answer", "wrong_type"): 1,
        ("answer", "bad_id"): 2,
        ("answer", "time_in_future"): 1,
        ("answer", "missing_field"): 1,
    }
    assert done.tally.examples[0].sentence() == "answers: row 1, of post_id 'p1': wrong type"
    assert done.tally.notes["answer", "text_repaired"] == 1
    kept = copy.answers()
    assert kept["site"].to_list() == ["reddit.com"]
    assert kept["answer_id"].to_list() == ["c0"]
    assert kept.select("body", "body_chars").row(0) == ("Longer,\ufffd now", 12)


@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        (lambda f: f.with_columns(quality=1.0), "answers has a column that is not known: 'quality'", "Leave it out."),
        (lambda f: f.with_columns(pl.col("score") + 0.5), "answers, column 'score': it has fractions", "whole numbers"),
        (lambda f: f.with_columns(created_at=1), "answers, column 'created_at': its type is Int32", "as the store"),
        (lambda f: f.with_columns(score=pl.lit("many")), "answers, column 'score': its type is String", "Int64"),
        (lambda f: f.drop("url"), "posts has the column 'source', which only whole tables", "source, platform"),
        (
            lambda f: f.with_columns(pl.col("created_at").dt.replace_time_zone(None)),
            "answers, column 'created_at', have no zone",
            "polars.Datetime",
        ),
    ],
)
def test_wrong_columns_are_refused_before_a_store_is_made(
    tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], said: str, hint: str
) -> None:
    store = shp_miner.Store(tmp_path / "store")
    store.append(chunk([post_row()], [answer_row("c1")]))
    with pytest.raises(shp_miner.BadInput) as caught:
        shp_miner.import_frames(store.posts(), change(store.answers()), tmp_path / "copy")
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert not (tmp_path / "copy").exists()


def test_the_thread_hash_of_chosen_columns_is_made_again(tmp_path: Path) -> None:
    store, copy = shp_miner.Store(tmp_path / "store"), shp_miner.Store(tmp_path / "copy")
    store.append(chunk([post_row()], [answer_row("c1")]))
    shared = ["thread_hash", "post_id", "body", "body_chars", "created_at", "score"]
    posts = store.posts(columns=[*shared, "site", "community", "title"]).with_columns(thread_hash=1)
    shp_miner.import_frames(posts, store.answers(columns=[*shared, "answer_id"]), copy)
    assert copy.posts()["thread_hash"].to_list() == store.posts()["thread_hash"].to_list()


def test_a_deleted_row_takes_the_text_out_of_the_store_that_it_goes_into(tmp_path: Path) -> None:
    store, other = shp_miner.Store(tmp_path / "store"), shp_miner.Store(tmp_path / "other")
    store.append(chunk([post_row()], [answer_row("c1", body="A secret."), answer_row("c2")]))
    later = answer_row("c1")["observed_at"] + 1_000_000
    other.append(chunk([post_row()], [answer_row("c1", state="deleted", observed_at=later), answer_row("c2")]))
    shp_miner.import_frames(other.posts(), other.answers(), store)
    assert store.answers().sort("answer_id")["state"].to_list() == ["deleted", "live"]
    assert "A secret." not in store.observations().collect()["body"].to_list()
