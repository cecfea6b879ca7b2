"""Every importer keeps every record, whatever form its file has, and names the byte where a file is truly damaged."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shp_miner.dumps import compressed, whole_lines
from shp_miner.dumps.importing import reader
from shp_miner.errors import BadInput
from shp_miner.tally import Tally

from .build import _COMPRESS as COMPRESS
from .build import submission
from .test_import_discourse import topic
from .test_import_table import ANSWERS, HEAD, POSTS
from .test_import_threads import thread

NOW = datetime(2027, 1, 1, tzinfo=UTC)
BOM = b"\xef\xbb\xbf"

RECORDS: dict[str, list[dict[str, Any]]] = {
    "reddit-dump": [submission(f"p{n}", title="MARK one") for n in range(3)],
    "threads": [thread(f"p{n}", title="MARK one") for n in range(3)],
    "discourse-json": [topic(id=n, title="MARK one") for n in (1, 2, 3)],
    "table": [dict(zip(POSTS, [n, "MARK one", "x", "2024-01-02T03:04:05Z", 1], strict=True)) for n in range(3)],
}
OPTIONS: dict[str, dict[str, Any]] = {
    "discourse-json": {"site": "a.example"},
    "stackexchange-dump": {"site": "a.stackexchange.com"},
    "table": {"map": {**HEAD, "posts": POSTS, "answers": ANSWERS}},
}


def lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def spread(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record, indent=2).encode() + b"\n" for record in records)


FORMS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "a mark": lambda records: BOM + lines(records),
    "UTF-16": lambda records: lines(records).decode().encode("utf-16"),
    "carriage returns": lambda records: lines(records).replace(b"\n", b"\r"),
    "line ends of Windows": lambda records: lines(records).replace(b"\n", b"\r\n"),
    "an array": lambda records: json.dumps(records).encode(),
    "an array over lines": lambda records: json.dumps(records, indent=2).encode(),
    "records over lines": spread,
    "records over carriage returns": lambda records: spread(records).replace(b"\n", b"\r"),
    "nothing between records": lambda records: lines(records).replace(b"\n", b""),
    "another encoding": lambda records: lines(records).replace(b"MARK", b"caf\xe9"),
    "a control character": lambda records: lines(records).replace(b"MARK", b"a\x01b"),
    "a raw NUL": lambda records: lines(records).replace(b"MARK", b"a\x00b"),
    "half of a character": lambda records: lines(records).replace(b"MARK", b"a\\ud800b"),
    "blocks": lambda records: in_blocks(lines(records)),
    **{f"compressed {ending}": lambda records, pack=pack: pack(lines(records)) for ending, pack in COMPRESS.items()},
}


def in_blocks(data: bytes, size: int = 2) -> bytes:
    """The lines of a file as .zst_blocks, so many in each block."""
    rows, out = data.splitlines(), b""
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        places = [number for n, row in enumerate(part) for number in (sum(map(len, part[:n])), len(row))]
        packed = compressed.zstd.compress(struct.pack(f"<{1 + len(places)}I", len(part), *places) + b"".join(part))
        out += struct.pack("<I", len(packed)) + packed
    return out


def found(kind: str, path: Path) -> tuple[int, int, Tally]:
    """Posts, answers and counts of an import."""
    tally = Tally()
    chunks = list(reader(kind)([path], tally, now=NOW, **OPTIONS.get(kind, {})))
    return sum(len(chunk.posts) for chunk in chunks), sum(len(chunk.answers) for chunk in chunks), tally


@pytest.mark.parametrize("kind", list(RECORDS))
def test_records_of_json_in_any_form_are_kept(kind: str, tmp_path: Path) -> None:
    for number, (form, write) in enumerate(FORMS.items()):
        path = tmp_path / f"RS_{number}.jsonl"
        path.write_bytes(write(RECORDS[kind]))
        posts, _, tally = found(kind, path)
        assert (posts, tally.complete) == (3, True), f"{form}: {tally.examples}"
        if form in ("another encoding", "a raw NUL", "half of a character"):
            assert sum(count for (_, note), count in tally.notes.items() if note == "text_repaired") >= 1, form


def xml(*more: str, before: str = "", encoding: str = "utf-8") -> str:
    shared = (
        'CreationDate="2020-01-02T03:04:05.000" Score="3" OwnerUserId="1" LastActivityDate="2021-01-01T00:00:00.000"'
    )
    question = f'  <row Id="1" PostTypeId="1" {shared} Title="MARK title" Body="MARK body" />'
    answer = f'  <row Id="2" PostTypeId="2" ParentId="1" {shared} Body="MARK body" />'
    rows = [answer, *more, question]  # in no order
    return "\n".join([f'<?xml version="1.0" encoding="{encoding}"?>', f"{before}<posts>", *rows, "</posts>", ""])


XML: dict[str, bytes] = {
    "a mark": BOM + xml().encode(),
    "UTF-16": xml(encoding="utf-16").encode("utf-16"),
    "UTF-16 that says UTF-8": xml().encode("utf-16"),
    "carriage returns": xml().encode().replace(b"\n", b"\r"),
    "one line": xml().encode().replace(b"\n", b""),
    "a long comment": xml(before=f"<!-- {'x' * 9000} -->").encode(),
    "another encoding": xml().encode().replace(b"MARK", b"caf\xe9"),
    "another encoding and carriage returns": xml().encode().replace(b"MARK", b"caf\xe9").replace(b"\n", b"\r"),
    "a control character": xml().encode().replace(b"MARK", b"a\x01b"),
    "references": xml().encode().replace(b"MARK", b"a&#x0E;&#0;&#xD800;b"),
    **{f"compressed{ending}": pack(xml().encode()) for ending, pack in COMPRESS.items()},
}


@pytest.mark.parametrize("form", list(XML))
def test_rows_of_xml_in_any_form_are_kept(form: str, tmp_path: Path) -> None:
    ending = form.removeprefix("compressed") if form.startswith("compressed") else ""
    path = tmp_path / f"Posts.xml{ending}"
    path.write_bytes(XML[form])
    for given in (path, tmp_path):
        posts, answers, tally = found("stackexchange-dump", given)
        assert (posts, answers, tally.complete) == (1, 1, True), tally.examples
    repaired = {"another encoding", "another encoding and carriage returns", "a control character", "references"}
    assert (tally.notes["line", "text_repaired"] > 0) == (form in repaired)


@pytest.mark.parametrize("kind", [*RECORDS, "stackexchange-dump"])
@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_what_is_whole_before_a_cut_is_kept_and_the_byte_is_named(kind: str, ending: str, tmp_path: Path) -> None:
    if kind == "stackexchange-dump":
        filler = "\n".join(f'  <row Id="{n}" PostTypeId="5" X="{n * 2654435761 % 2**32}" />' for n in range(10, 9000))
        data = xml(filler).encode()
    else:
        data = lines(RECORDS[kind]) + lines(
            [RECORDS[kind][0] | {"title": f"{n * 2654435761 % 2**32}"} for n in range(4000)]
        )
    packed = COMPRESS[ending](data)
    path = tmp_path / ("Posts.xml" if kind == "stackexchange-dump" else "RS_1")
    path = path.with_name(path.name + ending)
    path.write_bytes(packed[: len(packed) // 2])
    posts, answers, tally = found(kind, path)
    assert posts + answers >= (1 if kind == "stackexchange-dump" else 3)
    assert [(damage.path, damage.offset is not None) for damage in tally.damages] == [(str(path), True)]


@pytest.mark.parametrize("kind", list(RECORDS))
def test_a_line_without_end_costs_itself(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_lines, "LINE_MAX", 1 << 20)
    path = tmp_path / "RS_1"
    path.write_bytes(lines(RECORDS[kind][:2]) + b"x" * (3 << 20) + b"\n" + lines(RECORDS[kind][2:]))
    posts, _, tally = found(kind, path)
    assert (posts, tally.dropped["line", "line_too_long"], tally.lost) == (3, 1, 1)
    assert tally.examples[0].offset == len(lines(RECORDS[kind][:2]))


@pytest.mark.parametrize("ending", list(COMPRESS))
def test_entities_are_refused_in_compressed_xml(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"Posts.xml{ending}"
    path.write_bytes(COMPRESS[ending](xml(before='<!DOCTYPE a [<!ENTITY a "aa">]>').encode()))
    with pytest.raises(BadInput, match="document type"):
        found("stackexchange-dump", path)


def test_a_file_of_blocks_is_read_but_for_its_damage_whatever_its_name(tmp_path: Path) -> None:
    path, records = tmp_path / "AskTest_submissions_dump", [submission(f"p{n}") for n in range(5)]
    whole = in_blocks(lines(records))
    path.write_bytes(whole)
    assert found("reddit-dump", path)[::2] == (5, Tally(read=Counter(post=5)))
    first = len(in_blocks(lines(records[:2])))
    for data, at in (
        (whole[:-3], len(in_blocks(lines(records[:4])))),
        (whole[:first] + b"\xff" * 4 + whole[first:], first),
    ):
        path.write_bytes(data)
        posts, _, tally = found("reddit-dump", path)
        assert (posts, [damage.offset for damage in tally.damages]) == (4 if at > first else 5, [at])
    forged = compressed.zstd.compress(struct.pack("<5I", 2, 0, 1 << 30, 0, 1 << 30) + b"{}")
    path.write_bytes(whole[:first] + struct.pack("<I", len(forged)) + forged)
    assert "larger than the block" in found("reddit-dump", path)[2].damages[0].what
