"""What Votes.xml says of a site's posts: votes for and against, when an answer was accepted, and earlier scores.

A vote in the dump has a day and no time of day, so a score can be rebuilt exactly only for a day's beginning. Memory is
bounded: votes are packed into 8 bytes each, and every so many of them are sorted and go to a temporary file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.dumps.stackexchange_columns import Columns
from shp_miner.dumps.stackexchange_values import id_attribute, text_of, time_us
from shp_miner.tally import Lost

#: Whole days after the day of writing after which a score is rebuilt. It is that of the midnight which ends the last of
#: them, so that the item is then between so many days old and one more.
AGES_DAYS = (1, 2, 3, 7, 14, 30, 90, 365)

#: VoteTypeId of what is kept, and how it is packed: accepted by the asker, down, up.
_KINDS = {"1": 0, "3": 1, "2": 2}
_ACCEPTED, _DOWN, _UP = 0, 1, 2

_DAY_US = 86_400 * 1_000_000
_POST_SHIFT, _DAY_SHIFT = 24, 2
_POST_MAX = 1 << (63 - _POST_SHIFT)
_KIND_BITS = (1 << _DAY_SHIFT) - 1

#: Texts of days that are remembered: those of a century.
_DAYS_KEPT = 36_600

_Votes = npt.NDArray[np.int64]

#: Votes held in memory before they go to a file: 128 MB.
_RUN = 1 << 24


class Reading(msgspec.Struct, frozen=True):
    """A post's votes at a time (microseconds since 1970), and when it had been accepted by then, null if not."""

    observed_us: int
    upvotes: int
    downvotes: int
    accepted_us: int | None

    @property
    def score(self) -> int:
        """Votes for the post less those against it."""
        return self.upvotes - self.downvotes


class Counted(msgspec.Struct, frozen=True):
    """All votes for a post and against it, and the day on which it was accepted (its start), null if nobody did."""

    upvotes: int
    downvotes: int
    accepted_us: int | None


@dataclass(frozen=True)
class Counts:
    """The same of many posts, as whole numbers; accepted_us is -1 where nobody accepted."""

    upvotes: npt.NDArray[np.int64]
    downvotes: npt.NDArray[np.int64]
    accepted_us: npt.NDArray[np.int64]


class Votes:
    """The votes of a site: taken in, then asked for by post."""

    def __init__(self, run: int = _RUN) -> None:
        self._run = run
        self._waiting = np.empty(min(run, 1 << 16), np.int64)
        self._count = 0
        self._runs: list[npt.NDArray[np.int64]] = []
        self._votes = np.empty(0, np.int64)
        self._day_of: dict[str, int] = {}

    def learn(self, attributes: dict[str, str]) -> None:
        """Take in a row of Votes.xml. Raises Lost where a vote that counts has no possible post or day."""
        kind = _KINDS.get(text_of(attributes, "VoteTypeId"))
        if kind is None:
            return
        post, text = id_attribute(attributes, "PostId"), text_of(attributes, "CreationDate")
        day = self._day_of.get(text)
        if day is None:
            day = self._day(text)
        if post >= _POST_MAX:
            raise Lost("bad_id", f"PostId {post} is not the id of a post")
        self._add(np.array([post << _POST_SHIFT | day << _DAY_SHIFT | kind]))

    def learn_columns(self, columns: Columns) -> list[int]:
        """Take in usual rows of Votes.xml; the numbers of the others are returned, to be learned one by one."""
        kinds = columns.text("VoteTypeId").replace_strict(_KINDS, default=-1, return_dtype=pl.Int64)
        counts = ((kinds >= 0) | columns.text("VoteTypeId").is_null()).to_numpy()
        posts = columns.text("PostId").cast(pl.Int64, strict=False).fill_null(0).to_numpy()
        texts = columns.text("CreationDate")
        days_of = {text: self._possible_day(text) for text in texts.unique() if text is not None}
        days = texts.replace_strict(days_of, default=-1, return_dtype=pl.Int64).fill_null(-1).to_numpy()
        fine = counts & (kinds.to_numpy() >= 0) & (posts > 0) & (posts < _POST_MAX) & (days >= 0)
        self._add((posts << _POST_SHIFT | days << _DAY_SHIFT | kinds.to_numpy())[fine])
        return np.flatnonzero(counts & ~fine).tolist()

    def _add(self, packed: _Votes) -> None:
        while len(packed):
            if self._count == self._run:
                self._spill()
            piece, packed = packed[: self._run - self._count], packed[self._run - self._count :]
            size = self._count + len(piece)
            if size > len(self._waiting):
                self._waiting = np.resize(self._waiting, min(self._run, max(size, 2 * len(self._waiting))))
            self._waiting[self._count : size] = piece
            self._count = size

    def _possible_day(self, text: str) -> int:
        try:
            return self._day(text) if text not in self._day_of else self._day_of[text]
        except Lost:
            return -1

    def settle(self) -> None:
        """Sort all of them; only then are they found."""
        self._runs.append(np.sort(self._waiting[: self._count]))
        self._count = 0
        self._votes = self._runs[0] if len(self._runs) == 1 else _merged(self._runs, self._run)
        self._runs.clear()

    def readings(self, post: int, created_us: int, before_us: int) -> Iterator[Reading]:
        """What the post's score was at each of AGES_DAYS after it was written, as far as that is before `before_us`."""
        first, end = np.searchsorted(self._votes, [post << _POST_SHIFT, (post + 1) << _POST_SHIFT])
        votes = self._votes[first:end]
        kinds = votes & _KIND_BITS
        up, down = np.cumsum(kinds == _UP), np.cumsum(kinds == _DOWN)
        accepted = _days(votes[kinds == _ACCEPTED])
        written = created_us // _DAY_US
        for age in AGES_DAYS:
            day = written + age + 1
            if day * _DAY_US >= before_us:
                return
            until = np.searchsorted(votes, post << _POST_SHIFT | day << _DAY_SHIFT)
            counts = (int(up[until - 1]), int(down[until - 1])) if until else (0, 0)
            chosen = accepted[accepted < day]
            yield Reading(day * _DAY_US, *counts, int(chosen[-1]) * _DAY_US if len(chosen) else None)

    def counts(self, posts: npt.NDArray[np.int64]) -> Counts:
        """What each of the posts got, whatever number it is. Many are looked up as fast as one."""
        ids = np.where((posts >= 0) & (posts < _POST_MAX - 1), posts, -1)
        first = np.searchsorted(self._votes, ids << _POST_SHIFT)
        sizes = np.searchsorted(self._votes, (ids + 1) << _POST_SHIFT) - first
        begins = np.cumsum(sizes) - sizes
        votes = np.asarray(self._votes[np.repeat(first - begins, sizes) + np.arange(sizes.sum())])
        whose, kinds = np.repeat(np.arange(len(ids)), sizes), votes & _KIND_BITS
        up, down = (np.bincount(whose[kinds == kind], minlength=len(ids)) for kind in (_UP, _DOWN))
        accepted_us = np.full(len(ids), -1, np.int64)
        accepted_us[whose[kinds == _ACCEPTED]] = _days(votes[kinds == _ACCEPTED]) * _DAY_US
        return Counts(up, down, accepted_us)

    def counted(self, posts: Sequence[int]) -> list[Counted]:
        """What each of the posts got, one by one."""
        found = self.counts(np.array([post if 0 <= post < _POST_MAX - 1 else -1 for post in posts], np.int64))
        columns = (found.upvotes.tolist(), found.downvotes.tolist(), found.accepted_us.tolist())
        return [Counted(up, down, None if day < 0 else day) for up, down, day in zip(*columns, strict=True)]

    def _day(self, text: str) -> int:
        """The day of a time, kept because all votes of a day say the same. Raises Lost."""
        moment_us = time_us(text)
        if moment_us is None or moment_us < 0:
            raise Lost("bad_time", f"CreationDate {text!r:.40} is not a time")
        day = moment_us // _DAY_US
        if len(self._day_of) < _DAYS_KEPT:
            self._day_of[text] = day
        return day

    def _spill(self) -> None:
        self._waiting.sort()
        self._runs.append(_on_disk([self._waiting]))
        self._count = 0


def _merged(runs: Sequence[_Votes], size: int) -> _Votes:
    """All votes of sorted runs in one, in the memory that about `size` of them take."""
    # Every so many votes of each run stand for those after them, so the pieces between the edges are about equal.
    step = max(1, size // 64)
    edges = np.sort(np.concatenate([run[::step] for run in runs]))[size // step :: size // step]
    cuts = [[0, *np.searchsorted(run, edges).tolist(), len(run)] for run in runs]
    return _on_disk(
        np.sort(np.concatenate([run[cut[n] : cut[n + 1]] for run, cut in zip(runs, cuts, strict=True)]))
        for n in range(len(edges) + 1)
    )


def _on_disk(parts: Iterable[_Votes]) -> _Votes:
    # Without a name in any folder: it vanishes with the process, however that ends.
    with tempfile.TemporaryFile() as file:
        for part in parts:
            part.tofile(file)
        file.flush()
        return np.memmap(file, np.int64, "r")


def _days(votes: _Votes) -> _Votes:
    return votes >> _DAY_SHIFT & (1 << (_POST_SHIFT - _DAY_SHIFT)) - 1
