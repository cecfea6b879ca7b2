"""What a rule needs to know of answers besides which score is higher: when they were written, and counts of votes.

Some published data sets do not say it; a rule drops their answers then, under a reason, and makes no pair of a guess.
"""

from __future__ import annotations

from shp_miner.rules.presets import PRESETS, Rule


def needs_times(rule: Rule) -> bool:
    """Return whether the rule uses the time at which an answer was written."""
    return (
        rule.order != "any"
        or rule.max_apart_s is not None
        or rule.neighbours_only
        or rule.observe_at_s is not None
        or _models_attention(rule)
        or (_uses_choice(rule) and rule.accepted_over == "existing")
    )


def needs_votes(rule: Rule) -> bool:
    """Return whether the rule takes scores for counts of votes, and not only for an order."""
    counts = rule.measure not in ("score", "accepted") or rule.min_ratio is not None or rule.sample_by_weight
    return counts or _models_attention(rule)


def without_times() -> tuple[str, ...]:
    """Return the presets that use neither times nor counts of votes."""
    return tuple(name for name, rule in PRESETS.items() if not needs_times(rule) and not needs_votes(rule))


def _models_attention(rule: Rule) -> bool:
    """Return whether delays decide, or the column `attention` is what the rule is for (`comparisons`)."""
    return rule.measure == "votes" or (rule.min_confidence is not None and rule.measure != "per-reader")


def _uses_choice(rule: Rule) -> bool:
    return rule.measure == "accepted" or rule.and_ is not None or rule.or_ is not None
