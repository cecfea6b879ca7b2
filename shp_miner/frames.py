"""Tables that programs hand in (polars, pandas, Arrow), with errors that name the column and the line that mends it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from shp_miner.errors import BadInput, UsageError

if TYPE_CHECKING:
    import pandas as pd


class ArrowStream(Protocol):
    """A table that can be read as Arrow: of pyarrow, polars, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Return the table as a stream of Arrow."""


if TYPE_CHECKING:
    #: A table as the public functions take it.
    AnyFrame = ArrowStream | pl.DataFrame | pl.LazyFrame | pd.DataFrame

#: Other forums' names for our columns, which no comparison of letters finds.
ALSO_CALLED = {
    "answers": ("comments", "replies"),
    "body": ("text", "content", "selftext", "raw"),
    "community": ("subreddit", "category"),
    "created_at": ("created_utc", "timestamp", "date", "published"),
    "score": ("votes", "likes", "points", "upvotes"),
    "accepted": ("is_accepted", "accepted_answer", "is_solution"),
    "downvotes": ("downs", "down_votes", "dislikes"),
    "reads": ("readers", "read_count", "reader_count"),
    "upvotes": ("ups", "up_votes"),
    "views": ("view_count", "viewcount", "views_count"),
}
_IDS_ALSO_CALLED = {
    "post_id": ("thread_id", "question_id", "topic_id", "link_id", "id"),
    "answer_id": ("comment_id", "reply_id", "id"),
    "observed_at": ("retrieved_on", "retrieved_utc", "scraped_at", "read_at"),
}

#: How each library renames a column and gives times a zone.
_RENAME = {
    "polars": '{table} = {table}.rename({{"{old}": "{new}"}})',
    "pandas": '{table} = {table}.rename(columns={{"{old}": "{new}"}})',
    "pyarrow": '{table} = {table}.rename_columns({{"{old}": "{new}"}})',
}
_IN_UTC = {
    "polars": '{table} = {table}.with_columns(polars.col("{column}").cast(polars.Datetime("us", "UTC")))',
    "pandas": '{table}["{column}"] = pandas.to_datetime({table}["{column}"], utc=True)',
    "pyarrow": 'cast the column {column} to pyarrow.timestamp("us", tz="UTC")',
}


@dataclass(frozen=True)
class Given:
    """A table that somebody handed in: the argument's name, its rows, and the library that it is of."""

    name: str
    frame: pl.DataFrame
    library: str

    def require(self, names: Iterable[str]) -> None:
        """Raise BadInput for the first of these columns that is missing, with the line that mends it."""
        for name in names:
            if name not in self.frame.columns:
                has = ", ".join(self.frame.columns[:20]) or "no columns"
                other = next((old for old in self._perhaps(name) if old in self.frame.columns), None)
                hint = f"It has: {has}." if other is None else f"Write {self._renamed(other, name)}"
                raise BadInput(f"{self.name} has no column {name!r}.", hint)

    def refuse_others(self, known: Collection[str]) -> None:
        """Raise BadInput for a column that is not one of `known`, with the line that mends it."""
        for name in self.frame.columns:
            if name not in known:
                meant = [ours for ours in known if name in _others(ours)] or get_close_matches(name, sorted(known), n=1)
                hint = f"Write {self._renamed(name, meant[0])}, or leave it out." if meant else "Leave it out."
                raise BadInput(f"{self.name} has a column that is not known: {name!r}.", hint)

    def refuse_naive(self, names: Iterable[str]) -> None:
        """Raise BadInput for a column of times without a zone, with the line that gives them one."""
        for name in names:
            kind = self.frame.schema.get(name)
            if kind == pl.Date or (isinstance(kind, pl.Datetime) and kind.time_zone is None):
                mend = _IN_UTC[self.library].format(table=self.name, column=name)
                raise BadInput(f"The times in {self.name}, column {name!r}, have no zone.", f"If they are UTC: {mend}")

    def wrong(self, column: str, what: str, hint: str) -> BadInput:
        """Return the error for a column with values that cannot be used."""
        return BadInput(f"{self.name}, column {column!r}: {what}.", hint)

    def _renamed(self, old: str, new: str) -> str:
        return _RENAME[self.library].format(table=self.name, old=old, new=new)

    def _perhaps(self, name: str) -> list[str]:
        return [*_others(name), *get_close_matches(name, self.frame.columns, n=1, cutoff=0.75)]


def _others(name: str) -> tuple[str, ...]:
    return (*ALSO_CALLED.get(name, ()), *_IDS_ALSO_CALLED.get(name, ()))


def given(table: AnyFrame, name: str) -> Given:
    """Return a table of polars, pandas, pyarrow or anything that exports Arrow. Raises UsageError for anything else."""
    if isinstance(table, pl.LazyFrame):
        return Given(name, table.collect(engine="streaming"), "polars")
    if isinstance(table, pl.DataFrame):
        return Given(name, table, "polars")
    module = type(table).__module__.partition(".")[0]
    if module == "pandas":
        return Given(name, _of(pl.from_pandas(table), name), "pandas")  # type: ignore[arg-type]  # one by its module
    if module == "pyarrow" or hasattr(table, "__arrow_c_stream__"):
        return Given(name, _of(pl.DataFrame(table), name), "pyarrow")
    raise UsageError(
        f"{name} is a {type(table).__name__}, not a table.", f"Write polars.DataFrame({name}), or pass a pandas frame."
    )


def _of(frame: object, name: str) -> pl.DataFrame:
    if not isinstance(frame, pl.DataFrame):
        raise UsageError(f"{name} is a single column, not a table.", "Pass a table with named columns.")
    return frame
