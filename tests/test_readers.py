"""Likes held against readers: the law of each answer's rate, its fit, and the pairs and confidences made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner import Store, export_dataset, import_dump, load, make_pairs, preset
from shp_miner.clean.eligible import judge_answers, judge_posts
from shp_miner.export.nothing import NoPairs
from shp_miner.mining.kept_fits import DRIFT, fits_from_builtins, fits_to_builtins, keep_fits
from shp_miner.model import ANSWER, POST
from shp_miner.rules.calibrated import (
    Calibration,
    add_up,
    calibrate,
    fit_communities,
    measure_answers,
    merge_sums,
    with_log_shares,
    with_theta,
)
from shp_miner.rules.delays import count_delays, log_shares, merge_delays
from shp_miner.rules.readers import MOST_READERS, likelier

from . import readers_reference as plain
from .build import T0, answer_row, chunk, frames, post_row
from .property import examples
from .test_rules import keys, mined, run

RULE = preset("per-reader")
FITTED = ("site", "community", "read_answers", "like_alpha", "like_beta")
PAIR = ("site", "post_id", "winner_id", "loser_id")


def forum(seed: int, posts: int = 12, communities: int = 2) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Threads of one to nine answers, with up to hundreds of readers each of whom some like it."""
    random = np.random.default_rng(seed)
    asked, answered = [], []
    for number in range(posts):
        where = {"post_id": f"p{number}", "community": f"c{number % communities}", "platform": "discourse"}
        asked.append(post_row(**where, score=int(random.integers(0, 9))))
        interest = float(np.exp(random.normal(3, 1.2)))
        for place in range(int(random.integers(1, 10))):
            reads = 1 + int(random.poisson(interest / (1 + place / 3)))
            likes = int(random.binomial(reads - 1, random.beta(0.6, 6)))
            counted = {"reads": None if random.random() < 0.1 else reads, "score": likes}
            if random.random() < 0.3:  # the score is what is left of both
                down = int(random.integers(0, 3))
                counted |= {"upvotes": likes, "downvotes": down, "score": likes - down}
            created = (T0 + 60 * (place + 1)) * 1_000_000
            answered.append(answer_row(f"{number}-{place}", **where, created_at=created, **counted))
    return frames(asked, answered)


def judged(posts: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    return judge_answers(answers, judge_posts(posts, RULE), RULE)


# -- the probability --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "beta", "most"),
    [(0.47, 55.0, 150), (0.5, 19.5, 3000), (1.0, 1.0, 60), (5.0, 100.0, 60_000), (2.0, 3.0, 20_000), (90.0, 10.0, 900)],
)
def test_the_probability_is_that_of_an_integral(alpha: float, beta: float, most: int) -> None:
    random = np.random.default_rng(most)
    n = random.integers(0, most, (2, 40))
    k = random.binomial(n, random.beta(alpha, beta, (2, 40)))
    k[1, ::2] = np.minimum(n[1], n[1] * k[0] // np.maximum(n[0], 1))[::2]  # rates that are alike are the hard ones
    a, b = alpha + k, beta + (n - k)
    rows = np.arange(40)
    found = likelier(a.ravel(), b.ravel(), rows, rows + 40)
    expected = [plain.greater(*laws) for laws in zip(a[0], b[0], a[1], b[1], strict=True)]
    assert found == pytest.approx(expected, abs=1e-9)
    assert likelier(a.ravel(), b.ravel(), rows + 40, rows) == pytest.approx(1 - found, abs=1e-12)


def test_equal_counts_are_a_coin_and_unknown_ones_are_unknown() -> None:
    found = likelier(np.array([1.5, 1.5, np.nan]), np.array([30.0, 30.0, np.nan]), np.array([0, 0]), np.array([1, 2]))
    assert found[0] == 0.5
    assert np.isnan(found[1])


# -- the fit ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_chances_are_those_of_the_formulas(seed: int) -> None:
    posts, answers = forum(seed, posts=20)
    expected = plain.chances(posts.to_pandas(), answers.to_pandas())
    assert len(expected) > 100
    rows = judged(posts, answers)
    found = with_theta(rows, calibrate(rows, RULE))
    place = {key: row for row, key in enumerate(found.select("site", "post_id", "answer_id").iter_rows())}
    a, b = (np.array([place[key[0], key[1], key[side]] for key in expected]) for side in (2, 3))
    chances = likelier(found["rate_alpha"].to_numpy(), found["rate_beta"].to_numpy(), a, b)
    assert chances == pytest.approx(list(expected.values()), abs=1e-9)
    assert keys(mined(posts, answers, RULE)) == plain.pairs(posts.to_pandas(), answers.to_pandas()).pairs


@given(st.data())
@examples(20)
def test_pairs_are_those_of_the_formulas_on_random_threads(data: st.DataObject) -> None:
    counts = st.tuples(st.sampled_from([None, 1, 2, 5, 40, 900]), st.integers(-1, 40), st.sampled_from([None, 0, 3]))
    platform = data.draw(st.sampled_from(["discourse", "reddit", "threads"]))
    rows = [
        answer_row(f"a{n}", platform=platform, reads=reads, score=score, upvotes=up, created_at=(T0 + n) * 1_000_000)
        for n, (reads, score, up) in enumerate(data.draw(st.lists(counts, max_size=7)))
    ]
    posts, answers = frames([post_row(platform=platform)], rows)
    assert keys(mined(posts, answers, RULE)) == plain.pairs(posts.to_pandas(), answers.to_pandas()).pairs


@given(st.lists(st.integers(0, 3), min_size=30, max_size=30), st.permutations(range(4)))
@examples(12)
def test_any_partition_gives_the_same_fit(parts: list[int], order: list[int]) -> None:
    posts, answers = forum(7, posts=30)
    whole = calibrate(judged(posts, answers), RULE).fits.select(FITTED)
    assert whole["like_alpha"].is_not_null().all()
    in_part = pl.Series("part", parts)
    names = posts.select("post_id").with_columns(in_part)
    measured = []
    for number in order:
        own = names.filter(pl.col("part") == number).select("post_id")
        measured.append(measure_answers(judged(posts.join(own, on="post_id"), answers.join(own, on="post_id"))))
    shares = log_shares(merge_delays([count_delays(part) for part in measured]))
    fits = fit_communities(merge_sums([add_up(with_log_shares(part, shares)) for part in measured]))
    assert fits.select(whole.columns).equals(whole)


def test_a_community_without_readers_has_no_prior_and_a_small_one_nearly_the_usual() -> None:
    def prior(*rows: dict[str, Any]) -> tuple[Any, ...]:
        posts, answers = frames([post_row()], list(rows))
        return calibrate(judged(posts, answers), RULE).fits.select("read_answers", "like_alpha", "like_beta").row(0)

    assert prior(answer_row("a")) == (0, None, None)
    count, alpha, beta = prior(answer_row("a", reads=41, score=2), answer_row("b"))
    assert count == 1
    assert (alpha, beta) == (pytest.approx(0.5, rel=0.2), pytest.approx(19.5, rel=0.2))


# -- the pairs --------------------------------------------------------------------------------------------------------


def test_a_rate_wins_over_more_likes_and_missing_readers_are_counted() -> None:
    rows = [
        answer_row("seen", reads=301, score=9),
        answer_row("liked", reads=21, score=8),
        answer_row("unread", score=99),
    ]
    found, tally = run(RULE, rows, platform="discourse")
    assert found == {("liked", "seen")}
    assert tally.dropped == {("pair", "no_readers"): 2}


def test_the_authors_own_read_and_like_do_not_count() -> None:
    # On Reddit the score starts with the author's own vote: nobody else has read or liked "a".
    one = answer_row("a", reads=1, score=1)
    other = answer_row("b", reads=31, score=7)
    posts, answers = frames([post_row()], [one, other])
    rows = with_theta(judged(posts, answers), calibrate(judged(posts, answers), RULE)).sort("answer_id")
    fits = calibrate(judged(posts, answers), RULE).fits
    assert (rows["rate_alpha"] - fits["like_alpha"][0]).to_list() == pytest.approx([0, 6])
    assert (rows["rate_beta"] - fits["like_beta"][0]).to_list() == pytest.approx([0, 24])


def test_far_more_readers_than_are_counted_keep_their_share() -> None:
    rows = [answer_row("a", reads=MOST_READERS * 10 + 1, score=101), answer_row("b", reads=1001, score=60)]
    posts, answers = frames([post_row(platform="threads")], [{**row, "platform": "threads"} for row in rows])
    found = measure_answers(judged(posts, answers)).sort("readers")
    assert found.select("likes", "readers").rows() == [(60, 1000), (10, MOST_READERS)]


def test_the_confidence_of_every_rule_is_by_readers_where_they_are_known() -> None:
    posts, answers = forum(3, posts=30)
    expected = plain.chances(posts.to_pandas(), answers.to_pandas())

    def confidences(name: str, answers: pl.DataFrame) -> dict[Any, float]:
        table = make_pairs(posts.to_arrow().cast(POST), answers.to_arrow().cast(ANSWER), name)
        frame = pl.DataFrame(table)
        return dict(zip(frame.select(PAIR).iter_rows(), frame["confidence"], strict=True))

    unread = confidences("votes", answers.with_columns(reads=pl.lit(None, pl.Int64)))
    counted = confidences("votes", answers)
    assert counted.keys() == unread.keys()
    for key, confidence in counted.items():
        assert confidence == pytest.approx(expected.get(key, unread[key]), abs=1e-6)
    assert 0 < sum(key in expected for key in counted) < len(counted)


# -- exports ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.append(of_forum(11, 40))
    return made


def of_forum(seed: int, posts: int, prefix: str = "") -> Any:
    def rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
        times = pl.col(pl.Datetime).to_physical()
        named = frame.with_columns(times, post_id=prefix + pl.col("post_id"), body=pl.lit("Words."))
        return named.drop("thread_hash", "content_hash").to_dicts()

    return chunk(*map(rows, forum(seed, posts, communities=1)))


def test_an_export_has_the_prior_and_keeps_it_until_it_drifts(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = export_dataset(store, out, rule="per-reader")
    assert load(out).num_rows == sum(result.pairs.values()) > 20
    (told,) = json.loads((out / "manifest.json").read_text())["calibration"]
    assert told["read_answers"] > 100
    assert told["like_alpha"] / (told["like_alpha"] + told["like_beta"]) == pytest.approx(0.6 / 6.6, abs=0.03)
    before = load(out).to_polars()
    store.append(of_forum(12, 1, "new-"))
    result = export_dataset(store, out, rule="per-reader")
    (kept,) = json.loads((out / "manifest.json").read_text())["calibration"]
    assert not result.made_anew
    assert (kept["like_alpha"], kept["like_beta"]) == (told["like_alpha"], told["like_beta"])
    rows = load(out).to_polars()
    assert rows.join(before, on=before.columns, how="semi", nulls_equal=True).height == before.height
    export_dataset(store, out, rule="per-reader", refit=True)
    (new,) = json.loads((out / "manifest.json").read_text())["calibration"]
    assert new["like_alpha"] != told["like_alpha"]


def test_a_store_without_readers_says_what_is_missing(tmp_path: Path) -> None:
    made = Store(tmp_path / "store")
    rows = [answer_row(f"a{n}", score=5 + n, created_at=(T0 + n) * 1_000_000) for n in range(4)]
    made.append(chunk([post_row()], rows))
    with pytest.raises(NoPairs, match="no readers") as caught:
        export_dataset(made, tmp_path / "out", rule="per-reader")
    assert "--rule shp" in caught.value.hint


def test_a_prior_that_moves_or_comes_is_fitted_anew() -> None:
    rows = judged(*forum(5, 30, communities=1))
    kept = calibrate(rows, RULE)

    def moved(alpha: float | None, beta: float | None) -> Calibration:
        changed = {"like_alpha": pl.lit(alpha, pl.Float64), "like_beta": pl.lit(beta, pl.Float64)}
        return Calibration(kept.fits.with_columns(**changed), kept.shares)

    def refit(new: Calibration, old: Calibration) -> bool:
        return bool(keep_fits(new, old)[1]["refit"].item())

    a, b = kept.fits["like_alpha"][0], kept.fits["like_beta"][0]
    assert not refit(moved(a, b), kept)
    assert not refit(moved(a * (1 + DRIFT / 2), b * (1 + DRIFT / 2)), kept), "the same mean, worth a little more"
    assert refit(moved(a * (1 + DRIFT * 2), b * (1 + DRIFT * 2)), kept)
    assert refit(moved(a * 1.2, b), kept)
    assert refit(kept, moved(None, None))
    assert refit(moved(None, None), kept)
    assert not refit(moved(None, None), moved(None, None))
    # A manifest of an earlier version has no prior.
    told = fits_to_builtins(kept)
    for fit in told:
        del fit["like_alpha"], fit["like_beta"], fit["read_answers"]
    earlier = fits_from_builtins(json.loads(json.dumps(told)))
    assert earlier is not None
    assert refit(kept, earlier)


@pytest.mark.slow  # plain Python takes most of a minute
def test_real_topics_come_out_as_by_the_formulas(shared_data: Path, tmp_path: Path) -> None:
    topics = shared_data / "discourse" / "urho3d_topics.ndjson.zst"
    import_dump("discourse-json", [topics], tmp_path / "store", site="urho3d.example")
    posts, answers = (
        frame.with_columns(observed_at=pl.col("created_at") + pl.duration(days=900))
        for frame in (Store(tmp_path / "store").posts(), Store(tmp_path / "store").answers())
    )
    made = make_pairs(posts, answers, "per-reader")
    expected = plain.pairs(posts.to_pandas(), answers.to_pandas()).pairs
    assert set(zip(*(made[name].to_pylist() for name in PAIR), strict=True)) == expected
    assert len(expected) == 1570
