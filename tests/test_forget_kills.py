"""Forgetting, purging, vacuuming and repairing, killed at random moments: nothing of it is left, and all else is there.

An episode is a store with a past and an export. Twelve commands follow each other there, each in a process of its own
that is killed at a moment drawn by a seed; between them somebody writes. Whatever the last kill left, one more command
completes it. Then every byte is searched, and the rest is held against a twin that nobody disturbed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shp_miner import export_dataset, import_dump
from shp_miner.cli import run
from shp_miner.export.publish import export_leftovers
from shp_miner.forgetting.forget import purge
from shp_miner.health.repair import look
from shp_miner.store import Store
from shp_miner.store.files import write_file
from shp_miner.store.forget import ForgottenItem, tombstone_items
from shp_miner.store.forgotten_list import has_pending, list_names
from shp_miner.store.lake import TABLES
from shp_miner.store.runs import Runs
from shp_miner.store.salt import COPY
from shp_miner.store.vacuum import LAST, LOG, is_unfinished

from .build import answer_row, chunk, comment, post_row, submission, thread, tree, write_month
from .conftest import NOW
from .test_forget import seen

NAME = "Zephyrine_Quux"
TITLE, BODY, ANSWER, DELETED = "Xylotitle", "Wvubody", "Yttanswer", "Quondamtext"
SECRETS = (NAME, TITLE, BODY, ANSWER, DELETED)

#: What the platform deleted: a post with its title and text, and an answer.
GONE = [ForgottenItem("reddit.com", "gone"), ForgottenItem("reddit.com", "p2", "p2gone")]
#: What the person wrote.
THEIRS = {("p1", None), ("p3", "p3hers"), ("p4", "p4hers")}

STEPS = 12
FINISHING = ("export", "vacuum", "doctor", "recheck")


def records() -> list[dict[str, Any]]:
    out = [record for i in range(20) for record in thread(f"p{i}", (3, 9, 5, 7))]
    for record in out:
        if record["id"] == "p1":
            record |= {"title": f"{TITLE}?", "selftext": BODY, "author": NAME}
    gone = [record | {"body": f"Fine {n}."} for n, record in enumerate(thread("gone", (4, 8))[1:])]
    return [
        *out,
        comment("p3hers", "p3", author=NAME, body=f"{ANSWER} three", score=30),
        comment("p4hers", "p4", author=NAME, body=f"{ANSWER} four", score=1),
        comment("p2gone", "p2", body=f"{DELETED} answer", score=25),
        submission("gone", title=f"{DELETED} title", selftext=f"{DELETED} body"),
        *gone,
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of several versions, and an export of it with its dropped rows."""
    folder = tmp_path_factory.mktemp("base")
    work = folder / "work"
    work.mkdir()
    dump = write_month(folder / "dump", records())
    import_dump("reddit-dump", dump, work / "store", now=NOW)
    store = Store(work / "store")
    store.append(chunk([], [answer_row("p3hers", post_id="p3", author=NAME, body=f"{ANSWER} edited")]))
    store.compact()
    import_dump("reddit-dump", dump, work / "store", now=NOW)
    with Runs(store.path) as runs:
        runs.end(runs.begin("p.toml", 1), 2, 0, {"said": "done"})
    export_dataset(store, work / "out", rule="votes", formats=["pairs", "kto"], keep_dropped=work / "dropped")
    assert {word.split(" in ")[0] for word in seen(work, *SECRETS)} == {word.lower() for word in SECRETS}
    shutil.copytree(work, folder / "kept")
    return folder


# -- what is done, each in a process of its own ------------------------------------------------------------------------


def forgets(folder: Path) -> None:
    assert run(["forget", "--author", NAME, "--store", str(folder), "--quiet"]) == 0


def purges(folder: Path) -> None:
    tombstone_items(Store(folder), GONE, "removed", round(NOW.timestamp() * 1_000_000))
    purge(folder)


def vacuums(folder: Path) -> None:
    assert run(["vacuum", "--keep", "0s", "--store", str(folder), "--quiet"]) == 0


def repairs(folder: Path) -> None:
    run(["doctor", "--repair", "--store", str(folder), "--quiet"])


WORK = {"forget": forgets, "purge": purges, "vacuum": vacuums, "repair": repairs}


def _do(what: str, folder: Path, started: Connection) -> None:
    started.send(None)
    WORK[what](folder)


def doing(what: str, folder: Path, kill_after_s: float | None) -> tuple[bool, float]:
    """Do it; whether it was killed, and how long it took. It must end well where it is not killed."""
    processes = get_context("forkserver")
    # A server that has imported everything starts a process in no time.
    processes.set_forkserver_preload([__name__, "shp_miner.cli.vacuum", "shp_miner.health.doctor"])
    here, there = processes.Pipe()
    process = processes.Process(target=_do, args=(what, folder, there))
    process.start()
    here.recv()
    start = time.monotonic()
    process.join(kill_after_s)
    killed = process.is_alive()
    if killed:
        process.kill()
        process.join()
    took = time.monotonic() - start
    assert process.exitcode in ((-signal.SIGKILL, 0) if killed else (0,)), what
    return process.exitcode == -signal.SIGKILL, took


# -- an episode --------------------------------------------------------------------------------------------------------


class Episodes:
    """Episodes in one place, since a store knows its exports by their paths, and what has been seen in them."""

    def __init__(self, base: Path, seed: int) -> None:
        self.base, self.rng = base, random.Random(seed)
        self.work = base / "work"
        self.store_path = self.work / "store"
        self.out = base / "fresh"
        self.kills: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.fresh()
        self.takes_s = {what: doing(what, self.store_path, None)[1] for what in WORK}
        self.twin = self._twin()

    def fresh(self) -> None:
        for folder in (self.work, self.out):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.base / "kept", self.work)

    def write(self, step: int) -> None:
        """Somebody writes: answers that wait for their post, so that exports stay as they are."""
        store = Store(self.store_path)
        store.append(chunk([], [answer_row(f"x{step}", post_id=f"x{step}", body=f"Somebody else's {step}.")]))
        if step % 4 == 3:
            store.compact()

    def _twin(self) -> dict[str, Any]:
        self.fresh()
        for step in range(STEPS):
            self.write(step)
        for what in ("forget", "purge", "vacuum"):
            WORK[what](self.store_path)
        return self.found()

    def found(self) -> dict[str, Any]:
        """All that must be the same whoever is killed: rows, exports, and an export that is made now."""
        export_dataset(self.store_path, self.out, rule="votes", formats=["pairs", "kto"])
        dropped = {
            path.relative_to(self.work).as_posix(): _rows(pl.read_parquet(path, glob=False), path.parent.name)
            for path in (self.work / "dropped").rglob("*.parquet")
        }
        assert dropped
        snapshot = Store(self.store_path).snapshot()
        return {
            "rows": {name: _rows(snapshot.scan(name).collect(), name) for name in TABLES},
            "export": _shards(self.work / "out"),
            "dropped": dropped,
            "fresh": _shards(self.out),
        }

    def damage(self, asked: set[str]) -> None:
        """What a pulled plug and a killed writer leave: something for a repair to do."""
        for name in TABLES:
            pointer = self.store_path / name / LOG / LAST
            if pointer.exists() and self.rng.random() < 0.5:
                pointer.write_bytes(pointer.read_bytes()[: self.rng.randrange(60)])
        copy = self.store_path / "forgotten" / COPY
        if copy.exists() and self.rng.random() < 0.5:
            copy.write_bytes(copy.read_bytes()[: self.rng.randrange(32)])
        if "forget" not in asked:  # whoever writes later finds the name on the list
            rows = chunk([post_row(post_id="never", title=TITLE, body=BODY, author=NAME)], []).posts
            left = self.store_path / "posts" / write_file(self.store_path / "posts", rows).path
            os.utime(left, (1, 1))

    def play(self) -> None:
        self.fresh()
        asked: set[str] = set()
        for step in range(STEPS):
            self.write(step)
            what = self.rng.choice(list(WORK))
            if what == "repair":
                self.damage(asked)
            before = list_names(self.store_path)
            # A command completes what the one before left, and is to be killed while it does its own work, too.
            longest_s = self.takes_s[what] + (self.takes_s["purge"] if has_pending(self.store_path) else 0.0)
            was_killed, _ = doing(what, self.store_path, self.rng.uniform(0.0, 1.05) * longest_s)
            self.kills[what] += was_killed
            if what in ("forget", "purge") and list_names(self.store_path) != before:
                asked.add(what)  # it is on the list: from here on it is for us to complete
            self.left["pending"] += was_killed and has_pending(self.store_path)
            self.left["vacuum"] += was_killed and is_unfinished(self.store_path)
            self.left["export"] += was_killed and bool(export_leftovers(self.work / "out"))
        for what in sorted({"forget", "purge"} - asked):
            WORK[what](self.store_path)
        self.finish(self.rng.choice(FINISHING))

    def finish(self, command: str) -> None:
        """One more command, and all is as it must be."""
        words = {"doctor": ["doctor", "--repair"], "export": ["export", str(self.work / "more"), "--rule", "votes"]}
        assert run([*words.get(command, [command]), "--store", str(self.store_path), "--quiet"]) == 0
        assert not has_pending(self.store_path)
        assert not is_unfinished(self.store_path)
        assert seen(self.work, *SECRETS) == []
        assert all(fault.harmless or "salt" in fault.fault or LAST in fault.fault for fault in look(self.store_path))
        assert self.found() == self.twin
        assert seen(self.out, *SECRETS) == []

    def until(self, kills: int) -> None:
        while sum(self.kills.values()) < kills:
            self.play()


def _shards(folder: Path) -> dict[str, bytes]:
    """The rows of an export; its manifest also counts what was left out, which a later export has more of."""
    shards = {path: data for path, data in tree(folder).items() if path.endswith(".parquet")}
    assert shards
    for manifest in folder.glob("*/manifest.json"):
        named = {f"{manifest.parent.name}/{file['path']}" for file in json.loads(manifest.read_bytes())["files"]}
        assert named == {path for path in shards if path.startswith(f"{manifest.parent.name}/")}
    return shards


def _rows(rows: pl.DataFrame, name: str) -> tuple[list[Any], set[Any]]:
    """All observations of everything else, and what is left of what was taken out, which may be observed once more."""
    answer = pl.col("answer_id") if name == "answers" else pl.lit(None, pl.String)
    keys = [{"post_id": post, "answer_id": answer_id} for post, answer_id in THEIRS]
    keys += [{"post_id": item.post_id, "answer_id": item.answer_id} for item in GONE]
    taken = pl.DataFrame(keys, schema={"post_id": pl.String, "answer_id": pl.String})
    rows = rows.with_columns(answer.alias("answer_id"))
    others = rows.join(taken, on=["post_id", "answer_id"], how="anti", nulls_equal=True)
    theirs = rows.join(taken, on=["post_id", "answer_id"], how="semi", nulls_equal=True)
    left = [column for column in ("post_id", "answer_id", "state", "author", "title", "body") if column in rows.columns]
    return others.sort(pl.all()).to_dicts(), set(theirs.select(left).iter_rows())


def test_killed_at_random_moments_nothing_is_left_and_nothing_else_is_missing(base: Path) -> None:
    episodes = Episodes(base, seed=1)
    episodes.until(3)
    assert episodes.left["pending"]


@pytest.mark.slow
def test_500_kills(base: Path) -> None:
    episodes = Episodes(base, seed=2)
    episodes.until(500)
    print(f"\nkills: {dict(episodes.kills)}; each undisturbed, in seconds: {episodes.takes_s}")
    print(f"kills that left something to complete: {dict(episodes.left)}")
    assert all(episodes.kills[what] >= 80 for what in WORK)
    assert all(episodes.left[what] for what in ("pending", "vacuum", "export"))
