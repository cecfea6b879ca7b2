"""A map of tables that nobody has written yet, proposed from their headers and first rows, and threads read by it.

Names decide first (`table_names`), then what the cells hold. What nothing tells is asked, never guessed: the site, the
zone of times without one, the order of dates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from shp_miner.dumps.table import Posts, Reading
from shp_miner.dumps.table_map import (
    ANSWER_NEEDED,
    POST_NEEDED,
    Kinds,
    TableMap,
    fitting_kinds,
    to_map,
)
from shp_miner.dumps.table_names import ANSWER_NAMES, KIND_NAMES, KIND_WORDS, POST_NAMES, PREFIXES, plain
from shp_miner.dumps.table_rows import Table, open_table, rows
from shp_miner.dumps.table_values import NOTHING, Clock, Unclear, identity, moment, order_of, whole
from shp_miner.dumps.threads import Collector
from shp_miner.errors import BadInput
from shp_miner.platforms.records import latest_allowed_us
from shp_miner.tally import Lost, Tally

#: Rows of each table that are looked at, and threads that are shown.
_LOOKED_AT = 5000
_SHOWN = 3
_ANSWERS_SHOWN = 3
_SHARE = 0.8

#: Names that the ids of answers have, and no id of a post.
_OWN_IDS = tuple(name for name in ANSWER_NAMES["answer_id"] if name not in POST_NAMES["post_id"])

#: What is asked, in this order, where no table tells it.
ASKED = ("site", "community", "zone", "dates")
_HTML = re.compile(r"</?(?:p|br|div|a|b|i|em|strong|code|pre|li|ul|ol|blockquote|span|img)\b[^>]*>", re.IGNORECASE)
_LONG_TEXT, _SHORT_TEXT = 30, 8


class Guess(Struct):
    """A proposed map. `unknown` are the keys that only a person can tell: site, community, zone, dates."""

    map: TableMap
    unknown: list[str]


class Look(Struct):
    """The first rows of a table, by column."""

    table: Table
    cells: dict[str, list[str]]

    def filled(self, name: str) -> list[str]:
        """The cells of a column that hold something."""
        return [text for text in self.cells.get(name, []) if text.strip() not in NOTHING]


def guess_map(paths: Sequence[Path], given: Mapping[str, Any] | None = None) -> Guess:
    """Propose a map for tables; `given` are keys that a person told. Raises BadInput where a column is not found."""
    given = {name: value for name, value in (given or {}).items() if value is not None}
    looks = [_look(open_table(path, TableMap(encoding=given.get("encoding")))) for path in paths]
    data: dict[str, Any] = dict(given)
    posts, answers = _columns(looks, data)
    _require(looks, posts, answers)
    data |= {"posts": posts} if posts else {}
    data |= {"answers": answers} if answers else {}
    unknown = _settle(looks, data, posts, answers)
    placeholders = {"site": "forum.example", "community": "forum"}
    filled = {name: placeholders[name] for name in unknown if name in placeholders}
    return Guess(to_map({**filled, **data}), unknown)


def _look(table: Table) -> Look:
    if not table.header:
        raise BadInput(
            f"{table.path} unpacks to nothing: it is empty inside, or cut off.", "Get an undamaged copy of it."
        )
    cells: dict[str, list[str]] = {name: [] for name in table.header}
    for _, row in islice(rows(table, TableMap(), Tally()), _LOOKED_AT):
        if not isinstance(row, Lost):
            for name, text in zip(table.header, row, strict=True):
                cells[name].append(text or "")
    return Look(table, cells)


def _columns(looks: Sequence[Look], data: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The columns of posts and of answers."""
    if len(looks) == 1:
        return _of_one(looks[0], data)
    titled = [_named(look, {"title": POST_NAMES["title"]}) for look in looks]
    first = next((number for number, found in enumerate(titled) if found), 0)
    posts = _of_posts(looks[first])
    ids = set(map(identity, looks[first].filled(posts.get("post_id", ""))))
    other = next((look for number, look in enumerate(looks) if number != first), looks[0])
    return posts, _of_answers(other, ids)


def _of_one(look: Look, data: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The columns of a single table: both kinds in a row, rows of both kinds, or one kind."""
    parts = {kind: _prefixed(look, kind) for kind in PREFIXES}
    if "body" in parts["answer"] and ("title" in parts["post"] or "title" in _named(look, POST_NAMES)):
        free = [name for name in look.table.header if name not in parts["answer"].values()]
        posts = parts["post"] | {
            key: name
            for key, name in _named(look, POST_NAMES, free).items()
            if name not in parts["post"].values() and key not in parts["post"]
        }
        answers = parts["answer"] | ({"post_id": posts["post_id"]} if "post_id" in posts else {})
        for key in ("created_at", "score"):
            if key in posts and key not in answers:
                answers[key] = posts[key]
        return posts, answers
    kind = _kind_column(look)
    if kind is not None:
        data["kind"] = msgspec.to_builtins(kind)
    named = _named(look, {"title": POST_NAMES["title"], "answer_id": _OWN_IDS, "post_id": ANSWER_NAMES["post_id"]})
    if kind is None and "title" not in named and {"answer_id", "post_id"} <= set(named):
        return {}, _of_answers(look, set())
    posts = _of_posts(look)
    ids = set(map(identity, look.filled(posts.get("post_id", ""))))
    answers = _of_answers(look, ids, apart_from=posts.get("post_id", ""))
    if kind is None and "title" not in posts:
        return {}, answers
    if "post_id" not in answers:
        return posts, {}
    return posts, {
        "answer_id": posts.get("post_id", ""),
        **{key: name for key, name in answers.items() if key != "answer_id"},
    }


def _kind_column(look: Look) -> Kinds | None:
    for name in look.table.header:
        if plain(name) in KIND_NAMES:
            words = {word.strip() for word in look.filled(name)}
            for post, answer in KIND_WORDS:
                spelled = {word.casefold(): word for word in words}
                if post in spelled and answer in spelled:
                    return Kinds(name, spelled[post], spelled[answer])
    return None


def _prefixed(look: Look, kind: str) -> dict[str, str]:
    """Columns whose names begin with a word for the kind: answer_text, questionTitle."""
    names = POST_NAMES if kind == "post" else ANSWER_NAMES
    found: dict[str, str] = {}
    for column in look.table.header:
        for prefix in PREFIXES[kind]:
            rest = plain(column).removeprefix(prefix)
            if rest == plain(column) or (len(prefix) == 1 and not re.match(rf"(?i){prefix}[_. -]", column)):
                continue
            # A column that is called after the thing alone holds its text.
            own = "title" if kind == "post" else "body"
            key = own if not rest else next((key for key, words in names.items() if rest in words), "")
            if rest == "id":
                key = f"{kind}_id"
            if key and key not in found:
                found[key] = column
            break
    return found


def _named(look: Look, names: Mapping[str, Sequence[str]], free: Sequence[str] | None = None) -> dict[str, str]:
    """Columns by their names, each used once."""
    found: dict[str, str] = {}
    there = {plain(column): column for column in reversed(look.table.header if free is None else free)}
    for key, words in names.items():
        column = next((there[word] for word in words if word in there and there[word] not in found.values()), "")
        if column and look.filled(column):
            found[key] = column
    return found


def _of_posts(look: Look) -> dict[str, str]:
    return _completed(
        look, _named(look, _ids_first(POST_NAMES, "post_id")), ("post_id", "title", "body", "created_at", "score")
    )


def _of_answers(look: Look, posts: set[str], apart_from: str = "") -> dict[str, str]:
    """The columns of answers; `posts` are the ids of the first posts."""
    found: dict[str, str] = {}
    of = {
        name: sum(identity(text) in posts for text in cells) / len(cells)
        for name in look.table.header
        if name != apart_from and (cells := look.filled(name))
    }
    named = [name for word in ANSWER_NAMES["post_id"] for name in of if plain(name) == word]
    # Ids of posts fill the column, and unlike the answers' own ids they come again.
    likely = sorted(
        of, key=lambda name: (-round(of[name], 1), len(set(look.cells[name])) / max(len(look.filled(name)), 1))
    )
    column = next((name for name in named if of[name] > 0), "")
    if not column and likely and of[likely[0]] >= _SHARE:
        column = likely[0]
    column = column or next(iter(named), "")
    if column:
        found["post_id"] = column
    free = [name for name in look.table.header if name != column]
    names = {key: words for key, words in _ids_first(ANSWER_NAMES, "answer_id").items() if key != "post_id"}
    found |= _named(look, names, free)
    return _completed(look, found, ("answer_id", "body", "created_at", "score"))


def _ids_first(names: Mapping[str, Sequence[str]], key: str) -> dict[str, Sequence[str]]:
    return {key: names[key], **names}


def _completed(look: Look, found: dict[str, str], keys: Sequence[str]) -> dict[str, str]:
    """The columns, with those whose names say nothing told by their cells."""
    tests = {
        "created_at": _is_time,
        "body": lambda cells: _mean_chars(cells) >= _LONG_TEXT and not _is_time(cells),
        "title": lambda cells: _mean_chars(cells) >= _SHORT_TEXT and not _is_time(cells),
        "post_id": lambda cells: len(set(cells)) == len(cells) and _mean_chars(cells) < _LONG_TEXT,
        "answer_id": lambda cells: len(set(cells)) == len(cells) and _mean_chars(cells) < _LONG_TEXT,
        "score": _is_number,
    }
    for key in sorted(keys, key=list(tests).index):
        if key in found:
            continue
        free = [name for name in look.table.header if name not in found.values() and look.filled(name)]
        fitting = [name for name in free if tests[key](look.filled(name))]
        if key == "body":
            fitting.sort(key=lambda name: -_mean_chars(look.filled(name)))
        if fitting:
            found[key] = fitting[0]
    order = [*keys, *(key for key in found if key not in keys)]
    return {key: found[key] for key in order if key in found}


def _mean_chars(cells: Sequence[str]) -> float:
    return sum(map(len, cells)) / max(len(cells), 1)


def _is_time(cells: Sequence[str]) -> bool:
    return _share(cells, lambda text: moment(text, "", Clock(UTC, order_of(text)[1] or "day-first")).year >= 1990)


def _is_number(cells: Sequence[str]) -> bool:
    return _share(cells, lambda text: whole(text, "", "", "." if _whole(text, ".") else ",") is not None)


def _whole(text: str, decimal: str) -> bool:
    with suppress(Lost):
        whole(text, "", "", decimal)
        return True
    return False


def _share(cells: Sequence[str], holds: Any) -> bool:
    good = 0
    for text in cells[:200]:
        with suppress(Lost):
            good += bool(holds(text))
    return good >= _SHARE * min(len(cells), 200) > 0


def _require(looks: Sequence[Look], posts: Mapping[str, str], answers: Mapping[str, str]) -> None:
    """Raise BadInput where a column that must be there was not found."""
    lacking = [f"{key} of posts" for key in sorted(POST_NEEDED - set(posts))] if posts else []
    lacking += [f"{key} of answers" for key in sorted(ANSWER_NEEDED - set(answers))] if answers else []
    if not (posts or answers):
        lacking = ["the title of posts", "the post_id of answers"]
    if lacking:
        columns = "; ".join(f"{look.table.path.name} has {', '.join(look.table.header)}" for look in looks)
        raise BadInput(
            f"No column was found for {', '.join(lacking)} ({columns:.600}).",
            "Write the map yourself: `shp-miner docs tables` has an example.",
        )


def _settle(
    looks: Sequence[Look], data: dict[str, Any], posts: Mapping[str, str], answers: Mapping[str, str]
) -> list[str]:
    """Add to a map what the cells tell of times, scores and texts; the keys that they do not tell are returned."""
    unknown = [name for name in ("site", "community") if name not in data and name not in (posts or answers)]
    times = {name for columns in (posts, answers) for key, name in columns.items() if key.endswith("_at")}
    texts = [text for look in looks for name in times for text in look.filled(name)]
    orders = [order for text in texts for unsure, order in [order_of(text)] if unsure]
    told = {order for order in orders if order}
    if orders and "dates" not in data:
        if len(told) == 1:
            data["dates"] = told.pop()
        else:
            unknown.append("dates")
    clock = Clock(None, data.get("dates") or "day-first")
    if not ({"utc", "zone"} & set(data)) and any(_is_naive(text, clock) for text in texts):
        unknown.append("zone")
    scores = [text for look in looks for columns in (posts, answers) for text in look.filled(columns.get("score", ""))]
    if any(not _whole(text, ".") and _whole(text, ",") for text in scores):
        data["decimal"] = ","
    bodies = [text for look in looks for columns in (posts, answers) for text in look.filled(columns.get("body", ""))]
    if sum(bool(_HTML.search(text)) for text in bodies) * 3 > len(bodies):
        data["format"] = "html"
    encodings = {look.table.encoding for look in looks} - {"utf-8"}
    if encodings and "encoding" not in data:
        data["encoding"] = max(sorted(encodings), key=lambda name: name != "cp1252")
    return sorted(unknown, key=ASKED.index)


def _is_naive(text: str, clock: Clock) -> bool:
    try:
        moment(text, "", clock)
    except Unclear:
        return True
    except Lost:
        pass
    return False


def shown_threads(paths: Sequence[Path], guess: Guess, now: datetime) -> list[dict[str, Any]]:
    """Some threads of the first rows as a map reads them, each with the answers that were found, the best first.

    Where the zone or the order of dates is not known, they are read as UTC and the day first.
    """
    table_map = msgspec.structs.replace(
        guess.map,
        utc=guess.map.utc or "zone" in guess.unknown,
        dates=guess.map.dates or ("day-first" if "dates" in guess.unknown else None),
    )
    collector = Collector(Tally(), latest_allowed_us(now))
    for path in paths:
        table = open_table(path, table_map)
        if fitting_kinds(table_map, table.header):
            reading = Reading(table, table_map, Posts(table_map, [table], believed=True), collector, trying=True)
            for place, cells in islice(rows(table, table_map, Tally()), _LOOKED_AT):
                reading.add(place, cells)
    chunk = collector.take()
    posts, answers = pl.DataFrame(chunk.posts), pl.DataFrame(chunk.answers)
    counts = answers.group_by("post_id").len("count")
    posts = posts.unique("post_id", keep="first", maintain_order=True).join(
        counts, on="post_id", how="left", maintain_order="left"
    )
    chosen = posts.sort(pl.col("count").fill_null(0).clip(0, _ANSWERS_SHOWN), descending=True, maintain_order=True)
    columns = ["score", "created_at", "body"]
    found = []
    for post in chosen.head(_SHOWN).iter_rows(named=True):
        own = answers.filter(pl.col("post_id") == post["post_id"]).sort("score", descending=True, nulls_last=True)
        told = {name: post[name] for name in ("site", "community", "post_id", "title", *columns)}
        found.append({**told, "answers": own.head(_ANSWERS_SHOWN).select("answer_id", *columns).to_dicts()})
    return found
