"""Scenarios for the matrix of deletions: what a community really does, what its site lies, and what the store holds.

Ten threads of four answers, every text with a word of its own. A clean first crawl, then one day on which something
happens and the site lies, then clean days with one recheck and one crawl each.

The truth is what a guest can read at the end, and it differs:

- A moved thread is still there for everybody: Discourse and NodeBB show it at its old id, Stack Exchange has only other
  tags on it, Reddit, Lemmy and the archive show it by id. It must stay.
- Answers below a deleted question go with it where the whole thread is not shown any more (Stack Exchange, Lemmy,
  Discourse, NodeBB). On Reddit and in the archive the question is a stub and its answers are still there.
- What a closed door hides is not deleted. A door that stays closed for longer than the product waits may have its
  threads purged on the way (no guest can read them), and they must be back when it opens.
- Arctic Shift's archive knows no doors; what is purged there is what the archive itself took out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from shp_miner.crawling.run import Crawled, crawl, recheck
from shp_miner.errors import Error
from shp_miner.forum.live import LiveAnswer, LiveThread
from shp_miner.forum.serve import refusals
from shp_miner.forum.serve.faults import Fault, Planned
from shp_miner.forum.serve.nodebb import NodebbOldApi
from shp_miner.forum.serve.reddit import base36

from .crawls import DAY_S, KINDS, Bench, bench, content, settled
from .test_forget import seen

#: The sources of the matrix: those of all crawls, and the NodeBB that refuses (401) instead of denying (404).
SOURCES = KINDS | {"nodebb-old": replace(KINDS["nodebb"], view=NodebbOldApi)}

THREADS, ANSWERS = 10, 4

#: Which threads (by their number) are lied about, and to which something really happens: 30 % each.
LIED, HIT = range(7, 10), range(3)

#: Sources that read items again by id take so many at once here, so that there are several requests to lie to.
_IDS = 20
_BY_ID = (
    "shp_miner.sources.reddit.Reddit",
    "shp_miner.sources.arctic_shift.ArcticShift",
    "shp_miner.sources.stackexchange.StackExchange",
)


@dataclass
class Story:
    """One cell of the matrix while it happens."""

    at: Bench
    threads: list[str] = field(default_factory=list)
    #: The word in the text of every item, by the forum's id.
    words: dict[str, str] = field(default_factory=dict)
    planned: list[Planned] = field(default_factory=list)
    #: Of these the lies about single threads.
    about_threads: list[Planned] = field(default_factory=list)
    #: What the runs of a day did, and whether something refused to let them begin.
    ran: list[Crawled] = field(default_factory=list)
    refused: bool = False
    late: bool = False
    #: What was gone for guests at some time, and what was written when nobody could read it.
    was_gone: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Ask and answer, wait three hours, crawl."""
        community = self.at.community
        self._begun_s = community.now_s
        for number in range(THREADS):
            word = f"xylopost{number:02}q"
            post_id = community.ask(f"Is it {word}?", f"It is {word}.", author=f"asker {number}")
            self.threads.append(post_id)
            self.words[post_id] = word
            community.vote(post_id, up=20)
            for place in range(ANSWERS):
                community.advance(10)
                self.answer(number, place, up=2 + 9 * place)
        self.at.pass_time(3 * 3600)
        assert self.at.crawl().read == THREADS

    def answer(self, number: int, place: int, up: int) -> None:
        word = f"xyloanswer{number:02}x{place}q"
        answer_id = self.at.community.answer(self.threads[number], f"Say {word}.", author=f"writer {number} {place}")
        self.at.community.vote(answer_id, up=up)
        self.words[answer_id] = word

    def answers_anew(self) -> None:
        """Somebody answers in every other thread, so that listings announce it."""
        before = set(self.words)
        for number in range(0, THREADS, 2):
            self.answer(number, ANSWERS, up=3)
        self.unread = self.words.keys() - before

    def days(self, count: int) -> None:
        for _ in range(count):
            self.day()

    def until(self, age_days: float) -> None:
        """Days pass until every thread is so old."""
        while self.at.community.now_s < self._begun_s + age_days * DAY_S:
            self.day()

    def day(self) -> None:
        """A day passes; then recheck and crawl, as cron would."""
        self.at.pass_time(DAY_S)
        self.ran, self.refused = [], False
        at = self.at
        for run in (
            lambda: recheck(at.store, at.access()),
            lambda: crawl(at.kind.source, [at.kind.community], at.store, at.access()),
        ):
            try:
                self.ran += run()
            except Error:
                self.refused = True

    @property
    def complete(self) -> bool:
        return not self.refused and all(result.complete for result in self.ran)

    # -- lies ---------------------------------------------------------------------------------------------------------

    def lie(self, fault: Fault, numbers: Sequence[int], **how: int) -> None:
        """Plan a fault for what is asked for whole threads, and for part of what is asked for by many ids at once."""
        add = self.at.forum.faults.add
        for number in numbers:
            for path, query in self._asked_for(self.threads[number]):
                self.about_threads.append(add(fault, path=path, query=query, **how))
        self.planned += self.about_threads
        if how and self.at.kind.source not in ("stackexchange",):
            return
        for path in _MANY.get(self.at.kind.source, ()):
            self.planned += [add(fault, path=path, next=1), add(fault, path=path, every=3)]

    def lie_always(self, fault: Fault) -> None:
        """Plan a fault for everything that hands out threads and items, and for no listing."""
        for path in _THREADS[self.at.kind.source]:
            self.planned.append(self.at.forum.faults.add(fault, path=path))

    def lie_about_items(self) -> None:
        """Leave items out wherever threads and items are handed out: in other places for every page of a thread."""
        for path in _THREADS[self.at.kind.source]:
            self.planned.append(self.at.forum.faults.add(refusals.left_out(0.3, seed=7), path=path))

    def honest(self) -> None:
        self.at.forum.faults.clear()

    @property
    def lied(self) -> int:
        """How many requests met a lie."""
        return sum(fault.struck for fault in self.planned)

    @property
    def knocked(self) -> bool:
        """Whether a thread was asked for by itself and lied about: a lie about many ids can be got over one by one."""
        return any(fault.struck for fault in self.about_threads)

    def _asked_for(self, post_id: str) -> list[tuple[str, Mapping[str, str]]]:
        shown = self.shown(post_id)
        asked: dict[str, list[tuple[str, Mapping[str, str]]]] = {
            "reddit": [(f"/comments/{shown}", {}), (f"/r/*/comments/{shown}", {})],
            "arctic-shift": [("/api/comments/search", {"link_id": shown}), ("/api/posts/ids", {"ids": shown})],
            "stackexchange": [(f"/2.3/questions/{shown}", {}), (f"/2.3/questions/{shown}/answers", {})],
            "lemmy": [("/api/v[34]/post", {"id": shown}), ("/api/v[34]/comment/list", {"post_id": shown})],
            "discourse": [(f"/t/{shown}.json", {}), (f"/t/{shown}/posts.json", {})],
            "nodebb": [(f"/api/topic/{shown}", {})],
        }
        return asked[self.at.kind.source]

    def shown(self, item_id: str) -> str:
        """An id as the platform writes it."""
        return base36(int(item_id)) if self.at.kind.source in ("reddit", "arctic-shift") else item_id

    # -- what is so ---------------------------------------------------------------------------------------------------

    def public(self) -> set[str]:
        """The ids of the items that a guest can read now."""
        kind, found = self.at.kind.source, set()
        for thread in self.at.community.threads():
            stubs = kind in ("reddit", "arctic-shift")
            if (thread.closed and kind != "arctic-shift") or (thread.state != "live" and not stubs):
                continue
            items: list[LiveThread | LiveAnswer] = [thread, *thread.answers]
            found |= {_id(item) for item in items if item.state == "live"}
        return found & self.words.keys()

    def readable(self) -> set[str]:
        """The ids of the items whose newest observation in the store is live, with its text."""
        return self._newest("live", with_text=True)

    def hidden(self) -> set[str]:
        return self._newest("unreadable", with_text=False)

    def stored(self) -> set[str]:
        """The ids of the items that the store knows at all."""
        own = {self.shown(item_id): item_id for item_id in self.words}
        found = content(self.at.store)
        ids = [*found["posts"]["post_id"], *found["answers"]["answer_id"]]
        return {own[item_id] for item_id in ids if item_id in own}

    def _newest(self, state: str, with_text: bool) -> set[str]:
        own = {self.shown(item_id): item_id for item_id in self.words}
        found = set()
        for table, rows in content(self.at.store).items():
            for row in rows.to_dicts():
                item_id = own.get(row["post_id" if table == "posts" else "answer_id"])
                if item_id and row["state"] == state and (not with_text or self.words[item_id] in row["body"]):
                    found.add(item_id)
        return found

    def bytes_of(self, item_ids: set[str], *folders: Path) -> set[str]:
        """Which of the items have their word in any byte under the folders (by default the store)."""
        where = [place for folder in folders or (self.at.store.path,) for place in seen(folder, *self._words(item_ids))]
        return {item_id for item_id in item_ids if any(place.startswith(self.words[item_id]) for place in where)}

    def _words(self, item_ids: set[str]) -> list[str]:
        return [self.words[item_id] for item_id in sorted(item_ids)]

    def of(self, numbers: range, *, posts: bool = True) -> set[str]:
        """The ids of all items of some threads."""
        marks = {f"{number:02}" for number in numbers}
        return {
            item_id
            for item_id, word in self.words.items()
            if word.removeprefix("xylopost").removeprefix("xyloanswer")[:2] in marks
            and (posts or word.startswith("xyloanswer"))
        }


#: What asks for many items at once by their ids.
_MANY = {
    "reddit": ("/api/info",),
    "arctic-shift": ("/api/posts/ids", "/api/comments/ids"),
    "stackexchange": ("/2.3/questions/*", "/2.3/answers/*"),
}
#: All that hands out threads and their items, and not the listings.
_THREADS = _MANY | {
    "reddit": ("/comments/*", "/r/*/comments/*", "/api/info"),
    "arctic-shift": ("/api/comments/*", "/api/posts/ids"),
    "lemmy": ("/api/v[34]/post", "/api/v[34]/comment/list"),
    "discourse": ("/t/*",),
    "nodebb": ("/api/topic/*",),
}


def _id(item: LiveThread | LiveAnswer) -> str:
    return item.answer_id if isinstance(item, LiveAnswer) else item.post_id


@contextmanager
def story(name: str, folder: Path) -> Iterator[Story]:
    """A source's story, begun."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, name, SOURCES[name])
        for source in _BY_ID:
            patch.setattr(f"{source}.ids_per_request", _IDS)
        with bench(name, folder, settled(0), small_pages=True) as at:
            told = Story(at)
            told.begin()
            yield told
