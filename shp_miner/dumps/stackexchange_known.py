"""What the first pass over a Stack Exchange site learns: its newest date, accepted answers, names, and the votes."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from shp_miner.dumps.stackexchange_values import WHOLE, number_attribute, time_us
from shp_miner.dumps.stackexchange_votes import Votes
from shp_miner.dumps.stackexchange_xml import Row
from shp_miner.tally import Damage, Lost, Tally

#: A question and an answer that are planted in every dump.
DECOYS = frozenset({"1000000001", "1000000010"})

_DATES = ("CreationDate", "LastActivityDate", "LastEditDate", "LastAccessDate", "ClosedDate", "CommunityOwnedDate")


class Ids:
    """A set of whole numbers at 8 bytes each: sorted ones, and new ones that wait to be sorted in."""

    _WAITING_MAX = 1 << 20

    def __init__(self) -> None:
        self._sorted, self._waiting = array("q"), array("q")

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, number: int) -> None:
        """Take a number in."""
        self._waiting.append(number)
        if len(self._waiting) >= self._WAITING_MAX:
            self.settle()

    def settle(self) -> None:
        """Sort the new ones in; only then are they found."""
        merged = np.union1d(np.asarray(self._sorted), np.asarray(self._waiting))
        self._sorted, self._waiting = array("q", merged.astype(np.int64).tobytes()), array("q")

    def index(self, number: int) -> int | None:
        """The place of `number` among all in their order, or None."""
        place = bisect_left(self._sorted, number)
        return place if place < len(self._sorted) and self._sorted[place] == number else None


class Known:
    """What the first pass learns of a site."""

    def __init__(self, latest_us: int, tally: Tally, votes: Votes | None) -> None:
        self.latest_us, self._tally, self.votes = latest_us, tally, votes
        self.newest_us: int | None = None
        self._newest_text = ""
        self.accepted, self._posters = Ids(), Ids()
        # Where each poster's name begins in _names (0 where it is not known); each name ends in NUL, which XML has not.
        self._name_at: array[int] | None = None
        self._names = bytearray(b"\0")

    def learn(self, where: str, table: str, found: Sequence[Row]) -> None:
        """Take in rows of a table."""
        for offset, attributes in found:
            if table == "users":
                self._user(where, offset, attributes)
            elif table == "posts":
                if attributes.get("Id") in DECOYS:
                    continue
                self._post(attributes)
            elif self.votes is not None:
                self._vote(where, offset, attributes)
            self._date(attributes)

    def settle(self) -> None:
        """Make what was learned ready to be asked for."""
        self.accepted.settle()
        if self.votes is not None:
            self.votes.settle()
        if self._name_at is None:
            self._posters.settle()
            self._name_at = array("q", bytes(8 * len(self._posters)))

    def _vote(self, where: str, offset: int, attributes: dict[str, str]) -> None:
        try:
            if self.votes is not None:
                self.votes.learn(attributes)
        except Lost as lost:
            self._tally.lose("line", lost.reason, Damage(where, offset, lost.what))

    def name(self, user: int) -> str | None:
        """The display name of a user who posted."""
        place = self._posters.index(user)
        begin = self._name_at[place] if place is not None and self._name_at is not None else 0
        return self._names[begin : self._names.index(0, begin)].decode() or None

    def _date(self, attributes: dict[str, str]) -> None:
        for name in _DATES:
            text = attributes.get(name, "")
            # Times as text are in order; only one that may be the newest is worth reading.
            if text > self._newest_text:
                moment_us = time_us(text)
                if moment_us is not None and (self.newest_us or 0) < moment_us <= self.latest_us:
                    self.newest_us, self._newest_text = moment_us, text

    def _post(self, attributes: dict[str, str]) -> None:
        for name, numbers in (("AcceptedAnswerId", self.accepted), ("OwnerUserId", self._posters)):
            text = attributes.get(name, "")
            if WHOLE.fullmatch(text):
                numbers.add(int(text))

    def _user(self, where: str, offset: int, attributes: dict[str, str]) -> None:
        if self._name_at is None:
            self.settle()
        try:
            place = self._posters.index(number_attribute(attributes, "Id", "bad_id"))
        except Lost as lost:
            self._tally.lose("line", lost.reason, Damage(where, offset, lost.what))
            return
        name = attributes.get("DisplayName")
        if place is not None and name and self._name_at is not None:
            self._name_at[place] = len(self._names)
            self._names += name.encode() + b"\0"
