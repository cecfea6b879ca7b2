"""What a task tells of its progress."""

from __future__ import annotations

from collections.abc import Callable


class Step(int):
    """An amount of work that was done: bytes, ranges, rules. It counts as a plain number.

    `doing` says in a few words what is done now: a file's name, or "writing the store". `pairs` were made by the step.
    """

    doing: str
    pairs: int

    def __new__(cls, count: int = 0, doing: str = "", pairs: int = 0) -> Step:
        """Return the amount with its words."""
        step = super().__new__(cls, count)
        step.doing, step.pairs = doing, pairs
        return step


class Steps:
    """Adds up the steps of tasks and reports (done, total) to `advance`; done is a Step. Tasks get it as theirs."""

    def __init__(self, total: int, advance: Callable[[int, int], None] | None) -> None:
        self._done, self._total, self._advance = 0, total, advance
        self._doing, self._pairs = "", 0

    def begin(self, doing: str) -> None:
        """Say what is done from now on."""
        self._doing = doing
        self(0)

    def more(self, count: int) -> None:
        """Expect so many more steps."""
        self._total += count

    def __call__(self, count: int) -> None:
        """Count steps that were done."""
        self._done += count
        self._pairs += getattr(count, "pairs", 0)
        if self._advance:
            self._advance(Step(self._done, self._doing, self._pairs), self._total)
