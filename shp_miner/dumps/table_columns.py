"""Many rows of a table at once, as whole columns, without Python code for each cell.

A cell that is not written in the usual way (a score with a word behind it, a date in words) sends its row the careful
way of dumps.table. Both give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.dumps.iso_times import iso_us
from shp_miner.dumps.table_map import TableMap
from shp_miner.dumps.table_values import NOTHING, Clock, hash_of
from shp_miner.dumps.threads_at_once import ODD, PLAIN_ID, answers_of, hosts_of, posts_of
from shp_miner.dumps.threads_layout import GONE_AUTHORS
from shp_miner.dumps.threads_values import never, none_of
from shp_miner.tally import Lost
from shp_miner.units import to_us

#: Cells of which each different one is read by itself, if there are not too many.
_DIFFERENT_MAX = 1000
_BLANKS, _BLANK_END = " \t", r"^[\s\x00-\x1f]|[\s\x00-\x1f]$"
_FLOAT = r"^(-?[0-9]+)\.0$"
_WHOLE, _SHARE = r"^-?[0-9]{1,15}$", r"^[0-9]{0,3}\.?[0-9]{1,15}$"
#: Seconds since 1970, and milliseconds; fewer or more digits may be a day.
_EPOCH, _MS_FROM = r"^[0-9]{9,13}$", 10**11
_DAY_AND_TIME = r"^([0-9]{4}-[0-9]{2}-[0-9]{2}) "

Read = Callable[[str, str], Any]


class Cells:
    """The cells of some rows as `threads_values.Values`. `odd` are the rows with a cell that needs care.

    `columns` has the cells by key, null where there is none; `constants` hold where a cell says nothing; `read` reads a
    cell of a key by itself, and raises Lost.
    """

    def __init__(
        self, columns: Mapping[str, list[str | None]], size: int, constants: Mapping[str, Any], clock: Clock, read: Read
    ) -> None:
        self._columns, self._size, self._constants = columns, size, constants
        self._zone_is_utc, self._read = clock.zone is not None and str(clock.zone) == "UTC", read
        self.odd: npt.NDArray[np.bool_] = np.zeros(size, bool)
        #: Answers that their posts accept, where no cell of theirs says it.
        self.accepted: pl.Series | None = None

    def _mark(self, odd: pl.Series) -> None:
        self.odd |= odd.fill_null(value=False).to_numpy()

    def _words(self, name: str) -> pl.Series:
        """Cells without the blanks around them, null where they say nothing."""
        cells = self._columns.get(name)
        if cells is None:
            return none_of(name, self._size, pl.String)
        words = pl.Series(name, cells, pl.String).str.strip_chars(_BLANKS)
        self._mark(words.str.contains(_BLANK_END))
        return words.set(words.is_in(list(NOTHING)), None)

    def _else(self, words: pl.Series) -> pl.Series:
        constant = self._constants.get(words.name)
        return words if constant is None else words.fill_null(pl.Series([constant], dtype=words.dtype)[0])

    def _each(self, name: str, kind: type[pl.DataType]) -> pl.Series:
        """Cells of few different words, each read by itself."""
        words = self._words(name)
        known = words.unique().drop_nulls()
        if len(known) > _DIFFERENT_MAX:
            self._mark(words.is_not_null())
            return none_of(name, self._size, kind)
        found: list[Any] = []
        wrong: list[str] = []
        for word in known:
            try:
                found.append(self._read(name, word))
            except Lost:
                found.append(None)
                wrong.append(word)
        if wrong:
            self._mark(words.is_in(wrong))
        if not found:
            return none_of(name, self._size, kind)
        return words.replace_strict(known, pl.Series(found, dtype=kind), default=None).alias(name)

    def texts(self, name: str) -> pl.Series:
        """Texts."""
        if name in ("title", "body"):
            cells = self._columns.get(name)
            found = pl.Series(name, cells, pl.String) if cells is not None else none_of(name, self._size, pl.String)
            return found.set(found == "\\N", "")
        if name in ("state", "format", "author_role"):
            return self._else(self._each(name, pl.String))
        return self._else(self._words(name))

    def flags(self, name: str) -> pl.Series:
        """True or false."""
        found = self._each(name, pl.Boolean)
        if name == "accepted" and self.accepted is not None:
            return found.set(found.is_null() & self.accepted, value=True)
        return found

    def ids(self, name: str) -> pl.Series:
        """Ids, of which whole numbers become texts."""
        return self._words(name).str.replace(_FLOAT, "${1}")

    def ratios(self, name: str) -> pl.Series:
        """Numbers with fractions."""
        words = self._words(name)
        self._mark(~words.str.contains(_SHARE))
        return words.cast(pl.Float64, strict=False)

    def authors(self) -> list[pl.Series]:
        """The names of authors, and `author_gone`: whether the account is gone."""
        names = self._words("author")
        return [names, names.is_in(GONE_AUTHORS).fill_null(value=False).alias("author_gone")]

    def times(self, name: str) -> list[pl.Series]:
        """Microseconds since 1970, null where they are unknown or odd, and `<name>_odd`."""
        words = self._words(name)
        constant = self._constants.get(name)
        if words.null_count() == self._size:
            found = none_of(name, self._size, pl.Int64)
            return [found if constant is None else found.fill_null(constant), never(name, self._size)]
        texts = words.str.replace(_DAY_AND_TIME, "${1}T")
        found = iso_us(texts, zone=True)
        if found.null_count() and self._zone_is_utc:
            found = found.fill_null(iso_us(texts, zone=False))
        if found.null_count():
            numbers = words.set(~words.str.contains(_EPOCH), None).cast(pl.Int64)
            found = found.fill_null(
                numbers * pl.Series(np.where((numbers >= _MS_FROM).fill_null(value=False), 1000, 1_000_000))
            )
        odd = (found.is_null() & words.is_not_null()).alias(f"{name}_odd")
        return [found if constant is None else found.set(words.is_null(), constant), odd]

    def counts(self, name: str) -> list[pl.Series]:
        """Whole numbers, null where there is none or where they are odd, and `<name>_odd`."""
        words = self._words(name).str.replace(_FLOAT, "${1}")
        found = words.set(~words.str.contains(_WHOLE), None).cast(pl.Int64)
        return [found, (found.is_null() & words.is_not_null()).alias(f"{name}_odd")]


class Taken(NamedTuple):
    """What some answers take from their posts: columns, the hash of the accepted answer, and who lacks its post."""

    columns: dict[str, list[str | None]]
    chosen: npt.NDArray[np.uint64]
    lacking: npt.NDArray[np.bool_]


class UsualRows:
    """Makes rows of posts or of answers from the rows of a table; `at` says in which cell each key is."""

    def __init__(
        self, table_map: TableMap, at: Mapping[str, Mapping[str, int]], constants: Mapping[str, Any], read: Read
    ) -> None:
        self._map, self._at, self._read = table_map, at, read
        observed = constants.get("observed_at")
        self._constants = dict(constants) | ({} if observed is None else {"observed_at": to_us(observed)})

    def _cells(self, kind: str, rows: Sequence[list[str | None]], more: Mapping[str, Any]) -> Cells:
        columns = {key: [row[place] for row in rows] for key, place in self._at[kind].items()}
        return Cells(columns, len(rows), self._constants | dict(more), self._map.clock, self._read)

    def posts(self, rows: Sequence[list[str | None]], latest_us: int) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
        """The rows of posts, and which of them need care."""
        cells = self._cells("post", rows, {"site": self._map.site, "community": self._map.community})
        found = posts_of(cells, latest_us)
        return found, cells.odd | found[ODD].to_numpy()

    def answers(
        self, rows: Sequence[list[str | None]], take: Callable[[Sequence[str | None]], Taken], latest_us: int
    ) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
        """The rows of answers, and which of them need care; `take` tells what they take from posts."""
        cells = self._cells("answer", rows, {})
        post_id, parent = cells.ids("post_id"), cells.ids("parent_id")
        taken = take(post_id.to_list())
        heads = {}
        for name in ("site", "community"):
            told = cells.texts(name)
            if name in taken.columns:
                told = told.fill_null(pl.Series(taken.columns[name], dtype=pl.String))
            constant = getattr(self._map, name)
            heads[name] = told if constant is None else told.fill_null(constant)
        if taken.chosen.any():
            ids = [hash_of(text or "") for text in cells.ids("answer_id").to_list()]
            cells.accepted = pl.Series((taken.chosen != 0) & (taken.chosen == np.array(ids, np.uint64)))
        of_posts = pl.DataFrame(
            [
                hosts_of(heads["site"]).alias("site"),
                heads["community"],
                post_id,
                pl.Series("body_format", ["markdown"]).new_from_index(0, len(rows)),
                none_of("license", len(rows), pl.String),
                none_of("observed_at", len(rows), pl.Int64),
            ]
        )
        odd = of_posts.select(
            (pl.col("site").is_null() | (pl.col("community").str.strip_chars() == "") | pl.col("community").is_null())
            | ~pl.col("post_id").str.contains(PLAIN_ID).fill_null(value=False)
            | pl.col("community").str.contains("\0", literal=True)
            | (parent.is_not_null() & ~parent.is_in(["0", "-1"]) & (parent != post_id).fill_null(value=True))
        ).to_series()
        found = answers_of(cells, np.ones(len(rows), np.int64), of_posts, latest_us)
        return found, cells.odd | taken.lacking | odd.fill_null(value=True).to_numpy() | found[ODD].to_numpy()
