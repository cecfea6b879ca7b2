"""The result of a pipeline's run: its steps in their order, their outcomes, and the counts of all."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from shp_miner import shown
from shp_miner.errors import Incomplete, TryLater
from shp_miner.tally import counted

StepName = Literal["forget", "import", "recheck", "crawl", "export", "tidy"]

#: The order has reasons: removals come first; visits come before new threads, because they are few and find deletions;
#: exports include the results of all earlier steps; work that can wait a day comes last.
STEPS: tuple[StepName, ...] = ("forget", "import", "recheck", "crawl", "export", "tidy")


class StepDone(Struct):
    """One part of a run: its step, its subject, its outcome in a sentence, and its exit code."""

    step: str
    about: str
    said: str
    exit_code: int = 0
    seconds: float = 0.0


class Ran(Struct):
    """The result of a run: counts over all steps, and the steps. `given_up` counts given-up threads of the store."""

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

    def __repr__(self) -> str:
        parts = [f"{getattr(self, name):,} {name}" for name in ("new", "changed", "deleted", "pairs")]
        steps = counted(len(self.steps), "step")
        return f"Ran({self.pipeline!r}, exit code {self.exit_code}: {steps}, {', '.join(parts)}, {self.seconds:.0f} s)"

    def _repr_html_(self) -> str:
        rows = [(step.step, step.about, step.exit_code, step.said) for step in self.steps]
        return shown.table(repr(self), ("step", "of", "exit code", "outcome"), rows)

    def counts(self) -> dict[str, int | float]:
        """Return the counts of the summary, by name."""
        names = ("new", "changed", "deleted", "given_up", "pairs", "requests", "waited_s", "seconds", "exit_code")
        return {name: round(getattr(self, name), 1) for name in names}


def exit_code_of(steps: list[StepDone]) -> int:
    """Return 0 if all steps are done; codes that need a person (4, 5, 2) win over 3, and 3 wins over 75."""
    codes = {step.exit_code for step in steps} - {0}
    for code in (1, 4, 5, 2):
        if code in codes:
            return code
    if not codes:
        return 0
    nothing_done = codes == {TryLater.exit_code} and all(step.exit_code or step.said == "up to date" for step in steps)
    return TryLater.exit_code if nothing_done else Incomplete.exit_code
