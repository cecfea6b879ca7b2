"""One large file as several tasks: wherever it is cut, the same rows, counts, places in messages and export."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shp_miner.dumps import sharing
from shp_miner.dumps.compressed import ignore_progress
from shp_miner.dumps.importing import import_dump, import_part
from shp_miner.dumps.plain_lines import LOOKED_AT, is_in_lines, plain_lines
from shp_miner.dumps.sharing import ImportJob
from shp_miner.engine import Means
from shp_miner.export.dataset import export_dataset
from shp_miner.tally import Tally, total_tally

from .build import thread, tree
from .conftest import NOW

BAD = [b'{"id": "x", "body": ', b"[]", b'{"body": "\xff"}', b"", b"  ", b'{"link_id": 7, "body": "x"}\r']


def reddit_file(folder: Path, chance: random.Random) -> Path:
    """Threads with bad and blank lines between them, a byte order mark, and no line end at the end."""
    lines = [
        json.dumps(record).encode()
        for number in range(150)
        for record in thread(f"p{number}", [chance.randrange(1, 30) for _ in range(chance.randrange(1, 7))])
    ]
    for _ in range(40):
        lines.insert(chance.randrange(1, len(lines)), chance.choice(BAD))
    path = folder / "RS_2024-01.ndjson"
    path.write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))
    return path


def own_threads(chance: random.Random) -> list[dict[str, Any]]:
    """Threads of `import threads`; one in ten has a bad time, one in ten a bad answer."""
    return [
        {
            "site": "forum.example",
            "community": f"c{number % 3}",
            "post_id": str(number),
            "title": "Why?",
            "body": f"Because of {number}",
            "created_at": "2024-01-02T03:04:05Z" if chance.random() > 0.1 else "yesterday",
            "score": 12,
            "observed_at": "2024-02-01T00:00:00Z",
            "author": f"reader-{number}",
            "answers": [
                {
                    "answer_id": str(answer),
                    "body": f"Yes, {answer}.",
                    "created_at": f"2024-01-02T04:0{answer}:00Z" if chance.random() > 0.1 else "never",
                    "score": chance.randrange(40),
                }
                for answer in range(chance.randrange(1, 6))
            ],
        }
        for number in range(300)
    ]


def threads_file(folder: Path, chance: random.Random) -> Path:
    lines = [json.dumps(record).encode() for record in own_threads(chance)]
    for _ in range(30):
        lines.insert(chance.randrange(1, len(lines)), chance.choice(BAD))
    path = folder / "threads.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def parquet_file(folder: Path, chance: random.Random) -> Path:
    path = folder / "threads.parquet"
    pq.write_table(pa.Table.from_pylist(own_threads(chance)), path, row_group_size=23)
    return path


def outcome(job: ImportJob, jobs: list[ImportJob], out: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The counts and examples of an import by these jobs, in an order of chance, and the export of it."""
    order = random.Random(3).sample(range(len(jobs)), len(jobs))
    tallies = {number: import_part(jobs[number], ignore_progress) for number in order}
    export_dataset(job.store, out, rule="votes", workers=1)
    return total_tally(tallies[number] for number in range(len(jobs))).to_dict(), tree(out)


@pytest.mark.parametrize(
    ("kind", "make"),
    [("reddit-dump", reddit_file), ("threads", threads_file), ("threads", parquet_file)],
)
def test_wherever_a_file_is_cut_the_rows_counts_places_and_exports_are_the_same(
    kind: str, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(11)
    path = make(tmp_path, chance)
    whole = ImportJob(kind, [path], tmp_path / "whole", NOW, {})
    wanted = outcome(whole, [whole], tmp_path / "out")
    assert wanted[0]["examples"]
    many = Means(workers=8)
    monkeypatch.setattr(sharing, "_PACKED", 1)
    monkeypatch.setattr(sharing, "_SECTIONS_MAX", 13)
    seen = set()
    for number, size in enumerate((1, path.stat().st_size // chance.randrange(2, 9))):
        monkeypatch.setattr(sharing, "SECTION_BYTES", size)
        job = ImportJob(kind, [path], tmp_path / f"store{number}", NOW, {})
        jobs, _ = sharing.import_jobs(job, many, Tally())
        assert len(jobs) > 1
        seen.add(len(jobs))
        assert outcome(job, jobs, tmp_path / f"out{number}") == wanted
    assert len(seen) > 1
    assert len(sharing.import_jobs(whole, Means(workers=1), Tally())[0]) == 1


def test_only_plain_lines_are_cut(tmp_path: Path) -> None:
    record = json.dumps({"title": "x" * 100, "subreddit": "a"})
    cut = partial(sharing.sections_of, size=1_000)
    for name, text, is_cut in (
        ("lines", f"{record}\n" * 900, True),
        ("array", f"[{record}" + f",\n{record}" * 900 + "]", False),
        ("spread", json.dumps(json.loads(record), indent=1) * 900, False),
        ("old line ends", f"{record}\r" * 900, False),
        ("one line", record * 900, False),
    ):
        path = tmp_path / name
        path.write_text(text, newline="")
        assert bool(cut(path)) == is_cut, name
        start = path.read_bytes()
        left = b"".join(map(bytes, plain_lines([start]))) == start
        assert is_in_lines(start[:LOOKED_AT], ends=False) <= left, name
    wide = tmp_path / "wide"
    wide.write_text(f"{record}\n" * 900, encoding="utf-16")
    assert not cut(wide)
    long = tmp_path / "long"
    long.write_bytes(b"x" * 5_000 + b"\n" + b"y\n" * 3_000)
    sections = cut(long)
    assert sections[0].end == 5_001
    assert [section.begin for section in sections[1:]] == [section.end for section in sections[:-1]]
    assert sections[-1].end == long.stat().st_size


def test_workers_share_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = reddit_file(tmp_path, random.Random(5))
    alone = import_dump("reddit-dump", path, tmp_path / "alone", now=NOW, workers=1)
    monkeypatch.setattr(sharing, "SECTION_BYTES", path.stat().st_size // 2)
    shared = import_dump("reddit-dump", path, tmp_path / "shared", now=NOW, workers=4, memory="4GiB")
    assert shared.tally.to_dict() == alone.tally.to_dict()
    assert not (tmp_path / "shared" / "importing").exists()
    for name in ("alone", "shared"):
        export_dataset(tmp_path / name, tmp_path / f"out-{name}", rule="votes", workers=1)
    assert tree(tmp_path / "out-alone") == tree(tmp_path / "out-shared")
