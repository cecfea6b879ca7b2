"""Tables of a forum with columns under any names: a map says what each column holds (`table_map`).

A row becomes the same record that `import threads` reads, with the same checks. Posts and answers are apart in the
store, so no table is held in memory. What answers take from posts (community, accepted answer) is kept as numbers.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.arguments import AnyPath, moment
from shp_miner.dumps.compressed import Advance, ignore_progress
from shp_miner.dumps.inputs import chosen_files
from shp_miner.dumps.table_columns import Taken, UsualRows
from shp_miner.dumps.table_map import TableMap, both_in_a_row, fitting_kinds, read_map, require_columns, to_map
from shp_miner.dumps.table_rows import Row, Table, open_table, rows
from shp_miner.dumps.table_values import NOTHING, Unclear, flag, hash_of, identity, share, whole
from shp_miner.dumps.table_values import moment as time_of
from shp_miner.dumps.threads import Collector
from shp_miner.errors import BadInput, UsageError
from shp_miner.paths import expanded
from shp_miner.platforms.records import file_alone, latest_allowed_us
from shp_miner.platforms.rows import Chunk
from shp_miner.tally import Damage, Lost, Tally

#: Rows of each table that are tried before anything is stored.
TRIED = 200

#: Rows and characters that are turned into columns at once, and the fewest rows for which that is worth it.
_ROWS, _CHARS, _FEW = 20_000, 12_000_000, 64

#: A map as programs give it.
AnyMap = AnyPath | Mapping[str, Any] | TableMap

_TEXTS = frozenset({"title", "body"})
_TIMES = frozenset({"created_at", "observed_at", "accepted_at"})
_NUMBERS = {"score": "bad_score", **dict.fromkeys(("views", "reads", "upvotes", "downvotes"), "bad_count")}
_OTHERS: dict[str, Callable[[str, str], Any]] = {
    **dict.fromkeys(("is_text", "nsfw", "edited", "stickied", "accepted", "by_post_author"), flag),
    **dict.fromkeys(
        ("post_id", "answer_id", "author_id", "parent_id", "accepted_answer_id"), lambda text, _: identity(text)
    ),
    "upvote_ratio": share,
}
_STATES = ("live", "deleted", "removed")
_WORDS = frozenset({"state", "format", "author_role"})
#: What databases write for an empty cell.
_NULL = "\\N"

#: What programs write for the post of a row that is a post.
_NO_POST = NOTHING | {"0", "-1"}


def read(
    paths: Sequence[Path],
    tally: Tally,
    *,
    now: datetime,
    advance: Advance = ignore_progress,
    map: AnyMap | None = None,  # noqa: A002  (the name of the option)
    believed: bool = False,
) -> Iterator[Chunk]:
    """Read tables of posts and of answers, or of both, in any order.

    `map` is a file of TOML, its content as a dictionary, or a TableMap. Raises UsageError without one, and BadInput
    before anything is yielded if the map or a column is wrong, or none of the first rows of a table can be used. For a
    probe of a table of answers alone, its posts are `believed` to exist.
    """
    table_map = known_map(map)
    tables = chosen_tables(paths, table_map, tally)
    latest_us = latest_allowed_us(now)
    for table in tables:
        try_first_rows(table, table_map, latest_us)
    posts = Posts(table_map, tables, believed=believed)
    if posts.needed:
        for table in tables:
            with file_alone(table.path, Tally()):
                posts.learn(table)
        posts.settle()
    collector = Collector(tally, latest_us)
    for table in tables:
        reading = Reading(table, table_map, posts, collector)
        with file_alone(table.path, tally):
            for batch in _batches(rows(table, table_map, tally, advance)):
                reading.add_many(batch)
                if collector.full:
                    yield collector.take()
    yield collector.take()


def _batches(found: Iterator[Row]) -> Iterator[list[Row]]:
    """Rows that are turned into columns at once."""
    held: list[Row] = []
    chars = 0
    for row in found:
        held.append(row)
        chars += 0 if isinstance(row[1], Lost) else sum(map(len, filter(None, row[1])))
        if len(held) == _ROWS or chars >= _CHARS:
            yield held
            held, chars = [], 0
    if held:
        yield held


def known_map(given: AnyMap | None) -> TableMap:
    """The map that is meant. Raises BadInput, or UsageError where there is none."""
    if given is None:
        raise UsageError(
            "A table needs a map, which says what its columns mean.",
            "`shp-miner import table FILES --guess` proposes one; in Python, pass map=FILE.",
        )
    if isinstance(given, TableMap):
        return given
    return to_map(given) if isinstance(given, Mapping) else read_map(expanded(given))


def chosen_tables(paths: Sequence[Path], table_map: TableMap, tally: Tally) -> list[Table]:
    """The tables that paths name. Raises BadInput as `require_columns`."""
    tables = [
        table for _, table in chosen_files(paths, lambda path: open_table(path, table_map), tally, holds="tables")
    ]
    require_columns(table_map, [(table.path, table.header) for table in tables])
    return tables


def try_first_rows(table: Table, table_map: TableMap, latest_us: int) -> None:
    """Raise BadInput if none of the first rows of a table can be used, or what they mean is not clear."""
    tried = Tally()
    collector = Collector(tried, latest_us)
    reading = Reading(table, table_map, Posts(table_map, [table], believed=True), collector, trying=True)
    for place, cells in islice(rows(table, table_map, Tally()), TRIED):
        reading.add(place, cells)
    example = next(iter(tried.examples), None)
    if example is not None and not tried.read:
        raise BadInput(
            f"None of the first {tried.lost:,} rows of {table.path} can be used: {example.sentence()}.",
            "Correct the map: `shp-miner docs tables` lists its keys.",
        )


class Posts:
    """What answers take from their posts: the community, the site, and which answer is accepted.

    Ids are kept as 8 bytes of their hash, so that a post takes 12 to 20 bytes. `believed` takes what is not known.
    """

    def __init__(self, table_map: TableMap, tables: Sequence[Table], *, believed: bool = False) -> None:
        posts, answers = table_map.posts, table_map.answers
        of_answers = [one.header for one in tables if "answer" in fitting_kinds(table_map, one.header)]
        apart = any(not both_in_a_row(table_map, header) for header in of_answers)
        self.taken = [name for name in ("site", "community") if name in posts and name not in answers] if apart else []
        self.accepts = "accepted_answer_id" in posts and apart and not believed
        self.needed = bool(self.taken or self.accepts) and not believed
        self._map, self._believed = table_map, believed
        self._ids, self._codes, self._accepted = array("Q"), array("I"), array("Q")
        self._known: dict[tuple[str | None, ...], int] = {}
        self._places: list[tuple[str | None, ...]] = []

    def learn(self, table: Table) -> None:
        """Take in the posts of a table."""
        if "post" not in fitting_kinds(self._map, table.header):
            return
        columns = [table.header.index(name) if name in table.header else None for name in self._names()]
        is_post = kind_of_row(table, self._map)
        for _, cells in rows(table, self._map, Tally()):
            if isinstance(cells, Lost) or is_post(cells) == "answer":
                continue
            post, chosen, *told = (None if at is None else cells[at] for at in columns)
            if post:
                place = tuple(text.strip() if text else None for text in told)
                self._ids.append(hash_of(identity(post)))
                self._codes.append(self._code(place))
                self._accepted.append(hash_of(identity(chosen)) if chosen and chosen.strip() not in _NO_POST else 0)

    def _names(self) -> list[str]:
        posts = self._map.posts
        return [posts["post_id"], posts.get("accepted_answer_id", ""), *(posts[name] for name in self.taken)]

    def _code(self, place: tuple[str | None, ...]) -> int:
        code = self._known.setdefault(place, len(self._places))
        if code == len(self._places):
            self._places.append(place)
        return code

    def settle(self) -> None:
        """Make what was learned ready to be asked for; of a post that came twice the last counts."""
        ids = np.asarray(self._ids)
        order = np.argsort(ids, kind="stable")
        self._sorted, self._code_of, self._chosen = (
            ids[order],
            np.asarray(self._codes)[order],
            np.asarray(self._accepted)[order],
        )

    def of_many(self, post_ids: Sequence[str | None]) -> Taken:
        """As `of`, for many posts."""
        size = len(post_ids)
        if self._believed or not self.needed or not len(self._sorted):
            return Taken({}, np.zeros(size, np.uint64), np.full(size, bool(self.taken)))
        hashes = np.array([hash_of(post_id or "") for post_id in post_ids], np.uint64)
        at = np.searchsorted(self._sorted, hashes, side="right") - 1
        there = (at >= 0) & (self._sorted[at] == hashes)
        codes = np.where(there, self._code_of[at].astype(np.int64), -1).tolist()
        taken: dict[str, list[str | None]] = {
            name: [None if code < 0 else self._places[code][place] for code in codes]
            for place, name in enumerate(self.taken)
        }
        chosen = np.where(there, self._chosen[at], np.uint64(0)).astype(np.uint64)
        return Taken(taken, chosen, ~there if self.taken else np.zeros(size, bool))

    def of(self, post_id: str) -> tuple[dict[str, str | None], int]:
        """What is taken from a post, and the hash of its accepted answer. Raises Lost where the post is not known."""
        if self._believed or not self.needed:
            return dict.fromkeys(self.taken, "unknown" if self._believed else None), 0
        at = int(np.searchsorted(self._sorted, np.uint64(hash_of(post_id)), side="right")) - 1
        if at < 0 or self._sorted[at] != hash_of(post_id):
            if not self.taken:
                return {}, 0
            raise Lost(
                "post_unknown", f"no table has its post {post_id!r:.40}, and the map takes {self.taken[0]} from there"
            )
        return dict(zip(self.taken, self._places[self._code_of[at]], strict=True)), int(self._chosen[at])


def kind_of_row(table: Table, table_map: TableMap) -> Callable[[list[str | None]], str]:
    """A function that tells whether a row is a "post", an "answer", "both", or "" for neither."""
    kinds = fitting_kinds(table_map, table.header)
    if table_map.kind is not None and table_map.kind.column in table.header:
        at = table.header.index(table_map.kind.column)
        words = {word: kind for kind in ("post", "answer") for word in table_map.kind.words(kind)}
        return lambda cells: words.get((cells[at] or "").strip(), "")
    if len(kinds) == 1:
        return lambda _: kinds[0]
    if both_in_a_row(table_map, table.header):
        answer_at = table.header.index(table_map.answers["answer_id"])
        return lambda cells: "both" if cells[answer_at] and (cells[answer_at] or "").strip() not in NOTHING else "post"
    own_at = table.header.index(table_map.posts["post_id"])
    post_at = table.header.index(table_map.answers["post_id"])

    def told(cells: list[str | None]) -> str:
        of = (cells[post_at] or "").strip()
        return "post" if of in _NO_POST or of == (cells[own_at] or "").strip() else "answer"

    return told


class Reading:
    """Turns the rows of a table into records for a Collector. With `trying`, what the map must say raises BadInput."""

    def __init__(
        self, table: Table, table_map: TableMap, posts: Posts, collector: Collector, *, trying: bool = False
    ) -> None:
        self._map, self._posts, self._collector, self._trying = table_map, posts, collector, trying
        self._kind_of = kind_of_row(table, table_map) if table.header else lambda _: ""
        self._at = {kind: _places(table, table_map.columns(kind)) for kind in ("post", "answer")}
        self._both = both_in_a_row(table_map, table.header)
        self._clock = table_map.clock
        observed = table_map.observed_at
        self._constants: dict[str, Any] = {
            name: value
            for name, value in (
                ("format", table_map.format),
                ("license", table_map.license),
                ("observed_at", None if observed is None else moment(observed)),
            )
            if value is not None
        }
        self._last_post: dict[str, Any] | None = None
        self._usual: UsualRows | None = None

    def add_many(self, batch: Sequence[Row]) -> None:
        """Take in some rows: usual ones at once, the others one by one."""
        usual = np.zeros(len(batch), bool)
        if len(batch) >= _FEW and not self._both:
            kinds = ["" if isinstance(cells, Lost) else self._kind_of(cells) for _, cells in batch]
            for kind in ("post", "answer"):
                numbers = np.array([number for number, one in enumerate(kinds) if one == kind], np.int64)
                if len(numbers) >= _FEW:
                    usual[numbers] = self._add_usual(kind, [batch[number][1] for number in numbers.tolist()])
        for number in np.flatnonzero(~usual).tolist():
            self.add(*batch[number])

    def _add_usual(self, kind: str, cells: list[Any]) -> npt.NDArray[np.bool_]:
        """Add the rows that are usual, and return which they are."""
        usual = self._usual = self._usual or UsualRows(self._map, self._at, self._constants, self._value)
        latest_us = self._collector.latest_us
        try:
            if kind == "post":
                found, odd = usual.posts(cells, latest_us)
            else:
                found, odd = usual.answers(cells, self._posts.of_many, latest_us)
            self._collector.add_frame(kind, found.filter(~odd))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            return np.zeros(len(cells), bool)
        return ~odd

    def add(self, place: Damage, cells: list[str | None] | Lost) -> None:
        """Take in a row."""
        tally = self._collector.tally
        if isinstance(cells, Lost):
            tally.lose("line", cells.reason, replace(place, what=place.what + cells.what))
            return
        kind = self._kind_of(cells)
        if not kind:
            tally.drop("line", "other_post_type")
        if kind in ("post", "both"):
            self._add("post", self._post, place, cells)
        if kind in ("answer", "both"):
            self._add("answer", self._answer, place, cells)

    def _add(
        self, kind: str, add: Callable[[Damage, list[str | None]], None], place: Damage, cells: list[str | None]
    ) -> None:
        try:
            add(place, cells)
        except Lost as lost:
            if self._trying and isinstance(lost, Unclear):
                raise BadInput(f"{place.sentence()}{lost.short}.", lost.hint) from lost
            self._collector.tally.lose(kind, lost.reason, replace(place, what=place.what + lost.what))

    def _post(self, place: Damage, cells: list[str | None]) -> None:
        record = self._record("post", cells)
        record.pop("accepted_answer_id", None)
        record = {"site": self._map.site, "community": self._map.community, **record, "answers": []}
        if self._both and record == self._last_post:
            self._collector.tally.drop("post", "repeated_identically")
            return
        self._last_post = record
        self._collector.add(record, place)

    def _answer(self, place: Damage, cells: list[str | None]) -> None:
        record = self._record("answer", cells)
        post_id = record.pop("post_id", "")
        if record.pop("parent_id", post_id) not in (*_NO_POST, post_id):
            self._collector.tally.drop("answer", "not_direct_reply")
            return
        if self._both:
            of_post = self._record("post", cells)
            chosen = of_post.get("accepted_answer_id")
            accepted = chosen is not None and chosen == record.get("answer_id")
        else:
            of_post, chosen_hash = self._posts.of(post_id)
            accepted = chosen_hash != 0 and chosen_hash == hash_of(record.get("answer_id", ""))
        heads = {}
        for name in ("site", "community"):
            heads[name] = record.pop(name, None) or of_post.get(name) or getattr(self._map, name)
        if accepted:
            record.setdefault("accepted", True)
        self._collector.add_answer(record, {**heads, "post_id": post_id}, place)

    def _record(self, kind: str, cells: list[str | None]) -> dict[str, Any]:
        """The keys of the layout that a row fills. Raises Lost."""
        record = dict(self._constants)
        for key, at in self._at[kind].items():
            text = cells[at]
            if text is None or (key not in _TEXTS and text.strip() in NOTHING):
                if key == "score":
                    record[key] = None  # the forum hides it
            elif key in _TEXTS:
                record[key] = "" if text == _NULL else text
            else:
                record[key] = self._value(key, text)
        return record

    def _value(self, key: str, text: str) -> Any:
        if key in _TIMES:
            return time_of(text, key, self._clock)
        if key in _NUMBERS:
            return whole(text, key, _NUMBERS[key], self._map.decimal)
        if key in _OTHERS:
            return _OTHERS[key](text, key)
        word = text.strip()
        if key == "state" and word.lower() not in _STATES:
            return "deleted" if flag(text, key) else "live"
        return word.lower() if key in _WORDS else word


def _places(table: Table, columns: Mapping[str, str]) -> dict[str, int]:
    return {key: table.header.index(name) for key, name in columns.items() if name in table.header}
