"""Small inputs that people who do this job reported, where this machine has them; each has synthetic text."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shp_miner.cli import run

from .conftest import ROOT

FOLDER = Path(os.environ.get("SHP_MINER_TEST_CASES", ROOT.parent / "shared" / "cases"))
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no reported cases beside the project (set SHP_MINER_TEST_CASES to their folder)"
)


class Case(NamedTuple):
    """What is imported, the exit code, what is kept, and words that people are told."""

    kind: str
    paths: tuple[str, ...]
    code: int = 0
    kept: dict[str, int] | None = None
    told: tuple[str, ...] = ()
    changed: dict[str, Any] | None = None


BOTH = {"post": 2, "answer": 6}

CASES = {
    "restored": Case("reddit-dump", ("restored-after-36h",), kept={"post": 1, "answer": 3}),
    "other endings": Case("reddit-dump", ("folder-passed-over",), kept=BOTH),
    "no endings": Case("reddit-dump", ("folder-no-extension",), kept=BOTH),
    "folders in folders": Case("reddit-dump", ("torrent-folders",), kept=BOTH),
    "tar.gz": Case("reddit-dump", ("tar-inside/RS_x.tar.gz",), 5, told=("is a tar archive", "tar -xOf")),
    "tar.zst": Case("reddit-dump", ("tar-inside/RC_x.tar.zst",), 5, told=("is a tar archive", "tar -xOf")),
    "folder of tars": Case("reddit-dump", ("tar-inside",), 5, told=("is a tar archive",)),
    "mixed": Case("reddit-dump", ("mixed-posts-and-comments/user.jsonl",), kept={"post": 2, "answer": 3}),
    "UTF-16": Case("reddit-dump", ("utf16/RS_x", "utf16/RC_x"), kept=BOTH),
    "folder of UTF-16": Case("reddit-dump", ("utf16",), kept=BOTH),
    "forbidden characters": Case(
        "stackexchange-dump",
        ("forbidden-characters/cooking.stackexchange.com",),
        kept={"post": 1, "answer": 4},
        changed={"line": {"text_repaired": 3}},
    ),
    "folder of archives": Case("stackexchange-dump", ("folder-of-archives",), kept=BOTH),
    "decimals": Case("threads", ("parquet-types/decimal-score.parquet",), kept={"post": 3, "answer": 9}),
    "naive times": Case("threads", ("parquet-types/naive-times.parquet",), 5, told=("no time zone", "utc=True")),
    "folder of Parquet": Case(
        "threads", ("parquet-types",), 3, {"post": 3, "answer": 9}, told=("naive-times.parquet", "utc=True")
    ),
    "own threads in a folder": Case("threads", ("community-default",), kept={"post": 12, "answer": 36}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_reported_case_comes_out_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES[name]
    paths = [str(FOLDER / path) for path in case.paths]
    code = run(["import", case.kind, *paths, "--store", "store", "--json"])
    told = capsys.readouterr()
    assert code == case.code, told.err
    assert all(words in told.err for words in case.told), told.err
    if case.kept is not None:
        data = json.loads(told.out)
        assert data["kept"] == case.kept
        assert data["changed"] == (case.changed or {})
