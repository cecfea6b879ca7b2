"""How many characters a reader sees of many bodies at once; one by one it is `text.clean.visible_chars`.

Of HTML in ASCII nothing is taken out to be counted: the places of its angle brackets and ampersands say how long its
tags and references are.

      <p>a &lt; b</p>
      ---  ----  ----    tags; a reference, which shows one character; the blank end is stepped over
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from shp_miner.text.clean import BLANK, visible_chars

_Places = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]
_Bytes = npt.NDArray[np.uint8]

#: How images begin, which count; a body that has one is counted alone.
_IMAGE = r"(?i)<img\b"
_TAG = r"<[^>]*>"
#: References that most HTML has; a body with any other is counted alone.
_REFERENCES = {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"'}

_IS_BLANK = np.isin(np.arange(256), np.frombuffer(BLANK.encode("ascii", "ignore"), np.uint8))
#: Tags and blanks that are stepped over at an end of a body, at most; a body that has more is counted alone.
_STEPS = 32
#: Bytes that are compared at once: what comes out of it stays in the processor's cache.
_AT_ONCE = 1 << 17


def visible_lengths(bodies: pl.Series, body_format: str) -> pl.Series:
    """Characters of each body (Int32), as `visible_chars` counts them; not for the format "reddit"."""
    if body_format == "html":
        return _html_lengths(bodies)
    return bodies.str.strip_chars(BLANK).str.len_chars().cast(pl.Int32)


def _html_lengths(bodies: pl.Series) -> pl.Series:
    ascii_only = (bodies.str.len_bytes() == bodies.str.len_chars()).to_numpy()
    image = bodies.str.contains(_IMAGE).to_numpy()
    lengths = np.full(len(bodies), -1, np.int64)
    for rows, count in ((ascii_only & ~image, _ascii_lengths), (~ascii_only & ~image, _other_lengths)):
        if rows.any():
            lengths[rows] = count(bodies if rows.all() else bodies.filter(pl.Series(rows)))
    alone = lengths < 0
    if alone.any():
        lengths[alone] = [visible_chars(body, "html") for body in bodies.filter(pl.Series(alone))]
    return pl.Series(bodies.name, lengths).cast(pl.Int32)


def _other_lengths(bodies: pl.Series) -> _Places:
    """The lengths of bodies without images, -1 where one has to be counted alone."""
    marked = bodies.str.replace_all(_TAG, "")
    known = marked.str.count_matches("&(?:lt|gt|amp|quot);")
    alone = marked.str.count_matches("&", literal=True) != known
    shown = marked.str.replace_many(list(_REFERENCES), list(_REFERENCES.values()))
    lengths = shown.str.strip_chars(BLANK).str.len_chars().cast(pl.Int64)
    return lengths.set(alone, -1).to_numpy()


def _ascii_lengths(bodies: pl.Series) -> _Places:
    """As `_other_lengths`, of bodies that are ASCII."""
    raw, bounds = _joined(bodies)
    places = _marks(raw)
    signs = raw[places]
    is_reference = signs == ord("&")
    tags = _tags(places[~is_reference], signs[~is_reference], bounds)
    saved, alone = _saved(raw, places[is_reference], tags, bounds)
    lengths = np.diff(bounds) - _summed(tags.ends - tags.begins, tags.whose, len(bodies)) - saved
    blank, more = _blank_ends(raw, tags, bounds)
    lengths -= blank
    lengths[alone | more] = -1
    return lengths


def _joined(texts: pl.Series) -> tuple[_Bytes, _Places]:
    """All texts one after the other, and where each begins, with the end of the last."""
    array: Any = texts.rechunk().to_arrow()
    if not pa.types.is_large_string(array.type):
        array = array.cast(pa.large_string())
    _, places, data = array.buffers()
    bounds = np.frombuffer(places, np.int64)[array.offset : array.offset + len(array) + 1]
    raw = np.frombuffer(data if data is not None else b"", np.uint8)
    return raw[bounds[0] : bounds[-1]], bounds - bounds[0]


def _marks(raw: _Bytes) -> _Places:
    """Where there is one of "<", ">" and "&"."""
    found = []
    for at in range(0, len(raw), _AT_ONCE):
        part = raw[at : at + _AT_ONCE]
        # "<" and ">" differ in one bit.
        found.append(np.flatnonzero(((part & 0xFD) == ord("<")) | (part == ord("&"))) + at)
    return np.concatenate(found) if found else np.empty(0, np.int64)


@dataclass(frozen=True)
class _Tags:
    """The tags of all bodies in their order: where they begin and end, and whose they are."""

    begins: _Places
    ends: _Places
    whose: _Places


def _tags(places: _Places, signs: _Bytes, bounds: _Places) -> _Tags:
    """What `<[^>]*>` finds: the first "<" behind a tag, up to the next ">" of its body."""
    whose = np.repeat(np.arange(len(bounds) - 1), np.diff(np.searchsorted(places, bounds)))
    opens = signs == ord("<")
    in_tag = np.zeros(len(places), bool)
    in_tag[1:] = opens[:-1] & (whose[1:] == whose[:-1])
    first, last = np.flatnonzero(opens & ~in_tag), np.flatnonzero(~opens & in_tag)
    begun = first[np.searchsorted(first, last) - 1]
    return _Tags(places[begun], places[last] + 1, whose[last])


def _summed(values: _Places, whose: _Places, rows: int) -> _Places:
    return np.bincount(whose, values, rows).astype(np.int64)


def _saved(raw: _Bytes, places: _Places, tags: _Tags, bounds: _Places) -> tuple[_Places, _Mask]:
    """By how much references outside of tags make each body shorter, and which bodies have one that is not common."""
    rows = len(bounds) - 1
    if len(tags.begins) and len(places):
        before = np.searchsorted(tags.begins, places, "right") - 1
        places = places[(before < 0) | (tags.ends[before] <= places)]
    whose = np.searchsorted(bounds, places, "right") - 1
    saved, known = np.zeros(len(places), np.int64), np.zeros(len(places), bool)
    left = bounds[whose + 1] - places
    for reference in _REFERENCES:
        size = len(reference)
        here = left >= size
        for at, byte in enumerate(reference.encode()[1:], 1):
            here &= raw[np.minimum(places + at, len(raw) - 1)] == byte
        known |= here
        saved[here] = size - 1
    alone = np.zeros(rows, bool)
    alone[whose[~known]] = True
    return _summed(saved, whose, rows), alone


def _blank_ends(raw: _Bytes, tags: _Tags, bounds: _Places) -> tuple[_Places, _Mask]:
    """How many blanks each body has at its ends, tags left out, and which bodies have more than were stepped over."""
    rows = len(bounds) - 1
    at, blank = bounds[:-1].copy(), np.zeros(rows, np.int64)
    end = bounds[1:].copy()
    # The numbers of the tags that come next, from the front and from the back.
    first = np.searchsorted(tags.whose, np.arange(rows))
    last = np.searchsorted(tags.whose, np.arange(rows), "right") - 1
    begins, ends = np.append(tags.begins, -1), np.append(tags.ends, -1)
    more = np.zeros(rows, bool)
    going = np.flatnonzero(at < end)
    for _ in range(_STEPS):
        is_tag = begins[first[going]] == at[going]
        is_blank = ~is_tag & _IS_BLANK[raw[at[going]]]
        blank[going] += is_blank
        at[going] = np.where(is_tag, ends[first[going]], at[going] + is_blank)
        first[going] += is_tag
        going = going[(is_tag | is_blank) & (at[going] < end[going])]
    more[going] = True
    going = np.flatnonzero(at < end)
    for _ in range(_STEPS):
        is_tag = ends[last[going]] == end[going]
        is_blank = ~is_tag & _IS_BLANK[raw[end[going] - 1]]
        blank[going] += is_blank
        end[going] = np.where(is_tag, begins[last[going]], end[going] - is_blank)
        last[going] -= is_tag
        going = going[(is_tag | is_blank) & (at[going] < end[going])]
    more[going] = True
    return blank, more
