"""Exports that grow: what is old keeps its files, its bytes and its confidences, and what changed is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner import export_dataset, import_dump, load
from shp_miner.cli import run
from shp_miner.export.cuts import Rows, cut_rows
from shp_miner.export.formats import FORMATS
from shp_miner.mining.kept_fits import DRIFT, fits_from_builtins, fits_to_builtins, keep_fits
from shp_miner.rules.calibrated import Calibration
from shp_miner.rules.newton import SLOPES

from .build import T0, thread, tree, write_month
from .test_export import cut_small

DAY_S = 86_400


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_small(monkeypatch)


def forum(first: int, last: int) -> list[dict[str, Any]]:
    """Threads of successive days, each with its own votes."""
    found = []
    for number in range(first, last):
        at = T0 + number * DAY_S
        records = thread(f"p{number:03}", range(3, 8), subreddit="AskTest")
        for order, record in enumerate(records):
            record["created_utc"] = at + 600 * order
            record["retrieved_on"] = at + 60 * DAY_S
        found += records
    return found


def imported(store: Path, records: list[dict[str, Any]], name: str) -> None:
    import_dump("reddit-dump", write_month(store.parent / name, records), store)


def inodes(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in out.rglob("*.parquet")}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    imported(tmp_path / "store", forum(10, 50), "first")
    return tmp_path / "store"


@pytest.mark.parametrize("format_", ["pairs", "shp", "trl", "kto", "ranking"])
def test_what_nothing_changed_is_not_written_again(store: Path, tmp_path: Path, format_: str) -> None:
    out = tmp_path / "out"
    export_dataset(store, out, format=format_)
    before, bytes_before = inodes(out), tree(out)
    again = export_dataset(store, out, format=format_)
    assert inodes(out) == before
    assert tree(out) == bytes_before
    changes = again.changes[format_]
    assert changes.unchanged == sum(shard.rows for shard in again.shards[format_])
    assert [what for what, _, _ in changes.sentences()] == ["unchanged"]


@pytest.mark.parametrize("added", [(50, 53), (7, 10)], ids=["newest", "oldest"])
def test_threads_that_come_leave_most_files_as_they_are(store: Path, tmp_path: Path, added: tuple[int, int]) -> None:
    out = tmp_path / "out"
    export_dataset(store, out, rule="votes", validation=0, test=0)
    before, rows = inodes(out), load(out).to_polars()
    imported(store, forum(*added), "second")
    done = export_dataset(store, out, rule="votes", validation=0, test=0)
    after = inodes(out)
    assert len(before) > 4
    assert len(before.items() & after.items()) >= len(before) - 2
    # The fit stays: no old row differs in any column.
    assert rows.join(load(out).to_polars(), on="pair_id", how="semi").height == rows.height
    kept = load(out).to_polars().filter(pl.col("pair_id").is_in(rows["pair_id"].implode())).sort("pair_id")
    assert kept.equals(rows.sort("pair_id"))
    changes = done.changes["pairs"]
    assert changes.unchanged == rows.height
    assert changes.texts == changes.votes == changes.confidence == changes.other == 0
    assert changes.new_thread == sum(done.pairs.values()) - rows.height > 0
    assert (changes.new_pair, changes.thread_gone, changes.pair_gone) == (0, 0, 0)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("format_", list(FORMATS))
def test_what_changed_is_told_of_every_format(store: Path, tmp_path: Path, format_: str) -> None:
    out = tmp_path / "out"
    export_dataset(store, out, rule="votes", format=format_, validation=0, test=0)
    before = load(out).num_rows
    imported(store, forum(50, 53), "second")
    done = export_dataset(store, out, rule="votes", format=format_, validation=0, test=0)
    changes = done.changes[format_]
    assert changes.new_thread == load(out).num_rows - before > 0
    assert changes.unchanged == before


def test_votes_texts_and_answers_that_change_are_told_apart(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["export", str(out), "--store", str(store), "--rule", "votes", "--json"]
    assert run(words) == 0
    capsys.readouterr()
    records = forum(10, 50)
    later: list[dict[str, Any]] = []
    for record in records:
        if "p012" in record["id"]:
            more = 50 if "body" in record else 0
            later.append(
                record | {"retrieved_on": record["retrieved_on"] + 10 * DAY_S, "score": record["score"] + more}
            )
    imported(store, later, "later")
    assert run(words) == 0
    told = json.loads(capsys.readouterr().out)["changes"]["pairs"]
    assert told["changed"]["votes"] > 0
    assert told["changed"]["texts"] == told["changed"]["other"] == 0
    assert told["unchanged"] > 0


def test_a_person_who_is_forgotten_leaves_the_other_confidences_as_they_are(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_dataset(store, out, rule="votes", validation=0, test=0)
    rows = load(out).to_polars()
    post = rows["post_id"][0]
    assert run(["forget", "--id", f"reddit.com/{post}", "--store", str(store), "--quiet"]) == 0
    left = load(out).to_polars()
    assert left.height < rows.height
    assert left.equals(rows.filter(pl.col("post_id") != post))


def test_refit_gives_what_a_new_folder_has(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--store", str(store), "--rule", "votes", "--quiet"]
    assert run(["export", str(tmp_path / "out"), *words]) == 0
    imported(store, forum(50, 53), "second")
    assert run(["export", str(tmp_path / "new"), *words]) == 0
    assert run(["export", str(tmp_path / "out"), *words]) == 0
    fits = [json.loads((tmp_path / name / "manifest.json").read_text())["calibration"][0] for name in ("out", "new")]
    assert fits[0]["answers"] < fits[1]["answers"]
    assert run(["export", str(tmp_path / "out"), *words, "--refit"]) == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "new")


def test_a_fit_that_has_drifted_is_made_anew_and_told(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["export", str(out), "--store", str(store), "--rule", "votes", "--quiet"]) == 0
    records = forum(100, 400)
    for record in records:
        if "body" in record:
            record["score"] = 1 + 400 // (1 + record["created_utc"] % DAY_S // 600)
    imported(store, records, "other")
    capsys.readouterr()
    assert run(["export", str(out), "--store", str(store), "--rule", "votes"]) == 0
    said = capsys.readouterr().out
    assert f"The fit of asktest had drifted by more than {DRIFT}" in said
    assert "the fit or the rule's parameters" in said


def test_an_edited_file_is_not_kept(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_dataset(store, out, rule="votes")
    expected = tree(out)
    file = min(out.rglob("*.parquet"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    export_dataset(store, out, rule="votes")
    assert tree(out) == expected


def test_a_manifest_of_an_earlier_version_has_no_fit_to_keep(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_dataset(store, out, rule="votes")
    expected = tree(out)
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["fit"]
    for fit in manifest["calibration"]:
        del fit["log_shares"]
        fit["slope_rank"] = 9.0
    (out / "manifest.json").write_text(json.dumps(manifest))
    export_dataset(store, out, rule="votes")
    assert tree(out) == expected


# -- where groups and files end ---------------------------------------------------------------------------------------


def rows_of(threads: list[tuple[int, int]]) -> Rows:
    """Rows of threads, each given as its number and how many rows it has."""
    import pyarrow as pa

    counts = [count for _, count in threads]
    starts = [sum(counts[:place]) for place in range(len(counts))]
    ids = [number for number, count in threads for _ in range(count)]
    chances = [((number * 0.618) % 1, (number * 0.377) % 1) for number, _ in threads]
    return Rows(pa.table({"id": ids}), starts, counts, [10] * len(counts), chances, [str(n) for n, _ in threads])


def groups_of(parts: list[Rows]) -> list[tuple[str, bool, list[int]]]:
    return [
        (group.name, group.begins_file, [row for table in group.tables for row in table["id"].to_pylist()])
        for group in cut_rows(parts)
    ]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=80), st.data())
def test_groups_do_not_depend_on_where_parts_end(counts: list[int], data: st.DataObject) -> None:
    threads = list(enumerate(counts))
    cut = data.draw(st.integers(0, len(threads)))
    whole = groups_of([rows_of(threads)])
    parts = [rows_of(part) for part in (threads[:cut], threads[cut:]) if part]
    assert groups_of(parts) == whole
    assert [row for _, _, rows in whole for row in rows] == [n for n, count in threads for _ in range(count)]
    assert all(len(rows) <= 20 for _, _, rows in whole)
    assert whole[0][1]


@given(st.lists(st.integers(1, 6), min_size=300, max_size=310), st.integers(1, 6))
def test_groups_meet_again_after_a_thread_that_came(counts: list[int], came: int) -> None:
    threads = list(enumerate(counts))
    before, after = (groups_of([rows_of(given)]) for given in (threads, [(999, came), *threads]))
    assert before[-1] in after


# -- fits that stay ---------------------------------------------------------------------------------------------------


def calibration(slope: float, cells: dict[int, float], community: str = "c") -> Calibration:
    fits = {"site": ["s"], "community": [community], "answers": [100]}
    values = {"slope_rank": [slope], "slope_share": [0.4], "variance": [1.0]}
    values |= {"read_answers": [30], "like_alpha": [0.5], "like_beta": [19.5], "pairs": [40]}
    values |= {name: [slope] for name in SLOPES}
    shares = [("s", community, cell, share) for cell, share in cells.items()]
    schema = {"site": pl.String, "community": pl.String, "cell": pl.Int16, "log_share": pl.Float64}
    return Calibration(pl.DataFrame(fits | values), pl.DataFrame(shares, schema=schema, orient="row"))


def test_a_fit_stays_until_it_drifts_and_new_cells_have_what_is_beside_them() -> None:
    kept = calibration(-0.4, {3: -0.1, 5: -0.5})
    used, drift = keep_fits(calibration(-0.41, {2: -0.05, 3: -0.11, 4: -0.3, 5: -0.5, 9: -2.0}), kept)
    assert used.fits.equals(kept.fits)
    assert dict(used.shares.select("cell", "log_share").iter_rows()) == {2: -0.1, 3: -0.1, 4: -0.1, 5: -0.5, 9: -0.5}
    assert drift["refit"].to_list() == [False]
    new = calibration(-0.4 + 2 * DRIFT, {3: -0.1, 5: -0.5})
    used, drift = keep_fits(new, kept)
    assert used.fits.equals(new.fits)
    assert drift["refit"].to_list() == [True]
    other = calibration(-0.4, {3: -0.1}, "new")
    used, drift = keep_fits(other, kept)
    assert used.fits.equals(other.fits)
    assert drift.is_empty()


@given(st.dictionaries(st.integers(0, 447), st.floats(-6, 0), min_size=1, max_size=20), st.floats(-2, 2))
def test_a_fit_comes_back_from_a_manifest_bit_by_bit(cells: dict[int, float], slope: float) -> None:
    made = calibration(slope, dict(sorted(cells.items())))
    back = fits_from_builtins(json.loads(json.dumps(fits_to_builtins(made))))
    assert back is not None
    assert back.fits.equals(made.fits)
    assert back.shares.equals(made.shares)


@pytest.mark.parametrize("told", [None, [], [{}], [{"site": "s"}], "x", [{"log_shares": "1:x"}]])
def test_what_is_no_fit_is_none(told: object) -> None:
    found = fits_from_builtins(told)
    assert found is None or found.fits.is_empty()
