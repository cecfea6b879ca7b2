"""What dry runs say of time, memory, space and requests, held against what the work then takes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from shp_miner import export_dataset, import_dump
from shp_miner.cli import run
from shp_miner.dumps.estimate import estimate_import
from shp_miner.export.dataset import TASK_BYTES
from shp_miner.export.dry_run import estimate
from shp_miner.paths import expanded
from shp_miner.store import Store

from . import s3
from .build import comment, submission, write_dump
from .stackexchange_dump import archive, long_members
from .test_lake import URL, dump, server

__all__ = ["server"]


def test_an_import_takes_what_its_dry_run_says(server: s3.Server, tmp_path: Path) -> None:
    files = dump(tmp_path)
    found = estimate_import("reddit-dump", files, URL)
    assert server.bucket() == {}
    server.asked.clear()
    done = import_dump("reddit-dump", files, URL)
    assert done.tally.read == {"post": found.posts, "answer": found.answers}
    assert found.bytes == found.probed_bytes == sum(file.stat().st_size for file in files)
    assert 0.5 < found.requests / len(server.asked) < 2
    stored = sum(Store(URL).snapshot().size_bytes(name) for name in ("posts", "answers"))
    assert 0.5 < found.store_bytes / stored < 2
    assert 0 < found.seconds <= found.cpu_s
    export_dataset(URL, tmp_path / "first")  # fits are kept
    server.asked.clear()
    counted = estimate(URL)
    work = counted.work
    assert work is not None
    export_dataset(URL, tmp_path / "out")
    assert 0.3 < work.requests / (len(server.asked) / 2) < 3
    written = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.parquet"))
    assert written < work.temporary_bytes
    assert (work.tasks, work.workers) == (2, 1)  # one mines, one writes
    import_dump("reddit-dump", files, tmp_path / "first store")
    how = {"formats": ["pairs", "kto"], "keep_dropped": tmp_path / "dropped"}
    server.asked.clear()
    told = estimate(URL, out=expanded("s3://bucket/out"), engine="slurm", workers=3, **how).work
    assert told is not None
    assert not [key for method, key in server.asked if key.startswith("out/") and method != "GET"]
    server.asked.clear()
    export_dataset(tmp_path / "first store", "s3://bucket/out", **how)
    of_out = len([key for _, key in server.asked])
    assert 0.3 < (told.requests - work.requests) / of_out < 3
    assert (told.tasks, told.workers, told.memory_bytes) == (3, 3, 3 * TASK_BYTES)
    assert told.temporary_bytes > work.temporary_bytes


def test_a_probe_ends_early_and_is_scaled_up(tmp_path: Path) -> None:
    dice = Random(1)
    posts = [submission(f"p{number}", selftext=dice.randbytes(500).hex()) for number in range(6000)]
    answers = [comment(f"a{number}", f"p{number}", body=dice.randbytes(500).hex()) for number in range(6000)]
    files = [write_dump(tmp_path / name, rows) for name, rows in (("RS_1.gz", posts), ("RC_1.gz", answers))]
    found = estimate_import("reddit-dump", files, tmp_path / "store", probe_s=0.0)
    whole = estimate_import("reddit-dump", files, tmp_path / "store", probe_s=600)
    assert (whole.posts, whole.answers) == (6000, 6000)
    assert found.bytes == whole.bytes == whole.probed_bytes
    assert whole.cpu_s / 5 < found.cpu_s < 5 * whole.cpu_s
    assert not (tmp_path / "store").exists()


def test_a_dry_run_of_tables_and_of_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    posts = [f"{n},Why {n}?,Because it is so.,2024-01-02 10:00,12,general" for n in range(300)]
    answers = [f"{n}x{m},{n},Yes of course.,2024-01-03 10:00,{m}" for n in range(300) for m in range(4)]
    tables = (
        ("posts.csv", "id,title,body,date,score,community", posts),
        ("answers.csv", "id,post,text,date,score", answers),
    )
    for name, header, rows in tables:
        Path(name).write_text("\n".join([header, *rows, ""]))
    Path("map.toml").write_text(
        """site = "forum.example"
zone = "UTC"
posts = {post_id = "id", title = "title", body = "body", created_at = "date", score = "score", community = "community"}
answers = {answer_id = "id", post_id = "post", body = "text", created_at = "date", score = "score"}
"""
    )
    words = ["import", "table", "posts.csv", "answers.csv", "--map", "map.toml"]
    assert run([*words, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["posts"], told["answers"], told["tasks"]) == (300, 1200, 1)
    assert run([*words, "--dry-run"]) == 0
    assert "--map map.toml" in capsys.readouterr().out
    assert not Path("data").exists()

    packed = archive(tmp_path / "a.meta.stackexchange.com.7z", long_members(200))
    found = estimate_import("stackexchange-dump", packed, tmp_path / "store")
    posts_bytes = len(long_members(200)["Posts.xml"])
    assert 0.9 < found.temporary_bytes / (posts_bytes / 4) < 1.1
    assert found.posts


def test_dry_runs_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(file) for file in dump(tmp_path)]
    assert run(["import", "reddit-dump", *files, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["dry_run"], told["posts"], told["requests"]) == (True, 40, 0)
    assert run(["import", *files, "--dry-run"]) == 0
    assert "nothing is written" in capsys.readouterr().out
    assert not Path("data").exists()
    assert run(["import", "reddit-dump", "-", "--dry-run"]) == 2
    assert run(["import", "reddit-dump", *files, "-q"]) == 0
    assert run(["export", "out", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["work"]["tasks"] == 2
