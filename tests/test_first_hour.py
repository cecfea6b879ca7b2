"""What a new user writes who has read the README alone: each wrong call is answered with the right one."""

from __future__ import annotations

from pathlib import Path

import pytest

import shp_miner
from shp_miner.cli import run

from .build import thread, write_month


@pytest.fixture
def store() -> str:
    assert run(["import", "reddit-dump", *map(str, write_month(Path("dumps"), thread("p1"))), "--quiet"]) == 0
    assert run(["export", "out", "--quiet"]) == 0
    return "data/store"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["crawl", "r/askscience"], 2, "Name the source first: `shp-miner crawl reddit askscience` (needs"),
        (["show", "out", "5"], 2, "give -n 5; for a thread, --thread ID."),
        (["compare", "--rule", "votes"], 2, "`shp-miner export OUT --rule RULE --dry-run` shows one."),
        (["completion", "zsh", "--install"], 2, "`shp-miner completion --help` says where to put it."),
        (
            ["status", "--store", "out"],
            5,
            "out is an export, not a store.\nName the store with --store",
        ),
        (["export", "new", "--min-confidence", "80"], 2, "80.0 is not in the range 0.5<x<1: write 0.8."),
        (["export", "new", "--since", "2024-01-01", "--until", "2023-01-01"], 2, "Exchange the two, or leave one out."),
        (["import", "https://forum.example/RS.zst"], 2, "is an address, not a file.\nDownload it"),
        (["import", "threads", "https://forum.example/t.jsonl"], 2, "is an address, not a file or folder: download it"),
        (["explain", "shp-strct"], 2, "Did you mean 'shp-strict'?"),
        (["explain", "trl", "votes"], 0, "votes (rule):"),
        (["explain", "--min-score-age"], 0, "min_score_age_s (parameter of a rule):"),
    ],
)
def test_a_wrong_call_is_answered_with_the_right_one(
    words: list[str], code: int, told: str, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(words) == code
    captured = capsys.readouterr()
    assert told in captured.out + captured.err


def test_dates_in_the_wrong_order_are_refused_in_python_too() -> None:
    with pytest.raises(shp_miner.UsageError, match=r"since \(2024-01-01\) is not before until \(2023-01-01\)"):
        shp_miner.preset("shp", since="2024-01-01", until="2023-01-01")
