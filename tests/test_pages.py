"""Forum text on a page: whatever strangers write, nothing runs, nothing is loaded, nothing turns others around."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner.pages.frame import content_policy, document, style_sheet
from shp_miner.pages.markup import link, rendered, safe, shortened, web_address

#: What may be in a text: blocks and marks without any power.
TAGS = {
    "a", "blockquote", "br", "code", "div", "em", "hr", "li", "ol", "p", "pre", "s", "strong", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "rel", "title"}, "div": {"class", "dir"}, "ol": {"start"}, "code": {"class"}}

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<svg onload="alert(1)"><animate></svg>',
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt&#58;alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](vbscript:x) [file](file:///etc/passwd)",
    "![huge](https://example.com/huge.png)",
    "![data](data:image/png;base64,AAAA)",
    "<javascript:alert(1)>",
    "</div></article></main></body></html><h1>mine</h1>",
    "<!-- --> <![CDATA[ ]]> <?php ?>",
    "[a]: javascript:alert(1)\n\n[a]",
    '[a](https://e.example/"onmouseover=alert(1) "x\\" onclick=y")',
    "\u202egnp.exe\u202c and \u2066inside",
    "\x1b[31mred\x1b[0m \x9b2J",
    "`" * 5000,
    "> " * 500 + "deep",
    "[" * 3000 + "](" * 3000,
    "* " * 3000,
    "<iframe srcdoc='x'>" * 50,
    "# heading\n\n| a | b |\n|---|---|\n",
]


class Seen(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "a text closes a tag that it did not open"

    def handle_data(self, data: str) -> None:
        self.text += data


def harmless(html: str) -> Seen:
    """The page's part, checked: only tags and attributes without power, and each closed."""
    seen = Seen(html)
    assert not seen.open
    for tag, attributes in seen.tags:
        assert tag in TAGS, tag
        assert attributes.keys() <= ATTRIBUTES.get(tag, set()), (tag, attributes)
        if "href" in attributes:
            assert str(attributes["href"]).lower().startswith(("http://", "https://"))
    assert not any(0x202A <= ord(character) <= 0x202E or 0x2066 <= ord(character) <= 0x2069 for character in html)
    assert "\x1b" not in html
    return seen


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_is_harmless_on_a_page(text: str) -> None:
    harmless(rendered(text))


@given(st.text(max_size=300) | st.text(alphabet="<>\"'`&[]()!*_#\n \\/:javascripthtml\u202e\x1b", max_size=300))
def test_any_text_is_harmless_on_a_page(text: str) -> None:
    harmless(rendered(text))
    assert "<" not in safe(text)


def test_what_people_write_can_be_read() -> None:
    seen = harmless(
        rendered("# Title\n\nSee *this* [page](https://e.example/a?b=1&c=2) and `x < y`:\n\n1. one\n2. two")
    )
    assert seen.text.split() == ["Title", "See", "this", "page", "and", "x", "<", "y:", "one", "two"]
    assert [attributes for tag, attributes in seen.tags if tag == "a"] == [
        {"href": "https://e.example/a?b=1&c=2", "rel": "nofollow noopener noreferrer"}
    ]


def test_a_picture_is_named_and_not_loaded() -> None:
    seen = harmless(rendered("![a cat](https://e.example/cat.png) ![](data:image/png;base64,AA)"))
    assert seen.text.strip().startswith("[picture: a cat]")
    assert [attributes["href"] for tag, attributes in seen.tags if tag == "a"] == ["https://e.example/cat.png"]


def test_characters_that_act_are_written_out() -> None:
    assert Seen(rendered("a\u202eb \x1b[1m")).text.strip() == "a[U+202E]b [U+001B][1m"
    assert safe("x\u0000<b>") == "x[U+0000]&lt;b&gt;"


@pytest.mark.parametrize(
    "url",
    [
        None, "", "javascript:alert(1)", "data:text/html,x", "//e.example/x", "/x", "https://", "http:///x", "ftp://e.example",
        "https://e.example/\u202ex", "https://e.example/a b", "https://[broken", "https:\\\\e.example",
    ],
)  # fmt: skip
def test_only_addresses_of_the_web_become_links(url: str | None) -> None:
    assert web_address(url) is None
    assert "<a" not in link(url, "words")


def test_a_long_text_is_cut_between_words() -> None:
    kept, left = shortened("word " * 200_000, 100)
    assert len(kept) <= 100
    assert kept.endswith("word")
    assert left == 1_000_000 - len(kept)
    assert shortened("short", 100) == ("short", 0)


def test_the_frame_has_a_policy_and_loads_nothing() -> None:
    page = document("A <title>", "<p>x</p>", made_by="a test")
    assert "default-src 'none'" in content_policy()
    assert content_policy() in page
    assert style_sheet() in page
    assert "A &lt;title&gt;" in page
    assert not any(word in page for word in ("<script", "url(", "@import", "http://", "https://"))
