"""Counting unusable records of an answer by reason.

An invalid record costs only itself. The source leaves it out and reads on, and the caller learns here that something is
missing.
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
def counting_lost() -> Iterator[Counter[str]]:
    """Count the records lost inside the `with` statement: {reason: records}. Enclosing counters count them too."""
    counted: Counter[str] = Counter()
    token = _counted.set(counted)
    try:
        yield counted
    finally:
        _counted.reset(token)
        for reason, count in counted.items():
            lose_records(reason, count)


def lose_records(reason: str, count: int = 1) -> None:
    """Count unusable records; `reason` is a word for them (see tally.LOST)."""
    counted = _counted.get()
    if counted is not None:
        counted[reason] += count


def each_record(records: Iterable[Record], make: Callable[[Record], Made]) -> list[Made]:
    """Return what `make` makes of each record, without those for which it raises Lost or msgspec.ValidationError.

    If it raises for every record, the first error is raised: the whole answer has another shape.
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
        lose_records(reason)
    return made
