"""Engines: a killed driver goes on where it was, and another cluster runs the same tasks with the same bytes."""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from shp_miner.clean.cleaning import clean_profile
from shp_miner.dumps import importing
from shp_miner.dumps.importing import import_dump
from shp_miner.engine import Means, Threads, commands, kept
from shp_miner.engine.kept import Kept
from shp_miner.engine.outcome import Outcome, opened, packed, result_of, sealed
from shp_miner.errors import BadInput, TryLater, UsageError
from shp_miner.export import cuts, dataset, runs
from shp_miner.export.dataset import export_dataset
from shp_miner.health.repair import look, repair
from shp_miner.paths import expanded

from . import s3
from .build import thread, tree, write_dump
from .conftest import NOW, ROOT
from .engine_tasks import dies, dies_once, double
from .killing import killed

#: Stands for Slurm: runs the tasks of an array one after the other, as `sbatch --wait` does on a cluster.
SBATCH = f"""#!{sys.executable}
import os, re, subprocess, sys
print("7;cluster", flush=True)
(array,) = [word for word in sys.argv if word.startswith("--array=")]
for number in re.findall(r"[0-9]+", array.partition("%")[0]):
    subprocess.run(sys.argv[-1], shell=True, env=os.environ | {{"SLURM_ARRAY_TASK_ID": number}})
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text(SBATCH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the results that were made in this process."""
    names: list[str] = []
    real = kept.run_kept

    def noting(job: Any, advance: Any) -> Any:
        names.append(job.path.name)
        return real(job, advance)

    monkeypatch.setattr(kept, "run_kept", noting)
    return names


def results(folder: Path) -> set[str]:
    """The names of the results that a killed process left."""
    return {path.name for path in folder.rglob("results/*")}


def count_tasks(names: Iterable[str]) -> Counter[str]:
    """Count results by task, without those of a fit: a store keeps it, so it is made once."""
    return Counter(task for name in names if (task := name.partition("-")[0]) in ("mine_range", "write_groups"))


def dumps(folder: Path) -> list[Path]:
    names = [f"RS_2024-0{month}.ndjson" for month in (1, 2, 3)]
    for number, name in enumerate(names):
        records = [record for i in range(60) for record in thread(f"p{number}x{i}", (3, 9, 5, 2, 7))]
        if not (folder / name).exists():
            write_dump(folder / name, records)
    return [folder / name for name in names]


def import_months(folder: Path, **how: Any) -> Any:
    importing.import_jobs.__globals__["_SHARED_FILE_BYTES"] = 1
    return import_dump("reddit-dump", dumps(folder), folder / "store", now=NOW, workers=1, **how)


def export(folder: Path, rule: str = "votes", **how: Any) -> None:
    dataset.ROWS_PER_RANGE = 200
    export_dataset(folder / "store", folder / "out", rule=rule, formats=["pairs", "kto"], **({"workers": 1} | how))


@pytest.fixture
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `export` and `import_months` change their constants for one test only."""
    monkeypatch.setattr(dataset, "ROWS_PER_RANGE", dataset.ROWS_PER_RANGE)
    names = importing.import_jobs.__globals__
    monkeypatch.setitem(names, "_SHARED_FILE_BYTES", names["_SHARED_FILE_BYTES"])


def test_a_killed_driver_goes_on_where_it_was_with_the_same_bytes(
    tmp_path: Path, small_tasks: None, ran: list[str]
) -> None:
    import_months(tmp_path)
    export(tmp_path)
    whole, beside = tree(tmp_path / "out"), set(tmp_path.iterdir())
    made, ran[:] = list(ran), []
    for moment in ("shp_miner.export.tasks:write_piece before 4", "shp_miner.export.dataset:card_text before 2"):
        killed(export, tmp_path, moment)
        left = results(tmp_path / "out")
        assert left
        export(tmp_path)
        assert not left & set(ran)
        assert count_tasks(left | set(ran)) == count_tasks(made)
        assert tree(tmp_path / "out") == whole
        assert set(tmp_path.iterdir()) == beside
        ran.clear()
    killed(export, tmp_path, "shp_miner.export.dataset:card_text before 1")
    left = results(tmp_path / "out")
    export(tmp_path, rule="older-winner", replace=True)  # another plan: nothing of the killed run is used
    assert not left & set(ran)
    assert not results(tmp_path / "out")


def test_a_killed_import_reads_only_the_files_that_it_had_not_read(
    tmp_path: Path, small_tasks: None, ran: list[str]
) -> None:
    killed(import_months, tmp_path, "shp_miner.dumps.importing:commit after 2")
    assert len(results(tmp_path)) == 1
    assert [found.sentence() for found in look(tmp_path / "store") if "importing" in found.sentence()]
    imported = import_months(tmp_path)
    assert len(ran) == 2
    assert imported.tally.read == {"post": 180, "answer": 900}
    assert not (tmp_path / "store" / "importing").exists()


def test_doctor_deletes_the_results_of_a_killed_import(tmp_path: Path, small_tasks: None, ran: list[str]) -> None:
    killed(import_months, tmp_path, "shp_miner.dumps.importing:commit after 2")
    assert any("A killed import left" in found.sentence() for found in repair(tmp_path / "store"))
    assert not (tmp_path / "store" / "importing").exists()
    assert not list((tmp_path / "store" / "locks").glob("import-*"))
    import_months(tmp_path)
    assert len(ran) == 3


def test_two_imports_of_the_same_files_at_once_do_not_share_results(
    tmp_path: Path, small_tasks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, found = [], []
    real = importing.commit

    def meanwhile(*given: Any) -> None:
        real(*given)
        found.extend(fault for fault in look(tmp_path / "store") if "importing" in fault.sentence())
        with pytest.raises(TryLater, match="has an import of these files already: importing") as error:
            import_months(tmp_path)
        refused.append(error.value.exit_code)

    monkeypatch.setattr(importing, "commit", meanwhile)
    assert import_months(tmp_path).tally.read == {"post": 180, "answer": 900}
    assert refused == [75, 75, 75]
    assert not found
    assert not (tmp_path / "store" / "importing").exists()
    assert not list((tmp_path / "store" / "locks").glob("import-*"))


def test_one_community_with_most_of_the_data_is_written_by_many_tasks_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: list[str]
) -> None:
    records = [
        record
        for number in range(300)
        for record in thread(
            f"p{number}",
            range(2, 90 if number == 7 else 8),
            subreddit="small" if number % 10 == 0 else "large",
        )
    ]
    for record in records:
        record["created_utc"] += int(re.findall("[0-9]+", record["id"])[0]) * 5_000
    write_dump(tmp_path / "RS_2024-01.ndjson", records)
    import_dump("reddit-dump", tmp_path / "RS_2024-01.ndjson", tmp_path / "store", now=NOW)
    small = {"FILE_LEAST": 150, "FILE_MEAN": 50, "FILE_MOST": 400, "GROUP_LEAST": 20, "GROUP_MEAN": 20}
    for name, value in small.items():
        monkeypatch.setattr(cuts, name, value)
    monkeypatch.setattr(dataset, "WINDOW_BYTES", 8_000)
    how = {"rule": "votes", "test": 0.0, "validation": 0.0}
    for formats, layout in (("pairs", "kto"), "joined"), (("pairs",), "compact"):
        trees, writers = [], []
        for large in (1 << 60, 2):
            monkeypatch.setattr(runs, "LARGE", large)
            monkeypatch.setattr(runs, "LARGE_COMPACT", large)
            out = tmp_path / f"out{layout}{large}"
            export_dataset(tmp_path / "store", out, formats=formats, layout=layout, **how)
            trees.append(tree(out))
            writers.append(sum(name.startswith("write_groups") for name in ran))
            ran.clear()
        assert trees[0] == trees[1]
        files = sum(name.endswith(".parquet") for name in trees[0])
        assert (writers[0], writers[1]) == (2 * len(formats), files)
        assert files > 20


def test_slurm_runs_an_array_in_order_submits_lost_tasks_again_and_passes_errors_on(
    slurm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    with s3.running() as server, Means(engine="slurm").cluster(expanded("s3://bucket/work"), 1) as engine:
        s3.credentials(monkeypatch, server.port)
        assert list(engine.run(double, [3], steps.append)) == [6]
        steps.clear()
    with Means(engine="slurm").cluster(tmp_path, 1) as engine:
        assert list(engine.run(double, [3, 1, 2], steps.append)) == [6, 2, 4]
        assert sum(steps) == 6
        assert list(engine.run(dies_once, [tmp_path / "a", tmp_path / "b"], steps.append)) == ["a", "b"]
        with pytest.raises(BadInput, match="Thirteen"):
            list(engine.run(double, [1, 13], steps.append))
        with pytest.raises(TryLater, match="ended tasks 3 times"):
            list(engine.run(dies, [1], steps.append))


class _Bomb:
    """What whoever may write to the folder would put there: reading it as a pickle makes a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._file,)


def test_foreign_and_damaged_results_and_jobs_are_refused_and_run_no_code(tmp_path: Path) -> None:
    results, ran = tmp_path / "results", tmp_path / "ran"
    bomb = pickle.dumps(_Bomb(ran))
    numbers = list(Kept(Threads(1), results).run(double, [3, 1], print))
    assert numbers == list(Kept(Threads(1), results).run(double, [3, 1], print)) == [6, 2]
    kept_one = sorted(results.iterdir())[0]
    whole = kept_one.read_bytes()
    of_other_type = sealed(Outcome(1, 0, packed({"a": 1})))
    for data in (bomb, b"", whole[:-1], whole[:30] + bytes([whole[30] ^ 1]) + whole[31:], of_other_type):
        kept_one.write_bytes(data)
        with pytest.raises(BadInput, match=r"not (the result of a task|what it gives)"):
            list(Kept(Threads(1), results).run(double, [3, 1], print))
    (tmp_path / "a.job").write_bytes(bomb)
    commands.run_job(tmp_path, "a")
    with pytest.raises(BadInput, match="was changed after it was written"):
        result_of(opened(tmp_path / "a.outcome"), double)
    assert not ran.exists()
    pickle.loads(bomb)
    assert ran.exists()  # so the test would have seen it


def test_slurm_gives_the_same_bytes(slurm: None, tmp_path: Path) -> None:
    import_dump("reddit-dump", dumps(tmp_path)[:1], tmp_path / "store", now=NOW, workers=1)
    trees = []
    for engine in ("local", "slurm"):
        export_dataset(tmp_path / "store", tmp_path / engine, rule="older-winner", engine=engine)
        trees.append(tree(tmp_path / engine))
    assert trees[0] == trees[1]


class Here:
    """A cluster that is this process: it shares the bucket with itself, and starts no Python for each task."""

    most = 1000

    def start(self, command: Sequence[str], jobs: Sequence[str], folder: Path) -> Here:
        for job in jobs:
            commands.run_job(expanded(command[-1]), job)
        return self

    def is_over(self, within_s: float) -> bool:
        return True

    def cancel(self) -> None:
        pass


@pytest.mark.parametrize(
    "engine", ["here", pytest.param("slurm", marks=pytest.mark.slow), pytest.param("ray", marks=pytest.mark.slow)]
)
def test_a_cluster_cleans_in_a_bucket_with_the_bytes_of_a_disk(
    engine: str, slurm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers share the bucket alone: store, near-equal texts, quotas and evaluation items lie there."""
    if engine == "ray":
        pytest.importorskip("ray")
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("a" * 64)  # of another cluster, and Ray is imported here already
    if engine == "here":
        monkeypatch.setattr(Means, "cluster", lambda _, folder, __: commands.Commands(Here(), folder / "here"))
    words = "how to write the statement of a thesis that nobody else has read before the day it is due"
    records = [record for n in range(40) for record in thread(f"p{n}", (3, 9, 5, 2))]
    for record in records:
        number = int(re.findall("[0-9]+", record["id"])[0])
        record["author"] = f"writer{number % 7}{record['id'][-2:]}"
        if record["id"].endswith("c1"):  # near-equal ones, and two that hold an item of the evaluation set
            record["body"] = f"{words if number < 2 else ' '.join(words.split()[::-1])}, and more of it {number % 3}."
    write_dump(tmp_path / "RS_2024-01.ndjson", records)
    (tmp_path / "exam.jsonl").write_text(json.dumps({"question": words}))
    clean = clean_profile("standard", near_duplicates="together", max_pairs_per_author=3)
    monkeypatch.setattr(dataset, "ROWS_PER_RANGE", 150)
    with s3.running() as server:
        s3.credentials(monkeypatch, server.port)
        trees = []
        for folder, name in ((tmp_path, "local"), (expanded("s3://bucket/x"), "slurm" if engine == "here" else engine)):
            import_dump("reddit-dump", tmp_path / "RS_2024-01.ndjson", folder / "store", now=NOW, engine=name)
            done = export_dataset(
                folder / "store",
                folder / "out",
                rule="votes",
                clean=clean,
                decontaminate=tmp_path / "exam.jsonl",
                engine=name,
            )
            trees.append(tree(folder / "out"))
        assert trees[0] == trees[1]
        assert not [key for key in server.bucket() if not key.startswith(("x/store/", "x/out/")) or "/.shp" in key]
    dropped = done.tally.dropped
    assert dropped["paired answer", "in_evaluation_set"]
    assert dropped["pair", "over_author_pairs"]


def test_wrong_engines_are_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no engine 'rey'") as unknown:
        export_dataset(tmp_path / "store", tmp_path / "out", engine="rey")
    assert unknown.value.hint == "Did you mean 'ray'?"
    with pytest.raises(UsageError, match="takes no address"):
        import_dump("threads", "x", tmp_path / "store", address="10.0.0.1:6379")
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        Means(engine="ray").cluster(tmp_path, 1) as engine,
        pytest.raises(UsageError, match="not installed") as missing,
    ):
        list(engine.run(double, [1], print))
    assert "shp-miner[ray]" in missing.value.hint
    monkeypatch.setenv("PATH", str(tmp_path))
    with Means(engine="slurm").cluster(tmp_path, 1) as engine, pytest.raises(UsageError, match="sbatch"):
        list(engine.run(double, [1], print))
