"""What a card says about labels and terms: the rule's known biases with their figures, and each platform's policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shp_miner.export.markdown import percent
from shp_miner.rules.figures import LONGER, RIGHT, TRAINED
from shp_miner.rules.presets import Rule

_CONFOUNDED = """\
**The labels of this rule are known to be confounded by attention.** Use it to compare rules, not to train."""

_COMPARED = """\
**The labels alone follow attention: an answer that was seen more has more votes.** The column `attention` says how much
of that rank and age explain. Add it to the difference of the two rewards, weigh each pair by `weight`, and learn
`target`: `shp-miner docs rules` has the loss."""

_WORTH = """\
Votes follow attention as much as quality: what is seen more is voted on more, people follow the score they see, and
longer answers look better. A label here says which answer people voted up more under the rule below; it is no judgement
of truth, safety or helpfulness. A score ratio is not a significance test: 4 votes against 2 happen by chance one time
in three. `confidence` is the probability, by a model of how much attention an answer's rank and age bring, that the
preferred answer is the better one for those who vote; it knows nothing of herding or of the taste for long answers.
`tier` is `strict` for pairs of SHP's own kind with a confidence of 0.8 or more, else `extended`."""

_CHOSEN = """\
**The asker's choice decides here**: %s An accepted answer is one person's choice, made once and often within days.
It says nothing of answers that came later, and those lose no pair by it. Where no date of the choice is known, only
answers older than the accepted one were there for sure%s. `confidence` is what the votes say of a label: below 0.5 they
prefer the other answer."""

#: What holds for texts of a platform.
TERMS = {
    "reddit": """\
Reddit's policy: content that was deleted on Reddit must be removed from copies, and training on Reddit content needs
Reddit's agreement. Having a copy gives you no right to either.""",
    "stackexchange": """\
Stack Exchange content is licensed CC BY-SA (2.5, 3.0 or 4.0 by date): name the site, link the question, and name and
link the authors. The agreement under which its dump has been offered since 2024 excludes training language models.""",
}
TERMS |= {"stack-exchange-preferences": TERMS["stackexchange"], "eli5": TERMS["reddit"]}

#: What a published data set does not say, which every row of it lacks.
UNSAID = {
    "stack-exchange-preferences": """\
**Not all is known of these threads.** They come from a data set (H4's Stack Exchange preferences) that says when the
questions were written, by the day, and not when the answers were. So no rule could hold votes against the time that an
answer had to get them: an early answer may win because it was seen more. `score` is that set's `pm_score`, the rounded
log2(1 + votes), with 1 more if accepted, or -1: it is only good for putting the answers of one question in order.""",
    "eli5": """\
**Not all is known of these threads.** They come from a data set (ELI5) that does not say when posts and answers were
written, nor the scores of posts. So no rule could hold votes against the time that an answer had to get them: an early
answer may win because it was seen more.""",
}


def worth(rule: Rule, facts: Mapping[str, Any]) -> str:
    """Return what a label of the rule is worth, what was measured of it, and what was counted in these rows."""
    parts = [_CONFOUNDED] if rule.confounded else [_COMPARED] if rule.measure == "votes" else []
    how = _chosen(rule)
    if how:
        parts.append(_CHOSEN % (how, "; here every other answer loses then" * (rule.accepted_over == "all")))
    parts += [UNSAID[platform] for platform in facts.get("platforms", ()) if platform in UNSAID]
    return "\n\n".join([*parts, _WORTH, "\n".join(f"- {told}" for told in _measured(rule, facts))])


def _chosen(rule: Rule) -> str:
    """Return how the asker's choice makes pairs; "" if it makes none."""
    if rule.measure == "accepted":
        return "votes do not."
    if rule.and_ is not None:
        return "a pair needs the votes and the choice to agree."
    return "a pair comes from the votes or from the choice, if they do not disagree." if rule.or_ is not None else ""


def _measured(rule: Rule, facts: Mapping[str, Any]) -> list[str]:
    told = []
    longer, by_length = facts.get("longer_wins", (0, 0))
    if by_length:
        told.append(
            f"Length: the longer answer wins {percent(longer, by_length)} of the pairs of different lengths here."
        )
    earlier, by_time = facts.get("earlier_wins", (0, 0))
    if by_time:
        told.append(
            f"Attention: the earlier answer wins {percent(earlier, by_time)} of the pairs of different times here."
        )
    base = rule.name.partition(" with ")[0]
    of = f"of `{base}`" if base == rule.name else f"of `{base}`, of which this rule is a change,"
    if base in RIGHT:
        low, high = (f"{100 * share:.0f}" for share in RIGHT[base])
        told.append(
            f"Simulation: in seventeen forums with known quality, the better answer won {low} to {high} % of the pairs "
            f"{of} depending on the forum."
        )
    if base in TRAINED:
        accuracy, longest = (f"{100 * one:.1f} and {100 * other:.1f} %" for one, other in (TRAINED[base], LONGER))
        told.append(
            f"Real threads: a linear model of words, trained on pairs {of} predicted {accuracy} of the pairs of two "
            f"subreddits with answers at most an hour apart; preferring the longer answer predicted {longest}."
        )
    return [*told, "Herding: a first vote raises the next ones, and no rule here removes that."]
