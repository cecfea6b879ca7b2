"""Exports in a bucket: the bytes of one on a disk, whole or not at all whatever dies, and never two mixed."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from huggingface_hub.utils import _http

import shp_miner
from shp_miner import export_dataset, import_dump
from shp_miner.cli import run
from shp_miner.engine.choice import Means
from shp_miner.engine.local import Threads
from shp_miner.errors import TryLater, UsageError
from shp_miner.export import dataset, pieces, publish_remote, tasks
from shp_miner.export.cache import folder_bytes
from shp_miner.export.publish import clear_leftovers, published_folder
from shp_miner.paths import expanded
from shp_miner.places import access, lease
from shp_miner.places.machine import Machine
from shp_miner.places.objects import ObjectPlace
from shp_miner.publishing.push import push

from . import s3
from .build import thread, write_month
from .conftest import NOW, ROOT
from .hub import serving
from .test_push import _as

OUT = "s3://bucket/exports/out"
SECRET = "Xylotext"


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.Server]:
    monkeypatch.setattr(access, "RETRIES", 3)
    monkeypatch.setattr(access, "_WAIT_S", 0.001)
    monkeypatch.setattr(lease, "_ARRIVES_S", 0.0)
    with s3.running() as server:
        s3.credentials(monkeypatch, server.port)
        yield server


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, and exports of it: two formats, one of them alone, the compact layout, two formats by another rule."""
    folder = tmp_path_factory.mktemp("filled")
    records = [record for n in range(24) for record in thread(f"p{n}", (3, 9, 5, 7))]
    for record in records:
        if record["id"] == "p1c1":
            record |= {"body": SECRET, "author": "Alice"}
    import_dump("reddit-dump", write_month(folder / "dump", records), folder / "store", now=NOW)
    export_dataset(folder / "store", folder / "two", formats=["pairs", "kto"])
    export_dataset(folder / "store", folder / "one", formats=["kto"])
    export_dataset(folder / "store", folder / "compact", layout="compact")
    export_dataset(folder / "store", folder / "votes", formats=["pairs", "kto"], rule="votes")
    return folder


@pytest.fixture
def store(tmp_path: Path, filled: Path) -> Path:
    shutil.copytree(filled / "store", tmp_path / "store")
    (tmp_path / "store" / "identity.json").unlink()
    shutil.rmtree(tmp_path / "store" / "exports")  # those of the original
    return tmp_path / "store"


def on_disk(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def in_bucket(server: s3.Server, out: str = OUT) -> dict[str, bytes]:
    prefix = out.removeprefix("s3://bucket/") + "/"
    return {key.removeprefix(prefix): data for key, data in server.bucket().items() if key.startswith(prefix)}


def holding(server: s3.Server) -> list[str]:
    """The objects with the text of a person who is forgotten, after unpacking."""
    found = []
    for key, data in server.bucket().items():
        unpacked = pl.read_parquet(data).write_json().encode() if key.endswith(".parquet") else data
        found += [key] if SECRET.encode() in unpacked else []
    return found


def publish(folder: Path) -> None:
    with published_folder(expanded(OUT)) as new:
        shutil.copytree(folder, new, dirs_exist_ok=True)


def require_whole(files: dict[str, bytes]) -> None:
    """Every file that a manifest names is there and has its bytes."""
    seen = {name: data for name, data in files.items() if not name.startswith(".")}
    for name in (name for name in seen if name.endswith("manifest.json")):
        manifest = json.loads(seen[name])
        for file in manifest.get("files", []):
            assert sha256(seen[name.removesuffix("manifest.json") + file["path"]]).hexdigest() == file["sha256"]
        for form, digest in manifest.get("formats", {}).items():
            assert sha256(seen[f"{form}/manifest.json"]).hexdigest() == digest


def test_an_export_in_a_bucket_has_the_bytes_of_one_on_a_disk(
    server: s3.Server, filled: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", OUT, "--store", str(store), "--format", "pairs,kto", "-q"]) == 0
    assert in_bucket(server) == on_disk(filled / "two")
    assert (
        run(["export", f"{OUT}/", "--store", str(store), "--format", "kto", "--json"]) == 2
    )  # other formats are there
    assert run(["export", OUT, "--store", str(store), "--format", "kto", "--replace", "-q"]) == 0
    assert in_bucket(server) == on_disk(filled / "one")
    assert run(["export", OUT, "--store", str(store), "--layout", "compact", "--replace", "-q"]) == 0
    assert in_bucket(server) == on_disk(filled / "compact")
    capsys.readouterr()
    assert run(["check", OUT]) == 0
    assert f"{OUT} is whole and right" in capsys.readouterr().out
    assert run(["show", OUT, "-n", "1"]) == 0
    for folder in ("compact", "two"):
        publish(filled / folder)
        here, there = (shp_miner.scan(path, format="pairs") for path in (filled / folder, OUT))
        assert there.to_arrow().equals(here.to_arrow())
        assert there.to_polars().equals(here.to_polars())
        assert shp_miner.load(OUT, format="pairs", split="train", min_confidence=0.5).to_dict() == (
            shp_miner.load(filled / folder, format="pairs", split="train", min_confidence=0.5).to_dict()
        )
    assert not list(publish_remote.building_folder(expanded(OUT)).parent.iterdir())
    scan = shp_miner.scan(OUT, format="pairs")
    publish(filled / "votes")  # while somebody reads
    with pytest.raises(TryLater, match="was replaced while it was read"):
        scan.to_arrow()


@pytest.mark.parametrize("layout", ["joined", "compact"])
def test_a_cluster_builds_the_same_bytes_in_the_bucket(
    layout: str, server: s3.Server, filled: Path, store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Workers elsewhere share the bucket only: pieces, results and files lie there until the export appears."""
    monkeypatch.setattr(Means, "cluster", lambda *_: Threads(2))
    monkeypatch.setattr(pieces, "_BATCH", 7)
    formats = ["pairs", "kto"] if layout == "joined" else ["pairs"]
    export_dataset(store, OUT, formats=formats, layout=layout, engine="slurm")
    assert in_bucket(server) == on_disk(filled / ("two" if layout == "joined" else "compact"))
    assert [key for method, key in server.asked if method == "PUT" and "/.pieces/" in key and "-pairs.arrow" in key]
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_the_folder_on_this_machine_stays_within_its_limit(
    server: s3.Server, filled: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "ROWS_PER_RANGE", 12)
    monkeypatch.setattr(dataset, "_LEAST_ROWS", 1)
    sizes, write, here = [0], tasks.write_piece, publish_remote.building_folder(expanded(OUT))

    def measured(*piece: Any) -> None:
        write(*piece)
        sizes.append(folder_bytes(here))

    monkeypatch.setattr(tasks, "write_piece", measured)
    export_dataset(store, OUT, format="kto", workers=1)
    unbounded, largest = max(sizes), max(after - before for before, after in pairwise(sizes))
    assert len(sizes) > 6
    server.bucket().clear()
    sizes[:] = [0]
    with monkeypatch.context() as patch:
        patch.setenv("SHP_MINER_EXPORT_CACHE", f"{unbounded // 2}B")
        patch.setattr(publish_remote, "remove_tree", lambda _: None)  # as if it was killed
        patch.setattr(dataset, "piece_windows", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export_dataset(store, OUT, format="kto", workers=1)
    assert 0 < max(sizes) <= unbounded // 2 + largest
    server.asked.clear()
    export_dataset(store, OUT, format="kto", workers=1)
    assert in_bucket(server) == on_disk(filled / "one")
    assert not [key for method, key in server.asked if method == "PUT" and "-pairs.arrow" in key]
    monkeypatch.setenv("SHP_MINER_EXPORT_CACHE", "much")
    with pytest.raises(UsageError, match="is not a size"):
        export_dataset(store, OUT, format="kto")


@pytest.mark.parametrize("every", [16, pytest.param(1, marks=pytest.mark.slow)])
def test_a_server_that_ends_at_whatever_request_is_for_later_and_changes_no_byte(
    every: int, server: s3.Server, filled: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each kind of request is refused for good in a run of its own; the run after goes on and has the same bytes."""
    monkeypatch.setattr(Means, "cluster", lambda *_: Threads(2))
    monkeypatch.setattr(access, "RETRIES", 1)
    import_dump("reddit-dump", sorted((filled / "dump").iterdir()), "s3://bucket/store", now=NOW)
    words = ["export", OUT, "--store", "s3://bucket/store", "--format", "kto", "--engine", "slurm", "-q"]
    before, codes = dict(server.bucket()), list[int]()
    server.asked.clear()
    assert run(words) == 0
    kinds = dict.fromkeys((method, re.sub(r"\b[0-9a-f-]{6,}", "[0-9a-f-]+", key)) for method, key in server.asked)
    # Tables of other tasks are always among them: polars panics where it reads an open file that fails.
    tables = ("measured.arrow", "index.arrow")
    tried = [kind for n, kind in enumerate(kinds) if n % every == 0 or (kind[0] == "GET" and kind[1].endswith(tables))]
    for number, (method, key) in enumerate(tried):
        server.bucket().clear()
        server.bucket().update(before)
        status = (503, 500, 429, 0, 200)[number % 5]  # 0 ends the connection, and 200 the answer in its middle
        server.faults = [s3.Fault(status, method=method, key=f"^{key}$", times=10**9, cut=status == 200)]
        codes.append(run(words))
        server.faults, server.now_s = [], server.now_s + 1_000  # the lease of a run that failed is over
        assert codes[-1] in (0, 75), (method, key)
        if codes[-1] or ".lock" in key:  # a lock that could not be given back is taken away by the next run
            assert run(words) == 0
        assert in_bucket(server) == on_disk(filled / "one")
    assert codes.count(75) > len(codes) / 2
    server.faults = [s3.Fault(key="_delta_log", times=10**9)]
    assert run(["doctor", "--store", "s3://bucket/store", "-q"]) == 75  # not damage
    assert "panicked" not in capfd.readouterr().err


def test_files_that_stay_the_same_are_not_written_again(server: s3.Server, filled: Path) -> None:
    publish(filled / "two")
    server.asked.clear()
    publish(filled / "two")
    puts = [key for method, key in server.asked if method == "PUT"]
    assert not [key for key in puts if key.endswith(".parquet")]
    assert in_bucket(server) == on_disk(filled / "two")


class _Died(BaseException):
    """A process that is killed: nothing of its own runs after that."""


def _at_change(
    monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None], *, and_after: bool = False
) -> None:
    """Act before the n-th request that changes anything in a bucket, and maybe before all after it."""
    left = [number]

    def counted(real: Callable[..., None]) -> Callable[..., None]:
        def stand_in(*args: object, **options: object) -> None:
            left[0] -= 1
            if left[0] == 0 or (left[0] < 0 and and_after):
                act()
            real(*args, **options)

        return stand_in

    for name in ("_put", "create", "copy", "delete"):
        monkeypatch.setattr(ObjectPlace, name, counted(getattr(ObjectPlace, name)))


def test_wherever_it_dies_the_next_run_leaves_the_export_and_nothing_else(
    server: s3.Server, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise _Died

    monkeypatch.setattr(publish_remote, "_REQUESTS", 1)
    publish(filled / "two")
    before, after = in_bucket(server), on_disk(filled / "votes")
    seen, number = set(), 0
    while True:
        number += 1
        server.objects["bucket"] = {f"exports/out/{name}": data for name, data in before.items()}
        with monkeypatch.context() as patched:
            _at_change(patched, number, die, and_after=True)
            try:
                publish(filled / "votes")
            except _Died:
                pass
            else:
                break
            files = in_bucket(server)
            require_whole(files)
            seen.add(
                {before["manifest.json"]: "before", after["manifest.json"]: "after"}.get(files.get("manifest.json"))
            )
        with monkeypatch.context() as patched:
            patched.setattr(Machine, "has_ended", lambda *_: True)
            if number % 2:
                publish(filled / "votes")
                assert in_bucket(server) == after
            else:  # nobody exports again, and a forget request meets what is left
                clear_leftovers(expanded(OUT))
                assert in_bucket(server) in (before, after)
    assert number > 20
    assert seen == {"before", None, "after"}


def test_what_a_killed_process_of_this_machine_began_is_completed_at_once(
    server: s3.Server, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "from tests.killing import die_at; from tests.test_export_remote import Path, publish; "
    words += f"die_at('shp_miner.export.publish_remote:_create before 2'); publish(Path({str(filled / 'votes')!r}))"
    assert subprocess.run([sys.executable, "-c", words], cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert "manifest.json" not in in_bucket(server)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(Machine, "has_ended", lambda *_: False)
        with pytest.raises(TryLater, match=r"Another process publishes the export .*: publishing \(process "):
            publish(filled / "two")
    publish_remote.settle(expanded(OUT))
    assert in_bucket(server) == on_disk(filled / "votes")


@pytest.mark.parametrize("first_there", [False, True])
def test_of_two_drivers_one_wins_and_the_other_says_so(
    first_there: bool, server: s3.Server, filled: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second does all it does before the n-th change of the first, for every n."""
    exports = {"first": on_disk(filled / "votes"), "second": on_disk(filled / "two")}
    monkeypatch.setattr(publish_remote, "_REQUESTS", 1)
    winners: list[str] = []
    won: set[str] = set()
    driven: list[str] = []

    def drive(name: str, folder: Path, cache: str) -> None:
        with monkeypatch.context() as patched:
            patched.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
            driven.append(name)  # the second begins after the first
            try:
                publish(folder)
                winners.append(name)
            except TryLater as later:
                assert later.message.startswith("Another process")  # noqa: PT017

    for number in range(1, 1000, 3 if first_there else 1):
        server.bucket().clear()
        if first_there:
            publish(filled / "compact")
        winners.clear()
        with monkeypatch.context() as patched:
            _at_change(patched, number, lambda: drive("second", filled / "two", "other machine"))
            drive("first", filled / "votes", "this machine")
        assert len(winners) == 1
        assert in_bucket(server) == exports[winners[0]]
        won.add(winners[0])
        if driven[-1] != "second":  # the first had no n-th change
            break
    assert won == {"first", "second"}
    assert number > 20


def test_forgetting_reaches_exports_in_buckets(
    server: s3.Server, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    several, one = f"{OUT}/two", f"{OUT}-kto"
    assert run(["export", several, "--store", str(store), "--format", "pairs,kto", "--rule", "votes", "-q"]) == 0
    assert run(["export", one, "--store", str(store), "--format", "kto", "-q"]) == 0
    assert {key.split("/")[1] for key in holding(server)} == {"out", "out-kto"}
    server.expired = True
    assert run(["forget", "--author", "Alice", "--store", str(store), "--json"]) == 3
    waited = json.loads(capsys.readouterr().out)["exports"]
    assert {(export["path"], export["outcome"]) for export in waited} == {(several, "failed"), (one, "failed")}
    assert run(["status", "--store", str(store), "-q"]) == 3
    server.expired = False
    # A driver that was killed had written files and never claimed the place.
    server.bucket()["exports/out-kto/.shp-miner.new/x/a"] = SECRET.encode()
    assert run(["forget", "--store", str(store), "--author", "Alice", "-q"]) == 0
    assert not holding(server)
    assert run(["check", several, "-q"]) == run(["check", one, "-q"]) == 0
    assert run(["status", "--store", str(store), "-q"]) == 0


def test_faults_in_the_middle_end_with_their_exit_code_and_a_second_run_with_the_same_bytes(
    server: s3.Server, filled: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", OUT, "--store", str(store), "--format", "pairs,kto", "--replace", "-q"]

    def expire() -> None:
        server.expired = True

    for number in (4, 12):  # while files are written, and while they take their places
        with monkeypatch.context() as patched:
            _at_change(patched, number, expire)
            assert run(command) == 4
        server.expired = False
        server.faults = [s3.Fault(status=503, times=2), s3.Fault(status=200, slow_s=0.05, times=2)]
        assert run(command) == 0
        assert in_bucket(server) == on_disk(filled / "two")
        server.bucket().clear()
    words = capsys.readouterr().err
    assert "have expired" in words
    assert "SECRET" not in words
    server.ignores_create_only = True
    assert run(command) == 5
    assert "would lose data" in capsys.readouterr().err
    assert not server.bucket()


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_an_export_in_a_bucket_is_pushed(server: s3.Server, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(filled / "compact")
    with serving() as hub:
        _as(hub, monkeypatch)
        push(OUT, "alice/pairs")
        [repo] = hub.repos.values()
        sent = repo.commits[repo.branches["main"]].tree
        _http.close_session()
    written = {path: sha256(data).hexdigest() for path, data in on_disk(filled / "compact").items()}
    assert {path: file.sha256 for path, file in sent.items() if file.sha256} == {
        path: digest for path, digest in written.items() if path.endswith(".parquet")
    }
