"""Who the authors of a community are, and the small talk under its answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shp_miner.forum.simulate import PEOPLE, SimulatedAnswer, SimulatedThread
from shp_miner.forum.world import DAY_S, HOUR_S

Role = Literal["member", "moderator", "bot"]

#: One author in so many has a name of one of the forms below: emoji (also joined ones), right-to-left, and both.
_UNUSUAL_EVERY = 12
_UNUSUAL = ("reader-{} 🌻", "قارئ-{}", "קורא-{} 👩🏽‍🔬", "🙂{}-خواننده🙂")

#: One author in so many moderates, or is a bot.
_MODERATOR_EVERY, _BOT_EVERY = 101, 151

_REPLIED, _REPLIED_AGAIN, _BY_ASKER = 0.25, 0.3, 0.5
_REPLY_AFTER_S = 3 * HOUR_S
_REPLY_VOTES, _REPLY_DOWN_SHARE = 1.5, 0.1

_SMALL_TALK = (
    "Thank you, I will try that and report back.",
    "How long did that take for you?",
    "That did nothing for me, sadly 😕",
    "شكرا جزيلا 🌻",
    "This. It should stand much higher.",
    "תודה, זה עזר לי",
    "Are you sure about the second part?",
)

#: Share of askers who accept an answer, and how long after the question; they take the best one there is by then.
_ACCEPTS = 0.4
_ACCEPTS_AFTER_S = 2 * DAY_S

#: The stream of random numbers for what this file adds to a thread; `simulate` uses the smaller ones.
_STREAM = 100


@dataclass(frozen=True)
class Person:
    """An author: the id stays when the account is deleted, the name does not."""

    author_id: str
    name: str
    role: Role = "member"


@dataclass(frozen=True)
class Reply:
    """A reply as written: to the answer, or (`to_reply`) to the reply before it. Votes are times in seconds."""

    author: Person
    text: str
    created_s: int
    to_reply: bool
    up_s: list[float]
    down_s: list[float]


def simulated_person(simulated_name: str) -> Person:
    """The author whom the simulation calls reader-N. The same N is the same person in every world."""
    return _person(int(simulated_name.rpartition("-")[2]))


def _person(number: int) -> Person:
    form = _UNUSUAL[number // _UNUSUAL_EVERY % len(_UNUSUAL)] if number % _UNUSUAL_EVERY == 0 else "reader-{}"
    role: Role = "member"
    if number % _MODERATOR_EVERY == 1:
        role = "moderator"
    elif number % _BOT_EVERY == 1:
        role = "bot"
    return Person(str(number + 1), form.format(number), role)


class Afterlife:
    """What a thread has beyond its answers, drawn from one random stream: ask for replies in the order of answers."""

    def __init__(self, thread: SimulatedThread, seed: int, number: int) -> None:
        self._thread = thread
        self._chance = np.random.Generator(np.random.PCG64([seed, number, _STREAM]))

    def accepted(self) -> tuple[SimulatedAnswer, float] | None:
        """The answer that the asker accepts, and when (seconds since 1970)."""
        when_s = self._thread.created_s + _ACCEPTS_AFTER_S
        there = [answer for answer in self._thread.answers if answer.created_s <= when_s]
        if self._chance.random() >= _ACCEPTS or not there:
            return None
        return max(there, key=lambda answer: answer.quality), when_s

    def replies(self, answer: SimulatedAnswer) -> Iterator[Reply]:
        """The replies under an answer, each after the one before it."""
        if self._chance.random() < _REPLIED:
            stranger = _person(int(self._chance.integers(PEOPLE)))
            asker = self._chance.random() < _BY_ASKER
            first = self._reply(
                simulated_person(self._thread.author) if asker else stranger, answer.created_s, to_reply=False
            )
            yield first
            if self._chance.random() < _REPLIED_AGAIN:
                yield self._reply(simulated_person(answer.author), first.created_s, to_reply=True)

    def _reply(self, author: Person, after_s: int, *, to_reply: bool) -> Reply:
        chance = self._chance
        created_s = after_s + 60 + int(chance.exponential(_REPLY_AFTER_S))
        times = np.sort(created_s + chance.exponential(DAY_S, chance.poisson(_REPLY_VOTES)))
        against = chance.random(len(times)) < _REPLY_DOWN_SHARE
        text = _SMALL_TALK[int(chance.integers(len(_SMALL_TALK)))]
        return Reply(author, text, created_s, to_reply, times[~against].tolist(), times[against].tolist())
