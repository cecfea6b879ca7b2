"""Exports: every format, the same bytes whatever the way in, whole or not at all, and loadable."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

import shp_miner
from shp_miner import FORMATS, BadInput, Store, UsageError, export_dataset, import_dump
from shp_miner.cli import run
from shp_miner.export import check, formats
from shp_miner.export.check import CheckFailedError
from shp_miner.export.columns import Columns, Repeated, to_arrow
from shp_miner.export.dataset import _LEAST_ROWS, ROWS_PER_RANGE, fitting_ranges
from shp_miner.export.shards import folder_name
from shp_miner.mining.mine import Threads
from shp_miner.store.forget import ForgottenItem, hide_items

from .build import READ, T0, answer_row, chunk, comment, post_row, submission, thread, tree, write_dump, write_month


def records(count: int = 40) -> list[dict[str, Any]]:
    """Threads of two communities with enough of them for every split."""
    out = []
    for i in range(count):
        scores = [2 + (i * 7 + k * k * 5) % 23 for k in range(2 + i % 5)]
        out += thread(f"p{i}", scores, subreddit="AskTest" if i % 3 else "AskMore")
    return out


@pytest.fixture
def store(tmp_path: Path, now: datetime) -> Path:
    import_dump("reddit-dump", write_month(tmp_path / "dumps", records()), tmp_path / "store", now=now)
    return tmp_path / "store"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return pl.concat([pl.read_parquet(file) for file in sorted(folder.rglob("*.parquet"))]).to_dicts()


# -- formats ----------------------------------------------------------------------------------------------------------

COLUMNS = {
    "pairs": "question answer1 answer2 preferred pair_id source community post_id answer1_id answer2_id score1 score2 "
    "created_at1 created_at2 observed_at1 observed_at2 post_score seconds_difference score_ratio confidence tier rule "
    "url author_post author1 author2 license reads1 reads2 upvotes1 upvotes2 downvotes1 "
    "downvotes2 views target weight attention",
    "shp": "post_id domain upvote_ratio history c_root_id_A c_root_id_B created_at_utc_A created_at_utc_B score_A "
    "score_B human_ref_A human_ref_B labels seconds_difference score_ratio",
    "trl": "prompt chosen rejected pair_id score_chosen score_rejected confidence tier",
    "chat-pairs": "chosen rejected pair_id score_chosen score_rejected confidence tier",
    "trl-text": "prompt chosen rejected",
    "kto": "prompt completion label",
    "ranking": "question answers",
    "sft": "prompt completion",
    "bandit": "state action reward next_state",
}

#: One thread of three answers a minute apart: by shp the second and the third win against the first.
THREAD = thread("p1", (3, 9, 5))
QUESTION = "Question p1?\n\nSome detail."

EXAMPLES: dict[str, dict[str, Any]] = {
    "pairs": {
        "question": QUESTION,
        "answer1": "Answer p1c1.",
        "answer2": "Answer p1c2.",
        "preferred": 2,
        "pair_id": "reddit.com/p1/p1c1-p1c2",
        "source": "reddit-dump",
        "community": "asktest",
        "post_id": "p1",
        "score1": 3,
        "score2": 9,
        "post_score": 100,
        "seconds_difference": 60.0,
        "score_ratio": 3.0,
        "confidence": 0.815,
        "tier": "strict",
        "rule": "shp",
        "url": "https://www.reddit.com/r/AskTest/comments/p1/question/",
        "author_post": "asker",
        "author1": "writer-p1c1",
        "license": None,
        "reads1": None,
        "upvotes2": None,
        "views": None,
        "target": 17 / 22,
        "weight": 100 / 19,
        "attention": -0.440206,
    },
    "shp": {
        "post_id": "p1",
        "domain": "asktest_train",
        "upvote_ratio": 0.95,
        "history": "Question p1? Some detail.",
        "c_root_id_A": "p1c1",
        "created_at_utc_A": T0 + 60,
        "score_A": 3,
        "score_B": 9,
        "human_ref_A": "Answer p1c1.",
        "human_ref_B": "Answer p1c2.",
        "labels": 0,
        "seconds_difference": 60.0,
        "score_ratio": 3.0,
    },
    "trl": {
        "prompt": [{"role": "user", "content": QUESTION}],
        "chosen": [{"role": "assistant", "content": "Answer p1c2."}],
        "rejected": [{"role": "assistant", "content": "Answer p1c1."}],
        "pair_id": "reddit.com/p1/p1c1-p1c2",
        "score_chosen": 9,
        "score_rejected": 3,
        "confidence": 0.815,
        "tier": "strict",
    },
    "chat-pairs": {
        "chosen": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Answer p1c2."}],
        "rejected": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Answer p1c1."}],
        "pair_id": "reddit.com/p1/p1c1-p1c2",
        "score_chosen": 9,
        "score_rejected": 3,
        "confidence": 0.815,
        "tier": "strict",
    },
    "trl-text": {"prompt": f"{QUESTION}\n\nAnswer:\n", "chosen": "Answer p1c2.", "rejected": "Answer p1c1."},
    "kto": {"prompt": f"{QUESTION}\n\nAnswer:\n", "completion": "Answer p1c1.", "label": False},
    "ranking": {
        "question": QUESTION,
        "answers": [
            {"text": "Answer p1c2.", "score": 9, "rank": 1, "answer_id": "p1c2"},
            {"text": "Answer p1c3.", "score": 5, "rank": 2, "answer_id": "p1c3"},
            {"text": "Answer p1c1.", "score": 3, "rank": 3, "answer_id": "p1c1"},
        ],
    },
    "sft": {"prompt": f"{QUESTION}\n\nAnswer:\n", "completion": "Answer p1c2."},
    "bandit": {"state": QUESTION, "action": "Answer p1c1.", "reward": -1.0, "next_state": None},
}


@pytest.mark.parametrize("name", list(FORMATS))
def test_an_example_row_of_each_format(name: str, tmp_path: Path, now: datetime) -> None:
    import_dump("reddit-dump", write_month(tmp_path / "d", THREAD), tmp_path / "s", now=now)
    export_dataset(tmp_path / "s", tmp_path / "o", formats=[name])
    row = next(
        row for row in rows_of(tmp_path / "o") if all(row[key] == value for key, value in EXAMPLES[name].items())
    )
    print(f"{name}: {row}")


@pytest.mark.parametrize("name", list(FORMATS))
def test_the_columns_of_each_format(name: str) -> None:
    assert FORMATS[name].schema.names == COLUMNS[name].split()


def test_the_types_that_others_rely_on() -> None:
    shp = FORMATS["shp"].schema
    assert shp.field("labels").type == shp.field("created_at_utc_A").type == shp.field("score_B").type == pa.int64()
    assert shp.field("upvote_ratio").type == shp.field("seconds_difference").type == pa.float64()
    pairs = FORMATS["pairs"].schema
    assert pairs.field("preferred").type == pa.int8()
    assert pairs.field("created_at1").type == pa.timestamp("ms", tz="UTC")
    assert FORMATS["kto"].schema.field("label").type == pa.bool_()


#: The two printed rows: facts about them, with texts of our own that need the same changes.
PRINTED = [
    {
        "post": "qt3nxl", "subreddit": "AskCulinary",
        "A": ("hkh25sc", 1636822112, 340), "B": ("hkh25lp", 1636822110, 166),
        "labels": 1, "seconds_difference": 2.0, "score_ratio": 2.0481927711, "domain": "askculinary_train",
    },
    {
        "post": "himc90", "subreddit": "AskAcademia",
        "A": ("fwhnqat", 1593535113, 52), "B": ("fwhp8d4", 1593535824, 54),
        "labels": 0, "seconds_difference": 711.0, "score_ratio": 1.0384615385, "domain": "askacademia_train",
    },
]  # fmt: skip


def printed_as_dump(row: dict[str, Any], texts: dict[str, str]) -> list[dict[str, Any]]:
    times = [row["A"][1], row["B"][1]]
    read = max(times) + 60 * 86_400
    common = {"subreddit": row["subreddit"], "retrieved_on": read}
    post = submission(row["post"], title=texts["title"], selftext=texts["body"], created_utc=min(times) - 600, **common)
    return [
        post,
        *(
            comment(row[side][0], row["post"], created_utc=row[side][1], score=row[side][2], body=texts[side], **common)
            for side in "AB"
        ),
    ]


def exported_as_shp(tmp_path: Path, now: datetime, dump: list[dict[str, Any]]) -> dict[str, Any]:
    import_dump("reddit-dump", write_month(tmp_path / "d", dump), tmp_path / "s", now=now)
    export_dataset(tmp_path / "s", tmp_path / "o", formats=["shp"])
    (row,) = rows_of(tmp_path / "o")
    return row


@pytest.mark.parametrize("row", PRINTED, ids=lambda row: row["post"])
def test_the_printed_rows_come_out_exactly(row: dict[str, Any], tmp_path: Path, now: datetime) -> None:
    texts = {
        "title": "A title?",
        "body": "First.\n\nSecond.",
        "A": "It’s [here](https://x.example).",
        "B": "No &gt; yes.",
    }
    found = exported_as_shp(tmp_path, now, printed_as_dump(row, texts))
    for side in "AB":
        assert (found[f"c_root_id_{side}"], found[f"created_at_utc_{side}"], found[f"score_{side}"]) == row[side]
    assert {key: found[key] for key in ("labels", "seconds_difference", "domain")} == {
        key: row[key] for key in ("labels", "seconds_difference", "domain")
    }
    assert round(found["score_ratio"], 10) == row["score_ratio"]
    assert (found["history"], found["human_ref_A"]) == ("A title? First.  Second.", "It's here.")
    assert found["human_ref_B"] == "No > yes."


def test_the_printed_rows_come_out_exactly_with_their_own_texts(
    shared_data: Path, tmp_path: Path, now: datetime
) -> None:
    lines = (shared_data / "shp" / "published_rows.jsonl").read_text().splitlines()
    for number, printed in enumerate(map(json.loads, lines)):
        row = next(row for row in PRINTED if row["post"] == printed["post_id"])
        title, _, body = printed["history"].partition("? ")
        texts = {"title": f"{title}?", "body": body, "A": printed["human_ref_A"], "B": printed["human_ref_B"]}
        if not body:
            texts |= {"title": printed["history"]}
        dump = printed_as_dump(row, texts)
        dump[0]["upvote_ratio"] = printed["upvote_ratio"]
        found = exported_as_shp(tmp_path / str(number), now, dump)
        assert found.pop("score_ratio") == pytest.approx(printed.pop("score_ratio"), abs=1e-9)
        assert found == {key: value for key, value in printed.items() if not key.startswith("_")}


def test_sft_takes_the_best_by_the_rule_and_not_by_raw_score(tmp_path: Path, now: datetime) -> None:
    # The early answer has the most votes, but by shp it wins no pair: it was seen longest.
    import_dump("reddit-dump", write_month(tmp_path / "d", thread("p1", (50, 3, 9))), tmp_path / "s", now=now)
    export_dataset(tmp_path / "s", tmp_path / "o", formats=["sft", "ranking", "kto", "bandit"])
    assert [row["completion"] for row in rows_of(tmp_path / "o" / "sft")] == ["Answer p1c3."]
    (ranking,) = rows_of(tmp_path / "o" / "ranking")
    assert [answer["answer_id"] for answer in ranking["answers"]] == ["p1c3", "p1c2"]
    assert [row["label"] for row in rows_of(tmp_path / "o" / "kto")] == [False, True]
    assert [row["reward"] for row in rows_of(tmp_path / "o" / "bandit")] == [-1.0, 1.0]


def test_pairs_of_equal_texts_are_shp_s_but_not_the_trainers(tmp_path: Path, now: datetime) -> None:
    dump = [
        submission(),
        *(comment(f"c{i}", score=2 + i, created_utc=T0 + i, body="Thanks!" if i < 2 else "No.") for i in range(3)),
    ]
    import_dump("reddit-dump", write_month(tmp_path / "d", dump), tmp_path / "s", now=now)
    result = export_dataset(tmp_path / "s", tmp_path / "o", formats=["pairs", "shp", "trl", "chat-pairs", "trl-text"])
    counts = {name: len(rows_of(tmp_path / "o" / name)) for name in result.shards}
    assert counts == {"pairs": 3, "shp": 3, "trl": 2, "chat-pairs": 2, "trl-text": 2}
    assert result.tally.notes == {("pair", "same_text"): 1}


def test_a_body_that_is_empty_once_its_markup_is_off_is_in_no_pair(tmp_path: Path) -> None:
    hidden = {"body": '<p style="display:none">x</p>', "body_format": "html"}
    rows = [answer_row(f"a{i}", score=3 + i, **(hidden if i == 1 else {})) for i in range(3)]
    Store(tmp_path / "s").append(chunk([post_row()], rows))
    result = export_dataset(tmp_path / "s", tmp_path / "o")
    assert sum(result.pairs.values()) == 1
    assert result.tally.dropped["pair", "empty_text"] == 2


# -- layout and loading -----------------------------------------------------------------------------------------------


def test_what_is_written_loads_everywhere_alike(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = export_dataset(store, out)
    everything = shp_miner.load(out).to_polars().sort("pair_id")
    assert everything.height == sum(result.pairs.values()) > 50
    loaded = load_dataset(str(out))
    assert set(loaded) == {"train", "validation", "test"}
    together = pl.concat([loaded[split].to_polars() for split in loaded]).sort("pair_id")
    assert together.equals(everything)
    for name in result.pairs:
        one = load_dataset(str(out), name)
        rows = pl.concat([one[split].to_polars() for split in one]).sort("pair_id")
        assert rows.equals(everything.filter(pl.col("community") == name))
        assert shp_miner.load(out, name).to_polars().sort("pair_id").equals(rows)
    streamed = load_dataset(str(out), split="train", streaming=True)
    assert sorted(row["pair_id"] for row in streamed) == sorted(loaded["train"]["pair_id"])
    assert shp_miner.load(out, split="test").num_rows == loaded["test"].num_rows
    assert len(shp_miner.load(out).to_pandas()) == everything.height
    row = loaded["train"][0]
    assert row[f"score{row['preferred']}"] == max(row["score1"], row["score2"])


def test_several_formats_hold_the_same_threads_each_in_its_own_folder(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = export_dataset(store, out, formats=list(FORMATS))
    assert sorted(path.name for path in out.iterdir()) == sorted([*FORMATS, "README.md", "manifest.json"])
    assert load_dataset(str(out))["train"].column_names == FORMATS["pairs"].schema.names
    for name in FORMATS:
        loaded = load_dataset(str(out / name))
        together = load_dataset(str(out), name)
        assert {split: part.num_rows for split, part in together.items()} == {
            split: part.num_rows for split, part in loaded.items()
        }
        assert together["train"].to_polars().equals(loaded["train"].to_polars())
        shards = result.shards[name]
        assert sum(part.num_rows for part in loaded.values()) == sum(shard.rows for shard in shards)
        questions = shp_miner.load(out, format=name).to_polars().to_series(0 if name != "shp" else 3)
        if name == "chat-pairs":
            questions = questions.list.first()
        assert questions.n_unique() == sum(result.posts.values())
    with pytest.raises(UsageError, match="several formats"):
        shp_miner.load(out)


def test_the_card_lists_exactly_the_files_and_no_empty_split(tmp_path: Path, now: datetime) -> None:
    import yaml

    import_dump("reddit-dump", write_month(tmp_path / "d", THREAD), tmp_path / "s", now=now)
    export_dataset(tmp_path / "s", tmp_path / "o")
    text = (tmp_path / "o" / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    listed = {path for config in front["configs"] for files in config["data_files"] for path in files["path"]}
    assert listed == {path.relative_to(tmp_path / "o").as_posix() for path in (tmp_path / "o").rglob("*.parquet")}
    assert [config["config_name"] for config in front["configs"]] == ["all", "asktest"]
    assert [files["split"] for files in front["configs"][0]["data_files"]] == ["train"]
    assert "Reddit's agreement" in text
    load_dataset(str(tmp_path / "o"))


def test_the_manifest_names_every_file_with_its_hash(store: Path, tmp_path: Path) -> None:
    result = export_dataset(store, tmp_path / "o")
    manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
    files = {path.relative_to(tmp_path / "o").as_posix(): path for path in (tmp_path / "o").rglob("*.parquet")}
    assert {file["path"]: file["sha256"] for file in manifest["files"]} == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
    }
    assert (
        sum(file["rows"] for file in manifest["files"]) == sum(result.pairs.values()) == sum(manifest["rows"].values())
    )
    assert manifest["configuration"]["rule"]["name"] == "shp"
    assert manifest["counts"]["dropped"]["pair"]["winner_older"] > 0


def test_text_has_no_statistics_in_the_files(store: Path, tmp_path: Path) -> None:
    export_dataset(store, tmp_path / "o", formats=list(FORMATS))
    for file in (tmp_path / "o").rglob("*.parquet"):
        group = pq.read_metadata(file).row_group(0)
        texts = FORMATS[file.relative_to(tmp_path / "o").parts[0]].texts
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema.split(".")[0] in (*texts, "answers"):
                assert column.statistics is None or not column.statistics.has_min_max


@given(st.text(max_size=120))
def test_a_community_s_folder_is_safe_and_its_own(name: str) -> None:
    folder = folder_name(name)
    assert folder not in ("", ".", "..", "all", "default", "manifest.json", "readme.md")
    assert "/" not in folder
    assert folder.isascii()
    assert len(folder) <= 100
    assert folder == folder.lower()


def test_names_that_look_alike_get_folders_of_their_own() -> None:
    names = ["ask", "Ask", "ASK", "a/sk", "a_sk", "all", "a sk", "..", "lemmy.world/c/ask", "x" * 200, "x" * 201]
    assert len({folder_name(name) for name in names}) == len(names)
    assert folder_name("beer.stackexchange.com") == "beer.stackexchange.com"


def cut_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let row groups and files end after few rows."""
    for name, rows in {"GROUP_LEAST": 4, "GROUP_MEAN": 4, "GROUP_MOST": 20, "FILE_LEAST": 10, "FILE_MOST": 60}.items():
        monkeypatch.setattr(f"shp_miner.export.cuts.{name}", rows)
    monkeypatch.setattr("shp_miner.export.cuts._FILE_CHANCE", 0.5)


def test_shards_and_row_groups_are_cut_at_threads(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_small(monkeypatch)
    result = export_dataset(store, tmp_path / "o")
    train = [shard for shard in result.shards["pairs"] if shard.config == "asktest" and shard.split == "train"]
    assert len(train) > 2
    tables = [pq.ParquetFile(tmp_path / "o" / shard.path) for shard in train]
    assert max(file.metadata.num_row_groups for file in tables) > 1
    assert all(10 <= shard.rows <= 80 for shard in train[:-1])
    groups = [file.read_row_group(n) for file in tables for n in range(file.metadata.num_row_groups)]
    assert all(group.num_rows <= 20 for group in groups)
    threads = [set(group["post_id"].to_pylist()) for group in groups]
    assert all(not one & two for one, two in itertools.pairwise(threads))
    assert sum(part.num_rows for part in load_dataset(str(tmp_path / "o")).values()) == sum(result.pairs.values())


def test_rows_lie_in_the_order_of_time_of_their_threads(store: Path, tmp_path: Path) -> None:
    export_dataset(store, tmp_path / "o", validation=0, test=0)
    rows = shp_miner.load(tmp_path / "o").to_polars()
    posts = Store(store).posts().select("post_id", "created_at")
    at = rows.join(posts, on="post_id", how="left", maintain_order="left")
    for community in at.partition_by("community"):
        assert community["created_at"].is_sorted()


# -- the same bytes ---------------------------------------------------------------------------------------------------


def test_order_repetition_and_pieces_of_the_import_change_no_byte(tmp_path: Path, now: datetime) -> None:
    rows = records()
    pieces = [
        write_dump(tmp_path / f"{i}.zst", part)
        for i, part in enumerate([[r for r in rows if "title" in r][k::2] for k in (0, 1)])
    ]
    pieces += [write_dump(tmp_path / f"c{i}.gz", [r for r in rows if "title" not in r][i::3]) for i in range(3)]
    whole = write_month(tmp_path / "whole", rows)
    ways: dict[str, list[list[Path]]] = {
        "at once": [whole],
        "reversed": [whole[::-1]],
        "twice": [whole, whole],
        "pieces": [[piece] for piece in pieces],
        "pieces-reversed": [[piece] for piece in pieces[::-1]],
    }
    trees = {}
    for name, runs in ways.items():
        for paths in runs:
            import_dump("reddit-dump", paths, tmp_path / name, now=now)
        export_dataset(tmp_path / name, tmp_path / f"{name}-out", formats=list(FORMATS))
        trees[name] = tree(tmp_path / f"{name}-out")
    assert len(trees["at once"]) > 40
    for name in ways:
        assert trees[name] == trees["at once"], name


def test_the_size_of_ranges_changes_no_byte(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = []
    for rows in (3, 50, 100_000):
        monkeypatch.setattr("shp_miner.export.dataset.ROWS_PER_RANGE", rows)
        export_dataset(store, tmp_path / f"o{rows}", formats=["pairs", "ranking"], rule="shp-strict")
        trees.append(tree(tmp_path / f"o{rows}"))
    assert trees[0] == trees[1] == trees[2]


def test_threads_memory_and_shares_change_no_byte(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shp_miner.export.dataset.ROWS_PER_RANGE", 20)
    trees = []
    for size, workers, memory in ((1, 3, None), (3_000, 2, 1), (1 << 30, 1, 300_000_000)):
        monkeypatch.setattr("shp_miner.export.dataset.WINDOW_BYTES", size)
        out = tmp_path / f"o{size}"
        export_dataset(store, out, formats=["pairs", "trl", "ranking"], workers=workers, memory=memory)
        trees.append(tree(out))
    assert trees[0] == trees[1] == trees[2]


def test_memory_decides_how_much_is_mined_at_a_time(store: Path) -> None:
    snapshot = Store(store).snapshot()
    assert fitting_ranges(snapshot, 4, 1 << 40) == (4, ROWS_PER_RANGE)
    assert fitting_ranges(snapshot, 4, 1) == (1, _LEAST_ROWS)
    threads, rows = fitting_ranges(snapshot, 4, 400_000_000)
    assert _LEAST_ROWS <= rows < ROWS_PER_RANGE
    assert threads <= 4


def test_a_text_that_repeats_takes_little_space(tmp_path: Path, now: datetime) -> None:
    body = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))
    dump = thread("p1", range(2, 40), selftext=body)
    import_dump("reddit-dump", write_month(tmp_path / "d", dump), tmp_path / "s", now=now)
    for name in ("pairs", "shp", "trl", "chat-pairs", "trl-text"):
        export_dataset(tmp_path / "s", tmp_path / name, formats=[name])
        (file,) = (tmp_path / name).rglob("*.parquet")
        rows = len(rows_of(tmp_path / name))
        assert rows > 500
        assert file.stat().st_size < 0.1 * rows * len(body.encode()), name


def test_other_threads_change_nothing_but_confidence(store: Path, tmp_path: Path, now: datetime) -> None:
    before = {row["pair_id"]: row for row in _all(store, tmp_path / "a")}
    import_dump("reddit-dump", write_month(tmp_path / "more", thread("new", range(3, 30))), store, now=now)
    after = {row["pair_id"]: row for row in _all(store, tmp_path / "b")}
    assert len(after) > len(before)
    # What a community's votes look like is learned from all its threads.
    worth = {"confidence": None, "tier": None, "attention": None}
    assert all({**after[key], **worth} == {**row, **worth} for key, row in before.items())


def _all(store: Path, out: Path) -> list[dict[str, Any]]:
    export_dataset(store, out)
    return [
        {**row, "split": file.name.split("-")[0]}
        for file in out.rglob("*.parquet")
        for row in pl.read_parquet(file).to_dicts()
    ]


def test_an_earlier_version_of_the_store_gives_the_earlier_export(store: Path, tmp_path: Path, now: datetime) -> None:
    first = export_dataset(store, tmp_path / "a")
    import_dump("reddit-dump", write_month(tmp_path / "more", thread("new", (2, 4))), store, now=now)
    export_dataset(store, tmp_path / "b")
    export_dataset(store, tmp_path / "c", as_of=first.version)
    assert tree(tmp_path / "a") == tree(tmp_path / "c") != tree(tmp_path / "b")


def test_a_later_reading_replaces_the_score(tmp_path: Path, now: datetime) -> None:
    early = thread("p1", (9, 3))
    late = thread("p1", (3, 9), retrieved_on=READ + 86_400)
    for name, order in (("x", (early, late)), ("y", (late, early))):
        for number, dump in enumerate(order):
            import_dump("reddit-dump", write_month(tmp_path / f"{name}{number}", dump), tmp_path / name, now=now)
        export_dataset(tmp_path / name, tmp_path / f"{name}-o")
    assert tree(tmp_path / "x-o") == tree(tmp_path / "y-o")
    (row,) = rows_of(tmp_path / "x-o")
    assert row[f"answer{row['preferred']}_id"] == "p1c2"


def test_what_cannot_be_read_is_left_out_or_as_it_was_last_read(tmp_path: Path, now: datetime) -> None:
    dump = write_month(tmp_path / "dump", [*thread("p1", (3, 9, 5)), *thread("p2", (4, 8))])
    import_dump("reddit-dump", dump, tmp_path / "store", now=now)
    store = Store(tmp_path / "store")
    whole = {rule: export_dataset(store, tmp_path / "whole" / rule, rule=rule) for rule in ("shp", "calibrated")}
    later = (READ + 86_400) * 1_000_000
    assert hide_items(store, [ForgottenItem("reddit.com", "p1", "p1c2"), ForgottenItem("reddit.com", "p2")], later) == 2
    hidden = export_dataset(store, tmp_path / "hidden")
    assert hidden.pairs == {"asktest": 1}
    assert hidden.tally.dropped["answer", "unreadable"] == hidden.tally.dropped["post", "unreadable"] == 1
    assert "unreadable" not in {reason for _, reason in hidden.tally.notes}
    for name, before in whole.items():
        rule = shp_miner.preset(name, keep_unreadable=True, min_confidence=None)
        plain = shp_miner.preset(name, min_confidence=None)
        kept = export_dataset(store, tmp_path / "kept" / name, rule=rule)
        assert kept.tally.notes["answer", "unreadable"] == kept.tally.notes["post", "unreadable"] == 1
        export_dataset(store, tmp_path / "same" / name, rule=plain, as_of=before.version)
        assert rows_of(tmp_path / "kept" / name) == rows_of(tmp_path / "same" / name)
    # At an age, the readings count that there are; what cannot be read now is left out all the same.
    age = shp_miner.preset("votes", observe_at_s=READ - T0)
    assert export_dataset(store, tmp_path / "age", rule=age).pairs == {"asktest": 1}
    assert export_dataset(store, tmp_path / "age", rule=structs.replace(age, keep_unreadable=True)).pairs == {
        "asktest": 4
    }
    hide_items(store, [ForgottenItem("reddit.com", "p1")], later)
    with pytest.raises(BadInput, match="unreadable") as nothing:
        export_dataset(store, tmp_path / "nothing")
    assert "--keep-unreadable" in nothing.value.hint


# -- whole or not at all ----------------------------------------------------------------------------------------------


def test_nothing_is_published_if_a_check_fails(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    export_dataset(store, out)
    before = tree(out)
    form = FORMATS["pairs"]
    real = form.rows

    def broken(change: Callable[[Columns], Columns]) -> None:
        def rows(threads: Threads, rule_name: str) -> Columns:
            columns = real(threads, rule_name)
            return columns | change(columns)

        monkeypatch.setitem(FORMATS, "pairs", formats.Format(**{**vars(form), "rows": rows}))

    changes: list[tuple[Callable[[Any], Columns], str]] = [
        (
            lambda now: {"answer1": Repeated(now["answer1"].values.str.replace_all(".", " "), now["answer1"].rows)},
            "empty answer1",
        ),
        (lambda now: {"answer1": now["answer1"].laid_out().str.replace_all(".", "")}, "empty answer1"),
        (lambda now: {"answer1": now["answer2"]}, "two equal answers"),
        (lambda now: {"preferred": now["preferred"].clip(1, 1)}, "sides are not fair"),
    ]
    for change, words in changes:
        broken(change)
        with pytest.raises(CheckFailedError, match=words):
            export_dataset(store, out, rule="votes", replace=True)
        assert tree(out) == before
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == ["out"]


def conversation(question: str | None, answer: str | None) -> list[dict[str, str | None]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (conversation("Q?", " \n"), "empty chosen"),
        (conversation("", "A."), "empty chosen"),
        (conversation(None, "A."), "empty chosen"),
        ([], "empty chosen"),
        (None, "empty chosen"),
    ],
)
def test_conversations_are_checked_in_every_message(chosen: Any, words: str) -> None:
    form = FORMATS["chat-pairs"]
    row = {"chosen": chosen, "rejected": conversation("Q?", "B."), "pair_id": "s/p/a-b"}
    table = pa.Table.from_pylist([row], schema=form.schema)
    with pytest.raises(CheckFailedError, match=words):
        check.check_table(form, table)


def test_conversations_are_equal_if_their_answers_are() -> None:
    form = FORMATS["chat-pairs"]
    sides = [("A.", "A."), ("A.", "B."), ("B.", "B.")]
    rows = [{"chosen": conversation("Q?", a), "rejected": conversation("Q?", b)} for a, b in sides]
    assert check.check_table(form, pa.Table.from_pylist(rows, schema=form.schema)).same == 2


def test_an_error_ends_an_export_at_once(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shp_miner.export.dataset.ROWS_PER_RANGE", 3)
    begun = []

    def broken(job: Any, _: Any) -> None:
        begun.append(job.number)
        if job.number == 0:
            raise BadInput("Broken.", "")
        time.sleep(0.1)

    monkeypatch.setattr("shp_miner.export.dataset.mine_range", broken)
    with pytest.raises(BadInput, match="Broken"):
        export_dataset(store, tmp_path / "o", workers=2)
    assert len(begun) < len(Store(store).snapshot().ranges(3)) / 2
    assert not (tmp_path / "o").exists()


def test_a_thread_in_the_wrong_split_is_found(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "SPLITS", ("test", "train", "validation"))
    with pytest.raises(CheckFailedError, match="in a split that is not its own"):
        export_dataset(store, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_datasets_does_not_hand_out_the_rows_of_an_earlier_export(tmp_path: Path) -> None:
    out, counts = tmp_path / "out", []
    for posts in (1, 3):
        records = [record for number in range(posts) for record in thread(f"p{number}")]
        import_dump("reddit-dump", write_month(tmp_path / f"dumps-{posts}", records), tmp_path / "store")
        export_dataset(tmp_path / "store", out, validation=0, test=0)
        loaded = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
        counts.append((loaded["train"].num_rows, shp_miner.load(out).to_polars().height))
    (first, there), (second, there_again) = counts
    assert (first, second) == (there, there_again)
    assert first < second


def test_times_of_clocks_lose_what_an_export_does_not_hold() -> None:
    times = pl.Series([T0 * 1_000_000 + 999_999, None], dtype=pl.Datetime("us", "UTC"))
    kind = pa.timestamp("ms", "UTC")
    expected = [T0 * 1000 + 999, None]
    assert to_arrow(times, kind).cast(pa.int64()).to_pylist() == expected
    repeated = to_arrow(Repeated(times, pl.Series([1, 0])), kind)
    assert repeated.dictionary_decode().cast(pa.int64()).to_pylist() == expected[::-1]


def test_reserved_columns_are_refused(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form = FORMATS["kto"]
    schema = form.schema.append(pa.field("margin", pa.float64()))
    monkeypatch.setitem(FORMATS, "kto", formats.Format(**{**vars(form), "schema": schema}))
    with pytest.raises(CheckFailedError, match="margin"):
        export_dataset(store, tmp_path / "o", formats=["kto"])


def test_what_is_not_an_export_is_never_replaced(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "precious"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not an export"):
        export_dataset(store, out)
    assert tree(out) == {"thesis.txt": b"years of work"}


def test_an_export_replaces_an_earlier_one_of_other_formats(store: Path, tmp_path: Path) -> None:
    export_dataset(store, tmp_path / "o", formats=["trl", "kto"])
    export_dataset(store, tmp_path / "o", formats=["sft"], replace=True)
    assert FORMATS["sft"].schema.names == list(rows_of(tmp_path / "o")[0])
    assert not (tmp_path / "o" / "trl").exists()


def test_an_export_stopped_between_its_two_renames_is_found_again(store: Path, tmp_path: Path) -> None:
    export_dataset(store, tmp_path / "o")
    before = tree(tmp_path / "o")
    (tmp_path / "o").rename(tmp_path / ".o.old")
    with pytest.raises(BadInput):
        export_dataset(store, tmp_path / "o", rule=shp_miner.preset("shp", min_answer_score=10**6))
    assert tree(tmp_path / "o") == before


@pytest.mark.parametrize(
    ("parameters", "reason", "way_out"),
    [
        ({"min_post_score": 1000}, "post dropped", "--min-post-score"),
        ({"min_confidence": 0.999999}, "(127 pairs: confidence too low", "--min-confidence"),
        ({"observe_at_s": 60.0}, "not observed at age", "--observe-at"),
        ({"min_score_age_s": 1e9}, "score read too early", "--min-score-age"),
    ],
    ids=str,
)
def test_no_pair_at_all_is_told_with_what_would_help(
    parameters: dict[str, Any], reason: str, way_out: str, store: Path, tmp_path: Path
) -> None:
    from shp_miner import preset

    with pytest.raises(BadInput) as caught:
        export_dataset(store, tmp_path / "o", rule=preset("shp", **parameters))
    assert reason in caught.value.message
    assert way_out in caught.value.hint
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"formats": ["parquet"]},
        {"rule": "best"},
        {"validation": 0.6, "test": 0.5},
        {"validation": -0.1},
        {"test": math.nan},
    ],
    ids=str,
)
def test_wrong_words_are_explained(wrong: dict[str, Any], store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        export_dataset(store, tmp_path / "o", **wrong)
    assert not (tmp_path / "o").exists()


def test_communities_and_dropped_rows(store: Path, tmp_path: Path) -> None:
    result = export_dataset(store, tmp_path / "o", communities=["r/AskMore"], keep_dropped=tmp_path / "dropped")
    assert list(result.pairs) == ["askmore"]
    assert {row["community"] for row in rows_of(tmp_path / "o")} == {"askmore"}
    kept = result.tally.dropped
    answers = rows_of(tmp_path / "dropped" / "answers") if any((tmp_path / "dropped" / "answers").iterdir()) else []
    counted = sum(count for (kind, _), count in kept.items() if kind == "answer")
    assert len(answers) == counted
    assert all(row["reason"] for row in answers)


@pytest.mark.parametrize("option", ["--validation", "--test", "--min-ratio", "--min-confidence"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_is_no_number_is_refused(option: str, value: str, store: Path, tmp_path: Path) -> None:
    assert run(["export", str(tmp_path / "o"), option, value, "--store", str(store), "--quiet"]) == 2
    assert not (tmp_path / "o").exists()


def test_validation_and_test_can_be_left_out(store: Path, tmp_path: Path) -> None:
    export_dataset(store, tmp_path / "o", validation=0, test=0)
    assert set(load_dataset(str(tmp_path / "o"))) == {"train"}


def test_splits_are_disjoint_by_thread(store: Path, tmp_path: Path) -> None:
    export_dataset(store, tmp_path / "o", validation=0.3, test=0.3)
    posts = {
        split: set(shp_miner.load(tmp_path / "o", split=split)["post_id"]) for split in ("train", "validation", "test")
    }
    assert all(posts.values())
    assert not any(a & b for a, b in itertools.combinations(posts.values(), 2))


def test_a_folder_that_only_contains_exports_is_not_one(store: Path, tmp_path: Path) -> None:
    for name in ("o", "pairs"):
        export_dataset(store, tmp_path / "mine" / name)
    (tmp_path / "mine" / "notes.txt").write_text("about them")
    before = tree(tmp_path / "mine")
    with pytest.raises(UsageError, match="not an export"):
        export_dataset(store, tmp_path / "mine")
    assert tree(tmp_path / "mine") == before


def test_load_explains_what_is_wrong(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    export_dataset(store, out)
    with pytest.raises(BadInput, match="not an export"):
        shp_miner.load(tmp_path)
    with pytest.raises(UsageError, match="no rows of nobody"):
        shp_miner.load(out, "nobody")
    with pytest.raises(UsageError, match="no format 'kto'"):
        shp_miner.load(out, format="kto")
    next(out.rglob("*.parquet")).unlink()
    with pytest.raises(BadInput, match="does not have the file"):
        shp_miner.load(out)
