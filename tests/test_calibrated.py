"""Confidence: against the formulas one pair at a time, merged from any partition, and as it reaches exports."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner import Store, UsageError, export_dataset, make_pairs, preset
from shp_miner.clean.eligible import judge_answers, judge_posts
from shp_miner.mining.kept_fits import fits_from_builtins
from shp_miner.model import ANSWER, PAIR, POST
from shp_miner.platforms.rows import Chunk
from shp_miner.rules.calibrated import (
    add_up,
    calibrate,
    fit_communities,
    measure_answers,
    merge_sums,
    with_log_shares,
    with_theta,
)
from shp_miner.rules.delays import CELL_STARTS_US, count_delays, delay_cells, log_shares, merge_delays
from shp_miner.rules.pairs import ANSWER_KEY
from shp_miner.rules.presets import BY_VOTES

from . import calibrated_reference as plain
from .build import T0, answer_row, frames, post_row, tree
from .property import examples
from .test_rules import threads

DAY = 86_400
CALIBRATED = preset("calibrated")
EXTENDED = "extended"


def forum(seed: int, posts: int = 12, communities: int = 2) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Threads of one to fourteen answers with scores of either sign, arriving within seconds or years."""
    random = np.random.default_rng(seed)
    asked, answered = [], []
    for number in range(posts):
        where = {"post_id": f"p{number}", "community": f"c{number % communities}"}
        asked.append(post_row(**where, score=int(random.integers(-2, 40))))
        for answer in range(int(random.integers(1, 15))):
            delay_s = float(np.exp(random.normal(8, 3)))
            created = int((T0 + min(delay_s, 9 * DAY)) * 1e6)
            score = int(np.round(np.exp(random.normal(1, 1.5)) * random.choice([1, 1, 1, -1])))
            answered.append(answer_row(f"{number}-{answer}", **where, created_at=created, score=score))
    return frames(asked, answered)


def made(posts: pl.DataFrame, answers: pl.DataFrame, **rule: Any) -> pl.DataFrame:
    name = rule.pop("rule", "calibrated")
    table = make_pairs(posts.to_arrow().cast(POST), answers.to_arrow().cast(ANSWER), preset(name, **rule))
    assert table.schema == PAIR
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def judged(posts: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    return judge_answers(answers, judge_posts(posts, CALIBRATED), CALIBRATED)


def keys(pairs: pl.DataFrame) -> list[tuple[str, str, str, str]]:
    return list(pairs.select("site", "post_id", "winner_id", "loser_id").iter_rows())


# -- the formulas ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_confidence_is_that_of_the_formulas(seed: int) -> None:
    posts, answers = forum(seed)
    expected = plain.confidences(posts.to_pandas(), answers.to_pandas())
    for name in BY_VOTES:
        found = made(posts, answers, rule=name, min_confidence=None)
        assert found.height or name == "shp-strict"
        for key, confidence in zip(keys(found), found["confidence"], strict=True):
            assert confidence == pytest.approx(expected[key], abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_labels_are_those_of_the_formulas(seed: int) -> None:
    posts, answers = forum(seed, posts=30)
    expected = plain.pairs(posts.to_pandas(), answers.to_pandas())
    assert expected.pairs
    assert set(keys(made(posts, answers))) == expected.pairs


@given(threads())
@examples(24)
def test_labels_are_those_of_the_formulas_on_random_threads(rows: tuple[list[Any], list[Any]]) -> None:
    posts, answers = frames(*rows)
    expected = plain.pairs(posts.to_pandas(), answers.to_pandas(), p_min=0.6)
    assert set(keys(made(posts, answers, min_confidence=0.6))) == expected.pairs


def test_confidence_does_not_depend_on_the_rule_that_made_the_pair() -> None:
    posts, answers = forum(1, posts=40)
    of = {
        name: dict(zip(keys(pairs), pairs["confidence"], strict=True))
        for name in ("shp", "votes", "shp-strict")
        if (pairs := made(posts, answers, rule=name)).height
    }
    for rule, other in itertools.combinations(of, 2):
        for key in of[rule].keys() & of[other].keys():
            assert of[rule][key] == of[other][key]
    assert of["shp"].keys() & of["votes"].keys()


def test_tier_is_strict_where_shp_would_have_the_pair_and_it_is_sure() -> None:
    posts, answers = forum(2, posts=60)
    shp = set(keys(made(posts, answers, rule="shp")))
    found = made(posts, answers, min_confidence=0.55)
    strict = {
        key
        for key, confidence in zip(keys(found), found["confidence"], strict=True)
        if key in shp and confidence >= 0.8
    }
    assert strict
    assert set(keys(found.filter(tier="strict"))) == strict
    assert set(found["tier"]) == {"strict", EXTENDED}


def test_an_answer_nobody_saw_is_no_evidence() -> None:
    # Ten early answers with many votes, a late one without any: that it has none says little, and P says so.
    scores = [40] * 10
    rows = [answer_row(f"a{i}", score=s, created_at=(T0 + 60 * i) * 1_000_000) for i, s in enumerate(scores)]
    rows += [answer_row("late", score=1, created_at=(T0 + 5 * DAY) * 1_000_000)]
    posts, answers = frames([post_row()], rows)
    late = with_theta(judged(posts, answers), calibrate(judged(posts, answers), CALIBRATED)).filter(answer_id="late")
    early = with_theta(judged(posts, answers), calibrate(judged(posts, answers), CALIBRATED)).filter(answer_id="a0")
    unadjusted = np.log(40) - np.log(1)
    assert early["theta"].item() - late["theta"].item() < unadjusted


@pytest.mark.parametrize("value", [0.5, 1, 0.2, -1, 1.5])
def test_a_confidence_that_means_nothing_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match="min_confidence"):
        preset("shp", min_confidence=value)


def test_min_confidence_thresholds_any_rule() -> None:
    posts, answers = forum(3, posts=40)
    everything = made(posts, answers, rule="votes")
    some = made(posts, answers, rule="votes", min_confidence=0.7)
    assert 0 < some.height < everything.height
    assert set(keys(some)) == set(keys(everything.filter(pl.col("confidence") >= 0.7)))


# -- merging ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 50), st.integers(1, 6), st.randoms(use_true_random=False))
@examples(12)
def test_any_partition_of_the_threads_gives_the_same_fit(seed: int, parts: int, random: Any) -> None:
    posts, answers = forum(seed)
    rows = judged(posts, answers)
    whole = calibrate(rows, CALIBRATED)
    place = {post: random.randrange(parts) for post in posts["post_id"]}
    pieces = [
        measure_answers(rows.filter(pl.col("post_id").is_in([post for post, where in place.items() if where == part])))
        for part in range(parts)
    ]
    random.shuffle(pieces)
    shares = log_shares(merge_delays([count_delays(piece) for piece in pieces]))
    sums = merge_sums([add_up(with_log_shares(piece, shares)) for piece in pieces])
    assert shares.equals(whole.shares)
    fits = fit_communities(sums)
    assert fits.equals(whole.fits.select(fits.columns))  # to the last bit


def test_delays_have_cells_of_one_doubling_sixteenth() -> None:
    seconds = np.array([-5, 0, 35, 36, 37, 72, 36 * 2**10, 3_000_000_000])
    cells = delay_cells((seconds * 1_000_000).astype(np.int64))
    assert list(cells[:4]) == [0, 0, 0, 0]
    assert cells[5] == 16
    assert cells[6] == 160
    assert cells[7] < len(CELL_STARTS_US)


def test_shares_are_middle_ranks() -> None:
    counts = pl.DataFrame(
        {"site": "s", "community": ["a", "a", "b"], "cell": [3, 1, 7], "answers": [2, 6, 1]},
        schema_overrides={"cell": pl.Int16, "answers": pl.Int64},
    )
    shares = log_shares(counts)
    # Ranks 1 to 6 lie in the first cell: the middle one is 3.5, and 1 - (3.5 - .5) / 8 = 5/8 arrive later.
    assert np.exp(shares["log_share"]).round(12).to_list() == [5 / 8, 1 / 8, 1 / 2]


# -- in exports ------------------------------------------------------------------------------------------------------


def stored(tmp_path: Path, posts: pl.DataFrame, answers: pl.DataFrame) -> Store:
    store = Store(tmp_path / "store")
    store.append(Chunk(posts.to_arrow().cast(POST), answers.to_arrow().cast(ANSWER)))
    return store


def cut(confidence: float) -> float:
    return round(confidence * 1_000_000) // 1000 / 1000


def test_exports_have_the_same_confidences_whatever_the_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    posts, answers = forum(4, posts=60)
    store = stored(tmp_path, posts, answers)
    results = {}
    for rows in (1_000_000, 40):
        monkeypatch.setattr("shp_miner.export.dataset.ROWS_PER_RANGE", rows)
        monkeypatch.setattr("shp_miner.export.dataset._LEAST_ROWS", 1)
        for old in (store.path / "fits").glob("*"):
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
        out = tmp_path / str(rows)
        export_dataset(store, out, rule="calibrated")
        results[rows] = tree(out)
    assert results[40] == results[1_000_000]
    expected = made(posts, answers)
    written = pl.read_parquet(tmp_path / "40" / "**" / "*.parquet")
    assert sorted(written["confidence"]) == sorted(expected["confidence"].round(6).map_elements(cut, pl.Float64))
    assert sorted(written["tier"]) == sorted(expected["tier"])
    manifest = json.loads((tmp_path / "40" / "manifest.json").read_text())
    found = calibrate(judged(posts, answers), CALIBRATED)
    assert [fit | {"log_shares": ""} for fit in manifest["calibration"]] == [
        fit | {"log_shares": ""} for fit in found.fits.to_dicts()
    ]
    told = fits_from_builtins(manifest["calibration"])
    assert told is not None
    assert told.fits.equals(found.fits)
    assert told.shares.equals(found.shares)


def test_an_earlier_version_has_the_values_that_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    posts, answers = forum(5, posts=60)
    early = posts["post_id"].to_list()[:30]
    store = stored(
        tmp_path, posts.filter(pl.col("post_id").is_in(early)), answers.filter(pl.col("post_id").is_in(early))
    )
    version = export_dataset(store, tmp_path / "then", rule="calibrated").version
    stored(tmp_path, posts, answers)
    export_dataset(store, tmp_path / "now", rule="calibrated")

    def nothing_is_fitted(*_: Any) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr("shp_miner.mining.calibrate.measure_range", nothing_is_fitted)
    export_dataset(store, tmp_path / "again", rule="calibrated", as_of=version)
    then, again, now = ((tmp_path / name / "manifest.json").read_bytes() for name in ("then", "again", "now"))
    assert then == again != now
    # Floors, caps and orders choose among pairs: the fit is the same, and found again.
    export_dataset(store, tmp_path / "votes", rule="votes", as_of=version)


def test_a_store_that_cannot_be_written_to_is_exported_without_remembering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stored(tmp_path, *forum(6, posts=40))
    (store.path / "fits").write_text("in the way")
    export_dataset(store, tmp_path / "out", rule="calibrated")
    assert (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("name", ["fits.parquet", "shares.parquet"])
@pytest.mark.parametrize("left", [0, 100, None], ids=["empty", "cut", "gone"])
def test_remembered_values_that_the_disk_has_damaged_are_fitted_again(
    name: str, left: int | None, tmp_path: Path
) -> None:
    store = stored(tmp_path, *forum(6, posts=40))
    export_dataset(store, tmp_path / "before", rule="calibrated")
    [kept] = (store.path / "fits").iterdir()
    whole = (kept / name).read_bytes()
    if left is None:
        (kept / name).unlink()
    else:
        (kept / name).write_bytes(whole[:left])
    export_dataset(store, tmp_path / "after", rule="calibrated")
    before, after = ((tmp_path / when / "manifest.json").read_bytes() for when in ("before", "after"))
    assert before == after
    assert [path.name for path in (store.path / "fits").iterdir()] == [kept.name]
    assert (kept / name).read_bytes() == whole


# -- scores at an age ------------------------------------------------------------------------------------------------


def observations(*scores: tuple[str, float, int]) -> pl.DataFrame:
    """(answer, hours after writing, score)."""
    rows = [
        answer_row(name, created_at=T0 * 1_000_000, observed_at=int((T0 + hours * 3600) * 1e6), score=score)
        for name, hours, score in scores
    ]
    return frames([], rows)[1]


def test_scores_are_those_read_nearest_to_the_age() -> None:
    seen = observations(
        ("a", 5, 3), ("a", 7, 4), ("a", 900, 50), ("b", 6, 9), ("b", 900, 10), ("c", 2, 1), ("c", 900, 7)
    )
    newest = seen.filter(pl.col("observed_at") == seen["observed_at"].max())
    posts, _ = frames([post_row()], [])
    found = make_pairs(
        posts.to_arrow().cast(POST),
        newest.to_arrow().cast(ANSWER),
        preset("votes", observe_at_s=6 * 3600),
        observations=seen.select(*ANSWER_KEY, "observed_at", "score").to_arrow(),
    )
    # Five and seven hours are as near; the earlier is taken. Nothing of c was read near six hours.
    assert found.select(["winner_id", "winner_score", "loser_id", "loser_score"]).to_pylist() == [
        {"winner_id": "b", "winner_score": 9, "loser_id": "a", "loser_score": 3}
    ]


def test_scores_at_an_age_need_observations() -> None:
    posts, answers = forum(7)
    with pytest.raises(UsageError, match="observations"):
        made(posts, answers, observe_at_s=3600)


def test_exports_take_scores_at_an_age_from_the_store(tmp_path: Path) -> None:
    first = observations(("a", 30, 9), ("b", 25, 4))
    later = observations(("a", 900, 10), ("b", 900, 400))
    posts, _ = frames([post_row()], [])
    store = stored(tmp_path, posts, first)
    stored(tmp_path, posts.clear(), later)
    export_dataset(store, tmp_path / "newest", rule="votes", validation=0, test=0)
    result = export_dataset(store, tmp_path / "day", rule=preset("votes", observe_at_s=DAY), validation=0, test=0)
    assert result.pairs == {"asktest": 1}
    better = {}
    for name in ("newest", "day"):
        row = pl.read_parquet(tmp_path / name / "**" / "*.parquet").row(0, named=True)
        better[name] = (row[f"answer{row['preferred']}_id"], sorted((row["score1"], row["score2"])))
    assert better == {"newest": ("b", [10, 400]), "day": ("a", [4, 9])}
