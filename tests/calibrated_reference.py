"""`calibrated` once more, one answer and one pair at a time, in plain Python: written from the formulas alone."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from statistics import NormalDist, fmean
from typing import Any

import pandas as pd

from .reference import STARTS, Result, answer_is_eligible, post_is_eligible, read_apart

Community = tuple[str, str]
Pair = tuple[str, str, str, str]


def confidences(posts: pd.DataFrame, answers: pd.DataFrame) -> dict[Pair, float]:
    """P(A better) for every ordered pair of answers of a thread that count, by (site, post, A, B)."""
    threads = eligible_threads(posts, answers)
    grid = log_shares(threads)
    fits = {name: _fit(own, grid[name]) for name, own in threads.items()}
    result: dict[Pair, float] = {}
    for name, own in threads.items():
        b, variance = fits[name]
        for site, post, rows in own:
            x = [_x(row, grid[name]) for row in rows]
            mean_y, mean_1, mean_2 = fmean(r["y"] for r in rows), fmean(a for a, _ in x), fmean(c for _, c in x)
            for row, (x1, x2) in zip(rows, x, strict=True):
                expected = mean_y + 0.7 * (b[0] * (x1 - mean_1) + b[1] * (x2 - mean_2))
                row["theta"] = row["y"] - max(expected, 0)
            for answer, other in itertools.permutations(rows, 2):
                s = (1 / (abs(answer["v"]) + 1) + 1 / (abs(other["v"]) + 1)) / 2
                z = (answer["theta"] - other["theta"]) * math.sqrt(0.6 * variance / 2)
                z /= math.sqrt((0.4 * variance + s) * (variance + s))
                result[site, post, answer["id"], other["id"]] = NormalDist().cdf(z)
    return result


def pairs(posts: pd.DataFrame, answers: pd.DataFrame, p_min: float = 0.8) -> Result:
    """The pairs of the preset: among the 50 highest-scored, more votes, and sure enough."""
    sure = confidences(posts, answers)
    result = Result()
    for own in eligible_threads(posts, answers).values():
        for site, post, rows in own:
            best = sorted(rows, key=lambda r: (-r["v"], r["created"], r["id"]))[:50]
            for winner, loser in itertools.permutations(best, 2):
                key = (site, post, winner["id"], loser["id"])
                # Six decimals are what the product keeps; a label may not hang on the seventh.
                if (
                    winner["v"] > loser["v"]
                    and round(sure[key], 6) >= p_min
                    and not read_apart(winner["row"], loser["row"])
                ):
                    result.pairs.add(key)
    return result


def eligible_threads(
    posts: pd.DataFrame, answers: pd.DataFrame
) -> dict[Community, list[tuple[str, str, list[dict[str, Any]]]]]:
    found: dict[Community, list[tuple[str, str, list[dict[str, Any]]]]] = defaultdict(list)
    by_thread = {key: own.to_dict("records") for key, own in answers.groupby(["site", "post_id"])}
    for post in posts.to_dict("records"):
        if not post_is_eligible(post, floors=False):
            continue
        rows: list[dict[str, Any]] = []
        own = [
            a for a in by_thread.get((post["site"], post["post_id"]), []) if answer_is_eligible(a, post, floors=False)
        ]
        for rank, answer in enumerate(sorted(own, key=lambda a: (a["created_at"], a["answer_id"])), start=1):
            v = int(answer["score"]) - STARTS.get(answer["platform"], 0)
            delay = max((answer["created_at"] - post["created_at"]).total_seconds(), 36.0)
            y = math.copysign(math.log(1 + abs(v)), v) if v else 0.0
            rows.append(
                {"id": answer["answer_id"], "v": v, "y": y, "x1": math.log(rank), "delay": delay, "row": answer}
                | {"created": answer["created_at"]}
            )
        if rows:
            found[post["site"], post["community"]].append((post["site"], post["post_id"], rows))
    return found


def cell_of(delay: float) -> int:
    """Sixteen cells a doubling from 36 seconds on."""
    cell = int(16 * math.log2(delay / 36))
    # The logarithm may land a hair on the wrong side of a border; borders are whole microseconds.
    while round(36e6 * 2 ** ((cell + 1) / 16)) <= round(delay * 1e6):
        cell += 1
    while round(36e6 * 2 ** (cell / 16)) > round(delay * 1e6):
        cell -= 1
    return cell


def log_shares(threads: Any) -> dict[Community, dict[int, float]]:
    """ln S of each cell, of each community."""
    result = {}
    for name, own in threads.items():
        counts = Counter(cell_of(row["delay"]) for _, _, rows in own for row in rows)
        total, before, shares = sum(counts.values()), 0, {}
        for cell in sorted(counts):
            middle_rank = before + (counts[cell] + 1) / 2
            shares[cell] = max(math.log(1 - (middle_rank - 0.5) / total), math.log(0.003))
            before += counts[cell]
        result[name] = shares
    return result


def _x(row: dict[str, Any], shares: dict[int, float]) -> tuple[float, float]:
    return row["x1"], shares[cell_of(row["delay"])]


def _fit(own: Any, shares: dict[int, float]) -> tuple[tuple[float, float], float]:
    """The slopes and the variance of a community, from every answer's deviation from its thread's means."""
    rows = []
    noise = freedom = 0.0
    for _, _, thread in own:
        x = [_x(row, shares) for row in thread]
        means = fmean(a for a, _ in x), fmean(b for _, b in x), fmean(row["y"] for row in thread)
        for row, (x1, x2) in zip(thread, x, strict=True):
            rows.append((x1 - means[0], x2 - means[1], row["y"] - means[2]))
            noise += (1 - 1 / len(thread)) * max(row["v"], 0.5) / (1 + max(row["v"], 0)) ** 2
            freedom += 1 - 1 / len(thread)
    a = sum(x1 * x1 for x1, _, _ in rows) + 300 * 0.5
    b = sum(x1 * x2 for x1, x2, _ in rows)
    c = sum(x2 * x2 for _, x2, _ in rows) + 300 * 0.7
    p = sum(x1 * y for x1, _, y in rows) + 300 * 0.5 * -0.4
    q = sum(x2 * y for _, x2, y in rows) + 300 * 0.7 * 0.4
    slope_1, slope_2 = (c * p - b * q) / (a * c - b * b), (a * q - b * p) / (a * c - b * b)
    rss = sum((y - slope_1 * x1 - slope_2 * x2) ** 2 for x1, x2, y in rows)
    return (slope_1, slope_2), min(max((rss + 300 - noise) / (freedom + 300), 0.4), 2.0)
