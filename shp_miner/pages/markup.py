"""Texts of strangers as HTML that can do nothing: no script, no request, no character that turns others around.

Forum text is Markdown without HTML when it comes here. Markup that is left in it is shown as it is written. Links lead
to http and https alone; a picture is named and not loaded; characters that control a terminal or turn the direction of
writing are written out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

#: Characters that act on their surroundings: controls other than tab and line break, and those that embed or override a
#: direction. Marks of a direction (U+200E, U+200F) and joiners stay, because Arabic, Hebrew and emoji need them.
_ACTS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

#: Nested quotes and lists that are followed; what is deeper is text.
_NESTED = 20

#: Attributes of links to other sites: they get neither the reader's address nor a hold on the page.
_FOREIGN = 'rel="nofollow noopener noreferrer"'


def safe(text: str) -> str:
    """Return a text of one line or more as HTML that shows it as it is written."""
    return escape(written_out(text))


def written_out(text: str) -> str:
    """Return the text with characters that act on others written as their numbers: [U+202E]."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _ACTS.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def shortened(text: str, most: int) -> tuple[str, int]:
    """Return at most `most` characters of a text, cut between words if possible, and how many are left out."""
    if len(text) <= most:
        return text, 0
    kept = text[:most]
    between = max(kept.rfind(" "), kept.rfind("\n"))
    kept = kept[:between] if between > most // 2 else kept
    return kept, len(text) - len(kept)


def web_address(url: str | None) -> str | None:
    """Return the address if it is one of http or https with a host; None for anything else."""
    if not url or _ACTS.search(url) or any(blank in url for blank in " \t\n\r\f\\"):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme.lower() in ("http", "https") and parts.hostname else None


def link(url: str | None, words: str) -> str:
    """Return a link to another site, or only its words if the address is not one of the web."""
    address = web_address(url)
    return safe(words) if address is None else f'<a href="{escape(address)}" {_FOREIGN}>{safe(words)}</a>'


def rendered(text: str) -> str:
    """Return forum text (Markdown) as HTML blocks, in a frame that keeps its direction of writing inside."""
    return f'<div class="text" dir="auto">{_markdown().render(written_out(text))}</div>'


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": _NESTED}, renderer_cls=_Harmless)
    markdown.validateLink = lambda url: web_address(url) is not None  # type: ignore[method-assign]
    return markdown.enable("strikethrough")


class _Harmless(RendererHTML):
    """Renders links to the web, pictures as words, and headings as bold lines: a page has its own headings."""

    def link_open(self, tokens: Sequence[Token], index: int, *_: Any) -> str:
        """Return the beginning of a link; one that is no address of the web never becomes a token."""
        return f'<a href="{escape(str(tokens[index].attrs.get("href", "")))}" {_FOREIGN}>'

    def image(self, tokens: Sequence[Token], index: int, *_: Any) -> str:
        """Return a link to a picture with its description: nothing is loaded."""
        token = tokens[index]
        words = f"[picture: {token.content or 'without a description'}]"
        return link(str(token.attrs.get("src", "")), words)

    def heading_open(self, *_: Any) -> str:
        """Return the beginning of a bold line."""
        return "<p><strong>"

    def heading_close(self, *_: Any) -> str:
        """Return the end of a bold line."""
        return "</strong></p>\n"
