"""One large file as several tasks: wherever it is cut, the same rows, counts, places in messages and export."""

from __future__ import annotations

import bz2
import json
import lzma
import random
import struct
import zlib
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from msgspec import structs

from shp_miner.dumps import boundaries, compressed, sharing
from shp_miner.dumps.compressed import ignore_progress
from shp_miner.dumps.importing import import_dump, import_part
from shp_miner.dumps.plain_lines import LOOKED_AT, is_in_lines, plain_lines
from shp_miner.dumps.sharing import ImportJob
from shp_miner.engine import Means
from shp_miner.export.dataset import export_dataset
from shp_miner.places.path import RemotePath
from shp_miner.store import Store
from shp_miner.tally import Tally, total_tally

from . import s3
from .build import thread, tree
from .conftest import NOW
from .test_forgiven import in_blocks
from .test_lake import server

__all__ = ["server"]

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


def frames_of(pack: Callable[[bytes], bytes]) -> Callable[[bytes, random.Random], list[bytes]]:
    """What compresses a text in frames of a few KB each, wherever lines end."""

    def packed(text: bytes, chance: random.Random) -> list[bytes]:
        cuts = [0, *sorted(chance.sample(range(1, len(text)), len(text) // 4_000)), len(text)]
        return [pack(text[begin:end]) for begin, end in pairwise(cuts)]

    return packed


def bgzf(text: bytes) -> bytes:
    """A block as bgzip writes it."""
    packer = zlib.compressobj(wbits=-15)
    body = packer.compress(text) + packer.flush()
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(body) + 25)
    return head + body + struct.pack("<2I", zlib.crc32(text), len(text))


def pzstd(text: bytes) -> bytes:
    """A frame as pzstd writes it, behind one to be skipped that has its size."""
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(text)
    return b"\x50\x2a\x4d\x18\4\0\0\0" + struct.pack("<I", len(frame)) + frame


def blocks_of(text: bytes, _: random.Random) -> list[bytes]:
    lines = [line for line in text.splitlines(keepends=True) if line.strip() and b"\r" not in line]
    return [in_blocks(b"".join(lines[first : first + 9]), 9) for first in range(0, len(lines), 9)]


PACKED: dict[str, Callable[[bytes, random.Random], list[bytes]]] = {
    "pzstd": frames_of(pzstd),
    "bgzip": frames_of(bgzf),
    "pbzip2": frames_of(bz2.compress),
    "pixz": frames_of(lzma.compress),
    "zst_blocks": blocks_of,
}


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


@pytest.mark.parametrize("how", list(PACKED))
def test_wherever_a_compressed_file_is_cut_all_is_as_if_it_were_whole(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    path = reddit_file(tmp_path, chance)
    packed = PACKED[how](path.read_bytes(), chance)
    monkeypatch.setattr(sharing, "_PACKED", 1)
    monkeypatch.setattr(sharing, "_SECTIONS_MAX", 23)
    monkeypatch.setattr(sharing, "SECTION_BYTES", sum(map(len, packed)) // 11)
    monkeypatch.setattr(compressed, "_READ", 777)
    for damaged in (False, True) if how == "pzstd" else (True,):
        if damaged:  # one frame in its middle, one at its beginning, which hides it, and the last one
            for number, at in ((len(packed) // 3, 0.6), (len(packed) // 2, 0.0)):
                frame = bytearray(packed[number])
                begin = int(len(frame) * at)
                frame[begin : begin + 40] = bytes(byte ^ 0x55 for byte in frame[begin : begin + 40])
                packed[number] = bytes(frame)
            packed[-1] = packed[-1][:-9]
        path.write_bytes(b"".join(packed))
        whole = ImportJob("reddit-dump", [path], tmp_path / f"whole-{damaged}", NOW, {})
        wanted = outcome(whole, [whole], tmp_path / f"out-{damaged}")
        assert len(wanted[0]["damaged"]) == 3 * damaged
        assert wanted[0]["kept"]["answer"] > 300
        assert wanted[0]["examples"]
        job = structs.replace(whole, store=tmp_path / f"store-{damaged}")
        jobs, _ = sharing.import_jobs(job, Means(workers=8), Tally())
        assert 8 < len(jobs) < 14
        assert outcome(job, jobs, tmp_path / f"cut-{damaged}") == wanted


def test_sections_of_an_object_are_read_by_ranges(
    server: s3.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(9)
    path = reddit_file(tmp_path, chance)
    data = b"".join(PACKED["pzstd"](path.read_bytes(), chance))
    server.bucket()["RS_2024-01.zst"] = data
    monkeypatch.setattr(sharing, "_PACKED", 1)
    monkeypatch.setattr(sharing, "SECTION_BYTES", len(data) // 4)
    monkeypatch.setattr(boundaries, "_READ", 1 << 12)
    whole = ImportJob("reddit-dump", [path], tmp_path / "whole", NOW, {})
    wanted = import_part(whole, ignore_progress)
    remote = structs.replace(whole, paths=[RemotePath("s3://bucket/RS_2024-01.zst")], store=tmp_path / "store")
    jobs, _ = sharing.import_jobs(remote, Means(workers=8), Tally())
    assert len(jobs) > 2
    tally = total_tally(import_part(job, ignore_progress) for job in jobs)
    assert (tally.read, tally.dropped) == (wanted.read, wanted.dropped)
    assert [example.offset for example in tally.examples] == [example.offset for example in wanted.examples]
    stores = [Store(job.store) for job in (whole, remote)]
    assert stores[0].posts().sort("post_id").equals(stores[1].posts().sort("post_id"))


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
    chance = random.Random(5)
    path = tmp_path / "RS_2024-01.zst"
    path.write_bytes(b"".join(PACKED["pzstd"](reddit_file(tmp_path, chance).read_bytes(), chance)))
    alone = import_dump("reddit-dump", path, tmp_path / "alone", now=NOW, workers=1)
    monkeypatch.setattr(sharing, "_PACKED", 1)
    monkeypatch.setattr(sharing, "SECTION_BYTES", path.stat().st_size // 2)
    shared = import_dump("reddit-dump", path, tmp_path / "shared", now=NOW, workers=4, memory="4GiB")
    assert shared.tally.to_dict() == alone.tally.to_dict()
    assert not (tmp_path / "shared" / "importing").exists()
    for name in ("alone", "shared"):
        export_dataset(tmp_path / name, tmp_path / f"out-{name}", rule="votes", workers=1)
    assert tree(tmp_path / "out-alone") == tree(tmp_path / "out-shared")
