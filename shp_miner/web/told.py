"""The results of an audit in sentences and tables, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence

from shp_miner.tally import counted
from shp_miner.web.agreement import Estimate
from shp_miner.web.results import Results, Share

#: A title, its columns, and rows of plain texts and numbers.
Table = tuple[str, tuple[str, ...], list[tuple[str | int, ...]]]

#: Communities and judges that are shown; JSON has all.
_MOST = 20

_SHARES = ("judgments", "threads", "agree", "95 % interval")


def sentences(results: Results) -> list[str]:
    """Return what the results say, the main finding first."""
    if not results.judgments:
        return ["There are no judgments yet."]
    found = [_agreement(results), _choices(results)]
    slope = results.slope
    if slope.value is not None:
        words = "as often as" if _holds(slope, 1) else "less often than" if slope.value < 1 else "more often than"
        found.append(f"Slope of calibration: {shown(slope, 2)}; judges agree {words} the confidences say.")
    between = results.between
    if between.units:
        found.append(
            f"Between judges, {counted(between.units, 'pair')}: raw agreement {shown(between.raw, 2)}, Krippendorff's"
            f" alpha {shown(between.alpha, 2)}, Gwet's AC1 {shown(between.ac1, 2)}."
        )
    if results.unknown:
        found.append(f"{results.unknown:,} judgments are of pairs that the export does not have.")
    return [*found, *results.notes]


def _agreement(results: Results) -> str:
    share = results.all
    if share.agree.value is None:
        return "No judgment prefers an answer of a pair in the export yet."
    return (
        f"Judges agree with {_percent(share.agree)} of the labels ({counted(share.judgments, 'judgment')} that prefer"
        f" an answer, {counted(share.threads, 'thread')})."
    )


def _choices(results: Results) -> str:
    told = ", ".join(f"{name} {count:,}" for name, count in results.choices.items())
    return f"{counted(results.judgments, 'judgment')} of {counted(results.pairs, 'pair')}; first choices: {told}."


def tables(results: Results) -> list[Table]:
    """Return the tables that have rows."""
    found: list[Table] = [
        ("By confidence of the label", ("confidence", *_SHARES), _shares(results.by_confidence)),
        ("By preset, on the judged pairs that it keeps", ("preset", *_SHARES), _shares(results.by_preset)),
        ("By score ratio", ("ratio", *_SHARES), _shares(results.by_ratio)),
        ("By tier", ("tier", *_SHARES), _shares(results.by_tier)),
        ("By community", ("community", *_SHARES), _shares(results.by_community[:_MOST])),
        ("Judges", _JUDGES, _judges(results)),
    ]
    return [table for table in found if table[2]]


_JUDGES = (
    "judge",
    "judgments",
    "agree",
    "95 % interval",
    "again",
    "same",
    "chooses side 1",
    "95 % of that",
    "median s",
)


def _judges(results: Results) -> list[tuple[str | int, ...]]:
    return [
        (
            judge.judge or "(no name)",
            judge.judgments,
            _value(judge.agree),
            _interval(judge.agree),
            judge.again,
            _value(judge.same),
            _value(judge.first_side),
            _interval(judge.first_side),
            "-" if judge.median_seconds is None else f"{judge.median_seconds:.1f}",
        )
        for judge in results.judges[:_MOST]
    ]


def _shares(shares: Sequence[Share]) -> list[tuple[str | int, ...]]:
    return [
        (share.group, share.judgments, share.threads, _value(share.agree), _interval(share.agree)) for share in shares
    ]


def _holds(estimate: Estimate, value: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= value <= estimate.high


def shown(estimate: Estimate, digits: int) -> str:
    """Return an estimate and its interval, such as "0.91 (0.72 to 1.10)"; "not defined" where there is none."""
    if estimate.value is None:
        return "not defined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"


def _percent(estimate: Estimate) -> str:
    assert estimate.value is not None
    return f"{estimate.value:.1%} (95 % interval {estimate.low:.1%} to {estimate.high:.1%})"


def _value(estimate: Estimate) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.1%}"


def _interval(estimate: Estimate) -> str:
    return "-" if estimate.low is None else f"{estimate.low:.1%} to {estimate.high:.1%}"
