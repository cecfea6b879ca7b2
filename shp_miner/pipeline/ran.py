"""What a run of a pipeline did: its steps, in their order, what became of each, and the counts over all."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from shp_miner.errors import Incomplete, TryLater

StepName = Literal["forget", "import", "recheck", "crawl", "export", "tidy"]

#: The order has reasons: what must go, goes first; visits come before new threads, since they are few and find what was
#: deleted; exports see all of it; what may wait until tomorrow comes last.
STEPS: tuple[StepName, ...] = ("forget", "import", "recheck", "crawl", "export", "tidy")


class StepDone(Struct):
    """One part of a run: its step, what it was about, how it ended in a sentence, and its exit code."""

    step: str
    about: str
    said: str
    exit_code: int = 0
    seconds: float = 0.0


class Ran(Struct):
    """What a run did: counts over all its steps, and the steps. `given_up` is how many threads of the store are."""

    pipeline: str
    exit_code: int = 0
    seconds: float = 0.0
    new: int = 0
    changed: int = 0
    deleted: int = 0
    pairs: int = 0
    requests: int = 0
    waited_s: float = 0.0
    given_up: int = 0
    steps: list[StepDone] = field(default_factory=list)

    def counts(self) -> dict[str, int | float]:
        """What a summary has, by name."""
        names = ("new", "changed", "deleted", "given_up", "pairs", "requests", "waited_s", "seconds", "exit_code")
        return {name: round(getattr(self, name), 1) for name in names}


def exit_code_of(steps: list[StepDone]) -> int:
    """0 if all is done; what needs a person (4, 5, 2) before what the next run does by itself (3, or 75 if all is)."""
    codes = {step.exit_code for step in steps} - {0}
    for code in (1, 4, 5, 2):
        if code in codes:
            return code
    if not codes:
        return 0
    nothing_done = codes == {TryLater.exit_code} and all(step.exit_code or step.said == "up to date" for step in steps)
    return TryLater.exit_code if nothing_done else Incomplete.exit_code
