"""Bodies made sound and clean, and SHP's one-line text."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shp_miner.text.clean import clean_bodies, sound_text, to_markdown, visible_chars
from shp_miner.text.notices import NOTICES, notice_state
from shp_miner.text.shp import flatten_texts
from shp_miner.text.visible import visible_lengths


@given(st.text(st.characters(codec=None)))
def test_sound_text_can_be_encoded_and_sound_text_is_kept(text: str) -> None:
    fixed, changed = sound_text(text)
    fixed.encode()
    assert "\0" not in fixed
    assert changed == (fixed != text)
    assert sound_text(fixed) == (fixed, False)


@pytest.mark.parametrize(
    ("body", "body_format", "expected"),
    [
        ("a &gt; b &amp;amp; &lt;c&gt;", "reddit", "a > b &amp; <c>"),
        ("&amp;#x200B;\n\nreal", "reddit", "real"),
        ("a &gt; b", "markdown", "a &gt; b"),
        (" plain ", "text", "plain"),
        ("<p>one <b>two</b> &lt;3</p>\n<ul><li>x</li></ul>", "html", "one **two** <3\n\n- x"),
        ('<p><a href="https://x.example/a">link</a></p>', "html", "[link](https://x.example/a)"),
        ("<pre><code>a\n  b &amp; c</code></pre>", "html", "```\na\n  b & c\n```"),
        ("<p></p>", "html", ""),
        # Emoji of Discourse and NodeBB.
        (
            'Yes <img src="https://e.example/smile.png?v=5" title=":smile:" class="emoji only-emoji" alt=":smile:">!',
            "html",
            "Yes :smile:!",
        ),
        (
            '<img src="/e.png" class="not-responsive emoji emoji-android emoji--tada" title=":tada:" alt="🎉">',
            "html",
            "🎉",
        ),
        ('<img class="emoji" alt="-&gt;" src="https://e.example/a.png">', "html", "->"),
        ('<img class="emoji" src="https://e.example/a.png" title="wave">', "html", "wave"),
        # Mentions, and other links that lead nowhere outside their forum.
        ('<p><a class="mention" href="/u/name">@name</a> is right</p>', "html", "@name is right"),
        (
            '<p>see <a href="/t/topic/7"><b>this</b> topic</a>, <a href="#below">below</a></p>',
            "html",
            "see **this** topic, below",
        ),
        (
            '<a href="//x.example/a">a</a> <a href="mailto:a@x.example">b</a>',
            "html",
            "[a](//x.example/a) [b](mailto:a@x.example)",
        ),
        # Images: what the page adds, what cannot be fetched, and what somebody shows.
        ('<p><img class="avatar" src="https://x.example/a.png" width="20"> Ann wrote</p>', "html", "Ann wrote"),
        ('<img src="/assets/uploads/a.png" alt="a plan"><img src="data:image/png;base64,AAAA">', "html", "a plan"),
        ('<img src="https://x.example/a.png" alt="a plan">', "html", "![a plan](https://x.example/a.png)"),
        ('<pre><code>&lt;img class="emoji" alt="x"&gt;</code></pre>', "html", '```\n<img class="emoji" alt="x">\n```'),
    ],
)
def test_markdown_of_each_format(body: str, body_format: str, expected: str) -> None:
    assert to_markdown(body, body_format) == expected
    assert clean_bodies(pl.Series([body]), pl.Series([body_format])).to_list() == [expected]


@given(st.lists(st.tuples(st.text("a&;gtl<>p/ \n#"), st.sampled_from(["reddit", "markdown", "text"]))))
def test_columns_are_cleaned_like_single_texts(rows: list[tuple[str, str]]) -> None:
    bodies, formats = [body for body, _ in rows], [name for _, name in rows]
    together = clean_bodies(pl.Series(bodies, dtype=pl.String), pl.Series(formats, dtype=pl.String))
    assert together.to_list() == [to_markdown(body, name) for body, name in rows]


def test_visible_characters_of_html() -> None:
    assert visible_chars("<p>a&nbsp;b </p>\n", "html") == 3
    assert visible_chars("<p> </p>", "html") == 0
    assert visible_chars('<p><img src="x.png"></p>', "html") > 0


_MARKUP = ("<p>", "</p>", "<", ">", "&", "&lt;", "&amp;", "&quot;", "&nbsp;", "&l", "t;", " ", "\n", "a", "<IMG src=x>")
_MARKUP += ("<imgx>", "\xe9", "\xa0", '<a href="\xe9&amp;">', "<b", "\x01", "&gt", "\x1f", "&#0;", " " * 40)


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(_MARKUP), max_size=9).map("".join), max_size=30))
def test_visible_characters_of_many_bodies_are_those_of_each(bodies: list[str]) -> None:
    together = visible_lengths(pl.Series(bodies, dtype=pl.String), "html").to_list()
    assert together == [visible_chars(body, "html") for body in bodies]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\n\ntwo\r\nthree", "one  two three"),
        ("see [the words](https://x.example/a_(b)) and https://y.example", "see the words and https://y.example"),
        ("[not a link] (really)", "[not a link] (really)"),
        ("It’s “so”", 'It\'s "so"'),
    ],
)
def test_shp_text_is_one_line_without_link_targets(text: str, expected: str) -> None:
    assert flatten_texts(pl.Series([text])).to_list() == [expected]


NOTICES_ON_THE_PAGE = re.findall(
    r"^\| `(reddit|lemmy|discourse|nodebb)` \| (.*) \|$",
    (Path(__file__).parents[1] / "docs" / "formats.md").read_text().split("## Notices in the place of text")[1],
    re.MULTILINE,
)


def test_every_notice_on_the_page_is_one_and_only_on_its_platform() -> None:
    assert {platform for platform, _ in NOTICES_ON_THE_PAGE} == set(NOTICES)
    for platform, cell in NOTICES_ON_THE_PAGE:
        for text in re.findall(r"`([^`]+)`", cell):
            whole = f"[ Removed by Reddit {text} ]" if text[:2] in ("in", "on") else text
            assert notice_state(platform, whole), whole
            assert notice_state(platform, f"  {whole.upper()}\n"), whole
            assert notice_state(platform, f"<p>{whole}</p>\n", html=True), whole
            assert not notice_state(platform, f"He wrote: {whole}"), whole
            assert not notice_state(platform, f"{whole} Why?"), whole
            assert not notice_state("stackexchange", whole)


@pytest.mark.parametrize("start", ["%PDF-1.4", "PK\x03\x04", "\x00" * 300, "\x07\x1b" * 300, "\x1f\x8b\x08"])
def test_html_that_looks_like_a_file_keeps_its_text(start: str) -> None:
    assert to_markdown(f"{start}<p>So it is.</p>", "html").endswith("So it is.")
