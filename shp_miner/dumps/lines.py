"""Many lines as one text with numbers beside it. A line becomes an object only when it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import stringzilla as sz

from shp_miner.dumps.bytes_at import places_of

T = TypeVar("T")

Places = npt.NDArray[np.int64]

#: What a decoder raises for a line that it does not read.
_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

#: The greatest byte that white space has.
_BLANK = 0x20


class Lines:
    """Lines of a file in their order.

    `text` has them with their ends, `offsets` where each begins in the decompressed file, and `starts` where in `text`,
    with the length of `text` as the last.
    """

    def __init__(self, text: bytes, offsets: Places, starts: Places) -> None:
        self.text, self.offsets, self.starts = text, offsets, starts

    def __len__(self) -> int:
        return len(self.offsets)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Each line without its end, after its offset."""
        for offset, (start, stop) in zip(self.offsets.tolist(), pairwise(self.starts.tolist()), strict=True):
            yield offset, self.text[start : stop - 1]

    def part(self, first: int, stop: int) -> Lines:
        """The lines from `first` to before `stop`."""
        begin, end = self.starts[first], self.starts[stop]
        return Lines(self.text[begin:end], self.offsets[first:stop], self.starts[first : stop + 1] - begin)

    def where(self, kept: npt.NDArray[np.bool_]) -> Lines:
        """The lines at which `kept` is true."""
        own = cut_lines(0, self.text, self.starts[:-1][kept], self.starts[1:][kept] - 1)
        return Lines(own.text, self.offsets[kept], own.starts)

    def at(self, index: int) -> tuple[int, bytes]:
        """The offset of a line, and the line without its end."""
        return int(self.offsets[index]), self.text[self.starts[index] : self.starts[index + 1] - 1]


def decoded(lines: Lines, decoder: msgspec.json.Decoder[T], at_once: int) -> tuple[list[T], list[int]]:
    """The records of the lines that a strict decoder reads, and the numbers of those lines.

    Lines are read `at_once` together; where the decoder refuses one, each of them is read alone.
    """
    records: list[T] = []
    numbers: list[int] = []
    for first in range(0, len(lines), at_once):
        stop = min(first + at_once, len(lines))
        part = lines.part(first, stop)
        try:
            found = decoder.decode_lines(part.text)
        except _REFUSED:
            found = []
        if len(found) == len(part):
            records += found
            numbers += range(first, stop)
            continue
        for index, (_, line) in enumerate(part, first):
            with suppress(*_REFUSED):
                records.append(decoder.decode(line))
                numbers.append(index)
    return records, numbers


def all_lines(offset: int, text: bytes | memoryview) -> Lines:
    """The lines of a block that are not blank."""
    starts, ends = line_bounds(text)
    first = np.frombuffer(text, np.uint8)[np.minimum(starts, len(text) - 1)]
    if (first > _BLANK).all():
        if isinstance(text, bytes) and ends[-1] < len(text):
            return Lines(text, starts + offset, np.append(starts, len(text)))
        return cut_lines(offset, text, starts, ends)
    kept = [bool(bytes(text[start:end]).strip()) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    return cut_lines(offset, text, starts[kept], ends[kept])


def cut_lines(offset: int, text: bytes | memoryview, starts: Places, ends: Places) -> Lines:
    """The lines of a block that begin at `starts` and end before `ends`."""
    # Neighbours are copied together.
    apart = starts[1:] != ends[:-1] + 1
    first, last = starts[np.insert(apart, 0, values=True)[: len(starts)]], ends[np.append(apart, True)[: len(ends)]]
    view = memoryview(text)
    own = b"\n".join([*(view[start:end] for start, end in zip(first.tolist(), last.tolist(), strict=True)), b""])
    return Lines(own, starts + offset, np.concatenate([[0], np.cumsum(ends - starts + 1)]))


def of_places(places: Sequence[tuple[int, bytes]]) -> Lines:
    """Lines given one by one, each with its offset."""
    ends = np.cumsum([0, *(len(line) + 1 for _, line in places)])
    return Lines(b"".join(line + b"\n" for _, line in places), np.array([at for at, _ in places], np.int64), ends)


def joined_lines(parts: Sequence[Lines]) -> Lines:
    """The lines of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    places = np.cumsum([0, *(len(part.text) for part in parts)])
    starts = [part.starts[:-1] + place for part, place in zip(parts, places[:-1], strict=True)]
    return Lines(
        b"".join([part.text for part in parts]),
        np.concatenate([part.offsets for part in parts]),
        np.concatenate([*starts, places[-1:]]),
    )


def line_bounds(text: bytes | memoryview) -> tuple[Places, Places]:
    """Where the lines of a block begin and end; the last one may lack its end."""
    ends = places_of(text, b"\n")
    if not len(ends) or ends[-1] != len(text) - 1:
        ends = np.append(ends, len(text))
    return np.concatenate([[0], ends[:-1] + 1]), ends


def positions_of(text: bytes | memoryview, needle: bytes) -> Places:
    """Return the positions of `needle` in the text, at the speed of a native search."""
    whole = sz.Str(text)
    after = np.fromiter((piece.address for piece in whole.split(needle)), np.int64)
    # A piece begins behind a needle, but for the first.
    found: Places = after[1:] - (whole.address + len(needle))
    return found
