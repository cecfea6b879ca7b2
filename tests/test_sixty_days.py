"""A pipeline that cron runs for weeks on a machine that fails: it ends with the bytes of one that nothing disturbed."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import msgspec
import pytest

from shp_miner.forum.serve import faults, refusals
from shp_miner.forum.serve.server import Forum
from shp_miner.health.doctor import examine
from shp_miner.pipeline import config, keys
from shp_miner.pipeline.ran import Ran
from shp_miner.pipeline.run import run
from shp_miner.sources import discourse, stackexchange
from shp_miner.sources.http import MemoryClocks
from shp_miner.sources.registry import Access
from shp_miner.store import Store
from shp_miner.store.forgotten_list import has_pending
from shp_miner.store.runs import Runs

from .build import tree
from .crawls import KINDS, Kind, assert_same, content, settled, waiting
from .sixty_days import (
    DAY_S,
    SLOT_S,
    Disk,
    Figures,
    FileClock,
    Noted,
    People,
    assert_paced,
    growth,
    running,
    sizes,
    small_disk,
    stamped_by_the_forum,
    table,
)
from .test_forget import seen
from .web import FakeClock

#: Where platforms hand out threads.
THREADS = {"discourse": ("/t/*",), "stackexchange": ("/2.3/questions/*", "/2.3/answers/*")}

#: What limits of sources the logs are held against.
LIMITS = {"discourse": discourse.LIMITS, "stackexchange": stackexchange.LIMITS}

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "tests.sixty_days",
        "shp_miner.pipeline.run",
        "shp_miner.cli.run_",
        *(f"shp_miner.sources.{name}" for name in LIMITS),
        "pandas",
    ]
)

PIPELINE = """
store = "{place}/store"
[[source]]
kind = "{kind.source}"
communities = ["{kind.community}"]
site = "{kind.site}"
url = "{url}"
allow_private = true
[recheck]
at = {visits}
[[export]]
out = "{place}/shp"
formats = ["pairs", "trl"]
refit = true
[[export]]
out = "{place}/calibrated"
formats = ["pairs", "trl"]
refit = true
rule = {{ name = "calibrated" }}
[limits]
max_requests = {max_requests}
min_free = "{min_free}"
[log]
format = "json"
metrics = "{folder}/metrics.prom"
"""


@dataclass(frozen=True)
class Plan:
    """How long, how many threads a slot, when threads are visited, and what goes wrong in which slot."""

    days: float
    asks: float
    visits: tuple[str, ...]
    trouble: dict[int, str]
    #: Slots in which the machine goes down in the middle of a run, and how many runs it then misses.
    down: dict[int, int]
    max_requests: int
    #: Slots in which the failing machine can read no thread, and what stands in their place ("closed" or "wall").
    doors: dict[int, str] = field(default_factory=dict)
    #: Slots in which a thread is taken away and put back, for both machines.
    away: tuple[int, int] | None = None
    #: How long it takes to confirm a deletion where the platform only leaves things out, in days.
    confirm_days: float = 0.0

    @property
    def slots(self) -> int:
        return round(self.days * DAY_S / SLOT_S)


@dataclass
class Machine:
    """The machine that fails, and what it did."""

    folder: Path
    disk: Disk
    forum: Forum
    log: Noted
    clock: FileClock
    rng: random.Random
    signal: faults.Signal
    max_requests: int
    kinds: Counter[str] = field(default_factory=Counter)
    killed_in: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    started: int = 0
    typical_s: float = 1.0
    #: When each slot began, by the system's clock.
    begun: list[float] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return Store(self.disk.folder / "store")

    def start(self, pipeline: str = "plain", file_bytes: int | None = None) -> ForkServerProcess:
        self.started += 1
        week_s = time.time() - self.begun[-28] if len(self.begun) >= 28 else 7 * DAY_S
        process = PROCESSES.Process(
            target=running, args=(self.folder / f"{pipeline}.toml", self.folder / "clock", self.out, week_s, file_bytes)
        )
        process.start()
        return process

    @property
    def out(self) -> Path:
        return self.folder / f"run{self.started}"

    def finish(self, process: ForkServerProcess) -> int:
        """Wait for a run; its exit code, negative where a signal ended it."""
        process.join(120)
        assert process.exitcode is not None
        asked = len(self.log.log) - self._before
        assert asked <= self.max_requests
        self.kinds["budget used up"] += asked == self.max_requests
        self.codes[process.exitcode] += 1
        assert process.exitcode in (0, 3, 75, -signal.SIGKILL), self.out.with_suffix(".log").read_text()
        return process.exitcode

    def run(self, pipeline: str = "plain", file_bytes: int | None = None) -> int:
        self._before = len(self.log.log)
        return self.finish(self.start(pipeline, file_bytes))

    def killed(self, requests: int | None = None) -> bool:
        """Start a run and kill it, after so many requests or at any time; whether that was in its middle."""
        self._before = len(self.log.log)
        process = self.start()
        if requests is None:
            time.sleep(self.rng.uniform(0, self.typical_s))
        else:
            deadline = time.monotonic() + 60
            while len(self.log.log) < self._before + requests and process.exitcode is None:
                assert time.monotonic() < deadline
                time.sleep(0.002)
            time.sleep(self.rng.uniform(0, 0.05))
        process.kill()
        middle = self.finish(process) == -signal.SIGKILL
        if middle:
            step = self.out.with_suffix(".step")
            self.killed_in[step.read_text() if step.exists() else "start"] += 1
        return middle

    def meet(self, trouble: str) -> None:
        """Run while something goes wrong, at least once; what is left is left."""
        add, kind = self.forum.faults.add, trouble
        match trouble:
            case "kill":
                for _ in range(self.rng.randint(1, 3)):
                    self.kinds["kill"] += self.killed(None if self.rng.random() < 0.6 else self.rng.randint(1, 8))
                return
            case "storm":
                add(faults.too_many(self.signal, self.rng.randint(5, 40)), skip=self.rng.randint(0, 4), next=4)
            case "errors":
                add(faults.server_error(self.rng.choice((500, 502, 503))), share=0.6, next=15, seed=self.started)
            case "cut":
                add(faults.cut(self.rng.uniform(0, 0.9)), share=0.6, next=15, seed=self.started)
            case "nearly full" | "full" if not self.disk.small:
                self.run(file_bytes=self.rng.randint(6_000, 30_000))
                self.kinds["full"] += 1
                return
            case "nearly full":
                self.disk.fill(500_000)
                before = len(self.log.log)
                assert self.run() == 75, self.out.with_suffix(".log").read_text()
                assert len(self.log.log) == before, "nothing was asked"
            case "full":
                self.disk.fill(self.rng.choice((0, 4_096, 20_000, 60_000, 150_000)))
                self.run("greedy")
        if trouble in ("storm", "errors", "cut"):
            self.run()
        self.kinds[kind] += 1
        self.forum.faults.clear()
        self.disk.free()

    def knock(self, door: str, platform: str) -> None:
        """Run before a door: every thread is refused, the listing is not. Nothing more can be done in this slot."""
        fault = refusals.page(403) if door == "wall" else refusals.refused(401, platform)
        planned = [self.forum.faults.add(fault, path=path) for path in THREADS[platform]]
        code = self.run()
        met = any(spoiled.struck for spoiled in planned)
        assert code == (3 if met else 0), self.out.with_suffix(".log").read_text()
        self.kinds[door] += met
        self.forum.faults.clear()

    def complete(self, slot_s: float) -> int:
        """Run until nothing is left, a while after each run that left something; how many runs that took."""
        wait_s = 960.0
        for number in range(1, 6):
            if self.run() == 0:
                assert self.clock.now() < slot_s + SLOT_S / 2
                return number
            self.clock.sleep(wait_s, "the next run")
            wait_s *= 2
        raise AssertionError(self.out.with_suffix(".log").read_text())


@contextmanager
def machine(tmp_path: Path, kind: Kind, plan: Plan, people: People, seed: int) -> Iterator[Machine]:
    clock = FileClock(tmp_path / "clock")
    log = Noted(now=clock.now)
    with (
        small_disk(tmp_path / "disk", 64) as disk,
        Forum(people.community, [kind.view(people.community)], faults=log) as f,
    ):
        for name, min_free in (("plain", "1MB"), ("greedy", "0MB")):
            text = pipeline(kind, plan, f.url(kind.source), disk.folder, tmp_path, min_free)
            (tmp_path / f"{name}.toml").write_text(text)
        yield Machine(tmp_path, disk, f, log, clock, random.Random(seed), kind.signal, plan.max_requests)


def pipeline(kind: Kind, plan: Plan, url: str, place: Path, folder: Path, min_free: str = "1MB") -> str:
    return PIPELINE.format(
        kind=kind, url=url, place=place, folder=folder, min_free=min_free, max_requests=plan.max_requests,
        visits=msgspec.json.encode(plan.visits).decode(),
    )  # fmt: skip


def figures(slot: int, at: Machine, requests: int, calm: bool, people: People) -> Figures:
    took = msgspec.json.decode(at.out.with_suffix(".took").read_bytes())
    at.typical_s = 0.8 * at.typical_s + 0.2 * (took["wall_s"] + 0.1)
    return Figures(
        slot=slot,
        threads=len(people.community.threads()),
        requests=requests,
        calm=calm,
        live_files=sum(at.store.file_counts().values()),
        export_kb=sum(len(data) for out in ("shp", "calibrated") for data in tree(at.disk.folder / out).values()) / 1e3,
        **took,
        **sizes(at.store.path),
    )


class Calm:
    """The same visits by a machine on which nothing ever happens, in this process."""

    def __init__(self, folder: Path, kind: Kind, plan: Plan, url: str) -> None:
        folder.mkdir()
        file = folder / "plain.toml"
        file.write_text(pipeline(kind, plan, url, folder, folder))
        self._pipeline = config.read(file)
        self.folder, self.store = folder, Store(self._pipeline.store)

    def run(self, now_s: float, *steps: str) -> Ran:
        access = Access(clock=FakeClock(now_s), clocks=MemoryClocks())
        pipeline = msgspec.structs.replace(self._pipeline, limits=keys.LimitKeys(min_free=keys.Size(0)))
        done = run(pipeline, "calm", access=access, only=steps)
        assert done.exit_code == 0, done
        return done


def lived(
    tmp_path: Path, name: str, plan: Plan, seed: int, patch: pytest.MonkeyPatch
) -> tuple[Machine, list[Figures], People]:
    """Let the time pass, on both machines, and hold against each other what they end with."""
    stamped_by_the_forum(patch)
    kind = KINDS[name]
    community = settled(0)
    begins_s = -(-community.now_s // SLOT_S) * SLOT_S
    visits_s = [float(keys.Duration.parse(age)) for age in plan.visits]
    ends_s = begins_s + plan.slots * SLOT_S - plan.confirm_days * DAY_S
    blind = [(begins_s + slot * SLOT_S, begins_s + (slot + 1) * SLOT_S) for slot in plan.doors]
    people = People(community, seed, plan.asks, ends_s, visits_s, joined(blind))
    community.advance(begins_s - community.now_s)
    kept: list[Figures] = []
    missed = 0
    with (
        machine(tmp_path, kind, plan, people, seed) as at,
        Forum(community, [kind.view(community)]) as other,
    ):
        calm = Calm(tmp_path / "calm", kind, plan, other.url(kind.source))
        for slot in range(1, plan.slots + 1):
            now_s = begins_s + slot * SLOT_S
            people.live_until(now_s)
            at.clock.set(now_s)
            at.begun.append(time.time())
            if slot in plan.down:
                missed = plan.down[slot] + 1
                at.kinds["down"] += at.killed(at.rng.randint(2, 6))
            if missed:
                missed -= 1
                continue
            if plan.away and slot in plan.away:
                (people.take_away if slot == plan.away[0] else people.put_back)()
            calm.run(now_s, "recheck", "crawl")
            if slot in plan.doors:
                at.knock(plan.doors[slot], kind.source)
                continue
            before = len(at.log.log)
            if slot in plan.trouble:
                at.meet(plan.trouble[slot])
            runs = at.complete(now_s)
            kept.append(figures(slot, at, len(at.log.log) - before, slot not in plan.trouble and runs == 1, people))
        calm.run(now_s, "export")
        compare(at, calm)
        for folder in (at.disk.folder, calm.folder):
            assert seen(folder, *people.deleted) == []
        assert_paced(
            [moment for moment, _ in at.log.log], LIMITS[name].interval_s / LIMITS[name].requests, LIMITS[name].burst
        )
        assert_waited(at.log.log)
    return at, kept, people


def joined(periods: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Periods that touch, as one."""
    found: list[tuple[float, float]] = []
    for start, end in periods:
        if found and found[-1][1] >= start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def compare(at: Machine, calm: Calm) -> None:
    assert waiting(at.store) == waiting(calm.store) == set()
    assert_same(content(at.store), content(calm.store))
    for out in ("shp", "calibrated"):
        found, expected = tree(at.disk.folder / out), tree(calm.folder / out)
        assert {Path(path).parts[0] for path in expected} == {"README.md", "manifest.json", "pairs", "trl"}
        assert found.keys() == expected.keys()
        for path in expected:  # what differs is seen in the manifests
            if path.endswith("manifest.json"):
                assert msgspec.json.decode(found[path]) == msgspec.json.decode(expected[path]), path
        assert [path for path in expected if found[path] != expected[path]] == []
    left = sorted(path.name for path in at.disk.folder.iterdir())
    assert left == ["calibrated", "shp", "store"]
    assert not has_pending(at.store.path)
    with Runs(at.store.path) as runs:
        assert runs.last(1)[0].exit_code == 0
    assert [
        problem for problem in examine(at.store.path)["problems"] if "free on the store's disk" not in problem
    ] == []


def assert_waited(log: list[tuple[float, tuple[str, ...]]]) -> None:
    """After a 429 nobody asks before the time it named (at least five seconds)."""
    for (moment, met), (later, _) in pairwise(log):
        assert "too_many" not in met or later >= moment + 5


def test_a_few_days_of_cron_on_a_machine_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(
        days=3.5,
        asks=1.5,
        visits=("6h", "1d", "2d"),
        trouble={2: "kill", 7: "storm", 8: "full", 9: "nearly full", 10: "errors", 11: "kill"},
        down={4: 1},
        max_requests=20,
        doors={3: "wall"},
    )
    at, _, people = lived(tmp_path, "stackexchange", plan, 1, monkeypatch)
    assert at.kinds["storm"] == at.kinds["errors"] == at.kinds["full"] == 1
    assert at.killed_in.total() > 0
    assert people.deleted


@pytest.mark.slow
def test_sixty_days_of_cron_on_a_machine_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    # Doors close in the first three weeks: what nobody could read then both machines read at the same moment again, by
    # the visit thirty days after the asking, and only then can bytes be the same. A thread that is put back is read
    # again at once, since somebody answers in it.
    doors = dict.fromkeys(range(16, 24), "closed") | dict.fromkeys(range(40, 68), "wall")
    plan = Plan(
        60, 80 / 240, ("6h", "1d", "3d", "7d", "30d"), trouble={}, down={}, max_requests=20, doors=doors,
        away=(80, 104), confirm_days=4,
    )  # fmt: skip
    kinds = ["kill", "kill", "storm", "errors", "cut", "nearly full", "full"]
    for slot in range(2, plan.slots):
        if rng.random() < 0.4:
            plan.trouble[slot] = rng.choice(kinds)
        if slot in doors:
            plan.trouble.pop(slot, None)
    # What a run saw that the machine did not survive is seen again: by the visit thirty days after the asking.
    for slot in sorted(rng.sample(range(8, 110, 6), 8)):
        if slot not in doors:
            plan.down[slot] = rng.randint(0, 2)
    at, kept, people = lived(tmp_path, "discourse", plan, 2, monkeypatch)
    for counts in (at.kinds, at.killed_in, at.codes, people.done):
        print("\n", ", ".join(f"{what}: {count}" for what, count in sorted(counts.items(), key=str)), end="")
    print(f"\n{at.started} runs, {len(at.log.log)} requests, {len(people.deleted)} words to be gone\n\n{table(kept)}")
    assert set(kinds) | {"down", "budget used up", "closed", "wall"} <= at.kinds.keys()
    assert people.done["threads put back"] == 1
    assert {"recheck", "crawl", "export"} <= at.killed_in.keys()
    assert growth(kept, lambda run: run.rss_mb) < 1.15
    assert growth(kept, lambda run: (run.cpu_s - run.steps["export"]) / run.pace_s) < 1.5
    # Old files gather until something is purged, or for a week of runs, and go together: less is deleted in the last
    # weeks, when nobody would be there to confirm it, so thirds say nothing. What a week of runs writes is the bound.
    week = 7 * 4
    assert max(run.files for run in kept) < 2 * 80 + week * 8
    assert max(run.logs for run in kept) < 2 * week * 6
    assert max(run.live_files for run in kept) < 2 * 80
