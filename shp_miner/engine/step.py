"""What a task tells of its progress."""

from __future__ import annotations


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
