"""What an engine is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Advance = Callable[[int], None]


class Engine(Protocol):
    """Runs tasks. A task is a function of a module, a job plain data; what tasks exchange are files.

    A task may run twice, even at the same time, so it writes each file whole or not at all and deletes nothing that it
    reads. Leaving the `with` statement ends what still runs.
    """

    def run(self, task: Callable[[Job, Advance], Result], jobs: Sequence[Job], advance: Advance) -> Iterator[Result]:
        """Yield the results of task(job, advance) in the order of the jobs; raise the first error."""
        ...

    def __enter__(self) -> Engine:
        """Return the engine."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what still runs."""
        ...


class Around:
    """What an engine has that runs its tasks by another one: it begins and ends with that."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.__exit__(kind, error, trace)
