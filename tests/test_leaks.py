"""Exports without leaks: near-equal threads in one split, and no text with an item of an evaluation set."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shp_miner import clean_profile, evaluation_sets, export_dataset, import_dump
from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.grams import plain_words
from shp_miner.clean.near import near_equal
from shp_miner.cli import run
from shp_miner.engine import Threads
from shp_miner.engine.kept import RESULTS, Kept
from shp_miner.errors import BadInput, UsageError
from shp_miner.export.screens import KEPT_IN
from shp_miner.mining import near
from shp_miner.mining.calibrate import MeasureJob
from shp_miner.mining.mine import Selection
from shp_miner.rules.presets import Rule, preset
from shp_miner.show.compare import compare
from shp_miner.show.find import find_thread
from shp_miner.show.pairs import pairs_of
from shp_miner.show.thread import show_thread
from shp_miner.store import Store
from shp_miner.store.snapshot import EVERYTHING

from .build import T0, comment, submission, tree, write_month
from .conftest import NOW

_SYLLABLES = [first + second for first in "bdklmnst" for second in "aeio"]
_COMMUNITIES = ("AskTest", "AskOther")


def _words(chance: random.Random, count: int) -> list[str]:
    return ["".join(chance.choices(_SYLLABLES, k=chance.choice((2, 3)))) for _ in range(count)]


def _changed(chance: random.Random, words: list[str]) -> list[str]:
    copy = list(words)
    copy[chance.randrange(len(words))] = "changed"
    return copy


def _records(threads: int) -> Iterator[list[dict[str, Any]]]:
    """Threads, an hour apart. Most have their post or an answer from an earlier one, with a word changed.

    Every fourth post is a copy of a copy, and every fifth answer the same message of a bot.
    """
    chance = random.Random(5)
    posts: list[list[str]] = []
    answers: list[list[str]] = []
    bot = _words(chance, 30)
    for number in range(threads):
        post = _changed(chance, chance.choice(posts)) if number % 4 else _words(chance, 25)
        if number % 4 < 2:  # others would be copied until little is left
            posts.append(post)
        at, community = T0 + number * 3600, _COMMUNITIES[number % 2]
        records = [submission(f"p{number}", title=" ".join(post), selftext="", created_utc=at, subreddit=community)]
        for place in range(3):
            words = _words(chance, 30)
            if answers and (number + place) % 4 == 0:
                words = _changed(chance, chance.choice(answers))
            if (number + place) % 5 == 0:
                words = bot
            answers.append(words)
            records.append(
                comment(
                    f"p{number}c{place}", f"p{number}", body=" ".join(words), score=3 + place,
                    created_utc=at + 60 * (place + 1), subreddit=community,
                )
            )  # fmt: skip
        yield records


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    """The first 40 threads, and 20 that were written later."""
    folder, threads = tmp_path_factory.mktemp("dumps"), list(_records(60))
    parts = [[record for thread in part for record in thread] for part in (threads[:40], threads[40:])]
    return write_month(folder / "first", parts[0]), write_month(folder / "later", parts[1])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, dumps: tuple[list[Path], list[Path]]) -> Path:
    folder = tmp_path_factory.mktemp("near") / "store"
    import_dump("reddit-dump", [*dumps[0], *dumps[1]], folder, now=NOW)
    return folder


def _rows(out: Path) -> pl.DataFrame:
    """Rows of an export of pairs, with their split."""
    parts = [
        pl.read_parquet(out / file["path"], glob=False).with_columns(split=pl.lit(file["split"]))
        for file in json.loads((out / "manifest.json").read_text())["files"]
    ]
    return pl.concat(parts)


def _splits(rows: pl.DataFrame) -> dict[str, str]:
    return dict(rows.select("post_id", "split").unique().iter_rows())


def _near_across(texts: pl.DataFrame, apart: str) -> int:
    """How many near-equal texts differ in a column, of the columns `text` and that one."""
    unique = texts.unique(maintain_order=True)
    words, values = plain_words(unique["text"]), unique[apart].to_list()
    pairs = [(a, b) for a, b in combinations(range(len(values)), 2) if values[a] != values[b]]
    return int(near_equal(words, *(pl.Series(side).to_numpy() for side in zip(*pairs, strict=True))).sum())


def _kinds(rows: pl.DataFrame, apart: str) -> Iterator[pl.DataFrame]:
    """The questions, and the answers, each with the column that says which are apart."""
    yield rows.select(pl.col("question").alias("text"), apart)
    yield pl.concat([rows.select(pl.col(f"answer{side}").alias("text"), apart) for side in (1, 2)])


def _export(store: Path, out: Path, *options: str) -> Path:
    words = ["export", str(out), "--store", str(store), "--rule", "votes", "--validation", "0.3", "--test", "0.3"]
    assert run([*words, *options]) == 0
    return out


def test_near_equal_texts_are_in_one_split(store: Path, tmp_path: Path) -> None:
    apart = _rows(_export(store, tmp_path / "apart"))
    assert _near_across(next(_kinds(apart, "split")), "split") > 0
    together = _rows(_export(store, tmp_path / "together", "--clean-near-duplicates", "together"))
    assert [_near_across(texts, "split") for texts in _kinds(together, "split")] == [0, 0]
    assert together.height > apart.height / 2
    dropped = json.loads((tmp_path / "together" / "manifest.json").read_text())["counts"]["dropped"]
    assert dropped["answer"]["near_other_split"] > 0
    one = _rows(_export(store, tmp_path / "one", "--clean-near-duplicates", "one"))
    questions, _ = _kinds(one, "post_id")
    assert _near_across(questions, "post_id") == 0


def test_compare_and_show_find_what_an_export_finds(store: Path, tmp_path: Path) -> None:
    opened, clean = Store(store), clean_profile(near_duplicates="one")
    snapshot = opened.snapshot()
    rules = [preset("votes"), preset("votes", min_answer_score=4)]
    compared = compare(opened, snapshot, rules=rules, clean=clean).rules
    dropped = tmp_path / "dropped"
    for number, (rule, found) in enumerate(zip(rules, compared, strict=True)):
        done = export_dataset(store, tmp_path / str(number), rule=rule, clean=clean, keep_dropped=dropped)
        assert (found.pairs, found.posts) == (sum(done.pairs.values()), sum(done.posts.values()))
        if number == 0:
            rows = pl.read_parquet(dropped / "posts" / "000000.parquet").filter(pl.col("reason") == "near_earlier")
            thread = find_thread(snapshot, rows["post_id"][0], None)
            post = show_thread(opened, snapshot, thread, rule, clean=clean).post
            assert post is not None
            assert post.reason == "near_earlier"
            assert rows["post_id"].is_in([row["post_id"] for row in _shown_rows(opened, rule, clean)]).sum() == 0


def _shown_rows(store: Store, rule: Rule, clean: Cleaning) -> list[dict[str, Any]]:
    return [pair.row for pair in pairs_of(store, store.snapshot(), Selection(rule=rule, clean=clean), 100)]


def test_ranges_and_workers_do_not_change_which_texts_are_near_equal(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--clean-near-duplicates", "one")
    whole = tree(_export(store, tmp_path / "whole", *options, "--workers", "1"))
    monkeypatch.setattr("shp_miner.export.dataset.ROWS_PER_RANGE", 40)
    monkeypatch.setattr("shp_miner.mining.near._BUCKET_ROWS", 500)
    monkeypatch.setattr("shp_miner.mining.near._COMPARED", 7)
    assert tree(_export(store, tmp_path / "parts", *options, "--workers", "2")) == whole


def test_later_threads_move_no_earlier_one(store: Path, tmp_path: Path, dumps: tuple[list[Path], list[Path]]) -> None:
    import_dump("reddit-dump", dumps[0], tmp_path / "store", now=NOW)
    options = ("--clean-near-duplicates", "together")
    first = _splits(_rows(_export(tmp_path / "store", tmp_path / "first", *options)))
    grown = _splits(_rows(_export(store, tmp_path / "grown", *options)))
    assert first.items() <= grown.items()
    assert len(grown) > len(first)


def _crossed() -> list[tuple[str, list[dict[str, Any]]]]:
    """Parts of dumps: posts of a community, cross-posts of them in another, and the same texts on another site."""
    chance = random.Random(11)
    parts: list[tuple[str, list[dict[str, Any]]]] = [("threads", []), *(("reddit-dump", []) for _ in range(4))]
    for number in range(24):
        words, at = _words(chance, 25), T0 + number * 3600
        for place, community in enumerate(_COMMUNITIES):
            post = f"g{number}x{place}"
            more = {"crosspost_parent": f"t3_g{number}x0"} if place else {}
            records = [
                submission(post, title=" ".join(words), selftext="", created_utc=at, subreddit=community, **more)
            ]
            for answer in range(2):
                body, later = " ".join(_words(chance, 30)), at + 60 + answer
                records.append(
                    comment(
                        f"{post}c{answer}", post, body=body, score=3 + answer, created_utc=later, subreddit=community
                    )
                )
            parts[1 + (number + place) % 4][1].extend(records)
            at += 900
        answers = [
            {"answer_id": str(answer), "body": " ".join(_words(chance, 30)), "created_at": at + 60, "score": answer}
            for answer in (3, 5)
        ]
        copy = _changed(chance, words)
        parts[0][1].append({
            "site": "forum.example", "community": "cooking", "post_id": f"g{number}x2", "title": " ".join(copy[:4]),
            "body": f"<p><b>{copy[4]}</b> {' '.join(copy[5:])}</p>", "format": "html", "created_at": at,
            "score": 9, "observed_at": at + 10**7, "author": "reader", "answers": answers,
        })  # fmt: skip
    return parts


def test_cross_posts_share_a_split_whatever_order_they_come_in(tmp_path: Path) -> None:
    """Of communities and sites. What grows by later imports of earlier threads ends where one import would."""
    trees = []
    for order in range(2):
        parts = list(enumerate(_crossed()))
        random.Random(order).shuffle(parts)
        store = tmp_path / f"store{order}"
        for number, (kind, records) in parts:
            folder = tmp_path / f"{order}-{number}"
            folder.mkdir()
            (folder / "threads.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
            paths = [folder / "threads.jsonl"] if kind == "threads" else write_month(folder, records)
            import_dump(kind, paths, store, now=NOW)
        options = ("--clean-near-duplicates", "together", "--allow-unknown-age", "--workers", str(1 + order))
        out = _export(store, tmp_path / f"out{order}", *options)
        trees.append(tree(out))
    assert trees[0] == trees[1]
    groups: dict[str, set[str]] = {}
    for post, split in _splits(_rows(out)).items():
        groups.setdefault(post.partition("x")[0], set()).add(split)
    assert len(groups) == 24
    assert all(len(splits) == 1 for splits in groups.values())
    assert len(_splits(_rows(out))) == 72


def test_a_killed_search_goes_on_with_its_results(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = Store(store).snapshot()
    selection = Selection(rule=preset("votes"), clean=Cleaning(near_duplicates="one"))
    jobs = [
        MeasureJob(store, snapshot.version, number, part, selection, tmp_path / "work")
        for number, part in enumerate(snapshot.ranges(60))
    ]
    engine = Kept(Threads(1), tmp_path / "work" / RESULTS)
    with monkeypatch.context() as patched:
        patched.setattr(near, "settle", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            near.find_near(jobs, engine=engine, advance=lambda _: None)
    monkeypatch.setattr(near, "judge_threads", lambda *_: pytest.fail("read again"))
    near.find_near(jobs, engine=engine, advance=lambda _: None)
    settled = near.load_near(tmp_path / "work", EVERYTHING)
    assert settled is not None
    assert settled.height > 20
    assert len(list((tmp_path / "work").glob("*near-*"))) == 1


# -- evaluation sets -------------------------------------------------------------------------------------------------


@pytest.fixture
def evaluation(store: Path, tmp_path: Path) -> Path:
    """Two items: 20 words of the first answer of thread p1, and a text that nobody wrote."""
    answer = next(record for thread in _records(2) for record in thread if record["id"] == "p1c0")
    items = [
        {"id": "1", "question": " ".join(_words(random.Random(99), 20)), "note": "short"},
        {"id": "2", "question": " ".join(answer["body"].split()[5:25]), "choices": ["no", "yes"]},
    ]
    path = tmp_path / "exam.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def test_texts_with_an_item_are_left_out(
    store: Path, tmp_path: Path, evaluation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, kept = tmp_path / "out", tmp_path / "dropped"
    _export(store, out, "--decontaminate", str(evaluation), "--keep-dropped", str(kept))
    assert "exam.jsonl: 5 of 7 items have fewer than 8 words" in capsys.readouterr().err
    assert "p1c0" not in {*_rows(out)["answer1_id"], *_rows(out)["answer2_id"]}
    manifest = json.loads((out / "manifest.json").read_text())
    about = manifest["configuration"]["decontaminate"]
    assert about["files"][0] | {"sha256": ""} == {"name": "exam.jsonl", "sha256": "", "items": 7, "too_short": 5}
    card = (out / "README.md").read_text()
    assert "paraphrases" in card.partition("## Evaluation sets")[2]
    assert "None was screened" not in card
    count = manifest["counts"]["dropped"]["paired answer"]["in_evaluation_set"]
    rows = pl.concat([pl.read_parquet(path, glob=False) for path in sorted((kept / "answers").glob("*.parquet"))])
    held = rows.filter(pl.col("reason") == "in_evaluation_set")
    told = held.select("answer_id", "evaluation_item", "evaluation_share").rows()
    assert ("p1c0", "exam.jsonl:2", 1.0) in told
    assert len(told) == count  # copies of it, too


def test_an_export_that_is_made_again_without_the_file_is_still_screened(
    store: Path, tmp_path: Path, evaluation: Path, dumps: tuple[list[Path], list[Path]]
) -> None:
    own = tmp_path / "store"
    import_dump("reddit-dump", dumps[0], own, now=NOW)
    out = _export(own, tmp_path / "out", "--decontaminate", str(evaluation), "--clean-near-duplicates", "together")
    splits, evaluation_text = _splits(_rows(out)), evaluation.read_text()
    evaluation.unlink()
    assert run(["forget", "--store", str(own), "--author", "writer-p2c0@reddit.com"]) == 0
    rows = _rows(out)
    ids = {*rows["answer1_id"], *rows["answer2_id"]}
    assert ids.isdisjoint({"p1c0", "p2c0"})
    assert "p2c1" in ids
    assert _splits(rows).items() <= splits.items()
    words = evaluation_text.split('"')[7].encode()
    assert not [path for path in own.rglob("*") if path.is_file() and words in path.read_bytes()]
    # What a replaced export was screened for goes, but not in a dry run, nor while another export is away.
    (exam := tmp_path / "second.txt").write_text(" ".join(f"word{n}" for n in range(20)))
    for words in (["--decontaminate", str(exam)], ["--replace"]):
        _export(own, tmp_path / "other", *words)
    vacuum = ["vacuum", "--quiet", "--store", str(own)]
    out.rename(tmp_path / "away")
    assert run(vacuum) == 0
    (tmp_path / "away").rename(out)
    assert run([*vacuum, "--dry-run"]) == 0
    assert len(list((own / KEPT_IN).iterdir())) == 2
    assert run(vacuum) == 0
    other = min(answer for answer in ids if not answer.startswith("p2"))
    assert run(["forget", "--store", str(own), "--author", f"writer-{other}@reddit.com"]) == 0
    before, rows = rows, _rows(out)
    assert rows.height < before.height
    # Without the items, the export stays as it is, and the request stays open.
    for kept in (own / KEPT_IN).iterdir():
        kept.unlink()
    assert run(["forget", "--store", str(own), "--author", "writer-p2c1@reddit.com"]) == 3
    assert _rows(out).equals(rows)


@pytest.mark.parametrize("form", ["trl", "ranking", "kto"])
def test_check_shows_items_beside_the_texts(
    store: Path, tmp_path: Path, evaluation: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _export(store, tmp_path / "out", "--format", form)
    capsys.readouterr()
    words = ["check", str(out), "--decontaminate", str(evaluation)]
    assert run(words) == 5
    shown = capsys.readouterr().out
    item = json.loads(evaluation.read_text().splitlines()[1])["question"]
    assert "exam.jsonl:2, 100% of it in an answer" in shown
    assert shown.count(" ".join(item.split()[:3])) >= 2  # in the item, and in the text
    assert run([*words, "--json"]) == 5
    held = json.loads(capsys.readouterr().out)["held"]
    assert {(one["format"], one["of"], one["item_text"]) for one in held} == {(form, "answer", item)}
    _export(store, out, "--replace", "--format", form, "--decontaminate", str(evaluation))
    assert run(words) == 0


def test_a_pipeline_screens_and_sees_when_the_file_changes(store: Path, tmp_path: Path, evaluation: Path) -> None:
    pipeline = tmp_path / "pipeline.toml"
    pipeline.write_text(
        f'store = "{store}"\n[rule]\nname = "votes"\n[[export]]\nout = "out"\nsites = ["*"]\n'
        'decontaminate = ["exam.jsonl"]\ndecontaminate_columns = ["question"]\n'
        'clean = { near_duplicates = "together" }\n'
    )
    assert run(["run", str(pipeline), "--quiet"]) == 0
    manifest = tmp_path / "out" / "manifest.json"
    about = json.loads(manifest.read_text())["configuration"]
    assert about["decontaminate"]["columns"] == ["question"]
    assert about["clean"]["near_duplicates"] == "together"
    before = manifest.stat().st_mtime_ns
    assert run(["run", str(pipeline), "--quiet"]) == 0
    assert manifest.stat().st_mtime_ns == before
    evaluation.write_text(evaluation.read_text() + '{"question": "one more"}\n')
    assert run(["run", str(pipeline), "--quiet"]) == 0
    assert json.loads(manifest.read_text())["configuration"]["decontaminate"]["files"][0]["items"] == 3


def test_columns_and_presets(evaluation: Path, tmp_path: Path) -> None:
    by_column = evaluation_sets(evaluation, columns="question")
    assert [file.items for file in by_column.about.files] == [2]
    table = tmp_path / "exam.parquet"
    pl.DataFrame([{"question": "a b c", "choices": ["d", "e"], "n": 3}]).write_parquet(table)
    cells = tmp_path / "exam.tsv"
    cells.write_text('\ufeffquestion\tid\n"a, ""b""\nc"\t01\n\t02\nd\t03\n', encoding="utf-8")
    by_cells = evaluation_sets(cells, columns=["question"])
    assert by_cells.texts.to_list() == ['a, "b"\nc', "d"]
    assert by_cells.screen().labels.to_list() == ["exam.tsv:1", "exam.tsv:3"]
    semicolons = tmp_path / "exam.csv"
    semicolons.write_text('question;id\n"a; b, c";1\nd, e;2\n')
    assert evaluation_sets(semicolons, columns="question").texts.to_list() == ["a; b, c", "d, e"]
    lines = tmp_path / "exam.txt"
    lines.write_text("one\n\ntwo\n")
    both = evaluation_sets([table, lines], preset="strict")
    assert both.texts.to_list() == ["a b c", "d", "e", "one", "two"]
    assert both.screen().labels.to_list() == ["exam.parquet:1"] * 3 + ["exam.txt:1", "exam.txt:3"]


@pytest.mark.parametrize(
    ("name", "text", "columns", "error"),
    [
        ("exam.jsonl", '{"question": "a"}\n{"quest', None, BadInput),
        ("exam.jsonl", '{"question": "a"}', "questoin", UsageError),
        ("exam.jsonl", '["a"]', "question", BadInput),
        ("exam.txt", "a", "question", UsageError),
        ("exam.txt", "\n \n", None, BadInput),
        ("exam.txt", b"\xff\xfe", None, BadInput),
        ("exam.parquet", "no", None, BadInput),
        ("exam.csv", "question,answer\na,b,c,d\n", None, BadInput),
        ("exam.csv", "question\n", None, BadInput),
        ("exam.csv", "", None, BadInput),
        ("exam.csv.gz", gzip.compress(b"question\na\n", mtime=0), "question", BadInput),
        ("exam.tsv", "question\ta\nb\tc", "answer", UsageError),
    ],
)
def test_files_without_items_are_refused(
    tmp_path: Path, name: str, text: str | bytes, columns: str | None, error: type[Exception]
) -> None:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(error):
        evaluation_sets(path, columns=columns)
