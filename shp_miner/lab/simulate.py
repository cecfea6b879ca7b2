"""A forum's votes without its texts: many threads at once, as arrays.

The model is the demo's (`shp_miner.forum.simulate`) in steps of time instead of reader by reader: within a step, which
holds an equal share of the expected readers, the page and its scores stand still, so who looks and who votes are
binomial. Threads are simulated in blocks of one size with random streams of their own. So a thread depends on its
number, the world and the seed alone, and worlds that differ only in display or voting share their threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from shp_miner.forum.world import DAY_S
from shp_miner.lab.worlds import LabWorld

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: Threads that share a random stream. Part of what the seed means: another number gives other threads.
BLOCK_THREADS = 250

#: Steps of time. With 600 readers a step has five, of whom half a one votes.
STEPS = 120

#: The score an answer starts with, which is its author's own vote.
STARTING_SCORE = 1

#: How a question is liked, as in the demo: chance of an up-vote for the average one, spread of its log-odds, downs.
_POST_UP_RATE, _POST_SPREAD, _POST_DOWN_RATE = 0.15, 0.8, 0.015

#: Spread of the logarithm of writing times, as in the demo; median and spread of lengths in characters (assumption).
_WRITING_SPREAD = 1.0
_LENGTH_MEDIAN, _LENGTH_SPREAD = 300.0, 1.0

#: Reddit's "hot": so many seconds of youth are worth a tenfold score (its published source, r2/lib/db/_sorts.pyx).
_HOT_S = 45_000

#: 80 % two-sided, as in the same source.
_WILSON_Z = NormalDist().inv_cdf(0.9)

#: Spread of the logarithm of the times at which askers accept (assumption).
_ACCEPT_SPREAD = 1.5

_POPULATION, _VOTES, _ASKERS = range(3)


@dataclass(frozen=True, eq=False)
class Threads:
    """Threads as they stand when their scores are read.

    Of each thread: up and down votes on the question, and readers (counts). Of each answer, ordered by thread and time:
    number of its thread, delay after the question in whole seconds, quality in standard deviations, length in
    characters, up and down votes beyond the author's own, how often it was looked at, and when the asker accepted it
    (seconds after the question, NOT_ACCEPTED for all others).
    """

    readers: Index
    post_up: Index
    post_down: Index
    thread: Index
    delay_s: Index
    quality: Floats
    length: Index
    up: Index
    down: Index
    looks: Index
    accepted_s: Index

    @property
    def score(self) -> Index:
        """What the platform shows: net votes, the author's own among them."""
        return STARTING_SCORE + self.up - self.down


#: In the place of a time.
NOT_ACCEPTED = -1

_OF_THREADS = ("readers", "post_up", "post_down")


def simulate(world: LabWorld, seed: int, threads: int, advance: Callable[[int], None] = lambda _: None) -> Threads:
    """The first `threads` threads of a world (seed not negative); `advance` is told of each block's threads."""
    blocks = []
    for start in range(0, threads, BLOCK_THREADS):
        count = min(BLOCK_THREADS, threads - start)
        blocks.append(_first(_block(world, seed, start // BLOCK_THREADS), count, start))
        advance(count)
    return Threads(
        **{field.name: np.concatenate([getattr(b, field.name) for b in blocks]) for field in fields(Threads)}
    )


def _first(block: Threads, count: int, start: int) -> Threads:
    """The first so many threads of a block, numbered from `start`."""
    answers = int(np.searchsorted(block.thread, count))
    parts = {
        field.name: getattr(block, field.name)[: count if field.name in _OF_THREADS else answers]
        for field in fields(block)
    }
    return Threads(**{**parts, "thread": parts["thread"] + start})


def _block(world: LabWorld, seed: int, number: int) -> Threads:
    people, chance, askers = (
        np.random.default_rng([seed, number, stream]) for stream in (_POPULATION, _VOTES, _ASKERS)
    )
    arrivals = _Arrivals(world)
    # The mean of a log-normal variable is exp(mu + sigma^2 / 2).
    mu = math.log(world.mean_readers) - world.readers_spread**2 / 2
    expected = people.lognormal(mu, world.readers_spread, BLOCK_THREADS)
    readers = people.poisson(expected[:, None] * arrivals.come / STEPS, (BLOCK_THREADS, STEPS))
    thread, delay_s = _answers(world, people, readers.sum(axis=1), arrivals)
    quality = _quality(world, people.standard_normal(len(thread)), thread)
    name, own_length = people.standard_normal((2, len(thread)))
    length = world.length_quality * quality + math.sqrt(1 - world.length_quality**2) * own_length
    appeal = world.quality_effect * quality + world.reputation_effect * name + world.length_effect * length
    written = _Written(thread, delay_s, appeal)
    up, down, looks = _votes(world, chance, readers, arrivals.edges_s, written)
    liking = _logistic(_log_odds(_POST_UP_RATE) + _POST_SPREAD * people.standard_normal(BLOCK_THREADS))
    post_up = people.binomial(readers.sum(axis=1), liking)
    return Threads(
        readers=readers.sum(axis=1),
        post_up=post_up,
        post_down=people.binomial(readers.sum(axis=1) - post_up, _POST_DOWN_RATE),
        thread=thread,
        delay_s=delay_s,
        quality=quality,
        length=np.maximum(1, np.rint(_LENGTH_MEDIAN * np.exp(_LENGTH_SPREAD * length))).astype(np.int64),
        up=up,
        down=down,
        looks=looks,
        accepted_s=_accepted(world, askers, written, arrivals.read_s),
    )


@dataclass(frozen=True, eq=False)
class _Written:
    """Answers by thread and time; `appeal` is by how much the log-odds of an up-vote are above the average answer's."""

    thread: Index
    delay_s: Index
    appeal: Floats


class _Arrivals:
    """When readers come: a Weibull law. `come` is the share that has come when the scores are read."""

    def __init__(self, world: LabWorld) -> None:
        self._shape = world.arrival_shape
        self._scale_s = world.half_read_after_s / math.log(2) ** (1 / self._shape)
        self.read_s = world.read_after_days * DAY_S
        self.come = 1 - math.exp(-((self.read_s / self._scale_s) ** self._shape))
        #: Where the steps begin: each holds the same share of the readers.
        self.edges_s = self.after(np.arange(STEPS) / STEPS)

    def after(self, share: Floats) -> Floats:
        """Seconds after which this share of those who come before the reading has come."""
        delays: Floats = self._scale_s * (-np.log1p(-share * self.come)) ** (1 / self._shape)
        return delays


def _answers(world: LabWorld, people: np.random.Generator, readers: Index, arrivals: _Arrivals) -> tuple[Index, Index]:
    """Thread and delay of each answer, ordered by both: some readers write one after they came."""
    counts = people.binomial(readers, world.answers_per_reader)
    thread = np.repeat(np.arange(len(readers)), counts)
    writing = people.lognormal(math.log(world.writing_time_s), _WRITING_SPREAD, len(thread))
    delay_s = (arrivals.after(people.random(len(thread))) + writing).astype(np.int64)
    in_time = delay_s < arrivals.read_s
    thread, delay_s = thread[in_time], delay_s[in_time]
    order = np.lexsort((delay_s, thread))
    return thread[order], delay_s[order]


def _quality(world: LabWorld, own: Floats, thread: Index) -> Floats:
    """Standard normal, correlated with the rank of arrival by `late_quality`."""
    if not world.late_quality:
        return own
    counts = np.bincount(thread)[thread]
    shares = (_ranks(thread) + 0.5) / counts
    known, where = np.unique(shares, return_inverse=True)
    scores = np.array([NormalDist().inv_cdf(share) for share in known.tolist()])[where]
    result: Floats = world.late_quality * scores + math.sqrt(1 - world.late_quality**2) * own
    return result


def _votes(
    world: LabWorld, chance: np.random.Generator, readers: Index, edges_s: Floats, written: _Written
) -> tuple[Index, Index, Index]:
    """Up-votes, down-votes and looks of each answer, step by step."""
    thread, delay_s = written.thread, written.delay_s
    down_rate = world.up_rate * world.down_share / (1 - world.down_share)
    likes = _logistic(_log_odds(world.up_rate) + written.appeal)
    dislikes = _logistic(_log_odds(down_rate) - written.appeal)
    seen = _seen(world, int(np.bincount(thread, minlength=1).max()))
    up, down, looks = (np.zeros(len(thread), np.int64) for _ in range(3))
    for step, now_s in enumerate(edges_s):
        come = readers[:, step]
        here = np.flatnonzero((delay_s <= now_s) & (come[thread] > 0))
        if not len(here):
            continue
        share = _shown(world, seen, thread[here], delay_s[here], up[here], down[here])
        looking = chance.binomial(come[thread[here]], share)
        followed = 1 + world.herding * (up[here] > down[here])
        # One look is one vote at most: up with its chance, else down with what is left.
        like = np.minimum(likes[here] * followed, 1 - dislikes[here])
        ups = chance.binomial(looking, like)
        downs = chance.binomial(looking - ups, np.minimum(dislikes[here] / (1 - like), 1))
        looks[here] += looking
        up[here] += ups
        down[here] += downs
    return up, down, looks


def _accepted(world: LabWorld, askers: np.random.Generator, written: _Written, read_s: float) -> Index:
    """When each answer was accepted: askers take what they like best of all that is there at their time."""
    accepts = askers.random(BLOCK_THREADS) < world.accepts
    times = askers.lognormal(math.log(world.accept_after_s), _ACCEPT_SPREAD, BLOCK_THREADS).astype(np.int64)
    liking = written.appeal + world.accept_noise * askers.standard_normal(len(written.thread))
    when = np.where(accepts & (times < read_s), times, NOT_ACCEPTED)[written.thread]
    there = np.flatnonzero(written.delay_s <= when)
    best = there[np.lexsort((liking[there], written.thread[there]))]
    # The last of its thread, of what is ordered by it.
    best = best[np.append(written.thread[best][1:] != written.thread[best][:-1], [True] * bool(len(best)))]
    accepted_s = np.full(len(when), NOT_ACCEPTED)
    accepted_s[best] = when[best]
    return accepted_s


def _seen(world: LabWorld, most: int) -> Floats:
    """Chance that a reader looks at rank 1, 2, ..."""
    rank = np.arange(1, most + 1, dtype=np.float64)
    return world.reading_on ** (rank - 1) if world.attention == "cascade" else rank**-world.position_bias


def _shown(world: LabWorld, seen: Floats, thread: Index, delay_s: Index, up: Index, down: Index) -> Floats:
    """Chance that a reader looks at each answer, given its votes. Answers are ordered by thread and time."""
    if world.order == "chronological":
        return seen[_ranks(thread)]
    if world.order == "random":
        # Every rank is as likely as any other, for each reader anew.
        counts = np.bincount(thread)[thread]
        mean: Floats = np.cumsum(seen)[counts - 1] / counts
        return mean
    # Stable: what stands equal is shown in the order of time.
    order = np.lexsort((-_standing(world, delay_s, up, down), thread))
    share = np.empty(len(thread))
    share[order] = seen[_ranks(thread)]
    return share


def _standing(world: LabWorld, delay_s: Index, up: Index, down: Index) -> Floats:
    """By what a page sorts; the greatest is shown first. The author's own vote counts."""
    score = STARTING_SCORE + up - down
    if world.order == "top":
        return score.astype(np.float64)
    if world.order == "hot":
        hot: Floats = np.sign(score) * np.log10(np.maximum(np.abs(score), 1)) + delay_s / _HOT_S
        return hot
    return wilson(STARTING_SCORE + up, down)


def wilson(up: Index, down: Index) -> Floats:
    """`shp_miner.forum.simulate.wilson` of arrays, for at least one vote each."""
    n, z = up + down, _WILSON_Z
    share = up / n
    spread = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    bound: Floats = (share + z * z / (2 * n) - spread) / (1 + z * z / n)
    return bound


def _ranks(thread: Index) -> Index:
    """0, 1, 2 ... within each thread; `thread` is ordered."""
    ranks: Index = np.arange(len(thread)) - np.searchsorted(thread, thread)
    return ranks


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share)) if share > 0 else -math.inf


def _logistic(log_odds: Floats) -> Floats:
    shares: Floats = 1 / (1 + np.exp(-log_odds))
    return shares
