"""Bodies from platforms: repaired for storage and cleaned for export."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

from shp_miner.text.maths import with_maths
from shp_miner.text.nesting import NO_CHARACTER, bounded_html, visible_text

if TYPE_CHECKING:
    import polars as pl
    from html_to_markdown import NodeContext

#: What stands for a character that no encoding can hold.
REPLACEMENT = "�"

_UNSOUND = re.compile("[\0\ud800-\udfff]")
#: What shows nothing at the ends of a body: white space, and characters of no width that fill otherwise empty bodies.
BLANK = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\u200b\u200c\u200d\u2060\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)
#: What Reddit's editor leaves for an empty paragraph, escaped as in dumps.
REDDIT_EMPTY = "&amp;#x200B;"

#: Classes of images that belong to the page and not to what somebody wrote.
_DECORATION = frozenset(("avatar", "site-icon", "onebox-avatar", "onebox-avatar-inline"))
#: How addresses begin that lead out of the page where they stand.
_ELSEWHERE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
_FETCHED = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)

_TAG = re.compile(r"<(?!img\b)[^>]*>", re.IGNORECASE)

#: Characters that no HTML has, but for white space.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]+")

# Reddit escapes exactly these three in listings and dumps; unescaping more would change what people typed.
# The last is what Reddit's editor leaves for an empty paragraph: it shows nothing.
_REDDIT_ESCAPES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"), ("&#x200B;", ""))


def sound_text(text: str) -> tuple[str, bool]:
    """The text without NUL characters and lone surrogates, and whether any was replaced (by U+FFFD)."""
    # Both questions take a fraction of the search, which looks at each character by itself.
    if (text.isascii() and "\0" not in text) or _UNSOUND.search(text) is None:
        return text, False
    return _UNSOUND.sub(REPLACEMENT, text), True


def visible_chars(body: str, body_format: str) -> int:
    """Count the characters that a reader sees, without blank ends. In HTML an image counts, other tags do not."""
    if body_format == "html":
        # What follows the last ">" holds no tag; searched for one, each "<" in it would cost a look at all of the rest.
        end = body.rfind(">") + 1
        body = unescape(NO_CHARACTER.sub(REPLACEMENT, _TAG.sub("", body[:end]) + body[end:]))
    elif body_format == "reddit":
        body = body.replace(REDDIT_EMPTY, "")
    return len(body.strip(BLANK))


def to_markdown(body: str, body_format: str) -> str:
    """The body as Markdown without surrounding white space.

    `body_format` is "markdown" or "text" (taken as they are), "reddit" (unescaped) or "html" (converted).
    """
    if body_format == "reddit":
        body = _unescape_reddit(body)
    elif body_format == "html":
        body = _html_to_markdown(body)
    return body.strip()


def _unescape_reddit(body: str) -> str:
    for escaped, plain in _REDDIT_ESCAPES:
        body = body.replace(escaped, plain)
    return body


def _html_to_markdown(body: str) -> str:
    # Imported late: only exports of HTML platforms need it.
    from html_to_markdown import convert  # noqa: PLC0415

    # Control characters show nothing, and many of them are taken for a file; so is what begins like one.
    result = convert(f" {bounded_html(_CONTROLS.sub('', body))}", None, _READER)
    text = result.content or ""
    lost = any("depth" in str(warning.kind) for warning in result.warnings)
    nothing = not text.strip() and not _HIDDEN.search(body)
    return visible_text(body) if lost or nothing else text


def _with_maths(body: str) -> str:
    return with_maths(body, _html_to_markdown)


#: Where an element says that nobody sees it, nothing is no loss.
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|\shidden[\s=>]", re.IGNORECASE)


class _Reader:
    """What a reader elsewhere sees of links and images: nothing that leads nowhere, and no page's decoration."""

    def visit_image(self, ctx: NodeContext, src: str, alt: str, title: str) -> str | dict[str, str]:
        """Emoji as they are typed, decoration not at all, and only words for images that cannot be fetched."""
        classes = ctx.attributes().get("class", "").lower().split()
        if any(word.startswith("emoji") or word.endswith("emoji") for word in classes):
            return _shown(alt or title or "")
        if not _DECORATION.isdisjoint(classes):
            return _shown("")
        return _CONTINUE if _FETCHED.match(src or "") else _shown(alt or "")

    def visit_link(self, ctx: NodeContext, href: str, text: str, title: str) -> str | dict[str, str]:  # noqa: ARG002
        """The words alone where the address has no host, as of mentions: [@name](/user/name)."""
        return _CONTINUE if _ELSEWHERE.match(href or "") else _shown(text or "")


# The library asks for a method for each element, in its types and not when it runs.
_READER: Any = _Reader()
_CONTINUE = "continue"


def _shown(text: str) -> dict[str, str]:
    return {"custom": text}


def clean_titles(titles: pl.Series, formats: pl.Series) -> pl.Series:
    """`clean_bodies` of titles, whose formats are those of their bodies: a title beside HTML is plain text."""
    return clean_bodies(titles, formats.replace("html", "text"))


def clean_bodies(bodies: pl.Series, formats: pl.Series, *, keep_maths: bool = False) -> pl.Series:
    """`to_markdown` of whole columns: bodies (String, null as empty) with their formats.

    `keep_maths` keeps the maths of HTML letter for letter, and marks raised text ("10^6").
    """
    import polars as pl  # noqa: PLC0415  (readers of dumps need the rest long before they need tables)

    bodies = bodies.fill_null("")
    # Few bodies hold an escape, so only those are gone through for each of them.
    escaped = ((formats == "reddit") & bodies.str.contains("&", literal=True)).arg_true()
    unescaped = bodies.gather(escaped)
    for sign, plain in _REDDIT_ESCAPES:
        unescaped = unescaped.str.replace_all(sign, plain, literal=True)
    html = (formats == "html").arg_true()
    convert = _with_maths if keep_maths else _html_to_markdown
    converted = pl.Series([convert(body) for body in bodies.gather(html)], dtype=pl.String)
    for rows, texts in ((escaped, unescaped), (html, converted)):
        if len(rows):
            bodies = bodies.scatter(rows, texts)
    return bodies.str.strip_chars()
