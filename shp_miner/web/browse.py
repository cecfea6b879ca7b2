"""The threads of a store for pages: found by id, by address or by words of the title, and shown with every decision."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from threading import Lock
from typing import Any

import polars as pl
from markupsafe import Markup

from shp_miner.errors import UsageError
from shp_miner.pages.markup import web_address
from shp_miner.rules.age import known_time
from shp_miner.rules.calibrated import Calibration
from shp_miner.rules.presets import PRESETS, Rule, preset
from shp_miner.show.find import ThreadKey, find_thread
from shp_miner.show.fit import Places, fitted
from shp_miner.show.thread import NotMade, ShownAnswer, ShownReading, ThreadShown, show_thread
from shp_miner.store import HashRange, Snapshot, Store
from shp_miner.units import rounded_duration
from shp_miner.web.chart import MOST, score_chart

#: Threads of a search, answers and pairs of a thread that a page shows.
_HITS, _ANSWERS, _PAIRS = 50, 100, 200

#: What to do where nothing is found.
_FEWER = " Try fewer words of the title, the id of the post or of an answer, or the thread's address."

#: For how long a store is not looked at for a newer version, in seconds.
_FRESH_S = 5.0

#: Rows of the part of a store from which threads are proposed.
_SOME_ROWS = 2_000


class Browse:
    """A store whose threads are looked at. Methods may be called from several threads."""

    def __init__(self, store: Store, rule: str = "shp") -> None:
        self._store, self._rule = store, rule
        self._lock = Lock()
        self._snapshot: Snapshot | None = None
        self._looked_at = 0.0
        self._sites: set[str] = set()
        self._fits: dict[tuple[str, str], Calibration] = {}

    def snapshot(self) -> Snapshot:
        """Return the store as it is; what is known of an older version is dropped."""
        with self._lock:
            now = time.monotonic()
            if self._snapshot is None or now - self._looked_at > _FRESH_S:
                newest = self._store.snapshot()
                if self._snapshot is None or newest.version != self._snapshot.version:
                    self._snapshot, self._fits, self._sites = newest, {}, set()
                self._looked_at = now
            return self._snapshot

    def sites(self) -> set[str]:
        """Return the sites of the store; one column is read once a version."""
        snapshot = self.snapshot()
        if not self._sites:
            self._sites = snapshot.sites()
        return self._sites

    def search(self, asked: str) -> dict[str, Any]:
        """Return what a page of threads shows: those of an id or an address, else those with all words in the title."""
        asked, began = asked.strip(), time.perf_counter()
        snapshot = self.snapshot()
        told: dict[str, Any] = {"asked": asked, "said": "", "hits": []}
        if not asked:
            return {**told, "said": "Some threads of the store:", "hits": _some(snapshot)}
        try:
            found = find_thread(snapshot, asked, sites=self.sites())
            told["hits"] = _hits(snapshot.scan("posts", found.part).filter(pl.col("post_id") == found.post_id), found)
        except UsageError as error:
            told["hits"] = [] if web_address(asked) else _with_words(snapshot, asked)
            told["said"] = error.message if "sites have" in error.message else ""
        count, posts = len(told["hits"]), snapshot.rows("posts")
        took = f"in {time.perf_counter() - began:.1f} s, of {posts:,} posts as they were read"
        more = " or more" if count == _HITS else ""
        found_so_many = f"{count}{more} {'thread' if count == 1 else 'threads'}, {took}."
        told["said"] = told["said"] or found_so_many + ("" if count else _FEWER)
        return told

    def thread(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Return what the page of a thread shows. `asked` has `site` and `id`, and perhaps `rule`."""
        name = asked.get("rule", self._rule)
        rule, snapshot = preset(name), self.snapshot()
        thread = ThreadKey(asked.get("site", ""), asked.get("id", ""))
        shown = show_thread(
            self._store, snapshot, thread, rule, fits=lambda places: self._fit(snapshot, thread, rule, places)
        )
        answers = {answer.number: answer for answer in shown.answers}
        chart = score_chart(shown.answers, "Scores of the answers at the times when they were read")
        return {
            "heading": shown.title or f"Thread {thread.post_id}", "shown": shown, "thread": thread,
            "rules": list(PRESETS), "rule": name, "caption": _caption(shown), "answers": shown.answers[:_ANSWERS],
            "chart": Markup(chart),  # noqa: S704  (made here, of numbers and days)
            "hidden": max(0, len(shown.answers) - _ANSWERS), "readings": _readings, "url": web_address(shown.url),
            "pairs": [_made(pair.winner, pair.loser, pair.confidence, pair.tier) for pair in shown.pairs[:_PAIRS]],
            "more_pairs": max(0, len(shown.pairs) - _PAIRS), "not_made": _not_made(shown.not_made, answers),
        }  # fmt: skip

    def _fit(self, snapshot: Snapshot, thread: ThreadKey, rule: Rule, places: Places) -> Calibration:
        """The calibration of a thread's community. All presets have the same; the first page of a community waits."""
        if not places:
            raise UsageError(
                f"The store has no thread {thread.post_id!r} of {thread.site!r}.",
                "Find the thread by words, id or address.",
            )
        key = min(places)
        if key not in self._fits:
            self._fits[key] = fitted(self._store, snapshot, rule, places)
        return self._fits[key]


def _with_words(snapshot: Snapshot, asked: str) -> list[dict[str, Any]]:
    """The newest threads with all words in the title. The column of titles is read, whatever the words are."""
    title = pl.col("title").str.to_lowercase()
    words = pl.all_horizontal(title.str.contains(word, literal=True) for word in asked.lower().split())
    return _hits(snapshot.scan("posts").filter(words))


def _some(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Threads of one small part of the store, so that nothing else is read."""
    parts = snapshot.ranges(_SOME_ROWS)
    for part in parts[: max(1, len(parts) // 10)]:
        if hits := _hits(snapshot.scan("posts", HashRange(part.start, part.stop))):
            return hits[:20]
    return []


def _hits(posts: pl.LazyFrame, thread: ThreadKey | None = None) -> list[dict[str, Any]]:
    if thread is not None:
        posts = posts.filter(pl.col("site") == thread.site)
    columns = ["site", "post_id", "community", "title", "created_at"]
    rows = (
        posts.select(columns)
        .unique(["site", "post_id"], keep="any")
        .sort("created_at", descending=True)
        .with_columns(known_time())
    )
    found = rows.head(_HITS).collect(engine="streaming").to_dicts()
    return found or ([{"site": thread.site, "post_id": thread.post_id, "community": "", "title": "", "created_at": None}] if thread else [])  # fmt: skip  # noqa: E501


def _caption(shown: ThreadShown) -> str:
    """What the picture says, in words."""
    known = [answer for answer in shown.answers if answer.score is not None]
    if not known:
        return "No answer has a score."
    best = max(known, key=lambda answer: (answer.score or 0, -answer.number))
    times = max(len(answer.readings) for answer in shown.answers)
    often = f"answers were read up to {times} times" if times > 1 else "every answer was read once"
    limited = f" The picture shows the {MOST} highest ones." if len(known) > MOST else ""
    scale = "The scale of scores is logarithmic."
    return (
        f"Answer {best.number} of {len(shown.answers)} has the highest score, {best.score:,}; {often}.{limited} {scale}"
    )


def _readings(answer: ShownAnswer) -> str:
    """Every reading of an answer in one line."""
    return "; ".join(_reading(reading) for reading in answer.readings)


def _reading(reading: ShownReading) -> str:
    score = "no score" if reading.score is None else f"score {reading.score:,}"
    state = "" if reading.state == "live" else f", {reading.state}"
    if reading.observed_at is None or reading.age_s is None:
        return f"{score}{state}, read at an unknown time"
    age = rounded_duration(max(0.0, reading.age_s))
    return f"{score}{state} at {age} ({reading.observed_at:%Y-%m-%d})"


def _made(winner: int, loser: int, confidence: float | None, tier: str) -> str:
    sure = "" if confidence is None else f", confidence {confidence:.2f} ({tier})"
    return f"Answer {winner} is preferred to answer {loser}{sure}."


def _not_made(pairs: list[NotMade], answers: Mapping[int, ShownAnswer]) -> list[tuple[str, int, list[str]]]:
    """Each reason with the number of its pairs and a sentence for each of the first."""
    by_reason: dict[str, list[NotMade]] = defaultdict(list)
    for pair in pairs:
        by_reason[pair.why].append(pair)

    def told(pair: NotMade) -> str:
        scores = [answers[number].score for number in (pair.more, pair.less)]
        more, less = ("unknown" if score is None else f"{score:,}" for score in scores)
        return f"Answers {pair.more} and {pair.less} (scores {more} and {less}): {pair.why}"

    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    return [(why, len(held), [told(pair) for pair in held[:_PAIRS]]) for why, held in ordered]
