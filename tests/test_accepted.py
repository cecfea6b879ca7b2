"""The asker's choice as a label, alone and together with votes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shp_miner import Store, UsageError, export_dataset, import_dump, load, preset
from shp_miner.cli import run as run_command
from shp_miner.rules import Rule

from .build import T0, answer_row, chunk, frames, post_row
from .property import examples
from .test_rules import keys, mined, reasons, run, threads

HOUR = 3600


def written(answer_id: str, hours: float, **changes: Any) -> dict[str, Any]:
    return answer_row(answer_id, created_at=int((T0 + hours * HOUR) * 1_000_000), **changes)


def at(hours: float) -> int:
    return int((T0 + hours * HOUR) * 1_000_000)


def test_a_choice_wins_over_what_was_there_and_over_nothing_later() -> None:
    rows = [
        written("a", 1, score=90),
        written("b", 2, accepted=True, accepted_at=at(4)),
        written("c", 3),
        written("d", 5),
    ]
    found, tally = run(preset("accepted"), rows)
    assert found == {("b", "a"), ("b", "c")}, "whatever the votes"
    assert tally.dropped == {("pair", "no_choice"): 3, ("pair", "written_after_choice"): 1}


def test_without_a_date_only_older_answers_were_there_for_sure() -> None:
    rows = [written("a", 1), written("b", 2, accepted=True), written("c", 3)]
    assert run(preset("accepted"), rows)[0] == {("b", "a")}
    assert run(preset("accepted", accepted_over="all"), rows)[0] == {("b", "a"), ("b", "c")}
    # A known date holds in any case.
    rows[1]["accepted_at"] = at(2.5)
    assert run(preset("accepted", accepted_over="all"), rows)[0] == {("b", "a")}


def test_a_day_without_a_time_counts_from_its_start() -> None:
    # The day began before all of them: only what is older than the accepted answer was there for sure.
    rows = [written("a", 1), written("b", 2, accepted=True, accepted_at=at(0)), written("c", 3)]
    assert run(preset("accepted"), rows)[0] == {("b", "a")}


def test_a_choice_needs_no_votes_and_takes_part_among_many() -> None:
    low = [written("a", 1, score=-3), written("b", 2, score=-5, accepted=True)]
    assert run(preset("accepted"), low, score=-1)[0] == {("b", "a")}
    many = [written(f"{number:02d}", 1 + number / 100, score=9) for number in range(55)]
    found, _ = run(preset("accepted"), [*many, written("zz", 3, score=0, accepted=True)])
    assert len(found) == 49
    assert {winner for winner, _ in found} == {"zz"}


def test_two_accepted_answers_are_no_choice_between_them() -> None:
    rows = [written("a", 1, accepted=True), written("b", 2, accepted=True), written("c", 0.5)]
    assert run(preset("accepted"), rows)[0] == {("a", "c"), ("b", "c")}


@given(threads(), st.sampled_from(["shp", "shp-strict", "time-matched", "votes", "older-winner", "calibrated"]))
@examples(30)
def test_and_is_what_both_say_and_or_what_one_says_without_contradiction(
    rows: tuple[list[Any], list[Any]], name: str
) -> None:
    posts, answers = frames(*rows)
    assume(all(count <= 50 for count in answers.group_by("site").len()["len"]))  # the cap takes other answers with `or`

    def made(rule: Rule) -> set[tuple[str, str, str, str]]:
        return keys(mined(posts, answers, rule))

    votes, choices = made(preset(name, max_pairs_per_post=None)), made(preset("accepted"))
    against = {(site, post, loser, winner) for site, post, winner, loser in choices}
    assert made(preset(name, max_pairs_per_post=None, and_="accepted")) == votes & choices
    either = made(preset(name, max_pairs_per_post=None, or_="accepted"))
    both_ways = {(site, post, loser, winner) for site, post, winner, loser in votes}
    assert either == (votes - against) | (choices - both_ways)


@given(threads(), st.sampled_from(["existing", "all"]))
@examples(30)
def test_no_answer_loses_that_may_be_younger_than_a_known_choice(rows: tuple[list[Any], list[Any]], over: str) -> None:
    posts, answers = frames(*rows)
    pairs = mined(posts, answers, preset("accepted", accepted_over=over))
    winner, loser = pairs.answers[pairs.winner], pairs.answers[pairs.loser]
    assert winner["accepted"].all()
    assert not loser["accepted"].any()
    until = winner.select(pl.max_horizontal("created_at", "accepted_at")).to_series()
    known = winner["accepted_at"].is_not_null() | (over == "existing")
    assert (loser["created_at"] <= until).filter(known).all()


def test_conflicts_and_pairs_of_either_are_counted() -> None:
    rows = [written("a", 1, score=3), written("b", 2, score=9), written("c", 3, score=5, accepted=True)]
    # Votes: b over a, c over a. The asker: c over a and b; so b against c is no pair of shp, but one of the asker.
    assert run(preset("shp", and_="accepted"), rows)[0] == {("c", "a")}
    assert run(preset("shp", or_="accepted"), rows)[0] == {("b", "a"), ("c", "a"), ("c", "b")}
    found, tally = run(preset("votes", or_="accepted"), rows)
    assert found == {("b", "a"), ("c", "a")}
    assert tally.dropped == {("pair", "choice_disagrees"): 1}
    found, tally = run(preset("votes", and_="accepted"), rows)
    assert found == {("c", "a")}
    assert tally.dropped == {("pair", "choice_disagrees"): 1, ("pair", "no_choice"): 1}


def test_the_lowest_scores_hold_for_the_votes_alone() -> None:
    rows = [written("a", 1, score=0), written("b", 2, score=1, accepted=True), written("c", 3, score=9)]
    found, tally = run(preset("shp", or_="accepted"), rows)
    assert found == {("b", "a")}
    assert reasons(tally) == {"score_too_low"}


def test_both_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match="not both"):
        preset("shp", and_="accepted", or_="accepted")
    with pytest.raises(UsageError, match="and_"):
        preset("shp", and_="votes")


#: Threads of the beer site, read by eye in Posts.xml and Votes.xml: the accepted answer, and who loses by the choice.
BY_HAND = {
    # Chosen two years later; 6988 is the asker's own.
    "6314": ("6371", {"6425", "7628"}),
    # 3328 came after the choice, as did 7101 of 1064 (whose author is deleted).
    "702": ("893", {"721", "756"}),
    "1064": ("6499", {"1065", "3340"}),
    "6696": ("6699", {"6713"}),
    "6970": ("7042", {"6973", "7008", "7041"}),
    # Chosen on the day on which 177, 24 and 51 came after the accepted answers: nobody knows what was first.
    "2": ("175", {"46", "102"}),
    "8": ("18", {"17"}),
    "35": ("44", {"43"}),
}


@pytest.mark.parametrize(
    ("path", "pairs", "posts", "both"),
    [("beer.stackexchange.com.7z", 354, 229, 105), ("conlang.meta", 4, 3, 1)],
    ids=["beer", "conlang.meta"],
)
def test_real_choices(path: str, pairs: int, posts: int, both: int, shared_data: Path, tmp_path: Path) -> None:
    """Counts that thirty lines on Posts.xml and Votes.xml gave, without the product."""
    import_dump("stackexchange-dump", [shared_data / "stackexchange" / path], tmp_path / "store")
    result = export_dataset(tmp_path / "store", tmp_path / "out", rule="accepted")
    assert (sum(result.pairs.values()), sum(result.posts.values())) == (pairs, posts)
    rows = load(tmp_path / "out").to_polars()
    winner, loser = (
        pl.when(pl.col("preferred") == number).then("answer1_id").otherwise("answer2_id") for number in (1, 2)
    )
    found = rows.select("post_id", winner.alias("winner"), loser.alias("loser"))
    for post, (accepted, others) in BY_HAND.items() if pairs > 4 else ():
        own = found.filter(post_id=post)
        assert set(own["winner"]) == {accepted}
        assert set(own["loser"]) == others
    agreed = export_dataset(tmp_path / "store", tmp_path / "both", rule=preset("shp", and_="accepted"))
    assert sum(agreed.pairs.values()) == both


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two threads whose asker took the second answer; the votes agree in the first."""
    made = Store(tmp_path / "store")
    posts = [post_row(post_id=name) for name in ("p1", "p2")]
    answers = [
        answer_row(f"{name}-{place}", post_id=name, score=score, created_at=at(place), accepted=place == 2)
        for name, scores in (("p1", (3, 9, 5)), ("p2", (9, 3, 5)))
        for place, score in enumerate(scores, start=1)
    ]
    made.append(chunk(posts, answers))
    return made.path


def test_options_keys_and_files_say_how_the_choice_counts(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*words: str) -> Any:
        assert run_command([*words, "--store", str(store), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    out = tmp_path / "out"
    assert sum(command("export", str(out), "--and", "accepted")["pairs"].values()) == 1
    manifest = json.loads((out / "manifest.json").read_text())
    rule = manifest["configuration"]["rule"]
    assert (rule["name"], rule["and_"], rule["accepted_over"]) == ("shp with and accepted", "accepted", "existing")
    assert set(load(out).to_polars()["rule"]) == {"shp with and accepted"}
    assert "a pair needs the votes and the choice to agree" in (out / "README.md").read_text()

    both = command("export", str(tmp_path / "or"), "--rule", "votes", "--or", "accepted")
    assert sum(both["pairs"].values()) == 5
    assert both["dropped"]["pair"] == {"choice_disagrees": 1}

    (tmp_path / "p.toml").write_text(
        f'store = "{store}"\n[rule]\nname = "shp"\nor = "accepted"\n[[export]]\nout = "toml"\nsites = ["*"]\n'
    )
    assert run_command(["run", str(tmp_path / "p.toml"), "--quiet"]) == 0
    capsys.readouterr()
    assert set(load(tmp_path / "toml").to_polars()["rule"]) == {"shp with or accepted"}

    plain = {gives["rule"]: gives["pairs"] for gives in command("compare")["rules"]}
    joined = {gives["rule"]: gives["pairs"] for gives in command("compare", "--and", "accepted")["rules"]}
    assert plain["accepted"] == joined["accepted"] == 2
    assert joined["votes with and accepted"] == 1 < plain["votes"]
    shown = command("show", "--thread", "p2", "--rule", "votes", "--and", "accepted")
    assert "choice_disagrees" in {pair["reason"] for pair in shown["not_made"]}
    assert run_command(["export", str(out), "--and", "accepted", "--or", "accepted", "--store", str(store)]) == 2
    assert "not both" in capsys.readouterr().err
