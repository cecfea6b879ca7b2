"""Types of options that take a name: in any letter case, several where commas part them, and completed in a shell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import get_args

import click
from click.shell_completion import CompletionItem

from shp_miner.arguments import known_name
from shp_miner.cli.communities import communities_of
from shp_miner.errors import UsageError, nearest_name
from shp_miner.pipeline import keys
from shp_miner.rules.presets import PRESETS, SUMMARIES, preset
from shp_miner.sources.table import ROWS

FORMAT_NAMES: tuple[str, ...] = get_args(keys.FormatName)

#: What DuckDB calls the files that people ask for as formats.
_CONVERTED = {"csv": "", "tsv": " (DELIMITER '\\t')", "json": " (FORMAT json)", "jsonl": " (FORMAT json)"}

#: Trainers and stages of training that people ask for as formats.
_TRAINERS = {
    "dpo": "trl", "orpo": "trl", "reward": "trl", "rm": "trl", "preference": "trl", "preferences": "trl", "hf": "pairs",
    "datasets": "pairs", "huggingface": "pairs", "bco": "kto", "chat": "chat-pairs",
    "conversations": "chat-pairs", "rewardbench": "chat-pairs", "openrlhf": "chat-pairs", "rlhflow": "chat-pairs",
    "axolotl": "chat-pairs", "llama-factory": "chat-pairs", "llamafactory": "chat-pairs",
}  # fmt: skip


class RuleName(click.ParamType[str]):
    """The name of a rule."""

    name = "rule"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        """The name as the rule has it. Raises UsageError for an unknown one."""
        name = known_name(value, PRESETS)
        preset(name)
        return name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """The rules that begin so, each with what it does."""
        return [CompletionItem(name, help=SUMMARIES[name]) for name in beginning(PRESETS, incomplete)]


class FormatName(click.ParamType[str]):
    """The name of a format."""

    name = "format"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        """The name as the format has it. Raises UsageError for an unknown one; `formats` does so for kinds of files."""
        return _format(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """The formats that begin so."""
        return [CompletionItem(name) for name in beginning(FORMAT_NAMES, incomplete)]


class Commas(click.ParamType[tuple[str, ...]]):
    """One value, or several with commas between them; each is of the type `each`. Use it with the callback `flat`."""

    def __init__(self, each: click.ParamType[str] = click.STRING) -> None:
        self._each, self.name = each, each.name

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The values."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        return tuple(self._each.convert(part, param, ctx) for part in parts or [value])

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """What stands for a value in the help."""
        return self._each.get_metavar(param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The values that begin so, behind those before the last comma."""
        before, comma, last = incomplete.rpartition(",")
        found = self._each.shell_complete(ctx, param, last)
        return [CompletionItem(f"{before}{comma}{item.value}", help=item.help) for item in found]


def flat(ctx: click.Context, param: click.Parameter, value: Sequence[tuple[str, ...]]) -> tuple[str, ...]:  # noqa: ARG001
    """Return all values of a repeatable option with commas, each once."""
    return tuple(dict.fromkeys(name for names in value for name in names))


def formats(ctx: click.Context, param: click.Parameter, value: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return all formats of a repeatable option, each once. Raises UsageError for kinds of files that are not Parquet.

    It says how to convert the other formats, which lie in folders of their own if there are several.
    """
    names = flat(ctx, param, value)
    kinds = [name for name in names if name in _CONVERTED]
    if not kinds:
        return names
    others = [name for name in names if name not in _CONVERTED]
    folders = [f"OUT/{name}" for name in others] if len(others) > 1 else ["OUT"]
    # Lines for people, run by nobody here.
    lines = [
        f"duckdb -c \"COPY (SELECT * FROM '{folder}/*/*.parquet') TO '{folder}.{kind}'{_CONVERTED[kind]}\""  # noqa: S608
        for kind in kinds
        for folder in folders
    ]
    several = "are not formats" if len(kinds) > 1 else "is not a format"
    chosen = f" with --format {','.join(others)}" if others else ""
    raise UsageError(
        f"Exports are Parquet files; {' and '.join(kinds)} {several}.",
        f"Export{chosen}, and then convert: {' ; '.join(lines)}",
    )


class CommunityName(click.ParamType[str]):
    """The name of a community, completed by those of the store."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        """The name as it is written; where it is used, it is read in any letter case and without r/."""
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Communities of the store that begin so, with or without r/; none if they cannot be read at once."""
        with suppress(Exception):  # a shell that completes shows no errors
            written = incomplete[:2] if incomplete[:2].casefold() == "r/" else ""
            names = [f"{written}{name}" for name in communities_of(ctx.params.get("store"))]
            return [CompletionItem(name) for name in beginning(names, incomplete)]
        return []


class SourceName(click.Choice[str]):
    """The name of a source, in any letter case."""

    def __init__(self) -> None:
        super().__init__(list(ROWS), case_sensitive=False)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name. An unknown one gets the nearest, or all."""
        name = known_name(value, ROWS)
        if subreddit := re.fullmatch(r"/?r/(\w+)/?", value):
            ways = [f"`shp-miner crawl {source} {subreddit[1]}`" for source in ("reddit", "arctic-shift")]
            raise UsageError(
                f"{value!r} is a subreddit, not a source.",
                f"Name the source first: {ways[0]} (needs an app's credentials) or {ways[1]}.",
            )
        if name not in ROWS and ("." in value or "/" in value):
            host = value.partition("://")[2].partition("/")[0] or value.partition("/")[0]
            raise UsageError(
                f"{value!r} is an address, not a source.",
                f"Name the source first, and the address with --site: shp-miner crawl SOURCE COMMUNITY --site {host}. "
                f"The sources: {', '.join(ROWS)}.",
            )
        if name not in ROWS:
            self.fail(f"There is no source {value!r}. {nearest_name(value, ROWS)}", param, ctx)
        return name


def beginning(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that begin with what is typed, in any letter case."""
    return [name for name in names if name.casefold().startswith(incomplete.casefold())]


def _format(value: str) -> str:
    name = known_name(value, FORMAT_NAMES)
    if name in FORMAT_NAMES:
        return name
    kind = value.casefold().removeprefix(".")
    if kind in _CONVERTED:
        return kind
    if kind == "parquet":
        raise UsageError(
            "Every format is written as Parquet files; parquet is not the name of one.",
            f"Choose the columns: {', '.join(FORMAT_NAMES)}. `shp-miner docs formats` shows each.",
        )
    from shp_miner.export.formats import FORMATS

    if value in FORMATS:  # added by a program that imports this one
        return value
    known = _TRAINERS.get(value.casefold())
    hint = f"Use {known!r} for that." if known else nearest_name(value, FORMAT_NAMES)
    raise UsageError(f"There is no format {value!r}.", f"{hint} `shp-miner docs formats` shows each.")


def site_from(source: str, communities: Sequence[str]) -> None:
    """Raise UsageError for a crawl without a site whose communities name one: an address, or NAME@HOST."""
    for name in communities:
        host = name.partition("://")[2].partition("/")[0] if "://" in name else name.partition("@")[2]
        if "." in host:
            raise UsageError(
                f"No site given: {source} runs on many sites.", f"Give the site as an option: --site {host}."
            )
