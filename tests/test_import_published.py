"""Published data sets in the layouts of their authors, in what `datasets` writes: JSON lines, Parquet and Arrow."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner.cli import run
from shp_miner.dumps import arrow, sharing
from shp_miner.dumps.importing import import_dump
from shp_miner.dumps.threads_files import kind_of
from shp_miner.engine import Means
from shp_miner.errors import BadInput
from shp_miner.store import Store
from shp_miner.tally import Tally

from .property import examples

Rows = list[dict[str, Any]]


def shp_rows(posts: int = 3, answers: int = 4) -> Rows:
    """Every pair of each post's answers, sides at random: a later answer has more votes."""
    chance, rows = random.Random(7), []
    for post in range(posts):
        made = [(f"c{post}x{n}", 1_600_000_000 + post * 9000 + n * 60, 2 + 7 * n) for n in range(answers)]
        for winner in range(answers):
            for loser in range(winner):
                sides = [made[winner], made[loser]]
                first_won = chance.random() < 0.5
                (id_a, at_a, score_a), (id_b, at_b, score_b) = sides if first_won else sides[::-1]
                rows.append(
                    {
                        "post_id": f"p{post}",
                        "domain": "askculinary_train",
                        "upvote_ratio": 0.9,
                        "history": f"Why {post} &amp; *so*? Because  of _it_.",
                        "c_root_id_A": id_a,
                        "c_root_id_B": id_b,
                        "created_at_utc_A": at_a,
                        "created_at_utc_B": at_b,
                        "score_A": score_a,
                        "score_B": score_b,
                        "human_ref_A": f"Use <b>{id_a}</b>.",
                        "human_ref_B": f"Use <b>{id_b}</b>.",
                        "labels": int(first_won),
                        "seconds_difference": float(at_a - at_b if first_won else at_b - at_a),
                        "score_ratio": max(score_a, score_b) / min(score_a, score_b),
                    }
                )
    return rows


def saved(rows: Rows, folder: Path) -> Path:
    """A folder as `save_to_disk` of a DatasetDict writes it."""
    table = pa.Table.from_pylist(rows)
    split = folder / "train"
    split.mkdir(parents=True)
    with pa.ipc.new_stream(split / "data-00000-of-00001.arrow", table.schema) as stream:
        stream.write_table(table, max_chunksize=5)
    features = {name: {"dtype": "string", "_type": "Value"} for name in table.schema.names}
    (split / "dataset_info.json").write_text(json.dumps({"citation": "", "features": features}, indent=2))
    (split / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    return folder


def parquet(rows: Rows, path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def json_lines(rows: Rows, path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


WRITERS: dict[str, Callable[[Rows, Path], Path]] = {"saved": saved, "a.parquet": parquet, "a.jsonl": json_lines}


def exported(path: Path, name: str) -> dict[str, bytes]:
    assert run(["import", "threads", str(path), "--store", f"store-{name}", "-q"]) == 0
    words = ["--store", f"store-{name}", "--allow-unknown-age", "--format", "shp", "-q"]
    assert run(["export", f"out-{name}", *words]) == 0
    return {file.name: file.read_bytes() for file in Path(f"out-{name}").rglob("*.parquet")}


def test_rows_of_shp_come_back_from_every_form_and_order(tmp_path: Path) -> None:
    rows = shp_rows()
    shuffled = random.Random(1).sample(rows, len(rows))
    forms = {name: write(rows, tmp_path / name) for name, write in WRITERS.items()}
    found = {name: exported(path, name) for name, path in forms.items()}
    found["shuffled"] = exported(parquet(shuffled, tmp_path / "shuffled.parquet"), "shuffled")
    first, *others = found.values()
    assert first
    assert all(other == first for other in others)
    frames = [pl.read_parquet(file) for file in Path("out-saved").rglob("*.parquet")]
    assert sides_told(pl.concat(frames).to_dicts()) == sides_told(rows)


def sides_told(rows: Rows) -> set[tuple[Any, ...]]:
    """What rows say of each pair, the winner first."""
    told = set()
    for row in rows:
        order = "AB" if row["labels"] else "BA"
        columns = ("c_root_id", "created_at_utc", "score", "human_ref")
        values = [row[f"{name}_{side}"] for side in order for name in columns]
        told.add((row["post_id"], row["history"], row["upvote_ratio"], row["seconds_difference"], *values))
    return told


def test_a_file_of_pairs_is_not_read_in_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SECTION_BYTES", 500)
    paths = [write(shp_rows(), tmp_path / name) for name, write in WRITERS.items()]
    job = sharing.ImportJob("threads", paths, tmp_path / "store", datetime(2025, 1, 1, tzinfo=UTC), {})
    jobs, _ = sharing.import_jobs(job, Means(workers=4), Tally())
    assert [one.section for one in jobs] == [None] * len(jobs)
    assert sum(len(one.paths) for one in jobs) == len(paths)


def test_scores_of_unknown_age_name_the_option_that_keeps_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", "threads", str(json_lines(shp_rows(), tmp_path / "a.jsonl")), "-q"]) == 0
    assert run(["export", "out"]) == 5
    assert "Give --allow-unknown-age." in capsys.readouterr().err


@pytest.mark.parametrize("write", ["a.parquet", "saved"])
def test_a_missing_column_of_shp_is_named(write: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{name: value for name, value in row.items() if name != "created_at_utc_B"} for row in shp_rows()]
    assert run(["import", "threads", str(WRITERS[write](rows, tmp_path / write))]) == 5
    assert "without the column created_at_utc_B" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("domain", "words", "place"),
    [
        ("askculinary_train", [], "reddit.com askculinary"),
        ("stack_unix_test", [], "unix.stackexchange.com unix.stackexchange.com"),
        ("stack_superuser_validation", [], "superuser.com superuser.com"),
        ("stack_unix_test", ["--site", "https://Forum.example"], "forum.example stack_unix"),
    ],
)
def test_the_site_of_shp_is_named_or_told(domain: str, words: list[str], place: str, tmp_path: Path) -> None:
    path = json_lines([row | {"domain": domain} for row in shp_rows()], tmp_path / "a.jsonl")
    assert run(["import", "threads", str(path), "--store", str(tmp_path / "store"), "-q", *words]) == 0
    posts = Store(tmp_path / "store").snapshot().scan("posts").select("site", "community").unique().collect()
    assert [" ".join(row) for row in posts.iter_rows()] == [place]


def test_a_site_is_not_taken_for_records_that_name_theirs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"answer_id": "1", "body": "Yes.", "created_at": 1_600_000_060, "score": 3}
    head = {"site": "forum.example", "community": "c", "title": "Why?", "created_at": 1_600_000_000, "score": 9}
    path = json_lines([head | {"post_id": "1", "answers": [answer]}], tmp_path / "own.jsonl")
    assert run(["import", "threads", str(path), "--site", "other.example"]) == 2
    assert "own.jsonl names its site.\nLeave out --site" in capsys.readouterr().err
    assert run(["import", "threads", str(path), "--site", "a b"]) == 2
    assert "'a b' is not a host name." in capsys.readouterr().err


def test_a_bad_row_of_shp_costs_itself_or_its_thread(tmp_path: Path) -> None:
    rows = shp_rows(posts=4, answers=2)
    rows[1]["human_ref_A"] = None
    rows[2]["created_at_utc_A"] = rows[2]["created_at_utc_B"] = "yesterday"
    done = import_dump("threads", json_lines(rows, tmp_path / "a.jsonl"), tmp_path / "store")
    assert done.tally.read == {"post": 2, "answer": 4}
    assert done.tally.dropped == {("post", "missing_field"): 2, ("answer", "thread_lost"): 2}
    assert 'human_ref_A" is missing' in done.tally.examples[0].what


def test_arrow_has_the_threads_layout_too(tmp_path: Path) -> None:
    answers = [{"answer_id": "1", "body": "Yes.", "created_at": 1_600_000_060, "score": 3}]
    head = {"site": "forum.example", "community": "c", "title": "Why?", "created_at": 1_600_000_000, "score": 9}
    path = saved([{**head, "post_id": str(n), "answers": answers} for n in range(7)], tmp_path / "saved")
    assert import_dump("threads", path, tmp_path / "store").tally.read == {"post": 7, "answer": 7}


def stream(path: Path, table: pa.Table, **options: Any) -> Path:
    with pa.ipc.new_stream(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as out:
        out.write_table(table, max_chunksize=5)
    return path


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_buffers_and_dictionaries_are_not_unpacked(compression: str, tmp_path: Path) -> None:
    table = pa.Table.from_pylist(shp_rows())
    coded = table.set_column(0, "post_id", table["post_id"].dictionary_encode())
    packed = stream(tmp_path / "packed.arrow", table, compression=compression)
    for path, why in ((packed, "compressed"), (stream(tmp_path / "coded.arrow", coded), "has the type dictionary")):
        tally = Tally()
        assert list(arrow.records(path, tally, lambda _: None)) == []
        assert why in tally.damages[0].what
        assert "to_parquet" in tally.damages[0].hint


@given(data=st.data())
@examples(30)
def test_a_damaged_stream_gives_rows_or_names_the_damage(data: st.DataObject) -> None:
    rows = shp_rows()
    path = stream(Path("a.arrow"), pa.Table.from_pylist(rows))
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole) - 9)) :]
    else:
        for _ in range(data.draw(st.integers(1, 20))):
            whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    tally = Tally()
    found = [row for _, row in arrow.records(path, tally, lambda _: None)]
    assert len(found) == len(rows) or tally.damages
    with suppress(BadInput):
        kind_of(path, utc=False)


def test_real_rows_of_shp(shared_data: Path, tmp_path: Path) -> None:
    done = import_dump("threads", shared_data / "shp" / "published_rows.jsonl", tmp_path / "store")
    assert done.tally.read == {"post": 2, "answer": 4}
    assert done.complete
    words = ["--store", str(tmp_path / "store"), "--allow-unknown-age", "--format", "shp", "-q"]
    assert run(["export", "out", *words]) == 0
    found = pl.concat([pl.read_parquet(file) for file in Path("out").rglob("*.parquet")]).to_dicts()
    published = (shared_data / "shp" / "published_rows.jsonl").read_text().splitlines()
    assert sides_told(found) == sides_told([json.loads(line) for line in published if line.strip()])
