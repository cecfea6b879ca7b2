"""`show`: rows of every format as people read them, and a thread with the reason for each pair that is not made."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from shp_miner import FORMATS, BadInput, Store, UsageError, export_dataset, preset
from shp_miner.cli import run
from shp_miner.rules.reasons import REASONS
from shp_miner.show.find import ThreadKey, find_thread
from shp_miner.show.rows import export_at, of_thread, sampled, surest
from shp_miner.show.thread import ThreadShown, show_thread

from .build import READ, T0, answer_row, chunk, post_row

MINUTE_US = 60_000_000


def rows_of(post_id: str, scores: list[int], **changes: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A post and answers a minute apart."""
    answers = [
        answer_row(
            f"{post_id}a{place}",
            **{"post_id": post_id, "score": score, "created_at": T0 * 1_000_000 + place * MINUTE_US, **changes},
        )
        for place, score in enumerate(scores, start=1)
    ]
    shared = {name: value for name, value in changes.items() if name in ("site", "community", "platform")}
    return post_row(post_id=post_id, title=f"Question {post_id}?", **shared), answers


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    posts, answers = zip(
        *(
            rows_of(f"p{number}", [3, 9, 5, 5 + number], community="asktest" if number % 2 else "other")
            for number in range(12)
        ),
        strict=True,
    )
    made.append(chunk(posts, [row for rows in answers for row in rows]))
    return made


@pytest.fixture
def out(store: Store, tmp_path: Path) -> Path:
    export_dataset(store, tmp_path / "out", formats=list(FORMATS), validation=0.2, test=0.2)
    return tmp_path / "out"


def said(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert run([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


# -- exports ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_rows_of_every_format_are_shown_and_are_those_of_the_files(
    form: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "show", out, "--format", form, "-n", "3")
    assert text.count("\n1. ") == 1
    assert "Answer p" in text
    assert "Question p" in text
    data = json.loads(said(capsys, "show", out, "--format", form, "-n", "3", "--json"))
    assert len(data["shown"]) == 3
    columns = set(FORMATS[form].schema.names) | {"community", "split"}
    assert all(set(row) == columns for row in data["shown"])


def test_the_preferred_answer_is_the_right_one(out: Path) -> None:
    for form in ("pairs", "shp", "trl", "chat-pairs"):
        export = export_at(out, form)
        for row in sampled(export, export.rows):
            _, better, worse = row.parts
            assert (better.label, worse.label) == ("Preferred", "Other")
            assert (better.score or 0) > (worse.score or 0), form


def test_the_sample_is_stable_without_repeats_and_takes_turns(out: Path) -> None:
    export = export_at(out, "pairs")
    ids = [row.row["pair_id"] for row in sampled(export, export.rows + 5)]
    assert len(ids) == len(set(ids)) == export.rows
    assert [row.row["pair_id"] for row in sampled(export, 3)] == ids[:3]
    groups = {(file["community"], file["split"]) for file in export.files}
    first = [(row.community, row.split) for row in sampled(export, len(groups))]
    assert set(first) == groups


@pytest.mark.parametrize("form", ["pairs", "trl", "chat-pairs"])
def test_the_surest_rows_are_the_surest(form: str, out: Path) -> None:
    export = export_at(out, form)
    tables = [pq.read_table(export.folder / file["path"], partitioning=None) for file in export.files]
    known = sorted((value for table in tables for value in table["confidence"].to_pylist()), reverse=True)
    assert [row.row["confidence"] for row in surest(export, 4)] == known[:4]
    with pytest.raises(UsageError, match="no confidence"):
        surest(export_at(out, "sft"), 1)


def test_row_groups_that_cannot_be_among_the_surest_are_not_read(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shp_miner.show import rows

    read = []
    table = rows._table
    monkeypatch.setattr(rows, "_table", lambda *asked: read.append(asked[1]) or table(*asked))
    export = export_at(out, "pairs")
    surest(export, 1)
    assert 0 < len(set(read)) < len(export.files)


def test_a_thread_of_an_export(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("pairs", "shp", "trl", "chat-pairs"):
        assert {row.parts[0].text.split()[1] for row in of_thread(export_at(out, form), "p3")} == {"p3?"}
    assert "no row of the thread 'nowhere'" in said(capsys, "show", out, "--thread", "nowhere", code=2)
    assert "do not name their thread" in said(capsys, "show", out, "--format", "kto", "--thread", "p3", code=2)


def test_one_community_of_an_export(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(said(capsys, "show", out, "--community", "r/AskTest", "-n", "50", "--json"))
    assert {row["community"] for row in data["shown"]} == {"asktest"}
    assert "no community 'nowhere'" in said(capsys, "show", out, "--community", "nowhere", code=5)


def test_mistakes_are_answered_with_what_to_do(out: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (out.parent / "notes").mkdir()
    assert "neither an export nor a store" in said(capsys, "show", out.parent / "notes", code=5)
    assert "neither an export nor a store" in said(capsys, "show", out.parent / "nothing", code=5)
    assert "It has: bandit" in said(capsys, "show", out, "--format", "csv", code=2)
    assert "--min-ratio cannot change them" in said(capsys, "show", out, "--min-ratio", "2", code=2)
    assert "--rule cannot change them" in said(capsys, "show", out, "--rule", "votes", code=2)
    assert "--sort needs an export" in said(capsys, "show", store.path, "--sort", "confidence", code=2)
    assert "--format needs an export" in said(capsys, "show", store.path, "--format", "trl", code=2)
    (next((out / "pairs").rglob("*.parquet"))).unlink()
    with pytest.raises(BadInput, match="does not have the file"):
        export_at(out, "pairs")


def test_long_texts_are_cut_with_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "store")
    post, answers = rows_of("p1", [3, 9], body="word " * 1000, body_chars=4999)
    store.append(chunk([post], answers))
    text = said(capsys, "show", store.path)
    assert "more characters; --full shows them]" in text
    whole = said(capsys, "show", store.path, "--full")
    assert whole.count("word") == 2000
    assert max(map(len, text.splitlines())) <= 100


def test_texts_cannot_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "store")
    evil = "\x1b]0;title\x07 \u202e and\nmore"
    post, answers = rows_of("p1", [3, 9], body=evil, body_chars=20)
    store.append(chunk([{**post, "title": evil.replace("\n", " "), "url": "https://x/\x1b[2J"}], answers))
    for arguments in (("show",), ("show", "--thread", "p1"), ("show", "--full")):
        text = said(capsys, *arguments, "--store", store.path)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\\u001b" in text


# -- stores -----------------------------------------------------------------------------------------------------------


def test_pairs_of_a_store_are_those_of_an_export(store: Store, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(said(capsys, "show", store.path, "-n", "100", "--json"))
    export = export_at(out, "pairs")
    exported = {row.row["pair_id"]: row.row for row in sampled(export, export.rows)}
    shown = {row["pair_id"]: row for row in data["shown"]}
    assert len({row["post_id"] for row in data["shown"]}) == len(data["shown"]) == 12
    for pair_id, row in shown.items():
        assert row["confidence"] == exported[pair_id]["confidence"]
        assert row["preferred"] == exported[pair_id]["preferred"]
    few = json.loads(said(capsys, "show", store.path, "-n", "2", "--community", "other", "--json"))
    assert len(few["shown"]) == 2
    assert {row["community"] for row in few["shown"]} == {"other"}


def test_a_store_without_pairs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "store")
    post, answers = rows_of("p1", [3, 3])
    store.append(chunk([post], answers))
    text = said(capsys, "show", store.path, code=5)
    assert "No pair of answers satisfies the rule (1 pair: equal score).\n`shp-miner compare` shows" in text
    text = said(capsys, "show", store.path, "--min-answer-score", "5", code=5)
    assert "(2 answers: score too low).\nLower --min-post-score or --min-answer-score. `shp-miner compare`" in text
    assert "no pair of this thread" in said(capsys, "show", store.path, "--thread", "p1")


def shown_thread(store: Store, post_id: str, **parameters: Any) -> ThreadShown:
    snapshot = store.snapshot()
    return show_thread(store, snapshot, find_thread(snapshot, post_id), preset("shp", **parameters))


def test_a_thread_with_every_pair_and_reason(store: Store, out: Path) -> None:
    thread = shown_thread(store, "p4")
    scores = [answer.score for answer in thread.answers]
    assert scores == [3, 9, 5, 9]
    assert [answer.number for answer in thread.answers] == [1, 2, 3, 4]
    assert {(pair.winner, pair.loser) for pair in thread.pairs} == {(2, 1), (3, 1), (4, 1), (4, 3)}
    assert {(pair.more, pair.less): pair.reason for pair in thread.not_made} == {
        (4, 2): "equal_score",
        (2, 3): "winner_older",
    }
    assert all(pair.why == REASONS[pair.reason] for pair in thread.not_made)
    exported = of_thread(export_at(out, "pairs"), "p4")
    assert len(exported) == len(thread.pairs)
    # Exports cut a confidence to three decimals.
    told = {int(pair.confidence * 1000 + 1e-9) / 1000 for pair in thread.pairs if pair.confidence is not None}
    assert {row.row["confidence"] for row in exported} == told


@pytest.mark.parametrize(
    ("parameters", "counts"),
    [
        ({"min_ratio": 2.0}, {"winner_older": 1, "equal_score": 1, "ratio_too_low": 2}),
        ({"max_pairs_per_post": 1}, {"winner_older": 1, "equal_score": 1, "over_pair_cap": 3}),
        ({"order": "any", "neighbours_only": True}, {"equal_score": 1, "not_neighbours": 2}),
        ({"min_confidence": 0.99}, {"winner_older": 1, "equal_score": 1, "confidence_too_low": 4}),
    ],
)
def test_reasons_are_counted_as_exports_count_them(store: Store, parameters: Any, counts: dict[str, int]) -> None:
    thread = shown_thread(store, "p4", **parameters)
    assert Counter(pair.reason for pair in thread.not_made) == counts
    assert len(thread.pairs) + len(thread.not_made) == 6


def test_an_answer_that_is_not_eligible_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "store")
    post, answers = rows_of("p1", [3, 9, 5])
    answers[0] |= {"author_role": "bot"}
    answers[1] |= {"body": "<br>", "body_format": "html", "body_chars": 4}
    store.append(chunk([{**post, "score": 1}], []))
    store.append(chunk([], answers))
    thread = shown_thread(store, "p1")
    assert thread.post is not None
    assert thread.post.reason == "score_too_low"
    assert {answer.reason for answer in thread.answers} == {"post_dropped"}
    low = shown_thread(store, "p1", min_post_score=0)
    assert [answer.reason for answer in low.answers] == ["author_bot", None, None]
    assert [(pair.more, pair.less, pair.reason) for pair in low.not_made] == [(2, 3, "winner_older")]
    either = shown_thread(store, "p1", min_post_score=0, order="any")
    assert [(pair.more, pair.less, pair.reason) for pair in either.not_made] == [(2, 3, "empty_text")]
    text = said(capsys, "show", store.path, "--thread", "p1")
    assert REASONS["score_too_low"].split("(")[0].strip() in " ".join(text.split())


def test_scores_at_each_reading(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "store")
    post, answers = rows_of("p1", [3, 9])
    store.append(chunk([post], answers))
    later = [{**row, "score": row["score"] + 4, "observed_at": (READ + 86_400) * 1_000_000} for row in answers]
    store.append(
        chunk([], [*later, {**answers[0], "observed_at": (READ + 2 * 86_400) * 1_000_000, "state": "removed"}])
    )
    thread = shown_thread(store, "p1")
    assert [reading.score for reading in thread.answers[1].readings] == [9, 13]
    assert thread.answers[0].readings[-1].state == "removed"
    assert thread.answers[0].reason == "removed"
    assert "Scores: 9 at 40 d, 13 at 41 d" in said(capsys, "show", store.path, "--thread", "p1")


def test_a_thread_without_its_post(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "store")
    store.append(chunk([], rows_of("p1", [3, 9])[1]))
    text = said(capsys, "show", store.path, "--thread", "p1")
    assert "does not have the post" in text
    assert REASONS["post_missing"] in text


# -- finding a thread -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("site", "post_id", "address"),
    [
        ("reddit.com", "abc12", "https://old.reddit.com/r/AskTest/comments/abc12/a_title/xyz99/?context=3"),
        ("reddit.com", "abc12", "https://redd.it/abc12"),
        ("cooking.stackexchange.com", "784", "https://cooking.stackexchange.com/questions/784/how-to/790#790"),
        ("meta.discourse.org", "123", "https://meta.discourse.org/t/a-title-of-2024/123/4"),
        ("forum.example/sub", "123", "https://forum.example/sub/t/a-title/123"),
        ("lemmy.world", "55", "https://lemmy.world/post/55"),
        ("forum.example", "9", "https://forum.example/topic/9/a-title?page=2"),
    ],
)
def test_a_thread_by_its_address(site: str, post_id: str, address: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    post, answers = rows_of(post_id, [3, 9], site=site)
    other, more = rows_of("4", [3, 9], site=site)
    store.append(chunk([post, other], [*answers, *more]))
    assert find_thread(store.snapshot(), address) == ThreadKey(site, post_id)


def test_a_thread_by_one_of_its_answers(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    post, answers = rows_of("p1", [3, 9])
    store.append(chunk([post], answers))
    (thread,) = {(row["site"], row["post_id"]) for row in answers}
    for asked in (answers[0]["answer_id"], f"t1_{answers[1]['answer_id']}"):
        assert find_thread(store.snapshot(), asked) == ThreadKey(*thread)
    with pytest.raises(UsageError, match="no thread 'c9'"):
        find_thread(store.snapshot(), "c9")


def test_a_thread_by_the_address_that_its_row_has(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    post, answers = rows_of("p1", [3, 9], site="forum.example")
    store.append(chunk([{**post, "url": "https://elsewhere.example/read.php?id=7"}], answers))
    assert find_thread(store.snapshot(), "https://elsewhere.example/read.php?id=7") == ThreadKey("forum.example", "p1")


def test_the_same_id_on_two_sites_asks_for_the_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "store")
    for site in ("a.example", "b.example"):
        post, answers = rows_of("7", [3, 9], site=site, platform="threads")
        store.append(chunk([post], answers))
    text = said(capsys, "show", store.path, "--thread", "7", code=2)
    assert "a.example, b.example" in text
    assert "--site a.example" in text
    data = json.loads(said(capsys, "show", store.path, "--thread", "7", "--site", "b.example", "--json"))
    assert data["site"] == "b.example"
    assert "no thread '8'" in said(capsys, "show", store.path, "--thread", "8", code=2)


def test_a_thread_is_looked_for_only_in_files_that_can_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log knows the hashes of each file; after compaction, that is one file of many."""
    from shp_miner.store import snapshot as module

    store = Store(tmp_path / "store")
    for number in range(6):
        post, answers = rows_of(f"p{number}", [3, 9])
        store.append(chunk([post], answers))
    read: list[str] = []
    scan = module.pl.scan_parquet
    monkeypatch.setattr(module.pl, "scan_parquet", lambda paths, **more: read.extend(paths) or scan(paths, **more))
    shown = find_thread(store.snapshot(), "p3", "reddit.com")
    assert shown == ThreadKey("reddit.com", "p3")
    assert len(read) == 1  # that of its post
