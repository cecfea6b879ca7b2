"""The compact layout: each text once, and joined it is the other layout to the last byte of a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from datasets import load_dataset

import shp_miner
from shp_miner import FORMATS, BadInput, UsageError, export_dataset, import_dump
from shp_miner.cli import run
from shp_miner.export import dataset
from shp_miner.export.compact import COMPACT
from shp_miner.show import rows as shown_rows

from .build import thread, tree, write_month
from .test_export import cut_small


def store_of(folder: Path) -> Path:
    """Two communities, all splits, threads of two to six answers; some texts are equal."""
    records = [
        record
        for i in range(40)
        for record in thread(
            f"p{i}",
            [2 + (i * 7 + k * k * 5) % 23 for k in range(2 + i % 5)],
            subreddit="AskTest" if i % 3 else "AskMore",
        )
    ]
    for record in records:
        if record["id"].endswith(("c1", "c3")):
            record["body"] = "The same.\nTwice | over."
    import_dump("reddit-dump", write_month(folder / "dumps", records), folder / "store")
    return folder / "store"


def both(folder: Path, form: str, **options: Any) -> tuple[Path, Path]:
    """An export in the joined and in the compact layout."""
    store = store_of(folder)
    shares = {"validation": 0.2, "test": 0.2, "rule": "votes"}
    export_dataset(store, folder / "joined", format=form, **shares, **options)
    export_dataset(store, folder / "compact", format=form, layout="compact", **shares, **options)
    return folder / "joined", folder / "compact"


def manifest_of(out: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return manifest


@pytest.mark.sampled(3)
@pytest.mark.parametrize("form", list(COMPACT))
@pytest.mark.parametrize("group_bytes", [1, 16_000_000])
def test_joined_they_are_the_same_rows(
    form: str, group_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A group by itself comes in windows; several are written together.
    monkeypatch.setattr(dataset, "WINDOW_BYTES", group_bytes)
    cut_small(monkeypatch)
    joined, compact = both(tmp_path, form)
    assert {"pairs", "posts", "answers"} <= {path.name for path in compact.iterdir()}
    expected = shp_miner.load(joined)
    table = expected.data.table
    scanned = shp_miner.scan(compact)
    assert len(scanned) == table.num_rows > 100
    assert scanned.to_arrow().equals(table)
    assert shp_miner.load(compact).data.table.equals(table)
    assert scanned.to_polars().equals(expected.to_polars())
    assert [row for number in (0, 1, 2) for batch in scanned.share(number, 3) for row in batch.to_pylist()]
    for name in FORMATS[form].schema.names:
        one = shp_miner.scan(compact, columns=name)
        assert one.to_arrow().equals(table.select([name]))
        assert one.to_polars().equals(expected.to_polars().select(name))
    chosen = {"community": "asktest", "split": "test"}
    assert shp_miner.scan(compact, **chosen).to_arrow().equals(shp_miner.load(joined, **chosen).data.table)


def test_filters_hold_in_the_compact_layout(tmp_path: Path) -> None:
    joined, compact = both(tmp_path, "pairs")
    filters = {"tier": "strict", "min_confidence": 0.7, "columns": ["answer2", "question", "score1"]}
    expected = shp_miner.scan(joined, **filters).to_arrow()
    scanned = shp_miner.scan(compact, **filters)
    assert 0 < len(scanned) == expected.num_rows < len(shp_miner.scan(joined))
    assert scanned.to_arrow().equals(expected)
    assert scanned.to_polars().equals(shp_miner.scan(joined, **filters).to_polars())


def test_each_text_is_written_once(tmp_path: Path) -> None:
    joined, compact = both(tmp_path, "pairs")
    rows = shp_miner.load(joined).to_polars()
    answers = pl.read_parquet(compact / "answers" / "*" / "*.parquet")
    posts = pl.read_parquet(compact / "posts" / "*" / "*.parquet")
    ids = pl.concat([rows["answer1_id"], rows["answer2_id"]])
    assert sorted(answers["answer_id"]) == sorted(ids.unique())
    assert sorted(posts["post_id"]) == sorted(rows["post_id"].unique())
    pairs = pl.read_parquet(compact / "pairs" / "*" / "*.parquet")
    assert pairs.columns[:4] == ["post_row", "answer1_row", "answer2_row", "preferred"]


def test_the_manifest_and_the_card_say_the_layout(tmp_path: Path) -> None:
    joined, compact = both(tmp_path, "pairs")
    assert "layout" not in manifest_of(joined)["configuration"]
    assert all("part" not in file for file in manifest_of(joined)["files"])
    manifest = manifest_of(compact)
    assert manifest["configuration"]["layout"] == "compact"
    assert manifest["rows"] == manifest_of(joined)["rows"]
    assert {file["part"] for file in manifest["files"]} == {"pairs", "posts", "answers"}
    assert {file["path"] for file in manifest["files"]} == {
        path.relative_to(compact).as_posix() for path in compact.rglob("*.parquet")
    }
    card = (compact / "README.md").read_text()
    assert 'shp_miner.load("PATH", split="train")' in card
    loaded = load_dataset(str(compact), cache_dir=str(tmp_path / "cache"))
    assert {split: part.num_rows for split, part in loaded.items()} == manifest["rows"]
    posts = load_dataset(str(compact), "posts", split="train", cache_dir=str(tmp_path / "cache"))
    assert "question" in posts.column_names


def test_several_formats_can_be_compact(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    export_dataset(store, tmp_path / "out", formats=["pairs", "trl"], layout="compact")
    for name in ("pairs", "trl"):
        export_dataset(store, tmp_path / name, format=name)
        expected = shp_miner.load(tmp_path / name).data.table
        assert shp_miner.load(tmp_path / "out", format=name).data.table.equals(expected)
    assert load_dataset(str(tmp_path / "out"), "trl-answers", split="train", cache_dir=str(tmp_path / "cache"))


@pytest.mark.parametrize("form", list(COMPACT))
def test_forgetting_reaches_every_table_and_keeps_the_layout(form: str, tmp_path: Path) -> None:
    store, out = store_of(tmp_path), tmp_path / "out"
    export_dataset(store, out, format=form, layout="compact")
    for path in (tmp_path / "dumps").iterdir():
        path.unlink()
    assert _holds(out, "Answer p7c2.")
    assert run(["forget", "--author", "writer-p7c2@reddit.com", "--store", str(store), "--quiet"]) == 0
    assert not _holds(out, "Answer p7c2.")
    assert manifest_of(out)["configuration"]["layout"] == "compact"
    export_dataset(store, tmp_path / "again", format=form, layout="compact")
    export_dataset(store, out, format=form, layout="compact", refit=True)
    assert tree(tmp_path / "again") == tree(out)


def _holds(out: Path, text: str) -> bool:
    read = [str(pl.read_parquet(path).to_dicts()) for path in out.rglob("*.parquet")]
    return any(text in told for told in [*read, (out / "README.md").read_text()])


@pytest.mark.parametrize("form", ["pairs", "trl"])
def test_show_shows_the_same_rows_of_both_layouts(form: str, tmp_path: Path) -> None:
    exports = [shown_rows.export_at(out) for out in both(tmp_path, form)]
    assert exports[0].rows == exports[1].rows
    for look in (
        lambda export: shown_rows.sampled(export, 9),
        lambda export: shown_rows.surest(export, 5),
        lambda export: shown_rows.of_thread(export, "p7"),
    ):
        assert look(exports[0]) == look(exports[1])


def test_another_layout_replaces_only_its_own_files(tmp_path: Path) -> None:
    store, out = store_of(tmp_path), tmp_path / "out"
    export_dataset(store, out, layout="compact")
    (out / "notes.txt").write_text("mine")
    export_dataset(store, out)
    export_dataset(store, tmp_path / "joined")
    (out / "notes.txt").unlink()
    assert tree(out) == tree(tmp_path / "joined")
    assert not (out / "answers").exists()


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    _, compact = both(tmp_path, "pairs")
    next((compact / "answers" / "asktest").glob("train-*")).unlink()
    with pytest.raises(BadInput, match="answers/asktest/train"):
        shp_miner.load(compact)
    assert shp_miner.load(compact, "askmore").num_rows


def test_wrong_layouts_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    with pytest.raises(UsageError, match="There is no layout 'small'"):
        export_dataset(store, tmp_path / "out", layout="small")
    with pytest.raises(UsageError, match="The format kto has no compact layout"):
        export_dataset(store, tmp_path / "out", formats=["pairs", "kto"], layout="compact")
    assert not (tmp_path / "out").exists()


def test_the_command_takes_the_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = store_of(tmp_path)
    command = ["export", str(tmp_path / "out"), "--store", str(store), "--layout", "compact", "--json"]
    assert run(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["formats"] == {"pairs": shp_miner.load(tmp_path / "out").num_rows}


def test_a_group_is_counted_over_all_of_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers go on where rows of one community and split come in several tables."""
    monkeypatch.setattr(dataset, "WINDOW_BYTES", 1)
    joined, compact = both(tmp_path, "pairs")
    monkeypatch.setattr(dataset, "_LEAST_ROWS", 10)
    monkeypatch.setattr(dataset, "ROWS_PER_RANGE", 10)
    export_dataset(tmp_path / "store", tmp_path / "ranges", layout="compact", validation=0.2, test=0.2, rule="votes")
    assert shp_miner.load(tmp_path / "ranges").data.table.equals(shp_miner.load(joined).data.table)
    assert tree(tmp_path / "ranges") == tree(compact)


@pytest.mark.parametrize("form", list(COMPACT))
def test_a_check_gives_the_figures_of_the_joined_layout(form: str, tmp_path: Path) -> None:
    joined, compact = (shp_miner.check(out) for out in both(tmp_path, form))
    assert joined.passed
    assert compact.passed, compact.problems
    assert compact.formats == joined.formats
    assert [said for said in compact.warnings if "layout" not in said] == joined.warnings


def test_a_check_finds_a_damaged_text_of_the_compact_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, compact = both(tmp_path, "pairs")
    file = next((compact / "answers").rglob("train-*.parquet"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    assert run(["check", str(compact)]) == 5
    assert file.name in capsys.readouterr().out


@pytest.mark.parametrize("form", list(COMPACT))
def test_a_model_of_both_layouts_is_the_same(form: str, tmp_path: Path) -> None:
    for out in both(tmp_path, form):
        shp_miner.train(out, tmp_path / f"{out.name}-model", quick=True)
    models = [(tmp_path / f"{name}-model" / "model.safetensors").read_bytes() for name in ("joined", "compact")]
    assert models[0] == models[1]


@pytest.mark.parametrize("form", ["pairs", "trl-text"])
def test_what_changed_is_told_of_the_compact_layout(form: str, tmp_path: Path) -> None:
    _, compact = both(tmp_path, form)
    settings: dict[str, Any] = {"format": form, "validation": 0.2, "test": 0.2, "rule": "votes"}
    again = export_dataset(tmp_path / "store", compact, layout="compact", **settings)
    rows = len(shp_miner.scan(compact))
    assert again.changes[form].to_dict()["unchanged"] == rows
    assert [what for what, _, _ in again.changes[form].sentences()] == ["unchanged"]
    import_dump("reddit-dump", write_month(tmp_path / "more", thread("new", range(3, 9))), tmp_path / "store")
    more = export_dataset(tmp_path / "store", compact, layout="compact", **settings)
    assert more.changes[form].new_thread == len(shp_miner.scan(compact)) - rows > 0
    # The thread moves the few fitted values of this small store by more than they may drift.
    assert more.changes[form].unchanged + more.changes[form].confidence == rows
