"""The documentation against the code: what it names exists, and what exists is named."""

from __future__ import annotations

import re
import shlex
from typing import get_type_hints

import click
import pytest

from shp_miner import FORMATS, PRESETS
from shp_miner.cli import COMMANDS, _Commands, cli
from shp_miner.rules.presets import PROFILES, Rule
from shp_miner.tally import LOST

from .conftest import ROOT

README = (ROOT / "README.md").read_text()
RULES = (ROOT / "docs" / "rules.md").read_text()
FORMATS_PAGE = (ROOT / "docs" / "formats.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_rule_and_parameter_is_documented() -> None:
    for name in PRESETS:
        assert f"| `{name}`" in RULES
    for name, hint in get_type_hints(Rule, include_extras=True).items():
        if name not in ("name", "confounded"):
            description = next(meta.description for meta in hint.__metadata__ if getattr(meta, "description", None))
            assert re.search(rf"^\| `{name}` \| .* \| {re.escape(description)} \|$", RULES, re.M), name


def test_every_reason_is_documented() -> None:
    files = [ROOT / "shp_miner" / "rules" / f"{name}.py" for name in ("eligibility", "age", "pairs")]
    source = "".join(file.read_text() for file in [*files, ROOT / "shp_miner" / "mine.py"])
    reasons = set(re.findall(r'\("([a-z_]+)", (?:~?pl\.|unknown|score_age|same)', source))
    reasons |= set(re.findall(r'(?:yield|"pair",) "([a-z_]+)"', source))
    assert {"score_too_low", "winner_older", "score_age_unknown", "empty_text", "over_pair_cap"} <= reasons
    for reason in reasons:
        assert f"`{reason}`" in RULES, reason
    for reason in LOST:
        assert f"`{reason}`" in FORMATS_PAGE, reason


def test_the_floors_are_those_of_the_code() -> None:
    for platform, profile in PROFILES.items():
        row = next(
            line for line in RULES.splitlines() if re.match(r"\| [a-z, ]*\b" + platform + r"\b[a-z, ]* \|", line)
        )
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        kept = "kept" if profile.keep_edited_posts else "dropped"
        assert cells[1:] == [
            str(profile.starting_score),
            str(profile.min_post_score),
            str(profile.min_answer_score),
            kept,
        ]


@pytest.mark.parametrize("name", list(FORMATS))
def test_every_column_of_every_format_is_documented(name: str) -> None:
    section = FORMATS_PAGE.split(f"### `{name}`")[1].split("\n###")[0]
    for column in FORMATS[name].schema.names:
        assert f"`{column}`" in section
        assert f'"{column}":' in section


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_exists(page: object) -> None:
    from pathlib import Path

    assert isinstance(page, Path)
    for line in re.findall(r"shp-miner ((?:[a-z-]+ ?)[^`\n|]*)", page.read_text()):
        words = [word for word in shlex.split(line.split("#")[0], posix=True) if word]
        if words[0] in COMMANDS:
            _check(words)


def _check(words: list[str]) -> None:
    command = _Commands().get_command(click.Context(cli), words[0])
    rest = words[1:]
    if isinstance(command, click.Group) and rest and rest[0].islower() and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    assert command is not None
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        assert not word.startswith("--") or word in known | {"--help"}, f"{words}: {word}"


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_two_commands_of_the_readme() -> None:
    assert "pip install uv && uv run shp-miner demo" in README
    assert "pip install uv && uv run pytest" in README
