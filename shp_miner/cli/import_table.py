"""The map of `shp-miner import table`: read from a file, or proposed, shown and confirmed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from shp_miner.cli.asking import answered, confirmed
from shp_miner.cli.following import command as called
from shp_miner.cli.layout import wrapped
from shp_miner.cli.saying import say
from shp_miner.errors import UsageError

if TYPE_CHECKING:
    from shp_miner.dumps.table_guess import Guess
    from shp_miner.dumps.table_map import TableMap

#: What a person is asked where the tables do not tell, and a value that could stand in the map.
_QUESTIONS = {
    "site": ("Which site are the tables of? (its host, such as forum.example)", "forum.example"),
    "community": ("Which community, board or section are they of?", "general"),
    "zone": ("The times name no time zone. Which one is it? (UTC, or such as Europe/Berlin)", "UTC"),
    "dates": (
        "Dates such as 02/01/2024 do not tell whether the day or the month is first. Which one is it?",
        "day-first",
    ),
}
#: Keys of the map that options tell.
_TOLD = (*_QUESTIONS, "encoding")
_TEXT_LINES = 2


class TableOptions(TypedDict):
    """Options of `import table`."""

    map_file: Path | None
    guess: bool
    yes: bool
    site: str | None
    community: str | None
    zone: str | None
    dates: str | None
    encoding: str | None
    store: Path
    as_json: bool
    quiet: bool
    dry_run: bool


@dataclass
class Mapped:
    """The map to import by, and what the command's JSON says of it."""

    map: TableMap
    also: Mapping[str, object]


def mapped(paths: Sequence[Path], options: TableOptions) -> Mapped | None:
    """Return the map to import by; None where it was only to be proposed, or the answer was no.

    Raises UsageError where there is no map, or where nobody can be asked for what the tables do not tell.
    """
    told = {name: options[name] for name in _TOLD if options[name] is not None}  # type: ignore[literal-required]
    if not options["guess"]:
        from shp_miner.dumps.table_map import read_map

        if options["map_file"] is None:
            raise UsageError(
                "A table needs a map, which says what its columns mean.",
                f"Let one be proposed: {called('import', 'table', *paths, '--guess')}",
            )
        return Mapped(read_map(options["map_file"], told), {})
    return _proposed(paths, options, told)


def _proposed(paths: Sequence[Path], options: TableOptions, told: dict[str, Any]) -> Mapped | None:
    from shp_miner.dumps.pipes import is_read_once
    from shp_miner.dumps.table_guess import guess_map, shown_threads

    if options["map_file"] is not None:
        raise UsageError("--guess and --map are two ways to have a map.", "Give one of them.")
    if any(is_read_once(path) for path in paths):
        raise UsageError("--guess reads the tables twice, and a pipe can be read once.", "Save it in a file first.")
    sure = options["yes"] or options["dry_run"]
    asks = not (sure or options["as_json"] or options["quiet"])
    asks = asks and sys.stdin.isatty() and sys.stdout.isatty()
    guess = guess_map(paths, told)
    if asks and guess.unknown:
        told |= {name: _answer(name) for name in guess.unknown}
        guess = guess_map(paths, told)
    if guess.unknown and sure:
        raise UsageError(
            f"The tables do not tell: {', '.join(guess.unknown)}.",
            f"Give {' '.join(f'--{name} {_QUESTIONS[name][1]}' for name in guess.unknown)}, or what is right.",
        )
    if options["dry_run"]:
        return Mapped(guess.map, {})
    threads = shown_threads(paths, guess, datetime.now(UTC))
    also = {"map": text_of(guess), "threads": threads}
    if options["as_json"] and not options["yes"]:
        from shp_miner.cli.output import show_result

        show_result({**also, "stored": False, "unknown": guess.unknown}, lambda: None, as_json=True, quiet=False)
        return None
    if not options["quiet"]:
        _show(threads)
    if options["yes"] or asks:
        if not options["quiet"] and not options["as_json"]:
            lines = text_of(guess).splitlines()
            say("", "The map (save it as map.toml, for --map map.toml):", "", *lines, "", err=True)
        if options["yes"] or confirmed("Are the threads right? Import all by this map?"):
            return Mapped(guess.map, also)
        say("Nothing was stored. Correct the map, and import with --map.", err=True)
        return None
    say(*text_of(guess).splitlines())
    again = called("import", "table", *paths, "--map", "map.toml", store=options["store"])
    first = f", complete its lines for {', '.join(guess.unknown)}," if guess.unknown else ""
    say("", f"Nothing was stored. Save the map as map.toml{first} and run: {again}", err=True)
    return None


def _answer(name: str) -> str:
    question, usual = _QUESTIONS[name]
    if name == "dates":
        return answered(question, choices=click.Choice(["day-first", "month-first"]))
    return answered(question, usual if name == "zone" else None)


def text_of(guess: Guess) -> str:
    """Return a proposed map as TOML; what only a person can tell is a comment to complete."""
    import msgspec

    from shp_miner.dumps.table_map import written

    known = msgspec.structs.replace(guess.map, **{name: None for name in guess.unknown if name != "zone"})
    lines = [
        f'# {name} = "{_QUESTIONS[name][1]}"  # the tables do not tell: correct this line' for name in guess.unknown
    ]
    return "".join(f"{line}\n" for line in lines) + written(known)


def _show(threads: Sequence[Mapping[str, Any]]) -> None:
    """Print threads as a map reads them."""
    for thread in threads:
        say("", f"Post {thread['post_id']}: {_numbers(thread)}", err=True)
        say(*wrapped(thread["title"], indent="  "), err=True)
        if thread["body"]:
            say(*wrapped(thread["body"], indent="  ", lines=_TEXT_LINES), err=True)
        for answer in thread["answers"]:
            say(f"  Answer {answer['answer_id']}: {_numbers(answer)}", err=True)
            say(*wrapped(answer["body"], indent="    ", lines=_TEXT_LINES), err=True)


def _numbers(item: Mapping[str, Any]) -> str:
    score = "score hidden" if item["score"] is None else f"score {item['score']:,}"
    return f"{score}, written {item['created_at']:%Y-%m-%d %H:%M} UTC"
