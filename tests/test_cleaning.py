"""Cleaning: what is left out for its text, in every command, counted and written with its reason."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

import shp_miner
from shp_miner import UsageError, clean_profile, export_dataset, forget, import_dump
from shp_miner.clean.chain import edited, reasons_of
from shp_miner.clean.cleaning import PROFILES, Cleaning, as_cleaning, changes
from shp_miner.clean.filter import Kind
from shp_miner.cli import run
from shp_miner.export.dry_run import estimate
from shp_miner.report.flow import flow_part
from shp_miner.rules.presets import preset
from shp_miner.show.compare import compare
from shp_miner.show.find import find_thread
from shp_miner.show.thread import show_thread
from shp_miner.tally import Tally

from .build import comment, submission, tree, write_month
from .conftest import ROOT

GOOD = "Salt the water well before the pasta goes in, because later it only stays outside."
GERMAN = "Das Wasser muss vor den Nudeln gesalzen werden, denn danach kommt das Salz nicht mehr hinein."

#: Answers of each thread: a text, and what a cleaning with `PARAMETERS` says of it.
ANSWERS = {GOOD: None, f"{GOOD} Twice.": None, GERMAN: "other_language", "Salt it.": "answer_too_short"}
PARAMETERS: dict[str, Any] = {"same_language": True, "min_words": 4}


def records(count: int = 12) -> list[dict[str, Any]]:
    """Threads with one answer of each kind, of other scores in each thread."""
    out = []
    for i in range(count):
        out.append(submission(f"p{i}", selftext="When does salt go into the water for pasta, and how much of it?"))
        for k, text in enumerate(ANSWERS):
            out.append(
                comment(f"p{i}c{k}", f"p{i}", body=text, score=3 + (i * 5 + k * 7) % 11, created_utc=1_600_000_000 + k)
            )
    return out


class Effect(NamedTuple):
    """What a parameter does: the item or pair, as columns, that it leaves out for the reason, and one that stays."""

    value: Any
    kind: Kind
    dropped: dict[str, Any]
    reason: str
    kept: dict[str, Any]


HUMAN = {"author": "abbot", "text": "A robot may not salt the water."}


def sides(winner: str, loser: str) -> dict[str, Any]:
    return {"winner_text": winner, "loser_text": loser}


ASKED = {"question": f"Pasta\n\n{GOOD} When?"}
EFFECTS = {
    "personal": Effect(
        "drop", "post", {"text": "Call 202-555-0147."}, "personal_data", {"text": "Call 10-20 of them."}
    ),
    "languages": Effect(("en", "fr"), "answer", {"text": GERMAN}, "other_language", {"text": GOOD}),
    "same_language": Effect(True, "answer", ASKED | {"text": GERMAN}, "other_language", ASKED | {"text": GOOD}),
    "min_chars": Effect(5, "answer", {"text": "Salt"}, "answer_too_short", {"text": "Salty"}),
    "max_chars": Effect(5, "answer", {"text": "Salty."}, "answer_too_long", {"text": "Salty"}),
    "min_words": Effect(2, "answer", {"text": "Salt"}, "answer_too_short", {"text": "Salt it"}),
    "max_words": Effect(2, "answer", {"text": "Salt it all"}, "answer_too_long", {"text": "Salt it"}),
    "drop_bots": Effect(True, "answer", {"author": "automoderator", "text": GOOD}, "bot", HUMAN),
    "bots": Effect(("salty-*", "~(?i)beep"), "post", {"author": "Salty-Sam", "text": GOOD}, "bot", HUMAN),
    "drop_quotes": Effect(True, "answer", {"text": f"> {GOOD}\n>\n> So?"}, "only_quotes", {"text": f"> {GOOD}\n\nNo."}),
    "drop_links": Effect(
        True, "answer", {"text": "See [here](https://a.b/c(d))"}, "only_links", {"text": f"{GOOD} a.b"}
    ),
    "drop_near_empty": Effect(True, "answer", {"text": "> What?\n\nThis!!!"}, "near_empty", {"text": "水に塩を"}),
    "drop_leaning": Effect(True, "answer", {"text": "As others have said: salt."}, "leans_on_others", {"text": GOOD}),
    "max_similarity": Effect(0.8, "pair", sides(f"{GOOD}!", GOOD), "near_equal", sides(f"{GOOD} {GERMAN}", GOOD)),
}
OWN = f"{GOOD}\n\n```sh\n> not a quote\n```\n\n>! Salt it !<"
#: Parameters that edit texts: a value, a text, and what is left of it.
EDITS: dict[str, tuple[Any, str, str]] = {
    "cut_quotes": (
        True,
        f'ann.b:\n> What?\n>\n> When?\n\n{OWN}\n[quote="x"]> So?[/quote]> Why?',
        OWN,
    ),
    "cut_thanks": (True, f"{GOOD}\n\n*EDIT 2*: wow, thanks for the gold!\n\nUpdate: RIP my inbox", GOOD),
}
#: Parameters that balance pairs, whose effect depends on the other pairs, with a value.
BALANCE = {
    "max_pairs_per_answer": 2, "match_lengths": True, "max_pairs_per_author": 7, "max_pairs_per_community": 20
}  # fmt: skip
#: Those that give communities equal shares.
SHARES = {"equal_communities": True, "max_pairs": 23}
#: Parameters that tests of their own try: tests/test_text_modes.py, tests/test_personal.py and tests/test_leaks.py.
ELSEWHERE = {
    "near_duplicates": "one",
    "text_mode": "plain",
    "keep_maths": True,
    "abbreviations": ("TIL = Today I learned",),
    "authors": "drop",
}
VALUES = {
    **ELSEWHERE,
    **{name: effect.value for name, effect in EFFECTS.items()},
    **{n: e[0] for n, e in EDITS.items()},
    **BALANCE,
    **SHARES,
}


@pytest.mark.parametrize("name", EFFECTS)
def test_each_parameter_alone_leaves_out_what_it_says(name: str) -> None:
    effect = EFFECTS[name]
    frame = pl.DataFrame([effect.dropped, effect.kept])
    assert reasons_of(frame, effect.kind, clean_profile(**{name: effect.value})).to_list() == [effect.reason, None]
    assert reasons_of(frame, effect.kind, clean_profile()).to_list() == [None, None]


def test_every_parameter_has_an_effect() -> None:
    assert set(VALUES) == set(Cleaning.__struct_fields__) - {"name"}


@pytest.mark.parametrize("name", EDITS)
def test_edits_cut_what_they_say_and_nothing_a_second_time(name: str) -> None:
    value, text, left = EDITS[name]
    many = GOOD + "\n\nEdit: thanks!" * 20_000  # in time that grows with the length, and so left alone
    texts, tally = pl.Series([text, GOOD, "EDIT: thanks for the gold!", None, many]), Tally()
    once = edited(texts, "answer", clean_profile(**{name: value}), tally)
    assert once.to_list() == [left, *texts.to_list()[1:]]
    assert texts[0] == text, "the column that was given has changed"
    assert edited(once, "answer", clean_profile(**{name: value}), Tally()).equals(once)
    assert sum(tally.notes.values()) == 1


def test_a_list_of_bots_is_read_and_a_wrong_expression_named(store: Path, tmp_path: Path) -> None:
    own = tmp_path / "bots.txt"
    own.write_text("# mine\n\nwriter-p1c0\n")
    assert run(["export", str(tmp_path / "o"), "--rule", "votes", "--clean-bots", str(own), "--store", str(store)]) == 0
    assert "p1c0" not in {row["answer1_id"] for row in rows_of(tmp_path / "o")}
    with pytest.raises(UsageError, match="expression"):
        export_dataset(store, tmp_path / "other", rule="votes", clean=clean_profile(bots=["~(?=look)"]))


def test_what_needs_all_pairs_is_refused_where_only_some_are_looked_at(store: Path) -> None:
    for words in (["compare"], ["show", str(store)], ["show", "--thread", "p1"]):
        assert run([*words, "--clean-match-lengths", "--store", str(store), "--quiet"]) == 2


def balanced(store: Path, out: Path, **clean: Any) -> pl.DataFrame:
    export_dataset(store, out, rule="votes", clean=clean_profile(**clean), workers=1)
    return pl.DataFrame(rows_of(out))


def test_balance_keeps_its_bounds_turns_no_label_and_stays_as_data_grow(tmp_path: Path, now: datetime) -> None:
    def more(first: int, last: int) -> list[dict[str, Any]]:
        return [
            record
            for i in range(first, last)
            for record in [
                submission(f"p{i}", subreddit="AskTest" if i % 2 else "AskMore"),
                *(
                    comment(
                        f"p{i}c{k}", f"p{i}", subreddit="AskTest" if i % 2 else "AskMore", author=f"w{(i + k) % 9}",
                        body="Salt it. " * (1 + (i * 3 + k * 5) % 7), score=2 + (i * 7 + k * k * 5) % 23,
                        created_utc=1_600_000_000 + 60 * k,
                    )
                    for k in range(5)
                ),
            ]
        ]  # fmt: skip

    store = tmp_path / "store"
    import_dump("reddit-dump", write_month(tmp_path / "first", more(0, 20)), store, now=now)
    first = set(balanced(store, tmp_path / "whole")["pair_id"])
    before = {name: balanced(store, tmp_path / name, **{name: value}) for name, value in BALANCE.items()}
    import_dump("reddit-dump", write_month(tmp_path / "second", more(20, 40), name="2020-10"), store, now=now)
    whole = balanced(store, tmp_path / "whole")
    labels = dict(whole.select("pair_id", "preferred").iter_rows())
    ids = ("answer1_id", "answer2_id")
    for name, value in BALANCE.items():
        kept = balanced(store, tmp_path / name, **{name: value})
        assert 0 < kept.height < whole.height
        assert dict(kept.select("pair_id", "preferred").iter_rows()).items() <= labels.items()
        if name == "max_pairs_per_answer":
            owners = pl.concat([kept[column] for column in ids])
            assert set(before[name]["pair_id"]) <= set(kept["pair_id"]), "other threads changed a thread's pairs"
        elif name == "max_pairs_per_author":
            owners = pl.concat([kept["author1"], kept["author2"]])
        elif name == "max_pairs_per_community":
            owners = kept["community"]
            assert owners.value_counts()["count"].to_list() == [value, value]
        else:
            winner, loser = (
                pl.when(pl.col("preferred") == side).then("answer1").otherwise("answer2").str.len_chars().cast(pl.Int64)
                for side in (1, 2)
            )
            apart = kept.select((winner - loser).sign()).to_series()
            assert abs(int(apart.sum())) <= 0.2 * kept.height < abs(0.3 * whole.height)
            continue
        assert owners.value_counts()["count"].max() <= value
        # Of the pairs that were there before, more data bring none in that was left out: they can only push some out.
        old = {pair for pair in kept["pair_id"] if pair in first}
        assert old <= set(before[name]["pair_id"])


def test_communities_get_equal_shares_by_hash_as_data_grow(tmp_path: Path, now: datetime) -> None:
    def threads(first: int, last: int, name: str) -> list[dict[str, Any]]:
        out = []
        for post in (f"{name}{i}" for i in range(first, last)):
            out.append(submission(post, subreddit=name))
            out += [comment(f"{post}c{k}", post, subreddit=name, author=f"w{k}", score=3 + k) for k in range(2)]
        return out

    def pairs_of(**clean: Any) -> dict[str, set[str]]:
        kept = balanced(store, tmp_path / "-".join(f"{name}-{value}" for name, value in clean.items()), **clean)
        return {name: set(rows["pair_id"]) for (name,), rows in kept.group_by("community")}

    store, wanted = tmp_path / "store", {"aska": 30, "askb": 12, "askc": 3}
    records = [record for name, count in wanted.items() for record in threads(0, count, name)]
    import_dump("reddit-dump", write_month(tmp_path / "first", records), store, now=now)
    equal, even = pairs_of(equal_communities=True), pairs_of(max_pairs=23)
    assert {name: len(pairs) for name, pairs in equal.items()} == dict.fromkeys(wanted, 3)
    assert {name: len(pairs) for name, pairs in even.items()} == {"aska": 10, "askb": 10, "askc": 3}
    both = pairs_of(equal_communities=True, max_pairs=6)
    assert {name: len(pairs) for name, pairs in both.items()} == dict.fromkeys(wanted, 2)
    assert all(both[name] < equal[name] for name in wanted), "another choice, and not a part of it"
    assert equal["aska"] < even["aska"]
    counted = {seen["clean"]: seen["left_out"]["pair"] for seen in shp_miner.stats(store)["cleaned_exports"]}
    assert counted["none with equal_communities"]["over_community_pairs"] == 45 - 9
    assert "| `equal_communities` |" in (tmp_path / "equal_communities-True" / "README.md").read_text()
    with pytest.raises(UsageError, match="fewer than one"):
        pairs_of(max_pairs=2)

    import_dump("reddit-dump", write_month(tmp_path / "more", threads(3, 7, "askc"), name="2020-10"), store, now=now)
    grown = pairs_of(equal_communities=True)
    assert {len(pairs) for pairs in grown.values()} == {7}
    assert all(equal[name] < grown[name] for name in ("aska", "askb")), "a smallest that grew only adds to the others"


@pytest.fixture
def store(tmp_path: Path, now: datetime) -> Path:
    import_dump("reddit-dump", write_month(tmp_path / "dumps", records()), tmp_path / "store", now=now)
    return tmp_path / "store"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return pl.concat([pl.read_parquet(file) for file in sorted(folder.rglob("*.parquet"))]).to_dicts()


def test_every_command_leaves_out_the_same_and_says_why(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = clean_profile(**PARAMETERS)
    plain = export_dataset(store, tmp_path / "plain", rule="votes")
    done = export_dataset(store, tmp_path / "out", rule="votes", clean=clean, keep_dropped=tmp_path / "dropped")

    texts = {text for row in rows_of(tmp_path / "out") for text in (row["answer1"], row["answer2"])}
    assert texts == {text for text, reason in ANSWERS.items() if reason is None}
    before, after = (
        {row["pair_id"]: row["preferred"] for row in rows_of(tmp_path / name)} for name in ("plain", "out")
    )
    assert after.items() < before.items(), "a pair came in, or a label turned"

    flow = flow_part(json.loads((tmp_path / "out" / "manifest.json").read_text())["counts"])
    assert flow is not None
    steps = [row[1:4] for row in flow.rows if row[0] == "paired answer"]
    assert [steps[0][2], *(step[1] for step in steps), steps[-1][2]] == [48, 0, 12, 12, 0, 24]
    left = {(kind, reason): n for (kind, reason), n in done.tally.dropped.items() if kind.startswith("paired")}
    assert left == {("paired answer", "other_language"): 12, ("paired answer", "answer_too_short"): 12}
    gone = sum(n for (kind, _), n in (done.tally.dropped - plain.tally.dropped).items() if kind == "pair")
    assert gone == len(before) - len(after)

    (seen,) = shp_miner.stats(store)["cleaned_exports"]
    assert (seen["path"], seen["pairs"]) == (str((tmp_path / "out").resolve()), sum(done.pairs.values()))
    assert seen["left_out"]["paired answer"] == {"answer_too_short": 12, "other_language": 12}
    assert sum(seen["left_out"]["pair"].values()) == gone

    assert run(["explain", str(tmp_path / "out"), "--json"]) == 0
    told = {row["reason"]: row for row in json.loads(capsys.readouterr().out)["filters"]}
    assert told["answer_too_short"]["parameters"] == {"min_words": 4}
    assert told["other_language"]["counts"] == {
        "paired answer": 12,
        "pair": done.tally.dropped["pair", "other_language"],
    }
    assert set(told) == {reason for _, reason in done.tally.dropped}

    # The rows: every answer and pair that is counted, cleaned ones with their text.
    answers, pairs = (rows_of(tmp_path / "dropped" / name) for name in ("answers", "pairs"))
    cleaned = [row for row in answers if row["body"] is not None]
    assert {row["body"]: row["reason"] for row in cleaned} == {text: why for text, why in ANSWERS.items() if why}
    counted = {reason: n for (kind, reason), n in done.tally.dropped.items() if kind == "pair"}
    assert Counter(row["reason"] for row in pairs) == counted

    dry = estimate(store, rule="votes", clean=clean)
    assert (dry.pairs, dry.tally.dropped) == (done.pairs, done.tally.dropped)
    opened = shp_miner.Store(store)
    votes = compare(opened, opened.snapshot(), rules=[preset("shp"), preset("votes")], clean=clean).rules[1]
    assert votes.pairs == sum(done.pairs.values())

    shown = show_thread(
        opened, opened.snapshot(), find_thread(opened.snapshot(), "p1", None), preset("votes"), clean=clean
    )
    assert {answer.text: answer.reason for answer in shown.answers} == ANSWERS
    assert len(shown.pairs) == 1
    assert {pair.reason for pair in shown.not_made} == {"other_language", "answer_too_short"}


@pytest.mark.parametrize("inside", ["out", "out/rows", "store/posts", "earlier"])
def test_dropped_rows_are_not_written_among_other_files(store: Path, tmp_path: Path, inside: str) -> None:
    export_dataset(store, tmp_path / "earlier", rule="votes")
    before = sorted(path for path in tmp_path.rglob("*.parquet"))
    with pytest.raises(UsageError, match="would be in"):
        export_dataset(store, tmp_path / "out", rule="votes", keep_dropped=tmp_path / inside)
    assert sorted(path for path in tmp_path.rglob("*.parquet")) == before
    assert not (tmp_path / "out").exists()


def test_values_that_every_answer_would_fail_are_refused() -> None:
    for wrong in ({"languages": ["English"]}, {"min_chars": 9, "max_chars": 8}, {"min_words": 9, "max_words": 8}):
        with pytest.raises(UsageError):
            clean_profile(**wrong)
    assert clean_profile(min_words=8, max_words=8, languages=["en", "gsw"]).languages == ("en", "gsw")


def test_an_export_that_is_made_again_stays_clean_and_dropped_texts_are_forgotten(store: Path, tmp_path: Path) -> None:
    out, dropped = tmp_path / "out", tmp_path / "dropped"
    export_dataset(store, out, rule="votes", clean=clean_profile(**PARAMETERS), keep_dropped=dropped)
    manifest = json.loads((out / "manifest.json").read_text())
    forget(store, ids=["reddit.com/p3/p3c0", "reddit.com/p4/p4c2"])
    again = json.loads((out / "manifest.json").read_text())
    assert again["configuration"] == manifest["configuration"]
    assert again["rows"] != manifest["rows"]
    assert {text for row in rows_of(out) for text in (row["answer1"], row["answer2"])} <= {GOOD, f"{GOOD} Twice."}
    emptied = [row for row in rows_of(dropped / "answers") if row["answer_id"] == "p4c2"]
    assert [row["body"] for row in emptied] in ([""], [None])


def test_nothing_is_cleaned_unless_it_is_asked_for(store: Path, tmp_path: Path) -> None:
    export_dataset(store, tmp_path / "plain", rule="votes")
    export_dataset(store, tmp_path / "none", rule="votes", clean="none")
    assert tree(tmp_path / "plain") == tree(tmp_path / "none")
    assert "clean" not in json.loads((tmp_path / "plain" / "manifest.json").read_text())["configuration"]
    assert "Cleaned by" not in (tmp_path / "plain" / "README.md").read_text()


def test_options_variables_and_pipeline_files_say_the_same(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_dataset(store, tmp_path / "python", rule="votes", clean=clean_profile("standard", min_words=4))
    words = ["export", str(tmp_path / "options"), "--rule", "votes", "--store", str(store), "--quiet"]
    assert run([*words, "--clean", "standard", "--clean-min-words", "4"]) == 0
    monkeypatch.setenv("SHP_MINER_EXPORT_CLEAN", "standard")
    monkeypatch.setenv("SHP_MINER_EXPORT_CLEAN_MIN_WORDS", "4")
    assert run([words[0], str(tmp_path / "variables"), *words[2:]]) == 0
    pipeline = tmp_path / "pipeline.toml"
    pipeline.write_text(
        'store = "store"\n[rule]\nname = "votes"\n[clean]\nprofile = "standard"\n'
        '[[export]]\nout = "file"\nsites = ["*"]\nclean = { min_words = 4 }\n'
    )
    assert run(["run", str(pipeline), "--quiet"]) == 0
    trees = [tree(tmp_path / name) for name in ("python", "options", "variables", "file")]
    assert all(found == trees[0] for found in trees)
    assert "standard with min_words 4" in (tmp_path / "python" / "README.md").read_text()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({"min_word": 3}, "min_words"), ({"min_words": 0}, "1 or more"), ({"name": "strct"}, "strict")],
)
def test_wrong_parameters_are_explained(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        clean_profile(**parameters)
    assert said in f"{error.value.message} {error.value.hint}"


def test_profiles_have_names_and_the_page_has_every_parameter() -> None:
    page = (ROOT / "docs" / "cleaning.md").read_text()
    for field in Cleaning.__struct_fields__:
        assert field == "name" or f"`{field}`" in page.partition("## Parameters")[2].partition("\n## ")[0], field
    assert as_cleaning("none") is as_cleaning(None)
    for name, profile in PROFILES.items():
        assert clean_profile("none", **changes(profile)).name == name
