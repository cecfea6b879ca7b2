"""The documentation against the code: what it names exists, and what exists is named."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_type_hints

import click
import msgspec
import pyarrow.parquet as pq
import pytest

from shp_miner import FORMATS, PRESETS, export_dataset, import_dump
from shp_miner.cli import COMMANDS, _Commands, cli
from shp_miner.crawling import claims, keeping, listing, result, visits
from shp_miner.crawling import retries as retrying
from shp_miner.export.card_worth import TERMS
from shp_miner.forum.serve import faults
from shp_miner.forum.serve.reddit import CLIENT_ID, CLIENT_SECRET
from shp_miner.forum.serve.server import Forum
from shp_miner.health.status import MIN_FREE_BYTES, STALE_S, Status
from shp_miner.lab.worlds import WORLDS, LabWorld
from shp_miner.pipeline import metrics
from shp_miner.pipeline.ran import STEPS, Ran
from shp_miner.pipeline.reference import reference
from shp_miner.platforms.items import Thread
from shp_miner.rules.fields import fields
from shp_miner.rules.presets import Rule
from shp_miner.rules.profiles import PROFILES
from shp_miner.sources import registry
from shp_miner.sources.registry import open_source
from shp_miner.sources.source import ManyThreads, Source
from shp_miner.sources.table import ROWS
from shp_miner.store import repair
from shp_miner.store.database import SCHEMAS
from shp_miner.store.migrate import SCHEMA_VERSION
from shp_miner.store.vacuum import KEEP_S
from shp_miner.tally import LOST

from .build import thread, write_month
from .conftest import ROOT
from .web import access, grown, walk

README = (ROOT / "README.md").read_text()
CRAWLING = (ROOT / "docs" / "crawling.md").read_text()
FORUM = (ROOT / "docs" / "forum.md").read_text()
RULES = (ROOT / "docs" / "rules.md").read_text()
FORMATS_PAGE = (ROOT / "docs" / "formats.md").read_text()
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_rule_and_parameter_is_documented() -> None:
    for name in PRESETS:
        assert f"| `{name}`" in RULES
    for name, field in fields(Rule).items():
        if name not in ("name", "confounded"):
            assert re.search(rf"^\| `{name}` \| .* \| {re.escape(field.description)} \|$", RULES, re.M), name


def test_examples_name_subreddits_as_reddit_does() -> None:
    """r/eli5 is another, private one: a command copied from here would find nothing in the dumps."""
    for path in [*PAGES, *(ROOT / "shp_miner").rglob("*.py")]:
        assert not re.search(r"""(?:community|subreddit|communities)\b[ =("'\\[]+(?:r/)?eli5""", path.read_text()), path


def test_every_reason_is_documented() -> None:
    files = [ROOT / "shp_miner" / "rules" / f"{name}.py" for name in ("eligibility", "age", "pairs")]
    source = "".join(file.read_text() for file in [*files, ROOT / "shp_miner" / "mining" / "mine.py"])
    reasons = set(
        re.findall(r'\("([a-z_]+)", (?:~?\(?pl\.|_official|unknown|score_age|same|~?choices|chance|measure|np)', source)
    )
    reasons |= set(re.findall(r'(?:yield |without\(.*)"([a-z_]+)"', source))
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


def test_the_row_of_every_format_on_the_page_is_one_of_an_export(tmp_path: Path) -> None:
    dump = write_month(tmp_path, thread("p1", (3, 9, 5)))
    import_dump("reddit-dump", dump, tmp_path / "store")
    export_dataset(tmp_path / "store", tmp_path / "out", formats=list(FORMATS), validation=0, test=0)
    for name in FORMATS:
        (block,) = re.findall(r"```json\n(.*?)```", FORMATS_PAGE.split(f"### `{name}`")[1].split("\n###")[0], re.S)
        files = (tmp_path / "out" / name).rglob("*.parquet")
        rows = [json.loads(json.dumps(row, default=str)) for file in files for row in pq.read_table(file).to_pylist()]
        assert json.loads(block) in rows, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_exists(page: object) -> None:
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
    assert "pip install uv && uv run --group dev pytest -n 3\n" in README


def test_the_source_archive_has_what_the_readme_names() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"][
        "include"
    ]
    named = {*re.findall(r"\]\(([^)#:]+)\)", README), *re.findall(r"`(\.ci/\w+|[a-z]+\.txt)`", README), "pipelines"}
    assert {".ci/run", ".ci/pin", "constraints.txt", "docs/rules.md"} <= named
    for name in named:
        assert (ROOT / name).exists(), name
        assert any(name == path or name.startswith(f"{path}/") for path in built), name


def test_every_world_and_parameter_of_the_lab_is_documented() -> None:
    page = (ROOT / "docs" / "lab.md").read_text()
    base = msgspec.structs.asdict(WORLDS["base"])
    for world in WORLDS.values():
        values = {
            k: v for k, v in msgspec.structs.asdict(world).items() if v != base[k] and k not in ("name", "differs")
        }
        changed = [f"`{k}={v:g}`" if isinstance(v, float | int) else f"`{k}={v}`" for k, v in values.items()]
        assert f"| `{world.name}` | {world.differs} | {', '.join(changed) or '-'} |" in page
    for name, field in fields(LabWorld).items():
        if name not in ("name", "differs"):
            value = base[name]
            assert f"| `{name}` | {f'{value:g}' if isinstance(value, float) else value} | {field.description} |" in page
    for rule in PRESETS:
        assert f"\n| {rule} |" in page, "the table of what came out has every rule"


# -- the reference pages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["pages", "pictures"])
def test_the_reference_pages_and_pictures_are_as_the_code_is(written: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / written, "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_key_of_a_pipeline_is_described_with_an_example_that_is_taken() -> None:
    for key in reference():
        assert key.description.endswith((".", "...")), key
        assert key.table == "[rule]" or key.example, key
        assert key.default != "required" or key.table in ("[[source]]", "[[import]]", "[[export]]")


def test_what_a_run_tells_is_documented() -> None:
    page = (ROOT / "docs" / "pipelines.md").read_text()
    for name, *_ in metrics._METRICS:
        assert f"`shp_miner_{name}`" in page
    for name in Ran("").counts():
        assert f"`{name}`" in page
    rows = table(page, "## What a run does")
    assert [name.strip("`") for name in rows] == list(STEPS)


def test_every_option_is_in_the_reference_with_its_variable() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    for name, command in _leaves(cli, click.Context(cli, info_name="shp-miner")):
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for option in command.params:
            if isinstance(option, click.Option) and option.expose_value and not option.hidden:
                spelt = next(spelling for spelling in option.opts if spelling.startswith("--")).removeprefix("--")
                variable = f"SHP_MINER_{name}_{spelt}".upper().replace("-", "_").replace(" ", "_")
                assert option.help, f"{name} {option.opts[0]} has no help"
                assert re.search(rf"^\| `[^`]*{option.opts[-1]}\b.*\| `{variable}` \|$", section, re.M), option.opts


def _leaves(group: click.Group, context: click.Context, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        assert command.help, name
        if isinstance(command, click.Group):
            yield from _leaves(command, click.Context(command, info_name=name, parent=context), f"{before}{name} ")
        else:
            yield f"{before}{name}", command


# -- crawling ---------------------------------------------------------------------------------------------------------


def table(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of the first table below a heading, by their first cell without its marks."""
    below = page.split(f"\n{heading}\n")[1].split("\n|", 1)[1].split("\n\n", maxsplit=1)[0]
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in below.splitlines()[2:]]
    return {row[0].strip("`"): row[1:] for row in rows}


@pytest.mark.parametrize(
    "heading", ["## The sources", "## Big threads", "## Politeness", "## What a run costs"], ids=lambda text: text[3:]
)
def test_every_table_of_sources_has_every_source(heading: str) -> None:
    assert list(table(CRAWLING, heading)) == list(ROWS)


def test_the_pages_say_which_sources_need_a_site_and_name_every_platform_of_the_forum() -> None:
    sites = {name: cells[1] != "-" for name, cells in table(CRAWLING, "## The sources").items()}
    assert sites == {name: row.runs_on_many for name, row in ROWS.items()}
    shown = list(table(FORUM, "## Threads that guests cannot read"))
    assert [title for title in shown if not title.startswith("earlier")] == [row.title for row in ROWS.values()]


def test_every_source_is_in_the_readme_and_has_its_credentials_documented() -> None:
    for name, row in ROWS.items():
        assert f"`{name}`" in README
        for credential in row.credentials:
            assert f"`{credential.variable}`" in CRAWLING
        if row.quota is not None:
            quota = f"{row.quota.without_key:,} requests a day without a key and {row.quota.with_key:,} with a key"
            assert quota in CRAWLING
    header = next(line for line in CRAWLING.splitlines() if line.startswith("| answer | "))
    assert re.findall(r"`([^`]+)`", header) == list(ROWS)


def test_every_option_of_a_crawl_is_documented() -> None:
    documented = set(table(CRAWLING, "## Options"))
    for name in ("crawl", "recheck"):
        command = _Commands().get_command(click.Context(cli), name)
        assert command is not None
        options = {option.opts[-1] for option in command.params if isinstance(option, click.Option)}
        others = {"crawl": {"--given-up", "--all", "--older-than"}, "recheck": {"--site", "--url", "--allow-private"}}
        assert options == documented - others[name]


def test_the_pace_is_that_of_the_code() -> None:
    kept = {name: registry.module(name).LIMITS for name in ROWS}
    rows = table(CRAWLING, "## Politeness")
    for name, limits in kept.items():
        assert [float(cell) for cell in rows[name]] == [
            limits.requests,
            limits.interval_s,
            limits.burst,
            limits.max_wait_s,
        ], name
        assert (limits.attempts, limits.max_bytes >> 20, limits.total_s) == (5, 32, 120)


def test_the_times_of_a_run_are_those_of_the_code() -> None:
    hours = [age_s / 3600 for age_s in result.VISITS_S]
    assert hours == [6, 24, 72, 168, 720], "the README and docs/crawling.md name these ages"
    assert "6 hours, 1, 3,\n7 and 30 days" in CRAWLING
    assert "6 hours, 1, 3, 7 and 30 days" in README
    assert (listing.OVERLAP_S, retrying.RETRY_S, claims.CLAIM_S, claims.DOWN) == (3600, 900, 900, 3)
    assert visits._ANSWERED_S == 2 * 86_400
    assert f"Up to {keeping._TOGETHER} threads are stored together" in CRAWLING


def test_every_message_that_is_explained_is_one_of_the_code() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "shp_miner").rglob("*.py")))
    messages = table(CRAWLING, "## What the messages mean")
    assert len(messages) > 15
    for message in messages:
        assert message in source, message


def test_reddits_policy_stands_where_people_read() -> None:
    for text in (README, CRAWLING, TERMS["reddit"]):
        words = " ".join(text.split())
        assert re.search(r"content (that was )?deleted on Reddit must be removed from copies", words)
        assert "training on Reddit content needs Reddit's agreement" in words


def test_every_fault_of_the_forum_is_documented() -> None:
    found = {name for name, member in vars(faults).items() if inspect.isfunction(member) and not name.startswith("_")}
    made = {name for name in found if get_type_hints(getattr(faults, name)).get("return") is faults.Fault}
    documented = {name.strip("` ") for cell in table(FORUM, "## Misbehaviour") for name in cell.split(",")}
    assert documented == made


def test_the_example_of_the_forum_runs() -> None:
    names: dict[str, Any] = {}
    exec(FORUM.split("```python\n")[1].split("```")[0], names)
    first, second = names["first"], names["second"]
    assert (first.read, first.complete) == (3, True)
    assert (second.read, second.fresh, second.complete) == (1, 1, True)
    assert len(names["asked"]) == 5 + 4, "the second crawl met the fault once and asked again"


@pytest.mark.parametrize("name", ROWS)
def test_a_run_costs_what_the_page_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in (("ID", CLIENT_ID), ("SECRET", CLIENT_SECRET)):
        monkeypatch.setenv(f"SHP_MINER_REDDIT_CLIENT_{variable}", value)
    monkeypatch.setenv("SHP_MINER_REDDIT_USER_AGENT", "visitor")
    monkeypatch.delenv("SHP_MINER_STACKEXCHANGE_KEY", raising=False)
    community = grown(30)
    with Forum(community, [name]) as forum:

        @contextmanager
        def run(costs: list[int]) -> Iterator[Source]:
            """A run as a process of its own would make it."""
            before = len(forum.requests(name))
            with open_source(name, access(forum, name)) as source:
                yield source
            costs.append(len(forum.requests(name)) - before)

        costs: list[int] = []
        with run(costs) as source:
            wanted = source.verify("all" if name == "stackexchange" else "workbench")
            threads = _read(source, wanted, [one.post_id for one in walk(source, wanted)[0]])
        assert len(threads) == 30
        assert sum(len(thread.answers) for thread in threads) == 155
        community.advance(3600)
        newest = int((community.now_s - 1) * 1_000_000)
        community.ask("Something new?", "Tell me.")
        with run(costs) as source:
            (new,) = walk(source, source.verify(wanted), newest)[0]
            assert len(_read(source, wanted, [new.post_id])) == 1
        with run(costs) as source:
            _visit(source, wanted, threads)
    assert [str(cost) for cost in costs] == table(CRAWLING, "## What a run costs")[name][:3]


def _read(source: Source, community: str, post_ids: Sequence[str]) -> list[Thread]:
    if isinstance(source, ManyThreads):
        return source.threads(community, post_ids)
    return [source.thread(community, post_id) for post_id in post_ids]


def _visit(source: Source, community: str, threads: Sequence[Thread]) -> None:
    if not source.ids_per_request:
        _read(source, community, [thread.post.post_id for thread in threads])
        return
    items = [(thread.post.post_id, "") for thread in threads]
    items += [(thread.post.post_id, answer.answer_id) for thread in threads for answer in thread.answers]
    for start in range(0, len(items), source.ids_per_request):
        part = items[start : start + source.ids_per_request]
        source.again([post for post, answer in part if not answer], [item for item in part if item[1]])


# -- staying healthy --------------------------------------------------------------------------------------------------

HEALTH = (ROOT / "docs" / "health.md").read_text()


def test_every_key_of_the_status_is_documented() -> None:
    keys = {name for cell in table(HEALTH, "## `shp-miner status`") for name in re.findall(r"\w+", cell)}
    assert keys == set(Status.__struct_fields__)


def test_everything_that_can_be_wrong_is_documented() -> None:
    words = set(re.findall(r'Wrong\("(\w+)"', (ROOT / "shp_miner" / "health" / "status.py").read_text()))
    documented = set(re.findall(r"^\| `(\w+)` \| [^|]* \| [^|]* \|$", HEALTH, re.M)) - {"what"}
    assert words == documented


def test_every_schema_is_documented() -> None:
    below = HEALTH.split("## Schemas")[1]
    assert re.findall(r"^\| (\d) \|", below, re.M) == [
        *(str(number) for number in range(1, SCHEMA_VERSION + 1)),
        *(str(number) for number in range(1, len(SCHEMAS) + 1)),
    ]


def test_the_numbers_of_the_health_page_are_those_of_the_code() -> None:
    assert f"`shp-miner vacuum --keep {KEEP_S / 86_400:g}d`" in HEALTH
    assert f"when {retrying.GIVE_UP_TRIES} tries over {retrying.GIVE_UP_S / 86_400:g} days have failed" in HEALTH
    assert f"`--stale` is {STALE_S / 86_400:g} days" in HEALTH
    assert f"less than `--min-free` is free ({MIN_FREE_BYTES / 1e9:g} GB)" in HEALTH
    assert f"more than {repair._MANY} entries" in HEALTH
    for name, option in (("status", "--stale"), ("vacuum", "--keep")):
        command = _Commands().get_command(click.Context(cli), name)
        assert command is not None
        (default,) = [parameter.default for parameter in command.params if option in parameter.opts]
        assert default == {"--stale": "2d", "--keep": "7d"}[option]
