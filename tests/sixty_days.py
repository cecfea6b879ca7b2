"""A pipeline run by cron for weeks of simulated time: people who live, machines that fail, and what is measured.

The forum's clock stands still while a run goes on and moves between runs. A run's clock starts at the same moment and
moves when the run waits; it lies in a file, so that a killed run cannot take time back and the forum can say when, by
that clock, it was asked. Observations bear the time at which the forum's clock stood: runs that were disturbed and
repeated saw the same forum, and so say the same as one that was not.
"""

from __future__ import annotations

import mmap
import os
import resource
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from shp_miner.crawling import gone as burying
from shp_miner.crawling import keeping
from shp_miner.forum.live import Community, LiveAnswer, LiveThread
from shp_miner.forum.serve.faults import Fault, Faults
from shp_miner.forum.serve.message import Request
from shp_miner.store import Store

HOUR_S, DAY_S = 3600.0, 86_400.0

#: Between two runs. Visits by age are whole multiples of it, and people act only in its second half: so what is due at
#: the beginning of a slot is due in all of its first half, in which every run and all that repeats it ends.
SLOT_S = 6 * HOUR_S


# -- the run, in a process of its own ---------------------------------------------------------------------------------


class FileClock:
    """A clock in a file, in seconds since 1970, that moves only when somebody waits on it. Processes share it."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(struct.pack("d", 0.0))
        with file.open("r+b") as opened:
            self._cell = mmap.mmap(opened.fileno(), 8)

    def now(self) -> float:
        return float(struct.unpack("d", self._cell[:8])[0])

    def sleep(self, seconds: float, why: str) -> None:
        self.set(self.now() + seconds)

    def set(self, moment: float) -> None:
        assert moment >= self.now()
        self._cell[:8] = struct.pack("d", moment)


def stamped_by_the_forum(patch: pytest.MonkeyPatch) -> None:
    """Have observations bear the time of the forum's clock, which stands still from the beginning of a slot."""

    def stamp(of: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: of(*given[:-1], given[-1] - given[-1] % round(SLOT_S * 1_000_000))

    for module, name in ((keeping, "to_chunk"), (burying, "tombstone_items")):
        patch.setattr(module, name, stamp(getattr(module, name)))
    observed = keeping._observed

    def stamped(items: Any, read_at: dict[str, int]) -> Any:
        return observed(items, {post_id: at - at % round(SLOT_S * 1_000_000) for post_id, at in read_at.items()})

    patch.setattr(keeping, "_observed", stamped)


def running(pipeline: Path, clock: Path, out: Path, week_s: float, file_bytes: int | None) -> None:
    """`shp-miner run` under the clock in a file. Leaves its lines, and what it took, in `out`.* and ends as it does.

    `week_s` is how long the last seven simulated days took, since versions of a store bear the system's time.
    `file_bytes` is the largest file that the process may write: where no small disk can be had, as good as a full one.
    """
    from shp_miner.cli import run
    from shp_miner.pipeline import launch
    from shp_miner.pipeline import run as room

    patch = pytest.MonkeyPatch()
    stamped_by_the_forum(patch)
    patch.setattr(launch, "Access", partial(launch.Access, clock=FileClock(clock)))
    patch.setattr(Store, "vacuum", partialmethod(Store.vacuum, week_s))
    cpu_s: Counter[str] = Counter()
    outcome = room._outcome

    def timed(context: Any, name: Any, work: Any) -> Any:
        start = time.process_time()
        out.with_suffix(".step").write_text(name)
        try:
            return outcome(context, name, work)
        finally:
            cpu_s[name] += time.process_time() - start

    patch.setattr(room, "_outcome", timed)
    os.environ["XDG_STATE_HOME"] = str(clock.parent / "state")
    start_s = time.monotonic()
    with out.with_suffix(".json").open("w") as said, out.with_suffix(".log").open("w") as log:
        if file_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
        with redirect_stdout(said), redirect_stderr(log):
            code = run(["run", str(pipeline), "--json"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    took = {
        "wall_s": time.monotonic() - start_s,
        "cpu_s": time.process_time(),
        "pace_s": pace(),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "steps": dict(cpu_s),
    }
    out.with_suffix(".took").write_bytes(msgspec.json.encode(took))
    sys.exit(code)


# -- the people -------------------------------------------------------------------------------------------------------


@dataclass
class People:
    """Who lives in the forum: they ask, answer, reply, vote, edit and delete, in the second half of every slot.

    `deleted` are the words of which no byte may be left: those of items deleted while a visit was still to come, in
    time for it to be confirmed. `blind` are the times (from, to) at which one machine could read nothing: what is
    written then is new to it afterwards.
    """

    community: Community
    seed: int
    asks: float
    ends_s: float
    visits_s: Sequence[float]
    blind: Sequence[tuple[float, float]] = ()
    deleted: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    words: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = np.random.Generator(np.random.PCG64(self.seed))
        self._quality: dict[str, float] = {}
        #: The thread that is taken away and put back, which nobody else deletes.
        self.away: str | None = None

    def live_until(self, end_s: float) -> None:
        """Live up to the beginning of the next slot."""
        steps = 10
        self.community.advance(end_s - SLOT_S / 2 - self.community.now_s)
        for _ in range(steps):
            self.community.advance(SLOT_S / 2 / steps - 1)
            self._step(1 / steps)
        self.community.advance(end_s - self.community.now_s)

    def _step(self, share: float) -> None:
        now_s = self.community.now_s
        for _ in range(self._chance.poisson(self.asks * share)):
            text, word = self._text()
            self._written(self.community.ask(f"How about {word}?", text, author=self._somebody()), word, "asked")
        for thread in self.community.threads()[::-1]:
            age_days = (now_s - thread.created_s) / DAY_S
            if thread.state == "live":
                self._visit(thread, share * 1.5 * float(np.exp(-age_days / 1.5)) + share * 0.004)

    def _visit(self, thread: LiveThread, rate: float) -> None:
        """What happens in a thread: `rate` is how many answers are to be expected now."""
        chance, live = self._chance, [answer for answer in thread.answers if answer.state == "live"]
        for _ in range(chance.poisson(rate)):
            above = live[chance.integers(len(live))].answer_id if live and chance.random() < 0.2 else thread.post_id
            text, word = self._text()
            self._written(self.community.answer(above, text, author=self._somebody()), word, "answered")
        for _ in range(chance.poisson(rate * 12)):
            if not live or chance.random() < 0.25:
                self.community.vote(thread.post_id, up=1)
            else:
                # Better ones are liked more often, and what stands first is seen by more.
                weight = np.array([np.exp(self._quality.get(answer.answer_id, 0)) for answer in live])
                weight /= np.sqrt(1 + np.arange(len(live)))
                liked = live[chance.choice(len(live), p=weight / weight.sum())]
                self.community.vote(liked.answer_id, up=1)
            self.done["voted"] += 1
        items: list[LiveThread | LiveAnswer] = [thread, *live]
        if chance.random() < rate * 0.3:
            self._edit(items[chance.integers(len(items))])
        if chance.random() < rate * 0.25:
            chosen = items[chance.integers(len(items))] if chance.random() < 0.2 else items[-1]
            self._delete(chosen, thread)

    def _edit(self, item: LiveThread | LiveAnswer) -> None:
        text, word = self._text()
        self.words[_id(item)].append(word)
        self.community.edit(_id(item), text)
        self.done["edited"] += 1

    def _delete(self, item: LiveThread | LiveAnswer, thread: LiveThread) -> None:
        """Delete what everybody has had a day to read, if the thread will be visited once more."""
        now_s = self.community.now_s
        later = [age for age in self.visits_s if now_s < thread.created_s + age <= self.ends_s - SLOT_S]
        read_s = max([item.created_s, *(end for start, end in self.blind if start - SLOT_S <= item.created_s < end)])
        if now_s - read_s < DAY_S or not later or thread.post_id == self.away:
            return
        for part in [item] if isinstance(item, LiveAnswer) else [item, *item.walk()]:
            self.deleted += self.words[_id(part)]
        self.community.delete(_id(item), by="moderator" if self._chance.random() < 0.3 else "author")
        self.done["threads deleted" if isinstance(item, LiveThread) else "answers deleted"] += 1

    def take_away(self) -> None:
        """A moderator takes away a thread that everybody has read, and that is visited again soon."""
        now_s = self.community.now_s
        ages = {
            thread.post_id: now_s - thread.created_s for thread in self.community.threads() if thread.state == "live"
        }
        self.away = min((post_id for post_id in ages if ages[post_id] > 1.5 * DAY_S), key=lambda post_id: ages[post_id])
        self.community.delete(self.away, by="moderator")
        self.done["threads taken away"] += 1

    def put_back(self) -> None:
        """The moderator was wrong; somebody says so in the thread, which brings it up in the listing."""
        self.community.restore(self.away)
        text, word = self._text()
        self._written(self.community.answer(self.away, text, author=self._somebody()), word, "answered")
        self.done["threads put back"] += 1

    def _written(self, item_id: str, word: str, what: str) -> None:
        self._quality[item_id] = float(self._chance.normal())
        self.words[item_id] = [word]
        self.done[what] += 1

    def _text(self) -> tuple[str, str]:
        """Some words, and at the end one that stands nowhere else; that one again."""
        word = f"zq{self._chance.integers(1 << 60):x}"
        some = self._chance.choice(
            ["a", "good", "long", "answer", "has", "many", "words"], 5 + self._chance.integers(60)
        )
        return f"{' '.join(some)} {word}", word

    def _somebody(self) -> str:
        return f"person {self._chance.integers(300)}"


def _id(item: LiveThread | LiveAnswer) -> str:
    return item.answer_id if isinstance(item, LiveAnswer) else item.post_id


# -- the forum's log --------------------------------------------------------------------------------------------------


@dataclass
class Noted(Faults):
    """Faults that note when, by the run's clock, each request came and what it met."""

    now: Callable[[], float] = time.time
    log: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)

    def meet(self, platform: str, request: Request) -> list[Fault]:
        met = super().meet(platform, request)
        self.log.append((self.now(), tuple(fault.name for fault in met)))
        return met


def assert_paced(times: Sequence[float], interval_s: float, burst: int) -> None:
    """The limit holds over every stretch of the log (the generic cell rate algorithm, from outside)."""
    row = 0.0
    for number, moment in enumerate(times):
        assert moment >= row - (burst - 1) * interval_s - 1e-3, (number, moment, row)
        row = max(row, moment) + interval_s


# -- the disk ---------------------------------------------------------------------------------------------------------


@dataclass
class Disk:
    """A small disk of its own where the system allows that, and a folder otherwise."""

    folder: Path
    small: bool

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self, left_bytes: int) -> None:
        """Leave so many bytes."""
        found = os.statvfs(self.folder)
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - left_bytes))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Disk]:
    import subprocess

    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], capture_output=True, check=False
    )
    disk = Disk(folder, small=not mounted.returncode)
    try:
        yield disk
    finally:
        if disk.small:
            subprocess.run(["umount", "--lazy", folder], check=True)


def pace() -> float:
    """CPU seconds of a fixed piece of work: a second of CPU does less while other programs use the machine, too."""
    start = time.process_time()
    sum(number * number for number in range(500_000))
    return time.process_time() - start


# -- what is measured -------------------------------------------------------------------------------------------------


class Figures(msgspec.Struct, kw_only=True):
    """One slot's run, and the store after it. Only runs that nothing disturbed have times."""

    slot: int
    threads: int
    requests: int
    calm: bool
    wall_s: float
    cpu_s: float
    pace_s: float
    steps: dict[str, float]
    rss_mb: float
    live_files: int
    files: int
    logs: int
    store_mb: float
    sqlite_kb: float
    export_kb: float


def sizes(store: Path) -> dict[str, Any]:
    """Files and bytes of a store as they lie on the disk."""
    files = [path for path in store.rglob("*") if path.is_file()]
    return {
        "files": sum(path.suffix == ".parquet" and path.parent.name in ("posts", "answers") for path in files),
        "logs": sum(path.parent.name == "_delta_log" for path in files),
        "store_mb": sum(path.stat().st_size for path in files) / 1e6,
        "sqlite_kb": sum(path.stat().st_size for path in files if path.name.startswith("crawl.sqlite")) / 1e3,
    }


def growth(
    figures: Sequence[Figures], value: Callable[[Figures], float], average: Callable[[list[float]], Any] = np.median
) -> float:
    """How many times the first third's average the last third's is, of runs that nothing disturbed."""
    third = len(figures) // 3
    first, last = (average([value(run) for run in part if run.calm]) for part in (figures[:third], figures[-third:]))
    return float(last / first)


def table(figures: Sequence[Figures]) -> str:
    """The first third of the runs against the last, as Markdown: medians, and the worst."""
    third = len(figures) // 3
    first, last = figures[:third], figures[-third:]

    def row(what: str, value: Callable[[Figures], float], digits: int, calm: bool = False) -> str:
        cells = []
        for part in (first, last):
            values = [value(run) for run in part if run.calm or not calm]
            cells += [f"{np.median(values):,.{digits}f}", f"{max(values):,.{digits}f}"]
        ratio = float(cells[2].replace(",", "")) / max(float(cells[0].replace(",", "")), 1e-9)
        return f"| {what} | {' | '.join(cells)} | {ratio:.2f} |"

    rows = [
        row("threads in the store", lambda run: run.threads, 0),
        row("requests of a slot", lambda run: run.requests, 0),
        row("wall time of a run, s", lambda run: run.wall_s, 2, calm=True),
        row("CPU time of a run, s", lambda run: run.cpu_s, 2, calm=True),
        row("... of recheck and crawl, s", lambda run: run.cpu_s - run.steps.get("export", 0), 2, calm=True),
        row("... of the exports, s", lambda run: run.steps.get("export", 0), 2, calm=True),
        row("peak memory of a run, MB", lambda run: run.rss_mb, 0, calm=True),
        row("data files, newest version", lambda run: run.live_files, 0),
        row("data files on the disk", lambda run: run.files, 0),
        row("files of the tables' logs", lambda run: run.logs, 0),
        row("store, MB", lambda run: run.store_mb, 2),
        row("crawl.sqlite, kB", lambda run: run.sqlite_kb, 0),
        row("exports, kB", lambda run: run.export_kb, 0),
    ]
    head = "| | first third: median | most | last third: median | most | ratio |\n|---|---:|---:|---:|---:|---:|"
    return "\n".join([head, *rows])
