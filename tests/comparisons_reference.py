"""`comparisons` once more, one pair at a time, in plain Python: written from the formulas alone."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from .calibrated_reference import Community, Pair, cell_of, eligible_threads, log_shares
from .reference import read_apart

PRIOR = (-0.4, 0.4)


@dataclass
class Fitted:
    """What a community's pairs give: each kind's slopes, and (target, weight, attention, margin) of every pair."""

    soft: tuple[float, float] = PRIOR
    hard: tuple[float, float] = PRIOR
    columns: dict[Pair, tuple[float, float, float, float]] = field(default_factory=dict)


def fitted(posts: pd.DataFrame, answers: pd.DataFrame, ridge: float, site_ridge: float) -> dict[Community, Fitted]:
    """The slopes of communities whose posts have at most 200 pairs each, and all pairs with their columns.

    A site's slopes are drawn to the prior, a community's to its site's.
    """
    of: dict[Community, tuple[list[Any], list[Pair]]] = {}
    threads = eligible_threads(posts, answers)
    grid = log_shares(threads)
    for name, own in threads.items():
        trials, pairs = [], []
        for site, post, rows in own:
            best = sorted((r for r in rows if r["v"] >= 0), key=lambda r: (-r["v"], r["created"], r["id"]))[:50]
            used = 0
            for winner, loser in itertools.permutations(best, 2):
                if winner["v"] <= loser["v"] or read_apart(winner["row"], loser["row"]):
                    continue
                used += 1
                d = tuple(w - x for w, x in zip(_x(winner, grid[name]), _x(loser, grid[name]), strict=True))
                n = winner["v"] + loser["v"]
                trials.append((d, (winner["v"] + 0.5) / (n + 1), n / (1 + 0.1 * (n - 1))))
                pairs.append((site, post, winner["id"], loser["id"]))
            assert used <= 200
        of[name] = trials, pairs
    found = {}
    for name, (trials, pairs) in of.items():
        pooled = [trial for (site, _), (own, _) in of.items() if site == name[0] for trial in own]
        soft, hard = newton(pooled, site_ridge), newton(without_weights(pooled), site_ridge)
        result = Fitted(newton(trials, ridge, soft), newton(without_weights(trials), ridge, hard))
        for pair, (d, target, weight) in zip(pairs, trials, strict=True):
            result.columns[pair] = (target, weight, _dot(result.soft, d), -_dot(result.hard, d))
        found[name] = result
    return found


def without_weights(trials: list[Any]) -> list[Any]:
    return [(d, 1.0, 1.0) for d, _, _ in trials]


def newton(
    trials: list[tuple[Any, float, float]], ridge: float, prior: tuple[float, float] = PRIOR
) -> tuple[float, float]:
    """Eight steps from the prior, each halved while the loss grows."""
    a = prior
    for _ in range(8):
        g = [-ridge * (a[i] - prior[i]) for i in (0, 1)]
        h = [[ridge, 0.0], [0.0, ridge]]
        for d, target, weight in trials:
            p = 1 / (1 + math.exp(-_dot(a, d)))
            for i in (0, 1):
                g[i] += weight * (target - p) * d[i]
                for j in (0, 1):
                    h[i][j] += weight * p * (1 - p) * d[i] * d[j]
        determinant = h[0][0] * h[1][1] - h[0][1] * h[1][0]
        step = (
            (h[1][1] * g[0] - h[0][1] * g[1]) / determinant,
            (h[0][0] * g[1] - h[1][0] * g[0]) / determinant,
        )
        part, before = 1.0, loss(trials, a, ridge, prior)
        while part > 1e-6 and loss(trials, moved(a, step, part), ridge, prior) > before * (1 + 1e-12):
            part /= 2
        a = moved(a, step, part)
    return a


def moved(a: tuple[float, float], step: tuple[float, float], part: float) -> tuple[float, float]:
    return a[0] + part * step[0], a[1] + part * step[1]


def loss(
    trials: list[tuple[Any, float, float]], a: tuple[float, float], ridge: float, prior: tuple[float, float]
) -> float:
    total = ridge / 2 * sum((a[i] - prior[i]) ** 2 for i in (0, 1))
    for d, target, weight in trials:
        z = _dot(a, d)
        total -= weight * (target * _log_sigmoid(z) + (1 - target) * _log_sigmoid(-z))
    return total


def _log_sigmoid(z: float) -> float:
    return -math.log1p(math.exp(-z)) if z > 0 else z - math.log1p(math.exp(z))


def _dot(a: tuple[float, float], d: Any) -> float:
    return a[0] * d[0] + a[1] * d[1]


def _x(row: dict[str, Any], shares: dict[int, float]) -> tuple[float, float]:
    return row["x1"], shares[cell_of(row["delay"])]
