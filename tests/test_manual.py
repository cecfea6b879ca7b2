"""`docs` and `explain`: the pages and the words of the program, where an installed user can read them."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from shp_miner import FORMATS, PRESETS
from shp_miner.clean.cleaning import Cleaning
from shp_miner.cli import run
from shp_miner.errors import EXIT_CODES, Error
from shp_miner.export.nothing import _WAYS_OUT
from shp_miner.manual.pages import pages, questions, search, section, sections, slugged
from shp_miner.manual.terms import explain, terms
from shp_miner.rules.presets import Rule
from shp_miner.rules.reasons import REASONS
from shp_miner.tally import LOST

from .conftest import ROOT
from .test_progress import Terminal


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert run(words) == code
    captured = capsys.readouterr()
    return captured.out + captured.err


def parsed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(answer(capsys, *words, "--json"))
    return data


# -- pages -------------------------------------------------------------------------------------------------------------


def test_every_page_is_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = answer(capsys, "docs")
    data = parsed(capsys, "docs")
    files = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {row["page"] for row in data["pages"]} == files | {"readme"}
    for row in data["pages"]:
        assert f"  {row['page']} " in text
        assert row["title"] in text
    for name in ("rules", "RULES", "rules.md", "docs/rules.md"):
        assert answer(capsys, "docs", name) == (ROOT / "docs" / "rules.md").read_text()
    assert parsed(capsys, "docs", "decisions/delta")["text"] == (ROOT / "docs/decisions/delta.md").read_text()


def test_the_questions_are_those_of_the_front_page_and_their_pages_are_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = questions()
    assert len(asked) > 15
    for question, names in asked:
        assert f"{question}: {', '.join(names)}" in answer(capsys, "docs")
        assert names
        for name in names:
            assert section(name) is not None


def test_a_section_is_shown_by_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    text = answer(capsys, "docs", "rules#score-age")
    assert text.startswith("## Score age\n")
    assert "## Parameters" not in text
    data = parsed(capsys, "docs", "cron#exit-code-75-try-later")
    assert (data["page"], data["level"], data["heading"]) == ("cron", 3, "Exit code 75: try later")
    assert "Did you mean rules#score-age?" in answer(capsys, "docs", "rules#scores-age", code=2)
    assert "shows the whole page" in answer(capsys, "docs", "rules#xyz", code=2)


def test_the_anchors_are_those_that_links_use() -> None:
    assert slugged("`shp-miner doctor --repair`") == "shp-miner-doctor-repair"
    for name, path in pages().items():
        for target, anchor in re.findall(r"\]\(([\w/-]*)(?:\.md)?#([^)]+)\)", path.read_text()):
            if target.startswith("http"):
                continue
            there = (Path(name).parent / target.removeprefix("docs/")).as_posix() if target else name
            text, slugs = pages()[there].read_text(), {part.slug for part in sections(there, pages()[there])}
            assert anchor in slugs or f'<a id="{anchor}">' in text, (name, target, anchor)


def test_headings_in_code_are_none(tmp_path: Path) -> None:
    page = tmp_path / "p.md"
    page.write_text("# Title\n\n```sh\n# a comment\n```\n\n## One\n\ntext\n\n## One\n\nmore\n")
    assert [part.address for part in sections("p", page)] == ["p", "p#title", "p#one", "p#one_1"]


def test_a_word_leads_to_its_sections(capsys: pytest.CaptureFixture[str]) -> None:
    assert search("prometheus")[0].address == "cron#prometheus"
    assert "cron#prometheus" in answer(capsys, "docs", "Prometheus")
    assert "rules#score-age" in [row["address"] for row in parsed(capsys, "docs", "score", "age")["sections"]]
    assert "No page has 'xyzzy'" in (told := answer(capsys, "docs", "xyzzy", code=2))
    assert "Did you mean" not in told
    assert "Did you mean `shp-miner docs calibrated`?" in answer(capsys, "docs", "calbrated", code=2)
    assert "Did you mean `shp-miner docs score confidence`?" in answer(capsys, "docs", "score", "confidense", code=2)


@pytest.mark.parametrize(
    ("pager", "environment", "styled"),
    [("less", {}, True), ("less", {"LESS": "-iS"}, True), ("other", {}, False), ("less", {"TERM": "dumb"}, False),
     ("nowhere", {}, True)],
)  # fmt: skip
def test_a_page_is_styled_only_for_what_shows_styles(
    pager: str, environment: dict[str, str], styled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("less", "other"):
        (tmp_path / name).write_text('#!/bin/sh\necho "LESS=$LESS."\nexec cat\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.delenv("LESS", raising=False)
    code, lines = (terminal := Terminal("docs", "looking", PAGER=str(tmp_path / pager), **environment)).end()
    assert code == 0
    assert ("\x1b[" in terminal.data) == styled
    assert "\x1b]8" not in terminal.data, "an address would hide behind a link"
    if pager == "less":
        assert f"LESS=-R{' -iS' * ('LESS' in environment)}." in lines
    assert any("`docs rules#which-rule-to-choose`".strip("`") in line for line in lines)


@pytest.mark.parametrize("columns", [60, 80])
def test_no_command_of_a_page_is_cut(columns: int) -> None:
    _, lines = Terminal("docs", "readme", PAGER="cat", COLUMNS=str(columns)).end()
    assert max(map(len, lines)) <= columns
    assert not any("…" in line for line in lines)
    assert any("RS_*, " in line for line in lines)


# -- words -------------------------------------------------------------------------------------------------------------


def test_every_rule_parameter_format_reason_and_exit_code_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    known = terms()
    assert known["rule"] == list(PRESETS)
    assert known["format"] == list(FORMATS)
    assert known["exit code"] == [str(code) for code in EXIT_CODES]
    assert set(known["reason"]) == set(REASONS) >= {*LOST, *_WAYS_OUT}
    parameters = {name.removesuffix("_s").rstrip("_") for name in get_type_hints(Rule)} - {"name", "confounded"}
    assert set(known["parameter of a rule"]) == parameters
    assert known["parameter of cleaning"] == [name for name in Cleaning.__struct_fields__ if name != "name"]
    assert len(known["word"]) > 50
    for names in known.values():
        for name in names:
            for told in explain(name):
                assert all(sentence.strip() and sentence[-1] in ".)" for sentence in told.sentences), told
                assert section(told.page) is not None, told
    text = answer(capsys, "explain")
    assert all(name in text for names in known.values() for name in names)


def test_the_exit_codes_are_those_of_the_errors() -> None:
    codes = {kind.exit_code for kind in (Error, *Error.__subclasses__())}
    assert EXIT_CODES.keys() == codes | {0}


@pytest.mark.parametrize(
    ("term", "kind", "words"),
    [
        ("calibrated", "rule", "rank and age"),
        ("winner_older", "reason", "also had more time to be seen"),
        ("Winner older", "reason", "also had more time to be seen"),
        ("75", "exit code", "Try later"),
        ("exit code 3", "exit code", "Done in part"),
        ("KTO", "format", "TRL KTOTrainer. Columns: prompt, completion, label."),
        ("--min-ratio", "parameter of a rule", "--min-ratio of `export`"),
        ("--clean-min-words", "parameter of cleaning", "Counted as: answer_too_short."),
        ("strict", "profile of cleaning", "personal drop"),
        ("tombstone", "word", "ids, times and scores stay"),
        ("lemmy", "source", "name it with --site"),
        ("python", "library", "make_pairs, preset, push, recheck"),
        ("import_frames", "Python function", "import_frames(posts, answers, store, *, site=None,"),
        ("shp_miner.Store", "Python class", "Call: shp_miner.Store(path)."),
        ("TryLater", "Python class", "the call itself is right"),
        ("load()", "Python function", "Return the rows of an export"),
        ("Answer", "Python value", "The columns of answers"),
    ],
)
def test_a_word_is_explained(term: str, kind: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = answer(capsys, "explain", "--", *term.split())
    assert f"({kind}): " in text
    assert words in text
    assert "More: shp-miner docs " in text
    meanings = parsed(capsys, "explain", *term.lstrip("-").split())["meanings"]
    assert kind in [told["kind"] for told in meanings]


def test_an_unknown_word_is_near_to_one_or_searched_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean 'winner_older'?" in answer(capsys, "explain", "winer_older", code=2)
    assert "`shp-miner docs xyzzy` searches" in answer(capsys, "explain", "xyzzy", code=2)
    assert "The codes: 0, 1, 2, 3, 4, 5, 75." in answer(capsys, "explain", "99", code=2)


# -- what messages name ----------------------------------------------------------------------------------------------


def texts() -> list[tuple[str, str]]:
    """The strings of the package, with their files: messages and helps. Docstrings count where click shows them."""
    found = []
    for path in sorted((ROOT / "shp_miner").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        quiet = set()
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if not isinstance(body, list) or not body or not isinstance(body[0], ast.Expr):
                continue
            is_help = getattr(node, "decorator_list", None) and path.parent.name == "cli"
            if not is_help:
                quiet.add(id(body[0].value))
        found += [
            (str(path.relative_to(ROOT)), node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in quiet
        ]
    return found


def test_no_message_names_a_page_that_an_installed_user_lacks() -> None:
    assert [(file, text) for file, text in texts() if re.search(r"docs/[\w-]+\.md", text)] == []


def test_every_page_that_a_message_names_is_there() -> None:
    named = [(file, name) for file, text in texts() for name in re.findall(r"shp-miner docs ([a-z][\w/#-]*)`", text)]
    assert len(named) > 15
    for file, name in named:
        assert section(name) is not None, (file, name)


@pytest.mark.parametrize(
    "words",
    [["docs"], ["docs", "rules"], ["explain"], ["explain", "calibrated"], ["explain", "store"], ["completion", "bash"]],
)
def test_lists_and_pages_need_no_heavy_library(words: list[str]) -> None:
    heavy = {"polars", "pyarrow", "datasets", "numpy", "deltalake", "rich", "pandas"}
    code = f"import sys; from shp_miner.cli import run; run({words}); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
