"""docs/python.md: its blocks run as they stand, and its comments say what is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import shp_miner

from .conftest import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text()


def test_the_blocks_run_in_order_and_print_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(blocks) == 6
    for block in blocks:
        exec(block, names)
        said = capsys.readouterr().out
        for promised in re.findall(r"print\(.*\)  # (.+)", block):
            assert promised in said
    assert names["row"]["question"].startswith("Why is the sky blue?")  # type: ignore[index]
    assert names["pairs"].num_rows == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name in shp_miner.__all__ if name[0].islower()])
def test_every_function_is_on_the_page_and_has_a_docstring(name: str) -> None:
    assert re.search(rf"\b{name}\(", PAGE), name
    assert getattr(shp_miner, name).__doc__
