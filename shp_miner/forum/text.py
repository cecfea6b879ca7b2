"""Questions and answers from templates: readable, varied, in Markdown now and then, and written by nobody.

An answer is made of points. The better it is, the more of them are concrete advice from the community's own list
rather than general remarks; how many points there are, and how long, has nothing to do with quality.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

_Choice = TypeVar("_Choice")


@dataclass(frozen=True)
class Question:
    """A question as written, and what it is about."""

    community: str
    subject: str
    title: str
    body: str


@dataclass(frozen=True)
class _Community:
    """What people of one community ask about and advise. {n} stands for a number, {subject} for the subject."""

    name: str
    subjects: tuple[str, ...]
    troubles: tuple[str, ...]
    settings: tuple[str, ...]
    advice: tuple[str, ...]


_COMMUNITIES = (
    _Community(
        "cooking",
        ("sourdough", "risotto", "tomato sauce", "roast chicken", "meringue", "cucumber pickle", "pie crust", "dal"),
        (
            "turns out flat",
            "tastes bitter",
            "goes watery",
            "burns at the edges",
            "comes out too salty",
            "sticks to the pan",
        ),
        ("in a small gas oven", "when I double the recipe", "on an induction hob", "at 1,800 m above sea level"),
        (
            "Weigh everything in grams; {n} g too much of the wet part is enough to spoil {subject}.",
            "Let it rest for {n} minutes before you touch it, so that the heat can even out inside.",
            "Salt it in {n} small steps and taste after each, because salt shows only after a while.",
            "Put a thermometer in: most ovens are off by {n} °C, and {subject} does not forgive that.",
            "Use a wider pan. Steam has to leave, and with {n} cm more it leaves twice as fast.",
            "Lower the heat after the first {n} minutes; the middle catches up while the outside waits.",
            "Keep {n} spoons of the cooking water and stir them in at the end: starch binds it all.",
            "Chill it for {n} minutes first. Cold fat melts late, and that is where the structure comes from.",
        ),
    ),
    _Community(
        "homelab",
        (
            "the backup server",
            "the mesh network",
            "the router",
            "the media server",
            "the battery supply",
            "the disk array",
            "the print server",
        ),
        (
            "drops out every night",
            "is slow over Wi-Fi",
            "forgets its address",
            "runs too hot",
            "fills its log",
            "will not wake",
        ),
        ("behind two switches", "since the last update", "in a cupboard without a fan", "with 12 machines on it"),
        (
            "Look at `dmesg` right after it happens; the last {n} lines usually name the driver at fault.",
            "Swap the cable first. A bad pair still links at 100 Mbit/s and hides for {n} months.",
            "Give {subject} a fixed lease of {n} hours, so that two machines never claim one address.",
            "Measure it with `iperf3 -t {n}` from both ends; the numbers tell you which side is slow.",
            "Set the fan curve to start at {n} °C: the controller throttles long before it reports heat.",
            "Rotate the logs at {n} MB and keep four of them; a full disk looks like every other fault.",
            "Move it to channel {n} and away from the microwave, then compare the retry counters again.",
            "Read the SMART values: more than {n} pending sectors & it is the disk, not {subject}.",
        ),
    ),
    _Community(
        "statistics",
        (
            "logistic regression",
            "survey weighting",
            "the mixed model",
            "the bootstrap",
            "the power analysis",
            "imputation",
        ),
        (
            "gives wide intervals",
            "will not converge",
            "contradicts the plot",
            "changes with the seed",
            "looks too certain",
        ),
        ("with 40 schools", "for a small clinical sample", "when half the answers are zero", "with repeated measures"),
        (
            "Plot the residuals by group before anything else; {n} odd groups are enough to cause this.",
            "Centre the predictors. The correlation of slope and intercept falls and {subject} settles in {n} steps.",
            "Simulate {n} data sets from the fitted model and see how often they look like yours.",
            "Report the interval rather than p < 0.05: with {n} cases it says how little is known.",
            "Resample whole clusters, not rows; otherwise {n} rows of one person count as {n} people.",
            "Put a weak prior on the variance. With {n} groups the likelihood is flat near zero.",
            "Check for separation: if {n} cases share one outcome, {subject} has no finite estimate.",
            "Fix the analysis before you look; after {n} tries one of them is significant by chance.",
        ),
    ),
    _Community(
        "gardening",
        (
            "the tomato plant",
            "the lemon tree",
            "the raised bed",
            "lavender",
            "the fig tree",
            "the strawberry patch",
            "the hedge",
        ),
        (
            "turns yellow",
            "dies back in spring",
            "attracts slugs",
            "grows leaves but nothing else",
            "dries out in a day",
        ),
        ("on a north-facing balcony", "in heavy clay", "after a wet winter", "in pots of 10 litres"),
        (
            "Dig down {n} cm and feel the soil; if it is wet there, {subject} is drowning, not thirsty.",
            "Water every {n} days but then thoroughly: roots follow the water down and survive the heat.",
            "Test the pH with a strip. Above {n} the iron is there, but the plant cannot take it up.",
            "Mulch with {n} cm of straw; the soil stays cool and the slugs lose their way at night.",
            "Stop feeding for {n} weeks: too much nitrogen gives leaves, and leaves invite lice.",
            "Cut it back to {n} buds while it sleeps, just above one that looks outward.",
            "Lift the pot onto {n} stones so that it drains; most of the trouble starts with wet feet.",
            "Turn {subject} every {n} days towards the light, or one side does all the work.",
        ),
    ),
    _Community(
        "cycling",
        ("the rear wheel", "the saddle", "the disc brake", "the steel frame", "the bottom bracket", "the dynamo light"),
        ("clicks under load", "squeals in the rain", "rattles on cobbles", "wears out too fast", "works loose"),
        ("on long descents", "with 20 kg of luggage", "on my daily commute", "after a winter on salted roads"),
        (
            "Take it apart, clean both faces and grease them; {n} grains of sand are enough for that noise.",
            "Use a torque wrench at {n} Nm. By hand nearly everyone stops too early on this bolt.",
            "Bed the pads in with {n} firm stops from speed, without ever locking the wheel.",
            "Move the saddle {n} mm back and ride for a week before you change anything else.",
            "Check the spoke tension by ear: {n} spokes that sound dull explain what you feel in {subject}.",
            "Measure the chain; beyond 0.{n} % it eats the sprockets, and then all has to be replaced.",
            "Try it with {n} bar less in the tyre. Comfort and grip grow, and the speed stays.",
            "Wrap the contact points in {n} turns of tape, ride again, and see which noise is gone.",
        ),
    ),
)

_TITLES = (
    "Why is it that {subject} {trouble} {setting}?",
    "{Subject} {trouble} {setting}: what am I doing wrong?",
    "What helps when {subject} {trouble} {setting}?",
    "{Subject} {trouble} {setting}, {n} times in a row. Any ideas?",
    "Is it normal that {subject} {trouble} {setting}?",
)

_OPENINGS = (
    "I have been at this for {n} weeks now.",
    "This is my attempt number {n}, so I may be missing something basic.",
    "A friend gave me {n} tips and none of them helped.",
    "It used to work, until about {n} days ago.",
    "I have read {n} older threads here and they contradict each other.",
)

_TRIED = (
    "starting over with {n} changes at once",
    "doing nothing for {n} days",
    "asking {n} neighbours",
    "following a video of {n} minutes",
    "writing down every step, {n} in all",
    "what the manual says on page {n}",
)

_ASKS = (
    "What would you try first?",
    "How do I find out which part is to blame?",
    "Is there a way to tell before it happens?",
    "I would rather understand it than just make it go away.",
)

#: General remarks, about as long as the advice. They fit everywhere and help nobody.
_REMARKS = (
    "I had this with {subject} some {n} years ago, and one day it was simply gone; no idea why.",
    "There are about {n} schools of thought on {subject}, and in the end each of them has a point.",
    "Personally I would not worry before it happens {n} more times, such things come and go.",
    "You could look for a better one; people I know have spent {n} evenings on less than that.",
    "Some swear by doing it the old way, others changed {n} times and are no happier for it.",
    "It depends on so many things that {n} people will tell you {n} different stories.",
    "My uncle always says that {subject} needs patience, and after {n} years he should know.",
    "Maybe start again from the beginning; by try number {n} it tends to go better by itself.",
)

_STARTS = ("", "", "", "Same here last year. ", "Good question. ", "Short version: ", "From experience: ", "Hm. ")
_ENDS = ("", "", "", " Good luck!", " Tell us how it goes.", " Hope that helps.", " That is all I know.")

#: How strongly quality shows: chance of a concrete point is logistic in this times the quality.
_CONCRETE_SLOPE = 1.5

_POINTS_MAX = 4
_QUOTES, _LISTS, _BOLD = 0.1, 0.2, 0.15


class Writer:
    """Writes texts; no title comes twice from one writer, and no answer twice in one thread."""

    def __init__(self) -> None:
        self._titles: set[str] = set()

    def question(self, random: np.random.Generator) -> Question:
        """A question of a community drawn at random."""
        community = _pick(random, _COMMUNITIES)
        subject = _pick(random, community.subjects)
        words = {"subject": subject, "Subject": subject[0].upper() + subject[1:]}
        words |= {"trouble": _pick(random, community.troubles), "setting": _pick(random, community.settings)}
        title = _fill(random, _pick(random, _TITLES), words)
        while title in self._titles:
            title += f" ({_number(random)} {_pick(random, ('days', 'tries', 'weeks'))})"
        self._titles.add(title)
        first, second = random.permutation(len(_TRIED))[:2].tolist()
        tried = [_fill(random, _TRIED[first], words), _fill(random, _TRIED[second], words)]
        listed = "\n".join(f"- {item}" for item in tried) if random.random() < _LISTS else f"{tried[0]} and {tried[1]}."
        parts = [
            _fill(random, _pick(random, _OPENINGS), words),
            _fill(random, "To be exact: {subject} {trouble} {setting}.", words),
            ("So far I tried:\n\n" if listed.startswith("-") else "So far I tried ") + listed,
            _pick(random, _ASKS),
        ]
        return Question(community.name, subject, title, "\n\n".join(parts))

    def answers(self, random: np.random.Generator, question: Question, qualities: Sequence[float]) -> list[str]:
        """One text for each quality (in standard deviations), all of them different."""
        texts: dict[str, None] = {}
        for quality in qualities:
            text = _answer(random, question, quality)
            while text in texts:
                text = _answer(random, question, quality)
            texts[text] = None
        return list(texts)


def _answer(random: np.random.Generator, question: Question, quality: float) -> str:
    community = next(known for known in _COMMUNITIES if known.name == question.community)
    words = {"subject": question.subject}
    count = 1 + int(random.integers(_POINTS_MAX))
    concrete = int(random.binomial(count, 1 / (1 + math.exp(-_CONCRETE_SLOPE * quality))))
    chosen = [community.advice[i] for i in random.permutation(len(community.advice))[:concrete]]
    chosen += [_REMARKS[i] for i in random.permutation(len(_REMARKS))[: count - concrete]]
    points = [_fill(random, chosen[i], words) for i in random.permutation(count)]
    if random.random() < _BOLD:
        head, _, rest = points[0].partition(" ")
        points[0] = f"**{head}** {rest}"
    start, end = _pick(random, _STARTS), _pick(random, _ENDS)
    if count > 1 and random.random() < _LISTS:
        text = f"{start}{count} things:\n\n" + "\n".join(f"{i}. {point}" for i, point in enumerate(points, 1))
        text += f"\n\n{end.strip()}" if end else ""
    else:
        text = start + " ".join(points) + end
    return f"> {question.title}\n\n{text}" if random.random() < _QUOTES else text


def _fill(random: np.random.Generator, template: str, words: dict[str, str]) -> str:
    """The template with its words, and one number drawn for it."""
    return template.format(n=_number(random), **words)


def _number(random: np.random.Generator) -> int:
    return 2 + int(random.integers(48))


def _pick(random: np.random.Generator, choices: Sequence[_Choice]) -> _Choice:
    return choices[int(random.integers(len(choices)))]
