"""Simulated readers arrive, read what the page shows first, and vote on what they looked at.

Each thread has random streams of its own, one for who comes and writes what and one for the votes. So a thread stays
the same when others are added, and worlds that differ only in display or voting share their threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from shp_miner.forum.text import Writer
from shp_miner.forum.world import DAY_S, World

SITE = "forum.example"

#: Stands for the question itself where votes name the answer they are for.
_THE_POST = -1

#: 80 % two-sided, as in the ranking Reddit once published as open source.
_WILSON_Z = NormalDist().inv_cdf(0.9)

#: How well a question is liked: chance of an up-vote for the average one, and spread of its log-odds.
_POST_UP_RATE = 0.15
_POST_SPREAD = 0.8
_POST_DOWN_RATE = 0.015

#: Spread of the logarithm of the time it takes to write an answer: quick remarks and long essays.
_WRITING_SPREAD = 1.0

#: Names to choose from; people come back to other threads.
PEOPLE = 5_000

_POPULATION, _VOTES, _TEXT = range(3)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SimulatedAnswer:
    """An answer as written. `created_s` is in seconds since 1970; quality is in standard deviations."""

    answer_id: str
    author: str
    text: str
    created_s: int
    quality: float


@dataclass(frozen=True)
class AnswerAt:
    """An answer with the votes it had at some moment."""

    answer: SimulatedAnswer
    up: int
    down: int

    @property
    def score(self) -> int:
        """Net votes; the forum starts at 0."""
        return self.up - self.down


@dataclass(frozen=True)
class ThreadAt:
    """A thread at some moment: the votes on the question, and the answers at that time, oldest first."""

    up: int
    down: int
    answers: tuple[AnswerAt, ...]

    @property
    def score(self) -> int:
        """Net votes on the question."""
        return self.up - self.down


@dataclass(frozen=True, eq=False)
class SimulatedThread:
    """A question, all answers it ever gets (oldest first), and every vote as an event.

    `vote_s` (seconds since 1970, ascending), `vote_on` (index of the answer, -1 for the question) and `vote` (1 or -1)
    are arrays of one length. `readers` counts who opened the thread up to `observed_at`.
    """

    community: str
    post_id: str
    author: str
    title: str
    body: str
    created_s: int
    observed_at: datetime
    readers: int
    answers: tuple[SimulatedAnswer, ...]
    vote_s: Floats
    vote_on: npt.NDArray[np.int32]
    vote: npt.NDArray[np.int8]

    def at(self, moment: datetime | None = None) -> ThreadAt:
        """The thread as it stood at `moment`, or when the world looks at it."""
        now_s = (moment or self.observed_at).timestamp()
        count = int(np.searchsorted(self.vote_s, now_s, side="right"))
        cast = self.vote_on[:count] + 1
        up = np.bincount(cast[self.vote[:count] > 0], minlength=len(self.answers) + 1).tolist()
        down = np.bincount(cast[self.vote[:count] < 0], minlength=len(self.answers) + 1).tolist()
        there = [answer for answer in self.answers if answer.created_s <= now_s]
        return ThreadAt(up[0], down[0], tuple(map(AnswerAt, there, up[1:], down[1:])))


def simulate(world: World, seed: int) -> list[SimulatedThread]:
    """The threads of a world, oldest first. The same world and seed (not negative) give the same threads."""
    starts = np.sort(_generator(seed, 0, _POPULATION).uniform(0, world.span_days * DAY_S, world.threads))
    writer = Writer()
    threads: list[SimulatedThread] = []
    next_id = 1
    for number, start in enumerate(starts):
        streams = partial(_generator, seed, number + 1)
        thread = _thread(world, streams, int(world.starts_at.timestamp() + start), next_id, writer)
        threads.append(thread)
        next_id += 1 + len(thread.answers)
    return threads


def _generator(seed: int, thread: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, thread, stream]))


def _thread(
    world: World, stream: Callable[[int], np.random.Generator], created_s: int, first_id: int, writer: Writer
) -> SimulatedThread:
    people = stream(_POPULATION)
    end_s = world.observed_at.timestamp()
    arrivals = np.sort(_arrivals(world, people, created_s))
    written_s = _writing_times(world, people, arrivals)
    written_s = written_s[written_s < end_s]
    quality = _qualities(world, people, len(written_s))
    names = people.choice(PEOPLE, len(written_s) + 1, replace=False)
    arrivals = arrivals[arrivals < end_s]
    vote_s, vote_on, vote = _votes(world, stream(_VOTES), arrivals, written_s, quality)
    text = stream(_TEXT)
    question = writer.question(text)
    texts = writer.answers(text, question, quality.tolist())
    return SimulatedThread(
        community=question.community,
        post_id=str(first_id),
        author=f"reader-{names[0]}",
        title=question.title,
        body=question.body,
        created_s=created_s,
        observed_at=world.observed_at,
        readers=len(arrivals),
        answers=tuple(
            SimulatedAnswer(
                str(first_id + 1 + i), f"reader-{names[i + 1]}", texts[i], int(written_s[i]), float(quality[i])
            )
            for i in range(len(written_s))
        ),
        vote_s=vote_s,
        vote_on=vote_on,
        vote=vote,
    )


def _arrivals(world: World, people: np.random.Generator, created_s: int) -> Floats:
    """When the readers come, in no order: a Poisson process whose rate fades after the post."""
    # The mean of a log-normal variable is exp(mu + sigma^2 / 2).
    mu = math.log(world.mean_readers) - world.readers_spread**2 / 2
    count = people.poisson(people.lognormal(mu, world.readers_spread))
    scale_s = world.half_read_after_s / math.log(2) ** (1 / world.arrival_shape)
    delays: Floats = scale_s * people.weibull(world.arrival_shape, count)
    return created_s + delays


def _writing_times(world: World, people: np.random.Generator, arrivals: Floats) -> npt.NDArray[np.int64]:
    """When the answers are sent, ascending, by some of the readers who came first."""
    able = arrivals[: math.ceil(world.answered_by_first * len(arrivals))]
    count = min(int(people.binomial(len(arrivals), world.answers_per_reader)), len(able))
    sent = people.choice(able, count, replace=False) if count else able[:0]
    return np.sort(sent + people.lognormal(math.log(world.writing_time_s), _WRITING_SPREAD, count)).astype(np.int64)


def _qualities(world: World, people: np.random.Generator, count: int) -> Floats:
    """Standard normal, correlated with the rank of arrival by `late_quality`."""
    own = people.standard_normal(count)
    normal = NormalDist()
    by_rank = np.array([normal.inv_cdf((rank + 0.5) / count) for rank in range(count)])
    return world.late_quality * by_rank + math.sqrt(1 - world.late_quality**2) * own


def _votes(
    world: World, chance: np.random.Generator, arrivals: Floats, written_s: npt.NDArray[np.int64], quality: Floats
) -> tuple[Floats, npt.NDArray[np.int32], npt.NDArray[np.int8]]:
    """Every vote on the question and its answers, in the order of time: when, on what, and 1 or -1."""
    events = _votes_on_answers(world, chance, arrivals, written_s, quality)
    liking = _logistic(_log_odds(_POST_UP_RATE) + _POST_SPREAD * chance.standard_normal(1))
    draws = chance.random(len(arrivals))
    events += [(when, _THE_POST, 1) for when in arrivals[draws < liking].tolist()]
    events += [(when, _THE_POST, -1) for when in arrivals[draws > 1 - _POST_DOWN_RATE].tolist()]
    events.sort()
    return (
        np.array([event[0] for event in events], np.float64),
        np.array([event[1] for event in events], np.int32),
        np.array([event[2] for event in events], np.int8),
    )


def _votes_on_answers(
    world: World, chance: np.random.Generator, arrivals: Floats, written_s: npt.NDArray[np.int64], quality: Floats
) -> list[tuple[float, int, int]]:
    attention = np.arange(1, len(written_s) + 1, dtype=np.float64) ** -world.position_bias
    # Which reader looks at which rank, as a list: most readers look at few.
    readers, ranks = np.nonzero(chance.random((len(arrivals), len(written_s))) < attention)
    draws = chance.random(len(readers)).tolist()
    up_odds = _log_odds(world.up_rate)
    down_odds = _log_odds(min(world.up_rate * world.down_share / (1 - world.down_share), 0.5))
    up_rates = _logistic(up_odds + world.quality_effect * quality).tolist()
    down_rates = _logistic(down_odds - world.quality_effect * quality).tolist()
    times = arrivals.tolist()
    page = _Page(world, chance, written_s.tolist())
    events: list[tuple[float, int, int]] = []
    reader = -1
    for looking, rank, draw in zip(readers.tolist(), ranks.tolist(), draws, strict=True):
        if looking != reader:
            reader = looking
            order = page.load(times[reader])
        if rank >= len(order):
            continue
        answer = order[rank]
        followers = 1 + world.herding if page.score[answer] > 0 else 1
        if draw < up_rates[answer] * followers:
            page.count(answer, 1)
            events.append((times[reader], answer, 1))
        elif draw > 1 - down_rates[answer]:
            page.count(answer, -1)
            events.append((times[reader], answer, -1))
    return events


class _Page:
    """The answers there are, in the order the page shows them."""

    def __init__(self, world: World, chance: np.random.Generator, written_s: list[int]) -> None:
        self._by, self._chance, self._written_s = world.display_order, chance, written_s
        self.score = [0] * len(written_s)
        self._up = [0] * len(written_s)
        self._down = [0] * len(written_s)
        # Smaller stands higher; equal keys stand in the order of time.
        self._key = [-when if self._by == "new" else 0.0 for when in written_s]
        self._order: list[int] = []
        self._there = 0
        self._stale = False

    def load(self, now_s: float) -> list[int]:
        """What a reader who comes now is shown: indices of answers. The page does not change while it is read."""
        while self._there < len(self._written_s) and self._written_s[self._there] <= now_s:
            self._there += 1
            self._stale = True
        if self._by == "random":
            return list(map(int, self._chance.permutation(self._there)))
        if self._stale:
            self._order = sorted(range(self._there), key=self._key.__getitem__)
            self._stale = False
        return self._order

    def count(self, answer: int, vote: int) -> None:
        """Count a vote of 1 or -1."""
        self.score[answer] += vote
        (self._up if vote > 0 else self._down)[answer] += 1
        if self._by == "top":
            self._key[answer] = -self.score[answer]
        elif self._by == "best":
            self._key[answer] = -wilson(self._up[answer], self._down[answer])
        self._stale = True


def wilson(up: int, down: int, z: float = _WILSON_Z) -> float:
    """The lower bound of Wilson's score interval for the share of up-votes (E. B. Wilson 1927); 0 without votes."""
    n = up + down
    if not n:
        return 0.0
    share = up / n
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (share + z * z / (2 * n) - spread) / (1 + z * z / n)


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share)) if share > 0 else -math.inf


def _logistic(log_odds: Floats) -> Floats:
    shares: Floats = 1 / (1 + np.exp(-log_odds))
    return shares


def moment_from_s(seconds: int) -> datetime:
    """Seconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
