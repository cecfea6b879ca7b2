"""The fast ways of reading dumps give exactly what the careful way gives, or stop."""

from __future__ import annotations

import ctypes
import json
import mmap
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner import BadInput, export_dataset, import_dump
from shp_miner.dumps import compressed, reddit, window
from shp_miner.dumps.shortcut import Shortcut, count_lines
from shp_miner.engine import Processes, fitting_workers, machine_memory, run_threads
from shp_miner.tally import Tally

from .build import T0, comment, submission, thread, tree, write_dump, write_month
from .conftest import NOW
from .property import examples


def read(path: Path, **options: Any) -> tuple[pl.DataFrame, Tally]:
    tally = Tally()
    chunks = list(reddit.read([path], tally, now=NOW, **options))
    answers = pl.concat([pl.DataFrame(chunk.answers) for chunk in chunks])
    return (answers if answers.height else pl.concat([pl.DataFrame(chunk.posts) for chunk in chunks])), tally


def lines_of(records: list[dict[str, Any]], **dumps_options: Any) -> bytes:
    return b"".join(json.dumps(record, **dumps_options).encode() + b"\n" for record in records)


COMPACT: dict[str, Any] = {"separators": (",", ":")}

VALUES: dict[str, Any] = {
    "author": st.sampled_from(["ann", "AutoModerator", "x-bot", "SomeBot", "Abbot", "", "[deleted]", None, "a\0b"]),
    "body": st.text(max_size=30)
    | st.sampled_from(["[deleted]", " [removed]", "", "&amp;#x200B;", "\u200b", "a\0"]),
    "score": st.one_of(st.integers(-5, 50), st.sampled_from(["7", 3.0, None, "x", 1.5, "3.0", True, 10**30])),
    "created_utc": st.sampled_from([T0, str(T0), float(T0), f"{T0}.0", T0 + 0.25, -1, T0 * 1000, None, True]),
    "retrieved_on": st.sampled_from([T0 + 9, None, "soon", T0 + 10**10, str(T0 + 9), T0 + 9.5, 0, "", "0", [1]]),
    "retrieved_utc": st.sampled_from([T0 + 8, str(T0 + 8), T0 + 8.0, None]),
    "edited": st.sampled_from([False, True, T0 + 5, T0 + 5.0, str(T0), 0, "false", None]),
    "distinguished": st.sampled_from([None, "moderator", "admin", "special", "other"]),
    "stickied": st.sampled_from([False, True, None, "true", "false", 1, "perhaps"]),
    "is_submitter": st.sampled_from([False, True, None]),
    "score_hidden": st.sampled_from([False, True, "false"]),
    "parent_id": st.sampled_from(["t3_p1", "t3_p1", "t1_c9", 77, None]),
    "link_id": st.sampled_from(["t3_p1", "t3_p1", "t3_P1", "p1"]),
    "id": st.sampled_from(["c1", "t1_c1", "c-1"]),
    "subreddit": st.sampled_from(["AskTest", "asktest", "Other"]),
    "_meta": st.sampled_from(
        [{}, {"retrieved_2nd_on": T0 + 99}, {"retrieved_2nd_on": "x"}, {"is_edited": True}, {"was_deleted_later": True},
         {"retrieved_2nd_on": f"{T0 + 99}"}, {"is_edited": "x"}, {"is_edited": 0}, None, 7, [], {"removal_type": 5},
         {"removal_type": "deleted"}, {"removal_type": "moderator"}]
    ),
}  # fmt: skip


OF_POSTS: dict[str, Any] = {
    **{name: VALUES[name] for name in ("author", "score", "created_utc", "retrieved_utc", "stickied", "_meta")},
    "selftext": VALUES["body"] | st.none(),
    "title": st.text(min_size=1, max_size=9) | st.sampled_from(["", None, 5, "a\0b"]),
    "is_self": st.sampled_from([True, False, None, "true", "no"]),
    "domain": st.sampled_from(["self.AskTest", "example.org", "", None]),
    "permalink": st.sampled_from(["/r/AskTest/comments/p1/x/", "", None]),
    "over_18": st.sampled_from([True, False, None]),
    "upvote_ratio": st.sampled_from([0.93, 1, "0.5", None, "x", True]),
    "removed_by_category": st.sampled_from([None, "deleted", "moderator"]),
    "subreddit": st.sampled_from(["AskTest", None, "Other"]),
}  # fmt: skip

#: What can befall a line: as it is, cut off, no object, half of a character, bytes that are no text, blanks around it.
FATES: list[Callable[[bytes], bytes]] = [
    *[lambda line: line] * 6,
    lambda line: line[: len(line) // 2],
    lambda line: b"[" + line + b"]",
    lambda line: line.replace(b"Answer", rb"An\ud800swer").replace(b"detail", rb"\udfffdetail"),
    lambda line: line.replace(b"Answer", b"An\xffswer"),
    lambda line: b" " + line + b"\r",
    lambda line: line[:-1] + b',"x"}',
    lambda line: line + line,
]


@st.composite
def unusual(draw: st.DrawFn, kind: str) -> bytes:
    """A line with a few fields drawn from what files have held, or without them, and one of FATES."""
    values, record = (VALUES, comment("c1")) if kind == "answer" else (OF_POSTS, submission("p1"))
    for field in draw(st.lists(st.sampled_from(sorted(values)), max_size=3, unique=True)):
        record[field] = draw(values[field])
        if draw(st.integers(0, 5)) == 0:
            del record[field]
    return draw(st.sampled_from(FATES))(lines_of([record], **COMPACT)[:-1])


@given(st.data(), st.sampled_from(["answer", "post"]), st.sampled_from([(), ("asktest",)]))
@examples(60)
def test_the_fast_ways_give_the_careful_way_s_rows(
    tmp_path: Path, data: st.DataObject, kind: str, communities: tuple[str, ...]
) -> None:
    path = tmp_path / ("RC" if kind == "answer" else "RS")
    lines = data.draw(st.lists(unusual(kind), min_size=1, max_size=12))
    # The first line makes the file a dump of its kind whatever the others are.
    usual = comment("c0", subreddit="AskTest") if kind == "answer" else submission("p0")
    path.write_bytes(b"\n".join([lines_of([usual], **COMPACT)[:-1], *lines, b""]))
    thorough = data.draw(st.booleans())
    fast, fast_tally = read(path, communities=communities, thorough=thorough)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shp_miner.dumps.reddit_fields._parsed", lambda *_: None)
        careful, careful_tally = read(path, communities=communities, thorough=True)
    order = ["post_id", "content_hash", *(["answer_id"] if kind == "answer" else [])]
    assert fast.sort(order).equals(careful.sort(order))
    assert fast_tally.read == careful_tally.read
    assert fast_tally.notes == careful_tally.notes
    # The search leaves replies to answers alone, and other communities: whether they are sound is not looked at.
    assert fast_tally.lost == careful_tally.lost or communities or not thorough
    assert sum(fast_tally.dropped.values()) == sum(careful_tally.dropped.values())


def test_usual_records_take_the_fast_way_though_an_unusual_one_is_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly: list[int] = []
    careful = reddit._Rows._careful
    monkeypatch.setattr(reddit._Rows, "_careful", lambda self, place: (slowly.append(place[0]), careful(self, place)))
    path = tmp_path / "RC"
    odd = {300: {"score": "7"}, 301: {"author": 5}, 302: {"edited": "soon"}, 303: {"id": 9}}
    path.write_bytes(lines_of([comment(f"c{i}", **odd.get(i, {})) for i in range(1000)], **COMPACT))
    found, tally = read(path)
    assert found.filter(pl.col("answer_id") == "c300")["score"].to_list() == [7]
    assert tally.read["answer"] == 998
    assert tally.dropped == {("answer", "wrong_type"): 2}
    assert len(slowly) == 3


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (",", " :")], ids=["compact", "spaced", "odd"])
@pytest.mark.parametrize("names", [["asktest"], ["AskTEST", "other_2"], ["asktest", "OTHER_2", "nobody"]], ids=str)
def test_communities_are_found_however_they_are_written(
    separators: tuple[str, str], names: list[str], tmp_path: Path
) -> None:
    spellings = ["AskTest", "asktest", "ASKTEST", "AskTest2", "Other_2", "XAskTest", "Ask"]
    records = [comment(f"c{i}", subreddit=spellings[i % len(spellings)]) for i in range(70)]
    path = tmp_path / "RC"
    path.write_bytes(lines_of(records, separators=separators))
    found, tally = read(path, communities=names)
    wanted = {name.lower() for name in names}
    expected = {record["id"] for record in records if record["subreddit"].lower() in wanted}
    assert set(found["answer_id"]) == expected
    assert tally.dropped == {("answer", "other_community"): 70 - len(expected)}
    assert tally.complete


def test_an_escaped_spelling_is_found(tmp_path: Path) -> None:
    plain, escaped = (lines_of([comment(name)], **COMPACT) for name in ("c1", "c2"))
    path = tmp_path / "RC"
    for spelling in (
        escaped.replace(b"AskTest", b"Ask\\u0054est"),
        escaped.replace(b'"subreddit"', b'"sub\\u0072eddit"'),
    ):
        path.write_bytes(plain + spelling)
        # Counting keys shows the second kind; the first one only the audit sees, and it stops the import.
        if b"Ask\\u" in spelling:
            with pytest.raises(BadInput, match="fast search misses") as caught:
                read(path, communities=["asktest"])
            assert "--thorough" in caught.value.hint
        found, _ = read(path, communities=["asktest"], thorough=b"Ask\\u" in spelling)
        assert sorted(found["answer_id"]) == ["c1", "c2"]


def test_a_key_inside_a_text_or_another_object_misleads_nobody(tmp_path: Path) -> None:
    inside = 'They wrote {"subreddit":"AskTest","parent_id":"t3_p1"} in it.'
    records = [
        comment("c1", subreddit="Other", body=inside),
        comment("c2", subreddit="Other", crosspost={"subreddit": "AskTest"}),
        comment("c3", body=inside),
        comment("c4", parent_id="t1_c3", media={"parent_id": "t3_p1"}),
    ]
    path = tmp_path / "RC"
    path.write_bytes(lines_of(records, **COMPACT))
    assert read(path, communities=["asktest"])[0]["answer_id"].to_list() == ["c3"]
    assert sorted(read(path)[0]["answer_id"]) == ["c1", "c2", "c3"]


def test_a_broken_line_among_good_ones_is_still_counted(tmp_path: Path) -> None:
    path = tmp_path / "RC"
    path.write_bytes(lines_of([comment("c1"), comment("c2", parent_id="t1_c1")], **COMPACT) + b"{broken\n")
    found, tally = read(path)
    assert found["answer_id"].to_list() == ["c1"]
    assert tally.dropped == {("answer", "not_direct_reply"): 1, ("answer", "not_json"): 1}


def test_candidates_come_once_and_in_order() -> None:
    text = lines_of([comment(f"c{i}", subreddit="Ab"[i % 2 :]) for i in range(9)], **COMPACT)
    found = list(Shortcut("answer", ["b", "ab"], text).candidates(100, text) or [])
    offsets = [offset for offset, _ in found]
    assert offsets == sorted(set(offsets))
    assert len(found) == 9
    assert all(text[offset - 100 : offset - 100 + len(line)] == line for offset, line in found)
    assert count_lines(text) == count_lines(text[:-1]) == 9


def test_lines_that_lie_across_blocks_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [comment(f"c{i}", body="x" * (i * 37 % 900)) for i in range(2000)]
    path = write_dump(tmp_path / "RC.zst", records)
    for size in (100, 1 << 10, 1 << 13):
        monkeypatch.setattr(compressed, "_BLOCK", size)
        found, tally = read(path)
        assert tally.complete
        assert dict(zip(found["answer_id"], found["body_chars"], strict=True)) == {
            record["id"]: len(record["body"]) for record in records
        }


def test_blocks_stay_as_they_are_while_they_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "_BLOCK", 1 << 12)
    path = write_dump(tmp_path / "RC.zst", [comment(f"c{i}") for i in range(500)])
    held: list[tuple[bytes, Any]] = []
    for block in compressed.decompressed_blocks(path, Tally()):
        held = [*held, (bytes(block), block)][-compressed.BLOCKS_VALID :]
        assert all(before == after for before, after in held)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where memory lies")
def test_a_window_is_touched_a_little_ahead_and_not_changed() -> None:
    size = 192 << 20
    toucher = window.WindowToucher()
    memory = toucher.watch(lambda: mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    try:
        memory[:5] = b"hello"
        assert _settled(memory, window._LEAD) < size // 2
        toucher.decoded(size // 4)
        assert _settled(memory, window._LEAD + size // 4) < size - (16 << 20)
        assert memory[:6] == b"hello\0"
    finally:
        toucher.close()
        memory.close()


def _resident(memory: mmap.mmap) -> int:
    """Bytes of the mapping that have pages."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if "-" in first and not first.endswith(":"):
            low, high = (int(part, 16) for part in first.split("-"))
            inside = low <= start < high
        elif inside and first == "Rss:":
            return int(rest[0]) * 1024
    return 0


def _settled(memory: mmap.mmap, least: int) -> int:
    """Bytes with pages once there are `least` (waiting ten seconds at most) and there was time for more."""
    for _ in range(1000):
        if _resident(memory) >= least:
            break
        time.sleep(0.01)
    assert _resident(memory) >= least
    time.sleep(0.05)
    return _resident(memory)


def test_a_line_longer_than_a_block_is_whole(tmp_path: Path) -> None:
    path = write_dump(tmp_path / "RC.zst", [comment("c1"), comment("c2", body="y" * 3_000_000), comment("c3")])
    found, tally = read(path)
    assert dict(zip(found["answer_id"], found["body_chars"], strict=True))["c2"] == 3_000_000
    assert found.height == 3
    assert tally.complete


def test_a_file_that_ends_in_our_own_mark_is_still_whole(tmp_path: Path) -> None:
    path = tmp_path / "RC.zst"
    path.write_bytes(compressed.zstd.compress(lines_of([comment("c1")], **COMPACT)) + compressed._MARK_FRAME)
    found, _ = read(path)
    assert found["answer_id"].to_list() == ["c1"]


# -- workers ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    records = [record for i in range(400) for record in thread(f"p{i}", (3, 9, 5, 2, 7), subreddit=f"Ask{i % 5}")]
    return write_month(tmp_path_factory.mktemp("month"), records)


def test_workers_change_no_byte(
    month: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: datetime
) -> None:
    monkeypatch.setattr("shp_miner.dumps.sharing._SHARED_FILE_BYTES", 1)
    monkeypatch.setattr("shp_miner.export.dataset.ROWS_PER_RANGE", 300)
    trees = {}
    steps: list[tuple[int, int]] = []
    for workers in (1, 2, 4):
        store, out = tmp_path / f"s{workers}", tmp_path / f"o{workers}"
        imported = import_dump("reddit-dump", month, store, now=now, workers=workers)
        assert imported.tally.read == {"post": 400, "answer": 2000}
        export_dataset(store, out, formats=["pairs", "kto"], workers=workers, advance=lambda *step: steps.append(step))
        assert steps[-1][0] == steps[-1][1] > 5
        trees[workers] = tree(out)
    assert trees[1] == trees[2] == trees[4]


def test_a_filter_is_worked_on_in_threads(month: list[Path], tmp_path: Path, now: datetime) -> None:
    imported = import_dump("reddit-dump", month, tmp_path / "s", now=now, communities=["ask3"], workers=2)
    assert imported.tally.read == {"post": 80, "answer": 400}
    assert imported.tally.dropped == {("post", "other_community"): 320, ("answer", "other_community"): 1600}


def test_progress_adds_up_to_the_files(month: list[Path], tmp_path: Path, now: datetime) -> None:
    for communities in ([], ["ask1"]):
        seen: list[int] = []
        import_dump("reddit-dump", month, tmp_path / "s", now=now, communities=communities, advance=seen.append)
        assert sum(seen) == sum(path.stat().st_size for path in month)


def _square(job: int, advance: Any) -> int:
    if job == 13:
        raise BadInput("Thirteen is refused.", "Take another number.")
    advance(1)
    return job * job


@pytest.mark.parametrize("workers", [1, 2])
def test_an_engine_keeps_the_order_and_passes_errors_on(workers: int) -> None:
    steps: list[int] = []
    with Processes(workers) as engine:
        assert list(engine.run(_square, range(7), steps.append)) == [n * n for n in range(7)]
        assert sum(steps) == 7
        with pytest.raises(BadInput, match="Thirteen") as caught:
            list(engine.run(_square, [1, 13, 2], steps.append))
        assert caught.value.hint == "Take another number."
    assert run_threads(_square, [1, 2, 3], workers=workers, advance=steps.append) == [1, 4, 9]
    with pytest.raises(BadInput):
        run_threads(_square, [1, 13, 2], workers=workers, advance=steps.append)


def test_the_memory_budget_decides_how_many_work() -> None:
    assert fitting_workers(8, 4_000, 1_000) == 4
    assert fitting_workers(2, 4_000, 1_000) == 2
    assert fitting_workers(8, 10, 1_000) == 1
    assert machine_memory() > 100_000_000


def test_a_window_counts_against_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shp_miner.dumps.sharing import ImportJob, import_jobs
    from shp_miner.engine import Means

    monkeypatch.setattr("shp_miner.dumps.sharing._SHARED_FILE_BYTES", 1)
    parameter = compressed.zstd.CompressionParameter
    wide, narrow = tmp_path / "RC_1.zst", tmp_path / "RC_2.zst"
    compressor = compressed.zstd.ZstdCompressor(options={parameter.window_log: 31})
    wide.write_bytes(compressor.compress(lines_of([comment("c1")])) + compressor.flush())
    write_dump(narrow, [comment(f"c{i}") for i in range(50)])
    everything = ImportJob("reddit-dump", [wide, narrow], tmp_path / "s", NOW, {})
    jobs, worker_bytes = import_jobs(everything, Means(), Tally())
    assert worker_bytes > 1 << 31
    assert [job.paths for job in jobs] == [[file] for file in sorted([wide, narrow], key=lambda f: -f.stat().st_size)]
    monkeypatch.setattr("shp_miner.dumps.sharing._SHARED_FILE_BYTES", 1 << 20)
    assert [job.paths for job in import_jobs(everything, Means(), Tally())[0]] == [[wide, narrow]]
