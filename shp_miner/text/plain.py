"""Markdown as plain text, in time proportional to its length.

Marks of emphasis, headings, links, spoilers and superscripts go, and their words stay. Code and maths stay as they were
written. Quotes keep "> " and items of lists "- ", so that a reader still sees who says what. A mark without its partner
stays, because it is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from shp_miner.text.inline import Inline

_QUOTE = re.compile(r"(?: {0,3}>(?!!))+ ?")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})([^`\n]*)$")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")
_DIVIDER = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+|$)")
_ITEM = re.compile(r"([ \t]*)([*+-]|\d{1,9}[.)])(?:[ \t]+|$)")
_INDENTED = re.compile(r" {4}|\t")
_DEFINITION = re.compile(
    r"^ {0,3}\[([^\[\]\n^][^\[\]\n]{0,199})\]:[ \t]*\S+[ \t]*(?:\"[^\"\n]*\"|'[^'\n]*')?[ \t]*$", re.M
)
_CELLS = re.compile(r"(?<!\\)\|")

#: Quotes in quotes that are still marked, each.
_NESTED = 10


def plain_text(markdown: str) -> str:
    """Return the words of Markdown as a reader sees them, line by line."""
    names = frozenset(name.lower() for name in _DEFINITION.findall(markdown)) if "]:" in markdown else frozenset()
    blocks = _Blocks(Inline(names))
    for line in markdown.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        blocks.take(line)
    blocks.flush()
    return "\n".join(blocks.lines)


@dataclass
class _Line:
    """A line of an open paragraph: the quotes it is in, what stands before its text, and the text."""

    quoted: str
    mark: str
    text: str


@dataclass
class _Blocks:
    """The lines of a text one by one: those of the open paragraph wait until it ends."""

    inline: Inline
    lines: list[str] = field(default_factory=list)
    waiting: list[_Line] = field(default_factory=list)
    fence: str = ""
    in_list: bool = False
    in_table: bool = False

    def take(self, line: str) -> None:
        found = _QUOTE.match(line)
        quoted = "> " * min(found[0].count(">"), _NESTED) if found else ""
        rest = line[found.end() :] if found else line
        fence = _FENCE.match(rest)
        if self.fence:
            if fence and fence[1].startswith(self.fence) and not fence[2].strip():
                self.fence = ""
            else:
                self.lines.append(quoted + rest)
        elif fence:
            self.flush()
            self.fence = fence[1]
        elif not rest.strip():
            self.flush()
            self.lines.append(quoted.rstrip())
        elif not self._is_mark(rest):
            self._take_text(quoted, rest)

    def _is_mark(self, rest: str) -> bool:
        """Whether the line only marks what is around it, and says nothing."""
        if self.waiting and "|" in rest and "|" in self.waiting[-1].text and _DIVIDER.match(rest):
            header = self.waiting.pop()
            self.flush()
            header.text, self.in_table = _row(header.text), True
            self.waiting.append(header)
            return True
        if (self.waiting and _UNDERLINE.match(rest)) or _RULE.match(rest):
            self.flush()
            return True
        return not self.waiting and bool(_DEFINITION.match(rest))

    def _take_text(self, quoted: str, rest: str) -> None:
        if self.waiting and self.waiting[-1].quoted != quoted:
            self.flush()
        indented = rest[:1].isspace()
        if not self.waiting and not indented:
            self.in_list = False
        if not self.waiting and not self.in_list and _INDENTED.match(rest):
            self.lines.append(quoted + rest)
            return
        item, heading = _ITEM.match(rest), _HEADING.match(rest)
        if item:
            self.flush()
            self.in_list = True
            mark = "-" if item[2] in "*+" else item[2]
            self.waiting.append(_Line(quoted, f"{quoted}{item[1]}{mark} ", rest[item.end() :]))
        elif heading:
            self.flush()
            self.waiting.append(_Line(quoted, quoted, _without_end(rest[heading.end() :])))
            self.flush()
        else:
            text = _row(rest) if self.in_table else rest if self.in_list else rest.lstrip()
            self.waiting.append(_Line(quoted, quoted, text))

    def flush(self) -> None:
        """End the paragraph: its lines are read together, because marks may span them."""
        if self.waiting:
            texts = self.inline.read("\n".join(line.text for line in self.waiting)).split("\n")
            self.lines.extend(line.mark + text for line, text in zip(self.waiting, texts, strict=True))
        self.waiting, self.in_table = [], False


def _row(line: str) -> str:
    """A row of a table without its outer bars."""
    line = line.strip().removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return " | ".join(cell.strip() for cell in _CELLS.split(line))


def _without_end(heading: str) -> str:
    """A heading without the signs that may close it."""
    heading = heading.rstrip()
    bare = heading.rstrip("#")
    return bare.rstrip() if not bare or bare[-1].isspace() else heading
