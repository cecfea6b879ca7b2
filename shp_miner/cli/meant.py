"""What people mean by a name that is not known: suggestions where likeness is high, and names of other tools."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher

import click

from shp_miner.errors import likely

#: Commands of other programs, and the commands here that do the same.
_ELSEWHERE = {
    "show": ("head", "tail", "cat", "view", "sample", "print", "peek", "preview"),
    "stats": ("info", "list", "ls", "describe", "count", "summary", "communities"),
    "crawl": ("scrape", "fetch", "download", "get", "pull", "mine", "update", "sync"),
    "import": ("load", "read", "add", "ingest", "insert", "convert"),
    "export": ("write", "dump", "save", "build", "generate", "pairs"),
    "forget": ("delete", "remove", "rm", "purge", "erase"),
    "vacuum": ("gc", "clean", "prune", "compact", "optimize"),
    "status": ("health", "monitor", "log", "logs", "ping"),
    "doctor": ("repair", "fix", "env", "debug"),
    "check": ("verify", "validate", "test"),
    "schedule": ("cron", "systemd", "install", "timer"),
    "run": ("start", "pipeline", "exec"),
    "init": ("new", "create", "setup", "configure", "config"),
    "lab": ("benchmark", "bench", "simulate", "measure", "evaluate"),
    "docs": ("man", "manual", "doc", "documentation", "tutorial"),
    "explain": ("rule", "rules", "format", "formats", "define", "glossary"),
    "forum": ("serve", "server", "mock"),
    "completion": ("completions", "complete"),
}

#: Begins the list of all commands in a message.
LISTED = "The commands:"

#: Likeness of an option's name below which click's suggestion is left out.
_ALIKE = 0.7


def command_hint(name: str, commands: Mapping[str, tuple[str, str]]) -> str:
    """Return a suggestion for an unknown command, or what each command is for."""
    word = name.casefold()
    meant = next((ours for ours, theirs in _ELSEWHERE.items() if word in theirs and ours in commands), "")
    meant = meant or likely(name, commands)
    if meant:
        return f"Did you mean {meant!r}?"
    width = max(map(len, commands))
    lines = (f"  {known:{width}}  {about}" for known, (_, about) in commands.items())
    return "\n".join([LISTED, *lines])


def without_wild_guesses(error: click.ClickException) -> click.ClickException:
    """Return click's error; for an unknown option, without suggestions that are not alike."""
    if not isinstance(error, click.NoSuchOption) or not error.possibilities:
        return error
    name = error.option_name.lstrip("-")
    alike = [known for known in error.possibilities if _alike(name, known.lstrip("-"))]
    return click.NoSuchOption(error.option_name, None, alike, error.ctx)


def _alike(name: str, known: str) -> bool:
    return name in known or known in name or SequenceMatcher(None, name, known).ratio() >= _ALIKE
