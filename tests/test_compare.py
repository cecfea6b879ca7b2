"""`compare` and `export --dry-run` count what exports have, without writing one."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shp_miner import FORMATS, PRESETS, Store, UsageError, export_dataset, preset
from shp_miner.cli import run
from shp_miner.export.compact import COMPACT
from shp_miner.export.dry_run import estimate
from shp_miner.export.nothing import NoPairs
from shp_miner.rules.presets import Rule
from shp_miner.rules.recommended import Comparable, before_cleaning, recommend_rule
from shp_miner.show import compare as module
from shp_miner.show.compare import compare
from shp_miner.show.rows import export_at, sampled

from .build import T0, answer_row, chunk, post_row, tree


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Threads of two communities with ties, low scores, edits and texts of different lengths."""
    random = np.random.default_rng(5)
    made = Store(tmp_path / "store")
    posts, answers = [], []
    for number in range(40):
        shared = {"post_id": f"p{number}", "community": ("asktest", "other")[number % 2]}
        posts.append(post_row(**shared, score=int(random.integers(5, 60)), edited=bool(random.random() < 0.1)))
        for place in range(int(random.integers(2, 9))):
            body = "word " * int(random.integers(1, 30))
            changes: dict[str, Any] = {
                "score": int(random.integers(-1, 12)),
                "created_at": (T0 + int(random.integers(1, 9000))) * 1_000_000,
                "body": body,
                "body_chars": len(body.strip()),
                "accepted": place == 1,
                "reads": int(random.integers(15, 40)),
            }
            answers.append(answer_row(f"a{place}", **shared, **changes))
    made.append(chunk(posts, answers))
    return made


def rules() -> list[Rule]:
    return [*map(preset, PRESETS), preset("shp", min_post_score=30), preset("votes", max_answers_per_post=3)]


@pytest.mark.parametrize("rows_each", [20, 200_000])
def test_counts_are_those_of_exports(
    store: Store, tmp_path: Path, rows_each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_EACH", rows_each)
    found = compare(store, store.snapshot(), rules=rules())
    assert len({gives.pairs for gives in found.rules}) > 5
    for rule, gives in zip(rules(), found.rules, strict=True):
        out = tmp_path / "out"
        done = export_dataset(store, out, rule=rule, replace=True)
        assert gives.rule == rule.name
        assert (gives.pairs, gives.posts) == (sum(done.pairs.values()), sum(done.posts.values()))
        export = export_at(out)
        rows = [row.row for row in sampled(export, export.rows)]
        assert gives.mean_confidence == pytest.approx(np.mean([row["confidence"] for row in rows]), abs=1e-3)
        lengths = [(len(row[f"answer{row['preferred']}"]), len(row[f"answer{3 - row['preferred']}"])) for row in rows]
        differ = [better > worse for better, worse in lengths if better != worse]
        assert gives.longer_wins == pytest.approx(np.mean(differ))


def test_one_community_and_warnings(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "--store", str(store.path), "--community", "r/AskTest", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [gives["rule"] for gives in data["rules"]] == list(PRESETS)
    all_of = compare(store, store.snapshot()).rules
    assert all(0 < one["pairs"] < whole.pairs for one, whole in zip(data["rules"], all_of, strict=True))
    assert [gives["rule"] for gives in data["rules"] if "confounded" in gives["warnings"]] == ["votes", "older-winner"]
    assert all("few pairs" in gives["warnings"] for gives in data["rules"])
    assert run(["compare", "--store", str(store.path), "--community", "asktest"]) == 0
    text = capsys.readouterr().out
    assert f"shp-miner export data/pairs --rule per-reader --community asktest --store {store.path}" in text
    assert "use it to compare, not to train" in text
    assert run(["compare", "--store", str(store.path), "--community", "asktest", "--community", "nowhere"]) == 3
    assert "nowhere" in capsys.readouterr().err
    assert run(["compare", "--store", str(store.path), "--community", "nowhere"]) == 5


def test_the_options_that_say_what_takes_part(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ageless = {"community": "ageless", "observed_at": None}
    store.append(
        chunk(
            [post_row(post_id="a", **ageless)], [answer_row(str(n), post_id="a", score=n, **ageless) for n in range(5)]
        )
    )
    chosen = [
        "--community", "asktest,ageless", "--min-post-score", "30", "--since", "2020-01-01", "--until",
        "2030-01-01T12:00:00Z", "--min-score-age", "36h", "--allow-unknown-age", "--no-keep-nsfw",
        "--store", str(store.path),
    ]  # fmt: skip
    assert run(["compare", *chosen]) == 0
    text = capsys.readouterr().out
    assert "version 2.2, --min-post-score 30 --no-keep-nsfw --since 2020-01-01" in text
    command = text.split("Next:\n")[1].strip()
    assert run(["compare", *chosen, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["parameters"]["min_score_age_s"] == 36 * 3600
    assert run([*shlex.split(command)[1:], "--rule", "shp", "--json"]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert sum(exported["pairs"].values()) == data["rules"][0]["pairs"]
    assert exported["pairs"]["ageless"] > 0
    assert run(["compare", "--store", str(store.path), "--community", "ageless", "--json"]) == 0
    assert {gives["pairs"] for gives in json.loads(capsys.readouterr().out)["rules"]} == {0}
    assert run(["compare", "--min-ratio", "2"]) == 2, "a rule says which pairs are made"


@pytest.mark.parametrize("columns", [60, 80])
def test_the_table_is_no_wider_than_the_terminal(
    columns: int, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(["compare", "--store", str(store.path)]) == 0
    # Behind the table stands advice, which is one line where nobody looks at a terminal.
    told = capsys.readouterr().out.split("shp keeps ")[0]
    table = [line for line in told.splitlines() if str(store.path) not in line]
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in table]
    assert max(map(len, lines)) <= columns
    assert any("time-matched" in line for line in lines)
    assert any("posts" in line for line in lines) == (columns == 80)


def test_comparing_an_empty_place_gives_no_shares(store: Store) -> None:
    none = compare(store, store.snapshot(), sites=["nowhere.example"])
    assert {(gives.pairs, gives.posts, gives.longer_wins, gives.mean_confidence) for gives in none.rules} == {
        (0, 0, None, None)
    }


def test_comparing_reads_no_text(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from shp_miner.store import Snapshot

    monkeypatch.setattr(Snapshot, "bodies", lambda *_: pytest.fail("texts were read"))
    assert compare(store, store.snapshot()).rules[0].pairs


# -- a dry run --------------------------------------------------------------------------------------------------------


def test_a_dry_run_counts_as_the_export_does_and_writes_nothing(store: Store, tmp_path: Path) -> None:
    before = tree(tmp_path)
    asked: dict[str, Any] = {"rule": "shp-strict", "formats": list(FORMATS), "communities": ["asktest"]}
    found = estimate(store, **asked)
    new = set(tree(tmp_path)) - set(before)
    assert {name.split("/")[1] for name in new} <= {"fits", "locks"}, "values that were fitted, and locks"
    done = export_dataset(store, tmp_path / "out", **asked)
    assert (found.posts, found.pairs) == (done.posts, done.pairs)
    assert found.tally.to_dict() == done.tally.to_dict()
    assert found.rows == {name: sum(shard.rows for shard in shards) for name, shards in done.shards.items()}
    for name, shards in done.shards.items():
        size = sum(shard.bytes for shard in shards)
        assert size / 5 < found.bytes[name] < size * 2, name  # each file of a small export has a footer


def test_a_dry_run_estimates_the_compact_layout(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    formats = [word for name in COMPACT for word in ("--format", name)]
    words = ["export", str(tmp_path / "out"), "--store", str(store.path), "--rule", "votes", *formats]
    words += ["--layout", "compact"]
    assert run([*words, "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert run([*words, "--dry-run"]) == 0
    assert "smaller than joined" in capsys.readouterr().out
    assert run([*words, "--json"]) == 0
    for name in COMPACT:
        files = json.loads((tmp_path / "out" / name / "manifest.json").read_text())["files"]
        size = sum(file["bytes"] for file in files)
        assert size / 8 < found["bytes"][name] < size * 2, name  # each file of a small export has a footer
    for name in ("pairs", "shp"):  # the texts of this store are too short for three files of the others to pay
        assert found["bytes"][name] < found["joined_bytes"][name], name
    with pytest.raises(UsageError, match="no compact layout"):
        estimate(store, formats=["kto"], layout="compact")


def test_a_dry_run_on_the_command_line(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "my out", "--store", str(store.path), "--rule", "votes", "--format", "trl"]
    assert run([*words, "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "Would be written; nothing is" in text
    assert f"shp-miner export 'my out' --store {store.path} --rule votes --format trl\n" in text
    assert not (tmp_path / "my out").exists()
    assert run([*words, "--dry-run", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert run([*words, "--json"]) == 0
    real = json.loads(capsys.readouterr().out)
    assert {key: data[key] for key in ("posts", "pairs", "formats", "kept", "dropped")} == {
        key: real[key] for key in ("posts", "pairs", "formats", "kept", "dropped")
    }


def test_a_dry_run_has_the_errors_of_an_export(store: Store) -> None:
    with pytest.raises(UsageError, match="no format"):
        estimate(store, formats=["csv"])
    with pytest.raises(UsageError, match="no rule"):
        estimate(store, rule="sph")
    with pytest.raises(NoPairs):
        estimate(store, rule=preset("shp", min_ratio=1000.0))


def test_another_rule_is_recommended_where_shp_starves(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--store", str(store.path)]
    assert run(["compare", *where]) == 0
    said = " ".join(capsys.readouterr().out.split())
    kept = re.search(r"shp keeps ([\d,]+) of ([\d,]+) comparable pairs here\.", said)
    assert kept
    assert "Try it with `--rule per-reader`." in said
    assert "--rule per-reader" in said.split("Next:")[1]
    assert run(["compare", "--clean-max-pairs-per-answer", "1", *where]) == 0
    assert kept[0] in " ".join(capsys.readouterr().out.split()), "what cleaning leaves out says nothing of the rule"
    pairs, comparable = (int(number.replace(",", "")) for number in kept.groups())
    judged = estimate(store, rule=preset("votes", floors=False))
    # Whatever `votes` without floors judges is comparable, ties too.
    ties = judged.tally.dropped["pair", "equal_score"]
    assert comparable == sum(judged.pairs.values()) + ties
    for words in (["compare"], ["export", "out"], ["export", "out", "--dry-run"]):
        assert run([*words, *where, "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert data["recommended_rule"] == "per-reader", words
    assert sum(data["pairs"].values()) == pairs
    assert run(["export", "votes", "--rule", "votes", *where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recommended_rule"] is None, "only the default is advised against"
    assert run(["export", "out", *where]) == 0
    assert kept[0] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("pairs", "comparable", "read", "rule"),
    [
        (9_999, 20_000, 0, "comparisons"),
        (9_999, 20_000, 9_999, "comparisons"),
        (9_999, 20_000, 10_000, "per-reader"),
        (10_000, 20_000, 20_000, "shp"),
        (0, 0, 0, "shp"),
        (540, 540, 0, "shp"),
    ],
)
def test_the_recommended_rule_follows_pairs_and_readers(pairs: int, comparable: int, read: int, rule: str) -> None:
    found = recommend_rule(pairs, Comparable(comparable, read))
    assert found.rule == rule
    assert bool(found.why) == (rule != "shp")


def test_what_cleaning_left_out_counts_as_made_by_the_rule() -> None:
    dropped = {("pair", "over_community_pairs"): 9_000, ("pair", "near_empty"): 958, ("pair", "equal_score"): 5}
    assert before_cleaning(42, {**dropped, ("answer", "near_empty"): 7}) == 10_000
