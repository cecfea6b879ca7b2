"""What few bytes unpack to: memory and time are bounded by what was given, not by what it claims."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shp_miner.cli import run
from shp_miner.dumps import compressed, parquet
from shp_miner.dumps.compressed import zstd
from shp_miner.dumps.stackexchange_paths import _ROOT
from shp_miner.platforms.sites import site_of
from shp_miner.sources.decode import page_kind
from shp_miner.text.clean import to_markdown, visible_chars

from .build import T0, submission, write_dump
from .property import examples

#: More than a command needs beside the bomb, and far less than it unpacks to.
_MEMORY = 4 << 30


def named(text: str, count: int) -> pa.Array:
    """The same text so many times, as a dictionary of one: here, too, it takes no room."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([text]))


def table_of(count: int, title: str = "t", answers: int = 0, body: str = "b", *, alike: bool = False) -> pa.Table:
    """So many threads, of which the first has answers, `alike` or with an id each."""
    numbers = pa.array([0] * answers if alike else range(answers), pa.int64())
    parts = [numbers.cast(pa.string()), named(body, answers), pa.array([T0] * answers), pa.array([1] * answers)]
    items = pa.StructArray.from_arrays(parts, names=["answer_id", "body", "created_at", "score"])
    ends = pa.array([0] + [answers] * count, pa.int32())
    times = pa.array([T0] * count)
    names = {"site": named("a.example", count), "community": named("c", count), "title": named(title, count)}
    ids = {"post_id": named("1", count), "created_at": times, "score": times}
    return pa.table({**names, **ids, "answers": pa.ListArray.from_arrays(ends, items)})


LONG = "x" * 3_000_000
BOMBS = {
    "one title": lambda: table_of(1500, title=LONG),
    "one body": lambda: table_of(1, answers=1500, body=LONG),
    "one row": lambda: table_of(1, title="x" * (70 << 20)),
    "no text": lambda: table_of(3_000_000),
    "one row of answers": lambda: table_of(3_000, answers=3_000_000, alike=True),
    "one site": lambda: table_of(3_000).set_column(0, "site", named("x" * 5_000_000, 3_000)),
}


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_parquet_bomb_is_named_and_takes_no_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    pq.write_table(BOMBS[name](), path, compression="zstd", dictionary_pagesize_limit=1 << 30, store_schema=False)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", "from shp_miner.cli import main; main()", "import", "threads", str(path)],
        env={**os.environ, "SHP_MINER_IMPORT_THREADS_STORE": str(tmp_path / "store")},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY)),
    )
    assert done.returncode == 3, done.stderr
    assert "row group 0 is not read: " in done.stderr
    assert time.monotonic() - began < 60


def test_small_row_groups_are_counted_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, part = tmp_path / "b.parquet", table_of(10, answers=40_000, alike=True)
    with pq.ParquetWriter(path, part.schema, compression="zstd") as writer:
        for _ in range(40):
            writer.write_table(part)
    assert run(["import", "threads", str(path), "--store", str(tmp_path / "store"), "--quiet"]) == 3
    assert "row group 39 is not read: " in capsys.readouterr().err


def test_a_row_of_very_many_answers_is_lost_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parquet, "VALUES_OF_ROW", 1000)
    path = tmp_path / "b.parquet"
    pq.write_table(pa.concat_tables([table_of(1, answers=1001), table_of(1, answers=1000)]), path)
    assert run(["import", "threads", str(path), "--store", str(tmp_path / "store"), "--json"]) == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["kept"] == {"answer": 1000, "post": 1}
    assert "more than 1,000 answers" in said.err


def test_names_take_time_by_their_length() -> None:
    assert _seconds(lambda: site_of("x" * 1_000_000)) < 1
    for piece in (b"<!---->", b"<!-- ", b"<?xml "):
        assert _seconds(lambda piece=piece: _ROOT.match(piece * 600)) < 1


@pytest.mark.parametrize("pack", [zstd.compress, gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_of_nothing_but_line_ends(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compressed, "UNPACKED", 4 << 20)
    monkeypatch.setattr(compressed, "PACKED", 100)
    first = json.dumps(submission()).encode() + b"\n"
    (tmp_path / "RS_x").write_bytes(pack(first + b"\n" * (32 << 20)))
    code = run(["import", "reddit-dump", str(tmp_path / "RS_x"), "--store", str(tmp_path / "store"), "--json"])
    said = capsys.readouterr()
    assert (code, json.loads(said.out)["kept"]) == (3, {"post": 1})
    assert "unpacks to more than 1,000 times its size" in said.err


#: Bodies that cost the square of their length where tags are searched for without care.
HTML = {
    "open": lambda n: "<" * n,
    "closed": lambda n: "<" * n + ">",
    "images": lambda n: "<img " * (n // 5),
    "anchors": lambda n: "<a href=" * (n // 8),
    "comments": lambda n: "<!--" * (n // 4),
    "entities": lambda n: "&#9" * (n // 3) + "&#" + "9" * 5000 + ";",
    "nested": lambda n: "<div>" * (n // 5) + "text",
    "bold": lambda n: "<b>x" * (n // 4),
    "lists": lambda n: "<ul><li>" * (n // 8),
    "items": lambda n: "<ul><li>x" * (n // 9),
    "quotes": lambda n: "<blockquote>" * 20 + "<pre>" + "\n" * (n // 8) + "x",
    "unmatched ends": lambda n: "<b></i>" * (n // 7),
    "headings": lambda n: "<h1><p>" * (n // 7),
    "paragraphs": lambda n: "<p>" * (n // 3),
    "titles": lambda n: "<title " * (n // 7),
    "misnested": lambda n: "<b><i>x</b>" * (n // 11),
    "a wide row and many": lambda n: f"<table><tr>{'<td>x' * (n // 10)}{'<tr><td>x' * (n // 18)}",
    "spans": lambda n: "<table>" + '<tr><td colspan="1000">x' * (n // 24),
    "quoted": lambda n: '<a ="<a "' * (n // 9),
    "quoted chains": lambda n: '<a "=' * (n // 5) + '">',
    "comments after one": lambda n: "<!-- -->" + "<!--" * (n // 4) + ">",
}


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", sorted(HTML))
def test_html_takes_time_by_its_length(name: str) -> None:
    body = HTML[name](2_000_000)
    assert _seconds(lambda: visible_chars(body, "html")) < 2
    assert _seconds(lambda: to_markdown(body, "html")) < 10
    assert len(to_markdown(body, "html")) < 20 * len(body)


@pytest.mark.parametrize("page", [b"<title ", b"<title>", b"<title>a ", b"type=", b"<"])
def test_an_error_page_takes_time_by_its_length(page: bytes) -> None:
    assert _seconds(lambda: page_kind(page * (8_000_000 // len(page)))) < 2


#: What people and attackers nest. What is in an iframe, a template or a picture is shown nowhere as text.
TAGS = [
    "div", "span", "blockquote", "b", "section", "ul", "ul><li", "ol><li", "li", "p", "p><b", "table><tbody><tr><td",
    "table><tr><td", "table", "td", "tr", "dl><dd", "dd", "pre", "code", "a href='http://a.example'", "h1", "h1><p",
    "form", "label", "details", "details><summary", "button", "select><option", "font", "center", "x-y", "o:p", "title",
    "body", "ruby><rt",
]  # fmt: skip
ATTRIBUTES = [
    "",
    " title='<'",
    ' title=">"',
    " title='</div>' a=\"<p>\"",
    " it's",
    ' a="',
    " a='<'b='>'",
    " a=<",
    " /",
    "\n",
]
CLOSED = ["", "last", "all", "wrong"]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("tag", TAGS)
@examples(40)
@given(
    depth=st.sampled_from([1, 9, 40, 260, 300, 1100, 3000]),
    attribute=st.sampled_from(ATTRIBUTES),
    closed=st.sampled_from(CLOSED),
    between=st.sampled_from(["", "x", "\n", "<br>", "<!-- <div> -->", "a < b"]),
)
@example(depth=3000, attribute=" title='<'", closed="", between="")
@example(depth=3000, attribute="", closed="wrong", between="x")
def test_no_depth_of_nesting_loses_text(tag: str, depth: int, attribute: str, closed: str, between: str) -> None:
    # A quote that nobody closed goes on to the next one, in a browser too.
    one = f"<{tag}{attribute}>{between}" + ("'\">" if attribute == ' a="' else "")
    names = re.findall(r"(?:^|<)([a-z0-9:-]+)", tag)[::-1]
    ends = {"": "", "last": f"</{names[0]}>", "all": "".join(f"</{name}>" for name in names), "wrong": "</i></u>"}
    body = f"first {one * depth}deep{ends[closed] * depth} final"
    found = to_markdown(body, "html")
    assert all(word in found for word in ("first", "deep", "final")), found[-300:]


@pytest.mark.parametrize("body", ["<form>x</form>", "<noscript>x</noscript>", "<iframe>x</iframe>", "<" * 300 + "x"])
def test_text_that_a_converter_leaves_out_is_not_lost(body: str) -> None:
    assert "x" in to_markdown(body, "html")
    assert to_markdown("<style>x</style><script>x</script>", "html") == ""


def test_paragraphs_that_nobody_closed_stay_paragraphs() -> None:
    assert to_markdown("<p>one" * 2000, "html").count("one\n\n") == 1999


@pytest.mark.parametrize("value", ["[" * 100_000, '{"a":' * 100_000, "9" * 100_000, '"' + "\\ud800" * 50_000 + '"'])
def test_json_that_is_nested_without_end(value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = json.dumps(submission())
    bad = good[:-1] + f', "edited": {value}}}'
    code = run(
        [
            "import",
            "reddit-dump",
            str(write_dump(tmp_path / "RS_x", [good, bad, json.dumps(submission("p2"))])),
            "--store",
            str(tmp_path / "s"),
            "--json",
        ]
    )
    assert code in (0, 3)
    assert json.loads(capsys.readouterr().out)["kept"]["post"] >= 2
