"""What may be given to an import: folders, containers and pipes come out alike for every kind of dump."""

from __future__ import annotations

import gzip
import io
import json
import os
import shlex
import socket
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner.cli import run
from shp_miner.dumps.compressed import zstd
from shp_miner.dumps.plain_lines import plain_lines
from shp_miner.store import Store

from .build import comment, submission
from .property import examples
from .stackexchange_dump import POSTS, archive
from .test_import_discourse import topic
from .test_import_threads import thread


class Kind(NamedTuple):
    """A kind of dump: a file of it (the text of two posts, or one where an archive is a site), and what it needs."""

    name: str
    text: bytes
    file: str
    kept: dict[str, int]
    options: tuple[str, ...] = ()


def _lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


KINDS = [
    Kind("reddit-dump", _lines(submission("p1"), submission("p2")), "RS_2020-09", {"post": 2}),
    Kind("threads", _lines(thread("1"), thread("2")), "threads.jsonl", {"post": 2, "answer": 2}),
    Kind(
        "discourse-json",
        _lines(topic(7), topic(8)),
        "topics.ndjson",
        {"post": 2, "answer": 4},
        ("--site", "forum.example"),
    ),
    Kind("stackexchange-dump", POSTS, "Posts.xml", {"post": 2, "answer": 2}, ("--site", "beer.stackexchange.com")),
]
LINES = KINDS[:3]

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
each_kind_of_lines = pytest.mark.parametrize("kind", LINES, ids=lambda kind: kind.name)


@pytest.fixture
def imported(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[dict[str, Any], str]]:
    """Runs an import; gives its JSON and what it told people."""

    def imports(kind: Kind, *paths: Path | str, code: int = 0) -> tuple[dict[str, Any], str]:
        command = ["import", kind.name, *map(str, paths), *kind.options, "--store", "store", "--json"]
        assert run(command) == code, capsys.readouterr().err
        told = capsys.readouterr()
        return json.loads(told.out) if told.out else {}, told.err

    return imports


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# Folders


@each_kind
def test_a_folder_is_looked_through_by_content_and_to_its_depth(kind: Kind, imported: Any) -> None:
    folder = Path("dumps")
    put(folder, f"of/{kind.file}", kind.text)
    put(folder, "notes.txt", b"Read me first.\n")
    put(folder, "of/SHA256SUMS", b"0123abcd  RS_2020-09\n")
    put(folder, ".hidden", b"x")
    put(folder, ".git/config", b"x")
    data, told = imported(kind, folder)
    assert data["kept"] == kind.kept
    assert data["dropped"]["file"] == {"not_this_kind": 4}
    for name in ("notes.txt", "SHA256SUMS", ".hidden", ".git"):
        assert sum(name in line for line in told.splitlines()) == 1, told


@each_kind_of_lines
@pytest.mark.parametrize("name", ["a.ZST", "a", "a.txt", "RS_2020-09.zst.1", "A.JSONL"])
def test_the_name_of_a_file_in_a_folder_does_not_matter(kind: Kind, name: str, imported: Any) -> None:
    put(Path("dumps/deep/er"), name, zstd.compress(kind.text) if "zst" in name.lower() else kind.text)
    assert imported(kind, "dumps")[0]["kept"] == kind.kept


@each_kind
def test_a_file_that_is_named_twice_is_read_once(kind: Kind, imported: Any) -> None:
    file = put(Path("dumps"), kind.file, kind.text)
    assert imported(kind, "dumps", file, file)[0]["kept"] == kind.kept


@each_kind
@pytest.mark.parametrize("there", [{}, {"notes.txt": b"no dump\n"}])
def test_a_folder_without_a_dump_is_refused(kind: Kind, there: dict[str, bytes], imported: Any) -> None:
    Path("dumps").mkdir()
    for name, data in there.items():
        put(Path("dumps"), name, data)
    _, told = imported(kind, "dumps", code=5)
    assert told.startswith("Error: The folder dumps contains no ")
    assert all(name in told for name in there)


@each_kind
def test_what_is_no_file_is_passed_over_in_a_folder(kind: Kind, imported: Any) -> None:
    folder = Path("dumps")
    put(folder, kind.file, kind.text)
    os.mkfifo(folder / "pipe")
    (folder / "nowhere").symlink_to("gone")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        data, told = imported(kind, folder)
    assert data["kept"] == kind.kept
    assert data["dropped"]["file"]["not_this_kind"] == 3
    assert all(name in told for name in ("pipe", "nowhere", "socket"))


def test_a_store_below_the_folder_is_passed_over(imported: Any) -> None:
    kind = KINDS[0]
    put(Path(), kind.file, kind.text)
    imported(kind, kind.file)
    data, told = imported(kind, ".")
    assert data["kept"] == kind.kept
    assert "store/posts is a table of a store" in told


def test_many_files_that_are_passed_over_are_named_up_to_a_number(imported: Any) -> None:
    kind = KINDS[0]
    put(Path("dumps"), kind.file, kind.text)
    for number in range(30):
        put(Path("dumps"), f"note{number:02}", b"none\n")
    data, told = imported(kind, "dumps")
    assert data["dropped"]["file"] == {"not_this_kind": 30}
    assert "note19" in told
    assert "note20" not in told
    assert "10 more files" in told


def test_a_folder_of_sites_is_read_site_by_site(imported: Any) -> None:
    kind = KINDS[3]._replace(options=())
    folder = Path("sites")
    folder.mkdir()
    archive(folder / "beer.stackexchange.com.7z", {"Posts.xml": POSTS})
    put(folder, "cooking.stackexchange.com/Posts.xml", POSTS)
    put(folder, "cooking.stackexchange.com/Tags.xml", b"<tags></tags>")
    archive(folder / "superuser.com-Posts.7z", {"Posts.xml": POSTS})
    archive(folder / "superuser.com-Badges.7z", {"Badges.xml": b"<badges></badges>"})
    put(folder, "readme.txt", b"see the site\n")
    data, told = imported(kind, folder)
    assert data["kept"] == {"post": 6, "answer": 6}
    assert data["dropped"]["file"] == {"not_needed": 2, "not_this_kind": 1}
    assert "readme.txt" in told


# Containers


def _tar(kind: Kind, mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as file:  # type: ignore[call-overload]
        info = tarfile.TarInfo(kind.file)
        info.size = len(kind.text)
        file.addfile(info, io.BytesIO(kind.text))
    return out.getvalue()


def _zip(kind: Kind) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(kind.file, kind.text)
    return out.getvalue()


#: How a dump may lie in something else: (what it is called, what says how to go on).
CONTAINERS: dict[str, tuple[Callable[[Kind], bytes], str, str]] = {
    "tar": (lambda kind: _tar(kind, "w"), "is a tar archive", "tar -xOf"),
    "tar.gz": (lambda kind: _tar(kind, "w:gz"), "is a tar archive", "tar -xOf"),
    "tar.zst": (lambda kind: zstd.compress(_tar(kind, "w")), "is a tar archive", "tar -xOf"),
    "zip": (_zip, "is a zip archive", "unzip -p"),
    "rar": (lambda _: b"Rar!\x1a\x07\x01\x00" + b"x" * 99, "is a RAR archive", "Unpack it"),
    "git lfs": (
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "is a Git LFS pointer",
        "git lfs pull",
    ),
    "twice": (lambda kind: zstd.compress(gzip.compress(kind.text)), "is compressed twice", "Decompress it once"),
    "not fetched yet": (lambda _: bytes(5000), "begins with zero bytes", "fetch it again"),
    "git-annex": (
        lambda _: b"/annex/objects/SHA256E-s12--00.zst\n",
        "is a git-annex pointer",
        "git annex get",
    ),
    "compress": (lambda _: b"\x1f\x9d\x90" + b"x" * 99, "is compressed with compress", "gzip -dc"),
    "a page behind comments": (
        lambda _: b"\n" + b"<!-- a -->\n" * 40 + b"<HTML><body>Sorry</body></HTML>",
        "is a web page",
        "fetch it again",
    ),
    "a page instead": (lambda _: b"<!DOCTYPE html><html>Sorry</html>", "is a web page", "fetch it again"),
}


@each_kind_of_lines
@pytest.mark.parametrize("how", CONTAINERS)
def test_what_cannot_be_read_as_it_lies_is_named_with_a_way_out(kind: Kind, how: str, imported: Any) -> None:
    make, says, way_out = CONTAINERS[how]
    file = put(Path("dump s"), "it's", make(kind))
    _, told = imported(kind, file, code=5)
    assert f"{file} {says}" in told
    assert way_out in told


@each_kind_of_lines
@pytest.mark.parametrize("how", CONTAINERS)
def test_in_a_folder_it_is_a_part_that_is_missing(kind: Kind, how: str, imported: Any) -> None:
    make, says, way_out = CONTAINERS[how]
    put(Path("dumps"), "it", make(kind))
    put(Path("dumps"), kind.file, kind.text)
    data, told = imported(kind, "dumps", code=3)
    assert data["kept"] == kind.kept
    assert says in told
    assert way_out in told
    assert "undamaged" not in told


@pytest.mark.parametrize("how", ["tar.gz", "zip", "git lfs", "not fetched yet"])
def test_a_site_in_something_else_is_named_for_what_it_is(how: str, imported: Any) -> None:
    kind = KINDS[3]
    make, says, _ = CONTAINERS[how]
    _, told = imported(kind, put(Path(), "beer.stackexchange.com.7z", make(kind)), code=5)
    assert says in told


def _spread(kind: Kind) -> bytes:
    return "\n".join(json.dumps(json.loads(line), indent=2) for line in kind.text.splitlines()).encode()


#: The same records in other forms than one a line of UTF-8.
FORMS: dict[str, Callable[[Kind], bytes]] = {
    "one array": lambda kind: json.dumps([json.loads(line) for line in kind.text.splitlines()]).encode(),
    "a spread array": lambda kind: json.dumps([json.loads(x) for x in kind.text.splitlines()], indent=1).encode(),
    "spread over lines": _spread,
    "nothing between": lambda kind: b"".join(kind.text.splitlines()),
    "carriage returns": lambda kind: kind.text.replace(b"\n", b"\r"),
    "utf-16": lambda kind: kind.text.decode().encode("utf-16"),
    "utf-16 without a mark": lambda kind: kind.text.decode().encode("utf-16-le"),
    "utf-16, big end first": lambda kind: kind.text.decode().encode("utf-16-be"),
    "utf-32": lambda kind: kind.text.decode().encode("utf-32"),
    "an array in utf-16": lambda kind: FORMS["a spread array"](kind).decode().encode("utf-16"),
    "a mark": lambda kind: b"\xef\xbb\xbf" + kind.text,
}


@each_kind_of_lines
@pytest.mark.parametrize("form", FORMS)
def test_json_of_any_form_is_read(kind: Kind, form: str, imported: Any) -> None:
    data, _ = imported(kind, put(Path("dumps"), kind.file, gzip.compress(FORMS[form](kind))))
    assert data["kept"] == kind.kept


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.name)
def test_other_json_in_a_folder_is_none_of_a_dump(kind: Kind, imported: Any) -> None:
    put(Path("dumps"), kind.file, kind.text)
    put(Path("dumps"), "package.json", b'{\n  "name": "mine"\n}\n')
    assert imported(kind, "dumps")[0]["dropped"]["file"] == {"not_this_kind": 1}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["{", "]", '"', "\\", "a\nb"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(max_size=3), VALUES, min_size=1, max_size=4), min_size=1, max_size=5),
    st.sampled_from([None, 0, 3]),
    st.sampled_from(["array", "lines", "", " ", "\r\n"]),
    st.integers(1, 40),
)
@examples(100)
def test_records_come_out_one_a_line_wherever_the_blocks_end(
    records: list[dict[str, Any]], indent: int | None, between: str, size: int
) -> None:
    texts = [json.dumps(record, indent=indent) for record in records]
    whole = (
        "[" + ",".join(texts) + "]\n" if between == "array" else ("\n" if between == "lines" else between).join(texts)
    )
    if between in ("", " ") and len(records) == 1 and indent is None:
        whole += "\n"
    data = whole.encode()
    # What is looked at first must hold the first line; the blocks after it may end anywhere.
    first = max(len(texts[0]) + len(texts[-1]) + 8, 200)
    blocks = [data[:first], *(data[at : at + size] for at in range(first, len(data), size))]
    lines = [line for line in b"".join(map(bytes, plain_lines(blocks))).split(b"\n") if line.strip()]
    assert [json.loads(line) for line in lines] == records


@each_kind
@pytest.mark.parametrize("start", [b"ARROW1\0\0", b"\xff\xff\xff\xff\x10\0\0\0", b"FEA1"])
def test_arrow_files_are_named_for_what_they_are(kind: Kind, start: bytes, imported: Any) -> None:
    _, told = imported(kind, put(Path(), "a.arrow", start + b"x" * 99), code=5)
    assert "an Arrow IPC" in told or "a Feather file" in told


@each_kind
def test_an_empty_file_is_named_alone_and_passed_over_in_a_folder(kind: Kind, imported: Any) -> None:
    _, told = imported(kind, put(Path(), kind.file, b""), code=5)
    assert f"{kind.file} is empty." in told
    put(Path("dumps"), f"of/{kind.file}", kind.text)
    put(Path("dumps"), f"more/{kind.file}", b"")
    data, told = imported(kind, "dumps")
    assert data["kept"] == kind.kept
    assert data["dropped"]["file"] == {"not_this_kind": 1}
    assert "is empty" in told


@each_kind
def test_a_link_of_git_annex_that_leads_to_nothing_is_a_part_that_is_missing(kind: Kind, imported: Any) -> None:
    put(Path("dumps"), kind.file, kind.text)
    Path("dumps/other").symlink_to("../.git/annex/objects/aa/bb/SHA256E-s12--00/SHA256E-s12--00")
    data, told = imported(kind, "dumps", code=3)
    assert data["kept"] == kind.kept
    assert "git annex get dumps/other" in told


@each_kind
def test_names_that_are_not_utf8_are_told_in_json_too(kind: Kind, imported: Any) -> None:
    name = os.fsdecode(b"notes-\xff")
    put(Path("dumps"), name, b"Read me.\n")
    put(Path("dumps"), f"of/{kind.file}", kind.text)
    data, told = imported(kind, "dumps")
    assert data["kept"] == kind.kept
    assert f"dumps/{name} " in data["passed_over"][0]
    assert r"notes-\udcff" in told


@each_kind
def test_an_empty_path_is_not_the_current_folder(kind: Kind, imported: Any) -> None:
    put(Path(), kind.file, kind.text)
    assert "the path is empty" in imported(kind, "", code=2)[1]


NAMED = ["RC_2020-09", "RC_2020-09.jsonl", "AskTest_comments", "rc.txt", "asktest_comments.jsonl.1"]


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("garbage", [b"garbage\n", b'{"a": 1}\n', b"null\n"])
def test_a_file_whose_name_says_what_it_is_is_read_whatever_its_first_lines_are(
    name: str, garbage: bytes, imported: Any
) -> None:
    good = _lines(*(comment(f"c{number}") for number in range(60)))
    put(Path("dumps"), name, b"x" + garbage + garbage * 29 + good)
    put(Path("dumps"), "RS_2020-09", KINDS[0].text)
    put(Path("dumps"), "notes", garbage * 30 + good)
    data, told = imported(KINDS[0], "dumps", code=3)
    assert data["kept"] == {"post": 2, "answer": 60}
    assert sum(data["dropped"]["answer"].values()) == 30
    assert "notes is not a Reddit dump" in told


# Pipes


def in_shell(line: str) -> tuple[int, str]:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("kind", "way"),
    list(zip(KINDS, ["stdin", "-", "substitution", "file on stdin"], strict=True)),
    ids=lambda value: getattr(value, "name", value),
)
def test_what_comes_through_a_pipe_is_read(kind: Kind, way: str) -> None:
    file = put(Path(), f"from/{kind.file}", kind.text)
    program = [sys.executable, "-c", "import sys; from shp_miner.cli import run; sys.exit(run(sys.argv[1:]))"]
    line = {
        "stdin": "cat {file} | {program} /dev/stdin {rest}",
        "-": "cat {file} | {program} - {rest}",
        "substitution": "{program} <(cat {file}) {rest}",
        "file on stdin": "{program} - {rest} < {file}",
    }[way].format(
        file=file,
        program=shlex.join([*program, "import", kind.name]),
        rest=shlex.join([*kind.options, "--store", "store"]),
    )
    code, told = in_shell(line)
    assert code == 0, told
    snapshot = Store("store").snapshot()
    assert snapshot.scan("posts").collect().height == kind.kept["post"]


def fed(path: Path, data: bytes) -> Thread:
    """A writer of a named pipe."""
    os.mkfifo(path)
    writer = Thread(target=path.write_bytes, args=(data,), daemon=True)
    writer.start()
    return writer


@each_kind
def test_a_named_pipe_is_read_once_and_whole(kind: Kind, imported: Any) -> None:
    writer = fed(Path("pipe"), kind.text)
    data, _ = imported(kind, "pipe")
    writer.join(10)
    assert data["kept"] == kind.kept


def test_a_compressed_dump_may_come_through_a_pipe_and_parquet_too(imported: Any) -> None:
    for kind, data in (
        (KINDS[0], zstd.compress(KINDS[0].text)),
        (KINDS[1], _parquet([thread("1"), thread("2")])),
        (KINDS[3], archive(Path("beer.7z"), {"Posts.xml": POSTS}).read_bytes()),
    ):
        fed(Path(f"pipe-{kind.name}"), data)
        assert imported(kind, f"pipe-{kind.name}")[0]["kept"] == kind.kept


def _parquet(records: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), out)
    return out.getvalue()


def test_damage_names_the_pipe_and_nothing_is_left_in_the_temporary_folder(
    imported: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    fed(Path("pipe"), KINDS[0].text + b"{not json\n")
    data, told = imported(KINDS[0], "pipe", code=3)
    assert data["kept"] == KINDS[0].kept
    assert "pipe, byte " in told
    fed(Path("other"), b"no dump at all\n")
    _, told = imported(KINDS[0], "other", code=5)
    assert told.startswith("Error: other is not a Reddit dump")
    assert list((tmp_path / "t").iterdir()) == []


@each_kind
def test_nothing_through_a_pipe_is_said(kind: Kind, imported: Any) -> None:
    fed(Path("pipe"), b"")
    _, told = imported(kind, "pipe", code=5)
    assert "No data came from pipe." in told


@each_kind
def test_what_cannot_be_read_once_more_is_refused(kind: Kind, imported: Any) -> None:
    assert "is a device" in imported(kind, "/dev/zero", code=5)[1]
    assert "named twice" in imported(kind, "-", "/dev/stdin", code=2)[1]


def test_a_pipe_and_files_may_come_together(imported: Any) -> None:
    put(Path("dumps"), "RC", _lines(comment("c1"), comment("c2")))
    fed(Path("pipe"), KINDS[0].text)
    assert imported(KINDS[0], "dumps", "pipe")[0]["kept"] == {"post": 2, "answer": 2}


# Mixed files


@pytest.mark.parametrize("first", ["post", "answer"])
@pytest.mark.parametrize("way", [[], ["--thorough"], ["--community", "asktest"]], ids=str)
@pytest.mark.parametrize("count", [3, 150])
def test_posts_and_comments_in_one_file_are_told_record_by_record(
    count: int, way: list[str], first: str, imported: Any
) -> None:
    posts = [submission(f"p{number}") for number in range(count)]
    answers = [comment(f"c{number}", f"p{number}") for number in range(count)]
    unusual = [submission("px", score="7", retrieved_on="1603456000"), comment("cx", "px", score=3.0)]
    kinds = (posts, answers) if first == "post" else (answers, posts)
    mixed = [*(record for pair in zip(*kinds, strict=True) for record in pair), *kinds[0][:0], *unusual]
    other = comment("cy", "px", parent_id="t1_cx")
    file = put(Path(), "user.jsonl", _lines(*mixed, other))
    kind = KINDS[0]._replace(options=tuple(way))
    data, _ = imported(kind, file)
    assert data["kept"] == {"post": count + 1, "answer": count + 1}
    assert data["dropped"] == {"answer": {"not_direct_reply": 1}}


def test_what_is_neither_is_lost_under_the_reason_of_the_file(imported: Any) -> None:
    neither = {"id": "x", "subreddit": "asktest", "created_utc": 1_600_000_000, "score": 1}
    file = put(Path(), "RC", _lines(comment("c1"), neither, submission("p1")))
    data, _ = imported(KINDS[0], file, code=3)
    assert data["kept"] == {"post": 1, "answer": 1}
    assert data["dropped"] == {"answer": {"missing_field": 1}}
