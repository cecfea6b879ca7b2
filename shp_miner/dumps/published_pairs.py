"""Rows of the Stanford Human Preferences data set (SHP): each is a pair of answers of one post.

The layout has no time of the post and no score of it, so the post gets bounds: the time of its earliest answer in the
files, and the lowest score that SHP takes (its dataset card). Nobody knows when the scores were read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from shp_miner.dumps.parquet import Record
from shp_miner.platforms.sites import REDDIT, site_of
from shp_miner.tally import Damage, Lost

_PAIR = ("c_root_id", "human_ref", "created_at_utc", "score")

#: The columns that are read of every row.
NEEDED = ("post_id", "domain", "history", *(f"{name}_{side}" for name in _PAIR for side in "AB"))

#: How the domains of SHP-2's Stack Exchange part begin, as its folders do.
_STACK = "stack_"

#: SHP's lowest score of a post.
POST_SCORE_MIN = 10

_SPLIT = re.compile(r"_(?:train|validation|test)\Z")


def threads(again: Callable[[], Iterable[Record]], rows: Iterable[Record], site: str | None) -> Iterator[Record]:
    """Yield threads of the threads layout from rows of SHP's, each thread with its answers that follow each other.

    The rows are read twice, for the earliest time of each post; a post that comes again later comes with the same
    content.
    """
    earliest: dict[Any, Any] = {}
    for _, row in again():
        if not _is_usable(row):
            continue
        for created in (row["created_at_utc_A"], row["created_at_utc_B"]):
            if _is_number(created):
                earliest[_key(row)] = min(earliest.get(_key(row), created), created)
    held: tuple[Damage, dict[str, Any], dict[Any, Any]] | None = None
    for place, row in rows:
        if not _is_usable(row):
            yield place, row if isinstance(row, Lost) else _what_lacks(row)
            continue
        post = _post(row, earliest.get(_key(row)), site)
        if held is not None and held[1] != post:
            yield _thread(held)
            held = None
        held = held or (place, post, {})
        for side in "AB":
            answer = _answer(row, side)
            held[2].setdefault(tuple(map(repr, answer.values())), answer)
    if held is not None:
        yield _thread(held)


def _thread(held: tuple[Damage, dict[str, Any], dict[Any, Any]]) -> Record:
    place, post, answers = held
    return place, {**post, "answers": list(answers.values())}


def _is_usable(row: Any) -> bool:
    return isinstance(row, dict) and all(row.get(name) is not None for name in NEEDED)


def _what_lacks(row: Any) -> Lost:
    if not isinstance(row, dict):
        return Lost("not_an_object", "a JSON object was expected")
    lacks = next(name for name in NEEDED if row.get(name) is None)
    return Lost("missing_field", f'"{lacks}" is missing or null')


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(row: dict[str, Any]) -> str:
    return f"{row['domain']}\0{row['post_id']}"


def _post(row: dict[str, Any], created: Any, site: str | None) -> dict[str, Any]:
    domain = row["domain"]
    community = _SPLIT.sub("", domain) if isinstance(domain, str) else domain
    if isinstance(community, str) and site is None:
        site, community = _place(community)
    return {
        "site": site or REDDIT,
        "community": community,
        "post_id": row["post_id"],
        "title": row["history"],  # title and text in one line: nothing says where the text begins
        "created_at": created,
        "score": POST_SCORE_MIN,
        "upvote_ratio": row.get("upvote_ratio"),
        "format": "text",
    }


def _place(name: str) -> tuple[str, str]:
    """Return site and community of a domain: a subreddit, or "stack_NAME" of SHP-2 for a site of Stack Exchange."""
    if not name.startswith(_STACK):
        return REDDIT, name
    site = site_of(name.removeprefix(_STACK), stackexchange=True)
    return site, site  # as its dumps have it


def _answer(row: dict[str, Any], side: str) -> dict[str, Any]:
    return {
        "answer_id": row[f"c_root_id_{side}"],
        "body": row[f"human_ref_{side}"],
        "created_at": row[f"created_at_utc_{side}"],
        "score": row[f"score_{side}"],
    }
