from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner.dumps.threads import read
from shp_miner.dumps.threads_layout import ANSWER_REQUIRED, THREAD_REQUIRED
from shp_miner.errors import BadInput
from shp_miner.model import ANSWER, POST
from shp_miner.tally import LOST, Tally

from .property import examples

NOW = datetime(2025, 1, 1, tzinfo=UTC)
DOC = Path(__file__).parent.parent / "docs" / "threads.md"


def answer(answer_id: Any = "1", **more: Any) -> dict[str, Any]:
    return {"answer_id": answer_id, "body": "Yes.", "created_at": "2024-01-02T04:00:00Z", "score": 3} | more


def thread(post_id: Any = "17", *, answers: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "site": "forum.example",
        "community": "cooking",
        "post_id": post_id,
        "title": "Why?",
        "body": "Because",
        "created_at": "2024-01-02T03:04:05Z",
        "score": 12,
        "observed_at": "2024-02-01T00:00:00Z",
        "author": "reader-17",
        "answers": [answer()] if answers is None else answers,
    } | more


def lines_of(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def load(*paths: Path) -> tuple[pa.Table, pa.Table, Tally]:
    tally = Tally()
    chunks = list(read(paths, tally, now=NOW))
    posts, answers = pa.concat_tables(c.posts for c in chunks), pa.concat_tables(c.answers for c in chunks)
    assert posts.schema == POST
    assert answers.schema == ANSWER
    assert tally.read["post"] == len(posts)
    assert tally.read["answer"] == len(answers)
    assert {reason for kind, reason in tally.dropped} <= LOST | {"thread_lost", "repeated_identically"}
    return posts, answers, tally


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., tuple[list[Any], list[Any], Tally]]:
    def run(*records: Any) -> tuple[list[Any], list[Any], Tally]:
        path = tmp_path / "threads.jsonl"
        path.write_bytes(lines_of(thread("0", answers=[]), *records))
        posts, answers, tally = load(path)
        return [row for row in posts.to_pylist() if row["post_id"] != "0"], answers.to_pylist(), tally

    return run


def without(record: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


def test_the_example_in_the_documentation_imports(tmp_path: Path) -> None:
    example = json.loads(re.findall(r"```json\n(.*?)```", DOC.read_text(), re.DOTALL)[0])
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines_of(example))
    posts, answers, tally = load(path)
    assert tally.complete
    assert not tally.dropped
    post = posts.to_pylist()[0]
    assert (post["source"], post["platform"], post["site"]) == ("threads", "threads", "forum.example")
    assert (post["post_id"], post["author_id"], post["upvote_ratio"]) == ("17", "17", 0.93)
    assert post["created_at"] == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    first, second, third = answers.sort_by("answer_id").to_pylist()
    assert first["observed_at"] == post["observed_at"]
    assert first["created_at"] == datetime(2024, 1, 2, 3, tzinfo=UTC)
    assert (first["body_format"], first["license"]) == ("markdown", "CC BY-SA 4.0")
    assert (second["body_format"], second["license"]) == ("html", "CC BY 4.0")
    assert second["created_at"] == datetime(2024, 1, 2, 5, 4, 5, 500_000, tzinfo=UTC)
    assert second["observed_at"] == datetime(2024, 2, 2, tzinfo=UTC)
    assert (second["accepted"], second["author_role"], second["edited"]) == (True, "moderator", True)
    assert (third["state"], third["score"], third["author_deleted"], third["author"]) == ("deleted", None, True, None)
    counts = ("reads", "upvotes", "downvotes")
    assert [post[name] for name in (*counts, "views")] == [40, 13, 1, 310]
    assert [[row[name] for name in (*counts, "accepted_at")] for row in (first, second)] == [
        [None, None, None, None],
        [31, 8, 0, datetime(2024, 1, 4, 8, tzinfo=UTC)],
    ]


def test_every_key_of_the_layout_is_in_the_documented_example_and_tables() -> None:
    from shp_miner.dumps import threads

    text = DOC.read_text()
    example = json.loads(re.findall(r"```json\n(.*?)```", text, re.DOTALL)[0])
    tables = set(re.findall(r"`(\w+)`", "\n".join(line for line in text.split("\n") if line.startswith("|"))))
    assert set(example) == threads.THREAD_KEYS
    assert {key for item in example["answers"] for key in item} == threads.ANSWER_KEYS
    assert tables >= threads.THREAD_KEYS | threads.ANSWER_KEYS
    documented = {line.split("`")[1] for line in text.split("\n") if re.match(r"\| `\w+` \| yes", line)}
    assert documented == threads.THREAD_REQUIRED | threads.ANSWER_REQUIRED


def test_the_parquet_program_in_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)[0], {})
    posts, answers, tally = load(tmp_path / "threads.parquet")
    assert tally.complete
    assert posts["author_deleted"].to_pylist() == [False]
    assert answers["created_at"].to_pylist() == [datetime(2024, 1, 2, 4, 4, 5, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scor": 3}, "unknown_field"),
        ({"score": True}, "bad_score"),
        ({"score": "12"}, "bad_score"),
        ({"score": float("nan")}, "bad_score"),
        ({"score": float("-inf")}, "bad_score"),
        ({"score": 1.5}, "bad_score"),
        ({"score": [1]}, "bad_score"),
        ({"score": 2**63}, "bad_score"),
        ({"reads": -1}, "bad_count"),
        ({"upvotes": "3"}, "bad_count"),
        ({"downvotes": 0.5}, "bad_count"),
        ({"created_at": None}, "missing_field"),
        ({"created_at": "2024-01-02T03:04:05"}, "bad_time"),
        ({"created_at": "yesterday"}, "bad_time"),
        ({"created_at": True}, "bad_time"),
        ({"created_at": float("nan")}, "bad_time"),
        ({"created_at": -1}, "bad_time"),
        ({"created_at": 0}, "bad_time"),
        ({"created_at": 1704164645000}, "bad_time"),
        ({"created_at": "2026-01-01T00:00:00Z"}, "time_in_future"),
        ({"observed_at": "2026-01-01T00:00:00Z"}, "time_in_future"),
        ({"observed_at": "x"}, "bad_time"),
        ({"format": "bbcode"}, "wrong_type"),
        ({"author_role": "king"}, "wrong_type"),
        ({"state": "gone"}, "wrong_type"),
        ({"edited": "no"}, "wrong_type"),
        ({"author_id": 1.5}, "wrong_type"),
        ({"author": 7}, "wrong_type"),
    ],
)
def test_one_bad_value_loses_one_record(imported: Any, change: dict[str, Any], reason: str) -> None:
    posts, answers, tally = imported(thread(answers=[answer("1", **change), answer("2")]))
    assert [row["answer_id"] for row in answers] == ["2"]
    assert tally.dropped == {("answer", reason): 1}
    assert "answers[0]: " in tally.examples[0].what
    assert not tally.complete
    posts, answers, tally = imported(thread("1", **change), thread("2", answers=[]))
    assert [row["post_id"] for row in posts] == ["2"]
    assert tally.dropped == {("post", reason): 1, ("answer", "thread_lost"): 1}
    assert tally.examples[0].offset == len(lines_of(thread("0", answers=[])))


@pytest.mark.parametrize(
    ("change", "kept", "dropped"),
    [
        ({"accepted_at": "2024-02-01T00:00:00Z"}, [True], {}),
        ({"accepted_at": 1706745600, "accepted": False}, [False], {}),
        ({"accepted_at": 0}, [False], {}),
        ({"accepted_at": "2026-01-01T00:00:00Z"}, [], {("answer", "time_in_future"): 1}),
        ({"accepted_at": "soon"}, [], {("answer", "bad_time"): 1}),
    ],
)
def test_an_answer_with_a_time_of_choice_is_the_chosen_one(
    imported: Any, change: dict[str, Any], kept: list[bool], dropped: dict[tuple[str, str], int]
) -> None:
    _, answers, tally = imported(thread(answers=[answer("1", **change)]))
    assert [row["accepted"] for row in answers] == kept
    assert tally.dropped == dropped


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"site": "somebody@forum.example"}, "bad_id"),
        ({"site": ""}, "bad_id"),
        ({"site": None}, "missing_field"),
        ({"community": "  "}, "bad_id"),
        ({"post_id": ""}, "bad_id"),
        ({"post_id": " 1"}, "bad_id"),
        ({"post_id": "a\0b"}, "bad_id"),
        ({"post_id": "a\ud800b"}, "bad_id"),
        ({"post_id": "x" * 256}, "bad_id"),
        ({"post_id": True}, "bad_id"),
        ({"post_id": 1.0}, "bad_id"),
        ({"post_id": None}, "missing_field"),
        ({"title": 5}, "wrong_type"),
        ({"title": None}, "missing_field"),
        ({"answers": {}}, "wrong_type"),
        ({"answers": None}, "missing_field"),
        ({"upvote_ratio": 93}, "wrong_type"),
        ({"upvote_ratio": float("nan")}, "wrong_type"),
        ({"views": 2**60}, "bad_count"),
        ({"views": True}, "bad_count"),
    ],
)
def test_a_bad_head_loses_the_thread(imported: Any, change: dict[str, Any], reason: str) -> None:
    posts, answers, tally = imported(thread() | change)
    assert not posts
    assert not answers
    assert tally.dropped["post", reason] == 1


@pytest.mark.parametrize(
    ("key", "do"),
    [
        ("title", "fill title in"),
        ("body", "write null, or leave body out"),
        ("score", "write null if the forum hides the score"),
        ("author", "leave author out if the name is unknown"),
    ],
)
def test_a_cell_that_pandas_left_empty_is_told_so(imported: Any, key: str, do: str) -> None:
    _, _, tally = imported(thread(**{key: float("nan")}))
    assert f"{key} is NaN, which pandas writes for an empty cell; {do}" in tally.examples[0].what


@pytest.mark.parametrize("key", ["site", "community", "post_id", "title", "created_at", "score", "answers"])
def test_a_required_key_of_a_thread_is_named(imported: Any, key: str) -> None:
    _, _, tally = imported(without(thread(), key))
    assert tally.dropped["post", "missing_field"] == 1
    assert f'"{key}" is missing' in tally.examples[0].what


@pytest.mark.parametrize("key", ["answer_id", "body", "created_at", "score"])
def test_a_required_key_of_an_answer_is_named(imported: Any, key: str) -> None:
    _, _, tally = imported(thread(answers=[without(answer(), key)]))
    assert tally.dropped == {("answer", "missing_field"): 1}
    assert f'"{key}" is missing' in tally.examples[0].what


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("scor", "score"), ("comments", "answers"), ("created_utc", "created_at"), ("postid", "post_id")],
)
def test_an_unknown_key_names_the_nearest_right_one(imported: Any, wrong: str, right: str) -> None:
    _, _, tally = imported(thread(**{wrong: 1}))
    assert f'"{wrong}" is not in the layout (did you mean "{right}"?)' in tally.examples[0].what
    _, _, tally = imported(thread(qqqq=1))
    assert tally.examples[0].what == '"qqqq" is not in the layout'


def test_answer_ids_repeated(imported: Any) -> None:
    rows = [answer("1"), answer("1"), answer(1, score=4), answer("2", score="x"), answer("2")]
    _, answers, tally = imported(thread(answers=rows))
    assert sorted((row["answer_id"], row["score"]) for row in answers) == [("1", 3), ("2", 3)]
    assert tally.dropped == {
        ("answer", "repeated_identically"): 1,
        ("answer", "id_repeated"): 1,
        ("answer", "bad_score"): 1,
    }


def test_an_author_left_out_is_unknown_and_one_that_is_null_is_gone(imported: Any) -> None:
    names: list[Any] = [None, "", "[deleted]", "[removed]", "anna"]
    rows = [answer(str(i), author=name) for i, name in enumerate(names)]
    posts, answers, _ = imported(without(thread(answers=[*rows, answer("9")]), "author"))
    assert [(row["author"], row["author_deleted"]) for row in posts] == [(None, False)]
    answers.sort(key=lambda row: row["answer_id"])
    assert [row["author_deleted"] for row in answers] == [True, True, True, True, False, False]
    assert [row["author"] for row in answers] == [None, None, None, None, "anna", None]


def test_numbers_that_other_programs_write_are_taken(imported: Any) -> None:
    posts, answers, tally = imported(
        thread(170, score=12.0, created_at=1704164645, observed_at=None, answers=[answer(7, score=-2, author_id=5)])
    )
    assert (posts[0]["post_id"], posts[0]["score"]) == ("170", 12)
    assert posts[0]["created_at"] == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert posts[0]["observed_at"] is None
    assert (answers[0]["answer_id"], answers[0]["score"], answers[0]["author_id"]) == ("7", -2, "5")
    assert tally.complete
    assert tally.notes["answer", "score_age_unknown"] == 1


def test_unsound_text_is_repaired_and_noted(imported: Any) -> None:
    posts, answers, tally = imported(thread(title="a\ud800", answers=[answer(body="x\0y"), answer("2", body="😀")]))
    assert posts[0]["title"] == "a\ufffd"
    assert sorted(row["body"] for row in answers) == ["x\ufffdy", "😀"]
    assert tally.notes == {("post", "text_repaired"): 1, ("answer", "text_repaired"): 1}
    assert tally.complete


def test_lines_that_are_no_threads_are_counted_with_their_place(tmp_path: Path) -> None:
    good = lines_of(thread("1"))
    path = tmp_path / "a.jsonl"
    bad = [b'{"site": ', b"[1]\n", b'{"title": "\xff\n', b"[" * 100_000 + b"\n", b'"text"\n', b"null\n"]
    path.write_bytes(good + bad[0] + b"\n\n  \n" + b"".join(bad[1:]) + lines_of(thread("2")).rstrip())
    posts, _, tally = load(path)
    assert sorted(posts["post_id"].to_pylist()) == ["1", "2"]
    assert tally.dropped == {("post", "not_json"): 2, ("post", "not_an_object"): 3, ("post", "not_utf8"): 1}
    assert tally.examples[0].offset == len(good)
    assert tally.examples[0].path == str(path)


def test_a_byte_order_mark_and_windows_line_ends_are_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines_of(thread("1"), thread("2")).replace(b"\n", b"\r\n"))
    posts, _, tally = load(path)
    assert len(posts) == 2
    assert tally.complete


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files_and_progress(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "threads"
    path.write_bytes(pack(lines_of(*(thread(i) for i in range(100)))))
    seen: list[int] = []
    chunks = list(read([path], Tally(), now=NOW, advance=seen.append))
    assert sum(len(chunk.answers) for chunk in chunks) == 100
    assert sum(seen) == path.stat().st_size


def test_a_truncated_archive_keeps_what_stands_before_the_damage(tmp_path: Path) -> None:
    path = tmp_path / "threads.gz"
    whole = gzip.compress(lines_of(*(thread(i, body=f"{i * 7919:x}" * 50) for i in range(2000))))
    path.write_bytes(whole[: len(whole) // 2])
    posts, _, tally = load(path)
    assert 0 < len(posts) < 2000
    assert len(tally.damages) == 1
    assert not tally.complete


def test_chunks_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines_of(*(thread(i, answers=[answer(j) for j in range(300)]) for i in range(1200))))
    chunks = list(read([path], Tally(), now=NOW))
    assert sum(len(chunk.answers) for chunk in chunks) == 360_000
    # A row inside a frame takes a fraction of the memory that one made of objects does.
    assert max(len(chunk.answers) for chunk in chunks) < 300_000


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"id":"a","subreddit":"x","title":"t","score":1,"created_utc":1}\n', "import reddit-dump"),
        (b'{"id":"a","link_id":"t3_x","body":"t","score":1,"created_utc":1}\n', "import reddit-dump"),
        (
            b'{"post_stream":{"posts":[{"id":1,"score":1,"created_at":"x","post_id":1}]},"title":"t"}\n',
            "discourse-json",
        ),
        (b'<?xml version="1.0"?><posts><row Id="1"/></posts>', "import stackexchange-dump"),
        (b"\xef\xbb\xbf<posts>", "import stackexchange-dump"),
        (b"7z\xbc\xaf\x27\x1c\0\0", "import stackexchange-dump"),
        (b"title,body,score\nhello,there,1\n", "`shp-miner docs threads`"),
        (b"\x89PNG\r\n\x1a\n", "`shp-miner docs threads`"),
    ],
)
def test_another_kind_of_file_is_refused_before_anything_is_yielded(tmp_path: Path, content: bytes, says: str) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad"
    good.write_bytes(lines_of(thread()))
    bad.write_bytes(content)
    tally = Tally()
    with pytest.raises(BadInput) as caught:
        next(read([good, bad], tally, now=NOW))
    assert says in caught.value.hint
    assert str(bad) in caught.value.message
    assert tally == Tally()


def test_the_real_files_of_other_kinds_are_sent_to_their_own_import(shared_data: Path) -> None:
    for name, kind in [
        ("reddit-dumps/RS_AskAcademia.zst", "reddit-dump"),
        ("reddit-dumps/RC_GradSchool.zst", "reddit-dump"),
        ("stackexchange/beer.stackexchange.com.7z", "stackexchange-dump"),
        ("discourse/urho3d_topics.ndjson.zst", "discourse-json"),
    ]:
        with pytest.raises(BadInput) as caught:
            next(read([shared_data / name], Tally(), now=NOW))
        assert f"`import {kind}`" in caught.value.hint


def test_a_compressed_empty_file_holds_no_threads(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n"))
    posts, answers, tally = load(path)
    assert len(posts) == len(answers) == 0
    assert tally.complete


def test_a_long_first_line_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(thread(answers=[answer(body="x" * 100_000)]), sort_keys=True).encode())
    _, answers, _ = load(path)
    assert answers["body_chars"].to_pylist() == [100_000]


# Parquet

TIME = pa.timestamp("us", tz="UTC")


def parquet(path: Path, records: list[dict[str, Any]], **options: Any) -> Path:
    """Write records with created_at and observed_at as timestamps."""

    def timed(record: dict[str, Any]) -> dict[str, Any]:
        out = dict(record)
        for name in ("created_at", "observed_at"):
            if isinstance(out.get(name), str):
                out[name] = datetime.fromisoformat(out[name])
        if "answers" in out:
            out["answers"] = [timed(item) for item in out["answers"]]
        return out

    table = pa.Table.from_pylist([timed(record) for record in records])
    pq.write_table(table, path, write_page_checksum=True, **options)
    return path


@pytest.mark.parametrize("rows_per_group", [1, 7, 1000])
def test_parquet_and_jsonl_give_the_same_rows(tmp_path: Path, rows_per_group: int) -> None:
    records = [thread(i, answers=[answer(str(j), author=f"r{j}") for j in range(i % 4 + 1)]) for i in range(50)]
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(lines_of(*records))
    rows = parquet(tmp_path / "a.parquet", records, row_group_size=rows_per_group)
    posts, answers, tally = load(lines)
    posts_too, answers_too, tally_too = load(rows)
    assert posts == posts_too
    assert answers == answers_too
    assert tally == tally_too
    assert tally.complete


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet_timestamps_of_every_unit(tmp_path: Path, unit: str) -> None:
    table = pa.Table.from_pylist([without(thread(answers=[]), "created_at")])
    stamp = pa.array([datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)], pa.timestamp(unit, tz="Europe/Paris"))
    pq.write_table(table.append_column("created_at", stamp), tmp_path / "a.parquet", version="2.6")
    posts, _, tally = load(tmp_path / "a.parquet")
    assert tally.complete
    assert posts["created_at"].to_pylist() == [datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)]


def test_a_parquet_row_is_checked_by_itself(tmp_path: Path) -> None:
    records = [thread(1), thread(2, created_at=None), thread(3, answers=[answer(), answer("2", score=None)])]
    records[2]["answers"][0]["body"] = None
    posts, answers, tally = load(parquet(tmp_path / "a.parquet", records))
    assert sorted(posts["post_id"].to_pylist()) == ["1", "3"]
    assert answers.filter(pa.compute.equal(answers["post_id"], "3"))["score"].to_pylist() == [None]
    assert tally.dropped == {
        ("post", "missing_field"): 1,
        ("answer", "thread_lost"): 1,
        ("answer", "missing_field"): 1,
    }
    assert tally.examples[0].what == 'row 1: "created_at" is missing or null'
    assert tally.examples[1].what == 'row 2: answers[0]: "body" is missing or null'


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (thread(scor=1), '"scor" is not in the layout (did you mean "score"?)'),
        (without(thread(), "title"), '"title" is missing'),
        (thread(answers=[answer(boddy=1)]), '"answers.boddy" is not in the layout (did you mean "answers.body"?)'),
        (thread(answers=[without(answer(), "body")]), '"answers.body" is missing'),
        (thread() | {"answers": "none"}, "answers is not a list of structs"),
    ],
)
def test_parquet_with_other_columns_is_refused(tmp_path: Path, record: dict[str, Any], says: str) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist([record]), path)
    with pytest.raises(BadInput) as caught:
        next(read([path], Tally(), now=NOW))
    assert says in caught.value.message


@pytest.mark.parametrize("day", [datetime(2024, 1, 1), datetime(2024, 1, 1).date()])  # noqa: DTZ001
def test_parquet_times_without_a_zone_are_refused_with_the_line_that_mends_them(tmp_path: Path, day: Any) -> None:
    good, path = parquet(tmp_path / "good.parquet", [thread()]), tmp_path / "a.parquet"
    for name in ("created_at", "observed_at"):
        pq.write_table(pa.Table.from_pylist([thread() | {name: day}]), path)
        with pytest.raises(BadInput, match=f"The times in the column {name} of .* have no time zone") as caught:
            next(read([good, path], Tally(), now=NOW))
        frame = pd.DataFrame({name: [day]})
        line = caught.value.hint.split(": ", 1)[1].split(";")[0]
        exec(line, {"df": frame, "pandas": pd})
        assert str(frame[name].dtype).endswith("UTC]")
    pq.write_table(pa.Table.from_pylist([thread(answers=[answer() | {"created_at": day}])]), path)
    with pytest.raises(BadInput, match=r"answers\.created_at"):
        next(read([path], Tally(), now=NOW))


def test_decimals_of_databases_are_numbers(tmp_path: Path) -> None:
    whole, part = Decimal("12"), Decimal("0.5")
    record = thread(Decimal("17"), score=whole, upvote_ratio=part, author_id=Decimal(4)) | {
        "answers": [answer(answer_id=Decimal(n), score=Decimal(n)) for n in (3, 4)]
    }
    pq.write_table(pa.Table.from_pylist([record, record | {"score": part, "post_id": Decimal("18")}]), tmp_path / "a")
    posts, answers, tally = load(tmp_path / "a")
    (row,) = posts.to_pylist()
    assert (row["post_id"], row["score"], row["upvote_ratio"], row["author_id"]) == ("17", 12, 0.5, "4")
    assert [(shown["answer_id"], shown["score"]) for shown in answers.to_pylist()] == [("3", 3), ("4", 4)]
    assert tally.dropped["post", "bad_score"] == 1


def test_damaged_parquet_keeps_the_sound_row_groups(tmp_path: Path) -> None:
    records = [thread(i, body=f"{i * 7919:x}" * 20) for i in range(90)]
    path = parquet(tmp_path / "a.parquet", records, row_group_size=30, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(1).column(4)
    data[column.data_page_offset + column.total_compressed_size - 5] ^= 0xFF
    path.write_bytes(data)
    posts, _, tally = load(path)
    assert len(posts) == 60
    assert len(tally.damages) == 1
    assert "row group 1 breaks off at row 30" in tally.damages[0].what
    path.write_bytes(data[:-100])
    posts, _, tally = load(path)
    assert len(posts) == 0
    assert len(tally.damages) == 1
    assert tally.damages[0].offset == len(data) - 100


def test_parquet_text_that_is_not_utf8_loses_its_row(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([thread(i) for i in range(3)])
    broken = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    table = table.set_column(table.schema.get_field_index("title"), "title", broken)
    pq.write_table(table, tmp_path / "a.parquet")
    posts, _, tally = load(tmp_path / "a.parquet")
    assert sorted(posts["post_id"].to_pylist()) == ["0", "2"]
    assert tally.dropped == {("post", "not_utf8"): 1}


def test_threads_without_answers_in_parquet(tmp_path: Path) -> None:
    posts, answers, tally = load(parquet(tmp_path / "a.parquet", [thread(1, answers=[])]))
    assert (len(posts), len(answers), tally.complete) == (1, 0, True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ANY_ANSWERS = st.lists(st.dictionaries(st.sampled_from(sorted(answer())), JSON).map(lambda d: answer() | d) | JSON)


@examples(25)
@given(st.dictionaries(st.sampled_from(sorted(thread())), JSON), ANY_ANSWERS)
def test_no_value_breaks_the_reader_and_every_record_is_counted(
    tmp_path: Path, change: dict[str, Any], answers: list[Any]
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines_of(thread("0", answers=[]), thread(answers=answers) | change))
    _, _, tally = load(path)
    counted = tally.read["post"] + sum(n for (kind, _), n in tally.dropped.items() if kind == "post")
    assert counted == 2
    if "answers" not in change:
        counted = tally.read["answer"] + sum(n for (kind, _), n in tally.dropped.items() if kind == "answer")
        assert counted == len(answers)


WORDS = ["2024-01-02T04:00:00Z", "2024-01-02T04:00:00.25+01:00", "2024-01-02", "2024-01-02T04:00:00", "soon", "", "0"]
WORDS += ["1704171845", "2124-01-02T04:00:00Z", "2024-02-30T04:00:00Z"]
TIMES = st.sampled_from([*WORDS, 0, None, 1704171845, 1704171845.5, 1.7e12, -5, True])
NUMBERS = st.sampled_from([3, -2, 3.0, 2.5, "3", None, True, 10**30, 1e300])
TEXTS = st.sampled_from(["a", "", " ", None, "[deleted]", "a\0b", "\ud800", "é\u200b", 5, '"author":null', ["a"]])
SHARED: dict[str, Any] = {
    **dict.fromkeys(("created_at", "observed_at"), TIMES),
    **dict.fromkeys(("score", "reads", "upvotes", "downvotes"), NUMBERS),
    **dict.fromkeys(("author", "body", "author_url", "url", "license"), TEXTS),
    "author_id": st.sampled_from([5, "5", 5.0, None, True, "a b"]),
    "format": st.sampled_from(["html", "markdown", "text", "other", None]),
    "state": st.sampled_from(["live", "deleted", "removed", "gone", None]),
    **dict.fromkeys(("edited", "stickied"), st.sampled_from([True, False, None, "true"])),
    "unknown_key": st.just(1),
}
IDS = st.sampled_from(["1", "2", 1, 1.0, "", " 1", "a b", "é", None, True])
OF_ANSWERS: dict[str, Any] = SHARED | {"answer_id": IDS, "accepted": st.sampled_from([True, False, None, 1])}
OF_ANSWERS |= {"accepted_at": TIMES, "by_post_author": st.booleans()}
OF_THREADS: dict[str, Any] = SHARED | {"post_id": IDS, "title": TEXTS, "views": NUMBERS}
OF_THREADS |= {
    "site": st.sampled_from(["forum.example", "https://Forum.example/x/", "a b", "", None, "stackoverflow.com"])
}
OF_THREADS |= {
    "community": st.sampled_from(["cooking", " ", "", None, "Eté"]),
    "upvote_ratio": st.sampled_from([0.5, 1, 2, "x"]),
}
OF_THREADS |= {"is_text": st.sampled_from([True, False, None, 0])}


@st.composite
def changed(draw: st.DrawFn, record: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The record with up to two keys changed, or left out."""
    for name in draw(st.lists(st.sampled_from(sorted(values)), max_size=2, unique=True)):
        record = record | {name: draw(values[name])}
        if draw(st.integers(0, 4)) == 0:
            del record[name]
    return record


@st.composite
def any_line(draw: st.DrawFn) -> bytes:
    """A thread with up to three answers, as programs write it, or damaged."""
    answers = [draw(changed(answer(str(n)), OF_ANSWERS)) for n in range(draw(st.integers(0, 3)))]
    record = draw(changed(thread(draw(st.sampled_from(["17", "18"])), answers=answers), OF_THREADS))
    compact = draw(st.booleans())
    line = json.dumps(record, separators=(",", ":") if compact else (", ", ": "), ensure_ascii=draw(st.booleans()))
    whole = line.encode("utf-8", "surrogatepass")
    return draw(
        st.sampled_from(
            [whole] * 8
            + [whole[:-4], b"[1]", b" " + whole + b"\r", whole + whole, whole + b"\r", whole + b" null " + whole]
        )
    )


@examples(80)
@given(st.lists(any_line(), min_size=1, max_size=6))
def test_many_lines_at_once_are_what_each_is_alone(tmp_path: Path, lines: list[bytes]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([lines_of(thread("0"))[:-1], *lines]))
    posts, answers, tally = load(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shp_miner.dumps.json_table.may_be_shown", lambda lines, **_: np.zeros(len(lines), bool))
        patch.setattr("shp_miner.dumps.json_table.decoded", lambda *_: ([], []))
        one_by_one = load(path)
    for table, other in zip((posts, answers), one_by_one, strict=False):
        order = [(name, "ascending") for name in ("post_id", "site", "content_hash")]
        assert table.sort_by(order).equals(other.sort_by(order))
    assert (tally.read, tally.dropped, tally.notes) == (one_by_one[2].read, one_by_one[2].dropped, one_by_one[2].notes)
    assert sorted(map(repr, tally.damages)) == sorted(map(repr, one_by_one[2].damages))


MOMENT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
#: Types of columns that programs write, with usual and odd values of each.
COLUMNS: dict[str, list[tuple[pa.DataType, list[Any]]]] = {
    "time": [
        (
            pa.timestamp("us", tz="UTC"),
            [MOMENT, None, datetime(1970, 1, 1, tzinfo=UTC), datetime(2124, 1, 1, tzinfo=UTC)],
        ),
        (pa.timestamp("ns", tz="Europe/Paris"), [MOMENT, None]),
        (pa.timestamp("ms", tz="UTC"), [MOMENT, None]),
        (pa.string(), ["2024-01-02T03:04:05Z", "", "0", "soon", None]),
        (pa.int64(), [1_704_171_845, 0, -5, None]),
        (pa.float64(), [1_704_171_845.25, 0.0, float("nan"), 1.7e12, None]),
        (pa.decimal128(12, 0), [Decimal(1_704_171_845), None]),
    ],
    "number": [
        (pa.int64(), [3, -2, 1 << 60, None]),
        (pa.uint64(), [3, (1 << 64) - 1]),
        (pa.float64(), [3.0, 2.5, float("nan"), None]),
        (pa.decimal128(9, 1), [Decimal("3.0"), Decimal("2.5"), None]),
        (pa.string(), ["3", None]),
        (pa.bool_(), [True]),
    ],
    "id": [
        (pa.string(), ["1", "2", " 1", "", "é", None]),
        (pa.int32(), [1, 2, None]),
        (pa.float64(), [1.0, float("nan")]),
    ],
    "text": [
        (pa.string(), ["a", "", "[deleted]", "a\0b", "é\u200b", None]),
        (pa.large_string(), ["<b>a</b> &amp; b", None]),
        (pa.dictionary(pa.int8(), pa.string()), ["a", "b", None]),
        (pa.null(), [None]),
        (pa.int64(), [5]),
    ],
    "flag": [(pa.bool_(), [True, False, None]), (pa.null(), [None]), (pa.int64(), [1])],
    "word": [(pa.string(), ["markdown", "html", "live", "removed", "member", "gone", None])],
    "ratio": [(pa.float64(), [0.5, 2.0, float("nan"), None]), (pa.int64(), [1, None])],
    "site": [(pa.string(), ["forum.example", "https://Forum.example/x", "a b", None])],
}
SHARED_COLUMNS = {
    **dict.fromkeys(("created_at", "observed_at"), "time"),
    **dict.fromkeys(("score", "reads", "upvotes", "downvotes"), "number"),
    **dict.fromkeys(("author", "body", "author_url", "url", "license"), "text"),
    **dict.fromkeys(("format", "state", "author_role"), "word"),
    **dict.fromkeys(("edited", "stickied"), "flag"),
    "author_id": "id",
}


@st.composite
def any_column(draw: st.DrawFn, kind: str, size: int, must: bool) -> pa.Array:
    """A column of one of the types that there are, mostly of the first one and of the first value."""
    types = COLUMNS[kind]
    type_, values = (
        types[draw(st.integers(0, 9)) % len(types)] if not must or draw(st.integers(0, 3)) == 0 else types[0]
    )
    drawn = draw(st.lists(st.sampled_from([values[0]] * 6 + values), min_size=size, max_size=size))
    return pa.array(drawn, type_)


@st.composite
def any_table(draw: st.DrawFn) -> pa.Table:
    """Threads with columns of any types, and some without."""
    counts = draw(st.lists(st.integers(0, 3), min_size=1, max_size=5))

    def columns(kinds: dict[str, str], must: frozenset[str], size: int) -> dict[str, pa.Array]:
        there = [name for name in kinds if name in must or draw(st.booleans())]
        return {name: draw(any_column(kinds[name], size, name in must)) for name in there}

    of_answers = SHARED_COLUMNS | {
        "answer_id": "id",
        "accepted": "flag",
        "accepted_at": "time",
        "by_post_author": "flag",
    }
    of_posts = SHARED_COLUMNS | {
        "site": "site",
        "community": "text",
        "post_id": "id",
        "title": "text",
        "is_text": "flag",
    }
    of_posts |= {"nsfw": "flag", "upvote_ratio": "ratio", "views": "number"}
    items = pa.table(columns(of_answers, ANSWER_REQUIRED, sum(counts))).to_struct_array().combine_chunks()
    lists = pa.ListArray.from_arrays(np.cumsum([0, *counts]).astype(np.int32), items)
    return pa.table(columns(of_posts, THREAD_REQUIRED - {"answers"}, len(counts)) | {"answers": lists})


#: How writers lay out texts: in dictionaries, first in one and then as they are, or only as they are.
PAGES = st.fixed_dictionaries(
    {
        "use_dictionary": st.booleans(),
        "dictionary_pagesize_limit": st.sampled_from([1, 20, 1 << 20]),
        "data_page_size": st.sampled_from([1, 1 << 20]),
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
        "compression": st.sampled_from(["none", "zstd", "snappy"]),
    }
)


@examples(40)
@given(any_table(), PAGES)
def test_many_parquet_rows_at_once_are_what_each_is_alone(
    tmp_path: Path, table: pa.Table, pages: dict[str, Any]
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, write_batch_size=1, **pages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shp_miner.dumps.parquet_reader._LARGE", 0)
        posts, answers, tally = load(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shp_miner.dumps.parquet._text_bytes", lambda _: None)
        alone = load(path)
    for one, other in zip((posts, answers), alone, strict=False):
        order = [(name, "ascending") for name in ("post_id", "site", "content_hash")]
        assert one.sort_by(order).equals(other.sort_by(order))
    assert (tally.read, tally.dropped, tally.notes) == (alone[2].read, alone[2].dropped, alone[2].notes)
    assert sorted(map(repr, tally.damages)) == sorted(map(repr, alone[2].damages))
