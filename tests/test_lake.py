"""Stores and dumps on an object store: the bytes of a disk, nothing lost, nothing of the forgotten left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import polars as pl
import pytest

from shp_miner import export_dataset, forget, import_dump
from shp_miner.cli import run
from shp_miner.dumps import importing, sharing
from shp_miner.errors import BadInput, TryLater, in_words
from shp_miner.health.repair import look, repair
from shp_miner.places import access
from shp_miner.places import lease as leases
from shp_miner.places.lease import LEASE_S, Lease, Lost, Taken
from shp_miner.places.path import RemotePath
from shp_miner.places.ranges import PART_BYTES
from shp_miner.store import Store
from shp_miner.store.local import state_folder
from shp_miner.store.lock import InUse, exclusive_lock, shared_lock

from . import s3
from .build import T0, chunk, comment, post_row, submission, tree, write_dump
from .conftest import NOW, ROOT
from .stackexchange_dump import archive, long_members
from .test_import_discourse import topic

URL = "s3://bucket/a store"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.Server]:
    monkeypatch.setattr(access, "RETRIES", 4)
    monkeypatch.setattr(access, "_WAIT_S", 0.001)
    monkeypatch.setattr(leases, "_LOOK_S", 0.01)
    monkeypatch.setattr(leases, "_ARRIVES_S", 0.0)
    with s3.running() as server:
        s3.credentials(monkeypatch, server.port)
        yield server


def dump(folder: Path) -> list[Path]:
    """Files of 40 posts with 4 answers each, one of them by the person to be forgotten."""
    theirs = {"author": "forgetme", "body": "words of forgetme"}
    posts = [submission(f"p{n}") for n in range(40)]
    answers = [
        comment(f"a{n}x{m}", f"p{n}", score=m * 5 + 1, created_utc=T0 + 60 * m) | (theirs if m == 2 else {})
        for n in range(40)
        for m in range(4)
    ]
    return [write_dump(folder / "RS_2020-09.zst", posts), write_dump(folder / "RC_2020-09.gz", answers)]


def test_a_store_in_a_bucket_gives_the_bytes_of_one_on_a_disk(server: s3.Server, tmp_path: Path) -> None:
    files = dump(tmp_path)
    for file in files:
        server.bucket()[f"dumps/{file.name}"] = file.read_bytes()
    import_dump("reddit-dump", files, tmp_path / "store")
    server.faults = [s3.Fault(method="GET", key="dumps/", cut=True, times=3), s3.Fault(method="PUT", times=2)]
    done = import_dump("reddit-dump", "s3://bucket/dumps", URL)
    assert (done.tally.read, done.complete) == ({"post": 40, "answer": 160}, True)
    for store in (tmp_path / "store", URL):
        export_dataset(store, tmp_path / f"out-{len(str(store))}")
    first, second = (tree(path) for path in sorted(tmp_path.glob("out-*")))
    assert first == second
    assert Store(URL).posts().equals(Store(tmp_path / "store").posts())

    for words in ("stats", "status", "doctor", "compare", "vacuum", "stats --as-of 1.1", "show --thread reddit.com/p1"):
        assert run([*words.split(), "--store", URL]) == 0, words
    assert not list(Path().rglob("s3:*"))  # no folder was made of an address

    assert forget(URL, authors="forgetme").finished
    assert not [key for key, data in server.bucket().items() if b"forgetme" in data]  # the dump is compressed
    assert Store(URL).answers().filter(author="forgetme").is_empty()
    export_dataset(URL, tmp_path / "again")
    assert not [path for path, data in tree(tmp_path / "again").items() if b"forgetme" in data]


#: An import as another machine runs it: nothing is shared but the bucket. Every file is a task.
_ELSEWHERE = """
import sys
from shp_miner.cli import run
from shp_miner.dumps import sharing
sharing._SHARED_FILE_BYTES = 1
words = ["--community", "asktest", "--workers", "2", "--store", sys.argv[1]]
sys.exit(run(["import", "reddit-dump", *sys.argv[2:], *words]))
"""


def test_of_two_machines_that_import_the_same_files_at_once_one_is_refused(
    server: s3.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_SHARED_FILE_BYTES", 1)
    files = dump(tmp_path)
    refused: list[subprocess.CompletedProcess[str]] = []
    words = [sys.executable, "-c", _ELSEWHERE, URL, *map(str, files)]
    first = Lock()

    def advance(count: int) -> None:
        if count and first.acquire(blocking=False):  # this import is at work
            env = os.environ | {"HOME": str(tmp_path / "home"), "SHP_MINER_STATE": str(tmp_path / "other")}
            refused.append(subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, check=False))

    asked = {"communities": "asktest", "thorough": False}  # as the command line says it
    import_dump("reddit-dump", files, URL, workers=2, memory="2GiB", advance=advance, **asked)
    assert refused[0].returncode == 75
    assert "an import of these files already: importing (process" in refused[0].stderr
    assert " on " in refused[0].stderr  # the machine: it is not this machine's own lock that refuses
    assert not [key for key in server.bucket() if "import" in key]
    assert Store(URL).snapshot().rows("answers") == 160  # nothing twice
    import_dump("reddit-dump", files, tmp_path / "store")
    assert Store(URL).answers().equals(Store(tmp_path / "store").answers())


def test_doctor_deletes_what_a_killed_import_left_in_a_bucket(
    server: s3.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_SHARED_FILE_BYTES", 1)
    files = dump(tmp_path)
    seen: list[bool] = []

    def ends(*given: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        commit(*given)
        seen.append(any("killed import" in fault.sentence() for fault in look(RemotePath(URL))))

    commit = importing.commit
    monkeypatch.setattr(importing, "commit", ends)
    with pytest.raises(KeyboardInterrupt):
        import_dump("reddit-dump", files, URL, communities="asktest", workers=2, memory="500MB")
    assert seen == [False]  # it goes on
    assert [key for key in server.bucket() if "/importing/" in key]
    assert any("killed import" in fault.sentence() for fault in look(RemotePath(URL)))
    assert any("killed import" in fault.sentence() for fault in repair(RemotePath(URL)))
    assert not [key for key in server.bucket() if "import" in key]


def test_a_server_that_would_lose_commits_is_refused(
    server: s3.Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.ignores_create_only = True
    assert run(["import", "reddit-dump", *map(str, dump(tmp_path)), "--store", URL]) == 5
    assert "would lose data" in capsys.readouterr().err
    assert server.bucket() == {}
    server.ignores_create_only = False
    Store(URL).create()
    before = [key for _, key in server.asked if "probe" in key]
    Store(URL).append(chunk([post_row()], []))
    assert len([key for _, key in server.asked if "probe" in key]) == len(before)  # asked once
    server.ignores_create_only = server.versioned = True
    assert run(["doctor", "--store", URL]) == 5
    told = capsys.readouterr().out
    assert "would lose data" in told
    assert "keeps old versions" in told


def test_locks_keep_apart_who_deletes_and_who_writes(server: s3.Server) -> None:
    store = RemotePath(URL)
    with (
        shared_lock(store, "reading"),
        shared_lock(store, "writing"),
        pytest.raises(InUse, match=r"in use: (reading|writing) "),
        exclusive_lock(store, "purging", wait_s=0),
    ):
        pass
    with exclusive_lock(store, "purging"):
        with shared_lock(store, "inside"):
            pass
        other = Lease(store / "locks", "writing", alone=False)
        with pytest.raises(Taken, match="purging"):
            other.take(0)
    with exclusive_lock(store, "purging again"):
        pass
    assert len([key for key in server.bucket() if "/locks/" in key]) == 1  # its last entry, which is empty


def test_of_many_that_want_the_lock_alone_one_has_it(server: s3.Server) -> None:
    held, most = [], []

    def work(number: int) -> None:
        with exclusive_lock(RemotePath(URL), f"{number}", wait_s=30):
            held.append(number)
            most.append(len(held))
            held.remove(number)

    threads = [Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


def test_a_killed_holder_of_this_machine_blocks_nobody(server: s3.Server) -> None:
    words = "from shp_miner.store.lock import exclusive_lock; from shp_miner.paths import expanded; import time\n"
    words += f"with exclusive_lock(expanded({URL!r}), 'purging'): print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, cwd=ROOT) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(InUse, match="purging"), shared_lock(RemotePath(URL), "writing", wait_s=0):
            pass
        holder.kill()
    with exclusive_lock(RemotePath(URL), "next", wait_s=0):
        pass


def test_a_holder_that_died_blocks_for_its_lease_and_one_that_slept_stops(server: s3.Server) -> None:
    clock = [0.0]
    place = RemotePath(URL) / "locks"

    def lease(doing: str, *, alone: bool) -> Lease:
        return Lease(place, doing, alone=alone, clock=lambda: clock[0])

    def later(seconds: float) -> None:
        clock[0] += seconds
        server.now_s += seconds

    for alone in (True, False):
        asleep = lease("asleep", alone=alone)
        asleep.take(0)
        later(LEASE_S - 1)
        with pytest.raises(Taken, match="asleep"):
            lease("next", alone=True).take(0)
        asleep.confirm()  # is awake in time, and holds on
        later(LEASE_S - 1)
        with pytest.raises(Taken, match="asleep"):
            lease("next", alone=True).take(0)
        later(2)
        following = lease("next", alone=True)
        following.take(0)
        with pytest.raises(Lost):
            asleep.confirm()
        following.confirm()
        following.give_back()
        with pytest.raises(Lost):  # not even when the other one is done
            asleep.confirm()
        asleep.give_back()
        lease("shared", alone=False).take(0)
        later(LEASE_S + 1)


def test_rows_that_were_acknowledged_are_there_whatever_the_server_does(server: s3.Server) -> None:
    """Answers that say failure after a write, and none at all: what append returned for is there, once."""
    store = Store(URL)
    kept = []
    for number in range(12):
        fault = s3.Fault(method="PUT", key="_delta_log/|part-", after=number % 2 == 0, times=number % 3)
        server.faults = [fault]
        try:
            store.append(chunk([post_row(post_id=f"p{number}")], []))
        except (TryLater, BadInput):
            continue
        kept.append(f"p{number}")
    server.faults = []
    there = Store(URL).observations("posts").collect()["post_id"].to_list()
    assert set(kept) <= set(there)
    assert len(kept) >= 10
    assert len(there) == len(set(there))


def test_this_machines_files_lie_apart_and_the_store_stays_clean(
    server: s3.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = Store(URL)
    store.create()
    monkeypatch.setenv("SHP_MINER_STATE", str(tmp_path / "mine"))
    assert state_folder(store.path).parent == tmp_path / "mine"
    assert state_folder(tmp_path) == tmp_path
    from shp_miner.crawling.state import CrawlState

    with CrawlState(store.path):
        pass
    assert [path.name for path in (tmp_path / "mine").rglob("*.sqlite")] == ["crawl.sqlite"]
    assert not [key for key in server.bucket() if "sqlite" in key]


def test_dumps_of_every_kind_are_read_from_a_bucket_as_from_a_disk(server: s3.Server, tmp_path: Path) -> None:
    own = {"site": "forum.example", "community": "c", "post_id": "p", "title": "T?", "created_at": "2025-01-01T00:00Z"}
    thread = own | {
        "body": "b",
        "score": 1,
        "answers": [{"answer_id": "a", "body": "x", "score": 2, "created_at": "2025-01-02T00:00Z"}],
    }
    (tmp_path / "disk").mkdir()
    files = {
        "reddit-dump": dump(tmp_path / "disk"),
        "stackexchange-dump": [archive(tmp_path / "beer.stackexchange.com.7z", long_members())],
        "discourse-json": [write_dump(tmp_path / "topics.ndjson.xz", [topic()])],
        "threads": [write_dump(tmp_path / "own.jsonl.bz2", [thread]), tmp_path / "own.parquet"],
    }
    pl.DataFrame([thread | {"post_id": "q"}]).write_parquet(tmp_path / "own.parquet")
    for kind, paths in files.items():
        options = {"site": "forum.example"} if kind == "discourse-json" else {}
        for path in paths:
            server.bucket()[f"{kind}/{path.name}"] = path.read_bytes()
        server.faults = [s3.Fault(method="GET", key=kind, cut=True, times=2), s3.Fault(method="GET", key=kind)]
        urls = [f"s3://bucket/{kind}/{path.name}" for path in paths]
        disk = import_dump(kind, paths, tmp_path / kind, now=NOW, **options)
        bucket = import_dump(kind, urls, tmp_path / f"{kind} again", now=NOW, **options)
        assert bucket.tally.to_dict() == disk.tally.to_dict()
        assert disk.tally.read
        for name in ("posts", "answers"):
            stores = (Store(tmp_path / folder) for folder in (kind, f"{kind} again"))
            first, second = (store.observations(name).collect().sort(pl.all()) for store in stores)
            assert first.equals(second)


def test_a_connection_that_breaks_costs_a_part_and_no_byte_twice(server: s3.Server) -> None:
    data = os.urandom(5 * PART_BYTES + 17)
    server.bucket()["big"] = data
    server.faults = [s3.Fault(method="GET", key="big", cut=True, times=3)]
    with RemotePath("s3://bucket/big").open("rb") as file:
        read = b"".join(iter(lambda: file.read(100_000), b""))
        assert read == data
        assert file.seek(-5, os.SEEK_END) == len(data) - 5
        assert file.read() == data[-5:]
    asked = [key for method, key in server.asked if (method, key) == ("GET", "big")]
    assert len(asked) <= 6 + 3 + 1  # each part once, each break once more, and the end
    with RemotePath("s3://bucket/big").open("rb") as file:
        file.read(10)
        server.bucket()["big"] = data[::-1]
        with pytest.raises(TryLater):
            file.read()


@pytest.mark.parametrize(
    ("status", "answer", "code"),
    [
        ("503 Service Unavailable", "<Code>SlowDown</Code>", 75),
        ("400 Bad Request", "<Code>ExpiredToken</Code>", 4),
        ("403 Forbidden", "<Code>AccessDenied</Code>", 4),
        ("404 Not Found", "<Code>NoSuchBucket</Code>", 5),
    ],
)
@pytest.mark.parametrize("between", [": ", "\n   \x1b[31m↳\x1b[0m "])  # as polars and as delta-rs write
def test_what_libraries_say_of_a_server_has_an_exit_code_and_no_secret(
    between: str, status: str, answer: str, code: int
) -> None:
    asked = (
        "Error performing GET http://127.0.0.1/bucket/key in 3s, after 8 retries - Server returned non-2xx status code"
    )
    error = OSError(between.join(("Generic S3 error", asked, status, f"<Error>{answer}<Token>SECRET</Token></Error>")))
    told = in_words(error)
    assert told is not None
    assert told.exit_code == code
    assert "SECRET" not in f"{told.message} {told.hint}"
