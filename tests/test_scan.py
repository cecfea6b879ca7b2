"""Reading an export: only what is asked for, into every kind of frame, the same rows everywhere."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from datasets import Dataset, load_dataset

import shp_miner
from shp_miner import BadInput, UsageError, export_dataset, import_dump
from shp_miner.export.spooled import spooled_table

from .build import thread, write_month
from .test_export import cut_small


@pytest.fixture
def out(tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An export of two communities and all splits; its row groups have 20 rows at most."""
    cut_small(monkeypatch)
    records = [
        record
        for i in range(40)
        for record in thread(
            f"p{i}",
            [2 + (i * 7 + k * k * 5) % 23 for k in range(2 + i % 5)],
            subreddit="AskTest" if i % 3 else "AskMore",
        )
    ]
    import_dump("reddit-dump", write_month(tmp_path / "dumps", records), tmp_path / "store", now=now)
    export_dataset(tmp_path / "store", tmp_path / "out", validation=0.2, test=0.2)
    return tmp_path / "out"


def files_of(out: Path) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = json.loads((out / "manifest.json").read_text())["files"]
    return files


def test_every_kind_of_frame_has_the_same_rows(out: Path) -> None:
    scanned = shp_miner.scan(out)
    expected = shp_miner.load(out).to_polars()
    assert len(scanned) == expected.height == sum(file["rows"] for file in files_of(out)) > 50
    assert scanned.to_polars().equals(expected)
    assert scanned.lazy().collect().equals(expected)
    assert isinstance(scanned.to_datasets(), Dataset)
    assert scanned.to_datasets().to_polars().equals(expected)
    assert scanned.to_pandas()["pair_id"].tolist() == expected["pair_id"].to_list()
    assert pl.concat([pl.from_arrow(batch) for batch in scanned.batches(7)]).equals(expected)  # type: ignore[misc]
    assert max(batch.num_rows for batch in scanned.batches(7)) == 7
    loaded = load_dataset(str(out))
    both = pl.concat([loaded[split].to_polars() for split in loaded])
    assert both.sort("pair_id").equals(expected.sort("pair_id"))


@pytest.mark.parametrize("community", ["asktest", "AskTest", ["r/AskTest"], ["asktest", "askmore"], "all", None])
def test_filters_keep_the_rows_that_they_say(community: Any, out: Path) -> None:
    everything = shp_miner.load(out).to_polars()
    names = ["asktest"] if community not in (["asktest", "askmore"], "all", None) else ["asktest", "askmore"]
    sure = float(everything["confidence"].median() or 0)
    expected = everything.filter(
        pl.col("community").is_in(names), pl.col("tier") == "strict", pl.col("confidence") >= sure
    ).select("pair_id", "confidence")
    chosen = {"tier": "strict", "min_confidence": sure, "columns": ["pair_id", "confidence"]}
    scanned = shp_miner.scan(out, community, **chosen)
    assert 0 < expected.height < everything.height
    for frame in (scanned.to_polars(), shp_miner.load(out, community, **chosen).to_polars()):
        assert frame.sort("pair_id").equals(expected.sort("pair_id"))
    assert len(scanned) == expected.height


def test_one_split_is_read_without_the_files_of_the_others(out: Path) -> None:
    whole = shp_miner.load(out, split="test").to_polars()
    for file in files_of(out):
        if file["split"] != "test":
            (out / file["path"]).write_bytes(b"not Parquet")
    scanned = shp_miner.scan(out, split="test")
    assert scanned.to_polars().equals(whole)
    assert shp_miner.load(out, split="test").to_polars().equals(whole)
    with pytest.raises(BadInput, match="is damaged"):
        shp_miner.load(out, split="train")
    for file in files_of(out):
        if file["split"] != "test":
            (out / file["path"]).unlink()
    assert shp_miner.load(out, "asktest", split="test").num_rows == len(shp_miner.scan(out, "asktest", split="test"))
    with pytest.raises(BadInput, match="does not have the file"):
        shp_miner.scan(out)


def test_filters_reach_the_reader(out: Path) -> None:
    scanned = shp_miner.scan(out, min_confidence=0.8, columns="pair_id")
    plan = scanned.lazy().explain()
    assert "SELECTION" in plan
    assert "question" not in plan
    most = shp_miner.load(out).to_polars()["confidence"].max()
    assert isinstance(most, float)
    counts = [
        len(known._row_groups(known.paths))
        for known in (shp_miner.scan(out, min_confidence=at_least) for at_least in (1, most, 0))
    ]
    assert 0 == counts[0] < counts[1] < counts[2]
    assert len(shp_miner.scan(out, min_confidence=1)) == shp_miner.load(out, min_confidence=1).num_rows == 0


def test_a_scan_says_what_it_is(out: Path) -> None:
    assert repr(shp_miner.scan(out, "asktest", split="test", tier="strict", columns="answer1")) == (
        f"Scan({str(out)!r}: {shp_miner.load(out, 'asktest', split='test').num_rows} rows in 1 files; asktest; test; "
        "tier strict; columns answer1)"
    )
    assert "2 communities; train+validation+test" in repr(shp_miner.scan(out))
    assert "<table" in shp_miner.scan(out)._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tier": "strong"}, "There is no tier 'strong'"),
        ({"min_confidence": 2}, "not a probability"),
        ({"min_confidence": float("nan")}, "not a finite number"),
        ({"columns": "awnser1"}, "has no column 'awnser1'"),
        ({"split": "dev"}, "has no rows in the split dev"),
        ({"community": ["nobody", "none"]}, "has no rows of nobody, none"),
        ({"format": "kto"}, "has no format 'kto'"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], message: str, out: Path) -> None:
    for read in (shp_miner.scan, shp_miner.load):
        with pytest.raises(UsageError, match=message):
            read(out, **arguments)


def test_a_format_without_confidence_cannot_be_filtered_by_it(out: Path, tmp_path: Path) -> None:
    export_dataset(tmp_path / "store", tmp_path / "kto", format="kto")
    with pytest.raises(UsageError, match="has no column confidence"):
        shp_miner.scan(tmp_path / "kto", min_confidence=0.9)


# -- large tables -----------------------------------------------------------------------------------------------------


def test_a_large_table_is_mapped_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    schema = pa.schema([("text", pa.string())])
    batches = [pa.record_batch([pa.array([f"{n}" * 5_000] * 100)], schema=schema) for n in range(8)]
    before = pa.total_allocated_bytes()
    table = spooled_table(iter(batches), schema, in_memory=1_000_000)
    assert table.equals(pa.Table.from_batches(batches))
    assert pa.total_allocated_bytes() - before < 1_000_000
    assert not list(tmp_path.iterdir())
    assert spooled_table([], schema).num_rows == 0
    assert Dataset(table)[-1]["text"] == "7" * 5_000


# -- torch ------------------------------------------------------------------------------------------------------------


@dataclass
class Worker:
    id: int
    num_workers: int


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.SimpleNamespace]:
    """What `to_torch` uses of torch; the real one is tried by the slow test."""
    data = types.ModuleType("torch.utils.data")
    state = types.SimpleNamespace(worker=None)
    data.IterableDataset = type("IterableDataset", (), {})  # type: ignore[attr-defined]
    data.get_worker_info = lambda: state.worker  # type: ignore[attr-defined]
    for name in ("torch", "torch.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "torch.utils.data", data)
    monkeypatch.delitem(sys.modules, "shp_miner.export.torched", raising=False)
    yield state
    sys.modules.pop("shp_miner.export.torched", None)


def test_workers_of_torch_share_the_rows(out: Path, torch: types.SimpleNamespace) -> None:
    scanned = shp_miner.scan(out, split="train", min_confidence=0.6)
    rows = scanned.to_torch()
    expected = scanned.to_polars()["pair_id"].to_list()
    assert [row["pair_id"] for row in rows] == expected
    shares = []
    for number in range(3):
        torch.worker = Worker(number, 3)
        shares.append([row["pair_id"] for row in rows])
    assert sorted(row for share in shares for row in share) == sorted(expected)
    assert all(shares)


def test_without_torch_the_extra_is_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "torch.utils.data", None)
    with pytest.raises(UsageError, match="needs torch") as raised:
        shp_miner.scan(out).to_torch()
    assert "shp-miner[train]" in raised.value.hint


def test_reading_imports_no_large_library(out: Path) -> None:
    lines = f"""
import sys, shp_miner
shp_miner.scan({str(out)!r}).to_polars()
print({{"torch", "datasets", "transformers", "huggingface_hub"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
def test_a_dataloader_of_torch_reads_every_row_once(out: Path) -> None:
    data = pytest.importorskip("torch.utils.data", reason="install the extra `train`")
    scanned = shp_miner.scan(out, columns=["pair_id", "score1"])
    rows = scanned.to_torch()
    assert pickle.loads(pickle.dumps(rows)).scanned.files == scanned.files
    read = [row["pair_id"] for row in data.DataLoader(rows, batch_size=None, num_workers=2)]
    assert sorted(read) == sorted(scanned.to_polars()["pair_id"])
