"""The pages for contributors against the code: files and names exist, and what they say to add works when added."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest
import yaml

from shp_miner.cli import run
from shp_miner.export import formats
from shp_miner.pipeline.config import rule_of
from shp_miner.pipeline.keys import FormatName
from shp_miner.rules import presets

from .build import thread, write_month
from .conftest import ROOT
from .test_rooms import GROUND, PLAN

DOCS = ROOT / "docs"
ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")
ROOT_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES = [
    *(DOCS / f"{name}.md" for name in ("index", "architecture", "glossary", "style")),
    *sorted((DOCS / "decisions").glob("*.md")),
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
]

#: A file or folder of the repository in code marks.
_PATH = re.compile(r"`((?:shp_miner|tests|docs|benchmarks|pipelines|\.ci|\.github)/[\w./-]*)`")
#: "`name` in `file.py`", or "`name` and `name` in `file.py`".
_NAMED = re.compile(r"`([A-Za-z_][\w.]*)`(?: and `([A-Za-z_][\w.]*)`)?\s+in\s+`(shp_miner/[\w./]+\.py)`")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def names_in(statements: list[ast.stmt], inside: str = "") -> Iterator[str]:
    """What a module defines, members of its classes as Class.member."""
    for node in statements:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield inside + node.name
        if isinstance(node, ast.ClassDef):
            yield from names_in(node.body, f"{node.name}.")
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        yield from (inside + target.id for target in targets if isinstance(target, ast.Name))


def section(heading: str) -> str:
    return ARCHITECTURE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def examples(heading: str) -> list[str]:
    """The Python examples of a section."""
    return re.findall(r"^```python\n(.*?)^```", section(heading), re.M | re.S)


# -- files and names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_on_a_page_exists(page: Path) -> None:
    assert [path for path in _PATH.findall(text(page)) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_name_on_a_page_is_in_its_file(page: Path) -> None:
    missing = []
    for *names, path in _NAMED.findall(text(page)):
        there = set(names_in(ast.parse(text(ROOT / path)).body))
        missing += [f"{name} in {path}" for name in names if name and name not in there]
    assert missing == []


def test_every_question_of_a_reader_is_answered_with_a_file_and_a_name() -> None:
    rows = [line for line in section("Where is ...?").splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    assert [row for row in rows if not _NAMED.search(row)] == []


def test_the_way_of_a_thread_names_a_function_at_every_step() -> None:
    steps = re.split(r"^\d+\. ", section("One thread's way"), flags=re.M)[1:]
    assert len(steps) == 9
    assert [step for step in steps if not _NAMED.search(step)] == []


def test_the_rooms_on_the_page_are_those_of_the_plan_in_its_order() -> None:
    assert re.findall(r"^\| `(\w+)/` \|", section("The rooms"), re.M) == list(reversed(PLAN))
    assert set(re.findall(r"`shp_miner/(\w+)\.py`", section("The rooms"))) == GROUND


# -- what the page says to add ----------------------------------------------------------------------------------------


def exported(tmp_path: Path, *options: str) -> Path:
    """An export made by the command line, of a store with one thread."""
    files = write_month(tmp_path / "dump", thread())
    store = str(tmp_path / "store")
    assert run(["import", "reddit-dump", *map(str, files), "--store", store, "--quiet"]) == 0
    assert run(["export", str(tmp_path / "out"), "--store", store, *options, "--quiet"]) == 0
    return tmp_path / "out"


def rows(out: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(out.rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_a_rule_that_is_added_as_the_page_says_can_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = dict(vars(presets))
    for example in examples("Add a rule"):
        exec(example, added)
    rule = added["rule"]
    monkeypatch.setitem(presets.PRESETS, rule.name, rule)
    monkeypatch.setitem(presets.SUMMARIES, rule.name, added["summary"])
    out = exported(tmp_path, "--rule", rule.name)
    preferred = {(row["rule"], row[f"answer{row['preferred']}_id"]) for row in rows(out)}
    assert preferred == {(rule.name, "p1c2"), (rule.name, "p1c3")}
    assert added["summary"] in (out / "README.md").read_text()
    assert rule_of({"name": rule.name}) == rule, "the table [rule] of a pipeline file"


def test_a_format_that_is_added_as_the_page_says_can_be_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = dict(vars(formats))
    for example in examples("Add a format"):
        exec(example, added)
    monkeypatch.setitem(formats.FORMATS, added["added"].name, added["added"])
    out = exported(tmp_path, "--format", "longest")
    assert rows(out) == [{"question": "Question p1?\n\nSome detail.", "answer": "Answer p1c1."}]
    assert "looking at the longest answers" in (out / "README.md").read_text()


def test_pipeline_files_take_every_format() -> None:
    assert get_args(FormatName) == tuple(formats.FORMATS)


# -- the front door ---------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts and the site make them."""
    headings = re.findall(r"^#+ (.*)$", text(page), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ROOT_PAGES, ids=lambda page: page.name)
def test_links_of_the_pages_in_the_root_lead_to_files_and_headings(page: Path) -> None:
    """The site's strict build checks the links of docs/; these pages are outside of it."""
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", text(page)):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_what_stands_inside_a_list_is_indented_so_that_code_hosts_and_the_site_show_it_alike(page: Path) -> None:
    outside = re.sub(r"^```.*?^```$", "", text(page), flags=re.M | re.S)  # what a block shows may be any text
    assert re.findall(r"^ {1,3}(?:```|[-*] |\d+\. ).*", outside, re.M) == []


def test_the_workflow_runs_the_checks_on_every_python_that_is_supported() -> None:
    workflow = yaml.safe_load(text(ROOT / ".github" / "workflows" / "ci.yml"))
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    assert project["requires-python"] == ">=3.11"


def test_the_hooks_before_a_commit_are_local_and_call_the_pinned_tools() -> None:
    config = yaml.safe_load(text(ROOT / ".pre-commit-config.yaml"))
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert all(hook["entry"].startswith("uv run ") for hook in hooks)


def test_the_changelog_has_the_headings_of_keep_a_changelog() -> None:
    headings = re.findall(r"^(#+) (.*)$", text(ROOT / "CHANGELOG.md"), re.M)
    assert headings[:2] == [("#", "Changelog"), ("##", "[Unreleased]")]
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert {name for level, name in headings if level == "###"} <= kinds
