"""The column `margin` of the formats that TRL reads: what attention explains of a pair, to be taken off its loss.

TRL's loss of a pair is -ln sigmoid(r_W - r_L - margin). With the margin at minus the log-odds that W gets more votes by
rank and age alone, attention is added to the difference of the scores, and the scores need not learn it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from shp_miner.errors import UsageError
from shp_miner.export.columns import Columns
from shp_miner.export.compact import COMPACT_LAYOUT
from shp_miner.export.formats import FORMATS, MARGIN, Format
from shp_miner.export.shared import differing
from shp_miner.mining.mine import Threads
from shp_miner.rules.presets import Rule

#: The formats that take the column: those that TRL's RewardTrainer reads.
TAKE_MARGIN = ("trl", "chat-pairs", "trl-text")


def form_of(name: str, *, margin: bool) -> Format:
    """Return the format of a name, with the column if it is asked for and the format takes it."""
    return _with_margin(FORMATS[name]) if margin and name in TAKE_MARGIN else FORMATS[name]


def form_of_manifest(manifest: Mapping[str, Any]) -> Format:
    """Return the format of the files of a manifest. Raises KeyError for an unknown one."""
    return form_of(manifest["format"], margin=has_margin(manifest))


def has_margin(manifest: Mapping[str, Any]) -> bool:
    """Return whether a manifest is of an export that was asked for with the column."""
    configuration = manifest.get("configuration")
    return isinstance(configuration, dict) and configuration.get(MARGIN) is True


def check_margin(formats: Sequence[str], rule: Rule, layout: str) -> None:
    """Raise UsageError where the column cannot be had: by the formats, the rule or the layout."""
    if not set(formats) & set(TAKE_MARGIN):
        raise UsageError(
            f"The format {', '.join(formats)} has no margin.", f"Give a format that has: {', '.join(TAKE_MARGIN)}."
        )
    if rule.order == "winner-not-older":
        raise UsageError(
            f"A margin needs pairs of both orders: by the rule {rule.name} no winner is older.",
            "Age alone separates these pairs. Choose a rule of any order, such as `--rule comparisons`.",
        )
    if layout == COMPACT_LAYOUT:
        raise UsageError("The layout compact has no margin.", "Leave out the margin, or give `--layout joined`.")


def _with_margin(form: Format) -> Format:
    def rows(threads: Threads, rule_name: str) -> Columns:
        pairs, _ = differing(threads)
        # Where nothing is known of attention, nothing is taken off: trainers stop at a null.
        return form.rows(threads, rule_name) | {MARGIN: pairs[MARGIN].fill_null(0.0)}

    schema = form.schema.append(pa.field(MARGIN, pa.float64()))
    return dataclasses.replace(form, schema=schema, rows=rows, margin=True)
