"""How `shp-miner show --thread` prints a thread: its post, its answers in order of time, and all pairs with reasons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shp_miner.cli.layout import LINES, joined, say_lines, wrapped
from shp_miner.cli.saying import say
from shp_miner.tally import counted
from shp_miner.units import rounded_duration

if TYPE_CHECKING:
    from shp_miner.show.thread import Made, NotMade, ShownAnswer, ShownItem, ShownReading, ThreadShown

#: Lines of an answer, pairs that are made, and pairs of one reason that are shown before the rest is only counted.
_ANSWER_LINES = 3
_PAIRS = 20


def people(thread: ThreadShown, *, full: bool) -> None:
    """Print a thread for people; `full` prints whole texts and every pair."""
    say(*joined([f"{thread.community} ({thread.site})", f"rule {thread.rule}", f"store version {thread.version}"]))
    if thread.url:
        say(thread.url)
    if thread.post is None:
        say("", "The store does not have the post of this thread.")
    else:
        _item("Question", thread.post, lines=None if full else LINES, title=thread.title)
    say("", f"{counted(len(thread.answers), 'answer')}, in order of time:")
    for answer in thread.answers:
        _answer(answer, thread, lines=None if full else _ANSWER_LINES)
    _made(thread.pairs, full=full)
    _not_made(thread, full=full)


def _item(label: str, item: ShownItem, *, lines: int | None, title: str = "") -> None:
    say("", *joined([label, f"written {_time(item)}"]))
    say(*joined([_scores(item)], indent="  "))
    if item.why is not None:
        say(*wrapped(f"Not eligible: {item.why}", indent="  "))
    if title:
        say(*wrapped(title, indent="  "))
    say_lines(wrapped(item.text, indent="  ", lines=lines))


def _answer(answer: ShownAnswer, thread: ThreadShown, *, lines: int | None) -> None:
    asked_at = thread.post.created_at if thread.post is not None else None
    if answer.created_at is None or asked_at is None:
        when = _time(answer)
    else:
        when = f"{rounded_duration((answer.created_at - asked_at).total_seconds())} after the question"
    say("", *joined([f"Answer {answer.number}", when, "accepted" * answer.accepted, answer.id]))
    say(*wrapped(_scores(answer), indent="  ", lines=None))
    say(*wrapped("Eligible." if answer.why is None else f"Not eligible: {answer.why}", indent="  "))
    say_lines(wrapped(answer.text, indent="  ", lines=lines))


def _time(item: ShownItem) -> str:
    return "at an unknown time" if item.created_at is None else f"{item.created_at:%Y-%m-%d %H:%M} UTC"


def _scores(item: ShownItem) -> str:
    """The scores of an item at each of its readings, with its age then."""
    if len(item.readings) == 1:
        reading = item.readings[0]
        read = "at an unknown time" if reading.age_s is None else f"{rounded_duration(reading.age_s)} after writing"
        return f"Score {_score(reading)}, read {read}"
    return "Scores: " + ", ".join(map(_reading, item.readings))


def _reading(reading: ShownReading) -> str:
    return f"{_score(reading)} at {'an unknown age' if reading.age_s is None else rounded_duration(reading.age_s)}"


def _score(reading: ShownReading) -> str:
    score = "hidden" if reading.score is None else f"{reading.score:,}"
    return score if reading.state == "live" else f"{score} ({reading.state})"


def _made(pairs: Sequence[Made], *, full: bool) -> None:
    if not pairs:
        say("", "The rule makes no pair of this thread.")
        return
    say("", f"{counted(len(pairs), 'pair')} that the rule makes:")
    for pair in pairs if full else pairs[:_PAIRS]:
        sure = "" if pair.confidence is None else f", confidence {pair.confidence:.2f} ({pair.tier})"
        say(f"  answer {pair.winner} preferred to answer {pair.loser}{sure}")
    _more(len(pairs), full=full)


def _not_made(thread: ThreadShown, *, full: bool) -> None:
    by_reason: dict[str, list[NotMade]] = defaultdict(list)
    for pair in thread.not_made:
        by_reason[pair.reason].append(pair)
    if by_reason:
        say("", f"{counted(len(thread.not_made), 'pair')} of eligible answers that it does not make:")
    for pairs in sorted(by_reason.values(), key=len, reverse=True):
        say(*wrapped(pairs[0].why, indent="  ", lines=None))
        shown = pairs if full else pairs[:_PAIRS]
        more = [f"and {len(pairs) - len(shown):,} more"] if len(pairs) > len(shown) else []
        say(*joined([*(_between(pair, thread) for pair in shown), *more], indent="    "))


def _between(pair: NotMade, thread: ThreadShown) -> str:
    """A pair by its answers' numbers, with their scores."""
    more, less = (thread.answers[number - 1].score for number in (pair.more, pair.less))
    return f"{pair.more} and {pair.less} ({more:,} to {less:,})"


def _more(count: int, *, full: bool) -> None:
    if count > _PAIRS and not full:
        say(f"  and {count - _PAIRS:,} more; --full shows them")
