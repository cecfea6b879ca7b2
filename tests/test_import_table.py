"""Tables with columns under any names: the map, the guess, the cells, and what is wrong with each."""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shp_miner.cli import run
from shp_miner.dumps.importing import import_dump
from shp_miner.dumps.table import read
from shp_miner.dumps.table_guess import guess_map
from shp_miner.dumps.table_map import TableMap, to_map
from shp_miner.dumps.table_values import Clock, Unclear, moment, whole
from shp_miner.dumps.threads import read as read_threads
from shp_miner.errors import BadInput
from shp_miner.store import Store
from shp_miner.tally import Lost, Tally

from .build import _COMPRESS as COMPRESS
from .conftest import ROOT

NOW = datetime(2025, 1, 1, tzinfo=UTC)
PAGE = (ROOT / "docs" / "tables.md").read_text()
HEAD = {"site": "forum.example", "community": "cooking"}
POSTS = {key: key for key in ("post_id", "title", "body", "created_at", "score")}
ANSWERS = {key: key for key in ("answer_id", "post_id", "body", "created_at", "score")}
MAP: dict[str, Any] = {**HEAD, "posts": POSTS, "answers": ANSWERS}
POST = ["1", "Why?", "Because", "2024-01-02T03:04:05Z", "12"]
ANSWER = ["10", "1", "Yes.", "2024-01-02T04:00:00Z", "3"]


def table(*rows: list[Any], header: list[str] | None = None, **form: Any) -> str:
    out = io.StringIO()
    csv.writer(out, **form).writerows([header or list(ANSWERS), *rows])
    return out.getvalue()


def load(*paths: Path, **changes: Any) -> tuple[pl.DataFrame, pl.DataFrame, Tally]:
    tally = Tally()
    chunks = list(read(paths, tally, now=NOW, map=MAP | changes))
    frames = [pl.concat([pl.DataFrame(getattr(chunk, name)) for chunk in chunks]) for name in ("posts", "answers")]
    return frames[0], frames[1], tally


def block(language: str, number: int = 0) -> str:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)[number]


def test_the_example_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    Path("fragen.csv").write_text(block("csv"), encoding="cp1252")
    Path("antworten.csv").write_text(block("csv", 1))
    Path("map.toml").write_text(block("toml"))
    assert len(block("toml").splitlines()) == 6
    assert run(block("sh", 2).split()[1:]) == 0
    answers = Store("data/store").snapshot().scan("answers").sort("answer_id").collect()
    assert answers["score"].to_list() == [3, 1200, 2]
    assert answers["community"].to_list() == ["Brot", "Brot", "Kuchen"]
    assert answers["created_at"][0] == datetime(2024, 1, 2, 3, 4, tzinfo=UTC)
    post = Store("data/store").snapshot().scan("posts").sort("post_id").collect().row(0, named=True)
    assert (post["body"], post["score"]) == ('Ich nehme "frische" Hefe;\nund kaltes Wasser.', 1234)
    # The guess finds the same map, but for what no table tells.
    paths = [Path("fragen.csv"), Path("antworten.csv")]
    guess = guess_map(paths, {"site": "forum.beispiel.de", "zone": "Europe/Berlin", "observed_at": "2024-02-01"})
    read_by_hand = to_map(tomllib.loads(block("toml")))
    assert guess.unknown == []
    assert (guess.map.posts, guess.map.answers) == (read_by_hand.posts, read_by_hand.answers)
    capsys.readouterr()
    assert run(["import", "table", "fragen.csv", "antworten.csv", "--guess"]) == 0
    told = capsys.readouterr()
    assert "Warum geht mein Teig nicht auf?" in told.err
    assert "Nothing was stored." in told.err
    Path("guessed.toml").write_text(
        told.out.replace("# site", "site").replace('# zone = "UTC"', 'zone = "Europe/Berlin"')
    )
    assert run(["import", "table", *map(str, paths), "--map", "guessed.toml", "--store", "again", "--quiet"]) == 0
    columns = ["answer_id", "community", "created_at", "score", "body"]
    again = Store("again").snapshot().scan("answers").sort("answer_id").collect()
    assert again.select(columns).equals(answers.select(columns))


def test_a_guess_asks_only_a_person(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("p.csv").write_text(table(["1", "Why?", "Because it is so", "02/01/2024 10:00", "12"], header=list(POSTS)))
    Path("a.csv").write_text(table(["10", "1", "Yes.", "03/01/2024 10:00", "3"]))
    words = ["import", "table", "p.csv", "a.csv", "--guess"]
    assert run([*words, "--yes"]) == 2
    assert "--site forum.example --community general --zone UTC --dates day-first" in capsys.readouterr().err
    assert not Path("data").exists()
    keys = ["--site", "forum.example", "--community", "c", "--zone", "UTC", "--dates", "month-first"]
    assert run([*words, *keys, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["stored"], found["threads"][0]["answers"][0]["created_at"]) == (False, "2024-03-01T10:00:00Z")
    assert not Path("data").exists()
    assert run([*words, *keys, "--json", "--yes"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == {"answer": 1, "post": 1}
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    asked = iter(["forum.example", "cooking", "UTC", "day-first"])
    monkeypatch.setattr("shp_miner.cli.import_table.answered", lambda *_, **__: next(asked))
    monkeypatch.setattr("shp_miner.cli.import_table.confirmed", lambda _: True)
    assert run([*words, "--store", "asked"]) == 0
    assert Store("asked").snapshot().scan("answers").collect()["created_at"][0] == datetime(2024, 1, 3, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "rows", "posts", "answers"),
    [
        (  # Stack Exchange's names, and a column of the kind
            ["Id", "PostTypeId", "ParentId", "Title", "Body", "CreationDate", "Score"],
            [["1", "1", "", "Why is it?", "<p>So</p>", "2024-01-02T03:04:05Z", "5"],
             ["2", "2", "1", "", "<p>Yes</p>", "2024-01-02T04:04:05Z", "3"]],
            {"post_id": "Id", "title": "Title", "body": "Body", "created_at": "CreationDate", "score": "Score"},
            {"answer_id": "Id", "post_id": "ParentId", "body": "Body", "created_at": "CreationDate", "score": "Score"},
        ),
        (  # a row has a question and one of its answers
            ["question_id", "question_title", "question_text", "question_date", "question_votes", "answer_id", "answer",
             "answer_date", "answer_votes"],
            [["1", "Why is it?", "So", "1704164645", "5", "2", "Yes", "1704164745", "3"],
             ["1", "Why is it?", "So", "1704164645", "5", "3", "No", "1704164845", "4"]],
            {"post_id": "question_id", "title": "question_title", "body": "question_text",
             "created_at": "question_date", "score": "question_votes"},
            {"answer_id": "answer_id", "post_id": "question_id", "body": "answer", "created_at": "answer_date",
             "score": "answer_votes"},
        ),
        (  # names that say nothing: the cells tell
            ["a1", "a2", "a3", "a4", "a5", "thread"],
            [["1", "Why is it so long?", "So much longer a text than the title of it", "2024-01-02T03:04:05Z", "5", ""],
             ["2", "", "Another text that is long enough for a body", "2024-01-02T04:04:05Z", "5", "1"]],
            {"post_id": "a1", "title": "a2", "body": "a3", "created_at": "a4", "score": "a5"},
            {"answer_id": "a1", "post_id": "thread", "body": "a3", "created_at": "a4", "score": "a5"},
        ),
    ],
)  # fmt: skip
def test_one_table_with_both_is_understood(
    header: list[str], rows: list[list[str]], posts: dict[str, str], answers: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(table(*rows, header=header))
    guess = guess_map([path], HEAD)
    assert (guess.map.posts, guess.map.answers, guess.unknown) == (posts, answers, [])
    tally = Tally()
    chunks = list(read([path], tally, now=NOW, map=guess.map))
    assert (tally.read, tally.examples) == ({"post": 1, "answer": len(rows) - ("Id" in header or "a1" in header)}, [])
    assert set(pl.DataFrame(chunks[0].answers)["post_id"]) == {"1"}


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row | {"score": Decimal(row["score"])} for row in rows]), out)
    return out.getvalue()


WRITERS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "csv": lambda rows: table(*[list(row.values()) for row in rows], header=list(rows[0])).encode(),
    "tsv": lambda rows: table(*[list(row.values()) for row in rows], header=list(rows[0]), delimiter="\t").encode(),
    "utf16": lambda rows: table(*[list(row.values()) for row in rows], header=list(rows[0])).encode("utf-16"),
    "marked": lambda rows: b"\xef\xbb\xbf" + WRITERS["csv"](rows).replace(b"\r\n", b"\n"),
    "jsonl": lambda rows: b"".join(json.dumps(row).encode() + b"\n" for row in rows),
    "array": lambda rows: json.dumps(rows, indent=1).encode(),
    "parquet": _parquet,
}

TEXT = st.text(
    st.one_of(st.sampled_from('",;\t\n |\\äß漢🙂<'), st.characters(exclude_categories=["Cs", "Cc"])), max_size=12
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bodies=st.lists(TEXT, min_size=1, max_size=5),
    form=st.sampled_from(sorted(WRITERS)),
    ending=st.sampled_from(sorted(COMPRESS)),
)
def test_a_table_gives_the_rows_of_threads_in_every_form(
    bodies: list[str], form: str, ending: str, tmp_path: Path
) -> None:
    posts = [
        dict(zip(POSTS, [f"p{n}", f"T {body!a}", body, POST[3], "12"], strict=True)) for n, body in enumerate(bodies)
    ]
    answers = [
        dict(zip(ANSWERS, [f"a{n}", f"p{n}", f"x{body}", ANSWER[3], str(n)], strict=True))
        for n, body in enumerate(bodies)
    ]
    if form == "parquet":
        ending = ""
    paths = [tmp_path / "posts", tmp_path / "answers"]
    for path, rows in zip(paths, (posts, answers), strict=True):
        path.write_bytes(COMPRESS[ending](WRITERS[form](rows)))
    found = load(*reversed(paths))
    assert found[2].complete, found[2].examples
    threads = tmp_path / "threads.jsonl"
    records = [
        {**HEAD, **post, "score": 12, "answers": [{k: v for k, v in answer.items() if k != "post_id"} | {"score": n}]}
        for n, (post, answer) in enumerate(zip(posts, answers, strict=True))
    ]
    threads.write_text("".join(json.dumps(record) + "\n" for record in records))
    chunks = list(read_threads([threads], Tally(), now=NOW))
    for frame, name in zip(found, ("posts", "answers"), strict=False):
        expected = pl.concat([pl.DataFrame(getattr(chunk, name)) for chunk in chunks])
        assert isinstance(frame, pl.DataFrame)
        order = ["post_id"] if name == "posts" else ["answer_id"]
        assert frame.sort(order).equals(expected.sort(order))


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02T03:04:05Z",
        "2024-01-02 03:04:05",
        "1704164645",
        "1704164645000",
        "1704164645000000",
        "1704164645000000000",
        "1704164645.0",
        "20240102030405",
        "Tue, 02 Jan 2024 03:04:05 GMT",
        "Tue, 2 Jan 2024 04:04:05 +0100",
        "02/01/2024 03:04:05",
        "02.01.2024, 03:04:05",
        "2/1/24 3:04:05 AM",
        "Jan 2, 2024 3:04:05 am",
        "2nd January 2024, 03:04:05",
        "Tue Jan  2 03:04:05 UTC 2024",
        "2024/1/2 3:04:05",
        "Tue Jan  2 03:04:05 2024",
        "2024-01-02 03:04:05.000 UTC",
        "1.704164645E9",
        "Tue Jan 02 2024 04:04:05 GMT+0100 (CET)",
    ],
)
def test_a_time_in_the_usual_spellings(text: str) -> None:
    assert moment(text.strip(), "x", Clock(UTC, "day-first")) == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("text", ["02/01/2024", "2024-01-02 03:04", "1-2-2024 3:04 pm", "Jan 2, 2024"])
def test_a_time_that_may_be_two_is_not_guessed(text: str) -> None:
    with pytest.raises(Unclear):
        moment(text, "x", Clock())
    for wrong in ("13/13/2024", "31.02.2024", "yesterday", "Foo 2, 2024", "9" * 40):
        with pytest.raises(Lost):
            moment(wrong, "x", Clock(UTC, "day-first"))


def test_scores_as_people_write_them() -> None:
    written = {"12": 12, "1,234": 1234, "1.2k": 1200, "3 points": 3, "\u22123": -3, "1 234": 1234, "2M": 2_000_000}
    for text, number in {**written, "12,34,567": 1_234_567, "3.0": 3}.items():
        assert whole(text, "x", "bad_score") == number
    assert [whole(text, "x", "bad_score", ",") for text in ("1.234", "1,2k")] == [1234, 1200]
    for text in ("1.5", "1,23", "many", "", "0x5"):
        with pytest.raises(Lost):
            whole(text, "x", "bad_score")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sites": "x"}, "Did you mean 'site'?"),
        ({"posts": POSTS | {"titel": "t"}}, "Did you mean 'title'?"),
        ({"posts": {k: v for k, v in POSTS.items() if k != "title"}}, "[posts] lacks title"),
        ({"answers": ANSWERS | {"score": "scores"}}, "Did you mean 'score'?"),
        ({"site": None}, "has no site"),
        ({"zone": "Europe/Berln"}, "There is no time zone"),
        ({"encoding": "latin-99"}, "no encoding"),
        ({"utc": True, "zone": "UTC"}, "both utc and zone"),
        ({"delimiter": ";;"}, "not one character"),
        ({"kind": {"column": "type", "post": [1, 2], "answer": "2"}}, "'2' is a post and an answer"),
        ({"observed_at": "soon"}, "observed_at"),
        ({"dates": "middle-first"}, "middle-first"),
        ({"posts": {}, "answers": {}}, "maps no column"),
        ({"answers": ANSWERS | {"format": "html"}}, "format: the tables have no column 'html'"),
        ({"answers": ANSWERS | {"format": "html"}}, "write format above the tables"),
        ({"answers": ANSWERS | {"author": "scores"}}, "Did you mean 'score'?"),
        ({"kind": {"column": "typ", "post": 1, "answer": 2}}, "kind: the tables have no column 'typ'"),
    ],
)
def test_a_map_that_is_wrong(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(table(ANSWER))
    with pytest.raises(BadInput) as caught:
        load(path, **changes)
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_what_is_wrong_with_a_row_costs_the_row(tmp_path: Path) -> None:
    rows = [
        ANSWER,
        ["11", "1", "x", "never", "3"],
        ["12", "1", "x", ANSWER[3], "many"],
        ["13", "1", "x", ANSWER[3], "3", "more"],
        ["14", "1", "short", ANSWER[3]],
        ["15", "1", "two\nlines, \u00e4", ANSWER[3], ""],
    ]
    data = (
        table(*rows, lineterminator="\n").encode()
        + b'16,1,"never ends,2024-01-02T04:00:00Z,3\n'
        + b"17,1,\xff,"
        + (f"{ANSWER[3]},3\n".encode())
    )
    path = tmp_path / "answers.csv"
    path.write_bytes(data)
    _, answers, tally = load(path)
    assert answers["answer_id"].to_list() == ["10", "14", "15", "17"]
    assert answers["score"].to_list() == [3, None, None, 3]
    assert answers["body"].to_list()[2:] == ["two\nlines, ä", "\ufffd"]
    assert tally.dropped == {("answer", "bad_time"): 1, ("answer", "bad_score"): 1, ("line", "wrong_cells"): 2}
    assert tally.notes["line", "text_repaired"] >= 1
    assert [(one.path, data[one.offset or 0 :][:2]) for one in tally.examples] == [
        (str(path), cell) for cell in (b"11", b"12", b"13", b"16")
    ]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "shift_jis"])
def test_text_in_another_encoding_is_read_by_it(encoding: str, tmp_path: Path) -> None:
    text = "\u8a9e" if encoding == "shift_jis" else "K\u00fcche \u201egro\u00df\u201c"
    path = tmp_path / "answers.csv"
    path.write_bytes(table(["10", "1", text, ANSWER[3], "3"]).encode(encoding))
    guess = guess_map([path], HEAD | ({"encoding": encoding} if encoding == "shift_jis" else {}))
    _, answers, tally = load(path, encoding=guess.map.encoding)
    assert (guess.map.encoding, answers["body"].to_list()) == (None if encoding == "utf-16" else encoding, [text])
    assert tally.complete
    assert not tally.notes["line", "text_repaired"]


def test_what_answers_take_from_their_posts(tmp_path: Path) -> None:
    posts = tmp_path / "posts.csv"
    posts.write_text(table([*POST, "Bread", "10.0"], header=[*POSTS, "community", "best"]))
    answers = tmp_path / "answers.csv"
    answers.write_text(
        table([*ANSWER, "1"], ["11", *ANSWER[1:], "10"], ["12", "9", *ANSWER[2:], ""], header=[*ANSWERS, "parent"])
    )
    _, found, tally = load(
        answers,
        posts,
        community=None,
        posts=POSTS | {"community": "community", "accepted_answer_id": "best"},
        answers=ANSWERS | {"parent_id": "parent"},
    )
    assert found.select("answer_id", "community", "accepted").rows() == [("10", "Bread", True)]
    assert tally.dropped == {("answer", "not_direct_reply"): 1, ("answer", "post_unknown"): 1}


def test_nothing_is_stored_of_a_table_that_no_map_can_read(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(table(["10", "1", "x", "2024-01-02 03:04", "3"]))
    for changes, words in (
        ({}, "has no time zone"),
        ({"answers": ANSWERS | {"score": "body"}, "utc": True}, "None of the"),
    ):
        with pytest.raises(BadInput, match=words):
            import_dump("table", path, tmp_path / "store", now=NOW, map=MAP | changes)
    assert not (tmp_path / "store").exists()
    cut = tmp_path / "answers.csv.zst"
    cut.write_bytes(zstandard.compress(path.read_bytes())[:8])
    with pytest.raises(BadInput, match="empty inside, or cut off"):
        guess_map([cut], HEAD)


def test_the_map_is_a_struct_that_programs_can_make() -> None:
    assert TableMap(posts=POSTS, answers=ANSWERS, **HEAD) == to_map(MAP)


_CELLS: dict[str, st.SearchStrategy[str]] = {
    "created_at": st.sampled_from(
        [
            "2024-01-02T03:04:05Z",
            "2024-01-02 03:04:05",
            "2024-01-02 03:04:05+01:00",
            "1704164645",
            "1704164645000",
            "20240102",
            "02/01/2024",
            "",
            "soon",
            "1704164645.5",
            "2124-01-01T00:00:00Z",
            " 2024-01-02T03:04:05Z ",
            "999999999",
            "12",
        ]
    ),
    "score": st.sampled_from(["3", "-2", "3.0", "1,234", "1.2k", "3 points", "", "NaN", "x", "9" * 20, "\u0663", " 4"]),
    "id": st.sampled_from(["1", "2", "1.0", " 3 ", "a b", "", "é", "-1", "0", "\x1c4"]),
    "text": st.sampled_from(["a", "", "\\N", "None", "a\0b", "é\u00a0", " b "]),
    "author": st.sampled_from(["ann", "", "[deleted]", "-", " bob", "a\0b"]),
    "flag": st.sampled_from(["true", "0", "", "maybe", "Yes "]),
    "share": st.sampled_from(["0.5", "93%", "", "x", "2", "1e-3"]),
    "state": st.sampled_from(["live", "Deleted", "1", "", "odd"]),
    "word": st.sampled_from(["html", "Markdown", "", "x", "NULL"]),
    "place": st.sampled_from(["cooking", "", " ", "Baking", "forum.example", "a b"]),
}
_KEYS = {"body": "text", "author": "author", "author_id": "id", "url": "text", "edited": "flag", "state": "state"}
_KEYS |= {"format": "word", "site": "place", "community": "place", "created_at": "created_at", "score": "score"}
_KEYS |= {"observed_at": "created_at", "views": "score", "reads": "score"}
_OF_POSTS = _KEYS | {"post_id": "id", "title": "text", "upvote_ratio": "share", "accepted_answer_id": "id"}
_OF_ANSWERS = {key: kind for key, kind in _KEYS.items() if key != "views"}
_OF_ANSWERS |= {"answer_id": "id", "post_id": "id", "parent_id": "id", "accepted": "flag"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_many_rows_at_once_are_what_each_is_alone(data: st.DataObject, tmp_path: Path) -> None:
    maps, paths = {}, []
    for name, kinds, first in (("posts", _OF_POSTS, POST), ("answers", _OF_ANSWERS, ANSWER)):
        usual = dict(zip(POSTS if name == "posts" else ANSWERS, first, strict=True))
        keys = [*usual, *data.draw(st.lists(st.sampled_from(sorted(set(kinds) - set(usual))), max_size=4, unique=True))]
        rows = [[*usual.values(), *[""] * (len(keys) - len(usual))]]
        for _ in range(data.draw(st.integers(1, 5))):
            odd = data.draw(st.lists(st.sampled_from(keys), max_size=3))
            drawn = {key: data.draw(_CELLS[kinds[key]]) for key in keys if key in odd or key not in usual}
            rows.append([drawn.get(key, usual.get(key, "")) for key in keys])
        maps[name] = {key: key for key in keys}
        paths.append(tmp_path / f"{name}.csv")
        paths[-1].write_text(table(*rows, header=keys), encoding="utf-8")
    told = data.draw(st.sampled_from([{}, {"utc": True}, {"zone": "Europe/Berlin", "dates": "day-first"}]))
    told |= data.draw(
        st.sampled_from([{}, {"observed_at": "2024-02-01T00:00:00Z", "format": "html", "license": "CC0"}])
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shp_miner.dumps.table.try_first_rows", lambda *_: None)
        patch.setattr("shp_miner.dumps.table._FEW", 1)
        at_once = load(*paths, **maps, **told)
        patch.setattr("shp_miner.dumps.table._FEW", 1_000_000)
        alone = load(*paths, **maps, **told)
    for rows, other in zip(at_once[:2], alone[:2], strict=True):
        assert rows.sort("content_hash").equals(other.sort("content_hash"))
    for what in ("read", "dropped", "notes", "damages"):
        assert getattr(at_once[2], what) == getattr(alone[2], what)
