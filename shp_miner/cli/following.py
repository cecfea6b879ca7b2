"""The commands that make sense next, in the form in which this one was called, so that they can be pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from shp_miner.cli.layout import say_prose
from shp_miner.cli.saying import say
from shp_miner.paths import DEFAULT_STORE

if TYPE_CHECKING:
    from shp_miner.rules.recommended import Recommendation

_NAME = "shp-miner"


def program() -> str:
    """Return how to call this program again: as it was called, if that can be told, else "shp-miner"."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py" and called.parent.name == "shp_miner":
        return "python -m shp_miner"
    if called.name != _NAME:
        return _NAME  # called from Python
    script = called.absolute()
    if "UV_RUN_RECURSION_DEPTH" in os.environ and _is_of_project(script):
        return f"uv run {_NAME}"
    known = shutil.which(_NAME)
    return _NAME if known is not None and Path(known).resolve() == script.resolve() else shlex.quote(sys.argv[0])


def _is_of_project(script: Path) -> bool:
    """Whether a script lies in the environment of the project that the current folder is in, where uv finds it."""
    environment = script.parent.parent
    project = environment.parent
    is_environment = environment.name == ".venv" and (project / "pyproject.toml").is_file()
    return is_environment and Path.cwd().is_relative_to(project)


def command(*words: str | Path, store: Path | None = None) -> str:
    """Return a command of this program with its arguments quoted, and with --store if it is not the default one."""
    where = [] if store is None or store == DEFAULT_STORE else ["--store", str(store)]
    return f"{program()} {shlex.join([*map(str, words), *where])}"


def say_next(commands: Sequence[str], *, after_table: bool = False) -> None:
    """Print commands under "Next:", with an empty line before it; a table has one already."""
    say(*([] if after_table else [""]), "Next:", *(f"  {command}" for command in commands))


def say_recommended(recommended: Recommendation | None) -> bool:
    """Print why another rule than the default is recommended, and an empty line; return whether there was one."""
    if recommended is None or not recommended.why:
        return False
    say_prose(f"{recommended.why} Try it with `--rule {recommended.rule}`.")
    say("")
    return True


def show_next(commands: Sequence[str]) -> None:
    """Print the same as the last words of a command, also behind what it said on stderr."""
    with suppress(BrokenPipeError):  # nobody reads them
        say_next(commands)
