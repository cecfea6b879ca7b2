"""Reddit dump files: every compression, old and new field types, and everything that can be wrong with them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shp_miner import BadInput
from shp_miner.dumps import compressed, reddit, whole_lines
from shp_miner.tally import Tally

from .build import READ, T0, at, comment, submission, thread, write_dump


def read(paths: list[Path], now: datetime, **options: Any) -> tuple[pl.DataFrame, pl.DataFrame, Tally]:
    tally = Tally()
    chunks = list(reddit.read(paths, tally, now=now, **options))
    posts, answers = (pl.concat([pl.DataFrame(getattr(c, name)) for c in chunks]) for name in ("posts", "answers"))
    return posts, answers, tally


def one(now: datetime, tmp_path: Path, record: dict[str, Any]) -> tuple[dict[str, Any] | None, Tally]:
    """The one row that a record becomes."""
    path = write_dump(
        tmp_path / "file.jsonl", [comment("c0"), record] if "link_id" in record else [submission("p0"), record]
    )
    posts, answers, tally = read([path], now)
    rows = (answers if "link_id" in record else posts).to_dicts()
    return next((row for row in rows if row.get("answer_id", row["post_id"]) not in ("c0", "p0")), None), tally


@pytest.mark.parametrize("suffix", ["", ".zst", ".gz", ".bz2", ".xz"])
def test_every_compression_gives_the_same_rows(suffix: str, tmp_path: Path, now: datetime) -> None:
    records = [*thread("p1"), *thread("p2", scores=(4, 2))]
    paths = [
        write_dump(tmp_path / f"RS_2020-09{suffix}", [r for r in records if "title" in r]),
        write_dump(tmp_path / f"RC_2020-09{suffix}", [r for r in records if "title" not in r]),
    ]
    posts, answers, tally = read(paths, now)
    assert sorted(posts["post_id"]) == ["p1", "p2"]
    assert sorted(answers["answer_id"]) == ["p1c1", "p1c2", "p1c3", "p2c1", "p2c2"]
    assert tally.read == {"post": 2, "answer": 5}
    assert tally.complete


def test_the_name_of_a_file_does_not_matter(tmp_path: Path, now: datetime) -> None:
    path = write_dump(tmp_path / "a.zst", [comment("c1")])
    posts, answers, _ = read([path.rename(tmp_path / "whatever")], now)
    assert (posts.height, answers.height) == (0, 1)


def test_several_frames_and_a_window_of_two_gigabytes(tmp_path: Path, now: datetime) -> None:
    parameter = compressed.zstd.CompressionParameter
    frames = [
        compressed.zstd.compress(
            (json.dumps(comment(f"c{i}")) + "\n").encode(),
            options={parameter.window_log: 31, parameter.enable_long_distance_matching: 1},
        )
        for i in range(3)
    ]
    path = tmp_path / "RC.zst"
    path.write_bytes(b"".join(frames))
    assert sorted(read([path], now)[1]["answer_id"]) == ["c0", "c1", "c2"]


def test_the_fields_of_a_submission(tmp_path: Path, now: datetime) -> None:
    row, _ = one(now, tmp_path, submission("abc", selftext="a &gt; b", over_18=True, edited=T0 + 9))
    assert row is not None
    expected = {
        "site": "reddit.com",
        "community": "asktest",
        "platform": "reddit",
        "post_id": "abc",
        "created_at": at(T0),
        "observed_at": at(READ),
        "title": "Question abc?",
        "body": "a &gt; b",
        "body_format": "reddit",
        "author": "asker",
        "author_deleted": False,
        "author_role": "member",
        "score": 100,
        "upvote_ratio": 0.95,
        "nsfw": True,
        "edited": True,
        "is_text": True,
        "state": "live",
        "url": "https://www.reddit.com/r/AskTest/comments/abc/question/",
    }
    assert {key: row[key] for key in expected} == expected


#: What is left of a row whose item is gone, whatever the archive still holds of it.
EMPTY: dict[str, Any] = {"body": "", "body_chars": 0, "author": None, "author_deleted": True, "url": None}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"created_utc": str(T0)}, {"created_at": at(T0)}),
        ({"created_utc": float(T0)}, {"created_at": at(T0)}),
        ({"score": "9"}, {"score": 9}),
        ({"score": 9.0}, {"score": 9}),
        ({"score": None}, {"score": None}),
        ({"score_hidden": True}, {"score": None}),
        ({"author": None}, {"author_deleted": True, "author": None}),
        ({"author": "[deleted]"}, {"author_deleted": True, "author": None}),
        ({"body": "[deleted]"}, {"state": "deleted"}),
        ({"body": " [removed]\n"}, {"state": "removed"}),
        ({"distinguished": "moderator"}, {"author_role": "moderator"}),
        ({"distinguished": "admin"}, {"author_role": "admin"}),
        ({"author": "AutoModerator"}, {"author_role": "bot"}),
        ({"author": "haiku-bot"}, {"author_role": "bot"}),
        ({"author": "SomethingBot"}, {"author_role": "bot"}),
        ({"author": "Abbot"}, {"author_role": "member"}),
        ({"stickied": True}, {"stickied": True}),
        ({"is_submitter": True}, {"by_post_author": True}),
        ({"retrieved_on": None}, {"observed_at": None}),
        ({"retrieved_on": None, "retrieved_utc": READ + 1}, {"observed_at": at(READ + 1)}),
        ({"_meta": {"retrieved_2nd_on": READ + 2}}, {"observed_at": at(READ + 2)}),
        ({"_meta": {"is_edited": True}}, {"edited": True}),
        ({"_meta": {"was_deleted_later": True}}, {"state": "deleted"}),
        ({"_meta": {"removal_type": "deleted"}}, {"state": "deleted"}),
        ({"_meta": {"removal_type": "removed by reddit"}}, {"state": "removed"}),
        (
            {"_meta": {"was_initially_deleted": True, "removal_type": "removed"}},
            {"state": "live", "body": "Answer c1."},
        ),
        (
            {"_meta": {"was_initially_deleted": True, "was_deleted_later": True, "removal_type": "deleted"}},
            {"state": "deleted", **EMPTY},
        ),
        ({"_meta": {"was_initially_deleted": True}, "body": "[removed]"}, {"state": "removed"}),
        ({"_meta": {"was_deleted_later": True}, "is_submitter": True}, EMPTY | {"by_post_author": False}),
        ({"unheard_of": {"a": [1]}}, {"state": "live"}),
    ],
    ids=str,
)
def test_old_and_new_types_of_a_comment(
    changes: dict[str, Any], expected: dict[str, Any], tmp_path: Path, now: datetime
) -> None:
    row, tally = one(now, tmp_path, comment("c1", **changes))
    assert row is not None
    assert {key: row[key] for key in expected} == expected
    assert tally.complete


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"removed_by_category": "moderator"}, {"state": "removed", **EMPTY, "title": ""}),
        ({"removed_by_category": "deleted"}, {"state": "deleted", **EMPTY, "title": ""}),
        (
            {"removed_by_category": "automod_filtered", "_meta": {"was_initially_deleted": True}},
            {"state": "live", "title": "Question p1?", "body": "Some detail.", "author": "asker"},
        ),
        (
            {"removed_by_category": "deleted", "_meta": {"was_initially_deleted": True, "was_deleted_later": True}},
            {"state": "deleted", **EMPTY, "title": ""},
        ),
        ({"title": "[deleted by user]", "selftext": ""}, {"state": "deleted", "title": ""}),
        ({"title": "[ Removed by Reddit ]"}, {"state": "removed", **EMPTY}),
        ({"title": "Why does it say [deleted by user]?"}, {"state": "live"}),
    ],
    ids=str,
)
def test_what_is_left_of_a_submission(
    changes: dict[str, Any], expected: dict[str, Any], tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = submission("p1", **changes)
    fast, _ = one(now, tmp_path, record)
    monkeypatch.setattr("shp_miner.dumps.reddit_fields._parsed", lambda *_: None)
    careful, _ = one(now, tmp_path, record)
    assert fast is not None
    assert fast == careful
    assert {key: fast[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ("[ Removed by reddit in response to a copyright notice. ]", "removed"),
        ("[ Removed by Reddit on account of violating the [content policy](/help/contentpolicy). ]", "removed"),
        ("[ removed  by\treddit ]", "removed"),
        ("[UNAVAILABLE]", "removed"),
        ("[ Removed by Anti-Evil Operations ]", "removed"),
        ("Comment removed by moderator", "removed"),
        ("\\[removed\\]", "removed"),
        ("[removed]\u2060", "removed"),
        ("\u200b[Deleted By User]\n", "deleted"),
        ("[deleted]", "deleted"),
        ("[removed]\n\nEdit: it was not.", "live"),
        ("It says [unavailable] here.", "live"),
        ("[removed by reddit](https://example.org)", "live"),
        ("[deleted" + " " * 500 + "]", "live"),
    ],
    ids=lambda text: text[:20],
)
def test_notices_are_no_answers_on_either_way(
    body: str, state: str, tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = comment("c1", body=body)
    fast, _ = one(now, tmp_path, record)
    monkeypatch.setattr("shp_miner.dumps.reddit_fields._parsed", lambda *_: None)
    careful, _ = one(now, tmp_path, record)
    assert fast is not None
    assert fast == careful
    assert fast["state"] == state
    assert (fast["body"] == "") == (state != "live")


def test_what_is_gone_and_what_was_restored_in_a_store(tmp_path: Path, now: datetime) -> None:
    from shp_miner import export_dataset, import_dump, load

    notices = ["[ Removed by Reddit ]", "[unavailable]", "[ Removed by reddit in response to a copyright notice. ]"]
    back = {"was_initially_deleted": True, "removal_type": "removed"}
    answers = [
        *(comment(f"n{at}", body=notice, score=50 + at) for at, notice in enumerate(notices)),
        comment("late", body="Xylodeleted words.", score=90, _meta={"was_deleted_later": True}),
        comment("back", body="An answer that came back.", score=9, _meta=back),
        comment("plain", score=3),
    ]
    paths = [write_dump(tmp_path / "RS", [submission("p1", _meta=back)]), write_dump(tmp_path / "RC", answers)]
    import_dump("reddit-dump", paths, tmp_path / "store", now=now)
    assert export_dataset(tmp_path / "store", tmp_path / "out").pairs == {"asktest": 1}
    (pair,) = load(tmp_path / "out").to_polars().to_dicts()
    assert {pair["answer1_id"], pair["answer2_id"]} == {"back", "plain"}
    stored = pl.concat([pl.read_parquet(file)["body"] for file in (tmp_path / "store" / "answers").glob("*.parquet")])
    assert stored.str.contains("came back").any()
    assert not stored.str.contains("Xylodeleted|emoved|unavail").any()


VISIBLE = {" a b\n\tc ": 6, " \u200b\n": 0, "&amp;#x200B;": 0, "a\u00a0": 1, "é\U0001f600": 2}


@pytest.mark.parametrize(("body", "count"), VISIBLE.items())
def test_visible_characters_are_counted(body: str, count: int, tmp_path: Path, now: datetime) -> None:
    row, _ = one(now, tmp_path, comment("c1", body=body))
    assert row is not None
    assert row["body_chars"] == count


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("{not json", "not_json"),
        ("[1, 2]", "not_an_object"),
        (b'{"id": "c1", "body": "\xff\xfe"', "not_utf8"),
        ({k: v for k, v in comment("c1").items() if k != "body"}, "missing_field"),
        ({k: v for k, v in comment("c1").items() if k != "created_utc"}, "missing_field"),
        ({k: v for k, v in comment("c1").items() if k != "score"}, "missing_field"),
        (comment("c1", body=7), "wrong_type"),
        (comment("c1", score="many"), "bad_score"),
        (comment("c1", score=1.5), "bad_score"),
        (comment("c1", score=True), "bad_score"),
        (comment("c1", score=float("nan")), "bad_score"),
        (comment("c1", created_utc="yesterday"), "bad_time"),
        (comment("c1", created_utc=None), "bad_time"),
        (comment("c1", created_utc=-5), "bad_time"),
        (comment("c1", created_utc=T0 * 1000), "bad_time"),
        (comment("c1", created_utc=T0 + 30 * 365 * 86_400), "time_in_future"),
        (comment("c 1"), "bad_id"),
        (comment("c1", link_id="t3_", parent_id="t3_"), "bad_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_record_that_cannot_be_used_is_counted_and_located(
    record: Any, reason: str, tmp_path: Path, now: datetime
) -> None:
    first = json.dumps(comment("c0")).encode()
    path = write_dump(tmp_path / "RC.zst", [first, record, comment("c2")])
    _, answers, tally = read([path], now)
    assert sorted(answers["answer_id"]) == ["c0", "c2"]
    assert tally.dropped == {("answer", reason): 1}
    assert not tally.complete
    assert [(d.path, d.offset) for d in tally.examples] == [(str(path), len(first) + 1)]


def test_text_that_no_encoding_can_hold_is_repaired_and_counted(tmp_path: Path, now: datetime) -> None:
    line = json.dumps(comment("c1", body="a\0b")).replace("a\\u0000b", "a\\u0000b\\ud800")
    path = write_dump(tmp_path / "RC", [comment("c0"), line])
    _, answers, tally = read([path], now)
    assert answers.filter(pl.col("answer_id") == "c1")["body"].to_list() == ["a\ufffdb\ufffd"]
    assert tally.notes == {("answer", "text_repaired"): 1}
    assert tally.complete


def test_a_body_of_ten_megabytes_is_read(tmp_path: Path, now: datetime) -> None:
    row, _ = one(now, tmp_path, comment("c1", body="long " * 2_000_000))
    assert row is not None
    assert row["body_chars"] == 9_999_999


def test_a_line_without_end_is_lost_and_memory_bounded(
    tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_lines, "LINE_MAX", 3_000_000)
    path = write_dump(tmp_path / "RC", [comment("c0"), comment("c1", body="x" * 5_000_000), comment("c2")])
    _, answers, tally = read([path], now)
    assert sorted(answers["answer_id"]) == ["c0", "c2"]
    assert tally.dropped == {("line", "line_too_long"): 1}


@pytest.mark.parametrize("suffix", [".zst", ".gz", ".bz2", ".xz"])
def test_a_truncated_archive_gives_every_whole_line_before_the_end(suffix: str, tmp_path: Path, now: datetime) -> None:
    records = [comment(f"c{i}", body=f"{i * 7919 % 10_007} " * 40) for i in range(3000)]
    path = write_dump(tmp_path / f"RC{suffix}", records)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    _, answers, tally = read([path], now)
    ids = sorted(int(name[1:]) for name in answers["answer_id"])
    assert ids == list(range(len(ids)))
    assert (500 if suffix != ".bz2" else 0) <= len(ids) < 3000
    (damage,) = tally.damages
    assert damage.path == str(path)
    assert 0 < damage.offset <= len(whole) * 2 // 3
    assert "truncated" in damage.what


@pytest.mark.parametrize("suffix", [".zst", ".gz", ".bz2", ".xz"])
def test_a_corrupt_archive_is_named_and_the_next_file_is_read(suffix: str, tmp_path: Path, now: datetime) -> None:
    damaged = write_dump(
        tmp_path / f"a{suffix}", [comment(f"c{i}", body=f"{i * 7919 % 10_007} " * 40) for i in range(3000)]
    )
    data = bytearray(damaged.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    damaged.write_bytes(data)
    sound = write_dump(tmp_path / "b.zst", [comment("d1")])
    _, answers, tally = read([damaged, sound], now)
    assert "d1" in answers["answer_id"]
    assert tally.damages or tally.lost
    assert not tally.complete


def test_communities_are_chosen_in_any_letter_case(tmp_path: Path, now: datetime) -> None:
    path = write_dump(
        tmp_path / "RC", [comment("c1"), comment("c2", subreddit="asktest"), comment("c3", subreddit="Other")]
    )
    for names in (["ASKTEST"], ["r/AskTest"], ["asktest", "nobody"]):
        _, answers, tally = read([path], now, communities=names)
        assert sorted(answers["answer_id"]) == ["c1", "c2"]
        assert tally.dropped == {("answer", "other_community"): 1}
    assert read([path], now)[1].height == 3


def test_replies_to_answers_are_left_out_and_counted(tmp_path: Path, now: datetime) -> None:
    path = write_dump(
        tmp_path / "RC", [comment("c1"), comment("c2", parent_id="t1_c1"), comment("c3", parent_id=12345)]
    )
    _, answers, tally = read([path], now)
    assert answers["answer_id"].to_list() == ["c1"]
    assert tally.dropped == {("answer", "not_direct_reply"): 2}


def test_a_folder_stands_for_its_dump_files(tmp_path: Path, now: datetime) -> None:
    write_dump(tmp_path / "RC_1.zst", [comment("c1")])
    write_dump(tmp_path / "RS_1", [submission("p1")])
    (tmp_path / "notes.txt").write_text("not a dump")
    posts, answers, tally = read([tmp_path], now)
    assert (posts.height, answers.height) == (1, 1)
    assert tally.dropped == {("file", "not_this_kind"): 1}


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"<?xml version='1.0'?><posts/>", "RS_* and RC_*"),
        (b"\x89PNG\r\n\x1a\n....", "RS_* and RC_*"),
        (b'{"post_id": "1", "title": "x", "answers": []}\n', "import threads"),
        (b'{"some": "json"}\n', "RS_* and RC_*"),
    ],
)
def test_another_kind_of_file_is_refused_before_anything_is_read(
    content: bytes, hint: str, tmp_path: Path, now: datetime
) -> None:
    good = write_dump(tmp_path / "RC", [comment("c1")])
    bad = tmp_path / "bad"
    bad.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        next(reddit.read([good, bad], Tally(), now=now))
    assert str(bad) in caught.value.message
    assert hint in caught.value.hint


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path: Path, now: datetime) -> None:
    with pytest.raises(BadInput, match="no file"):
        next(reddit.read([tmp_path / "nowhere"], Tally(), now=now))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="contains no dump files"):
        next(reddit.read([tmp_path / "empty"], Tally(), now=now))


def test_an_empty_file_is_an_empty_month(tmp_path: Path, now: datetime) -> None:
    _, answers, tally = read([write_dump(tmp_path / "RC.zst", []), write_dump(tmp_path / "RC2", [comment("c1")])], now)
    assert answers.height == 1
    assert tally.complete
