"""What a training is told by: the report of a model, as data and as a card."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from shp_miner.training.controls import Flipped, Swapped, ViewResult
from shp_miner.training.measures import DRAWS, Estimate, Evaluation, Group


class Report(Struct, frozen=True, kw_only=True):
    """How a model was trained and how good it is.

    pairs and threads are those of the training, kept_pairs those that the trainer used. split is the one that the model
    was evaluated on, null if there is none but `train`, and tested_rule its rule. notes are sentences on what is
    missing, and why.
    """

    kind: str
    base: str
    format: str
    rule: str
    pairs: int
    threads: int
    kept_pairs: int
    penalty: float | None = None
    thread_weights: str | None = None
    split: str | None
    tested_rule: str
    evaluation: Evaluation | None
    views: list[ViewResult]
    swapped: Swapped | None
    flips: list[Flipped] = []
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    def rows(self) -> list[tuple[str, Estimate]]:
        """Return the figures of the report, each with its name."""
        found = self.evaluation
        if found is None:
            return []
        rows: list[tuple[str, Estimate | None]] = [
            ("accuracy", found.accuracy),
            ("longer wins", found.longer_wins),
            ("earlier wins", found.earlier_wins),
            ("accuracy over longer wins", found.over_longer),
            ("accuracy over earlier wins", found.over_earlier),
            ("balanced over older and newer winners", found.balanced),
            ("balanced, longer wins", found.balanced_longer_wins),
        ]
        rows += [(f"usable bits, {view.view}", view.bits) for view in self.views]
        if self.swapped is not None:
            rows += [
                ("accuracy with another thread's question", self.swapped.other),
                ("prompt-swapped gap", self.swapped.gap),
            ]
        rows += [(f"accuracy, {flipped.share:.0%} of labels flipped", flipped.accuracy) for flipped in self.flips]
        return [(name, estimate) for name, estimate in rows if estimate is not None]

    def groups(self) -> list[Group]:
        """Return the parts of the evaluation's pairs, largest communities first."""
        found = self.evaluation
        if found is None:
            return []
        communities = sorted(found.by_community, key=lambda group: (-group.pairs, group.name))
        ratios = [msgspec.structs.replace(group, name=f"score ratio {group.name}") for group in found.by_ratio]
        return [*ratios, *found.by_winner, *communities]


def interval(estimate: Estimate) -> str:
    """Return the interval as people read it, "" without one."""
    return "" if estimate.low is None else f"{estimate.low:.3f} to {estimate.high:.3f}"


def card(report: Report, facts: dict[str, Any], loading: str) -> str:
    """Return the README of a model's folder; `loading` is the code that loads it."""
    trained = facts["trained_on"]
    lines = [
        "# A reward model of shp-miner",
        "",
        f"Scores an answer to a question: the higher the score, the likelier people prefer it. Kind: {report.base}.",
        "",
        "```python",
        loading,
        "```",
        "",
        "## Trained on",
        "",
        f"{report.kept_pairs:,} pairs of {report.threads:,} threads, format `{report.format}`, rule `{report.rule}`."
        f" SHA-256 of the export's manifest: `{trained['manifest_sha256']}`. Seed {trained['seed']}.",
        "",
        "The terms of the texts that it was trained on are in the card of that export, and hold for this model too.",
        "",
        "## Measured",
        "",
    ]
    found = report.evaluation
    if found is not None:
        lines += [
            f"On {found.pairs:,} pairs (rule `{report.tested_rule}`) of {found.threads:,} threads of the split"
            f" `{report.split}`, none of which it was"
            f" trained on. Intervals hold 95 % of {DRAWS:,} draws of threads (bootstrap). Chance is 0.5.",
            "",
            "| figure | value | 95 % interval |",
            "|---|---|---|",
            *(f"| {name} | {estimate.value:.3f} | {interval(estimate)} |" for name, estimate in report.rows()),
            "",
            "| pairs with | pairs | threads | accuracy | 95 % interval | longer wins |",
            "|---|---|---|---|---|---|",
            *(
                f"| {_in_cell(group.name)} | {group.pairs:,} | {group.threads:,} | {group.accuracy.value:.3f} |"
                f" {interval(group.accuracy)} | {group.longer_wins.value:.3f} |"
                for group in report.groups()
            ),
            "",
        ]
    lines += [f"- {note}" for note in report.notes]
    return "\n".join(lines).rstrip("\n") + "\n"


def _in_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
