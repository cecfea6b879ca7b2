"""One reading of the names of communities, and what is said of names that are not there."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner import load
from shp_miner.cli import run
from shp_miner.pipeline import config
from shp_miner.pipeline import run as running
from shp_miner.platforms.communities import meant_communities, stored_name, undecorated_name
from shp_miner.sources.reddit_answers import plain_name
from shp_miner.store import Store

from .build import READ, comment, thread, write_dump, write_month

SPELLINGS = [
    "asktest",
    "AskTest",
    "r/AskTest",
    "/r/asktest",
    "/r/AskTest/",
    "R/ASKTEST",
    " r/asktest ",
    "https://www.reddit.com/r/AskTest/",
    "old.reddit.com/r/AskTest",
]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        *((spelling, "asktest") for spelling in SPELLINGS),
        ("u/Somebody", "u_somebody"),
        ("/user/Somebody/", "u_somebody"),
        ("!asklemmy@lemmy.world", "asklemmy"),
        ("/c/asklemmy", "asklemmy"),
        ("https://lemmy.world/c/asklemmy@lemmy.ml", "asklemmy"),
        ("support/windows", "support/windows"),
        ("r", "r"),
        ("r/a/b", "r/a/b"),
        ("C#", "c#"),
        ("Помощь", "помощь"),
    ],
)
def test_what_people_write_is_one_name(written: str, name: str) -> None:
    assert stored_name(written) == name


@given(st.text(max_size=12))
def test_a_name_that_is_read_reads_as_itself(text: str) -> None:
    assert undecorated_name(undecorated_name(text)) == undecorated_name(text) or "/" in undecorated_name(text)
    assert meant_communities([text], {text.strip().lower()})[1] == []


@pytest.mark.parametrize("written", SPELLINGS[4::2])
def test_import_export_and_crawl_read_every_spelling(written: str, tmp_path: Path) -> None:
    records = [*thread("p1", scores=range(3, 30, 3)), *thread("p2", subreddit="Other")]
    files = map(str, write_month(tmp_path / "dumps", records))
    assert run(["import", "reddit-dump", *files, "--community", written, "--store", "store", "--quiet"]) == 0
    assert Store("store").snapshot().communities() == {"asktest"}
    assert run(["export", "out", "--community", written, "--store", "store", "--quiet"]) == 0
    assert plain_name(written).lower() == "asktest"


@pytest.mark.parametrize("way", [[], ["--thorough"]])
def test_an_import_of_a_name_that_is_not_there_is_refused_with_the_nearest(
    way: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [*thread("p1"), *thread("p2", subreddit="AskBaking"), *thread("p3", subreddit="other")]
    files = list(map(str, write_month(tmp_path / "dumps", records)))
    command = ["import", "reddit-dump", *files, "--store", "store", *way, "--community"]
    assert run([*command, "askbakng"]) == 5
    said = capsys.readouterr().err
    assert "The dump has no community 'askbakng'." in said
    assert "The nearest names: askbaking" in said
    assert run([*command, "zzzz"]) == 5
    assert "It has 3: askbaking, asktest, other." in capsys.readouterr().err


def test_an_import_of_which_some_names_are_there_says_which_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_dump(tmp_path / "RC", [comment("c1"), comment("c2", parent_id="t1_c1", subreddit="nested")])
    command = ["import", "reddit-dump", str(path), "--store", "store", "--community", "asktest", "--community"]
    assert run([*command, "asktets", "--json"]) == 3
    told = capsys.readouterr()
    assert json.loads(told.out)["kept"] == {"answer": 1}
    assert "The dump has no community 'asktets'. The nearest names: asktest" in told.err
    assert run([*command, "nested"]) == 0, "it is there, though nothing of it is kept"


def test_an_export_of_a_name_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = list(map(str, write_month(tmp_path / "dumps", thread("p1", scores=range(3, 30, 3)))))
    assert run(["import", "reddit-dump", *files, "--store", "store", "--quiet"]) == 0
    assert run(["export", "out", "--community", "r/asktets", "--store", "store"]) == 5
    assert "The store has no community 'asktets'.\nThe nearest names: asktest." in capsys.readouterr().err
    assert not Path("out").exists()
    both = ["--community", "asktest", "--community", "nowhere"]
    assert run(["export", "out", *both, "--store", "store", "--quiet"]) == 3
    assert "The store has no community 'nowhere'." in capsys.readouterr().err
    assert Path("out/README.md").exists()


def _run(tmp_path: Path, **tables: Any) -> list[Any]:
    return running.run(config.parse({"store": str(tmp_path / "store"), **tables}), "test.toml").steps


def test_a_pipeline_says_once_that_a_file_has_nothing_of_its_communities(tmp_path: Path) -> None:
    file = write_dump(tmp_path / "RC_1", [comment("c1")])
    keys = {"kind": "reddit-dump", "paths": [str(file)], "communities": ["/r/asktets"]}
    (step,) = _run(tmp_path, **{"import": [keys]})
    assert (step.said, step.exit_code) == (
        "The dump has no community 'asktets'. The nearest names: asktest.",
        5,
    )
    assert _run(tmp_path, **{"import": [keys]}) == []


def test_a_pipeline_names_what_its_export_asks_for_and_the_store_has_not(tmp_path: Path) -> None:
    write_month(tmp_path / "dumps", thread("p1", scores=range(3, 30, 3), retrieved_on=READ))
    imports = [{"kind": "reddit-dump", "paths": [str(tmp_path / "dumps")], "communities": ["/r/AskTest"]}]
    exports = [
        {"out": str(tmp_path / "both"), "communities": ["r/AskTest", "r/asktets"]},
        {"out": str(tmp_path / "none"), "communities": ["asktets"]},
    ]
    _, both, none = _run(tmp_path, **{"import": imports, "export": exports})
    assert both.exit_code == 0
    assert "pairs from 1 posts. The store has no community 'asktets'." in both.said
    assert none.exit_code == 3
    assert none.said.startswith("The store has no community 'asktets'.")


def _threads(path: Path, *communities: str) -> Path:
    """A file of own threads, one of each community."""
    answers = [
        {"answer_id": n, "body": f"answer {n} of {n}", "created_at": READ - 100_000 + n, "score": 2 + 3 * n}
        for n in range(4)
    ]
    shared = {"site": "a.example", "title": "t", "created_at": READ - 200_000, "score": 9, "observed_at": READ}
    rows = [
        {**shared, "community": name, "post_id": number, "answers": answers} for number, name in enumerate(communities)
    ]
    return write_dump(path, rows)


NAMES = ["Help", "C#", "Board A", "Türkçe İ", "Straße", "ΑΣ", "r/Own"]


@pytest.mark.parametrize("spell", [str, str.lower, str.upper, str.swapcase])
def test_a_community_is_selected_in_any_letter_case(
    spell: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _threads(tmp_path / "t.jsonl", *NAMES)
    assert run(["import", "threads", str(file), "--store", "store", "--quiet"]) == 0
    for number, name in enumerate(NAMES):
        out = f"out{number}"
        assert run(["export", out, "--community", spell(name), "--store", "store", "--json"]) == 0
        assert list(json.loads(capsys.readouterr().out)["posts"]) == [name]
        assert set(load(out, spell(name))["community"]) == {name}


def test_communities_that_differ_in_letter_case_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _threads(tmp_path / "t.jsonl", "Help", "help", "other")
    assert run(["import", "threads", str(file), "--store", "store", "--quiet"]) == 0
    for asked, found in (("Help", ["Help"]), ("help", ["help"]), ("HELP", ["Help", "help"])):
        assert run(["export", asked, "--community", asked, "--store", "store", "--json"]) == 0
        assert list(json.loads(capsys.readouterr().out)["posts"]) == found
    assert run(["export", "near", "--community", "BOARD", "--community", "OTHERS", "--store", "store"]) == 5
    assert "The nearest names: other." in capsys.readouterr().err


@pytest.mark.parametrize("asked", [[], ["board a"]])
def test_a_pipeline_exports_what_it_imports_in_its_letter_case(asked: list[str], tmp_path: Path) -> None:
    file = _threads(tmp_path / "t.jsonl", "Board A")
    keys = {"import": [{"kind": "threads", "paths": [str(file)]}]}
    steps = _run(tmp_path, **keys, export=[{"out": str(tmp_path / "out"), "communities": asked}])
    assert [step.exit_code for step in steps] == [0, 0]
    assert set(load(tmp_path / "out")["community"]) == {"Board A"}


def test_a_pipeline_that_finds_nothing_of_what_it_imported_says_so_and_ends_with_3(tmp_path: Path) -> None:
    file = _threads(tmp_path / "t.jsonl", "Board A")
    exports = [{"out": str(tmp_path / "out"), "sites": ["elsewhere.example"]}]
    _, export = _run(tmp_path, **{"import": [{"kind": "threads", "paths": [str(file)]}], "export": exports})
    assert (export.exit_code, "no threads of the site" in export.said) == (3, True)


def test_a_name_takes_time_by_its_length() -> None:
    start = time.process_time()
    assert len(stored_name("n" * 1_000_000)) == 1_000_000
    assert time.process_time() - start < 2
