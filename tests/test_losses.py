"""What is lost is told with its own reason and what to do about it, and a bad time of reading costs the age alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shp_miner.cli import run
from shp_miner.dumps import stackexchange_7z
from shp_miner.dumps.threads import Collector
from shp_miner.model import SCORE_MAX
from shp_miner.store import Store
from shp_miner.tally import HINTS, LOST, UNDAMAGED

from .build import READ, at, comment, submission, write_dump
from .stackexchange_dump import LZMA2, archive, question, table
from .test_import_threads import thread


def imported(
    kind: str, path: Path, *options: str, capsys: pytest.CaptureFixture[str], code: int = 0
) -> tuple[dict[str, Any], str]:
    """The command's JSON and what it told people."""
    assert run(["import", kind, str(path), "--store", "store", "--json", *options]) == code
    told = capsys.readouterr()
    found: dict[str, Any] = json.loads(told.out)
    return found, told.err


@pytest.mark.parametrize("read_at", [0, "0", "", -1, 0.0, "never", READ * 1000, 10**400])
def test_a_time_of_reading_that_cannot_be_costs_the_age_and_not_the_record(
    read_at: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [comment("c1", retrieved_on=read_at), comment("c2")]
    data, _ = imported("reddit-dump", write_dump(Path("RC_x"), records), capsys=capsys)
    assert data["kept"] == {"answer": 2}
    assert data["complete"]
    answers = Store("store").snapshot().scan("answers").collect()
    assert dict(answers.select("answer_id", "observed_at").iter_rows()) == {"c1": None, "c2": at(READ)}


@pytest.mark.parametrize("read_at", [0, "", None])
def test_own_threads_may_say_in_every_way_that_nobody_knows_when_it_was_read(
    read_at: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    data, _ = imported("threads", write_dump(Path("t.jsonl"), [thread("1", observed_at=read_at)]), capsys=capsys)
    assert data["kept"]["post"] == 1
    assert data["changed"]["post"] == {"score_age_unknown": 1}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (thread("1", score="7"), "bad_score"),
        (thread("1", score=2**63), "bad_score"),
        (thread("1", created_at="2024-01-02T03:04:05"), "bad_time"),
        (thread("1", votes=7), "unknown_field"),
        (thread("1", created_at=4_000_000_000), "time_in_future"),
        ("{", "not_json"),
        (b"\xff\xfe\xff{}", "not_utf8"),
    ],
)
def test_the_hint_is_that_of_the_reason(record: Any, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    data, told = imported("threads", write_dump(Path("t.jsonl"), [thread("0"), record]), capsys=capsys, code=3)
    assert data["dropped"]["post"] == {reason: 1}
    assert f"{reason.replace('_', ' ')}: {HINTS[reason]}" in told
    assert data["hints"] == [f"{reason.replace('_', ' ')}: {HINTS[reason]}"]
    assert UNDAMAGED not in told


def test_several_reasons_have_a_hint_each_and_a_file_that_broke_off_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = write_dump(Path("RS_x.zst"), [submission("p1", score="many"), submission("p2", created_utc="late")])
    cut = write_dump(Path("RS_y.zst"), [submission("p3")])
    cut.write_bytes(cut.read_bytes()[:-3])
    data, told = imported("reddit-dump", wrong, str(cut), capsys=capsys, code=3)
    assert data["dropped"] == {"post": {"bad_score": 1, "bad_time": 1}}
    for hint in (HINTS["bad_score"], HINTS["bad_time"], UNDAMAGED):
        assert told.count(hint) == 1


def test_every_reason_has_a_hint() -> None:
    assert f"2^{SCORE_MAX.bit_length() - 1}" in HINTS["bad_score"]
    assert all(HINTS[reason].endswith(".") for reason in LOST)


def two_files(folder: Path) -> list[str]:
    return [str(write_dump(folder / f"{name}.jsonl", [thread(name)])) for name in ("good", "met")]


@pytest.mark.parametrize("words", [[], ["-v"]])
def test_an_error_of_our_own_is_not_called_damage(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    added = Collector.added

    def fails(self: Collector, path: Path, *rest: Any) -> Any:
        return added(self, path, *rest) if path.stem == "good" else [len(rest) + path]  # type: ignore[operator]

    monkeypatch.setattr(Collector, "added", fails)
    assert run(["import", "threads", *two_files(tmp_path), "--store", "store", *words]) == 1
    told = capsys.readouterr().err
    assert "for an error of shp-miner itself (TypeError)" in told
    assert "This is a bug, not damage: please report it with the output of -v." in told
    assert UNDAMAGED not in told
    assert ("Traceback" in told and "in fails" in told) == bool(words)
    assert Store("store").snapshot().rows("posts") == 1


def test_a_lack_of_memory_is_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(Collector, "added", fails)
    assert run(["import", "threads", *two_files(tmp_path), "--store", "store"]) == 75
    assert "memory" in capsys.readouterr().err


def test_an_error_of_our_own_is_no_corruption_of_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.7z", {"Posts.xml": table("posts", question(1))}, LZMA2)
    monkeypatch.setattr(stackexchange_7z, "BLOCK_BYTES", "many")
    with pytest.raises(TypeError):
        list(stackexchange_7z.archive_blocks(path, ["Posts.xml"], lambda _: None))
