"""Likes per reader once more, one answer and one pair at a time, in plain Python: written from the formulas alone."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd

from .reference import STARTS, Result, answer_is_eligible, post_is_eligible, read_apart

Pair = tuple[str, str, str, str]


def pairs(posts: pd.DataFrame, answers: pd.DataFrame, p_min: float = 0.8) -> Result:
    """The pairs of the preset: among the 50 highest-scored, more likes per reader, and sure enough."""
    result = Result()
    for key, p in chances(posts, answers).items():
        # Six decimals are what the product keeps; a label may not hang on the seventh.
        if round(p, 6) >= p_min:
            result.pairs.add(key)
    return result


def chances(posts: pd.DataFrame, answers: pd.DataFrame) -> dict[Pair, float]:
    """P(A better) for every ordered pair of answers of a thread with known readers, by (site, post, A, B)."""
    threads = list(_threads(posts, answers))
    sums: dict[Any, list[int]] = defaultdict(lambda: [0] * 4)
    for post, own in threads:
        for answer in own:
            if (counts := _counts(answer)) is not None:
                likes, readers = counts
                parts = readers, likes, readers * (readers - 1), likes * (likes - 1)
                sums[_community(post)] = [s + part for s, part in zip(sums[_community(post)], parts, strict=True)]
    found: dict[Pair, float] = {}
    for post, own in threads:
        kept = sorted(own, key=lambda a: (-a["score"], a["created_at"], a["answer_id"]))[:50]
        for one, other in itertools.permutations(kept, 2):
            counted = _counts(one), _counts(other)
            if None not in counted and not read_apart(one, other):
                alpha, beta = prior(*sums[_community(post)])
                laws = [(alpha + likes, beta + readers - likes) for likes, readers in counted]  # type: ignore[misc]
                found[post["site"], post["post_id"], one["answer_id"], other["answer_id"]] = greater(*laws[0], *laws[1])
    return found


def prior(n: int, k: int, n2: int, k2: int) -> tuple[float, float]:
    """The prior of a community: 50 answers of 20 readers each with rates Beta(1/2, 19.5) are added to what it has."""
    first = (k + 1000 * 0.5 / 20) / (n + 1000)
    second = (k2 + 19_000 * 0.5 * 1.5 / (20 * 21)) / (n2 + 19_000)
    first = min(max(first, 1e-4), 0.9)
    variance = second - first**2
    size = 1000.0 if variance <= 0 else min(max(first * (1 - first) / variance - 1, 2.0), 1000.0)
    return round(first * size, 9), round((1 - first) * size, 9)


def greater(a: float, b: float, c: float, d: float) -> float:
    """P(Beta(a, b) > Beta(c, d)) as a double integral over the logits, by sums on a grid with a correction of its ends.

    The density of the one against the distribution of the other, by the trapezoidal rule in steps that shrink until
    nothing changes.
    """
    from scipy.special import betainc

    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    middle, wide = math.log(a / b), math.sqrt(1 / a + 1 / b)
    low, high = middle - max(14 * wide, 40 / a), middle + max(14 * wide, 40 / b)
    before = math.nan
    for steps in (2_000, 8_000, 32_000, 128_000):
        t = np.linspace(low, high, steps + 1)
        density = np.exp(-a * np.logaddexp(0, -t) - b * np.logaddexp(0, t) - log_beta)
        now = float(((high - low) / steps) * (density * betainc(c, d, 1 / (1 + np.exp(-t)))).sum())
        if abs(now - before) < 1e-12:
            return now
        before = now
    return before


def _threads(posts: pd.DataFrame, answers: pd.DataFrame) -> Any:
    by_thread = {key: own.to_dict("records") for key, own in answers.groupby(["site", "post_id"])}
    for post in posts.to_dict("records"):
        if post_is_eligible(post, floors=False):
            own = by_thread.get((post["site"], post["post_id"]), [])
            yield post, [answer for answer in own if answer_is_eligible(answer, post, floors=False)]


def _community(post: Any) -> tuple[str, str]:
    return post["site"], post["community"]


def _counts(answer: Any) -> tuple[int, int] | None:
    """Likes and readers, without the author's own."""
    if pd.isna(answer["reads"]):
        return None
    votes = answer["score"] if pd.isna(answer["upvotes"]) else answer["upvotes"]
    likes = max(int(votes) - STARTS.get(answer["platform"], 0), 0)
    readers = max(int(answer["reads"]) - 1, likes)
    if readers > 65_536:
        likes, readers = round(likes * (65_536 / readers)), 65_536
    return likes, readers
