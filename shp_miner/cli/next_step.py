"""The next step after a wrong call that click refuses: an example, or the option that was meant."""

from __future__ import annotations

import inspect
import os

import click
from click.core import ParameterSource

from shp_miner.cli.variables import variables_of

_OUT = "The folder is an argument: shp-miner export OUT."
_PIPELINES_STORE = "The pipeline file names the store: its key `store`."

#: What people write as an option, by command and option, and what to write here.
_MEANT = {
    **dict.fromkeys((("export", "--out"), ("export", "--output"), ("export", "-o")), _OUT),
    ("run", "--store"): _PIPELINES_STORE,
    ("schedule", "--store"): _PIPELINES_STORE,
    ("compare", "--rule"): "It shows every rule; `shp-miner export OUT --rule RULE --dry-run` shows one.",
    ("completion", "--install"): "It prints a script; `shp-miner completion --help` says where to put it.",
    ("doctor", "--fix"): "The option is called --repair.",
    ("crawl", "--subreddit"): "Communities are arguments: shp-miner crawl SOURCE COMMUNITY...",
    ("crawl", "--community"): "Communities are arguments: shp-miner crawl SOURCE COMMUNITY...",
    ("threads", "--site"): "Each thread names its site: the field `site` (`shp-miner docs threads`).",
    ("import", "--community"): "It is an option of reddit-dump: shp-miner import reddit-dump PATH --community NAME.",
}

#: What an argument too many is meant as, by command; others take a store.
_EXTRA = {
    "export": "Name communities with --community, and another rule with --rule.",
    "forget": "Name people with --author, and posts or answers with --id.",
    "import": "",
    "show": "It takes one OUT or STORE. For more rows, give -n 5; for a thread, --thread ID.",
}


def next_step(error: click.ClickException) -> str:
    """Return a sentence on what to do after click's error, "" if its own message says it."""
    context = getattr(error, "ctx", None)
    if context is None:
        return ""
    name = context.command.name or ""
    if isinstance(error, click.NoSuchOption):
        return _MEANT.get((name, error.option_name), "")
    if isinstance(error, click.MissingParameter):
        return _example(context)
    if isinstance(error, click.BadParameter) and error.param is not None:
        return _from_variable(context, error.param)
    if "unexpected extra argument" in error.format_message():
        extra = error.format_message().rpartition("(")[2].rstrip(")").split()[:1]
        takes_store = any("--store" in parameter.opts for parameter in context.command.params)
        return _EXTRA.get(name) or (f"To name a store: --store {' '.join(extra)}" if takes_store else _example(context))
    return ""


def _example(context: click.Context) -> str:
    lines = inspect.cleandoc((context.command.epilog or "").replace("\b", "")).splitlines()
    found = next((line.strip() for line in lines if line.strip().startswith("shp-miner")), "")
    return f"For example: {found}" if found else ""


def _from_variable(context: click.Context, parameter: click.Parameter) -> str:
    """Return a sentence on the variable that a refused value comes from."""
    if context.get_parameter_source(str(parameter.name)) is not ParameterSource.ENVIRONMENT:
        return ""
    known = variables_of(parameter, context) if isinstance(parameter, click.Option) else []
    name = next((name for name in known if os.environ.get(name)), "")
    return f"The value comes from the environment variable {name}." if name else ""
