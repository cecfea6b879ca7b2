"""Published data sets of whole threads that do not say when answers were written: H4's Stack Exchange set, and ELI5.

A row is a thread. What a layout does not say stays unknown: NO_TIME for times, null for the score of a post. Rules that
use it drop these answers (rules/needs.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from shp_miner.dumps.parquet import Record
from shp_miner.model import NO_TIME_US
from shp_miner.platforms.sites import REDDIT
from shp_miner.platforms.stackexchange import NEWEST_LICENSE
from shp_miner.tally import Lost
from shp_miner.units import from_us

NO_TIME = from_us(NO_TIME_US)

_HOST = re.compile(r"https?://([^/\s]+)(?:/|\Z)")
_USER = re.compile(r"/users/(\d+)")
_DAY = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})")


def h4_threads(_again: Callable[[], Iterable[Record]], rows: Iterable[Record], site: str | None) -> Iterator[Record]:
    """Yield threads from rows of H4's Stack Exchange preferences, as of the site that their links name."""
    return _each(rows, lambda row: _h4_thread(row, site))


def eli5_threads(_again: Callable[[], Iterable[Record]], rows: Iterable[Record], site: str | None) -> Iterator[Record]:
    """Yield threads from rows of ELI5."""
    return _each(rows, lambda row: _eli5_thread(row, site or REDDIT))


def _each(rows: Iterable[Record], thread_of: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[Record]:
    for place, row in rows:
        if isinstance(row, Lost):
            yield place, row
        elif not isinstance(row, dict):
            yield place, Lost("not_an_object", "a JSON object was expected")
        else:
            try:
                yield place, thread_of(row)
            except Lost as lost:
                yield place, lost


def _h4_thread(row: dict[str, Any], site: str | None) -> dict[str, Any]:
    links = [link for link in _listed(row.get("metadata")) if isinstance(link, str)]
    hosts = [found[1] for link in links if (found := _HOST.match(link))]
    if site is None and not hosts:
        raise Lost("missing_field", '"metadata" has no link that names the site; give --site')
    users = [found[1] for link in links if (found := _USER.search(link))]
    of = site or hosts[0]
    return {
        "site": of,
        "community": of,
        "post_id": row.get("qid"),
        "url": links[0] if links and "/questions/" in links[0] else None,
        "title": "",
        "body": row.get("question"),
        "format": "html",
        "license": NEWEST_LICENSE,  # that of the data set
        "created_at": _day(row.get("date")),
        "score": None,
        "author_id": users[0] if users else None,
        "answers": [_h4_answer(answer) if isinstance(answer, dict) else answer for answer in _answers(row)],
    }


def _h4_answer(answer: dict[str, Any]) -> dict[str, Any]:
    author = {"author": answer["author"]} if answer.get("author") else {}
    return {
        "answer_id": answer.get("answer_id"),
        "body": answer.get("text"),
        "created_at": NO_TIME,
        "score": answer.get("pm_score"),
        "accepted": answer.get("selected"),
        "author_id": answer.get("author_id"),
        "author_url": answer.get("author_profile"),
        **author,
    }


def _eli5_thread(row: dict[str, Any], site: str) -> dict[str, Any]:
    return {
        "site": site,
        "community": row.get("subreddit"),
        "post_id": row.get("q_id"),
        "title": row.get("title"),
        "body": row.get("selftext"),
        "created_at": NO_TIME,
        "score": None,
        "answers": [
            {
                "answer_id": answer.get("a_id"),
                "body": answer.get("text"),
                "created_at": NO_TIME,
                "score": answer.get("score"),
            }
            if isinstance(answer, dict)
            else answer
            for answer in _answers(row)
        ],
    }


def _answers(row: dict[str, Any]) -> list[Any]:
    """Return the answers of a row: a list of them, or what `datasets` makes of it, a list for each of their fields."""
    answers = row.get("answers")
    if isinstance(answers, dict):
        fields = {name: values for name, values in answers.items() if isinstance(values, list)}
        try:
            answers = [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]
        except ValueError as error:
            raise Lost("wrong_type", "the lists in answers are not of one length") from error
    if not isinstance(answers, list):
        raise Lost("wrong_type", "answers is not a list")
    return answers


def _day(date: Any) -> datetime:
    """Return the day of a question (its start, UTC), NO_TIME where the row does not say it."""
    text = next((value for value in _listed(date) if isinstance(value, str)), "")
    found = _DAY.match(text.strip())
    try:
        return datetime(*map(int, found.groups()), tzinfo=UTC) if found else NO_TIME  # type: ignore[arg-type, misc]
    except ValueError:
        return NO_TIME


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
