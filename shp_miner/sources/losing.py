"""Records of an answer that could not be used, counted by reason while somebody counts.

What one record says can only cost that record. So a source reads on past a record that makes no sense, and whoever
asked it learns here that something is missing from what it gave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import msgspec

from shp_miner.tally import Lost

Record = TypeVar("Record")
Made = TypeVar("Made")

_counted: ContextVar[Counter[str] | None] = ContextVar("counted", default=None)


@contextmanager
def losing() -> Iterator[Counter[str]]:
    """Counts what is lost inside the `with` statement: {reason: records}. Whoever counts around it counts that, too."""
    counted: Counter[str] = Counter()
    token = _counted.set(counted)
    try:
        yield counted
    finally:
        _counted.reset(token)
        for reason, count in counted.items():
            lose(reason, count)


def lose(reason: str, count: int = 1) -> None:
    """Count records that could not be used; `reason` is a word for it (see tally.LOST)."""
    counted = _counted.get()
    if counted is not None:
        counted[reason] += count


def each(records: Iterable[Record], make: Callable[[Record], Made]) -> list[Made]:
    """What `make` makes of each record, without those for which it raises Lost or msgspec.ValidationError.

    Where it raises for every record, the first error is raised: it is the answer that is another.
    """
    made: list[Made] = []
    failed: list[tuple[str, Exception]] = []
    for record in records:
        try:
            made.append(make(record))
        except Lost as error:
            failed.append((error.reason, error))
        except msgspec.ValidationError as error:
            failed.append(("wrong_type", error))
    if failed and not made:
        raise failed[0][1]
    for reason, _ in failed:
        lose(reason)
    return made
