"""How a command says that it failed: sentences on stderr, and with --json one object on stdout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from shp_miner.cli.saying import say


class _Printed:
    """Whether the running command has printed its JSON object: there is never a second one."""

    yes = False


def note_printed() -> None:
    """Note that the command has printed its object."""
    _Printed.yes = True


def begin() -> None:
    """Note that a command begins."""
    _Printed.yes = False


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether --json is given, on the command line or by the command's variable."""
    words = list(arguments)
    words = words[: words.index("--")] if "--" in words else words
    names = [word.upper().replace("-", "_") for word in words if not word.startswith("-")][:2]
    commands = ["_".join(names[:count]) for count in range(1, len(names) + 1)]
    variables = [f"SHP_MINER_{command}_{option}" for command in commands for option in ("JSON", "AS_JSON")]
    return "--json" in words or any(
        os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in variables
    )


def say_as_json(message: str, hint: str, exit_code: int) -> None:
    """Print an error as the command's JSON object, unless it has printed its result."""
    if _Printed.yes:
        return
    import json

    data = {"error": message, "hint": hint, "exit_code": exit_code}
    with suppress(OSError):  # nobody reads it
        say(*json.dumps(data, indent=2, ensure_ascii=False).split("\n"))
