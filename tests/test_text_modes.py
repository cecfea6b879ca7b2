"""The forms of exported texts: what each keeps, that it is stable, and that its time grows with the length alone."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import pkgutil
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shp_miner.clean
import shp_miner.text
from shp_miner import clean_profile, export_dataset, import_dump, load
from shp_miner.clean.buckets import band_numbers, text_numbers
from shp_miner.clean.chain import edited, reasons_of
from shp_miner.clean.grams import plain_words
from shp_miner.clean.near import near_equal
from shp_miner.clean.overlap import Screen, item_words
from shp_miner.clean.people import People
from shp_miner.clean.personal import mask_personal
from shp_miner.errors import BadInput
from shp_miner.tally import Tally
from shp_miner.text.clean import clean_bodies, clean_titles, sound_text, to_markdown, visible_chars
from shp_miner.text.compared import compared_texts
from shp_miner.text.language import languages_of
from shp_miner.text.modes import in_mode, titles_in_mode
from shp_miner.text.nesting import visible_text
from shp_miner.text.notices import notice_state
from shp_miner.text.titles import ABBREVIATIONS, TextMode, abbreviations
from shp_miner.text.visible import visible_lengths

from .conftest import NOW
from .test_cleaning import EDITS, EFFECTS


def written(text: str, mode: TextMode, body_format: str = "reddit") -> str:
    formats = pl.Series([body_format])
    cleaned = clean_bodies(pl.Series([text]), formats, keep_maths=mode != "markdown")
    return str(in_mode(cleaned, formats, mode)[0])


@pytest.mark.parametrize(
    ("text", "plain", "shp"),
    [
        ("**a** _b_ ~~c~~ `d*e*f`", "a b c d*e*f", "**a** _b_ ~~c~~ `d*e*f`"),
        ("2*3*4, a_b_c, f(*x, **y)", "2*3*4, a_b_c, f(*x, **y)", "2*3*4, a_b_c, f(*x, **y)"),
        ("[w *x*](https://a.example/b_(c) 'd') <https://e.f>", "w x https://e.f", "w *x* <https://e.f>"),
        ("![alt](https://a.example) [](https://b.example)", "alt https://b.example", "alt https://b.example"),
        ("[a][1] [B] [x]\n\n[1]: http://a.b\n[b]: /b", "a B [x]", "[a][1] [B] [x]  [1]: http://a.b [b]: /b"),
        (">!out!< ^(raised *a*) ^so ^it 10^2", "out raised a so it 10^2", ">!out!< ^(raised *a*) ^so ^it 10^2"),
        ("&gt; said\n&gt;&gt; before\n\nno", "> said\n> > before\n\nno", "> said >> before  no"),
        ("# Head\n\n* a\n    * b\n\n1) c", "Head\n\n- a\n    - b\n\n1) c", "# Head  * a     * b  1) c"),
        ("| a | b |\n|---|--:|\n| `1` | 2 |", "a | b\n1 | 2", "| a | b | |---|--:| | `1` | 2 |"),
        ("x\n\n    a *b*\n\n```py\nc  *d*\n```", "x\n\n    a *b*\n\nc  *d*", "x      a *b*  ```py c  *d* ```"),
        ("a\u200bb &amp;#x200B; e\u0301 \\*c\\* &amp;eacute;", "ab  \u00e9 *c* \u00e9", "ab  \u00e9 \\*c\\* &eacute;"),
        ("**open and *more", "**open and *more", "**open and *more"),
    ],
)  # fmt: skip
def test_what_each_mode_makes_of_reddits_markdown(text: str, plain: str, shp: str) -> None:
    assert written(text, "plain") == plain
    assert written(text, "shp") == shp
    assert written(text, "markdown") == clean_bodies(pl.Series([text]), pl.Series(["reddit"]))[0]


@pytest.mark.parametrize(
    ("html", "plain"),
    [
        (r"<p>$a_1*b_2*c$ and $$x \\ y &lt; z$$</p>", r"$a_1*b_2*c$ and $$x \\ y < z$$"),
        ("10<sup>6</sup> x<sup>a b</sup> <code>y<sup>2</sup></code>", "10^6 x^(a b) y2"),
        ('<pre class="lang-py"><code>a = "$x$"\n  b*c</code></pre>', 'a = "$x$"\n  b*c'),
        ("<ul><li>a<ol><li>b<ul><li>c</li></ul></li></ol></li></ul>", "- a\n  1. b\n     - c"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "a | b\n1 | 2"),
    ],
)
def test_plain_text_of_html_keeps_maths_code_lists_and_tables(html: str, plain: str) -> None:
    assert written(html, "plain", "html") == plain


def test_code_languages_tables_and_nested_lists_stay_in_markdown() -> None:
    html = '<pre class="lang-py"><code>a</code></pre><ul><li>b<ol><li>c</li></ol></li></ul><table><th>d</table>'
    assert written(html, "markdown", "html") == "```py\na\n```\n\n- b\n  1. c\n\n| d |\n| --- |"


def test_markdown_keeps_maths_where_that_is_asked_for_and_the_default_stays(tmp_path: Path) -> None:
    answers = [rf"<p>$a_1*b_2*c \\{n}$ is 10<sup>{n}</sup></p>" for n in range(2)]
    record = {
        "site": "a.b", "community": "c", "post_id": "1", "title": "Why?", "body": "So?", "score": 9, "author": "z",
        "created_at": "2024-01-02T03:04:05Z", "observed_at": "2024-03-01T00:00:00Z",
        "answers": [
            {"answer_id": f"{n}", "body": body, "format": "html", "score": 5 + n, "author": f"w{n}",
             "created_at": f"2024-01-0{3 + n}T04:00:00Z"}
            for n, body in enumerate(answers)
        ],
    }  # fmt: skip
    (tmp_path / "threads.jsonl").write_text(json.dumps(record))
    import_dump("threads", tmp_path / "threads.jsonl", tmp_path / "store", now=NOW)
    texts = {}
    for clean in ("none", clean_profile(keep_maths=True), "standard"):
        export_dataset(tmp_path / "store", tmp_path / "out", rule="votes", clean=clean, replace=True)
        (row,) = load(tmp_path / "out")
        texts[str(clean)] = {row["answer1"], row["answer2"]}
    damaged, *kept = texts.values()
    assert all(found == {rf"$a_1*b_2*c \\{n}$ is 10^{n}" for n in range(2)} for found in kept)
    assert damaged == set(clean_bodies(pl.Series(answers), pl.Series(["html"] * 2))) != kept[0]


def test_plain_text_has_no_marks_to_take_off() -> None:
    assert written("*a* [b](https://c.example)\u200b", "plain", "text") == "*a* [b](https://c.example)"


def test_abbreviations_of_titles_are_written_out_in_shps_mode_alone() -> None:
    titles = pl.Series(["ELI5: why? (TIL)", "Until CMVs and cmv", "AITAH \u201cno\u201d"])
    table = abbreviations(["AITAH = Am I the $1 here"])
    expected = ["Explain like I'm five: why? (Today I learned)", "Until CMVs and cmv", 'Am I the $1 here "no"']
    assert titles_in_mode(titles, "shp", table).to_list() == expected
    assert titles_in_mode(titles_in_mode(titles, "shp", table), "shp", table).to_list() == expected
    for mode in ("plain", "markdown"):
        assert titles_in_mode(titles, mode, table).to_list() == titles.to_list()
    for line in ("no sign", "A = so ELI5", "= x"):
        with pytest.raises(BadInput):
            abbreviations([line])
    assert abbreviations() == ABBREVIATIONS


def hide_names(texts: pl.Series) -> tuple[pl.Series, int]:
    return People(None).texts(texts, texts, pl.repeat("site.example", len(texts), eager=True))


SIGNS = r"""[a](https://x) ](https://y) [ ] ![ ( ) https:// ** * _ ~~ ` ``` > >! !< ^( ^ $ $$ | |-| - # &amp; \ < <b> a
    1. @ [a]: [b] jane@lab.eu u/jane @jane 202-555-0143"""
MARKS = st.lists(
    st.one_of(
        st.sampled_from(SIGNS.split()),
        st.sampled_from([" ", "\n", "\n\n", "    ", "\t", "e\u0301", "\u200b"]),
        st.text(st.characters(codec="utf-8"), max_size=3),
    ),
    max_size=16,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(MARKS, st.sampled_from(["plain", "shp"]))
def test_a_text_in_a_mode_stays_as_it_is_in_that_mode(text: str, mode: TextMode) -> None:
    once = written(text, mode)
    assert written(once, mode, "text" if mode == "plain" else "markdown") == once
    assert unicodedata.is_normalized("NFC", once)


@settings(max_examples=200, deadline=None)
@given(MARKS)
def test_masked_texts_have_nothing_more_to_mask(text: str) -> None:
    once = mask_personal(pl.Series([text + " jane@janeland.eu 202-555-0143", None])).texts
    assert mask_personal(once).texts.to_list() == once.to_list()
    hidden, _ = hide_names(once)
    assert hide_names(hidden)[0].to_list() == hidden.to_list()


#: Pieces that scans stumble over when they are repeated: openers without an end, and what may be read in two ways.
PIECES = (
    "[", "](", "]", "![", "[a](http://x ", '[a](b "', "[a](<", "[a][b]", "[a]: b\n", "*", "**", "*a ", "_a_ ", "`",
    "``a`", "> ", ">! ", "!<", "^(", "^a ", "$", "$a ", "|", "a|b\n-|-\n", "- ", "  - a\n", "    ", "#", "&", "&amp;",
    "<", "<b>", "<a ", "<http://", "\\", "\n", "```\n", "~~~", "---\n", "\u0301\u0316", "e\u0301", "\u200b", " ", "(",
    '"', "1. ", "a@", "a@a.", "@a ", "u/aaa ", "a (at) ", "a at b dot ", "1", "1-", "1 ", "+1 ", "1.", "1:", "2a00:",
    "<div>", "</div>", "<!--", '<img src="http://a', "&amp;amp;", "&#x41;", "\0", "ab ", "a b c d e f g h ",
    "\u6f22", "\ufdfa", "edit: ", " EDIT: thanks\n", "[quote]", "(0", "DE89 ", "call ", "0000 ",
    "http://a/u/", "-", ".", "a.", "'", "\\(", "$$", "<sup>", "<pre>",
    "[quote=a]", "a:\n> ",
)  # fmt: skip


def clean_all(text: str) -> None:
    """Judge a text as an answer, and beside another one, by each filter alone, and edit it."""
    answer = pl.DataFrame({"text": [text], "question": [text], "author": ["ann"], "author_id": ["1"]})
    pair = pl.DataFrame({"winner_text": [text], "loser_text": [f"Or: {text}"], "question": ["Why?"]})
    for name, effect in EFFECTS.items():
        clean = clean_profile(**{name: effect.value})
        reasons_of(pair if effect.kind == "pair" else answer, effect.kind, clean)
    for name, (value, *_) in EDITS.items():
        edited(answer["text"], "answer", clean_profile(**{name: value}), Tally())


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "plain": lambda text: in_mode(pl.Series([text]), pl.Series(["markdown"]), "plain"),
    "shp": lambda text: in_mode(pl.Series([text]), pl.Series(["markdown"]), "shp"),
    "titles": lambda text: titles_in_mode(pl.Series([text]), "shp", ABBREVIATIONS),
    "html": lambda text: clean_bodies(pl.Series([text]), pl.Series(["html"]), keep_maths=True),
    "personal": lambda text: mask_personal(pl.Series([text])),
    "filters": clean_all,
    "visible": lambda text: (visible_chars(text, "html"), visible_lengths(pl.Series([text]), "html"), sound_text(text)),
    "mentions": lambda text: hide_names(pl.Series([text])),
    "compared": lambda text: compared_texts(pl.Series([text]), pl.Series(["html"])),
    "near": lambda text: near_itself(plain_words(pl.Series([text, f"{text} x"]))),
    "screen": lambda text: Screen(item_words(pl.Series([text])), "default").hits(pl.Series([f"a {text}"])),
    "single": lambda text: (
        to_markdown(text, "html"),
        clean_titles(pl.Series([text]), pl.Series(["reddit"])),
        visible_text(text),
        languages_of([text]),
    ),
    "notices": lambda text: [
        notice_state(of, text, html=html) for of in ("reddit", "discourse") for html in (False, True)
    ],
}


def near_itself(words: pl.Series) -> None:
    text_numbers(words)
    band_numbers(words)
    near_equal(words, np.array([0]), np.array([1]))


#: Parameters that are forum text, in functions that anybody may call.
_OF_TEXT = {"text", "texts", "body", "bodies", "markdown", "titles", "words"}
EVERYTHING = """>!a!< **b** [c](https://d.org) <b>x</b> $a$ u/jane @jane jane@lab.eu, jane (at) lab.eu ELI5
DE89 3704 0044 0532 4111 1111 1111 1111 219-09-9999 93.184.216.34 2a00:1450::1 (202) 555-0147

EDIT: thanks for the gold!"""


def test_every_function_of_texts_is_among_them() -> None:
    """Whoever writes another one puts it into FUNCTIONS, so that its time is tried, and that it takes anything."""
    there = set()
    for room in (shp_miner.text, shp_miner.clean):
        for found in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            module = importlib.import_module(found.name)
            for name, function in inspect.getmembers(module, inspect.isfunction):
                of_text = next(iter(inspect.signature(function).parameters), "") in _OF_TEXT
                if of_text and not name.startswith("_") and function.__module__ == module.__name__:
                    there.add(function.__code__)
    called = set()
    sys.setprofile(lambda frame, event, _: called.add(frame.f_code) if event == "call" else None)
    try:
        for function in FUNCTIONS.values():
            function(EVERYTHING)
    finally:
        sys.setprofile(None)
    assert {code.co_qualname for code in there - called} == set()


@settings(max_examples=15, deadline=None)
@given(MARKS, st.sampled_from(["", "\0", "\ud800", "\ufdfa", "<div>" * 300, "&amp;" * 30, "((((" * 50]))
def test_functions_take_any_text_and_edits_change_nothing_twice(text: str, more: str) -> None:
    sound = sound_text(more + text)[0]
    for function in FUNCTIONS.values():
        function(sound)
    once = plain_words(pl.Series([sound]))
    assert plain_words(once).equals(once)
    for name, (value, *_) in EDITS.items():
        cleaning, texts = clean_profile(**{name: value}), pl.Series([f"{sound} EDIT: thanks! {sound}\nEDIT: gold!"])
        cut = edited(texts, "answer", cleaning, Tally())
        assert edited(cut, "answer", cleaning, Tally()).equals(cut)


def cpu_s(function: Callable[[str], object], text: str) -> float:
    start = time.process_time()
    function(text)
    return time.process_time() - start


def too_slow(function: Callable[[str], object], piece: str, chars: int) -> bool:
    """Whether a text of `chars` takes much more than eight times the time of an eighth of it."""
    short, long = (piece * (n // len(piece)) for n in (chars // 8, chars))
    taken = cpu_s(function, long)
    if taken < 2e-6 * chars:  # what is this fast may be anything but slow
        return False
    return min(taken, cpu_s(function, long)) > 30 * max(cpu_s(function, short) for _ in range(2)) + 0.02


@pytest.mark.parametrize("name", FUNCTIONS)
def test_time_grows_with_the_length_of_a_text(name: str) -> None:
    assert [piece for piece in PIECES if too_slow(FUNCTIONS[name], piece, 32_000)] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_megabyte_of_any_two_pieces_takes_seconds(name: str) -> None:
    for first, second in itertools.product(PIECES, ("", *PIECES[::36])):
        text = (first + second) * (1_000_000 // len(first + second))
        assert cpu_s(FUNCTIONS[name], text) < 20, (first, second)
