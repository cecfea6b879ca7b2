"""The demo: crawl a simulated forum while it lives, mine it by every rule, load it, check the labels against the truth.

The forum is served over loopback in Reddit's API and read with the same client as the real one. Its clock is the
crawl's clock too: a wait lets time pass in the forum only, so six weeks take seconds and come out the same each time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from shp_miner.crawling.community import Crawl
from shp_miner.crawling.result import Crawled
from shp_miner.crawling.state import CrawlState
from shp_miner.errors import Error, UsageError
from shp_miner.export.dataset import export_dataset
from shp_miner.export.load import load
from shp_miner.forgetting.forget import purge
from shp_miner.forum.live import Community
from shp_miner.forum.serve.reddit import CLIENT_ID, CLIENT_SECRET, base36
from shp_miner.forum.serve.server import Forum
from shp_miner.forum.truth import accuracy
from shp_miner.forum.world import World
from shp_miner.rules.presets import BY_VOTES
from shp_miner.sources.reddit import Reddit
from shp_miner.sources.reddit_praw import Credentials
from shp_miner.store import Store

SEED = 0

#: Few threads with many readers: reading and storing one takes a tenth of a second, however many answers it has.
WORLD = World(name="demo", threads=45, mean_readers=1300.0, span_days=14.0, settle_days=31.0)

#: The subreddit's name. Reddit's own end at 21 characters, so there is none of that name.
COMMUNITY = "shp_miner_simulated_forum"

#: Days of the forum's life on which it is crawled and visited: daily while people ask, then as the visits by age fall
#: due. On the last day every thread is past its visit at 30 days.
_DAYS = (13, 14, 15, 17, 45)

#: On this day one answer in so many, and one question, are deleted by their authors.
_REGRET_DAY, _REGRETTED = 16, 60

#: Says that a folder's store is the demo's own, which it may start anew.
_MARK = "made-by-shp-miner-demo"


@dataclass(frozen=True)
class Day:
    """A day's crawl: threads read for the first time and again, answers, requests, items found gone."""

    day: int
    new: int
    again: int
    answers: int
    requests: int
    gone: int

    def told(self) -> str:
        """Return the day in a line."""
        gone = f", {self.gone} deleted items purged" if self.gone else ""
        return f"day {self.day}: {self.new} new threads, {self.again} visited again, {self.requests} requests{gone}"


@dataclass(frozen=True)
class RuleResult:
    """The pairs that one rule made of the forum, and the share of them whose winner is the better answer."""

    rule: str
    pairs: int
    posts: int
    accuracy: float


@dataclass(frozen=True)
class Demo:
    """The demo's results and where they are. `deleted` counts deleted items, with the answers to a deleted question."""

    folder: Path
    threads: int
    answers: int
    votes: int
    days: list[Day]
    deleted: int
    rules: list[RuleResult]
    loaded_rows: int
    question: str
    better: str
    worse: str


def run_demo(
    folder: Path, *, seed: int = SEED, world: World | None = None, say: Callable[[str], None] = lambda _: None
) -> Demo:
    """Run the demo in `folder` (store, exports). The same seed and world give the same exports.

    The results of an earlier demo are replaced. Raises UsageError for a folder with other
    content, or a file.
    """
    world = world or WORLD
    store = _fresh_store(folder)
    say(f"Simulating a forum: {world.threads} threads, about {world.mean_readers:,.0f} readers each")
    community = Community(name=COMMUNITY, world=world, seed=seed, now=world.starts_at)
    days, deleted = _crawled(community, world, store, say)
    quality = {(base36(int(post)), base36(int(answer))): known for (post, answer), known in community.truth().items()}
    results = []
    for name in BY_VOTES:
        say(f"Mining with the rule {name}")
        out = folder / name
        exported = export_dataset(store, out, rule=name)
        rows = load(out).to_polars()
        pairs = rows.select(
            "post_id", _side("answer{}_id").alias("winner_id"), _side("answer{}_id", loser=True).alias("loser_id")
        )
        share = accuracy(pairs.to_arrow(), quality)
        results.append(RuleResult(name, rows.height, sum(exported.posts.values()), share))
    say("Loading the shp export with datasets")
    loaded, (question, better, worse) = _loaded(folder)
    threads = community.threads()
    votes = sum(answer.up + answer.down for thread in threads for answer in thread.answers)
    return Demo(
        folder, len(threads), sum(len(thread.answers) for thread in threads), votes, days, deleted, results, loaded,
        question, better, worse,
    )  # fmt: skip


def _fresh_store(folder: Path) -> Store:
    """An empty store in the folder. Raises UsageError for a folder that has other content than a demo's."""
    place = folder / "store"
    if not (folder / _MARK).exists() and folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(
            f"{folder} exists and was not made by the demo.", "Name another folder with --out, or empty this one first."
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()
    # The cache as well: `datasets` does not notice that files it has read before are others now.
    for stale in (place, folder / "cache"):
        shutil.rmtree(stale, ignore_errors=True)
    store = Store(place)
    store.create()
    return store


# -- crawling ---------------------------------------------------------------------------------------------------------


class _ForumClock:
    """The forum's own time."""

    def __init__(self, community: Community) -> None:
        self._community = community

    def now(self) -> float:
        """See Clock."""
        return self._community.now_s

    def sleep(self, seconds: float, why: str) -> None:  # noqa: ARG002
        """See Clock."""
        self._community.advance(seconds)


@contextmanager
def _source(community: Community) -> Iterator[Reddit]:
    """The community as Reddit serves it, with an app that is good for nothing else."""
    with Forum(community, ["reddit"]) as forum:
        url = forum.url("reddit")
        credentials = Credentials(CLIENT_ID, CLIENT_SECRET, "visitor")
        clock = _ForumClock(community)
        with Reddit(credentials, oauth_url=url, reddit_url=url, clock=clock, allow_private=True) as source:
            yield source


def _crawled(community: Community, world: World, store: Store, say: Callable[[str], None]) -> tuple[list[Day], int]:
    """Let the forum live and crawl it on the way; gives what each day did, and how much was deleted by people."""
    done, deleted = [], 0
    with _source(community) as source, CrawlState(store.path) as state:
        say(f"Crawling it over {_DAYS[-1]} days of its life, through Reddit's API")
        name = source.verify(COMMUNITY)
        crawl = Crawl(source, store, state, clock=_ForumClock(community))
        for day in _DAYS:
            if not deleted and day > _REGRET_DAY:
                community.now = world.starts_at + timedelta(days=_REGRET_DAY)
                deleted = _regret(community)
                say(f"  day {_REGRET_DAY}: {deleted} posts and answers are deleted by their authors")
            community.now = world.starts_at + timedelta(days=day)
            before = source.requests
            first, later = crawl.run(name), crawl.recheck(name)
            if not (first.complete and later.complete):
                raise Error("The simulated forum could not be crawled completely.", "Please report this.")
            purge(store)
            done.append(_day(day, first, later, source.requests - before))
            say(f"  {done[-1].told()}")
    store.compact_if_due()
    return done, deleted


def _day(day: int, first: Crawled, later: Crawled, requests: int) -> Day:
    return Day(day, first.read, later.read, first.answers + later.answers, requests, first.gone + later.gone)


def _regret(community: Community) -> int:
    """Some people delete what they wrote: a question, and answers to others. Gives how many items are gone by that."""
    threads = sorted(community.threads(), key=lambda thread: int(thread.post_id))
    if not threads:
        return 0
    asked, others = threads[len(threads) // 2], [*threads[: len(threads) // 2], *threads[len(threads) // 2 + 1 :]]
    regretted = [answer.answer_id for thread in others for answer in thread.answers][::_REGRETTED]
    for item_id in (asked.post_id, *regretted):
        community.delete(item_id)
    return 1 + len(regretted)


# -- loading ----------------------------------------------------------------------------------------------------------


def _loaded(folder: Path) -> tuple[int, tuple[str, str, str]]:
    """Rows of the shp export, read as a training script would, and its shortest (question, better, worse)."""
    from datasets import load_dataset  # noqa: PLC0415
    from datasets.utils.logging import disable_progress_bar  # noqa: PLC0415

    disable_progress_bar()
    dataset = load_dataset(str(folder / "shp"), cache_dir=str(folder / "cache"))
    rows = (
        (row["question"], *((row["answer1"], row["answer2"])[:: 1 if row["preferred"] == 1 else -1]))
        for row in dataset["train"]
    )
    return sum(split.num_rows for split in dataset.values()), min(rows, key=lambda row: sum(map(len, row)))


def _side(column: str, *, loser: bool = False) -> pl.Expr:
    """A column of the preferred answer, or of the other."""
    first = pl.col("preferred") == (2 if loser else 1)
    return pl.when(first).then(column.format(1)).otherwise(column.format(2))
