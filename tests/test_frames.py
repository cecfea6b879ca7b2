"""Frames out of a store, and own frames into pairs and into a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import shp_miner
from shp_miner.forum import World, simulate, write_threads
from shp_miner.model import frame_schema

from .build import T0, answer_row, chunk, post_row
from .conftest import NOW

POST_COLUMNS = [
    "site",
    "community",
    "post_id",
    "title",
    "body",
    "created_at",
    "score",
    "observed_at",
    "author",
    "license",
]
ANSWER_COLUMNS = ["post_id", "answer_id", "body", "created_at", "score", "author"]


@pytest.fixture
def store(tmp_path: Path) -> shp_miner.Store:
    write_threads(simulate(World(threads=40), 0), tmp_path / "threads.jsonl")
    store = shp_miner.Store(tmp_path / "store")
    shp_miner.import_dump("threads", tmp_path / "threads.jsonl", store, now=NOW)
    return store


@pytest.fixture
def posts(store: shp_miner.Store) -> pl.DataFrame:
    return store.posts(columns=POST_COLUMNS)


@pytest.fixture
def answers(store: shp_miner.Store) -> pl.DataFrame:
    return store.answers(columns=ANSWER_COLUMNS)


# -- out of a store ---------------------------------------------------------------------------------------------------


def test_frames_have_the_public_columns_and_one_row_per_item(store: shp_miner.Store) -> None:
    shp_miner.import_dump("threads", "threads.jsonl", store, now=NOW)
    for frame, schema, key in (
        (store.posts(), shp_miner.POST, ["site", "post_id"]),
        (store.answers(), shp_miner.ANSWER, ["site", "post_id", "answer_id"]),
    ):
        assert frame.schema == frame_schema(schema)
        assert frame.select(key).is_unique().all()
        assert frame["thread_hash"].is_sorted()
    assert store.observations("posts").collect().height == 2 * store.posts().height
    assert store.observations().collect_schema() == frame_schema(shp_miner.ANSWER)


def test_the_newest_observation_counts_and_has_its_own_text(store: shp_miner.Store) -> None:
    first = store.posts().row(0, named=True)
    thread = {
        **{name: first[name] for name in ("site", "community", "post_id", "title")},
        "body": "Edited.",
        "created_at": first["created_at"],
        "observed_at": NOW,
        "score": 999,
    }
    shp_miner.import_frames(pl.DataFrame([thread]), store.answers(columns=ANSWER_COLUMNS).clear(), store, now=NOW)
    newest = store.posts(columns=["score", "body"]).row(0)
    assert newest == (999, "Edited.")
    assert store.posts(columns="score", as_of="1.1")["score"][0] == first["score"]


def test_a_deleted_item_is_a_row_without_text(tmp_path: Path) -> None:
    store = shp_miner.Store(tmp_path / "store")
    rows = [answer_row("c1"), answer_row("c2", state="deleted")]
    store.append(chunk([post_row()], rows))
    answers = store.answers(columns=["answer_id", "state", "body", "author"])
    assert answers.rows() == [("c1", "live", "Answer c1.", "writer-c1"), ("c2", "deleted", "", None)]


def test_pieces_hold_the_same_complete_threads_in_both_tables(store: shp_miner.Store) -> None:
    post_pieces, answer_pieces = (list(store.batches(name, rows=30)) for name in ("posts", "answers"))
    assert len(post_pieces) == len(answer_pieces) > 3
    for piece, replies in zip(post_pieces, answer_pieces, strict=True):
        assert set(replies["post_id"]) <= set(piece["post_id"])
    assert pl.concat(post_pieces).equals(store.posts())
    assert pl.concat(answer_pieces).equals(store.answers())


def test_frames_keep_communities_sites_and_columns_that_are_asked_for(store: shp_miner.Store) -> None:
    every = store.answers()
    assert store.answers(community="r/Cooking").equals(every.filter(pl.col("community") == "cooking"))
    both = store.posts(community=["cooking", "cycling"], site="https://forum.example", columns=("score", "community"))
    assert both.columns == ["score", "community"]
    assert set(both["community"]) == {"cooking", "cycling"}


def test_texts_are_not_read_where_they_are_not_asked_for(
    store: shp_miner.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shp_miner.store.snapshot.Snapshot.bodies", None)
    assert store.posts(columns=["title", "score"]).height == 40


@pytest.mark.parametrize(
    ("asked", "said", "hint"),
    [
        ({"columns": "scor"}, "no column 'scor'", "Did you mean 'score'"),
        ({"site": "forum.exampel"}, "no site 'forum.exampel'", "Did you mean 'forum.example'"),
        ({"community": ["cooking", "cokking"]}, "no community 'cokking'", "cooking"),
    ],
)
def test_what_a_store_does_not_have_is_told(
    store: shp_miner.Store, asked: dict[str, Any], said: str, hint: str
) -> None:
    for read in (store.posts, store.answers, store.observations):
        with pytest.raises(shp_miner.Error, match=said) as caught:
            read(**asked)
        assert hint in caught.value.hint


def test_an_unknown_table_and_a_store_that_is_not_there_are_told(store: shp_miner.Store, tmp_path: Path) -> None:
    with pytest.raises(shp_miner.UsageError, match="no table 'pairs'"):
        store.observations("pairs")  # type: ignore[arg-type]
    with pytest.raises(shp_miner.BadInput, match="no store"):
        shp_miner.Store(tmp_path / "nothing").posts()


def test_an_empty_store_has_empty_frames(tmp_path: Path) -> None:
    store = shp_miner.Store(tmp_path / "empty")
    store.create()
    assert store.posts().schema == frame_schema(shp_miner.POST)
    assert store.answers(columns="body").height == 0
    assert repr(store).endswith("0 posts, 0 answers)")


# -- own frames into pairs --------------------------------------------------------------------------------------------

LIBRARIES: dict[str, Callable[[pl.DataFrame], Any]] = {
    "polars": lambda frame: frame,
    "lazy": lambda frame: frame.lazy(),
    "pandas": lambda frame: frame.to_pandas(),
    "pyarrow": lambda frame: frame.to_arrow(),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("rule", shp_miner.PRESETS)
def test_the_needed_columns_make_the_pairs_of_the_whole_tables(
    store: shp_miner.Store, posts: pl.DataFrame, answers: pl.DataFrame, library: str, rule: str
) -> None:
    whole = shp_miner.make_pairs(store.posts().to_arrow(), store.answers().to_arrow(), shp_miner.PRESETS[rule])
    as_given = LIBRARIES[library]
    assert shp_miner.make_pairs(as_given(posts), as_given(answers), rule).equals(whole)
    assert whole.schema == shp_miner.PAIR


def own(**changes: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One post with two answers, and nothing but the needed columns."""
    day = 86_400
    posts = pl.DataFrame({"post_id": [7], "created_at": [T0], "score": [3], "observed_at": [T0 + 9 * day]})
    answers = pl.DataFrame(
        {"post_id": [7, 7], "answer_id": [1, 2], "created_at": [T0 + 60, T0 + 120], "score": [2, 5]} | changes
    )
    return posts, answers


def test_numbers_of_seconds_and_whole_numbers_as_ids_are_enough() -> None:
    (pair,) = shp_miner.make_pairs(*own()).to_pylist()
    assert (pair["post_id"], pair["winner_id"], pair["loser_id"]) == ("7", "2", "1")
    assert (pair["seconds_difference"], pair["score_ratio"]) == (60.0, 2.5)


def test_a_missing_score_of_pandas_is_a_hidden_score() -> None:
    posts, answers = own()
    frame = answers.to_pandas()
    frame.loc[2] = [7, 3, T0 + 180, None]
    assert shp_miner.make_pairs(posts.to_pandas(), frame).num_rows == 1


def test_optional_columns_count_where_they_are_given() -> None:
    assert shp_miner.make_pairs(*own(body=["Yes.", "  "])).num_rows == 0
    assert shp_miner.make_pairs(*own(by_post_author=[True, None])).num_rows == 0
    assert shp_miner.make_pairs(*own(state=["live", "removed"])).num_rows == 0
    assert shp_miner.make_pairs(*own(author=["one", None], author_role=[None, "member"])).num_rows == 1


def test_observations_of_other_times_are_given_with_the_key_alone() -> None:
    posts, answers = own()
    rule = shp_miner.preset("shp", observe_at_s="1d")
    seen = pl.DataFrame(
        {"post_id": [7, 7], "answer_id": [1, 2], "observed_at": [T0 + 86_400, T0 + 86_500], "score": [1, 4]}
    )
    (pair,) = shp_miner.make_pairs(posts, answers, rule, observations=seen.to_pandas()).to_pylist()
    assert (pair["winner_score"], pair["loser_score"]) == (4, 1)
    with pytest.raises(shp_miner.UsageError, match="needs observations"):
        shp_miner.make_pairs(posts, answers, rule)
    with pytest.raises(shp_miner.BadInput, match="observations has no column 'observed_at'"):
        shp_miner.make_pairs(posts, answers, rule, observations=seen.drop("observed_at"))


def test_posts_of_several_sites_may_share_ids_where_answers_have_their_site() -> None:
    posts, answers = own()
    both = pl.concat([posts.with_columns(site=pl.lit(site)) for site in ("a.example", "b.example")])
    with pytest.raises(shp_miner.BadInput, match="posts of several sites have the same post_id"):
        shp_miner.make_pairs(both, answers)
    assert shp_miner.make_pairs(both, answers.with_columns(site=pl.lit("b.example")))["site"].to_pylist() == [
        "b.example"
    ]


#: A change of the answers, the message, and a part of the hint.
WRONG: list[tuple[Callable[[pl.DataFrame], Any], str, str]] = [
    (
        lambda f: f.rename({"created_at": "created_utc"}),
        "answers has no column 'created_at'",
        'answers.rename({"created',
    ),
    (
        lambda f: f.rename({"answer_id": "comment_id"}).to_pandas(),
        "answers has no column 'answer_id'",
        'answers = answers.rename(columns={"comment_id": "answer_id"})',
    ),
    (
        lambda f: f.rename({"score": "scores"}).to_arrow(),
        "answers has no column 'score'",
        'answers = answers.rename_columns({"scores": "score"})',
    ),
    (lambda f: f.drop("score"), "answers has no column 'score'", "It has: post_id, answer_id, created_at."),
    (lambda f: f.cast({"score": pl.String}), "column 'score': it holds String", "Write numbers."),
    (lambda f: f.with_columns(score=pl.lit(2.5)), "column 'score': 2.5 is not a whole number", "whole numbers"),
    (lambda f: f.with_columns(reads=pl.lit(-1)), "column 'reads': -1 is no count", "null where nobody counted"),
    (lambda f: f.with_columns(pl.col("created_at") * 1000), "column 'created_at': 16000000", "divide by 1000"),
    (lambda f: f.with_columns(created_at=pl.lit("yesterday")), "column 'created_at': not every text", "2024-01-02T"),
    (lambda f: f.with_columns(created_at=pl.lit([1])), "column 'created_at': it holds List", "seconds since 1970"),
    (lambda f: f.with_columns(post_id=pl.lit(1.5)), "column 'post_id': it holds Float64", "may be whole numbers"),
    (
        lambda f: f.with_columns(answer_id=pl.lit(None)),
        "column 'answer_id': row 0 has no value",
        "leave these rows out",
    ),
    (lambda f: f.with_columns(accepted=pl.lit("no")), "column 'accepted': it holds String", "true or false"),
    (lambda f: f.with_columns(state=pl.lit("gone")), "column 'state': 'gone' is not known", "live, deleted, removed"),
    (lambda f: pl.concat([f, f]), "column 'answer_id': '1' is in several rows", "observations="),
    (lambda f: f.to_dicts(), "answers is a list, not a table", "polars.DataFrame(answers)"),
]


@pytest.mark.parametrize(("change", "said", "hint"), WRONG, ids=[said for _, said, _ in WRONG])
def test_a_wrong_column_is_named_with_what_to_write(
    change: Callable[[pl.DataFrame], Any], said: str, hint: str
) -> None:
    posts, answers = own()
    with pytest.raises(shp_miner.Error) as caught:
        shp_miner.make_pairs(posts, change(answers))
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_a_rule_that_needs_reading_times_says_what_to_do_without_them() -> None:
    posts, answers = own()
    with pytest.raises(shp_miner.BadInput, match="posts, column 'observed_at'") as caught:
        shp_miner.make_pairs(posts.drop("observed_at"), answers)
    assert "allow_unknown_age=True" in caught.value.hint
    rule = shp_miner.preset("shp", allow_unknown_age=True)
    assert shp_miner.make_pairs(posts.drop("observed_at"), answers, rule).num_rows == 1


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_the_line_that_gives_times_a_zone_works(answers: pl.DataFrame, posts: pl.DataFrame, library: str) -> None:
    naive = LIBRARIES[library](answers.with_columns(pl.col("created_at").dt.replace_time_zone(None)))
    names: dict[str, Any] = {"answers": naive, "polars": pl, "pandas": pd}
    with pytest.raises(shp_miner.BadInput, match=r"answers, column 'created_at', have no zone") as caught:
        shp_miner.make_pairs(posts, naive, "votes")
    exec(caught.value.hint.removeprefix("If they are UTC: "), names)
    assert shp_miner.make_pairs(posts, names["answers"], "votes").equals(shp_miner.make_pairs(posts, answers, "votes"))


# -- own frames into a store ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
def test_frames_are_stored_as_the_same_threads_in_a_file_are(
    store: shp_miner.Store, posts: pl.DataFrame, answers: pl.DataFrame, tmp_path: Path, library: str
) -> None:
    as_given = LIBRARIES[library]
    extra = store.posts(columns=["upvote_ratio", "url", "upvotes", "downvotes"])
    replies = answers.with_columns(store.answers(columns=["url", "upvotes", "downvotes"]))
    other = shp_miner.Store(tmp_path / "other")
    imported = shp_miner.import_frames(as_given(pl.concat([posts, extra], how="horizontal")), as_given(replies), other)
    assert imported.complete
    assert imported.tally.read == {"post": 40, "answer": store.answers().height}
    assert other.posts().equals(store.posts())
    key = ["thread_hash", "answer_id"]
    assert other.answers().sort(key).equals(store.answers().sort(key))
    assert imported.tally.places == {"forum.example": set(posts["community"])}


def test_a_site_and_a_community_are_given_once_and_ids_may_be_numbers(tmp_path: Path) -> None:
    posts, answers = own(body=["Yes.", "No."])
    asked = posts.with_columns(title=pl.lit("Why?"))
    store = shp_miner.Store(tmp_path / "store")
    shp_miner.import_frames(asked, answers.to_pandas(), store, site="My.Example", community="all", now=NOW)
    assert store.posts(columns=["site", "community", "post_id"]).rows() == [("my.example", "all", "7")]
    assert store.answers()["post_id"].to_list() == ["7", "7"]
    assert sum(shp_miner.export_dataset(store, tmp_path / "out").pairs.values()) == 1


def test_a_bad_row_costs_only_itself_and_is_counted(posts: pl.DataFrame, answers: pl.DataFrame, tmp_path: Path) -> None:
    lone = pl.concat([answers, answers.head(1).with_columns(post_id=pl.lit("none"))])
    bad = posts.with_row_index("n").with_columns(
        pl.when(pl.col("n") == 3).then(None).otherwise("score").alias("score"),
        pl.when(pl.col("n") == 4).then(pl.lit("")).otherwise("post_id").alias("post_id"),
    )
    imported = shp_miner.import_frames(bad.drop("n"), lone, tmp_path / "store", now=NOW)
    assert imported.tally.read["post"] == 39
    assert imported.tally.dropped["post", "bad_id"] == 1
    assert not imported.complete
    told = [example.sentence() for example in imported.tally.examples]
    assert told[0].startswith("posts: row 4: post_id")
    assert any("its post_id 'none' is not among the posts" in sentence for sentence in told)


@pytest.mark.parametrize(
    ("table", "change", "said", "hint"),
    [
        ("posts", lambda f: f.drop("title"), "posts has no column 'title'", "It has:"),
        ("posts", lambda f: f.drop("site"), "posts has no column 'site'", "It has:"),
        ("posts", lambda f: f.rename({"body": "selftext"}), "not known: 'selftext'", '{"selftext": "body"}'),
        ("answers", lambda f: f.with_columns(ups=3), "not known: 'ups'", '{"ups": "upvotes"}'),
        ("posts", lambda f: f.with_columns(view_count=3), "not known: 'view_count'", '{"view_count": "views"}'),
        ("answers", lambda f: f.drop("post_id"), "answers has no column 'post_id'", "It has:"),
        ("answers", lambda f: f.with_columns(is_acepted=True), "not known: 'is_acepted'", '{"is_acepted": "accepted"}'),
        (
            "answers",
            lambda f: f.with_columns(pl.col("created_at").dt.replace_time_zone(None)),
            "answers, column 'created_at', have no zone",
            "polars.Datetime",
        ),
    ],
)
def test_a_wrong_column_is_refused_before_a_store_is_made(  # noqa: PLR0917 - fixtures and parameters
    posts: pl.DataFrame,
    answers: pl.DataFrame,
    tmp_path: Path,
    table: str,
    change: Callable[[pl.DataFrame], pl.DataFrame],
    said: str,
    hint: str,
) -> None:
    tables = {"posts": posts, "answers": answers}
    tables[table] = change(tables[table])
    with pytest.raises(shp_miner.BadInput) as caught:
        shp_miner.import_frames(tables["posts"], tables["answers"], tmp_path / "other")
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert not (tmp_path / "other").exists()


def test_what_was_read_again_is_imported_again(posts: pl.DataFrame, answers: pl.DataFrame, tmp_path: Path) -> None:
    store = shp_miner.Store(tmp_path / "other")
    shp_miner.import_frames(posts, answers, store, now=NOW)
    later = posts.with_columns(pl.lit(NOW).cast(pl.Datetime("us", "UTC")).alias("observed_at"), pl.col("score") + 1)
    shp_miner.import_frames(later, answers.with_columns(pl.col("score") + 1), store, now=NOW)
    assert store.answers()["score"].sum() == answers["score"].sum() + answers.height
    assert store.observations().select(pl.len()).collect().item() == 2 * answers.height


def test_a_stream_of_arrow_is_taken_as_well() -> None:
    posts, answers = own()
    batches = pa.RecordBatchReader.from_stream(answers.to_arrow())
    assert shp_miner.make_pairs(posts, batches).num_rows == 1
