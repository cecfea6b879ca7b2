"""Texts without what is not their author's own words: quotes, links, images and marks."""

from __future__ import annotations

import polars as pl

#: Lines of a quote, in Markdown and in BBCode; ">!" begins a spoiler.
_QUOTES = r"(?m)^[ \t]*>(?:[^!\n].*)?$|(?is)\[quote\b.*?\[/quote\]"
#: Images and links in Markdown with their words, and bare addresses.
_LINKS = r"!?\[[^\[\]]*\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s+\"[^\"]*\")?\)|<?(?:https?://|www\.)[^\s<>]+>?"
#: What every quote and every link has.
_LINK_OR_QUOTE = r"[>\[]|https?://|www\."
#: Blocks of code between fences or by four spaces, and code within a line.
_CODE = r"(?s)```.*?(?:```|\z)|`[^`\n]+`|(?m)^(?: {4}|\t).*$"
#: A letter or digit; one of a script without spaces says about as much as three of another.
_LETTER, _DENSE = r"[\p{L}\p{N}]", r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]"


def without_quotes(text: pl.Expr) -> pl.Expr:
    """Return texts without quoted lines."""
    return text.str.replace_all(_QUOTES, "")


def without_links(text: pl.Expr) -> pl.Expr:
    """Return texts without images and links; the words of a link go with it."""
    return text.str.replace_all(_LINKS, "")


def may_have_links_or_quotes(text: pl.Expr) -> pl.Expr:
    """Return whether a text can have a link, an image or a quote. False is certain; it takes little time."""
    return text.str.contains(_LINK_OR_QUOTE)


def without_code(text: pl.Expr) -> pl.Expr:
    """Return texts without code."""
    return text.str.replace_all(_CODE, "")


def has_link(text: pl.Expr) -> pl.Expr:
    """Return whether a text has a link or an image."""
    return text.str.contains(_LINKS)


def letters(text: pl.Expr) -> pl.Expr:
    """Return how many letters and digits a text has; those of dense scripts count three times."""
    return text.str.count_matches(_LETTER) + 2 * text.str.count_matches(_DENSE)
