"""Limiting HTML before its conversion: nesting, columns, and markup that a converter may misread.

A converter loses elements nested deeper than a thousand, indents each line by its lists and quotes, and fills every row
of a table up to its widest. All of this is limited here, in time proportional to the length of the text. Tags beyond
the limits are left out, and their text stays. HTML within the limits stays unchanged.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from html import unescape

#: Elements inside elements, of these such that indent or fence what is in them, and cells of a row of a table.
_NESTED, _HELD, _COLUMNS = 256, 10, 32

_HOLDERS = frozenset(("blockquote", "code", "dir", "menu", "ol", "pre", "ul"))
_HOLDER = re.compile(rf"<(?:{'|'.join(sorted(_HOLDERS))})\b", re.IGNORECASE)
_SPAN = re.compile(r"\b(?:col|row)span\s*=\s*[\"']?\s*\d\d+", re.IGNORECASE)

_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
_HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
_PARTS = frozenset(("tbody", "thead", "tfoot"))
_CELLS = frozenset(("td", "th"))
#: The elements that end where one of these begins right inside them.
_ENDS = {
    "li": frozenset(("li",)),
    "p": frozenset(("p",)),
    "option": frozenset(("option",)),
    **dict.fromkeys(("dd", "dt"), frozenset(("dd", "dt"))),
    **dict.fromkeys(_HEADINGS, _HEADINGS),
    **dict.fromkeys(_CELLS, _CELLS),
    "tr": _CELLS | {"tr"},
    **dict.fromkeys(_PARTS, _CELLS | _PARTS | {"tr"}),
}
#: Those whose end needs no tag where what is around them ends.
_UNSAID = frozenset((*_ENDS, "caption", "colgroup"))
#: What is in these shows nowhere.
_HIDDEN = frozenset(("script", "style"))

# A quote holds anything, but only behind "="; in a tag without an end nothing is searched for beyond the next "<", and
# so many parts of a tag are enough that a search may begin at each "<" again.
_TAG = r"""<(/?)([a-z][^\s<>/"'=]*+)((?:[^<>"'=]++|=\s*+(?:"[^"]*+"|'[^']*+')?|["']){0,100}+)>"""
_OTHER = r"<[!?][^>]*+>|<(?=[a-z/!?])"
_MARKUP = re.compile(f"{_TAG}|{_OTHER}", re.IGNORECASE)
_COMMENT = r"<!--(?s:.)*?-->"
_MARKUP_AND_COMMENTS = re.compile(f"{_COMMENT}|{_TAG}|{_OTHER}", re.IGNORECASE)

#: Longer numbers are no characters, and Python refuses to read some of them.
NO_CHARACTER = re.compile(r"&#[0-9]{9,};?")
_SPACES = re.compile(r"[^\S\n]+")


def bounded_html(body: str) -> str:
    """Return the HTML with at most the nesting, columns and spans that a converter can take; its text stays."""
    if body.count("<") <= _NESTED and not _SPAN.search(body) and _few_holders(body):
        return body
    return _each(body, _Bounds().kept)


def _few_holders(body: str) -> bool:
    found = _HOLDER.finditer(body)
    return sum(1 for _, _ in zip(found, range(_HELD + 1), strict=False)) <= _HELD


def visible_text(body: str) -> str:
    """Return the text of HTML without its markup, for HTML that no converter can read."""
    shown: list[str] = []
    hidden = ""
    for text, tag in _pieces(body):
        if not hidden:
            shown.append(text)
        if tag is None:
            continue
        if tag[0] == "<":
            shown.append("" if hidden else "<")
            continue
        name = (tag[2] or "").lower()
        if tag[1] and name == hidden:
            hidden = ""
        elif not hidden and not tag[1] and name in _HIDDEN:
            hidden = name
        shown.append("" if hidden else " ")
    return _SPACES.sub(" ", unescape(NO_CHARACTER.sub("\ufffd", "".join(shown))))


def _each(body: str, kept: Callable[[re.Match[str]], str]) -> str:
    """The body with each piece of markup replaced by what `kept` makes of it."""
    return "".join(part if tag is None else part + kept(tag) for part, tag in _pieces(body))


def _pieces(body: str) -> Iterator[tuple[str, re.Match[str] | None]]:
    """Text and the markup that follows it, None at the end. What is no tag though it begins so is "<" alone."""
    # Nothing ends a comment behind the last "-->", and nothing else behind the last ">": it would be searched for at
    # every "<".
    comments, tags = body.rfind("-->") + 1, body.rfind(">") + 1
    place = 0
    for pattern, stop in ((_MARKUP_AND_COMMENTS, comments + 2 if comments else 0), (_MARKUP, tags)):
        for tag in pattern.finditer(body, place, max(stop, place)):
            yield body[place : tag.start()], tag
            place = tag.end()
    yield body[place:].replace("<", "&lt;"), None


class _Bounds:
    """The elements that are open, and which of them were kept."""

    def __init__(self) -> None:
        self._open: list[tuple[str, bool]] = []
        self._names: Counter[str] = Counter()
        self._depth = self._held = 0
        self._cells: list[int] = [0]

    def kept(self, tag: re.Match[str]) -> str:
        """What stands in the place of the tag."""
        if not tag[2]:
            return "&lt;" if tag[0] == "<" else ""
        name = tag[2].lower()
        if tag[1]:
            return self._end(name)
        text = tag[0]
        if "<" in tag[3] or ">" in tag[3]:
            text = f"<{tag[2]}{tag[3].replace('<', '&lt;').replace('>', '&gt;')}>"
        if _SPAN.search(text):
            text = _SPAN.sub(" ", text).replace('""', '"').replace("''", "'")
        return text if name in _VOID else self._start(name, text)

    def _start(self, name: str, text: str) -> str:
        while self._open and self._open[-1][0] in _ENDS.get(name, ()):
            self._pop()
        kept = self._depth < _NESTED and not (name in _HOLDERS and self._held >= _HELD)
        if name == "table":
            self._cells.append(0)
        elif name == "tr":
            self._cells[-1] = 0
        elif name in _CELLS:
            self._cells[-1] += 1
            kept = kept and self._cells[-1] <= _COLUMNS
        self._open.append((name, kept))
        self._names[name] += 1
        self._depth += kept
        self._held += kept and name in _HOLDERS
        return text if kept else " "

    def _end(self, name: str) -> str:
        """The tags that end an element and what is open inside it; nothing where it is not open."""
        ended: list[str] = []
        while self._names[name]:
            inner, kept = self._pop()
            if kept and (inner == name or inner not in _UNSAID):
                ended.append(f"</{inner}>")
            if inner == name:
                return "".join(ended) or " "
        return ""

    def _pop(self) -> tuple[str, bool]:
        name, kept = self._open.pop()
        self._names[name] -= 1
        self._depth -= kept
        self._held -= kept and name in _HOLDERS
        if name == "table":
            self._cells.pop()
        return name, kept
