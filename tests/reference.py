"""The rules once more, deliberately slow and plain, on pandas: one loop over threads, one over pairs of answers.

Written from the text of the rules and not from the product's code; it shares nothing with it but the column names.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

FLOORS = {"reddit": (10, 2), "lemmy": (10, 2), "stackexchange": (5, 1)}
#: Where roles say who somebody is and not how they spoke, only the forum's own voice is official.
OFFICIAL_QUESTIONS = {"discourse": ("bot",), "nodebb": ("bot",)}
OFFICIAL_ANSWERS = {"discourse": ("bot",), "nodebb": ("bot",)}
STARTS = {"reddit": 1, "lemmy": 1}
HOUR = pd.Timedelta(hours=1)
DAY = pd.Timedelta(days=1)


#: Rules without lowest scores.
WITHOUT_FLOORS = ("accepted", "comparisons")


@dataclass
class Result:
    """(site, post, winner, loser) of every pair, by rule name."""

    pairs: set[tuple[str, str, str, str]] = field(default_factory=set)

    @property
    def posts(self) -> int:
        return len({(site, post) for site, post, _, _ in self.pairs})


def pairs(posts: pd.DataFrame, answers: pd.DataFrame, *rules: str) -> dict[str, Result]:
    """The pairs of each rule."""
    found = _pairs(posts, answers, [rule for rule in rules if rule not in WITHOUT_FLOORS], floors=True)
    for rule in set(rules) & set(WITHOUT_FLOORS):
        found |= _pairs(posts, answers, [rule], floors=False)
    return found


def _pairs(posts: pd.DataFrame, answers: pd.DataFrame, rules: list[str], *, floors: bool) -> dict[str, Result]:
    results = {rule: Result() for rule in rules}
    threads = {key: own.to_dict("records") for key, own in answers.groupby(["site", "post_id"])}
    for post in posts.to_dict("records"):
        if not post_is_eligible(post, floors=floors):
            continue
        own = threads.get((post["site"], post["post_id"]), [])
        kept = [answer for answer in own if answer_is_eligible(answer, post, floors=floors)]
        # What the asker accepted takes part whatever its votes, where votes do not decide.
        kept.sort(
            key=lambda a: (-a["accepted"] * (rules == ["accepted"]), -a["score"], a["created_at"], a["answer_id"])
        )
        kept = kept[:50]
        kept.sort(key=lambda a: (a["created_at"], a["answer_id"]))
        for (i, a), (j, b) in itertools.combinations(enumerate(kept), 2):
            for rule, result in results.items():
                winner_loser = _judge(a, b, i + 1 == j, rule)
                if winner_loser:
                    winner, loser = winner_loser
                    result.pairs.add((post["site"], post["post_id"], winner["answer_id"], loser["answer_id"]))
    return results


def post_is_eligible(post: Any, *, floors: bool = True) -> bool:
    floor, _ = FLOORS.get(post["platform"], (0, 1))
    return bool(
        post["is_text"]
        and post["title"].strip()
        and post["state"] == "live"
        and not post["author_deleted"]
        and post["author_role"] not in OFFICIAL_QUESTIONS.get(post["platform"], ("moderator", "admin"))
        and not post["nsfw"]
        and not (post["edited"] and post["platform"] in ("reddit", "lemmy"))
        and _has_age(post)
        and not pd.isna(post["score"])
        and (post["score"] >= floor or not floors)
    )


def answer_is_eligible(answer: Any, post: Any, *, floors: bool = True) -> bool:
    _, floor = FLOORS.get(answer["platform"], (0, 1))
    by_asker = answer["by_post_author"] or _same_author(answer, post)
    return bool(
        answer["state"] == "live"
        and answer["body_chars"] > 0
        and not answer["author_deleted"]
        and answer["author_role"] not in OFFICIAL_ANSWERS.get(answer["platform"], ("moderator", "admin", "bot"))
        and not by_asker
        and not answer["stickied"]
        and _has_age(answer)
        and not pd.isna(answer["score"])
        and (answer["score"] >= floor or not floors)
    )


def _same_author(answer: Any, post: Any) -> bool:
    if not pd.isna(answer["author_id"]) and not pd.isna(post["author_id"]):
        return bool(answer["author_id"] == post["author_id"])
    return bool(not pd.isna(answer["author"]) and answer["author"] == post["author"])


def _has_age(item: Any) -> bool:
    return not pd.isna(item["observed_at"]) and item["observed_at"] - item["created_at"] >= DAY


def _judge(a: Any, b: Any, neighbours: bool, rule: str) -> tuple[Any, Any] | None:
    if rule == "accepted":
        return _chosen(a, b)
    if rule == "comparisons" and min(_votes(a), _votes(b)) < 0:
        return None
    value_a, value_b = (_log_votes(x) if rule == "log-votes" else x["score"] for x in (a, b))
    if value_a == value_b:
        return None
    winner, loser = (a, b) if value_a > value_b else (b, a)
    apart = winner["created_at"] - loser["created_at"]
    if read_apart(a, b):
        return None
    old_enough = apart >= pd.Timedelta(0)
    wanted = {
        "shp": old_enough,
        "shp-strict": old_enough and loser["score"] > 0 and winner["score"] >= 2 * loser["score"],
        "time-matched": neighbours and abs(apart) <= HOUR,
        "votes": True,
        "comparisons": True,
        "older-winner": not old_enough,
        "log-votes": True,
        # The card's numbered rule: the preferred answer was written no later than the other.
        "card-rule-1": apart <= pd.Timedelta(0),
    }
    return (winner, loser) if wanted[rule] else None


def _chosen(a: Any, b: Any) -> tuple[Any, Any] | None:
    """The accepted answer and the other, if that was written before the choice, or else before the accepted answer."""
    if a["accepted"] == b["accepted"]:
        return None
    winner, loser = (a, b) if a["accepted"] else (b, a)
    until = winner["created_at"]
    if not pd.isna(winner["accepted_at"]):
        until = max(until, winner["accepted_at"])
    return (winner, loser) if loser["created_at"] <= until else None


def read_apart(a: Any, b: Any) -> bool:
    return bool(abs(a["observed_at"] - b["observed_at"]) > 2 * DAY and not (_settled(a) and _settled(b)))


def _settled(answer: Any) -> bool:
    return bool(answer["observed_at"] - answer["created_at"] >= 30 * DAY)


def _log_votes(answer: Any) -> int:
    votes = _votes(answer)
    level = -1 if votes < 0 else round(math.log2(1 + votes))
    return level + (1 if answer["accepted"] else 0)


def _votes(answer: Any) -> int:
    return int(answer["score"] - STARTS.get(answer["platform"], 0))
