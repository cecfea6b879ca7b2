"""The figures on pairs: what the counts of an export's rows, or of a store under a rule, show in words and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from shp_miner.checking.baselines import EARLIER, HIGHER, LONGER, Baseline
from shp_miner.export.markdown import percent
from shp_miner.report.bins import HOUR_S, Bins, Periods, duration, gaps_between, month_name, written_gaps
from shp_miner.report.figure import Cell, Part
from shp_miner.report.pairs import APART, CHARS, CONFIDENCE, GAP, RATIO, PairCounts
from shp_miner.rules.calibrated import SURE
from shp_miner.rules.hashing import SPLITS
from shp_miner.tally import counted

#: Communities that a figure names; the rest is one row.
NAMED = 12

#: Pairs, or threads, below which a share is not worth a word.
_FEW = 30

Row = tuple[Cell, ...]


def pair_parts(counts: PairCounts, gate_s: float, *, drawn: bool) -> Iterator[Part]:
    """Yield the figures on pairs, those of which the rows say something.

    `gate_s` is the rule's lowest age of a score; `drawn` says whether chance decides which answer comes first.
    """
    if counts.months:
        yield by_month("months", counts.months, "pair")
    if counts.ratio:
        yield _ratio(counts)
    if counts.apart:
        yield _apart(counts)
    if counts.age:
        yield _age(counts, gate_s)
    if counts.better:
        yield _length(counts)
    if longer := counts.longer_wins():
        yield _gap(longer)
    if known := [baseline for baseline in counts.baselines() if drawn or baseline.name != HIGHER]:
        yield _baselines(known)
    if balance := counts.first_wins() if drawn else counts.true_labels():
        yield _balance(balance, drawn=drawn)
    if counts.confidence:
        yield _confidence(counts)
    if set(counts.rows) - {""}:
        yield _splits(counts)


def by_month(name: str, counts: Counter[tuple[str, int]], what: str) -> Part:
    """Return the figure of counts by community and month; the smaller communities are one row."""
    totals = _totals(counts)
    largest = _largest(totals)
    name_of, period_of = period_names(counts)
    months = [month for _, month in counts]
    periods = Periods(min(months), max(months))
    cells: Counter[tuple[str, str]] = Counter()
    for (community, month), count in counts.items():
        cells[name_of[community], period_of(month)] += count
    shown = dict.fromkeys(name_of[community] for community in largest)
    rows: list[Row] = [(community, label, cells[community, label]) for community in shown for label in periods.labels()]
    total, first = totals.total(), largest[0]
    span = dict.fromkeys((month_name(min(months)), month_name(max(months))))
    said = f"{counted(total, what)} {'in' if len(span) == 1 else 'from'} {' to '.join(span)}"
    if len(largest) > 1:
        said += f", of {len(largest):,} communities; {first} has {percent(totals[first], total)} of them"
    gaps = gaps_between(months)
    missing = f" No {what} in {written_gaps(gaps)}." if gaps else ""
    return Part(name, f"{said}.{missing}", ("community", "period", f"{what}s"), rows)


def period_names(counts: Counter[tuple[str, int]]) -> tuple[dict[str, str], Callable[[int], str]]:
    """Return the name by which `by_month` shows each community, and what names the period of a month."""
    largest = _largest(_totals(counts))
    names = {community: community for community in largest}
    if len(largest) > NAMED + 1:
        names |= dict.fromkeys(largest[NAMED:], f"all others ({len(largest) - NAMED:,})")
    months = [month for _, month in counts]
    return names, Periods(min(months), max(months)).label


def _totals(counts: Counter[tuple[str, int]]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for (community, _), count in counts.items():
        totals[community] += count
    return totals


def _largest(totals: Counter[str]) -> list[str]:
    return sorted(totals, key=lambda community: (-totals[community], community))


def _bars(labels: tuple[str, ...], *columns: Counter[int]) -> list[Row]:
    """Return a row for each bin from the first to the last that any column has."""
    filled = [number for column in columns for number in column]
    return [(labels[number], *(column[number] for column in columns)) for number in range(min(filled), max(filled) + 1)]


def _ratio(counts: PairCounts) -> Part:
    known = counts.ratio.total()
    close, twice, tenfold = (RATIO.from_edge(counts.ratio, edge) for edge in (1.5, 2, 10))
    said = (
        f"In {percent(twice, known)} of {counted(known, 'pair')} the preferred answer has at least twice the votes of "
        f"the other, in {percent(tenfold, known)} at least ten times. The closest calls, below 1.5 times, are "
        f"{percent(known - close, known)}."
    )
    if counts.no_ratio:
        said += f" {counted(counts.no_ratio, 'pair')} have no ratio, because the lower score is not positive."
    return Part("ratio", said, ("times the votes", "pairs"), _bars(RATIO.labels, counts.ratio))


def _apart(counts: PairCounts) -> Part:
    later, earlier = (Counter[int]() for _ in range(2))
    for (number, is_later), count in counts.apart.items():
        (later if is_later else earlier)[number] += count
    total, both = counts.apart.total(), later + earlier
    close = total - APART.from_edge(both, HOUR_S)
    distant = APART.from_edge(both, 86_400)
    said = (
        f"The preferred answer is the later one in {percent(later.total(), total)} of {counted(total, 'pair')}. "
        f"The two answers came within an hour of each other in {percent(close, total)}, and more than a day apart in "
        f"{percent(distant, total)}."
    )
    columns = ("time between", "later answer preferred", "earlier or same time")
    return Part("apart", said, columns, _bars(APART.labels, later, earlier))


def _age(counts: PairCounts, gate_s: float) -> Part:
    return age_part("age", counts.age, counts.age_bins, gate_s, "scores that decide pairs")


def age_part(name: str, ages: Counter[int], bins: Bins, gate_s: float, what: str) -> Part:
    """Return the figure of ages of scores, with the gate below which a score does not count."""
    total = ages.total()
    early = total - bins.from_edge(ages, gate_s) if gate_s else 0
    month = bins.from_edge(ages, 30 * 86_400)
    gate = f"the gate of {duration(gate_s)}" if gate_s else "a gate"
    if early:
        said = f"{percent(early, total)} of {total:,} {what} were read before {gate}: no rule counts them."
    elif gate_s:
        said = f"All {total:,} {what} were read after {gate}, which drops younger scores as noise."
    else:
        said = f"{total:,} {what}; this rule has no gate, so it counts scores of any age."
    said += f" {percent(month, total)} were read at an age of 30 days or more, when votes have settled."
    edge = bins.edges.index(gate_s) + 1 if gate_s else 0
    rows: list[Row] = [
        (label, ages[number], number >= edge)
        for number, label in enumerate(bins.labels)
        if min(*ages, max(edge - 1, 0)) <= number <= max(*ages, edge)
    ]
    return Part(name, said, ("age of the score", "scores", "counts"), rows)


def _length(counts: PairCounts) -> Part:
    better, worse = counts.better.total(), counts.worse.total()
    middle = _middle(counts.better + counts.worse, CHARS)
    long, others = (CHARS.from_edge(side, middle) for side in (counts.better, counts.worse))
    said = (
        f"{percent(long, better)} of the preferred answers have {middle:,.0f} characters or more, and "
        f"{percent(others, worse)} of the other answers."
    )
    columns = ("characters", "preferred answers", "other answers")
    return Part("length", said, columns, _bars(CHARS.labels, counts.better, counts.worse))


def _middle(counts: Counter[int], bins: Bins) -> float:
    """Return the edge that parts the counts most evenly."""
    half = counts.total() / 2
    return min(bins.edges, key=lambda edge: abs(bins.from_edge(counts, edge) - half))


def _gap(longer: list[Baseline]) -> Part:
    pairs = sum(gap.pairs for gap in longer)
    overall = sum(gap.share * gap.pairs for gap in longer) / pairs
    solid = [gap for gap in longer if gap.pairs >= _FEW] or longer
    most, least = max(solid, key=lambda gap: gap.share), min(solid, key=lambda gap: gap.share)
    said = f"The longer answer wins {_share(overall)} of {counted(pairs, 'pair')} of different lengths."
    if most is not least:
        said += (
            f" Most often ({_share(most.share)}) where it is {_times(most.name)} as long, and least often "
            f"({_share(least.share)}) where it is {_times(least.name)} as long."
        )
        if most is not longer[-1]:
            said += " More length does not always mean more wins."
    return Part("gap", said, _SHARES, [_share_row(gap) for gap in longer])


#: The columns of a figure of shares with their intervals.
_SHARES = ("what", "share", "low", "high", "pairs", "threads")


def _times(label: str) -> str:
    return f"{label.removesuffix(' or more')} times or more" if label.endswith("more") else f"{label} times"


def _share_row(baseline: Baseline) -> Row:
    shares = (round(value, 6) for value in (baseline.share, baseline.low, baseline.high))
    return (baseline.name, *shares, baseline.pairs, baseline.threads)


def _baselines(baselines: list[Baseline]) -> Part:
    said = "; ".join(f"{_RULES[base.name]} {_agrees(base)}" for base in baselines)
    return Part(
        "baselines",
        f"{said[0].upper()}{said[1:]}. A model that does no better has learned no more than that.",
        _SHARES,
        [_share_row(base) for base in baselines],
    )


_RULES = {
    LONGER: "preferring the longer answer",
    EARLIER: "preferring the earlier answer",
    HIGHER: "preferring the answer in the first column",
}


def _agrees(baseline: Baseline) -> str:
    if baseline.share in (0, 1):
        return f"{'always' if baseline.share else 'never'} agrees with the labels"
    return f"agrees with {_share(baseline.share)} of the labels ({_share(baseline.low)} to {_share(baseline.high)})"


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _balance(balance: list[Baseline], *, drawn: bool) -> Part:
    pairs = sum(split.pairs for split in balance)
    overall = sum(split.share * split.pairs for split in balance) / pairs
    if drawn:
        solid = [split for split in balance if split.threads >= _FEW]
        off = [split.name for split in solid if not split.low <= 0.5 <= split.high]
        even = "so the position says nothing" if not off else f"more or less than chance allows in {', '.join(off)}"
        even = even if solid else "too few threads to say whether the position gives the label away"
        said = f"The first answer is the preferred one in {_share(overall)} of {counted(pairs, 'row')}: {even}."
    else:
        said = f"{_share(overall)} of {counted(pairs, 'label')} are true; the rest says that the answer is not wanted."
    return Part("balance", said, _SHARES, [_share_row(split) for split in sorted(balance, key=_order)])


def _order(split: Baseline) -> int:
    return SPLITS.index(split.name) if split.name in SPLITS else len(SPLITS)


def _confidence(counts: PairCounts) -> Part:
    by_tier: dict[str, Counter[int]] = {"strict": Counter(), "extended": Counter()}
    for (number, tier), count in counts.confidence.items():
        by_tier.setdefault(tier, Counter())[number] += count
    every = Counter[int]()
    for numbers in by_tier.values():
        every.update(numbers)
    total = every.total()
    sure, doubtful = CONFIDENCE.from_edge(every, SURE), total - CONFIDENCE.from_edge(every, 0.65)
    said = (
        f"{percent(sure, total)} of {counted(total, 'label')} are right with a probability of {SURE:g} or more, by the "
        f"model of attention; {percent(doubtful, total)} with less than 0.65. "
        f"{percent(by_tier['strict'].total(), total)} are of the tier strict."
    )
    columns = ("confidence", "strict", "extended")
    return Part("confidence", said, columns, _bars(CONFIDENCE.labels, by_tier["strict"], by_tier["extended"]))


def _splits(counts: PairCounts) -> Part:
    threads = counts.threads()
    names = sorted(counts.rows, key=lambda split: SPLITS.index(split) if split in SPLITS else len(SPLITS))
    rows: list[Row] = [(split, counts.rows[split], threads[split]) for split in names]
    told = ", ".join(f"{percent(counts.rows[split], counts.pairs)} {split}" for split in names)
    whole = f"{counted(counts.pairs, 'row')} of {counted(sum(threads.values()), 'thread')}"
    said = f"{whole}: {told}. All rows of a thread are in one split."
    return Part("splits", said, ("split", "rows", "threads"), rows)


#: The labels of a figure's bins in their order; a picture sorts by it.
ORDERED: dict[str, tuple[str, ...]] = {
    "ratio": RATIO.labels,
    "apart": APART.labels,
    "length": CHARS.labels,
    "gap": GAP.labels,
    "confidence": CONFIDENCE.labels,
}
