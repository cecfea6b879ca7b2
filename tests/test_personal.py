"""Personal data: what is found of a labelled set, how fast, and that no export names people whom it should not."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shp_miner import BadInput, clean_profile, export_dataset, forget, import_dump
from shp_miner.clean.people import People
from shp_miner.clean.personal import KINDS, find_personal, mask_personal
from shp_miner.export.formats import FORMATS
from shp_miner.store.people_key import people_key

from .build import comment, submission, write_month
from .personal_set import ITEMS, items, look_alikes

PAGE = (Path(__file__).parents[1] / "docs" / "cleaning.md").read_text()


def counts_of(kind: str) -> tuple[int, int, int, int]:
    """Items of a kind, those found exactly, false alarms of the kind in the whole set, and its look-alikes."""
    there = found = alarms = 0
    for of_kind in ITEMS:
        for text, spans in items(of_kind):
            got = {(start, end) for start, end, name in find_personal(text) if name == kind}
            right = got & set(spans) if of_kind == kind else set()
            there += len(spans) * (of_kind == kind)
            found += len(right)
            alarms += len(got - right)
        alarms += sum(name == kind for text in look_alikes(of_kind) for _, _, name in find_personal(text))
    return there, found, alarms, len(look_alikes(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_among_three_look_alikes_as_the_page_says(kind: str) -> None:
    there, found, alarms, alike = counts_of(kind)
    assert alike >= 3 * there
    assert found / there >= 0.9
    assert found / (found + alarms) >= 0.95
    row = re.search(rf"^\| `{kind}` \|.*\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert row is not None
    assert tuple(map(int, row.groups())) == (there, alike, found, alarms)


def test_masks_name_the_kind_and_leave_the_rest() -> None:
    texts = pl.Series(["Call (202) 555-0147 or jo (at) lab.edu, 93.184.216.34.", "no 1234", None, "x@y.co x@y.co"])
    masked = mask_personal(texts)
    assert masked.texts.to_list() == ["Call [PHONE] or [EMAIL], [IP].", "no 1234", None, "[EMAIL] [EMAIL]"]
    assert masked.has_any.to_list() == [True, False, False, True]
    assert masked.counts == {"email": 2, "written_email": 1, "ipv4": 1, "phone": 1}
    assert texts[0].startswith("Call (202)")


MENTIONS = """
/u/jane_doe and u/Jane_Doe, [u/jane\\_doe](https://www.reddit.com/user/jane_doe)
@jane_doe: yes; (@jane_doe) https://old.reddit.com/u/jane_doe/comments
5 u/min, and/or, https://x.example/@other `@jane_doe` a@b.example @Override @2x x/u/jane_doe
```
@jane_doe
```
jane_doe:
> a quote

Example:
> [quote="jane_doe, post:1"] another
"""
QUOTING = '<aside data-username="jane_doe">'


def test_mentions_are_written_as_authors_are_and_code_has_none() -> None:
    people = People(b"0" * 16)
    name = people.written("reddit.com", "jane_doe")
    texts, count = people.texts(pl.Series([MENTIONS]), pl.Series([QUOTING]), pl.Series(["reddit.com"]))
    expected = MENTIONS
    for there in ("/u/jane_doe and", "u/Jane_Doe,", "[u/jane\\_doe]", "user/jane_doe)", "\n@jane_doe:", "(@jane_doe)"):
        new = re.sub(r"jane\\?_doe", name, there, flags=re.IGNORECASE)
        expected = expected.replace(there, new, 1)
    expected = expected.replace("u/jane_doe/comments", f"u/{name}/comments")
    expected = expected.replace("jane_doe:\n> a", f"{name}:\n> a").replace('"jane_doe, p', f'"{name}, p')
    assert texts[0] == expected
    assert count == 9
    rows = pl.DataFrame({"site": ["reddit.com"] * 2, "author": ["Jane_Doe", None], "author_url": ["x", None]})
    assert people.columns(rows).rows() == [("reddit.com", name, None), ("reddit.com", None, None)]
    assert People(None).columns(rows)["author"].to_list() == [None, None]
    assert People(b"1" * 16).written("reddit.com", "jane_doe") != name != people.written("other.example", "jane_doe")


def test_a_store_keeps_its_key(tmp_path: Path) -> None:
    key = people_key(tmp_path)
    assert people_key(tmp_path) == key
    (tmp_path / "people" / "salt").unlink()
    assert people_key(tmp_path) == key


def test_personal_data_is_found_in_15_000_answers_a_second() -> None:
    lines = [text for kind in ITEMS for text, _ in items(kind)][::10]
    answer = "There are 3 ways, as of 2021-05-06: (a) ask; (b) wait 2-3 weeks, 1,000 words: https://x.example/1234567. "
    texts = pl.Series([f"{answer * 5}{lines[n % len(lines)] if n % 20 == 0 else ''}" for n in range(20_000)])
    start = time.process_time()
    masked = mask_personal(texts)
    assert len(texts) / (time.process_time() - start) > 15_000
    assert masked.has_any.sum() == 1000


PEOPLE = ("Asker_Ann", "Bob-Brown", "Cat_Cole")
SECRETS = ("ann@annland.eu", "202-555-0147", "bob (at) bobs.org", "93.184.216.34")
MADE_UP = re.compile("|".join(re.escape(text) for text in (*PEOPLE, *SECRETS)), re.IGNORECASE)


def records(count: int = 8) -> list[dict[str, Any]]:
    """Threads of three people, who name each other and give addresses away in title, body and answers."""
    found = []
    for i in range(count):
        body = f"u/Bob-Brown said: **call** 202-555-0147 about [it](https://x.example/{i}) &amp; that.\n\nWhat now?"
        asked = {"title": f"TIL: write to ann@annland.eu, thanks @Cat_Cole ({i})", "selftext": body}
        found.append(submission(f"p{i}", author="Asker_Ann", **asked))
        texts = (
            "As u/asker_ann says, bob (at) bobs.org knows.",
            "See https://www.reddit.com/user/Bob-Brown or 93.184.216.34.",
            "Nobody is named here, and nothing is given away.",
            "**This** one is written by somebody else, without a word on anybody.",
        )
        for k, text in enumerate(texts):
            author = ("Bob-Brown", "Cat_Cole", "Cat_Cole", "Dan_Dole")[k]
            found.append(
                comment(f"p{i}c{k}", f"p{i}", body=text, author=author, score=3 + 4 * k, created_utc=1_600_000_000 + k)
            )
    return found


def content(folder: Path) -> str:
    """Everything that the Parquet files of a folder say."""
    return "\n".join(repr(pl.read_parquet(file).rows()) for file in sorted(folder.rglob("*.parquet")))


@pytest.fixture
def store(tmp_path: Path, now: datetime) -> Path:
    import_dump("reddit-dump", write_month(tmp_path / "dumps", records()), tmp_path / "store", now=now)
    return tmp_path / "store"


def test_no_format_has_a_name_or_an_address_and_forgetting_still_finds_people(store: Path, tmp_path: Path) -> None:
    clean = clean_profile(personal="mask", authors="hash", text_mode="shp")
    out, dropped = tmp_path / "out", tmp_path / "dropped"
    export_dataset(store, tmp_path / "plain", formats=list(FORMATS))
    done = export_dataset(store, out, formats=list(FORMATS), clean=clean, keep_dropped=dropped)
    assert {found.lower() for found in MADE_UP.findall(content(tmp_path / "plain"))} >= {"asker_ann", *SECRETS}
    for form in FORMATS:
        assert not MADE_UP.search(content(out / form)), form
        assert "[EMAIL]" in content(out / form) or "[IP]" in content(out / form), form
        assert "Today I learned: write" in content(out / form) or form == "ranking"
        assert "https://x.example" not in content(out / form)
    assert not MADE_UP.search(content(dropped))
    pairs = pl.read_parquet(out / "pairs" / "**/*.parquet")
    name = People(people_key(store)).written("reddit.com", "asker_ann")
    assert set(pairs["author_post"]) == {name}
    assert pairs.filter(pl.col("answer1_id").str.ends_with("c0"))["answer1"].str.contains(f"u/{name} says").all()
    assert people_key(store) not in b"".join(file.read_bytes() for file in out.rglob("*") if file.is_file())
    notes = done.tally.notes
    assert notes["title", "masked_email"] == notes["post", "masked_phone"] == notes["answer", "masked_ipv4"] == 8
    assert notes["answer", "mention_hidden"] == 16

    forget(store, authors="bob-brown@reddit.com")
    again = pl.read_parquet(out / "pairs" / "**/*.parquet")
    hashed = People(people_key(store)).written("reddit.com", "Bob-Brown")
    assert hashed in set(pairs["author1"]) | set(pairs["author2"])
    assert hashed not in set(again["author1"]) | set(again["author2"])
    assert 0 < again.height < pairs.height
    assert set(again["author_post"]) == {name}


def test_texts_with_personal_data_are_left_out_and_plain_text_has_no_marks(store: Path, tmp_path: Path) -> None:
    done = export_dataset(store, tmp_path / "out", clean=clean_profile(authors="drop", text_mode="plain"))
    assert sum(done.pairs.values())
    rows = pl.read_parquet(tmp_path / "out" / "**/*.parquet")
    assert rows["author1"].null_count() == rows["author_post"].null_count() == rows.height
    assert rows["question"].str.contains(r"@\[USER\].*\n\nu/\[USER\] said: call 202-555-0147 about it & that.").all()
    assert (rows["answer1"] == "This one is written by somebody else, without a word on anybody.").any()
    with pytest.raises(BadInput, match="No pair"):
        export_dataset(store, tmp_path / "none", clean=clean_profile(personal="drop"))
