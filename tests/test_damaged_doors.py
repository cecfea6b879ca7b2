"""Every door with every damage: the file and the byte are named, what is whole is kept, nothing is our own bug."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner.dumps import table_rows, whole_lines
from shp_miner.dumps.compressed import zstd
from shp_miner.dumps.importing import reader
from shp_miner.dumps.parquet_footer import Chunk, row_groups
from shp_miner.errors import BadInput
from shp_miner.tally import Tally

from .build import submission
from .property import examples
from .stackexchange_dump import BZIP2, LZMA2, archive, question
from .stackexchange_dump import table as xml_table
from .test_forgiven import in_blocks
from .test_import_discourse import topic
from .test_import_published import shp_rows
from .test_import_table import ANSWERS, HEAD, POSTS
from .test_import_threads import thread
from .test_untimed import eli5_rows, h4_rows

NOW = datetime(2027, 1, 1, tzinfo=UTC)
Rows = list[dict[str, Any]]

#: Records of a file: enough for several blocks of a compressed one.
MANY = 400


def noise(number: int) -> str:
    """Letters that hardly compress."""
    return f"{random.Random(number).getrandbits(600):x}"


def lines(rows: Rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def sheet(rows: Rows, delimiter: str = ",") -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def parquet(rows: Rows) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, row_group_size=50)
    return out.getvalue()


def stream(rows: Rows) -> bytes:
    out, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=20)
    return out.getvalue()


def xml(_rows: Rows) -> bytes:
    return xml_table("posts", *(question(n, Body=noise(n)) for n in range(1, MANY)))


def seven(filters: Any) -> Callable[[Rows], bytes]:
    return lambda rows: archive(Path("made.7z"), {"Posts.xml": xml(rows)}, filters).read_bytes()


REDDIT = [submission(f"p{n}", selftext=noise(n)) for n in range(MANY)]
THREADS = [thread(f"p{n}", body=noise(n)) for n in range(MANY)]
TOPICS = [topic(id=n, title=noise(n)) for n in range(1, MANY)]
TABLE = [
    {**dict.fromkeys(POSTS, ""), "post_id": n, "title": noise(n), "created_at": "2024-01-02T03:04:05Z", "score": 7}
    for n in range(MANY)
]
ROWS: dict[str, Rows] = {"SHP": shp_rows(40), "H4": h4_rows(28), "ELI5": eli5_rows(MANY)}
for row in ROWS["H4"]:
    row["date"] = "2016/01/02"
KINDS: dict[str, Rows] = {"reddit-dump": REDDIT, "threads": THREADS, "discourse-json": TOPICS, "table": TABLE}
OPTIONS: dict[str, dict[str, Any]] = {
    "discourse-json": {"site": "a.example"},
    "stackexchange-dump": {"site": "a.stackexchange.com"},
    "table": {"map": {**HEAD, "posts": POSTS, "answers": ANSWERS}},
}


@dataclass(frozen=True)
class Door:
    """A kind of dump and a form of its file."""

    kind: str
    name: str
    write: Callable[[Rows], bytes]
    rows: Rows

    def found(self, path: Path) -> tuple[set[str], Tally]:
        """The ids of the posts that an import keeps, and its counts."""
        tally = Tally()
        chunks = list(reader(self.kind)([path], tally, now=NOW, **OPTIONS.get(self.kind, {})))
        return {post_id for chunk in chunks for post_id in chunk.posts["post_id"].to_pylist()}, tally

    def found_or_refused(self, path: Path) -> tuple[set[str], Tally] | BadInput:
        """The same, or the error that refuses the file."""
        try:
            return self.found(path)
        except BadInput as error:
            return error


def doors() -> Iterator[Door]:
    packs: dict[str, Callable[[bytes], bytes]] = {
        "": lambda data: data, ".zst": zstd.compress, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress,
    }  # fmt: skip
    for kind, rows in KINDS.items():
        for ending, pack in packs.items():
            yield Door(kind, f"RS_1.jsonl{ending}", lambda some, pack=pack: pack(lines(some)), rows)
        yield Door(kind, "RS_array.json", lambda some: json.dumps(some, indent=1).encode(), rows)
        yield Door(kind, "RS_joined.json", lambda some: lines(some).replace(b"\n", b""), rows)
        yield Door(kind, "RS_1.zst_blocks", lambda some: in_blocks(lines(some), 40), rows)
    yield Door("threads", "a.parquet", parquet, THREADS)
    yield Door("threads", "a.arrow", stream, THREADS)
    for name, rows in ROWS.items():
        for ending, write in (("jsonl", lines), ("parquet", parquet), ("arrow", stream)):
            yield Door("threads", f"{name}.{ending}", write, rows)
    yield Door("table", "a.csv", sheet, TABLE)
    yield Door("table", "a.tsv", lambda some: sheet(some, "\t"), TABLE)
    yield Door("table", "a.csv.zst", lambda some: zstd.compress(sheet(some)), TABLE)
    yield Door("table", "a.parquet", parquet, TABLE)
    for ending, pack in packs.items():
        yield Door("stackexchange-dump", f"Posts.xml{ending}", lambda some, pack=pack: pack(xml(some)), [])
    for name, filters in (("bzip2", BZIP2), ("lzma", LZMA2)):
        yield Door("stackexchange-dump", f"{name}.stackexchange.com.7z", seven(filters), [])


DOORS = [pytest.param(door, id=f"{door.kind}-{door.name}") for door in doors()]


#: What a decompressor still gives of a file that is cut.
UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: zlib.decompressobj(31).decompress(data),
    ".bz2": lambda data: bz2.BZ2Decompressor().decompress(data),
    ".xz": lambda data: lzma.LZMADecompressor().decompress(data),
}


def whole_posts(door: Door, data: bytes) -> int:
    """How many records are whole in data that begin a file, as far as the form tells it; each has noise of its own."""
    ending = Path(door.name).suffix
    try:
        text = UNPACK[ending](data) if ending in UNPACK else data
    except (zlib.error, OSError, lzma.LZMAError):
        return 0
    if ending in (".zst", ".zst_blocks", ".parquet", ".arrow", ".7z") or door.rows is ROWS["SHP"]:
        return 0
    return max(text.count(b"\n") - 3, 0) if "array" not in door.name and "joined" not in door.name else 0


def told_well(door: Door, path: Path, data: bytes, least: int, *, harmless: bool) -> None:
    """Assert what holds for each damage."""
    path.write_bytes(data)
    found = door.found_or_refused(path)
    if isinstance(found, BadInput):  # exit code 5
        assert door.name in found.message
        assert least == 0
        return
    kept, tally = found
    assert not tally.defects, tally.defects[0]
    assert harmless or not tally.complete  # exit code 3
    for damage in [*tally.damages, *tally.examples]:
        assert damage.path.startswith(str(path))  # of an archive also the member
        assert damage.offset is not None
        assert damage.offset <= 50 * len(data)  # of an archive's text
    assert len(kept) >= least


@pytest.mark.parametrize("door", DOORS)
def test_a_damaged_file_is_named_with_the_byte_and_gives_what_is_whole(door: Door, tmp_path: Path) -> None:
    path, data = tmp_path / door.name, door.write(door.rows)
    path.write_bytes(data)
    kept, tally = door.found(path)
    assert tally.complete
    assert len(kept) >= 28
    chance = random.Random(door.name)
    for at in (len(data) // 2, chance.randrange(20, len(data) - 20)):
        told_well(door, path, data[:at], whole_posts(door, data[:at]), harmless=False)
    for count in (1, 8):
        flipped = bytearray(data)
        for _ in range(count):
            flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        told_well(door, path, bytes(flipped), 0, harmless=True)


@pytest.mark.parametrize("door", DOORS)
def test_a_file_of_something_else_is_refused_or_says_what_it_lacks(door: Door, tmp_path: Path) -> None:
    path, rows = tmp_path / door.name, [{"colour": noise(n), "size": n} for n in range(30)]
    if door.kind == "stackexchange-dump":
        other = xml_table("users", *(f'  <row Id="{n}" DisplayName="{noise(n)}" />' for n in range(30)))
        if path.suffix == ".7z":
            data = archive(tmp_path / "made.7z", {"Users.xml": other}, BZIP2).read_bytes()
        else:
            data = other
    else:
        data = door.write(rows)
    path.write_bytes(data)
    found = door.found_or_refused(path)
    if isinstance(found, BadInput):
        assert door.name in found.message or "map" in found.hint
    else:
        assert not found[0]
        assert found[1].lost
        assert not found[1].defects


@pytest.mark.parametrize(
    "door", [door for door in DOORS if door.values[0].name.endswith(("csv", "array.json", "joined.json"))]
)
def test_a_record_that_does_not_end_costs_no_more_than_itself(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (whole_lines, table_rows):
        monkeypatch.setattr(module, "LINE_MAX", 1 << 20, raising=False)
    path, data = tmp_path / door.name, door.write(door.rows)
    at = data.index(noise(9).encode())
    told_well(door, path, data[:at] + b"x" * (3 << 20) + data[at:], 8, harmless=False)


def test_a_directory_of_parquet_that_ends_the_library_is_damage(tmp_path: Path) -> None:
    """At some of these places the library would end the process; a test that runs to its end has not met it."""
    door, path = next(door for door in doors() if door.name == "H4.parquet"), tmp_path / "H4.parquet"
    data = door.write(door.rows)
    begin = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    for at in range(begin + 1, begin + 281, 5):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        told_well(door, path, bytes(flipped), 0, harmless=True)


@given(st.integers(1, 30), st.integers(1, 400), st.sampled_from(["snappy", "zstd", "none"]))
@examples(20)
def test_row_groups_are_those_that_the_library_finds(rows: int, group: int, compression: str) -> None:
    path = Path("a.parquet")
    table = pa.table({"a": list(range(rows)), "b": [{"c": [noise(n)] * n} for n in range(rows)]})
    pq.write_table(table, path, row_group_size=group, compression=compression)
    metadata, told = pq.read_metadata(path), row_groups(path)
    assert [one.rows for one in told] == [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    for number, one in enumerate(told):
        columns = [metadata.row_group(number).column(n) for n in range(metadata.num_columns)]
        assert one.columns == [
            Chunk(
                column.path_in_schema,
                column.num_values,
                column.total_uncompressed_size,
                column.total_compressed_size,
                column.data_page_offset,
                column.dictionary_page_offset or column.data_page_offset,
            )
            for column in columns
        ]
