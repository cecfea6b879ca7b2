"""Errors of an export without a pair: why there is none, and what to try."""

from __future__ import annotations

from collections.abc import Collection

from shp_miner.errors import BadInput
from shp_miner.platforms.communities import near
from shp_miner.platforms.sites import site_of
from shp_miner.rules.recommended import Recommendation
from shp_miner.store import Snapshot
from shp_miner.tally import Tally, counted


class NoPairs(BadInput):
    """No pair satisfies the rule; nothing was written."""


class NoThreads(NoPairs):
    """The store has no thread of the requested communities."""


#: What to try, by the reason that dropped items.
_WAYS_OUT = {
    "after_until": "give a later --until",
    "before_since": "give an earlier --since",
    "confidence_too_low": "lower --min-confidence",
    "no_choice": "choose a rule that compares votes, such as `--rule shp`, without --and accepted",
    "no_readers": "choose a rule that needs no readers, such as `--rule shp`",
    "not_observed_at_age": "leave out --observe-at, which needs scores that were read at about that age",
    "post_missing": "import the files with the posts of these answers (for Reddit, RS_* beside RC_*)",
    "score_age_unknown": "give --allow-unknown-age",
    "score_read_too_early": "wait until the scores are read again, or lower --min-score-age",
    "score_too_low": "lower --min-post-score or --min-answer-score",
    **dict.fromkeys(
        ("time_unknown", "score_not_votes"),
        "give `--rule votes --allow-unknown-age`, which needs neither, without --min-ratio, --since and --until",
    ),
    **dict.fromkeys(("answer_too_long", "answer_too_short"), "widen the bounds of length that --clean-... set"),
    "other_language": "name more --clean-languages",
    "unreadable": "give --keep-unreadable, to keep items that could not be read at the last visit",
}


_FIRST = ("time_unknown", "score_not_votes", "confidence_too_low")


def nothing(tally: Tally, recommended: Recommendation | None = None) -> NoPairs:
    """Return the error for an export without a pair: what was dropped most, and what to try."""
    reasons = sorted(tally.dropped.items(), key=lambda item: -item[1])
    # Pairs of low confidence are dropped last: a lower bound would keep them. What a data set does not say comes first,
    # because only another rule helps.
    last = [item for item in reasons if item[0][1] in _FIRST]
    told = [*last, *(item for item in reasons if item not in last)][:3]
    if not told:
        return NoThreads(
            "No pair of answers satisfies the rule: the store has no such threads.",
            "Run `shp-miner stats` to see the store's communities.",
        )
    why = ", ".join(f"{counted(count, kind)}: {reason.replace('_', ' ')}" for (kind, reason), count in told)
    ways = [_WAYS_OUT[reason] for (_, reason), _ in [*last, *reasons] if reason in _WAYS_OUT]
    compare = "`shp-miner compare` shows what each rule gives."
    if recommended is not None and recommended.why:
        compare = f"Or give `--rule {recommended.rule}`. {compare}"
    return NoPairs(
        f"No pair of answers satisfies the rule ({why}).",
        f"{ways[0][0].upper()}{ways[0][1:]}. {compare}" if ways else compare,
    )


def no_site(asked: Collection[str], snapshot: Snapshot) -> NoThreads | None:
    """Return the error for sites of which the store has none; None if it has one of them, or none was asked for."""
    if not asked:
        return None
    there = snapshot.sites("posts")
    wanted = sorted({site_of(name) for name in asked})
    if there & set(wanted):
        return None
    names = " or ".join(map(repr, wanted))
    return NoThreads(
        f"The store has no threads of the site {names}.", near(wanted, there).replace("communities", "sites")
    )
