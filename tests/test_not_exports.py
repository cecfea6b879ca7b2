"""Every command that reads an export refuses what is no export, or a damaged one, in one sentence with exit code 5."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import shp_miner
from shp_miner import BadInput
from shp_miner.cli import run

from .training_data import exported, made_threads


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("whole"), made_threads(260))


def _nothing(out: Path) -> None:
    shutil.rmtree(out)


def _empty(out: Path) -> None:
    _nothing(out)
    out.mkdir()


def _file(out: Path) -> None:
    _nothing(out)
    out.write_text("hello")


def _half(out: Path) -> None:
    manifest = out / "manifest.json"
    manifest.write_text(manifest.read_text()[:300])


def _later(out: Path) -> None:
    manifest = out / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"layout": 99}))


def _lacks_a_file(out: Path) -> None:
    next(out.rglob("train*.parquet")).unlink()


def _damaged(out: Path) -> None:
    """Other bytes in the middle of the texts: the footer is whole, the rows are not."""
    file = next(out.rglob("train*.parquet"))
    content = bytearray(file.read_bytes())
    content[200:1200] = bytes(1000)
    file.write_bytes(content)


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing": (_nothing, "is not an export|neither an export nor a store"),
    "empty": (_empty, "is not an export|neither an export nor a store"),
    "file": (_file, "is not an export|neither an export nor a store"),
    "half a manifest": (_half, "manifest.json is damaged"),
    "a later layout": (_later, "has the layout 99; this version reads layout 1"),
    "other bytes": (_damaged, r"train-\S*\.parquet (is damaged|is not the file|has another SHA-256)"),
    "a file lacks": (_lacks_a_file, r"does not have the file .*train-.*\.parquet|train-.*\.parquet is missing"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("command", ["check", "train", "push", "show"])
def test_a_command_says_what_is_wrong_with_an_export(
    command: str,
    wrong: str,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # a push that asks the Hub would end with 75
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    change, told = WRONG[wrong]
    change(out)
    before = sorted(tmp_path.rglob("*"))
    assert run([command, str(out), *(["me/data", "--dry-run"] if command == "push" else [])]) == 5
    captured = capsys.readouterr()
    said = " ".join((captured.err or captured.out).split())
    assert re.search(told, said)
    assert "Traceback" not in said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("wrong", WRONG)
def test_reading_from_python_says_it_too(wrong: str, whole: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    change, told = WRONG[wrong]
    change(out)
    with pytest.raises(BadInput, match=told.replace("neither an export nor a store", "never")):
        shp_miner.load(out, split="train")


def test_a_damaged_file_of_answers_is_bad_input(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(whole), "--out", str(tmp_path / "m"), "--quick", "--quiet"]) == 0
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    _damaged(out)
    file = next(out.rglob("train*.parquet"))
    assert run(["score", str(tmp_path / "m"), str(file)]) == 5
    assert f"{file} is damaged: it is not readable as Parquet." in capsys.readouterr().err
    file.write_bytes(file.read_bytes()[:900])
    assert run(["score", str(tmp_path / "m"), str(file)]) == 5
    with pytest.raises(BadInput, match="is damaged"):
        shp_miner.load(out, split="train")
