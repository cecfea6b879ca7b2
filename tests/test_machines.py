"""A driver that died goes on at another machine, which shares nothing with the first but the bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shp_miner import export_dataset, import_dump
from shp_miner.dumps import importing
from shp_miner.engine import local
from shp_miner.engine.choice import Means
from shp_miner.engine.local import Threads
from shp_miner.export import dataset
from shp_miner.paths import expanded
from shp_miner.places import machine

from . import s3
from .build import thread, tree, write_dump
from .conftest import NOW
from .killing import killed

DUMPS = [f"RS_2024-0{month}.ndjson" for month in (1, 2, 3)]


@pytest.fixture
def server() -> Iterator[s3.Server]:
    with s3.running() as server:
        yield server


def import_and_export(folder: Path) -> None:
    """Import and export as the driver of a cluster, at the machine whose files are in `folder`."""
    at(folder, pytest.MonkeyPatch())
    dumps = [f"s3://bucket/dumps/{name}" for name in DUMPS]
    import_dump("reddit-dump", dumps, "s3://bucket/store", now=NOW, engine="slurm")
    export(folder)


def export(folder: Path) -> None:
    """Export as the driver of a cluster, at the machine whose files are in `folder`."""
    at(folder, pytest.MonkeyPatch())
    export_dataset("s3://bucket/store", "s3://bucket/out", rule="votes", formats=["pairs", "kto"], engine="slurm")


def at(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Be a machine: its name, its start, its cores, and where its user and its caches are."""
    s3.credentials(patch, int((folder.parent / "port").read_text(encoding="ascii")))
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR"):
        patch.setenv(name, str(folder))
    patch.setattr("tempfile.tempdir", None)
    patch.chdir(folder)
    (folder / "boot").write_text(folder.name, encoding="ascii")
    patch.setattr(machine, "_BOOT", folder / "boot")
    patch.setattr("socket.gethostname", lambda: folder.name)
    patch.setattr(local, "cores", lambda: 1 + len(folder.name))
    patch.setattr(Means, "cluster", lambda *_: Threads(1))
    patch.setattr(dataset, "ROWS_PER_RANGE", 200)
    patch.setitem(importing.import_jobs.__globals__, "_SHARED_FILE_BYTES", 1)


def test_a_driver_at_another_machine_does_what_is_missing_and_has_the_same_bytes(
    server: s3.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(DUMPS):
        records = [record for i in range(60) for record in thread(f"p{number}x{i}", (3, 9, 5, 2, 7))]
        server.bucket()[f"dumps/{name}"] = write_dump(tmp_path / name, records).read_bytes()
    import_dump("reddit-dump", [tmp_path / name for name in DUMPS], tmp_path / "store", now=NOW)
    export_dataset(tmp_path / "store", tmp_path / "out", rule="votes", formats=["pairs", "kto"])
    (tmp_path / "port").write_text(str(server.port), encoding="ascii")
    drivers = [
        (import_and_export, "shp_miner.dumps.importing:commit after 2"),
        (import_and_export, "shp_miner.export.tasks:write_piece before 3"),
        (export, "shp_miner.export.tasks:write_shards before 2"),
        (export, "shp_miner.export.publish_remote:_complete before 1"),
    ]
    left: set[str] = set()
    for number, (work, moment) in enumerate(drivers):
        folder = tmp_path / ("machine" + "x" * number)
        folder.mkdir()
        killed(work, folder, moment)
        left |= new_results(server, left)
        server.now_s += 1_000  # nobody knows of a process elsewhere whether it lives, so its lease counts
    tasks = [key.rpartition("/")[2].partition("-")[0] for key in left]
    assert tasks.count("import_part") == len(DUMPS)
    assert tasks.count("mine_range") == tasks.count("measure_range") > 3
    s3.credentials(monkeypatch, server.port)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "last"))
    export_dataset("s3://bucket/store", "s3://bucket/out", rule="votes", formats=["pairs", "kto"])
    assert tree(expanded("s3://bucket/out")) == tree(tmp_path / "out")
    assert not [key for key in server.bucket() if "importing" in key or ".shp-miner" in key]


def new_results(server: s3.Server, left: set[str]) -> set[str]:
    """Return the results that were made since; none was there before, or was made twice."""
    made = [key for method, key in server.asked if method == "PUT" and key.endswith(".result")]
    server.asked.clear()
    assert made
    assert len(made) == len(left | set(made)) - len(left)
    return set(made)
