"""Maths in HTML kept letter for letter while the rest is converted, and raised text marked: 10<sup>6</sup> is 10^6.

A converter escapes what Markdown would read as marks, and MathJax would then read the escapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

_CODE = re.compile(r"<(/?)(?:pre|code)\b[^<>]{0,500}>", re.IGNORECASE)
# Each scan ends at the next sign of its own kind, at a tag, or after so many characters.
_MATHS = re.compile(
    r"\$\$[^$<]{1,4000}\$\$|\$(?![\s$])[^$<\n]{1,1000}(?<!\s)\$(?!\d)|\\\([^<\\]{1,200}(?:\\[^)<][^<\\]{0,200}){0,200}\\\)"
    r"|\\\[[^<\\]{1,200}(?:\\[^\]<][^<\\]{0,200}){0,200}\\\]"
)
_RAISED = re.compile(r"<sup\b[^<>]{0,200}>([^<>\n]{1,200})</sup>", re.IGNORECASE)
_WORD = re.compile(r"[\w+-]+")
#: Characters for private use, in which no text is written, around the number of a piece of maths.
_START, _END = "\ue0f0", "\ue0f1"
_KEPT = re.compile(f"{_START}(\\d+){_END}")


def with_maths(body: str, convert: Callable[[str], str]) -> str:
    """Return HTML as `convert` makes Markdown of it, with its maths and raised text as they were written."""
    if _START in body or not ("$" in body or "\\" in body or "<sup" in body.lower()):
        return convert(body)
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(unescape(found[0]))
        return f"{_START}{len(kept) - 1}{_END}"

    def outside(text: str) -> str:
        return _RAISED.sub(_raised, _MATHS.sub(keep, text))

    parts, depth, place = [], 0, 0
    for tag in _CODE.finditer(body):
        text = body[place : tag.start()]
        parts += [text if depth else outside(text), tag[0]]
        depth = max(0, depth - 1) if tag[1] else depth + 1
        place = tag.end()
    parts.append(body[place:] if depth else outside(body[place:]))
    return _KEPT.sub(lambda found: kept[int(found[1])], convert("".join(parts)))


def _raised(found: re.Match[str]) -> str:
    words = found[1].strip()
    return f"^{words}" if _WORD.fullmatch(words) else f"^({words})"
