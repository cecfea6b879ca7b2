"""What the first pass over a Stack Exchange site learns: its newest date, accepted answers, names, and the votes."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.dumps.bytes_at import Words, texts_at
from shp_miner.dumps.stackexchange_columns import Columns, Row
from shp_miner.dumps.stackexchange_values import WHOLE, number_attribute, time_us
from shp_miner.dumps.stackexchange_votes import Votes
from shp_miner.tally import Damage, Lost, Tally

#: A question and an answer that are planted in every dump.
DECOYS = frozenset({"1000000001", "1000000010"})
DECOY_NUMBERS = sorted(map(int, DECOYS))

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

    def add_many(self, numbers: npt.NDArray[np.int64]) -> None:
        """Take numbers in."""
        self._waiting.frombytes(np.unique(numbers).tobytes())
        if len(self._waiting) >= self._WAITING_MAX:
            self.settle()

    def places(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The place of each number among all in their order, -1 where it is not there."""
        known = np.asarray(self._sorted)
        if not len(known):
            return np.full(len(numbers), -1, np.int64)
        found = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
        return np.where(known[found] == numbers, found, -1)

    def has(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which numbers are in the set."""
        found: npt.NDArray[np.bool_] = self.places(numbers) >= 0
        return found

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
        # Where each poster's name begins in _names, and its bytes; none where it is not known.
        self._name_at: array[int] | None = None
        self._name_size = array("i")
        self._names = bytearray()

    def learn(self, where: str, table: str, found: Columns | Sequence[Row]) -> None:
        """Take in rows of a table."""
        if isinstance(found, Columns):
            found = self._columns(table, found)
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

    def _columns(self, table: str, found: Columns) -> list[Row]:
        """Take in the usual rows; the others are returned."""
        others: list[int] = []
        if table == "users":
            others = self._users(found)
        elif table == "posts":
            if np.isin(found.numbers("Id")[1], DECOY_NUMBERS).any():
                return found.rows()
            for name, numbers in (("AcceptedAnswerId", self.accepted), ("OwnerUserId", self._posters)):
                numbers.add_many(found.numbers(name)[1])
        elif self.votes is not None:
            others = self.votes.learn_columns(found)
        for name in _DATES:
            # Of the others nothing is asked unless all of the greatest are no times, or to come.
            if not self._newest(found.greatest(name)):
                self._newest(found.values(name))
        return [found.row(index) for index in others]

    def _newest(self, texts: pl.Series) -> bool:
        """Take in dates, of which the newest counts; whether one counted, so that older ones need not come."""
        while (last := str(texts.max() or "")) > self._newest_text:
            moment_us = time_us(last)
            if moment_us is not None and moment_us <= self.latest_us:
                if moment_us > (self.newest_us or 0):
                    self.newest_us, self._newest_text = moment_us, last
                return True
            texts = texts.filter(texts < last)
        return bool(last)

    def _users(self, found: Columns) -> list[int]:
        if self._name_at is None:
            self.settle()
        whose, numbers = found.numbers("Id")
        places = self._posters.places(numbers)
        posted = places >= 0
        names = found.text("DisplayName").gather(whose[posted]).to_list()
        for place, name in zip(places[posted].tolist(), names, strict=True):
            self._named(place, name)
        others: list[int] = np.setdiff1d(np.arange(len(found)), whose).tolist()
        return others

    def _named(self, place: int, name: str | None) -> None:
        if name and self._name_at is not None:
            text = name.encode()
            self._name_at[place], self._name_size[place] = len(self._names), len(text)
            self._names += text

    def settle(self) -> None:
        """Make what was learned ready to be asked for."""
        self.accepted.settle()
        if self.votes is not None:
            self.votes.settle()
        if self._name_at is None:
            self._posters.settle()
            self._name_at = array("q", bytes(8 * len(self._posters)))
            self._name_size = array("i", bytes(4 * len(self._posters)))

    def _vote(self, where: str, offset: int, attributes: dict[str, str]) -> None:
        try:
            if self.votes is not None:
                self.votes.learn(attributes)
        except Lost as lost:
            self._tally.lose("line", lost.reason, Damage(where, offset, lost.what))

    def name(self, user: int) -> str | None:
        """The display name of a user who posted."""
        place = self._posters.index(user)
        if place is None or self._name_at is None:
            return None
        begin = self._name_at[place]
        return self._names[begin : begin + self._name_size[place]].decode() or None

    def names(self, users: npt.NDArray[np.int64]) -> pl.Series:
        """The display names of many users, null where one is not known. To be asked for when all users were read."""
        places = self._posters.places(users)
        if self._name_at is None or not self._names:
            return pl.Series([None], dtype=pl.String).new_from_index(0, len(users))
        sizes = np.where(places >= 0, np.asarray(self._name_size)[places], 0)
        begins = np.asarray(self._name_at)[places]
        found = texts_at(self._names, Words(self._names), begins, begins + sizes)
        return found.set(pl.Series(sizes == 0), None)

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
        if place is not None:
            self._named(place, attributes.get("DisplayName"))
