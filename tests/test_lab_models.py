"""Models of words for every preset and rival, on stores whose truth is known."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from shp_miner.cli import run as command
from shp_miner.lab.lessons import Measured
from shp_miner.lab.models import compare_models
from shp_miner.lab.threads import Threads
from shp_miner.store import Store

from .build import T0
from .test_lab_real import DAY, PLAIN, Row, one, store_of


def _store(path: Path) -> Store:
    """Threads in which a word decides the votes; the answers were read twice, with votes apart."""

    def answers(n: int, dice: random.Random) -> list[Row]:
        scores = dice.sample(range(2, 60), 6)
        middle = sorted(scores)[3]
        texts = [" ".join([*dice.choices(PLAIN, k=12), "because" if score >= middle else "well"]) for score in scores]
        return [
            one(
                n,
                i,
                1 + round(score * share),
                body=texts[i],
                observed_at=(T0 + day * DAY) * 1_000_000,
                upvotes=round(score * share) + 1,
                downvotes=1,
                accepted=score == max(scores),
            )
            for i, score in enumerate(scores)
            for day, share in ((3, 0.5), (300, 1.0))
        ]

    return store_of(path, answers, threads=70)


def test_every_lesson_is_learned_and_bytes_follow_from_the_seed(tmp_path: Path) -> None:
    store = _store(tmp_path / "s")
    shares: list[float] = []
    tables = compare_models(store, tmp_path / "a", advance=shares.append)
    assert sum(shares) == pytest.approx(1)
    assert [table.title for table in tables] == [
        f"reddit.com: by {judge}, {split} split"
        for split in ("random", "time")
        for judge in ("votes", "accepted answers")
    ]
    rows = {row[0]: dict(zip(tables[0].columns, row, strict=True)) for row in tables[0].rows}
    for name in ("shp", "votes", "comparisons", "votes with the offset", "two towers", "WorldPM", "CVA"):
        # 9 of 15 pairs have the word on one side alone; of the other 6 nothing can be known.
        assert float(rows[name]["accuracy"]) == pytest.approx(9 / 15 + 6 / 15 / 2, abs=0.08), name
    assert rows["shp"]["less shp"] is None
    compare_models(store, tmp_path / "b", advance=shares.append)
    for name in ("models.md", "models.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert b"writer-" not in (tmp_path / "a" / "models.md").read_bytes()


def test_offsets_come_from_the_threads_that_are_learned_from(tmp_path: Path) -> None:
    # Two stores that differ in the votes of the last ten threads.
    def answers(n: int, dice: random.Random, last: int) -> list[Row]:
        scores = sorted(dice.sample(range(2, 60), 6), reverse=True)
        return [one(n, i, scores[i] if n < 20 else last * i + 2) for i in range(6)]

    found, others = [], []
    for last in (3, 9):
        store = store_of(tmp_path / f"s{last}", lambda n, dice, last=last: answers(n, dice, last), threads=30)  # type: ignore[misc]
        threads = Threads.read(store.snapshot())
        hashes = {int(post[1:]): number for number, post in threads.posts.select("thread_hash", "post_id").rows()}
        measured = Measured(threads)
        found.append(measured.attention(np.array([hashes[n] for n in range(20)])))
        others.append(measured.attention(np.array([hashes[n] for n in range(20, 30)])))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(others[0], others[1])
    assert not np.array_equal(found[0], others[0])


def test_the_command_says_what_cannot_be_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store_of(Path("s"), lambda n, dice: [one(n, 0, 3), one(n, 1, 9)], threads=3)
    assert command(["lab", "out", "--store", "s", "--models", "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert table["note"] == "Not possible: there are fewer than 60 pairs to test on."
    assert Path("out/models.md").exists()
    assert command(["lab", "other", "--models"]) == 2
    assert "--models needs --store" in capsys.readouterr().err
    assert command(["lab", "other", "--store", "s", "--models", "--audit", "a"]) == 2
    assert not Path("other").exists()
