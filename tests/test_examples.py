"""examples/: the script and the notebook run as they are, and what they show is pairs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl

from .conftest import ROOT

EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "first-pairs.ipynb"


def cells(kind: str) -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def shown(source: str, names: dict[str, object]) -> object:
    """Run a cell as a notebook does; its last expression is what it shows."""
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


def test_the_notebook_goes_from_two_tables_to_a_frame_of_pairs() -> None:
    names: dict[str, object] = {}
    results = [shown("".join(cell["source"]), names) for cell in cells("code")]
    store, pairs = names["store"], names["looked_at"]
    assert repr(store) == "Store('first-pairs/store', version 1.1: 2 posts, 6 answers)"
    assert isinstance(pairs, pl.DataFrame)
    assert pairs.height == 5
    assert set(pairs["post_id"]) == {"1", "2"}
    assert pairs.filter(pl.col("better").str.starts_with("Air scatters"))["worse"].len() == 2
    fewer = results[-1]
    assert isinstance(fewer, pl.DataFrame)
    assert 0 < fewer.height < pairs.height
    assert [result for result in results if isinstance(result, str)] == ["80% of 5 pairs"]


def test_the_notebook_is_valid_and_holds_no_results() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids) > 10
    assert all((cell["outputs"], cell["execution_count"]) == ([], None) for cell in cells("code"))
    assert cells("markdown")[0]["source"][0] == "# First pairs\n"
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}, "nothing of the machine it was written on"


def test_the_script_prints_pairs_of_two_csv_files(tmp_path: Path) -> None:
    files = [str(EXAMPLES / "own_forum" / name) for name in ("posts.csv", "answers.csv")]
    command = [sys.executable, str(EXAMPLES / "own_forum.py")]
    first, again = (
        subprocess.run([*command, *named], capture_output=True, text=True, check=True).stdout for named in ([], files)
    )
    assert "3 posts, 7 answers" in first
    assert first.count("P(label is right)") == 4
    assert "better: Test the yeast in warm water first." in first
    assert again.partition("\n\n")[2] == first.partition("\n\n")[2], (
        "a second run, of the same files by name, changes no pair"
    )
    assert (tmp_path / "own-forum" / "pairs" / "README.md").is_file()


def test_the_archive_and_the_pages_have_the_examples() -> None:
    assert '"examples"' in (ROOT / "pyproject.toml").read_text()
    for page in ("docs/python.md", "docs/index.md"):
        assert "first-pairs.ipynb" in (ROOT / page).read_text(), page
        assert "own_forum.py" in (ROOT / page).read_text(), page
