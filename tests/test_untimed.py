"""Threads of published data sets that do not say when answers were written: rules that use times refuse them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner import make_pairs
from shp_miner.cli import run
from shp_miner.export.formats import FORMATS
from shp_miner.model import NO_TIME_US
from shp_miner.rules.needs import needs_times, needs_votes
from shp_miner.rules.presets import PRESETS, preset
from shp_miner.store import Store

from .build import frames
from .property import examples
from .test_import_published import WRITERS, json_lines
from .test_rules import threads

Rows = list[dict[str, Any]]


def h4_rows(questions: int = 12) -> Rows:
    return [
        {
            "qid": 7 + n,
            "question": f"<p>Why {n}?</p>",
            "answers": [
                {
                    "answer_id": 100 * n + at,
                    "author": f"writer {at}",
                    "author_id": 50 + at,
                    "author_profile": f"https://beer.stackexchange.com/users/{50 + at}",
                    "pm_score": at - 1,
                    "selected": at == 2,
                    "text": f"<p>Because of <b>{n} and {at}</b>.</p>",
                }
                for at in range(4)
            ],
            "date": [f"2016/01/{1 + n:02}"] if n % 2 else f"2016-01-{1 + n:02}",
            "metadata": [
                f"https://beer.stackexchange.com/questions/{7 + n}",
                "https://beer.stackexchange.com",
                "https://beer.stackexchange.com/users/53/",
            ],
        }
        for n in range(questions)
    ]


def eli5_rows(questions: int = 12) -> Rows:
    return [
        {
            "q_id": f"q{n}",
            "title": f"Why {n}?",
            "selftext": "",
            "document": "",
            "subreddit": "explainlikeimfive",
            "answers": {"a_id": [f"{n}a", f"{n}b"], "text": ["Because.", "So."], "score": [3, 40]},
            "title_urls": {"url": ["https://example.org"]},
        }
        for n in range(questions)
    ]


ROWS = {"h4": h4_rows, "eli5": eli5_rows}
#: The rules that need nothing of what each layout lacks.
USABLE = {"h4": {"votes"}, "eli5": {"votes", "log-votes"}}
ANY_AGE = "--allow-unknown-age"


def stored(name: str, folder: Path, write: str = "a.jsonl") -> list[str]:
    """Import rows of a layout, and return the option that names the store."""
    rows = ROWS[name]()
    if write == "a.jsonl":
        path = json_lines(rows, folder / f"{name}.jsonl")
    else:  # Arrow holds one type a column
        path = WRITERS[write]([row | ({"date": "2016/01/02"} if "date" in row else {}) for row in rows], folder / write)
    store = str(folder / f"store-{name}")
    assert run(["import", str(path), "--store", store, "-q"]) == 0
    return ["--store", store]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(("name", "counts"), [("h4", (12, 48)), ("eli5", (12, 24))])
def test_every_form_gives_the_threads(name: str, counts: tuple[int, int], write: str, tmp_path: Path) -> None:
    _, store = stored(name, tmp_path, write)
    snapshot = Store(Path(store)).snapshot()
    assert (snapshot.rows("posts"), snapshot.rows("answers")) == counts


@pytest.mark.parametrize("name", ROWS)
def test_a_rule_makes_pairs_only_without_what_is_not_known(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = stored(name, tmp_path)
    made = set()
    for rule in PRESETS if name == "h4" else ("shp", "votes", "log-votes"):
        capsys.readouterr()
        code = run(["export", f"out-{rule}", *store, "--rule", rule, ANY_AGE, "-q"])
        told = " ".join(capsys.readouterr().err.split())
        if code == 0:
            made.add(rule)
        elif rule != "per-reader":  # which says that nobody counted readers
            assert code == 5
            assert "Give `--rule votes --allow-unknown-age`" in told
            assert "time unknown" in told or "score not votes" in told
    assert made == USABLE[name]
    assert run(["compare", *store, ANY_AGE, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["rules"]
    assert {rule["rule"] for rule in told if rule["pairs"]} == USABLE[name]
    assert run(["compare", *store, ANY_AGE]) == 0
    proposed = capsys.readouterr().out.split("--rule ")[-1].split()[0]
    assert proposed in USABLE[name]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 5),  # without --allow-unknown-age
        ([ANY_AGE], 0),
        ([ANY_AGE, "--min-ratio", "2"], 5),
        ([ANY_AGE, "--order", "winner-not-older"], 5),
        ([ANY_AGE, "--measure", "accepted"], 5),
        ([ANY_AGE, "--measure", "accepted", "--accepted-over", "all"], 0),
        ([ANY_AGE, "--since", "2016-01-05"], 0),  # days of questions are known
    ],
)
def test_parameters_of_a_rule_decide_what_it_needs(words: list[str], code: int, tmp_path: Path) -> None:
    store = stored("h4", tmp_path)
    assert run(["export", "out", *store, "--rule", "votes", *words, "-q"]) == code


def test_since_needs_the_day_of_the_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = stored("eli5", tmp_path)
    assert run(["export", "out", *store, "--rule", "votes", ANY_AGE, "--since", "2016-01-05", "-q"]) == 5
    assert "without --min-ratio, --since and --until" in " ".join(capsys.readouterr().err.split())


def test_presets_say_what_they_need() -> None:
    timed = {name for name, rule in PRESETS.items() if needs_times(rule)}
    assert timed == set(PRESETS) - {"votes", "log-votes", "per-reader"}
    assert not needs_times(preset("accepted", accepted_over="all"))
    assert {name for name, rule in PRESETS.items() if needs_votes(rule)} == {
        "shp-strict", "log-votes", "per-reader", "calibrated", "comparisons",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["shp", "votes", "calibrated", "comparisons"])
@given(threads(), st.integers(0, 2**8 - 1))
@examples(12)
def test_answers_without_a_time_change_no_other_pair(
    name: str, rows: tuple[list[dict[str, Any]], list[dict[str, Any]]], marks: int
) -> None:
    posts, answers = rows
    undated = {number for number in range(len(answers)) if marks >> number % 8 & 1}
    told = [row | ({"created_at": NO_TIME_US} if n in undated else {}) for n, row in enumerate(answers)]
    rule = preset(name, allow_unknown_age=True, max_pairs_per_post=None, max_answers_per_post=1000)
    found = pl.DataFrame(make_pairs(*frames(posts, told), rule))
    expected = make_pairs(*frames(posts, [row for n, row in enumerate(told) if n not in undated]), rule)
    ids = [(row["site"], row["post_id"], row["answer_id"]) for n, row in enumerate(told) if n in undated]
    keys = pl.DataFrame(ids, schema=["site", "post_id", "id"], orient="row", schema_overrides={"id": pl.String})
    keys = keys.cast(pl.String)
    sides = [
        found.join(keys, left_on=["site", "post_id", side], right_on=["site", "post_id", "id"], how="semi")
        for side in ("winner_id", "loser_id")
    ]
    unsure = pl.concat(sides).unique()
    assert not (needs_times(rule) and unsure.height)
    assert all(unsure[column].null_count() == unsure.height for column in ("seconds_difference", "confidence"))
    assert set(unsure["tier"]) <= {"extended"}
    others = found.join(unsure, on=["site", "post_id", "winner_id", "loser_id"], how="anti", maintain_order="left")
    assert others.equals(pl.DataFrame(expected))


@pytest.mark.parametrize("name", ROWS)
def test_exports_say_what_is_not_known(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = stored(name, tmp_path)
    given = FORMATS if name == "h4" else ("pairs", "shp")
    forms = [word for form in given for word in ("--format", form)]
    assert run(["export", "out", *store, "--rule", "votes", ANY_AGE, *forms, "-q"]) == 0
    pairs = pl.concat([pl.read_parquet(file) for file in Path("out/pairs").rglob("*.parquet")])
    assert pairs.height == {"h4": 72 - 12 * 3, "eli5": 12}[name]  # the asker's answer takes part in no pair
    unknown = ["created_at1", "created_at2", "observed_at1", "seconds_difference", "post_score", "confidence"]
    unknown += ["weight", "target", "score_ratio"] if name == "h4" else []
    assert all(pairs[column].null_count() == pairs.height for column in unknown)
    assert set(pairs["tier"]) == {"extended"}
    assert set((pairs["score1"] - pairs["score2"]).sign() * (3 - 2 * pairs["preferred"])) == {1}
    assert not pairs["question"].str.starts_with("\n").any()
    shp = pl.concat([pl.read_parquet(file) for file in Path("out/shp").rglob("*.parquet")])
    assert shp["created_at_utc_A"].null_count() == shp.height
    for form in given:
        card = Path("out", form, "README.md").read_text()
        assert "Not all is known of these threads" in card
        assert ("pm_score" in card) == (name == "h4")
        assert "answers without a time" in card
    assert all(run([command, "out/pairs", "-q"]) == 0 for command in ("check", "show"))
    assert run(["report", "out/pairs", "-q"]) == 0
    capsys.readouterr()
    assert run(["stats", *store, "--json"]) == 0
    (community,) = json.loads(capsys.readouterr().out)["communities"]
    assert community["share_without_time"] == 1
    assert community["oldest"] == {"h4": "2016-01-01", "eli5": None}[name]
    assert run(["stats", *store]) == 0
    assert "Answers written at an unknown time" in capsys.readouterr().out


def test_counts_of_votes_are_not_compared_with_an_order(tmp_path: Path) -> None:
    """The same thread from a dump and from the data set: its answers are of two kinds of score."""
    store = stored("h4", tmp_path)
    answers = [
        {"answer_id": str(900 + n), "body": f"Yes {n}.", "created_at": 1_600_000_060, "score": n} for n in (3, 5)
    ]
    thread = {
        "site": "beer.stackexchange.com",
        "community": "beer.stackexchange.com",
        "post_id": "7",
        "title": "Why?",
        "created_at": 1_451_606_400,
        "score": 9,
        "answers": answers,
    }
    assert run(["import", "threads", str(json_lines([thread], tmp_path / "own.jsonl")), *store, "-q"]) == 0
    assert run(["export", "out", *store, "--rule", "votes", ANY_AGE, "-q"]) == 0
    pairs = pl.concat([pl.read_parquet(file) for file in Path("out").rglob("*.parquet")]).filter(post_id="7")
    sides = pairs.select(
        first=pl.col("answer1_id").str.starts_with("90"), second=pl.col("answer2_id").str.starts_with("90")
    )
    assert set(sides.rows()) == {(False, False), (True, True)}


def test_rows_that_say_too_little_cost_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*h4_rows(2), h4_rows(1)[0] | {"metadata": []}, h4_rows(1)[0] | {"qid": 9, "answers": "none"}]
    rows[1]["answers"][0]["pm_score"] = "two"
    words = ["import", "threads", str(json_lines(rows, tmp_path / "a.jsonl")), "--store", str(tmp_path / "store")]
    assert run([*words, "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["kept"] == {"post": 2, "answer": 7}
    assert run([*words, "--json", "--site", "beer.stackexchange.com"]) == 3
