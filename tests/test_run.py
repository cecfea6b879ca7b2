"""Runs of pipelines: repeated, at once, killed, ended by signals and budgets, with sites that fail."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from shp_miner import cli
from shp_miner.crawling.state import CrawlState
from shp_miner.errors import TryLater
from shp_miner.export import dataset as flow
from shp_miner.export.dataset import export_dataset
from shp_miner.export.load import load
from shp_miner.forum.live import Community
from shp_miner.forum.serve import faults
from shp_miner.forum.serve.server import Forum
from shp_miner.forum.world import World
from shp_miner.pipeline import config
from shp_miner.pipeline import run as running
from shp_miner.pipeline import steps as parts
from shp_miner.pipeline.plan import plan
from shp_miner.pipeline.ran import StepDone, exit_code_of
from shp_miner.store import Store
from shp_miner.store.lock import only_one
from shp_miner.store.runs import Runs

from .build import comment, thread, tree, write_dump, write_month
from .crawls import Bench, assert_same, bench, content, doubled, marked, settled, waiting, with_limits
from .flows import community, manifest, out_of, pipeline, run_on, source, steps, tables, written
from .test_crawl_processes import BURST, PROCESSES, RATE, kept, place

COUNTS = {"new", "changed", "deleted", "given_up", "pairs", "requests", "waited_s", "seconds", "exit_code"}

#: Nothing listens here.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Bench]:
    with bench("discourse", tmp_path / "store", community()) as found:
        yield found


def asked(at: Bench, run: Callable[[], running.Ran]) -> tuple[running.Ran, list[str]]:
    """A run, and the paths that it asked for."""
    before = len(at.requests)
    return run(), [request.path for request in at.requests[before:]]


# -- again ------------------------------------------------------------------------------------------------------------


def test_a_second_run_asks_for_the_listing_and_does_nothing(at: Bench) -> None:
    first = run_on(at)
    assert (first.exit_code, first.new, first.changed) == (0, 8, 0)
    assert first.pairs > 0
    store, out, version = tree(at.store.path / "posts"), tree(out_of(at)), at.store.snapshot().version
    inode = out_of(at).stat().st_ino
    second, paths = asked(at, lambda: run_on(at))
    assert paths == ["/site.json", "/c/workbench/5/l/latest.json"]
    assert steps(second) == {"crawl": [("0 threads read, 0 items gone.", 0)], "export": [("up to date", 0)]}
    assert (second.exit_code, second.new, second.changed, second.pairs) == (0, 0, 0, 0)
    assert (tree(at.store.path / "posts"), tree(out_of(at)), at.store.snapshot().version) == (store, out, version)
    assert out_of(at).stat().st_ino == inode, "the export was not even written again"


def test_what_makes_an_export_be_written_again(at: Bench) -> None:
    def exported(**changes: Any) -> str:
        return steps(run_on(at, pipeline(at, **changes), only=["export"]))["export"][0][0]

    run_on(at)
    assert exported() == "up to date"
    assert exported(rule={"name": "votes"}).endswith("posts")
    assert exported(rule={"name": "votes"}) == "up to date"
    assert exported().endswith("posts"), "the last that was written counts"
    assert exported(export=[{"out": str(out_of(at)), "formats": ["trl"]}]).endswith("posts")
    exported()
    export_dataset(at.store, out_of(at), rule="votes", replace=True)
    assert exported().endswith("posts"), "somebody wrote another one there by hand"
    shutil.rmtree(out_of(at))
    assert exported().endswith("posts")
    at.community.answer(at.community.threads()[-1].post_id, "One more answer.")
    at.pass_time(60)
    assert run_on(at, only=["crawl"]).changed == 1
    assert exported() != "up to date", "the store has changed"


@pytest.mark.parametrize("name", ["discourse", "nodebb", "stackexchange"])
def test_what_is_due_and_has_changed_is_read_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody waits, so that all is read at the same time.
    with_limits(patch=monkeypatch, requests=100_000, burst=100, pause_s=0)
    with bench(name, tmp_path / "store", community()) as at:
        whole = pipeline(at, export=[{"out": str(out_of(at)), "validation": 0.0, "test": 0.0}])
        post = at.community.ask("What about now?", "Things have changed.")
        good, better = (
            at.community.answer(post, f"What {author} thinks.", author=author) for author in ("somebody", "another")
        )
        for item, up in ((post, 30), (good, 9), (better, 25)):
            at.community.vote(item, up=up)
        run_on(at, whole)
        at.pass_time(26 * 3600)
        at.community.answer(at.community.answer(post, "A third thought."), "A thought about that one.")
        at.pass_time(3 * 3600)
        ran, paths = asked(at, lambda: run_on(at, whole))
        # Of Stack Exchange a visit reads by id only what is known, so the new answer takes a request of its own.
        path = {"discourse": f"/t/{post}.json", "nodebb": f"/api/topic/{post}"}
        assert paths.count(path.get(name, f"/2.3/questions/{post}/answers")) == 1
        assert (ran.exit_code, ran.changed) == (0, 2 if name == "stackexchange" else 1)
        before, out = content(at.store), tree(out_of(at))
        assert before["answers"].filter(post_id=post).height == 3
        assert load(out_of(at)).to_polars().filter(post_id=post).height == 1
        with CrawlState(at.store.path) as state:
            state.read_again(round((at.clock.time - 3600) * 1e6))
        again = run_on(at, whole)
        assert (again.changed, again.pairs) == (1, ran.pairs), "it is read once more, and exported anew"
        assert_same(content(at.store), before)
        assert tree(out_of(at)) == out
        # What happens between the visit and the crawl is read.
        at.pass_time(48 * 3600)
        assert run_on(at, only=["recheck"]).changed == 1
        at.community.answer(post, "A late thought.")
        at.pass_time(1)
        assert run_on(at, only=["crawl"]).changed == 1
        assert content(at.store)["answers"].filter(post_id=post).height == 4


def test_a_dump_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    files = write_month(tmp_path / "dumps", thread("p1"))
    keys = {"kind": "reddit-dump", "paths": [str(tmp_path / "dumps" / "*")]}

    def run(**more: Any) -> list[Any]:
        whole = config.parse({"store": str(tmp_path / "store"), "import": [keys | more]})
        return running.run(whole, "test.toml").steps

    assert [step.said for step in run()] == ["3 answers, 1 post of 2 files"]
    assert run() == []
    os.utime(files[0], ns=(1, 1))
    assert [step.said for step in run()] == ["1 post of 1 file"]
    assert run() == []
    assert len(run(communities=["asktest"])) == 1, "read with another filter it is another import"
    assert run() == [], "and both are done"
    write_dump(tmp_path / "dumps" / "RC_2029-01.zst", [comment("later")])
    assert [step.said for step in run(communities=["asktest"])] == ["1 answer of 1 file"]


def test_records_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "RC_x", [comment("c1"), comment("c2", created_utc="never")])
    keys = {"kind": "reddit-dump", "paths": [str(dump)]}
    (step,) = running.run(config.parse({"store": str(tmp_path / "store"), "import": [keys]}), "p.toml").steps
    assert step.said.startswith("1 answer of 1 file, 1 record could not be used. bad time: Write times as seconds")
    assert step.exit_code == 3


def test_a_damaged_dump_is_told_once(tmp_path: Path) -> None:
    good, bad = write_month(tmp_path / "dumps", thread("p1"))
    bad.write_bytes(bad.read_bytes()[:-5])
    whole = config.parse(
        {"store": str(tmp_path / "store"), "import": [{"kind": "reddit-dump", "paths": [str(good), str(bad)]}]}
    )
    first = running.run(whole, "test.toml")
    assert first.exit_code == 3
    assert bad.name in first.steps[0].said
    assert running.run(whole, "test.toml").steps == []


def test_budgets_are_used_up_run_after_run_until_all_is_done(at: Bench) -> None:
    whole = pipeline(at, limits={"max_requests": 5})
    codes = []
    for _ in range(6):
        before = len(at.requests)
        codes.append(run_on(at, whole).exit_code)
        assert len(at.requests) - before <= 5
        if codes[-1] == 0:
            break
    assert codes[:-1] == [3] * (len(codes) - 1)
    assert codes[-1] == 0
    assert len(codes) > 2
    assert doubled(at.store) == []
    assert content(at.store)["posts"].height == 8


# -- what fails keeps nothing else from being done --------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False])
def test_a_source_that_is_down_keeps_nothing_else_from_being_done(at: Bench, first: bool) -> None:
    down = source(at, url=NOWHERE, site="down.example")
    sources = [down, source(at)] if first else [source(at), down]
    ran = run_on(at, pipeline(at, source=sources))
    assert ran.exit_code == 3
    assert sorted(code for _, code in steps(ran)["crawl"]) == [0, 75]
    assert ran.new == 8
    assert manifest(out_of(at))["format"] == "pairs"
    whole = pipeline(at, source=[down], export=[{"out": str(out_of(at)), "sites": ["*"]}])
    assert run_on(at, whole).exit_code == 3
    only_down = run_on(at, whole)
    assert (only_down.exit_code, steps(only_down)["export"]) == (75, [("up to date", 0)])


def test_wrong_credentials_need_a_person_and_keep_nothing_else_from_being_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench("reddit", tmp_path / "store", community()) as at, Forum(at.community, ["arctic-shift"]) as other:
        monkeypatch.setenv("SHP_MINER_REDDIT_CLIENT_SECRET", "wrong")
        fine = source(at, kind="arctic-shift", url=other.url("arctic-shift"))
        ran = run_on(at, pipeline(at, source=[source(at), fine]))
        assert ran.exit_code == 4
        assert [code for _, code in steps(ran)["crawl"]] == [4, 0]
        assert (ran.new, manifest(out_of(at))["format"]) == (8, "pairs")


def test_what_the_system_refuses_is_the_failure_of_one_step(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    original = parts.export_dataset

    def full(store: Any, out: Path, **options: Any) -> Any:
        if out == out_of(at):
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(store, out, **options)

    monkeypatch.setattr(parts, "export_dataset", full)
    second = out_of(at).with_name("second")
    ran = run_on(at, pipeline(at, export=[{"out": str(out_of(at))}, {"out": str(second)}]))
    assert [code for _, code in steps(ran)["export"]] == [75, 0]
    assert (ran.exit_code, manifest(second)["format"]) == (3, "pairs")


def test_a_bug_is_the_failure_of_one_part(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = parts.export_dataset

    def broken(store: Any, out: Path, **how: Any) -> Any:
        if out.name == "first":
            raise ZeroDivisionError("1/0")
        return real(store, out, **how)

    outs = [at.store.path.parent / name for name in ("first", "second")]
    with monkeypatch.context() as patch:
        patch.setattr(parts, "export_dataset", broken)
        ran = run_on(at, pipeline(at, export=[{"out": str(out)} for out in outs]))
    assert [code for _, code in steps(ran)["export"]] == [1, 0]
    assert "ZeroDivisionError: 1/0 This is a bug" in steps(ran)["export"][0][0]
    assert manifest(outs[1])["format"] == "pairs"
    with Runs(at.store.path) as runs:
        (noted,) = runs.last(5)
    assert (ran.exit_code, noted.exit_code) == (1, 1)
    assert run_on(at).exit_code == 0, "the store is free"


@pytest.mark.parametrize(
    ("codes", "whole"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 3], 3),
        ([0, 75], 3),
        ([75], 75),
        ([75, 75], 75),
        ([75, 3], 3),
        ([75, 4, 0], 4),
        ([4, 5], 4),
        ([5, 3], 5),
        ([2, 5, 75], 5),
        ([1, 4], 1),
    ],
)
def test_the_exit_code_of_a_run(codes: list[int], whole: int) -> None:
    assert exit_code_of([StepDone("crawl", "", "something", code) for code in codes]) == whole
    assert exit_code_of([StepDone("crawl", "", "down", 75), StepDone("export", "", "up to date", 0)]) == 75


# -- the export -------------------------------------------------------------------------------------------------------


def test_ctrl_c_during_the_export_leaves_the_old_one_whole(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run_on(at)
    before = tree(out_of(at))
    changed = pipeline(at, rule={"name": "votes"})
    for part in ("mine_range", "write_groups", "_finish"):
        with monkeypatch.context() as patch:
            patch.setattr(flow, part, _interrupted)
            ran = run_on(at, changed)
        assert (ran.exit_code, steps(ran)["export"]) == (3, [("interrupted", 3)]), part
        assert tree(out_of(at)) == before
        assert [path.name for path in out_of(at).parent.iterdir() if "out" in path.name] == ["out"]
    assert run_on(at, changed).exit_code == 0
    assert tree(out_of(at)) != before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_export_ends_it_and_leaves_the_old_one_whole(how: signal.Signals, tmp_path: Path) -> None:
    records = [record for number in range(600) for record in thread(f"p{number}", range(2, 12))]
    write_month(tmp_path / "dumps", records)
    data = {"import": [{"kind": "reddit-dump", "paths": ["dumps/*"]}], "export": [{"out": "out"}]}
    assert running.run(config.read(written(tmp_path / "p.toml", data)), "p.toml").exit_code == 0
    before = tree(tmp_path / "out")
    path = written(tmp_path / "p.toml", data | {"rule": {"name": "votes"}, "limits": {"workers": 1}})
    run = launched(path, tmp_path / "run1", "--only", "export")
    deadline = time.monotonic() + 30
    while not (tmp_path / "out" / ".shp-miner.new").exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert run.end(how) == 3
    assert [(step["step"], step["said"]) for step in run.said["steps"]] == [("export", "interrupted")]
    assert tree(tmp_path / "out") == before
    assert launched(path, tmp_path / "run2").end() == 0
    assert tree(tmp_path / "out") != before


def _interrupted(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


class PanicException(BaseException):
    """As libraries in Rust raise it, which is nothing that could be imported."""


def test_ctrl_c_that_a_library_in_rust_made_a_panic_of_is_ctrl_c(
    at: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def panics(text: str) -> Callable[..., Any]:
        def panic(*_: Any, **__: Any) -> Any:
            raise PanicException(text)

        return panic

    monkeypatch.setattr(parts, "crawl", panics("PyErr { type: <class 'KeyboardInterrupt'>, value: ... }"))
    ran = run_on(at)
    assert (ran.exit_code, steps(ran)) == (3, {"crawl": [("interrupted", 3)]})
    monkeypatch.setattr(cli.cli, "main", panics("PyErr { type: <class 'KeyboardInterrupt'>, value: ... }"))
    assert cli.run(["stats"]) == 3
    assert "Interrupted" in capsys.readouterr().err
    monkeypatch.setattr(parts, "crawl", panics("index out of bounds"))
    with pytest.raises(PanicException):
        run_on(at)


def test_an_interrupted_step_is_the_last(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "crawl", _interrupted)
    ran = run_on(at)
    assert (ran.exit_code, list(steps(ran))) == (3, ["crawl"])


def test_one_writer_has_an_export_whichever_store_it_is_made_of(
    at: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run comes while the first one writes."""
    original, others = flow._written, []

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(flow, "_written", original)
        others.append(run_on(at, pipeline(at, store=str(tmp_path / "other"))))
        return original(*arguments)

    monkeypatch.setattr(flow, "_written", meanwhile)
    first = run_on(at)
    (second,) = others
    assert (first.exit_code, second.exit_code) == (0, 3)
    assert (second.new, steps(second)["crawl"][0][1]) == (8, 0)
    ((said, code),) = steps(second)["export"]
    assert code == 75
    assert f"is being written already: writing it (process {os.getpid()}, since " in said
    assert run_on(at, pipeline(at, store=str(tmp_path / "other"))).exit_code == 0


def test_a_young_store_has_no_pairs_yet_and_that_is_no_failure(tmp_path: Path) -> None:
    world = World(threads=1)
    with bench("discourse", tmp_path / "store", Community(world=world, now=world.starts_at)) as at:
        at.community.answer(at.community.ask("Is it day?", "I wonder."), "It is.")
        ran = run_on(at)
        assert (ran.exit_code, ran.pairs) == (0, 0)
        assert "No pair" in steps(ran)["export"][0][0]
        assert not out_of(at).exists()


# -- before a run -----------------------------------------------------------------------------------------------------


def test_a_dry_run_asks_nobody_changes_nothing_and_knows_the_cost(
    at: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(
        tmp_path / "p.toml", tables(at, source=[source(at, limit=8)], credentials={"stackexchange_key": "${NO}"})
    )
    assert cli.run(["run", str(path), "--dry-run", "--json"]) == 4, "as the run, which gets no key"
    told = capsys.readouterr()
    assert "credentials.stackexchange_key names the environment variable NO, which is not set." in told.err
    said = json.loads(told.out)
    assert [step["step"] for step in said["steps"]] == ["crawl", "export", "tidy"]
    assert (at.requests, at.store.path.exists(), out_of(at).exists()) == ([], False, False)
    expected = sum(step["requests"] for step in said["steps"])
    whole = pipeline(at)
    assert abs(run_on(at, whole).requests - expected) <= 1
    again = sum(part.requests or 0 for part in plan(whole, clock=at.clock) if part.step == "crawl")
    assert run_on(at, whole).requests == again
    at.pass_time(40 * 86_400)
    (visit,) = plan(whole, only=["recheck"], clock=at.clock)
    ran = run_on(at, whole, only=["recheck"])
    assert visit.would == f"visit {ran.changed} due threads"
    assert ran.changed > 0
    assert [part.step for part in plan(whole, only=["export"])] == ["export"]


@pytest.mark.parametrize("only", [None, "crawl", "export"])
@pytest.mark.parametrize("is_set", [True, False])
def test_a_dry_run_of_reddit_ends_as_the_run_where_credentials_are_missing(
    only: str | None, is_set: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLIENT_ID", "CLIENT_SECRET", "USER_AGENT"):
        monkeypatch.delenv(f"SHP_MINER_REDDIT_{name}", raising=False)
        monkeypatch.delenv(name, raising=False)
    if is_set:
        monkeypatch.setenv("ID", "id")
        monkeypatch.setenv("SECRET", "")
        monkeypatch.setenv("AGENT", "somebody")
    (tmp_path / "p.toml").write_text(
        'store = "store"\n[[source]]\nkind = "reddit"\ncommunities = ["asktest"]\n[[export]]\nout = "out"\n'
        + (
            '[credentials]\nreddit_client_id = "${ID}"\nreddit_client_secret = "${SECRET}"\n'
            'reddit_user_agent = "${AGENT}"\n'
            if is_set
            else ""
        )
    )
    words = ["run", "p.toml", *(["--only", only] if only else [])]
    expected = 0 if is_set or only == "export" else 4
    assert cli.run([*words, "--dry-run"]) == expected
    told = capsys.readouterr()
    assert "p.toml would" in told.out
    assert ("Reddit requires credentials" in told.err) == (expected == 4)
    if not is_set:
        assert cli.run(words) == expected


def test_only_takes_the_steps_named_in_the_order_of_all(at: Bench) -> None:
    assert list(steps(run_on(at, only=["export", "crawl"]))) == ["crawl", "export"]
    ran, paths = asked(at, lambda: run_on(at, only=["export"]))
    assert (list(steps(ran)), paths) == (["export"], [])


def test_steps_are_taken_in_their_order(at: Bench, tmp_path: Path) -> None:
    (tmp_path / "forget.txt").write_text("author: nobody\n")
    dumps = [str(path) for path in write_month(tmp_path / "dumps", thread("p1"))]
    whole = pipeline(
        at, forget={"file": str(tmp_path / "forget.txt")}, **{"import": [{"kind": "reddit-dump", "paths": dumps}]}
    )
    run_on(at, whole)
    at.pass_time(40 * 86_400)
    (tmp_path / "forget.txt").write_text("author: somebody\n")
    os.utime(dumps[0], ns=(1, 1))
    # Nothing is old enough to be tidied away.
    assert list(steps(run_on(at, whole))) == [step for step in running.STEPS if step != "tidy"]


# -- processes --------------------------------------------------------------------------------------------------------


def started(path: Path, out: Path, limits: dict[str, float], options: tuple[str, ...]) -> None:
    """`shp-miner run --json` with other limits, its output in files and its exit code as the process's."""
    patch = pytest.MonkeyPatch()
    with_limits(patch=patch, **limits)
    os.environ["XDG_STATE_HOME"] = str(out.parent / "state")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with (
        out.with_suffix(".out").open("w") as stdout,
        out.with_suffix(".err").open("w") as stderr,
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        code = cli.run(["run", str(path), "--json", *options])
    sys.exit(code)


@dataclass
class Process:
    """A run in a process of its own."""

    process: ForkServerProcess
    out: Path

    def end(self, how: signal.Signals | None = None) -> int | None:
        """Wait for its end, after a signal if there is one; its exit code."""
        if how is not None:
            assert self.process.pid is not None
            os.kill(self.process.pid, how)
        self.process.join(40)
        return self.process.exitcode

    @property
    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out.with_suffix(".out").read_text())
        return found

    @property
    def errors(self) -> str:
        return self.out.with_suffix(".err").read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.errors.splitlines()]


def launched(path: Path, out: Path, *options: str, limits: dict[str, float] | None = None) -> Process:
    """Start a run of a file; what it prints goes to files named after `out`."""
    allowed = {"requests": 100_000, "burst": 100, "pause_s": 0, "backoff_s": 0.01} | (limits or {})
    process = PROCESSES.Process(target=started, args=(path, out, allowed, options))
    process.start()
    return Process(process, out)


class Machine:
    """A forum, and pipelines that crawl it as processes; `view` knows what was asked when."""

    def __init__(self, found: Any, folder: Path) -> None:
        self.place, self.folder, self.store, self._started = found, folder, found.store, 0

    def tables(self, **changes: Any) -> dict[str, Any]:
        keys = {"kind": "discourse", "site": "forum.example", "communities": ["workbench"], "allow_private": True}
        keys["url"] = self.place.forum.url("timed")
        usual = {"store": "store", "source": [keys], "export": [{"out": "out"}], "limits": {"workers": 1}}
        return usual | changes

    def start(
        self, name: str = "p.toml", *options: str, limits: dict[str, float] | None = None, **changes: Any
    ) -> Process:
        self._started += 1
        path = written(self.folder / name, self.tables(**changes))
        return launched(path, self.folder / f"run{self._started}", *options, limits=limits)

    def wait_for(self, run: Process, requests: int) -> None:
        self.place.wait_for(run.process, requests)


@contextmanager
def machine(tmp_path: Path, threads: int = 12) -> Iterator[Machine]:
    with place("discourse", tmp_path, settled(threads, readers=300.0)) as found:
        yield Machine(found, tmp_path)


def test_of_two_runs_one_works_and_the_other_says_who_has_the_store(tmp_path: Path) -> None:
    with machine(tmp_path) as here:
        first = here.start()
        here.wait_for(first, 3)
        assert first.process.pid is not None
        os.kill(first.process.pid, signal.SIGSTOP)  # so that it surely has not ended
        begin = time.monotonic()
        second = here.start()
        assert second.end() == 75
        assert time.monotonic() - begin < 20, "it does not wait"
        os.kill(first.process.pid, signal.SIGCONT)
        holder = f": running p.toml (process {first.process.pid}, since 20"
        assert f"is in use by a run already{holder}" in second.errors
        assert (second.lines[-1]["event"], second.lines[-1]["exit_code"]) == ("error", 75)
        assert first.end() == 0
        assert first.said["new"] == 12
        assert doubled(here.store) == []
        assert here.start().end() == 0


def test_a_run_that_was_killed_blocks_nobody(tmp_path: Path) -> None:
    with machine(tmp_path) as here:
        here.place.forum.faults.add(faults.slow(before_s=0.05))
        first = here.start()
        here.wait_for(first, 6)
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
        assert (here.store.path / "locks" / "run").exists(), "what it left"
        before = len(here.place.view.threads())
        second = here.start()
        assert second.end() == 0
        assert len(here.place.view.threads()) - before < 12, "it goes on where the first was"
        assert waiting(here.store) == set()
        assert content(here.store)["posts"].height == 12
        assert not (here.store.path / "locks" / "run").exists()
        with Runs(here.store.path) as runs:
            assert [run.exit_code for run in runs.last(5)] == [0, None]


def test_sigterm_finishes_the_page_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with machine(tmp_path) as here:
        here.place.forum.faults.add(faults.slow(before_s=0.05))
        first = here.start()
        here.wait_for(first, 6)
        assert first.end(signal.SIGTERM) == 3
        said = first.said
        assert said["exit_code"] == 3
        assert [(step["step"], step["said"]) for step in said["steps"]] == [("crawl", "interrupted")], "and no export"
        assert 0 < said["new"] == len(marked(here.store)) == content(here.store)["posts"].height < 12
        assert first.lines[-1]["event"] == "summary"
        second = here.start()
        assert second.end() == 0
        assert second.said["new"] == 12 - said["new"]
        assert doubled(here.store) == []
        assert (tmp_path / "out" / "manifest.json").exists()


def test_runs_on_two_stores_keep_the_limits_of_a_host_together(tmp_path: Path) -> None:
    with machine(tmp_path, threads=20) as here:
        limits = {"requests": RATE, "interval_s": 1, "burst": BURST}
        both = [
            here.start(f"{name}.toml", limits=limits, store=name, export=[{"out": f"out-{name}"}])
            for name in ("a", "b")
        ]
        assert [process.end() for process in both] == [0, 0]
        assert [process.said["new"] for process in both] == [20, 20]
        kept([moment for moment, _ in here.place.view.asked])
        assert tree(tmp_path / "out-a").keys() == tree(tmp_path / "out-b").keys()


def test_what_a_run_prints_can_be_read_by_machines(tmp_path: Path) -> None:
    with machine(tmp_path) as here:
        run = here.start("p.toml", "--max-requests", "1000", log={"metrics": "shp.prom"})
        assert run.end() == 0
        said = run.said
        assert said.keys() >= COUNTS | {"pipeline", "steps"}
        assert all({"step", "about", "said", "exit_code", "seconds"} <= step.keys() for step in said["steps"])
        *lines, last = run.lines
        assert any(
            line["message"].startswith("crawl discourse forum.example workbench: 12 threads read") for line in lines
        )
        assert last["event"] == "summary"
        assert {name: last[name] for name in COUNTS} == {name: round(said[name], 1) for name in COUNTS}
        assert (last["new"], last["requests"], last["exit_code"]) == (12, len(here.place.view.asked), 0)
        assert f'shp_miner_pairs{{pipeline="p.toml"}} {said["pairs"]}\n' in (tmp_path / "shp.prom").read_text()
        quiet = here.start("p.toml", "--quiet")
        assert (quiet.end(), quiet.errors) == (0, "")
        capped = here.start("p.toml", "--max-requests", "1", limits={})
        assert (capped.end(), capped.said["requests"], capped.lines[-1]["level"]) == (3, 1, "warning")


# -- the lock ---------------------------------------------------------------------------------------------------------


def test_a_lock_is_one_persons_and_goes_away(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "lock"
    with only_one(file, "The thing is done", "doing it"):
        assert file.read_text() == f"{os.getpid()} doing it"
        expected = r"The thing is done already: doing it \(process \d+, since 20.* UTC\)\."
        with pytest.raises(TryLater) as told, only_one(file, "The thing is done", "doing it too"):
            pass
        assert re.fullmatch(expected, told.value.message)
        assert file.read_text() == f"{os.getpid()} doing it"
    assert not file.exists()
    with pytest.raises(ZeroDivisionError), only_one(file, "", ""):
        raise ZeroDivisionError
    assert not file.exists()


def test_a_store_has_one_run(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def second(*_: Any, **__: Any) -> Any:
        with pytest.raises(TryLater, match=r"is in use by a run already: running test\.toml"):
            run_on(at)
        return []

    monkeypatch.setattr(parts, "crawl", second)
    assert run_on(at).exit_code == 0
    assert Store(at.store.path).exists
