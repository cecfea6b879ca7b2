"""The figures on a store: months that it covers, how its scores were read, and the pairs of each preset."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shp_miner.export.markdown import percent
from shp_miner.report.bins import Bins, duration, gaps_between, written_gaps
from shp_miner.report.figure import EARLY, Cell, Part
from shp_miner.report.parts import by_month, period_names
from shp_miner.report.readings import MOST_READINGS, ReadingCounts
from shp_miner.rules.age import EARLY_ANSWERS_MIN, EARLY_SHARE
from shp_miner.rules.arrival import FIRST_RANKS
from shp_miner.show.compare import Compared
from shp_miner.tally import counted

#: Communities whose missing months are named.
_NAMED = 3


def reading_parts(counts: ReadingCounts, gate_s: float) -> Iterator[Part]:
    """Yield the figures on readings, those of which the store says something. `gate_s` is the rule's."""
    if counts.answers:
        yield coverage_part(counts)
    if counts.newest:
        yield _observed(counts, gate_s)
    if counts.times:
        yield _readings(counts)


def coverage_part(counts: ReadingCounts) -> Part:
    """Return the figure of answers by community and month, with those that lack or were read too early."""
    part = by_month("coverage", counts.answers, "answer")
    community_of, period_of = period_names(counts.answers)
    early: Counter[tuple[Cell, Cell]] = Counter()
    for (name, month), count in counts.early.items():
        early[community_of[name], period_of(month)] += count
    rows: list[tuple[Cell, ...]] = []
    for community, period, answers in part.rows:
        read, total = early[community, period], int(answers or 0)
        too_early = total >= EARLY_ANSWERS_MIN and read / total >= EARLY_SHARE
        rows.append((community, period, answers, read, too_early))
    said = [part.finding, *_lacking(counts.answers)]
    marked = [row for row in rows if row[4]]
    if marked:
        most = max(marked, key=lambda row: int(row[3] or 0))
        said.append(
            f"{counted(len(marked), 'triangle')}: most of these scores were read within 24 h of writing, too early to "
            f"count, above all {most[0]} in {most[1]} ({most[3]:,} of {most[2]:,}). "
            "`shp-miner recheck` reads such scores again."
        )
    else:
        share = percent(sum(counts.early.values()), counts.answers.total())
        said.append(f"In no month most scores were read too early; {share} of all were read within 24 h of writing.")
    columns = ("community", "period", "answers", "read within 24 h", EARLY)
    return Part("coverage", " ".join(said), columns, rows)


def _lacking(answers: Counter[tuple[str, int]]) -> Iterator[str]:
    """Yield a sentence on communities that have no answers in some months between their first and last."""
    months: dict[str, list[int]] = {}
    for community, month in answers:
        months.setdefault(community, []).append(month)
    if len(months) == 1:
        return  # the finding says it already
    gaps = {name: found for name in sorted(months) if (found := gaps_between(months[name]))}
    if gaps:
        told = [f"{name} {written_gaps(found)}" for name, found in list(gaps.items())[:_NAMED]]
        more = f"; and of {len(gaps) - _NAMED:,} more" if len(gaps) > _NAMED else ""
        yield f"Missing stretches (crosses): {'; '.join(told)}{more}."


def _observed(counts: ReadingCounts, gate_s: float) -> Part:
    newest, every, bins = counts.newest, counts.newest + counts.earlier, counts.bins
    total = every.total()
    early = total - bins.from_edge(every, gate_s)
    only_early = newest.total() - bins.from_edge(newest, gate_s)
    settled = bins.from_edge(newest, 30 * 86_400)
    said = (
        f"{percent(early, total)} of {counted(total, 'reading')} are younger than the gate of {duration(gate_s)}: no "
        f"rule counts them. Of {counted(newest.total(), 'answer')}, {percent(only_early, newest.total())} have no "
        f"later reading, and {percent(settled, newest.total())} were read at an age of 30 days or more."
    )
    if counts.unknown:
        said += f" Answers without a known time of reading: {counts.unknown:,}."
    edge = bins.edges.index(gate_s) + 1 if gate_s else 0
    rows = _ages(every, newest, counts.earlier, bins, edge)
    return Part("observed", said, ("age of the score", "newest reading", "earlier readings", "counts"), rows)


def _ages(
    every: Counter[int], newest: Counter[int], earlier: Counter[int], bins: Bins, edge: int
) -> list[tuple[Cell, ...]]:
    return [
        (label, newest[number], earlier[number], number >= edge)
        for number, label in enumerate(bins.labels)
        if min(*every, max(edge - 1, 0)) <= number <= max(*every, edge)
    ]


def _readings(counts: ReadingCounts) -> Part:
    total = counts.times.total()
    again = total - counts.times[1]
    said = (
        f"{percent(again, total)} of {counted(total, 'answer')} were read at two ages or more, so their scores can be "
        f"seen to grow; {percent(counts.times[1], total)} were read once."
    )
    rows: list[tuple[Cell, ...]] = [
        (f"{times} or more" if times == MOST_READINGS else str(times), counts.times[times])
        for times in range(1, MOST_READINGS + 1)
    ]
    return Part("readings", said, ("times read", "answers"), rows)


# -- what rules make of it --------------------------------------------------------------------------------------------


def presets_part(compared: Compared) -> Part:
    """Return the figure of pairs by preset, and the recommended one, as `shp-miner compare` says them."""
    rules = compared.rules
    best = max((rule for rule in rules if "confounded" not in rule.warnings), key=lambda rule: rule.pairs)
    few = [rule.rule for rule in rules if "few pairs" in rule.warnings]
    said = f"Of the rules that are not confounded by design, {best.rule} makes the most pairs: {best.pairs:,}."
    said += f" The default, {rules[0].rule}, makes {rules[0].pairs:,}."
    if not any(rule.pairs for rule in rules):
        said = "No rule makes a pair of this store: 0 of each. The steps from posts to pairs say why."
    if compared.recommended is not None:
        said += f" Recommended: {compared.recommended.rule}. {compared.recommended.why}".rstrip()
    if few:
        said += f" {counted(len(few), 'rule')} of {len(rules)} make under 1,000: {', '.join(few)}."
    columns = ("rule", "pairs", "posts", "longer wins", "confidence", "warnings")
    rows: list[tuple[Cell, ...]] = [
        (
            rule.rule,
            rule.pairs,
            rule.posts,
            None if rule.longer_wins is None else round(rule.longer_wins, 4),
            None if rule.mean_confidence is None else round(rule.mean_confidence, 4),
            ", ".join(rule.warnings),
        )
        for rule in rules
    ]
    return Part("presets", said, columns, rows)


def arrival_part(bins: Sequence[Mapping[str, Any]]) -> Part | None:
    """Return the figure of votes by the order of arrival with the fitted curve, from `Arrival.data`; None without data.

    Both are multiples of the typical answer of the same thread: the exponential of the mean of the logarithms.
    """
    if len(bins) < 2:
        return None
    rows: list[tuple[Cell, ...]] = [
        (_ranks(int(found["from_rank"])), _times(found["log_votes"]), _times(found["fitted"]), found["answers"])
        for found in bins
    ]
    first, last = rows[0], rows[-1]
    follow = "votes follow" if bins[0]["log_votes"] > bins[-1]["log_votes"] else "here votes do not follow"
    said = (
        f"The first answers of {counted(int(bins[0]['answers']), 'thread')} have {first[1]:.2g} times the votes of a "
        f"typical answer of their thread, answers {last[0]} have {last[1]:.2g} times. From attention alone the fit "
        f"expects {first[2]:.2g} and {last[2]:.2g} times (the line): {follow} who came first."
    )
    return Part("arrival", said, ("order of arrival", "votes", "fitted", "answers"), rows)


def _ranks(first: int) -> str:
    place = FIRST_RANKS.index(first)
    if place + 1 == len(FIRST_RANKS):
        return f"{first} or more"
    last = FIRST_RANKS[place + 1] - 1
    return str(first) if first == last else f"{first} to {last}"


def _times(log: float) -> float:
    return round(math.exp(log), 4)
