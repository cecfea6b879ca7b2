"""The scores of a site's posts as they were some days after writing, rebuilt from Votes.xml.

A vote in the dump has a day and no time of day, so a score can be rebuilt exactly only for a day's beginning. Memory is
bounded: votes are packed into 8 bytes each, and every so many of them are sorted and go to a temporary file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

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

#: Votes held in memory before they go to a file: 128 MB.
_RUN = 1 << 24


class Reading(msgspec.Struct, frozen=True):
    """A post's score at a time (microseconds since 1970), and whether it was accepted by then."""

    observed_us: int
    score: int
    accepted: bool


class Votes:
    """The votes of a site: taken in one by one, then asked for post by post."""

    def __init__(self, run: int = _RUN) -> None:
        self._run = run
        self._waiting = np.empty(min(run, 1 << 16), np.int64)
        self._count = 0
        self._runs: list[npt.NDArray[np.int64]] = []

    def learn(self, attributes: dict[str, str]) -> None:
        """Take in a row of Votes.xml. Raises Lost where a vote that counts has no possible post or day."""
        kind = _KINDS.get(text_of(attributes, "VoteTypeId"))
        if kind is None:
            return
        post, moment_us = id_attribute(attributes, "PostId"), time_us(text_of(attributes, "CreationDate"))
        if moment_us is None or moment_us < 0:
            raise Lost("bad_time", f"CreationDate {attributes['CreationDate']!r:.40} is not a time")
        if post >= _POST_MAX:
            raise Lost("bad_id", f"PostId {post} is not the id of a post")
        if self._count == self._run:
            self._spill()
        if self._count == len(self._waiting):
            self._waiting = np.resize(self._waiting, min(self._run, 2 * len(self._waiting)))
        self._waiting[self._count] = post << _POST_SHIFT | moment_us // _DAY_US << _DAY_SHIFT | kind
        self._count += 1

    def settle(self) -> None:
        """Sort the last ones in; only then are they found."""
        self._runs.append(np.sort(self._waiting[: self._count]))
        self._count = 0

    def readings(self, post: int, created_us: int, before_us: int) -> Iterator[Reading]:
        """What the post's score was at each of AGES_DAYS after it was written, as far as that is before `before_us`."""
        votes = np.sort(np.concatenate([_of_post(run, post) for run in self._runs]))
        kinds = votes & (1 << _DAY_SHIFT) - 1
        gains = np.cumsum((kinds == _UP).astype(np.int64) - (kinds == _DOWN))
        accepted = kinds == _ACCEPTED
        written = created_us // _DAY_US
        for age in AGES_DAYS:
            day = written + age + 1
            if day * _DAY_US >= before_us:
                return
            until = np.searchsorted(votes, post << _POST_SHIFT | day << _DAY_SHIFT)
            yield Reading(day * _DAY_US, int(gains[until - 1]) if until else 0, bool(accepted[:until].any()))

    def total(self, post: int) -> int:
        """Ups less downs of all votes for the post."""
        kinds = np.concatenate([_of_post(run, post) for run in self._runs]) & (1 << _DAY_SHIFT) - 1
        return int((kinds == _UP).sum() - (kinds == _DOWN).sum())

    def _spill(self) -> None:
        self._waiting.sort()
        # Without a name in any folder: it vanishes with the process, however that ends.
        with tempfile.TemporaryFile() as file:
            self._waiting.tofile(file)
            file.flush()
            self._runs.append(np.memmap(file, np.int64, "r"))
        self._count = 0


def _of_post(run: npt.NDArray[np.int64], post: int) -> npt.NDArray[np.int64]:
    first, end = np.searchsorted(run, [post << _POST_SHIFT, (post + 1) << _POST_SHIFT])
    return run[first:end]
