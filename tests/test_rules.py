"""The rules against a slow reference, on random threads and on the rows that SHP's authors printed."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from shp_miner import UsageError, preset
from shp_miner.clean.eligible import judge_answers, judge_posts
from shp_miner.rules import PRESETS, PROFILES
from shp_miner.rules.calibrated import calibrate, with_theta
from shp_miner.rules.eligibility import REASON
from shp_miner.rules.hashing import answer_hashes, pair_hashes, thread_splits, winner_is_first
from shp_miner.rules.pairs import Pairs, form_pairs, sample_pairs
from shp_miner.rules.presets import SUMMARIES, Rule, named_rule, rule_summary
from shp_miner.tally import Tally

from . import reference
from .build import READ, T0, answer_row, frames, post_row
from .property import examples

DAY = 86_400


def mined(posts: pl.DataFrame, answers: pl.DataFrame, rule: Rule, tally: Tally | None = None) -> Pairs:
    tally = tally if tally is not None else Tally()
    judged_posts = judge_posts(posts, rule)
    judged = judge_answers(answers, judged_posts, rule)
    for frame in (judged_posts, judged):
        for reason in frame[REASON].drop_nulls():
            tally.drop("item", reason)
    eligible = with_theta(judged, calibrate(judged, rule)).filter(pl.col(REASON).is_null())
    return sample_pairs(form_pairs(eligible, rule, tally), rule, tally)


def keys(pairs: Pairs) -> set[tuple[str, str, str, str]]:
    winner, loser = pairs.answers[pairs.winner], pairs.answers[pairs.loser]
    return set(zip(winner["site"], winner["post_id"], winner["answer_id"], loser["answer_id"], strict=True))


def run(rule: Rule, answers: list[dict[str, Any]], **post: Any) -> tuple[set[tuple[str, str]], Tally]:
    """(winner, loser) of one thread's answers, and the counts."""
    tally = Tally()
    pairs = mined(*frames([post_row(**post)], answers), rule, tally)
    return {(winner, loser) for _, _, winner, loser in keys(pairs)}, tally


def reasons(tally: Tally) -> set[str]:
    return {reason for _, reason in tally.dropped}


# -- random threads ---------------------------------------------------------------------------------------------------

SITES = [
    ("reddit.com", "reddit"),
    ("lemmy.world", "lemmy"),
    ("beer.stackexchange.com", "stackexchange"),
    ("forum.example", "discourse"),
]


@st.composite
def items(draw: st.DrawFn) -> dict[str, Any]:
    """What posts and answers share. Small ranges, so that ties in time and in score are common."""
    created = T0 + draw(st.integers(0, 12)) * 1200
    age = draw(st.sampled_from([0, DAY - 1, DAY, 3 * DAY, 4 * DAY, 29 * DAY, 30 * DAY, 40 * DAY]))
    return {
        "created_at": created * 1_000_000,
        "observed_at": draw(st.sampled_from([None, *([(created + age) * 1_000_000] * 9)])),
        "state": draw(st.sampled_from(["live"] * 12 + ["deleted", "removed"])),
        "edited": draw(st.sampled_from([False] * 5 + [True])),
        "stickied": draw(st.sampled_from([False] * 9 + [True])),
        "author": draw(st.sampled_from(["ann", "bob", "cid", "dan", None])),
        "author_id": draw(st.sampled_from([None, None, "1", "2"])),
        "author_deleted": draw(st.sampled_from([False] * 9 + [True])),
        "author_role": draw(st.sampled_from(["member"] * 12 + ["moderator", "admin", "bot"])),
    }


@st.composite
def threads(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One to three threads. Post and answer ids are the same on every site."""
    posts, answers = [], []
    for site, platform in draw(st.lists(st.sampled_from(SITES), min_size=1, max_size=3, unique=True)):
        where = {"site": site, "platform": platform, "post_id": "1"}
        posts.append(
            post_row(
                **{**draw(items()), "edited": False, "state": "live", **where},
                score=draw(st.sampled_from([4, 5, 9, 10, 50])),
                title=draw(st.sampled_from(["Why?", "Why?", "Why?", "  "])),
                nsfw=draw(st.sampled_from([False] * 5 + [True])),
                is_text=draw(st.sampled_from([True] * 5 + [False])),
            )
        )
        many = draw(st.sampled_from([0, 0, 0, 51]))
        chosen = draw(st.sampled_from([{2}, {2}, {0}, {60}, {2, 3}]))
        times = st.sampled_from([None, *((T0 + minutes * 60) * 1_000_000 for minutes in (0, 40, 100, 241))])
        for number in range(draw(st.integers(0, 8)) + many):
            # A thread over the cap is made of plain answers: drawing each of their fields would teach nothing more.
            values = draw(items()) if number < 8 else {"created_at": (T0 + number % 7 * 60) * 1_000_000}
            score = draw(st.one_of(st.none(), st.integers(-3, 12))) if number < 8 else 2 + number % 5
            body_chars = draw(st.sampled_from([0, *[5] * 9])) if number < 8 else 5
            answers.append(
                answer_row(
                    str(number + 1),
                    **{**values, **where},
                    score=score,
                    accepted=number in chosen,
                    accepted_at=draw(times) if number in chosen else None,
                    by_post_author=number == 5,
                    body_chars=body_chars,
                )
            )
    return posts, answers


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in ("calibrated", "comparisons", "per-reader")])
@given(threads())
@examples(24)
def test_pairs_are_those_of_the_slow_reference(name: str, rows: tuple[list[Any], list[Any]]) -> None:
    posts, answers = frames(*rows)
    rule = preset(name, max_pairs_per_post=None)
    expected = reference.pairs(posts.to_pandas(), answers.to_pandas(), name)[name]
    assert keys(mined(posts, answers, rule)) == expected.pairs


@given(threads())
@examples(16)
def test_every_candidate_is_kept_or_counted_once(rows: tuple[list[Any], list[Any]]) -> None:
    posts, answers = frames(*rows)
    rule, tally = preset("shp-strict"), Tally()
    judged = judge_answers(answers, judge_posts(posts, rule), rule)
    eligible = with_theta(judged, calibrate(judged, rule)).filter(pl.col(REASON).is_null())
    sizes = eligible.group_by("site").len()["len"]
    kept = len(sample_pairs(form_pairs(eligible, rule, tally), rule, tally))
    dropped = sum(count for (kind, _), count in tally.dropped.items() if kind == "pair")
    assert kept + dropped == sum(n * (n - 1) // 2 for n in sizes)


def test_the_time_rules_are_disjoint_and_make_up_votes() -> None:
    rows = [answer_row(str(i), score=2 + i * 7 % 11, created_at=(T0 + i // 2) * 1_000_000) for i in range(30)]
    of = {name: run(preset(name), rows)[0] for name in ("shp", "older-winner", "votes")}
    assert min(map(len, of.values())) > 0
    assert not of["shp"] & of["older-winner"]
    assert of["shp"] | of["older-winner"] == of["votes"]


# -- the rows SHP's authors printed -----------------------------------------------------------------------------------

PRINTED = [
    {"post": "qt3nxl", "A": ("hkh25sc", 1636822112, 340), "B": ("hkh25lp", 1636822110, 166), "winner": "A"},
    {"post": "himc90", "A": ("fwhnqat", 1593535113, 52), "B": ("fwhp8d4", 1593535824, 54), "winner": "B"},
]


def printed_rows(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        answer_row(
            name,
            post_id=row["post"],
            score=score,
            created_at=time * 1_000_000,
            observed_at=(time + 60 * DAY) * 1_000_000,
        )
        for name, time, score in (row["A"], row["B"])
    ]


@pytest.mark.parametrize("row", PRINTED, ids=["qt3nxl", "himc90"])
def test_the_rule_gives_the_printed_winner(row: dict[str, Any]) -> None:
    loser = "B" if row["winner"] == "A" else "A"
    found, _ = run(preset("shp"), printed_rows(row), post_id=row["post"])
    assert found == {(row[row["winner"]][0], row[loser][0])}


@pytest.mark.parametrize("row", PRINTED, ids=["qt3nxl", "himc90"])
def test_rule_1_of_the_card_read_literally_is_not_what_the_data_are(row: dict[str, Any]) -> None:
    """The card's numbered rule ("no later than") loses both printed rows; the product must never follow it."""
    posts, answers = frames([post_row(post_id=row["post"])], printed_rows(row))
    literal = reference.pairs(posts.to_pandas(), answers.to_pandas(), "card-rule-1")["card-rule-1"].pairs
    assert literal == set()
    assert keys(mined(posts, answers, preset("shp"))) != literal


@pytest.mark.parametrize("row", PRINTED, ids=["qt3nxl", "himc90"])
def test_sides_and_split_of_the_printed_rows(row: dict[str, Any]) -> None:
    posts, answers = frames([post_row(post_id=row["post"])], printed_rows(row))
    pairs = mined(posts, answers, preset("shp"))
    first = winner_is_first(pairs.pair_hash, pairs.answer_hash[pairs.winner], pairs.answer_hash[pairs.loser], 0)
    assert first.tolist() == [row["winner"] == "A"]
    assert thread_splits(posts["thread_hash"].to_numpy(), 0.05, 0.05).tolist() == [0]


# -- each condition ---------------------------------------------------------------------------------------------------

TWO = [answer_row("a", score=3), answer_row("b", score=9, created_at=(T0 + 120) * 1_000_000)]


@pytest.mark.parametrize(
    ("post", "reason"),
    [
        ({"is_text": False}, "not_text"),
        ({"title": " \t"}, "no_title"),
        ({"state": "deleted"}, "deleted"),
        ({"state": "removed"}, "removed"),
        ({"state": "unreadable"}, "unreadable"),
        ({"author_deleted": True}, "author_deleted"),
        ({"author_role": "moderator"}, "author_moderator"),
        ({"nsfw": True}, "nsfw"),
        ({"edited": True}, "edited"),
        ({"body_chars": 100_001}, "too_long"),
        ({"score": None}, "score_unknown"),
        ({"score": 9}, "score_too_low"),
        ({"observed_at": None}, "score_age_unknown"),
        ({"observed_at": (T0 + DAY - 1) * 1_000_000}, "score_read_too_early"),
    ],
)
def test_a_post_is_dropped_for_its_reason(post: dict[str, Any], reason: str) -> None:
    found, tally = run(preset("shp"), TWO, **post)
    assert not found
    assert tally.dropped == {("item", reason): 1, ("item", "post_dropped"): 2}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"state": "deleted"}, "deleted"),
        ({"state": "removed"}, "removed"),
        ({"state": "unreadable"}, "unreadable"),
        ({"body_chars": 0}, "empty"),
        ({"body_chars": 100_001}, "too_long"),
        ({"author_deleted": True}, "author_deleted"),
        ({"author_role": "admin"}, "author_moderator"),
        ({"author_role": "bot"}, "author_bot"),
        ({"author": "asker"}, "author_is_asker"),
        ({"by_post_author": True}, "author_is_asker"),
        ({"stickied": True}, "stickied"),
        ({"score": None}, "score_unknown"),
        ({"score": 1}, "score_too_low"),
        ({"observed_at": None}, "score_age_unknown"),
        ({"observed_at": (T0 + 60 + DAY - 1) * 1_000_000}, "score_read_too_early"),
        ({"post_id": "elsewhere"}, "post_missing"),
    ],
)
def test_an_answer_is_dropped_for_its_reason(answer: dict[str, Any], reason: str) -> None:
    found, tally = run(preset("shp"), [{**TWO[0], **answer}, TWO[1]])
    assert not found
    assert tally.dropped == {("item", reason): 1}


def test_an_edited_answer_is_kept() -> None:
    assert run(preset("shp"), [{**TWO[0], "edited": True}, TWO[1]])[0] == {("b", "a")}


def test_only_the_fifty_highest_scored_answers_take_part() -> None:
    same = [answer_row(f"{i:02d}", score=5, created_at=(T0 + 60 + i) * 1_000_000) for i in range(50)]
    late_low = answer_row("zz", score=4, created_at=(T0 + 999) * 1_000_000)
    found, tally = run(preset("shp"), [*same, late_low])
    assert not found
    assert tally.dropped["item", "over_answer_cap"] == 1
    # Among equal scores the earlier stay: the 51st of the same score is the latest one.
    _, tally = run(preset("shp"), [*same, answer_row("aa", score=5, created_at=(T0 + 999) * 1_000_000)])
    assert tally.dropped["item", "over_answer_cap"] == 1


def test_scores_read_apart_are_compared_only_once_settled() -> None:
    def read(first_days: int, second_days: int) -> set[tuple[str, str]]:
        rows = [
            {**row, "observed_at": row["created_at"] + days * DAY * 1_000_000}
            for row, days in zip(TWO, (first_days, second_days), strict=True)
        ]
        return run(preset("shp"), rows)[0]

    assert read(3, 4)
    assert not read(3, 6)
    assert not read(29, 40)
    assert read(31, 90)


@pytest.mark.parametrize("role", ["member", "moderator", "admin", "bot"])
@pytest.mark.parametrize("platform", PROFILES)
def test_only_what_is_spoken_officially_is_left_out(platform: str, role: str) -> None:
    rows = [{**row, "platform": platform} for row in TWO]
    high = {"platform": platform, "score": 100}
    ranks = platform in ("discourse", "nodebb")
    answered, _ = run(preset("shp"), [rows[0], {**rows[1], "author_role": role}], **high)
    assert bool(answered) == (role == "member" or (ranks and role != "bot"))
    asked, tally = run(preset("shp"), rows, author_role=role, **high)
    official = role == "bot" if ranks else role in ("moderator", "admin")
    assert bool(asked) == (not official)
    assert ("author_bot" if role == "bot" else "author_moderator") in reasons(tally) or not official
    strict = preset("shp", drop_staff=True)
    assert strict.name == "shp", "it says who takes part, and not who wins"
    assert bool(run(strict, [rows[0], {**rows[1], "author_role": role}], **high)[0]) == (role == "member")
    assert not run(strict, rows, author_role="admin", **high)[0]


@pytest.mark.parametrize(("platform", "profile"), PROFILES.items())
def test_floors_follow_the_platform(platform: str, profile: Any) -> None:
    low = {"platform": platform, "score": profile.min_post_score}
    rows = [{**row, "platform": platform, "score": profile.min_answer_score + i} for i, row in enumerate(TWO)]
    assert run(preset("shp"), rows, **low)[0] == {("b", "a")}
    assert not run(preset("shp"), rows, **{**low, "score": profile.min_post_score - 1})[0]
    assert not run(preset("shp"), [{**rows[0], "score": profile.min_answer_score - 1}, rows[1]], **low)[0]


def test_log_votes_puts_an_accepted_answer_above_its_votes() -> None:
    rows = [answer_row("a", score=9, accepted=False), answer_row("b", score=8, accepted=True)]
    assert run(preset("log-votes"), rows)[0] == {("b", "a")}


def test_log_votes_of_the_largest_score_are_the_most() -> None:
    rows = [answer_row("a", score=9), answer_row("b", platform="stackexchange", score=2**53)]
    assert run(preset("log-votes"), rows)[0] == {("b", "a")}


OVERRIDES: list[tuple[str, Any, dict[str, Any], dict[str, Any]]] = [
    # parameter, value that changes the outcome, change of the post, change of the first answer
    ("floors", False, {"score": 5}, {}),
    ("min_post_score", 101, {}, {}),
    ("keep_edited_posts", True, {"edited": True}, {}),
    ("keep_nsfw", True, {"nsfw": True}, {}),
    ("drop_staff", True, {"platform": "discourse", "author_role": "moderator"}, {}),
    ("keep_link_posts", True, {"is_text": False}, {}),
    ("since", "2030-01-01T00:00:00Z", {}, {}),
    ("until", "2020-01-01T00:00:00Z", {}, {}),
    ("min_answer_score", 4, {}, {}),
    ("max_answers_per_post", 1, {}, {}),
    ("max_chars", 10, {}, {}),
    ("min_score_age_s", 400 * DAY, {}, {}),
    ("max_read_gap_s", 60 * DAY, {}, {"observed_at": (T0 + 5 * DAY) * 1_000_000}),
    ("settled_age_s", 2 * DAY, {}, {"observed_at": (T0 + 5 * DAY) * 1_000_000}),
    ("allow_unknown_age", True, {}, {"observed_at": None}),
    ("order", "winner-older", {}, {}),
    ("max_apart_s", 10, {}, {}),
    ("min_ratio", 3.5, {}, {}),
    ("measure", "log2-votes", {}, {"score": 8}),
    ("and_", "accepted", {}, {}),
    ("or_", "accepted", {}, {"accepted": True, "created_at": (T0 + 9999) * 1_000_000}),
    ("min_confidence", 0.99, {}, {}),
]


@pytest.mark.parametrize(("name", "value", "post", "answer"), OVERRIDES, ids=[row[0] for row in OVERRIDES])
def test_every_parameter_can_be_overridden(name: str, value: Any, post: dict[str, Any], answer: dict[str, Any]) -> None:
    rows = [{**TWO[0], **answer}, TWO[1]]
    usual, _ = run(preset("shp"), rows, **post)
    changed, _ = run(preset("shp", **{name: value}), rows, **post)
    assert usual != changed


def test_the_overrides_above_are_all_parameters() -> None:
    others = {
        "name",
        "confounded",
        "neighbours_only",
        "confidence_slope",
        "sample_by_weight",
        "max_pairs_per_post",
        "seed",
        "observe_at_s",
        "keep_unreadable",
        "accepted_over",
    }
    assert {row[0] for row in OVERRIDES} | others == set(Rule.__struct_fields__)


def test_neighbours_only_pairs_each_answer_with_the_next() -> None:
    rows = [answer_row(str(i), score=3 + i, created_at=(T0 + i) * 1_000_000) for i in range(5)]
    assert run(preset("shp", neighbours_only=True), rows)[0] == {(str(i + 1), str(i)) for i in range(4)}


def test_ratio_is_undefined_without_a_positive_base() -> None:
    rows = [{**TWO[0], "score": 0}, TWO[1]]
    _, tally = run(preset("shp", min_answer_score=-5, min_ratio=2.0), rows)
    assert tally.dropped == {("pair", "ratio_undefined"): 1}


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("shpp", {}, "Did you mean 'shp'?"),
        ("zzz", {}, "Known: shp, shp-strict, "),
        ("shp", {"min_rato": 2}, "Did you mean 'min_ratio'"),
        ("shp", {"min_ratio": 0.5}, "A rule's min_ratio is 0.5: write 1 or more."),
        ("shp", {"order": "newest"}, "order"),
        ("shp", {"max_pairs_per_post": 0}, "max_pairs_per_post"),
    ],
)
def test_a_wrong_rule_is_explained(name: str, overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        preset(name, **overrides)
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_only_the_contrasts_are_marked_as_confounded() -> None:
    assert {name for name, rule in PRESETS.items() if rule.confounded} == {"votes", "older-winner"}
    assert {name: named_rule(rule) for name, rule in PRESETS.items()} == PRESETS
    assert {name: rule_summary(rule) for name, rule in PRESETS.items()} == SUMMARIES


def test_a_rule_is_called_by_what_it_does_and_not_by_where_it_began() -> None:
    for name, rule in PRESETS.items():
        for start in PRESETS:
            values = {key: value for key, value in structs.asdict(rule).items() if key not in ("name", "confounded")}
            assert preset(start, **values) == rule, (start, name)


@pytest.mark.parametrize(
    ("start", "parameters", "name", "confounded", "said"),
    [
        ("shp", {"order": "winner-older"}, "older-winner", True, "if it is older; confounded"),
        ("votes", {"order": "winner-not-older"}, "shp", False, "is not older, as in SHP's data"),
        ("shp", {"min_ratio": 2.0, "max_pairs_per_post": 5}, "shp-strict", False, "as SHP's users train"),
        ("shp", {"min_ratio": 3.0}, "shp with min_ratio 3", False, "if it is not older; at least 3 times the score"),
        ("shp-strict", {"min_ratio": None}, "shp with max_pairs_per_post 5", False, "at most 5 pairs a post"),
        ("calibrated", {"min_confidence": None}, "votes with no floors", True, "no lowest score by platform"),
        ("calibrated", {"floors": True}, "votes with min_confidence 0.8", False, "a confidence of 0.8 or more"),
        ("time-matched", {"max_apart_s": 7200.0}, "time-matched with max_apart 2h", True, "at most 2h apart"),
        ("time-matched", {"max_apart_s": 60.0}, "time-matched with max_apart 1m", False, "neighbours in time"),
        ("votes", {"observe_at_s": 2.0 * DAY}, "votes with observe_at 2d", True, "scores read 2d after writing"),
        ("log-votes", {"order": "winner-older"}, "older-winner with measure log2-votes", True, "+1 if accepted"),
        ("shp", {"and_": "accepted"}, "shp with and accepted", False, "only where the asker accepted the winner"),
        ("votes", {"and_": "accepted"}, "votes with and accepted", False, "whatever the age; only where"),
        ("votes", {"or_": "accepted"}, "votes with or accepted", True, "or the asker accepted it over the other"),
        (
            "accepted",
            {"order": "winner-older"},
            "accepted with order winner-older",
            True,
            "the accepted answer wins if",
        ),
        ("accepted", {"accepted_over": "all"}, "accepted with accepted_over all", False, "over younger answers, too"),
        # Who takes part says nothing of who wins.
        ("shp", {"until": "2023-01-01T00:00:00Z", "seed": 7, "allow_unknown_age": True}, "shp", False, "SHP's data"),
    ],
)
def test_name_sentence_and_mark_follow_the_parameters(
    start: str, parameters: dict[str, Any], name: str, confounded: bool, said: str
) -> None:
    rule = preset(start, **parameters)
    assert (rule.name, rule.confounded) == (name, confounded)
    assert said in rule_summary(rule)
    assert named_rule(rule) == rule


def test_a_rule_of_ones_own_keeps_its_name_and_is_marked_where_it_must_be() -> None:
    assert named_rule(Rule(name="mine", order="any")) == Rule(name="mine", order="any", confounded=True)
    assert named_rule(Rule(name="mine", confounded=True)).confounded
    assert named_rule(structs.replace(PRESETS["shp"], order="winner-older")) == PRESETS["older-winner"]
    assert msgspec.convert(msgspec.to_builtins(PRESETS["shp"]), Rule) == PRESETS["shp"]


# -- choices by hash --------------------------------------------------------------------------------------------------


def big_thread(post_id: str, count: int = 40) -> list[dict[str, Any]]:
    return [
        answer_row(f"{post_id}x{i}", post_id=post_id, score=2 + i, created_at=(T0 + i) * 1_000_000)
        for i in range(count)
    ]


def test_the_sample_of_pairs_does_not_change_when_other_threads_come() -> None:
    rule = preset("shp", max_pairs_per_post=5)
    alone = keys(mined(*frames([post_row()], big_thread("p1")), rule))
    posts = [post_row(), post_row(post_id="p2")]
    together = keys(mined(*frames(posts, [*big_thread("p2"), *big_thread("p1")]), rule))
    assert len(alone) == 5
    assert alone == {pair for pair in together if pair[1] == "p1"}
    assert len(together) == 10
    other = keys(mined(*frames([post_row()], big_thread("p1")), preset("shp", max_pairs_per_post=5, seed=1)))
    assert len(other) == 5
    assert other != alone


def test_the_sample_is_uniform() -> None:
    rule = preset("shp", max_pairs_per_post=100)
    posts = [post_row(post_id=f"p{i}") for i in range(30)]
    answers = [row for i in range(30) for row in big_thread(f"p{i}")]
    pairs = mined(*frames(posts, answers), rule)
    rank = pairs.answers["answer_id"].str.split("x").list.last().cast(pl.Int64).to_numpy()
    # 30 threads, 100 of 780 pairs each: the winner's mean position is 26 of 0..39 with a standard error of about 0.17.
    assert abs(rank[pairs.winner].mean() - 26.0) < 0.8


def test_sides_are_fair_and_do_not_know_the_winner() -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, 1 << 64, 20_000, dtype=np.uint64) for _ in range(2))
    pair = pair_hashes(a, b)
    assert (pair == pair_hashes(b, a)).all()
    a_first = winner_is_first(pair, a, b, 0)
    assert abs(a_first.mean() - 0.5) < 0.02
    assert (a_first != winner_is_first(pair, b, a, 0)).all()
    assert abs((a_first == winner_is_first(pair, a, b, 7)).mean() - 0.5) < 0.02


def test_splits_have_their_shares_and_are_the_thread_s_own() -> None:
    hashes = np.random.default_rng(2).integers(-(1 << 63), 1 << 63, 100_000, dtype=np.int64)
    number = thread_splits(hashes, 0.05, 0.05)
    shares = np.bincount(number, minlength=3) / len(number)
    assert np.abs(shares - [0.9, 0.05, 0.05]).max() < 0.005
    assert (thread_splits(hashes[::-1], 0.05, 0.05)[::-1] == number).all()


def test_equal_ids_of_two_sites_or_threads_are_two_answers() -> None:
    answers = pl.DataFrame(
        {"site": ["a.example", "b.example", "b.example"], "post_id": ["7", "7", "8"], "answer_id": ["1", "1", "1"]}
    )
    assert len(set(answer_hashes(answers))) == 3
    assert READ > T0
