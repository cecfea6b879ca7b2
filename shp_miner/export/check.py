"""Checks of every export before it appears. A failure is a bug of shp-miner, and nothing is published."""

from __future__ import annotations

import math

import polars as pl
import pyarrow as pa
from msgspec import Struct

from shp_miner.clean.clusters import own_splits
from shp_miner.errors import Error
from shp_miner.export.columns import Repeated, from_arrow, value_type
from shp_miner.export.conversations import contents, last_contents
from shp_miner.export.formats import MARGIN, RESERVED_COLUMNS, Format
from shp_miner.export.shared import SEPARATOR
from shp_miner.mining.mine import SAME_TEXT, Selection, Threads
from shp_miner.rules.hashing import SPLITS, thread_splits
from shp_miner.tally import Tally

# The sides are fair coins: one export in 500 million is more standard deviations than this from one half.
_BALANCE_SIGMAS = 6.0

#: Texts without visible content, once stripped. A prompt of plain text has its ending even if the question is empty.
_NOTHING = ("", SEPARATOR.strip())


class CheckFailedError(Error):
    """An export failed its own checks and was not published."""

    def __init__(self, message: str, hint: str = "Nothing was written. Please report this with your command.") -> None:
        super().__init__(message, hint)


class Balance(Struct):
    """Counts over many tables: rows, rows whose first side won, and rows with two equal answers."""

    rows: int = 0
    first: int = 0
    same: int = 0

    def add(self, other: Balance) -> None:
        """Add the counts of `other`."""
        self.rows += other.rows
        self.first += other.first
        self.same += other.same

    def check(self, form: Format, tally: Tally) -> None:
        """Raise CheckFailedError for more equal answers than the rule gave, or for unfair sides."""
        # Flattening for SHP's one-line texts can make two answers equal that were not.
        expected = tally.notes["pair", SAME_TEXT] if form.same_text else 0
        if self.same > expected and form.name != "shp":
            raise CheckFailedError(
                f"Format {form.name} has {self.same} rows with two equal answers; {expected} are expected."
            )
        if form.balance and abs(self.first / self.rows - 0.5) > _BALANCE_SIGMAS * math.sqrt(0.25 / self.rows):
            raise CheckFailedError(f"The first side wins {self.first} of {self.rows} rows: the sides are not fair.")


def check_format(form: Format) -> None:
    """Raise CheckFailedError for column names that have a special meaning in trainers."""
    reserved = RESERVED_COLUMNS & set(form.schema.names) - ({MARGIN} if form.margin else set())
    if reserved:
        raise CheckFailedError(f"Format {form.name} uses the reserved columns {sorted(reserved)}.")


def check_threads(threads: Threads, selection: Selection, near: pl.DataFrame | None = None) -> None:
    """Raise CheckFailedError for a thread that is not in the split of its hash, or in that which `near` gives it.

    So no thread is in two splits.
    """
    number = thread_splits(threads.posts["thread_hash"].to_numpy(), selection.validation, selection.test)
    if (pl.Series(SPLITS)[own_splits(threads.posts, number, near)] != threads.posts["split"]).any():
        raise CheckFailedError("A thread is in a split that is not its own.")


def check_table(form: Format, table: pa.Table) -> Balance:
    """Return the counts of some rows (Format.table). Raises CheckFailedError for a wrong schema or empty texts."""
    plain = [pa.field(column.name, value_type(column.type)) for column in table.schema]
    if pa.schema(plain) != form.schema:
        raise CheckFailedError(f"Rows of format {form.name} do not have its schema.")
    for column in form.texts:
        texts = from_arrow(table[column].combine_chunks())
        # What repeats is looked at once.
        if is_empty(texts.values).gather(texts.rows).fill_null(value=True).any():
            raise CheckFailedError(f"Format {form.name} has an empty {column}.")
    balance = Balance(table.num_rows)
    if form.answers:
        left, right = (answers_in(table, column).laid_out() for column in form.answers)
        balance.same = int((left == right).sum())
    if form.balance:
        column, first = form.balance
        balance.first = int((from_arrow(table[column].combine_chunks()).laid_out() == first).sum())
    return balance


def is_empty(texts: pl.Series) -> pl.Series:
    """Return for each text whether it shows nothing; for each conversation, whether a message of it shows nothing."""
    if isinstance(texts.dtype, pl.List):
        said = contents(texts).list
        shows_nothing = said.eval(pl.element().is_null() | pl.element().str.strip_chars().is_in(_NOTHING)).list
        return shows_nothing.any() | (said.len() == 0)
    shown = texts.str.strip_chars()
    return shown.is_null() | shown.is_in(_NOTHING)


def answers_in(table: pa.Table, column: str) -> Repeated:
    """Return the answers of a column: its texts, or the last messages of its conversations."""
    found = from_arrow(table[column].combine_chunks())
    if isinstance(found.values.dtype, pl.List):
        return Repeated(last_contents(found.values), found.rows)
    return found
