"""Stack Exchange dumps that are damaged, wrong or hostile: what is kept, what is counted, what is refused."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import py7zr
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from shp_miner.dumps import stackexchange_pieces, stackexchange_tables, stackexchange_xml
from shp_miner.dumps.stackexchange import read
from shp_miner.dumps.stackexchange_xml import RowParser
from shp_miner.errors import BadInput
from shp_miner.tally import LOST, Tally

from .property import examples
from .stackexchange_dump import (
    ALL,
    BZIP2,
    LZMA2,
    NOW,
    POSTS,
    STORED,
    USERS,
    answer,
    archive,
    element,
    folder,
    long_members,
    question,
    read_all,
    table,
)


@pytest.mark.parametrize(
    ("kind", "wrong", "reason"),
    [
        *(("post", {name: None}, "missing_field") for name in ("Id", "CreationDate", "Score", "Body", "Title")),
        *(("answer", {name: None}, "missing_field") for name in ("Id", "ParentId", "Score", "Body")),
        ("line", {"PostTypeId": None}, "missing_field"),
        ("line", {"PostTypeId": "question"}, "wrong_type"),
        *(("post", {"Score": score}, "bad_score") for score in ("", "many", "1.5", "1e3", "١", "9" * 30)),
        *(("post", {"Id": number}, "bad_id") for number in ("", "x", "-3", "0", "1_0")),
        ("answer", {"ParentId": "x"}, "bad_id"),
        ("post", {"OwnerUserId": "me"}, "bad_id"),
        *(
            ("post", {"CreationDate": day}, "bad_time")
            for day in ("", "today", "2015-02-30T00:00:00", "1425204000", "0001-01-01")
        ),
    ],
)
def test_records_that_are_lost(tmp_path: Path, kind: str, wrong: dict[str, Any], reason: str) -> None:
    plain = {
        "Id": 6,
        "PostTypeId": 2 if kind == "answer" else 1,
        "CreationDate": "2015-03-01T10:00:00",
        "Score": 1,
        "Body": "b",
    }
    plain |= {"ParentId": 1} if kind == "answer" else {"Title": "t"}
    bad = element(**{name: value for name, value in (plain | wrong).items() if value is not None})
    path = folder(tmp_path / "a.meta", {"Posts.xml": table("posts", question(1), bad, answer(2, 1))})
    posts, answers, tally = read_all(path)
    assert (set(posts), set(answers)) == ({"1"}, {"2"})
    assert tally.dropped == {(kind, reason): 1}
    assert reason in LOST
    (example,) = tally.examples
    assert (path / "Posts.xml").read_bytes()[example.offset :].startswith(bad.strip().encode())
    assert example.path == str(path / "Posts.xml")


BOMB = b"""<?xml version="1.0"?><!DOCTYPE posts [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<posts><row Id="1" PostTypeId="1" Body="&b;" /></posts>"""


def test_entities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="document type"):
        read_all(folder(tmp_path / "a.meta", {"Posts.xml": BOMB}))
    with pytest.raises(BadInput, match=rf"Posts.xml declares a document type at byte {BOMB.index(b'<!DOC')}"):
        read_all(folder(tmp_path / "a2.meta", {"Posts.xml": BOMB, "Users.xml": USERS}))
    posts, _, tally = read_all(archive(tmp_path / "b.meta.7z", {"Posts.xml": BOMB}))
    assert posts == {}
    assert [damage.path for damage in tally.damages] == [str(tmp_path / "b.meta.7z" / "Posts.xml")]
    assert "document type" in tally.damages[0].what
    hidden = table("posts", question(1), '<row Body="&lol;" />', question(2))
    posts, _, tally = read_all(folder(tmp_path / "c.meta", {"Posts.xml": hidden}))
    assert set(posts) == {"1", "2"}
    assert tally.dropped == {("line", "not_xml"): 1}


def test_another_table_under_the_name_of_posts(tmp_path: Path) -> None:
    posts, _, tally = read_all(archive(tmp_path / "a.meta.7z", {"Posts.xml": USERS}))
    assert posts == {}
    assert "first element is <users>" in tally.damages[0].what


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.97])
def test_truncated_xml(tmp_path: Path, kept: float) -> None:
    whole = table("posts", *(question(number) for number in range(1, 101)))
    cut = whole[: int(len(whole) * kept)]
    for path in (folder(tmp_path / "a.meta", {"Posts.xml": cut}), archive(tmp_path / "b.meta.7z", {"Posts.xml": cut})):
        posts, _, tally = read_all(path)
        assert len(posts) == cut.count(b"/>")
        (damage,) = tally.damages
        assert (damage.path, damage.offset) == (str(path / "Posts.xml"), len(cut))
        assert "breaks off" in damage.what


@pytest.mark.parametrize(
    ("broken", "at"),
    [
        (b"a&#0;b &#; c", b"; c"),
        (b"a\0b", b"\0"),
        (b"a < b", b"< b"),
        (b'a" Id="7', b'Id="7"'),
        (b'a" <<<!- %@>', b"<<<"),
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_corrupt_bytes_in_the_middle_cost_their_record_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bytes, at: bytes, times: int
) -> None:
    monkeypatch.setattr(stackexchange_tables, "BLOCK_BYTES", 100)
    bad = [question(number, Body="HERE") for number in range(3, 3 + times)]
    xml = table("posts", question(1), question(2), *bad, question(8), answer(9, 8)).replace(b"HERE", broken)
    posts, answers, tally = read_all(folder(tmp_path / "a.meta", {"Posts.xml": xml}))
    assert (set(posts), set(answers)) == ({"1", "2", "8"}, {"9"})
    assert tally.dropped == {("line", "not_xml"): times}
    assert tally.examples[0].offset == xml.index(at, xml.index(broken))


@pytest.mark.parametrize("block", [7, 100, 1 << 20])
@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"a&#0;b", "a\ufffdb"),
        (b"&#x0E;Cmd-1&#xA;&#xD800;", "\ufffdCmd-1\n\ufffd"),
        (b"\x0e\x1b[1m &amp;#14; &#14;", "\ufffd\ufffd[1m &#14; \ufffd"),
        (b"&#x110000; &#xFFFF; &#x1F600;", "\ufffd \ufffd \U0001f600"),
    ],
)
def test_characters_that_xml_forbids_are_replaced_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bytes, read: str, block: int
) -> None:
    monkeypatch.setattr(stackexchange_tables, "BLOCK_BYTES", block)
    odd = [question(number, Body="HERE") for number in (3, 4, 9)]
    text = table("posts", question(1), *odd[:2], question(8), answer(2, 8), odd[2])
    posts, answers, tally = read_all(folder(tmp_path / "a.meta", {"Posts.xml": text.replace(b"HERE", written)}))
    assert (set(posts), set(answers)) == ({"1", "3", "4", "8", "9"}, {"2"})
    assert {posts[number]["body"] for number in ("3", "4", "9")} == {read}
    assert posts["8"]["body"] == "<p>question 8</p>"
    assert (tally.dropped, tally.notes["line", "text_repaired"]) == ({}, 3)
    assert tally.complete


def test_a_record_with_a_forbidden_character_that_breaks_off_is_lost(tmp_path: Path) -> None:
    text = table("posts", question(1), question(2, Body="HERE")).replace(b"HERE", b"a\x0eb")
    posts, _, tally = read_all(folder(tmp_path / "a.meta", {"Posts.xml": text[: text.index(b"\x0e") + 2]}))
    assert set(posts) == {"1"}
    assert tally.dropped == {("line", "not_xml"): 1}


@pytest.mark.parametrize(
    "filters",
    [BZIP2, LZMA2, STORED, [{"id": py7zr.FILTER_LZMA, "preset": 1}]],
    ids=["bzip2", "lzma2", "stored", "lzma"],
)
@pytest.mark.parametrize("how", ["cut", "corrupt"])
def test_broken_archive(tmp_path: Path, filters: Any, how: str) -> None:
    count = 300 if filters is BZIP2 else 60
    path = archive(tmp_path / "a.meta.7z", long_members(count), filters)
    expected, _, whole = read_all(path)
    assert whole.complete
    assert len(expected) == count
    data = bytearray(path.read_bytes())
    middle = int(len(data) * 0.8)
    data = data[:middle] if how == "cut" else data[:middle] + bytes(99) + data[middle + 99 :]
    path.write_bytes(data)
    posts, _, tally = read_all(path)
    (damage,) = tally.damages
    assert damage.path == str(path)
    assert "cut off" in damage.what if how == "cut" else "corrupt" in damage.what
    if how == "cut":
        assert damage.offset == len(data)
    if filters in (STORED, BZIP2) or how == "cut":
        same = [
            key
            for key, row in posts.items()
            if (row["title"], row["body"]) == (expected[key]["title"], expected[key]["body"])
        ]
        assert same == list(posts)
    # bzip2 can't give the block in which the damage lies; the others lose a record or two.
    assert len(posts) >= count * (0.55 if filters is BZIP2 else 0.75)


def test_archive_without_its_end_still_gives_users(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.meta.7z", ALL, LZMA2)
    path.write_bytes(path.read_bytes()[:-40])
    posts, answers, tally = read_all(path)
    assert (len(posts), len(answers), posts["1"]["author"]) == (2, 2, "Ada & Zoë")
    assert len(tally.damages) == 1
    path = archive(tmp_path / "b.meta.7z", {name: text for name, text in ALL.items() if name != "Votes.xml"}, LZMA2)
    whole = read_all(path)
    path.write_bytes(path.read_bytes()[:-40])
    cut = read_all(path)
    assert cut[:2] == whole[:2]
    assert cut[2].notes == whole[2].notes, "no votes are none that differ"


def test_damage_in_one_file_leaves_the_next(tmp_path: Path) -> None:
    one = archive(tmp_path / "a.meta.7z", ALL)
    one.write_bytes(one.read_bytes()[:60])
    posts, _, tally = read_all(one, folder(tmp_path / "b.meta", ALL))
    assert {row["site"] for row in posts.values()} == {"b.meta.stackexchange.com"}
    assert [damage.path for damage in tally.damages] == [str(one)]


def _zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("Posts.xml", POSTS)
    return path


def _encrypted(path: Path) -> Path:
    with py7zr.SevenZipFile(path, "w", password="secret") as file:
        file.writestr(POSTS, "Posts.xml")
    return path


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


PPMD = [{"id": py7zr.FILTER_PPMD, "order": 6, "mem": 20}]
WRONG = {
    "zip": lambda at: _zip(at / "a.meta.7z"),
    "text": lambda at: _file(at / "a.meta.7z", b"Dear diary"),
    "empty": lambda at: _file(at / "a.meta.7z", b""),
    "without tables": lambda at: archive(at / "a.meta.7z", {"readme.txt": b"hello"}),
    "only other tables": lambda at: archive(at / "a.meta.7z", {"Badges.xml": table("badges")}),
    "two sites": lambda at: archive(at / "a.meta.7z", {"a/Posts.xml": POSTS, "b/Posts.xml": POSTS}),
    "compressed otherwise": lambda at: archive(at / "a.meta.7z", ALL, PPMD),
    "encrypted": lambda at: _encrypted(at / "a.meta.7z"),
    "no such file": lambda at: at / "a.meta.7z",
    "folder without posts": lambda at: folder(at / "a.meta", {"Users.xml": USERS}),
    "folder with other xml": lambda at: folder(at / "a.meta", {"Posts.xml": b"<?xml version='1.0'?><rss></rss>"}),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_kind_of_file(tmp_path: Path, what: str) -> None:
    good, wrong = folder(tmp_path / "b.meta", ALL), WRONG[what](tmp_path)
    tally = Tally()
    with pytest.raises(BadInput) as error:
        read([good, wrong], tally, now=NOW)
    assert str(wrong) in error.value.message
    assert error.value.hint
    assert not tally.read


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    path = folder(tmp_path / "a.meta", ALL)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(BadInput, match="Permission was denied"):
        read_all(path)


def test_long_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xml = table("posts", question(1), question(2, Body="x" * 10_000_000), question(3))
    path = folder(tmp_path / "a.meta", {"Posts.xml": xml})
    assert {key: row["body_chars"] for key, row in read_all(path)[0].items()} == {"1": 10, "2": 10_000_000, "3": 10}
    monkeypatch.setattr(stackexchange_xml, "MAX_RECORD_BYTES", 1_000_000)
    posts, _, tally = read_all(path)
    assert set(posts) == {"1", "3"}
    assert tally.dropped == {("line", "line_too_long"): 1}


def test_a_long_row_is_not_read_again_with_each_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser begins a row that has not ended again each time: what it reads in all is few times the row's."""
    read = 0
    push = RowParser._push

    def counting(parser: RowParser, data: bytes) -> None:
        nonlocal read
        read += len(parser._held)  # at worst, the row up to here
        push(parser, data)

    monkeypatch.setattr(RowParser, "_push", counting)
    row = b'<row Id="1" Body="' + b"&#xA;" * 1_600_000 + b'" />'
    xml = b"<posts>" + row + b'<row Id="2" Body="x" /></posts>'
    parser = RowParser("posts", "Posts.xml", Tally())
    blocks = [xml[start : start + 65_536] for start in range(0, len(xml), 65_536)]
    rows = [found for block in blocks for found in parser.feed(block)] + parser.close()
    assert [attributes["Id"] for _, attributes in rows] == ["1", "2"]
    assert rows[0][1]["Body"] == "\n" * 1_600_000
    assert read < 4 * len(xml)


ROWS: dict[str, Any] = {
    "Id": st.sampled_from(["3", "4", "007", "-1", "x", "", "1000000001", "99999999999999999999"]),
    "PostTypeId": st.sampled_from(["1", "2", "5", "", "x"]),
    "ParentId": st.sampled_from(["1", "0", "", "x"]),
    "AcceptedAnswerId": st.sampled_from(["2", "", "x"]),
    "CreationDate": st.sampled_from(
        ["2015-03-01T10:00:00", "2015-03-01", "2015-03-01T10:00:00.1234567", "soon", "1970-01-01T00:00:00"]
    ),
    "Score": st.sampled_from(["1", "-3", "1.5", "", "9" * 19]),
    "ViewCount": st.sampled_from(["7", "", "-1", "x"]),
    "Body": st.text(max_size=20)
    | st.sampled_from(["<p>a &amp;lt; b</p>", "<img src=x> &nbsp;", "&#0;", "\u200b", "a > b"]),
    "Title": st.text(max_size=9),
    "OwnerUserId": st.sampled_from(["10", "-1", "", "77", "x"]),
    "OwnerDisplayName": st.sampled_from(["gone", ""]),
    "LastEditDate": st.sampled_from(["2015-03-05T00:00:00.000", ""]),
    "ContentLicense": st.sampled_from(["CC BY-SA 4.0", ""]),
}  # fmt: skip
#: What befalls a line: nothing, mostly; or it is cut, split, doubled, not UTF-8, or has what XML forbids in it.
FATES: list[Callable[[bytes], bytes]] = [
    *[lambda line: line] * 8,
    lambda line: line[: len(line) // 2],
    lambda line: line.replace(b' Score="', b'\n Score="'),
    lambda line: line + line,
    lambda line: line.replace(b'Score="', b'Score="\xff'),
    lambda line: line.replace(b'Title="', b'Title="&#x0E;\x01'),
    lambda line: line.replace(b'Title="', b'Title="\t&#x2019;&apos;&lt'),
    lambda line: line.replace(b"Title=", b"Score="),
    lambda line: line.replace(b"Title=", b"Ti<tle="),
    lambda line: b"<!-- a comment -->" + line,
    lambda line: line.replace(b'Title="', b"Title='"),
    lambda line: line.replace(b"Title=", b"Title ="),
    lambda line: line.replace(b" Title=", b' LastEditorDisplayNames="x" NewInSomeYear="y" Title='),
    lambda line: line.replace(b" Title=", b' ANameOfMoreThan24Characters="x" Title='),
    lambda line: line.replace(b" Title=", b"  Title="),
    lambda line: line.replace(b" Title=", b'="x" Title='),
    lambda line: line.replace(b"/>", b" />  "),
    lambda line: b"         " + line,
    lambda line: b"",
]


@st.composite
def any_row(draw: st.DrawFn, number: int) -> bytes:
    """A post with up to three attributes changed, or left out, and one of FATES."""
    record: dict[str, Any] = {"Id": number, "PostTypeId": 1, "CreationDate": "2015-03-01T10:00:00.123", "Score": 7}
    record |= {"Title": "t", "Body": "<p>b</p>"}
    record |= {"OwnerUserId": 10} if draw(st.booleans()) else {"PostTypeId": 2, "ParentId": 1}
    for name in draw(st.lists(st.sampled_from(sorted(ROWS)), max_size=3, unique=True)):
        record[name] = draw(ROWS[name])
        if draw(st.integers(0, 4)) == 0:
            del record[name]
    line = element(**record).encode("utf-8", "replace").replace(b"\0", b"").replace(b"\n", b"&#xA;")
    return draw(st.sampled_from(FATES))(line)


@examples(80)
@given(st.data(), st.sampled_from(["\n", "\r\n"]), st.sampled_from([4 << 20, 600]), st.booleans())
def test_rows_that_are_cut_are_those_that_are_parsed(
    tmp_path: Path, data: st.DataObject, end: str, at_once: int, whole: bool
) -> None:
    rows = [data.draw(any_row(number)) for number in range(5, 5 + data.draw(st.integers(1, 7)))]
    head = [b'<?xml version="1.0" encoding="utf-8"?>', b"<posts>"]
    # A file that breaks off does so behind a sound row: the parser waits for the end of one that it must mend.
    xml = end.encode().join([*head, *rows, b"</posts>" if whole else question(99).encode()])
    ballots = (element(Id=n, PostId=n % 9, VoteTypeId=2 + n % 3, CreationDate="2015-03-02") for n in range(20))
    votes = table("votes", *ballots)
    home = Path(tempfile.mkdtemp(dir=tmp_path)) / "a.meta"
    path = folder(home, {"Posts.xml": xml, "Users.xml": USERS, "Votes.xml": votes})

    def found() -> list[Any]:
        tally = Tally()
        chunks = list(read([path], tally, now=NOW))
        rows = [row for chunk in chunks for row in (*chunk.posts.to_pylist(), *chunk.answers.to_pylist())]
        return [sorted(map(repr, rows)), tally.read, tally.dropped, tally.notes, sorted(map(repr, tally.damages))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stackexchange_pieces, "AT_ONCE_BYTES", at_once)
        cut = found()
        patch.setattr(stackexchange_pieces, "_HEAD", b"(?!)%s")
        assert cut == found()


def test_a_cut_file_without_a_whole_block_is_not_called_empty(tmp_path: Path) -> None:
    (path := tmp_path / "Posts.xml.zst").write_bytes(zstandard.compress(b"<posts>" * 900)[:12])
    with pytest.raises(BadInput, match="unpacks to nothing"):
        read([path], Tally(), now=NOW, site="a.stackexchange.com")
