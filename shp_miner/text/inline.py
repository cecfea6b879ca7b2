"""Marks inside a paragraph of Markdown taken off: emphasis, links, code, spoilers, superscripts, references to signs.

One pass over the text. Openers wait on stacks, and each is looked at once more at most: the time is linear.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from html import unescape

# What a scan passes over ends at the next sign of its own kind or after so many characters: no two scans overlap much.
_TOKEN = re.compile(
    r"""\\(?P<escaped>[!-/:-@\[-`{-~])
    |(?P<code>`+)
    |(?P<maths>\$\$[^$]{1,4000}\$\$|\$(?![\s$])[^$\n]{1,1000}(?<!\s)\$(?!\d))
    |<(?P<address>(?:https?://|mailto:)[^\s<>]{1,1000}|[^\s<>@]{1,64}@[^\s<>@]{1,200})>
    |</?(?:a|b|br|center|del|em|font|i|ins|kbd|p|s|small|span|strike|strong|sub|sup|u)\b[^<>]{0,200}>
    |(?P<entity>&(?:\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)
    |(?P<open>!?\[)
    |(?P<close>\])
    |(?P<spoiler>>!(?=\S)|(?<=\S)!<)
    |(?<![\w)\]}^])\^(?P<raised>\((?=[^()\n]{1,500}\))|(?=[A-Za-z0-9"']))
    |(?P<mark>\*+|_+|~~+)
    """,
    re.VERBOSE,
)
_TARGET = re.compile(
    r"""\([ \t]*(?:<(?P<angled>[^<>\n]{0,2000})>|(?P<bare>[^\s()]{0,2000}(?:\([^\s()]{0,500}\)[^\s()]{0,500}){0,20}))
    (?:[ \t]+(?:"[^"\n]{0,500}"|'[^'\n]{0,500}'|\([^()\n]{0,500}\)))?[ \t]*\)""",
    re.VERBOSE,
)
_BRACKET = re.compile(r"!?\[|\]")
_LEADS_AWAY = re.compile(r"https?://|mailto:|www\.|[/#]", re.IGNORECASE)
_NAME = re.compile(r"[ ]?\[([^\[\]\n]{0,200})\]")
_LONGEST_NAME = 200

#: What may stand before a "_" that opens emphasis, and behind one that closes it.
_BEFORE, _BEHIND = frozenset("([{\"'*~>-—–/“‘|:,;"), frozenset(")]}\"'*~<-—–/”’|.,:;!?")


@dataclass(frozen=True)
class Inline:
    """Reads paragraphs; `names` are the names of links that are defined elsewhere in the text, in lower case."""

    names: frozenset[str] = frozenset()

    def read(self, text: str) -> str:
        """Return a paragraph without its marks, with as many line breaks as before."""
        return _Reading(text, self.names).read()


def unlinked(text: str) -> str:
    """Return Markdown with the words of links and images in their place; nothing else changes."""
    out: list[str] = []
    openers: list[tuple[int, int]] = []
    place = 0
    while bracket := _BRACKET.search(text, place):
        out.append(text[place : bracket.start()])
        place = bracket.end()
        if bracket[0] != "]":
            openers.append((len(out), place))
            out.append(bracket[0])
            continue
        opener, words = openers.pop() if openers else (None, 0)
        target = _TARGET.match(text, place) if opener is not None else None
        address = (target["angled"] or target["bare"] or "") if target is not None else ""
        if opener is None or target is None or not _LEADS_AWAY.match(address):
            out.append("]")
            continue
        # Without words, the address is what is left to say.
        out[opener] = address if words == bracket.start() else ""
        place = target.end()
    out.append(text[place:])
    return "".join(out)


@dataclass
class _Reading:
    text: str
    names: frozenset[str]
    out: list[str] = field(default_factory=list)
    #: Openers of links: where they are in `out`, and where their words begin in `text`.
    links: list[tuple[int, int]] = field(default_factory=list)
    #: Openers of emphasis by their sign, and of spoilers: where they are in `out`.
    marks: dict[str, list[int]] = field(default_factory=lambda: {"*": [], "_": [], "~": [], ">": []})
    #: The ends of superscripts in brackets, which go.
    ends: set[int] = field(default_factory=set)

    def read(self) -> str:
        text, place = self.text, 0
        runs = _runs(text)
        while token := _TOKEN.search(text, place):
            self._words(place, token.start())
            place = self._take(token, runs)
        self._words(place, len(text))
        return "".join(self.out)

    def _words(self, start: int, end: int) -> None:
        for place in sorted(self.ends):
            if place >= end:
                break
            self.out.append(self.text[start:place])
            start = place + 1
            self.ends.discard(place)
        self.out.append(self.text[start:end])

    def _take(self, token: re.Match[str], runs: dict[int, list[int]]) -> int:
        """Put what the token stands for into `out`, and return where to go on."""
        kind, end = token.lastgroup, token.end()
        if kind == "escaped":
            self.out.append(token["escaped"])
        elif kind == "code":
            return self._code(token.start(), end, runs)
        elif kind == "maths":
            self.out.append(token[0])
        elif kind == "address":
            self.out.append(token["address"].removeprefix("mailto:"))
        elif kind == "entity":
            shown = unescape(token[0])
            self.out.append(" " if shown.isspace() else shown)
        elif kind == "open":
            self.links.append((len(self.out), end))
            self.out.append(token[0])
        elif kind == "close":
            return self._close(end)
        elif kind == "spoiler":
            self._spoiler(token[0])
        elif kind == "raised":
            if token["raised"]:
                self.ends.add(self.text.index(")", end))
        elif kind == "mark":
            self._mark(token[0], token.start(), end)
        return end

    def _code(self, start: int, end: int, runs: dict[int, list[int]]) -> int:
        """Code as it is written, up to a run of as many signs; without one, the signs are text."""
        same = runs.get(end - start, [])
        following = bisect_right(same, start)
        if following == len(same):
            self.out.append(self.text[start:end])
            return end
        inner = self.text[end : same[following]]
        if inner[:1] == inner[-1:] == " " and inner.strip():
            inner = inner[1:-1]
        self.out.append(inner)
        return same[following] + end - start

    def _close(self, end: int) -> int:
        if not self.links:
            self.out.append("]")
            return end
        opener, words = self.links.pop()
        target = _TARGET.match(self.text, end)
        if target is not None:
            self.out[opener] = ""
            if words == end - 1:  # without words, the address is what is left to say
                self.out.append(target["angled"] or target["bare"] or "")
            return target.end()
        name = _NAME.match(self.text, end) if self.names else None
        own = self.text[words : end - 1].lower() if self.names and end - words <= _LONGEST_NAME else ""
        if name is not None and (name[1] or own).lower() in self.names:
            self.out[opener] = ""
            return name.end()
        if own in self.names:
            self.out[opener] = ""
        else:
            self.out.append("]")
        return end

    def _spoiler(self, sign: str) -> None:
        waiting = self.marks[">"]
        if sign == ">!":
            waiting.append(len(self.out))
            self.out.append(sign)
        elif waiting:
            self.out[waiting.pop()] = ""
        else:
            self.out.append(sign)

    def _mark(self, run: str, start: int, end: int) -> None:
        """A run of signs closes what waits, and what is left of it opens."""
        before, behind = self.text[start - 1 : start], self.text[end : end + 1]
        opens, closes = _sides(run, before, behind)
        waiting, left = self.marks[run[0]], len(run)
        while closes and left and waiting:
            place = waiting.pop()
            common = min(left, len(self.out[place]))
            self.out[place] = self.out[place][common:]
            left -= common
            if self.out[place]:
                waiting.append(place)
        if opens and left:
            waiting.append(len(self.out))
        self.out.append(run[:left])


def _sides(run: str, before: str, behind: str) -> tuple[bool, bool]:
    """Whether a run of signs may open and may close emphasis, by the characters around it."""
    opens, closes = bool(behind) and not behind.isspace(), bool(before) and not before.isspace()
    if run[0] == "_":
        opens = opens and (not before or before.isspace() or before in _BEFORE)
        closes = closes and (not behind or behind.isspace() or behind in _BEHIND)
    elif run == "*" and before.isalnum() and behind.isalnum():  # 2*3*4
        return False, False
    return opens, closes


def _runs(text: str) -> dict[int, list[int]]:
    """Where the runs of "`" begin, by their length."""
    runs: dict[int, list[int]] = {}
    for run in re.finditer("`+", text):
        runs.setdefault(len(run[0]), []).append(run.start())
    return runs
