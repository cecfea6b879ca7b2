"""Votes as comparisons: against the formulas one pair at a time, merged from any partition, and in exports."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner import make_pairs, preset
from shp_miner.clean.eligible import judge_answers, judge_posts
from shp_miner.rules import PRESETS
from shp_miner.rules.calibrated import calibrate, measure_answers, with_log_shares
from shp_miner.rules.comparisons import (
    RIDGE,
    SITE_RIDGE,
    Comparisons,
    compare_answers,
    evaluate,
    fit_slopes,
    merge_evaluations,
)
from shp_miner.rules.delays import COMMUNITY, count_delays, log_shares, merge_delays
from shp_miner.rules.newton import SLOPES

from . import comparisons_reference as plain
from .build import T0, answer_row, frames, post_row
from .property import examples
from .test_calibrated import DAY, forum, keys, made

COMPARISONS = preset("comparisons")


def judged(posts: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    return judge_answers(answers, judge_posts(posts, COMPARISONS), COMPARISONS)


def crowded(seed: int, sizes: tuple[int, ...]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Threads of one community with so many answers each, some of them with equal or negative votes."""
    random = np.random.default_rng(seed)
    rows = [
        answer_row(
            f"a{number}",
            post_id=f"p{post}",
            created_at=int((T0 + random.integers(1, DAY)) * 1e6),
            score=int(random.integers(-1, 60)),
        )
        for post, size in enumerate(sizes)
        for number in range(size)
    ]
    return frames([post_row(post_id=f"p{post}") for post in range(len(sizes))], rows)


# -- the formulas ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_slopes_and_columns_are_those_of_the_formulas(seed: int) -> None:
    posts, answers = forum(seed, posts=30)
    expected = plain.fitted(posts.to_pandas(), answers.to_pandas(), RIDGE, SITE_RIDGE)
    fits = calibrate(judged(posts, answers), COMPARISONS).fits
    for fit in fits.iter_rows(named=True):
        of = expected[fit["site"], fit["community"]]
        assert [fit[name] for name in SLOPES] == pytest.approx([*of.soft, *of.hard], abs=1e-9)
        assert fit["pairs"] == len(of.columns)
    columns = {pair: values for of in expected.values() for pair, values in of.columns.items()}
    found = made(posts, answers, rule="comparisons")
    assert set(keys(found)) == set(columns)
    for key, *values in zip(keys(found), *found.select("target", "weight", "attention"), strict=True):
        assert values[:2] == pytest.approx(columns[key][:2], abs=1e-9)
        # An export keeps six decimals of what depends on logarithms.
        assert values[2] == pytest.approx(columns[key][2], abs=0.5e-6 + 2e-9)


def test_every_rule_has_the_same_columns_for_the_same_pair() -> None:
    posts, answers = forum(1, posts=40)
    columns = ["target", "weight", "attention"]
    known = dict(
        zip(keys(found := made(posts, answers, rule="comparisons")), found.select(columns).rows(), strict=True)
    )
    for name in PRESETS:
        pairs = made(posts, answers, rule=name, min_confidence=None)
        for key, row in zip(keys(pairs), pairs.select(columns).rows(), strict=True):
            if key in known:
                assert row == known[key]
            else:  # votes below zero are no count of trials
                assert row[0] is None
                assert row[1] is None
                assert row[2] is not None


def test_a_step_that_lets_the_loss_grow_is_halved() -> None:
    # Every pair is won by the answer with the larger x; a full step from the prior overshoots far.
    random = np.random.default_rng(0)
    d = np.abs(random.normal(0, 3, 400)) + 4
    measured = pl.DataFrame(
        {
            "site": "s",
            "community": "c",
            "thread": np.repeat(np.arange(400), 2),
            "votes": np.tile([9, 1], 400),
            "log_rank": np.stack([d, np.zeros(400)], axis=1).ravel(),
            "log_share": np.zeros(800),
        }
    )
    pairs = Comparisons(np.arange(0, 800, 2), np.arange(1, 800, 2))
    passes: list[float] = []

    def evaluated(slopes: pl.DataFrame) -> pl.DataFrame:
        passes.append(slopes["attention_rank"].item())
        return evaluate(measured, pairs, slopes)

    found = fit_slopes(measured, evaluated)
    trials = [((float(x), 0.0), 9.5 / 11, 10 / 1.9) for x in d]
    expected = plain.newton(trials, RIDGE, plain.newton(trials, SITE_RIDGE))
    assert found["attention_rank"].item() == pytest.approx(expected[0], abs=1e-9)
    assert len(passes) < 20


def test_crowded_posts_are_sampled_as_the_preset_samples() -> None:
    posts, answers = crowded(3, (70, 30, 15, 2, 1))
    rows = judged(posts, answers)
    measured = measure_answers(rows)
    pairs = compare_answers(rows, measured, COMPARISONS)
    ids = rows[measured["row"]].select("site", "post_id", "answer_id")
    won, lost = (ids[side].rows() for side in (pairs.winner, pairs.loser))
    fitted_on = [(*winner, loser[2]) for winner, loser in zip(won, lost, strict=True)]
    assert sorted(fitted_on) == sorted(keys(made(posts, answers, rule="comparisons")))
    counts = pl.Series([post for _, post, *_ in fitted_on]).value_counts().rows()
    assert {post: count for post, count in counts if count >= 200} == {"p0": 200, "p1": 200}


def test_pairs_whose_scores_were_read_apart_are_not_compared() -> None:
    early = {"observed_at": (T0 + 2 * DAY) * 1_000_000}
    posts, answers = frames(
        [post_row()], [answer_row("a", score=9, **early), answer_row("b", score=5), answer_row("c", score=2)]
    )
    rows = judged(posts, answers)
    assert len(compare_answers(rows, measure_answers(rows), COMPARISONS).winner) == 1
    assert calibrate(rows, COMPARISONS).fits["pairs"].item() == 1


def test_a_community_without_pairs_has_the_slopes_of_its_site() -> None:
    rows = judged(*frames([post_row()], [answer_row("a")]))
    fit = calibrate(rows, COMPARISONS).fits.row(0, named=True)
    assert [fit[name] for name in ("pairs", *SLOPES)] == [0, -0.4, 0.4, -0.4, 0.4]
    posts, answers = forum(7, communities=1)
    alone, of_site = {"post_id": "alone", "community": "lonely"}, {"post_id": "away", "site": "lemmy.example"}
    more = frames([post_row(**alone), post_row(**of_site)], [answer_row("x", **alone), answer_row("y", **of_site)])
    rows = judged(pl.concat([posts, more[0]]), pl.concat([answers, more[1]]))
    found = {
        fit["community"]: fit for fit in calibrate(rows, COMPARISONS).fits.to_dicts() if fit["site"] != "lemmy.example"
    }
    whole = plain.fitted(posts.to_pandas(), answers.to_pandas(), 1e12, SITE_RIDGE)["reddit.com", "c0"]
    assert [found["lonely"][name] for name in SLOPES] == pytest.approx([*whole.soft, *whole.hard], abs=1e-8)
    assert found["c0"]["attention_rank"] != found["lonely"]["attention_rank"] != -0.4
    nobody = calibrate(rows.clear(), COMPARISONS).fits
    assert nobody.is_empty()


def test_make_pairs_gives_the_columns() -> None:
    posts, answers = forum(2, posts=20)
    table = make_pairs(posts.to_arrow(), answers.to_arrow(), "comparisons")
    assert {"target", "weight", "attention"} <= set(table.schema.names)
    assert min(table["target"].to_pylist()) > 0.5


# -- merging ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 50), st.integers(1, 6), st.randoms(use_true_random=False))
@examples(12)
def test_any_partition_of_the_threads_gives_the_same_slopes(seed: int, parts: int, random: Any) -> None:
    rows = judged(*forum(seed))
    whole = calibrate(rows, COMPARISONS).fits.filter(pl.col("pairs") > 0)
    place = {post: random.randrange(parts) for post in rows["post_id"].unique().sort()}
    ranges = [rows.filter(pl.col("post_id").replace_strict(place) == part) for part in range(parts)]
    random.shuffle(ranges)
    measured = [measure_answers(part) for part in ranges]
    shares = log_shares(merge_delays([count_delays(part) for part in measured]))
    pairs = [compare_answers(part, own, COMPARISONS) for part, own in zip(ranges, measured, strict=True)]
    shared = [with_log_shares(part, shares) for part in measured]

    def evaluated(slopes: pl.DataFrame) -> pl.DataFrame:
        return merge_evaluations([evaluate(own, of, slopes) for own, of in zip(shared, pairs, strict=True)])

    found = fit_slopes(rows, evaluated)
    assert found.equals(whole.select(found.columns))  # to the last bit


def test_blocks_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = judged(*crowded(5, (40, 12, 9, 30, 3, 2, 7)))
    whole = calibrate(rows, COMPARISONS).fits
    for block in (1, 7, 100):
        monkeypatch.setattr("shp_miner.rules.comparisons._BLOCK", block)
        assert calibrate(rows, COMPARISONS).fits.equals(whole)
    assert whole.select(COMMUNITY).height == 1


def test_a_sample_by_weight_takes_a_pair_as_often_as_it_weighs_and_is_stable() -> None:
    posts, answers = crowded(3, (12,) * 120)
    every, drawn = (
        pl.from_arrow(make_pairs(posts, answers, preset("comparisons", max_pairs_per_post=None, **sample)))
        for sample in ({}, {"sample_by_weight": True})
    )
    assert isinstance(every, pl.DataFrame)
    assert isinstance(drawn, pl.DataFrame)
    assert drawn.join(every, on=every.columns, how="semi", nulls_equal=True).height == drawn.height, "as they were"
    for low, high in ((0, 5), (5, 8), (8, 10)):
        among = (pl.col("weight") > low) & (pl.col("weight") <= high)
        expected = every.filter(among)["weight"].sum() / 10
        assert drawn.filter(among).height == pytest.approx(expected, abs=4 * expected**0.5), (low, high)
    fewer = posts.filter(pl.col("post_id") < "p2"), answers.filter(pl.col("post_id") < "p2")
    rule = preset("comparisons", max_pairs_per_post=None, sample_by_weight=True)
    own = pl.from_arrow(make_pairs(*fewer, rule))
    assert isinstance(own, pl.DataFrame)
    assert own["pair_hash"].to_list() == drawn.filter(pl.col("post_id") < "p2")["pair_hash"].to_list()
    assert preset("comparisons", sample_by_weight=True).name == "comparisons with sample_by_weight"
