"""What machines do: a full disk, a killed process, Ctrl-C. Nothing half-written is ever left behind."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from shp_miner import BadInput, TryLater, clean_profile, export_dataset, import_dump, load
from shp_miner.cli import run
from shp_miner.store import HashRange, Store
from shp_miner.store.runs import Runs

from .build import comment, thread, tree, write_dump, write_month

WHOLE = HashRange(-(1 << 63), 1 << 63)


def noise(seed: int, length: int) -> str:
    return f"{random.Random(seed).getrandbits(length * 4):x}"


def big_records(count: int) -> list[dict[str, object]]:
    """Threads whose text does not compress."""
    records = []
    for i in range(count):
        records += [
            {**record, **({"body": noise(i * 10 + k, 2000)} if "body" in record else {})}
            for k, record in enumerate(thread(f"p{i}"))
        ]
    return records


def test_an_import_that_fills_the_disk_says_so_and_leaves_a_sound_store(
    small_disk: Path, tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shp_miner.store.lake.ROWS_PER_COMMIT", 1)
    monkeypatch.setattr("shp_miner.platforms.rows.ROWS_PER_CHUNK", 100)
    store = small_disk / "store"
    import_dump("reddit-dump", write_month(tmp_path / "first", big_records(20)), store, now=now)
    before = Store(store).snapshot().answers(WHOLE)[0].height
    assert before == 60
    huge = write_month(tmp_path / "huge", big_records(1500))
    with pytest.raises(TryLater) as caught:
        import_dump("reddit-dump", huge, store, now=now)
    assert "No space is left on the disk" in caught.value.message
    assert caught.value.exit_code == 75
    after = Store(store).snapshot().answers(WHOLE)[0]
    assert after.height >= before
    assert after.null_count().select("answer_id", "score").row(0) == (0, 0)


def test_an_export_that_fills_the_disk_leaves_the_earlier_one(
    small_disk: Path, tmp_path: Path, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small"
    import_dump("reddit-dump", write_month(tmp_path / "a", big_records(10)), small, now=now)
    export_dataset(small, small_disk / "out")
    before = tree(small_disk)
    big = tmp_path / "big"
    import_dump("reddit-dump", write_month(tmp_path / "b", big_records(1000)), big, now=now)
    assert run(["export", str(small_disk / "out"), "--store", str(big)]) == 75
    assert "No space is left on the disk" in capsys.readouterr().err
    assert tree(small_disk) == before

    # Rows that are left out appear with the export or not at all, whichever of the two disks is full.
    clean, rows = clean_profile(bots=["~^[0-7]"]), small_disk / "rows"
    export_dataset(small, tmp_path / "other", clean=clean, keep_dropped=rows)
    (rows / "answers" / "000007.parquet").write_bytes(b"of an export of more ranges")
    (small_disk / "ballast").write_bytes(bytes(2_000_000))

    def seen() -> dict[str, bytes]:
        return {name: data for name, data in tree(tmp_path).items() if not name.startswith("big/exports")}

    before = seen()
    for out, kept in (("other", rows), ("disk/out", tmp_path / "rows")):
        with pytest.raises(TryLater):
            export_dataset(big, tmp_path / out, clean=clean, keep_dropped=kept, replace=True)
        assert seen() == before
    (small_disk / "ballast").unlink()
    export_dataset(big, tmp_path / "other", clean=clean, keep_dropped=rows, replace=True)
    assert [path.name for path in sorted((rows / "answers").iterdir())] == ["000000.parquet"]


PROGRAM = """
import sys
from shp_miner.cli import main
import shp_miner.store.lake as lake, shp_miner.platforms.rows as rows
lake.ROWS_PER_COMMIT = 300
rows.ROWS_PER_CHUNK = 300
print("started", flush=True)
main(sys.argv[1:])
"""


def started(*arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    records = [record for i in range(1200) for record in thread(f"p{i}", (3, 9, 5, 2, 7))]
    return write_month(tmp_path_factory.mktemp("many"), records)


def test_an_import_killed_at_any_moment_goes_on_to_the_same_export(
    many: list[Path], tmp_path: Path, now: datetime
) -> None:
    import_dump("reddit-dump", many, tmp_path / "calm", now=now)
    export_dataset(tmp_path / "calm", tmp_path / "expected")
    rng = random.Random(1)
    store = tmp_path / "store"
    seen = 0
    for attempt in range(6):
        process = started("import", "reddit-dump", *map(str, many), "--store", str(store))
        if attempt >= 3:  # at whatever speed this machine starts, some are to be killed in the middle
            deadline = time.monotonic() + 30
            first = store / "answers" / "_delta_log" / "00000000000000000001.json"
            while not first.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.5))
        process.kill()
        process.communicate()
        if Store(store).exists:
            rows = Store(store).snapshot().answers(WHOLE)[0].height
            assert rows >= seen, "something acknowledged was lost"
            seen = rows
    assert seen > 0
    import_dump("reddit-dump", many, store, now=now)
    export_dataset(store, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(tmp_path / "expected")


def test_an_export_killed_at_any_moment_is_whole_or_absent(many: list[Path], tmp_path: Path, now: datetime) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    import_dump("reddit-dump", many, store, now=now)
    export_dataset(store, tmp_path / "expected", formats=["pairs", "trl"])
    expected = tree(tmp_path / "expected")
    rng = random.Random(2)
    for _ in range(6):
        process = started("export", str(out), "--store", str(store), "--format", "pairs", "--format", "trl")
        time.sleep(rng.uniform(0.1, 1.5))
        process.kill()
        process.communicate()
        here = tree(out)
        if any(name.startswith((".shp-miner.whole", ".shp-miner.moving")) for name in here):
            with pytest.raises(BadInput):  # not before it is completed
                load(out, format="pairs")
        else:
            assert {name: data for name, data in here.items() if not name.startswith(".")} in ({}, expected)
    assert run(["export", str(out), "--store", str(store), "--format", "pairs", "--format", "trl", "--quiet"]) == 0
    assert tree(out) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected", "out", "store"]


@pytest.mark.parametrize("options", [[], ["--community", "asktest"]], ids=["everything", "filtered"])
def test_ctrl_c_ends_in_one_sentence_and_keeps_what_is_committed(options: list[str], tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "RC", [comment(f"c{i}", f"p{i % 100}", body="x" * 400) for i in range(150_000)])
    store = tmp_path / "store"
    process = started("import", "reddit-dump", str(dump), "--store", str(store), *options)
    deadline = time.monotonic() + 30
    while not (store / "answers" / "_delta_log" / "00000000000000000002.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 3, errors
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    kept = Store(store).snapshot().answers(WHOLE)[0].height
    assert 0 < kept < 150_000
    assert list(store.iterdir())


def test_sqlite_on_a_full_disk_says_so_and_goes_on_when_there_is_space(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    sentence = re.escape(f"No space is left on the disk while writing to {small_disk / 'crawl.sqlite'}.")

    def filled(runs: Runs) -> None:
        for _ in range(1000):  # what was allotted to the file is used up first
            runs.end(1, 2, 0, {"said": noise(1, 2000)})

    with Runs(small_disk) as runs:
        assert runs.begin("first", 1) == 1
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))
        with pytest.raises(TryLater, match=sentence):
            filled(runs)
        ballast.unlink()
        runs.end(1, 3, 0, {"said": "done"})
    with Runs(small_disk) as runs:
        assert (runs.last(1)[0].ended_at, runs.last(1)[0].summary) == (3, {"said": "done"})
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))
    with pytest.raises(TryLater, match="No space is left on the disk"), Runs(small_disk) as runs:
        runs.begin("second", 4)


def test_a_store_on_a_read_only_disk_is_exported_and_nothing_else_is_done_to_it(
    small_disk: Path, tmp_path: Path, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    store = small_disk / "store"
    import_dump("reddit-dump", write_month(tmp_path / "dumps", thread("p1")), store, now=now)
    with Runs(store):
        pass  # makes crawl.sqlite
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    before = tree(small_disk)
    assert run(["export", str(tmp_path / "out"), "--store", str(store)]) == 0
    for words in (["recheck"], ["vacuum"], ["doctor", "--repair"], ["forget", "--author", "x@reddit.com"]):
        capsys.readouterr()
        assert run([*words, "--store", str(store)]) == 5
        said = capsys.readouterr().err
        assert "the file system is read-only" in said or "Permission was denied" in said, words
        assert "bug" not in said
        assert "aside" not in said, "it is not damaged"
    assert tree(small_disk) == before
