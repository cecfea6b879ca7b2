"""The results of an audit: how far judgments agree with the labels, with each other and with themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct

from shp_miner.show.rows import Export, column_table
from shp_miner.store import Store
from shp_miner.web.agreement import Between, Estimate, between_judges, calibration_slope, wilson
from shp_miner.web.judgments import Judgment
from shp_miner.web.sample import CONFIDENCES, RATIOS
from shp_miner.web.verdicts import PairKey, key_of, verdicts

#: What is read of the rows that were judged.
_COLUMNS = [
    "pair_id", "post_id", "answer1_id", "answer2_id", "preferred", "score_ratio", "confidence", "tier", "rule",
]  # fmt: skip

#: The categories between judges: the answer whose id is first in the pair's id, the other one, a tie, both bad.
_CATEGORIES = 4


class Share(Struct, frozen=True):
    """How often judges agree with labels, among the pairs of a group for which they prefer an answer.

    The share is the mean over threads, so that a pair that several people judged counts once; Wilson's interval takes
    threads as the units.
    """

    group: str
    judgments: int
    threads: int
    agree: Estimate


class Judge(Struct, frozen=True):
    """A judge: how often the judge agrees with labels, says the same again, and chooses side 1.

    `again` are pairs that came twice, with sides swapped; `same` is the share of them with the same choice of an
    answer, a tie or both bad. `first_side` is the share of side 1 among choices of a side: 0.5 without a bias.
    """

    judge: str
    judgments: int
    agree: Estimate
    again: int
    same: Estimate
    first_side: Estimate
    median_seconds: float | None


class Results(Struct, frozen=True):
    """The results of an audit. `unknown`: judgments of pairs that the export does not have (any more)."""

    judgments: int
    pairs: int
    unknown: int
    choices: dict[str, int]
    all: Share
    by_confidence: list[Share]
    by_ratio: list[Share]
    by_tier: list[Share]
    by_community: list[Share]
    by_preset: list[Share]
    judges: list[Judge]
    between: Between
    slope: Estimate
    notes: list[str]


class _Vote(Struct, frozen=True):
    """A first judgment of a pair of the export: the row, and 1 or 0 for agreeing with the label, None for neither."""

    judgment: Judgment
    row: dict[str, Any]
    agrees: float | None


def results(
    judgments: Sequence[Judgment],
    export: Export,
    store: Store | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Results:
    """Return the results of judgments of an export's rows. With a store also by preset.

    Every pair counts by its first judgment of each judge; the second one says how consistent the judge is.
    """
    rows = _rows(export, {judgment.pair_id for judgment in judgments}, advance)
    placed = [_with_sides(judgment, rows.get(judgment.pair_id)) for judgment in judgments]
    first = _first(placed)
    votes = [_vote(judgment, rows[judgment.pair_id]) for judgment in first if judgment.pair_id in rows]
    decided = [vote for vote in votes if vote.agrees is not None]
    presets, notes = _by_preset(decided, store)
    return Results(
        judgments=len(judgments),
        pairs=len({judgment.pair_id for judgment in first}),
        unknown=sum(judgment.pair_id not in rows for judgment in judgments),
        choices=_choices(first),
        all=_share("all", decided),
        by_confidence=_binned(decided, "confidence", CONFIDENCES, "{:.2f}"),
        by_ratio=_binned(decided, "score_ratio", RATIOS, "{:g}"),
        by_tier=_grouped(decided, lambda vote: vote.row["tier"]),
        by_community=_grouped(decided, lambda vote: vote.row["community"]),
        by_preset=presets,
        judges=_judges(placed, votes),
        between=_between(first),
        slope=_slope(decided),
        notes=notes,
    )


def _rows(export: Export, pair_ids: set[str], advance: Callable[[int, int], None] | None) -> dict[str, dict[str, Any]]:
    """The rows of some pairs, by their ids, with their community and the pair's key."""
    found: dict[str, dict[str, Any]] = {}
    done = 0
    for number, file in enumerate(export.files):
        ids = pl.Series(column_table(export, number, ["pair_id"])["pair_id"].to_pylist(), dtype=pl.String)
        done += len(ids)
        held = ids.is_in(list(pair_ids))
        if held.any():
            table = pl.DataFrame(column_table(export, number, _COLUMNS)).filter(held)
            for row in table.iter_rows(named=True):
                found[row["pair_id"]] = {**row, "community": file["community"], "key": key_of(row)}
        if advance is not None:
            advance(done, export.rows)
    return found


def _with_sides(judgment: Judgment, row: Mapping[str, Any] | None) -> Judgment:
    """The judgment with the ids of both sides; where its line lacks them, 1 is the first answer of the pair's id."""
    if judgment.answer1_id is not None or row is None:
        return judgment
    ids = [row["answer1_id"], row["answer2_id"]]
    first, second = ids if judgment.pair_id.endswith(f"/{ids[0]}-{ids[1]}") else ids[::-1]
    told = {name: getattr(judgment, name) for name in judgment.__struct_fields__}
    return Judgment(**{**told, "answer1_id": first, "answer2_id": second})


def _first(judgments: Iterable[Judgment]) -> list[Judgment]:
    """The first judgment of each judge and pair."""
    found: dict[tuple[str, str], Judgment] = {}
    for judgment in judgments:
        if not judgment.again:
            found.setdefault((judgment.judge, judgment.pair_id), judgment)
    return list(found.values())


def _vote(judgment: Judgment, row: dict[str, Any]) -> _Vote:
    label, preferred = row[f"answer{row['preferred']}_id"], judgment.preferred_id
    return _Vote(judgment, row, None if preferred is None else float(preferred == label))


def _choices(judgments: Iterable[Judgment]) -> dict[str, int]:
    names = {1: "an answer", 2: "an answer", 3: "a tie", 4: "both bad", 0: "cannot tell"}
    counts = dict.fromkeys(names.values(), 0)
    for judgment in judgments:
        counts[names[judgment.choice]] += 1
    return counts


def _share(group: str, votes: Sequence[_Vote], agrees: Sequence[float] | None = None) -> Share:
    values = [vote.agrees or 0.0 for vote in votes] if agrees is None else agrees
    threads: dict[tuple[str, str], list[float]] = defaultdict(list)
    for vote, value in zip(votes, values, strict=True):
        threads[vote.row["key"].site, vote.row["key"].post_id].append(value)
    holds = sum(sum(values) / len(values) for values in threads.values())
    return Share(group, len(votes), len(threads), wilson(holds, len(threads)))


def _grouped(votes: Sequence[_Vote], group: Callable[[_Vote], str | None]) -> list[Share]:
    groups: dict[str, list[_Vote]] = defaultdict(list)
    for vote in votes:
        groups[group(vote) or "unknown"].append(vote)
    return [_share(name, groups[name]) for name in sorted(groups, key=lambda name: (-len(groups[name]), name))]


def _binned(votes: Sequence[_Vote], column: str, begins: Sequence[float], shown: str) -> list[Share]:
    names = [f"below {shown.format(begins[0])}"]
    names += [f"{shown.format(low)} to {shown.format(high)}" for low, high in pairwise(begins)]
    names += [f"{shown.format(begins[-1])} and more"]
    groups: dict[str, list[_Vote]] = {name: [] for name in (*names, "unknown")}
    for vote in votes:
        value = vote.row[column]
        groups["unknown" if value is None else names[int(np.searchsorted(begins, value, side="right"))]].append(vote)
    return [_share(name, held) for name, held in groups.items() if held]


def _by_preset(votes: Sequence[_Vote], store: Store | None) -> tuple[list[Share], list[str]]:
    """How far judges agree with the label of each preset, on those of the judged pairs that it keeps."""
    if store is None or not votes:
        return [], [] if store else ["Agreement by preset needs the store: name it with --store."]
    keys = list(dict.fromkeys(vote.row["key"] for vote in votes))
    found = verdicts(store, store.snapshot(), keys)
    by_rule: dict[str, list[tuple[_Vote, float]]] = {}
    for vote in votes:
        for verdict in found.get(vote.row["key"], []):
            held = by_rule.setdefault(verdict.rule, [])
            if verdict.preferred_id is not None:
                held.append((vote, float(verdict.preferred_id == vote.judgment.preferred_id)))
    shares = [_share(rule, [vote for vote, _ in held], [value for _, value in held]) for rule, held in by_rule.items()]
    missing = len([key for key in keys if key not in found])
    return shares, [f"{missing:,} of {len(keys):,} judged pairs are not in the store."] if missing else []


def _judges(judgments: Sequence[Judgment], votes: Sequence[_Vote]) -> list[Judge]:
    found = []
    for judge in sorted({judgment.judge for judgment in judgments}):
        own = [judgment for judgment in judgments if judgment.judge == judge]
        before = {judgment.pair_id: judgment for judgment in _first(own)}
        again = [judgment for judgment in own if judgment.again and judgment.pair_id in before]
        twice = [(before[judgment.pair_id], judgment) for judgment in again]
        same = sum(_said(one) == _said(other) for one, other in twice)
        sides = [judgment.choice for judgment in own if judgment.choice in (1, 2)]
        decided = [vote for vote in votes if vote.judgment.judge == judge and vote.agrees is not None]
        seconds = [judgment.seconds for judgment in own if judgment.seconds is not None]
        found.append(
            Judge(
                judge=judge,
                judgments=len(own),
                agree=_share(judge, decided).agree,
                again=len(twice),
                same=wilson(same, len(twice)),
                first_side=wilson(sides.count(1), len(sides)),
                median_seconds=float(np.median(seconds)) if seconds else None,
            )
        )
    return found


def _said(judgment: Judgment) -> str | int | None:
    """What was said, by the answer and not by its side."""
    return judgment.choice if judgment.preferred_id is None else judgment.preferred_id


def _between(first: Sequence[Judgment]) -> Between:
    """The agreement between judges: which answer, a tie, or both bad. "Cannot tell" says nothing."""
    pairs = sorted({judgment.pair_id for judgment in first})
    threads = sorted({pair.rpartition("/")[0] for pair in pairs})
    number, thread = ({name: place for place, name in enumerate(names)} for names in (pairs, threads))
    counts = np.zeros((len(pairs), _CATEGORIES))
    for judgment in first:
        if judgment.choice == 0:
            continue
        if judgment.preferred_id is None:
            category = judgment.choice - 1
        else:
            other = judgment.answer2_id if judgment.choice == 1 else judgment.answer1_id
            category = int(not judgment.pair_id.endswith(f"/{judgment.preferred_id}-{other}"))
        counts[number[judgment.pair_id], category] += 1
    return between_judges(counts, np.array([thread[pair.rpartition("/")[0]] for pair in pairs], dtype=np.int64))


def _slope(votes: Sequence[_Vote]) -> Estimate:
    known = [vote for vote in votes if vote.row["confidence"] is not None]
    if not known:
        return Estimate(None, None, None)
    threads = {key: number for number, key in enumerate(dict.fromkeys(map(_thread, known)))}
    return calibration_slope(
        np.array([vote.row["confidence"] for vote in known], dtype=np.float64),
        np.array([vote.agrees for vote in known], dtype=np.float64),
        np.array([threads[_thread(vote)] for vote in known], dtype=np.int64),
    )


def _thread(vote: _Vote) -> tuple[str, str]:
    key: PairKey = vote.row["key"]
    return key.site, key.post_id
