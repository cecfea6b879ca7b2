"""The fields of many Reddit records at once, as text: one schema for the files of every year.

What is a number in one year's files is text or a decimal in another's, so a parser of tables (polars) is asked for text
and makes it of numbers and flags too. Lines that it cannot read are found without it, and the others stay together.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import stringzilla as sz

from shp_miner.dumps.lines import Lines, decoded, joined_lines, positions_of
from shp_miner.platforms.reddit import DECODERS

#: Fields that hold text or nothing in every year.
TEXTS: Final = {
    "answer": ("id", "subreddit", "author", "distinguished", "body", "link_id"),
    "post": (
        "id", "subreddit", "author", "distinguished", "selftext", "title", "permalink", "domain", "removed_by_category",
    ),
}  # fmt: skip
#: Fields that say yes or no.
FLAGS: Final = {"answer": ("stickied", "is_submitter", "score_hidden"), "post": ("stickied", "is_self", "over_18")}
META_FLAGS: Final = ("is_edited", "was_deleted_later", "was_initially_deleted")
#: Fields that hold a number, text, or something else.
_MIXED = {
    "answer": ("score", "created_utc", "retrieved_on", "retrieved_utc", "edited", "parent_id"),
    "post": ("score", "created_utc", "retrieved_on", "retrieved_utc", "edited", "upvote_ratio"),
}
_META = pl.Struct(dict.fromkeys(("retrieved_2nd_on", *META_FLAGS, "removal_type"), pl.String))
_SCHEMAS: dict[str, dict[str, pl.DataType | type[pl.DataType]]] = {
    kind: {**dict.fromkeys((*TEXTS[kind], *FLAGS[kind], *_MIXED[kind]), pl.String), "_meta": _META} for kind in TEXTS
}

#: Lines that the strict decoder reads at once to find the few that it refuses.
_AT_ONCE = 64
#: A batch that cannot be read as a table is halved until at most so many lines are left.
_FEW = 16

_OPEN, _CLOSE, _BLANK = ord("{"), ord("}"), 0x20


def fields_of(kind: str, lines: Lines) -> tuple[pl.DataFrame, Lines, list[tuple[int, bytes]]]:
    """The fields of the lines as a table of text, null where one is missing; its lines; and the lines not in it."""
    whole = _whole(lines)
    odd = [lines.at(index) for index in np.flatnonzero(~whole).tolist()]
    lines = lines if whole.all() else lines.where(whole)
    frame = _parsed(kind, lines)
    if frame is None:
        fine = _decoded(kind, lines)
        if fine.any() and not fine.all():
            odd += [lines.at(index) for index in np.flatnonzero(~fine).tolist()]
            lines = lines.where(fine)
            frame = _parsed(kind, lines)
    if frame is None and len(lines) > _FEW:
        half = len(lines) // 2
        return _joined([fields_of(kind, part) for part in (lines.part(0, half), lines.part(half, len(lines)))], odd)
    if frame is None:
        return pl.DataFrame(), lines.part(0, 0), odd + list(lines)
    text = _of_text(kind, lines, frame)
    if text.all():
        return frame, lines, odd
    odd += [lines.at(index) for index in np.flatnonzero(~text).tolist()]
    return frame.filter(text), lines.where(text), odd


def may_be_unsound(text: bytes) -> bool:
    """Whether the lines may hold a NUL or half of a character: the parser makes a NUL of either."""
    return any(sz.find(text, mark) >= 0 for mark in (rb"\u0000", b"\0", rb"\ud", rb"\uD"))


def _joined(
    parts: list[tuple[pl.DataFrame, Lines, list[tuple[int, bytes]]]], odd: list[tuple[int, bytes]]
) -> tuple[pl.DataFrame, Lines, list[tuple[int, bytes]]]:
    read = [(frame, lines) for frame, lines, _ in parts if frame.height]
    odd = odd + [line for _, _, lines in parts for line in lines]
    if not read:
        return pl.DataFrame(), parts[0][1].part(0, 0), odd
    return pl.concat(frame for frame, _ in read), joined_lines([lines for _, lines in read]), odd


def _whole(lines: Lines) -> npt.NDArray[np.bool_]:
    """Which lines begin and end as an object does. One that was cut off is told so without being parsed."""
    text = np.frombuffer(lines.text, np.uint8)
    first, last = text[lines.starts[:-1]], text[np.maximum(lines.starts[1:] - 2, 0)]
    whole: npt.NDArray[np.bool_] = (first == _OPEN) & (last == _CLOSE)
    for index in np.flatnonzero(~whole & ((first <= _BLANK) | (last <= _BLANK))).tolist():
        line = lines.at(index)[1].strip()
        whole[index] = line.startswith(b"{") and line.endswith(b"}")
    return whole


def _parsed(kind: str, lines: Lines) -> pl.DataFrame | None:
    """The fields of the lines, or None if any line is no object of JSON with the fields that a table can hold."""
    if not len(lines):
        return pl.DataFrame(schema=_SCHEMAS[kind])
    try:
        frame = pl.read_ndjson(lines.text, schema=_SCHEMAS[kind])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    return frame if frame.height == len(lines) else None


def _decoded(kind: str, lines: Lines) -> npt.NDArray[np.bool_]:
    """Which lines a strict decoder reads."""
    fine = np.zeros(len(lines), bool)
    fine[decoded(lines, DECODERS[kind], _AT_ONCE)[1]] = True
    return fine


def _of_text(kind: str, lines: Lines, frame: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Which lines have text in their fields of text: the parser makes it of numbers and lists too."""
    fine = np.ones(len(lines), bool)
    for name in TEXTS[kind]:
        missing = frame[name].is_null()
        keys = [f'"{name}"'.encode() + style + b'"' for style in (b":", b": ")]
        # Text of the file itself stands in quotes. Counting is a fraction of finding, and mostly enough.
        if max(int(sz.count(lines.text, key)) for key in keys) < frame.height - int(missing.sum()):
            quoted = missing.to_numpy().copy()
            for key in keys:
                quoted[np.searchsorted(lines.starts, positions_of(lines.text, key), "right") - 1] = True
            fine &= quoted
    return fine
