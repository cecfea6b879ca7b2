"""docs/transcripts.md: what is shown fits the terminal, and the program still prints it."""

from __future__ import annotations

import re
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from .conftest import ROOT

PAGE = (ROOT / "docs" / "transcripts.md").read_text()
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^(\d+) columns:\n\n```text\n(.*?)\n```$", re.DOTALL | re.MULTILINE)


def script() -> ModuleType:
    """.ci/transcripts, which writes the page."""
    loader = SourceFileLoader("transcripts", str(ROOT / ".ci" / "transcripts"))
    spec = spec_from_loader("transcripts", loader)
    assert spec is not None
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    module = module_from_spec(spec)
    loader.exec_module(module)
    sys.dont_write_bytecode = written
    return module


def test_every_line_fits_its_terminal_but_commands_to_paste() -> None:
    made = script()
    assert re.findall(r"^shp-miner (.*)$", PAGE, re.M) == [command for _, command in made.COMMANDS]
    blocks = [(int(width), text) for width, text in BLOCK.findall(PAGE)]
    assert [width for width, _ in blocks] == [80, 60] * len(made.COMMANDS)
    for width, text in blocks:
        assert text.strip()
        assert "Traceback" not in text
        for line in text.splitlines():
            assert len(line) <= width or line.startswith("  shp-miner "), line
    table = README.split("```text\n")[1].split("```")[0].splitlines()
    assert all(row in blocks[0][1].splitlines() for row in table), "the demo's numbers are those of the README"


def test_an_import_on_a_narrow_terminal_prints_what_the_page_shows(tmp_path: Path) -> None:
    made = script()
    made.write_forum(tmp_path / "forum.jsonl")
    shown = made.transcript(["import", "threads", "forum.jsonl"], tmp_path, 60)
    assert f"60 columns:\n\n```text\n{shown}\n```" in PAGE
