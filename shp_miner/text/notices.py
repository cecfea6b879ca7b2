"""Notices that platforms put in place of a text: who removed it, and no words of it.

A text is a notice only if the whole of it is one, in any letter case and spacing. People quote notices too.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Literal

Gone = Literal["deleted", "removed"]

#: By platform, the texts and what they mean, in lower case, with single spaces and none inside brackets.
NOTICES: dict[str, tuple[tuple[Gone, re.Pattern[str]], ...]] = {
    "reddit": (
        ("deleted", re.compile(r"\[deleted(?: by (?:the )?(?:user|author))?\]")),
        # "... in response to a copyright notice.", "... on account of violating the [content policy](/help/...)."
        (
            "removed",
            re.compile(
                r"\[removed(?: by (?:reddit|anti-evil operations|moderators?|admins?|administrators?)"
                r"(?: (?:in response to|on account of|because of|due to|for) .+)?)?\.?\]"
            ),
        ),
        ("removed", re.compile(r"\[unavailable\]")),
        ("removed", re.compile(r"(?:comment|post) removed by (?:a )?moderators?\.?")),
    ),
    "lemmy": (
        ("deleted", re.compile(r"\*?permanently deleted\*?|\*?deleted by (?:creator|author|user)\*?")),
        ("removed", re.compile(r"\*?removed by (?:mod|moderator|admin)s?\*?")),
    ),
    "discourse": (
        (
            "deleted",
            re.compile(
                r"\((?:post|topic) (?:deleted|withdrawn) by (?:its )?author"
                r"(?:, will be automatically deleted in \d+ hours? unless flagged)?\)"
            ),
        ),
        ("removed", re.compile(r"this post was flagged by the community and is temporarily hidden\.?")),
    ),
    "nodebb": (("deleted", re.compile(r"\[\[topic:(?:post|topic)[-_]is[-_]deleted\]\]|this post is deleted!")),),
}

#: The longest notice with its spaces and tags; what is longer is not looked at.
LONGEST = 400

_TAG = re.compile(r"<[^<>]*>")
#: Spaces that have no width, and brackets as Markdown escapes them.
_UNSEEN = re.compile("[\u200b-\u200d\u2060\ufeff]")
_ESCAPED = re.compile(r"\\([\[\]()*_])")
_INSIDE = re.compile(r"(?<=[\[(]) | (?=[\])])")


def notice_state(platform: str, text: str, *, html: bool = False) -> Gone | None:
    """Return the state that a notice reports for its item; None if the text is not a notice."""
    if len(text) > LONGEST or platform not in NOTICES:
        return None
    if html:
        text = unescape(_TAG.sub("", text))
    # Most texts have neither: a search that finds nothing costs more than the question.
    if "\\" in text:
        text = _ESCAPED.sub(r"\1", text)
    if not text.isascii():
        text = _UNSEEN.sub(" ", text)
    plain = _INSIDE.sub("", " ".join(text.split()).lower())
    return next((gone for gone, pattern in NOTICES[platform] if pattern.fullmatch(plain)), None)
