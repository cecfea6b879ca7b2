"""The group of `import`: finds the kind of dump in any letter case, or by the files if nobody names it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import click

from shp_miner.cli.leading import LeadingGroup, behind_the_name
from shp_miner.cli.names import known_name
from shp_miner.cli.saying import say
from shp_miner.errors import BadInput, Error, UsageError, likely
from shp_miner.paths import expanded, whole

#: Short names of the kinds.
_ALSO = {
    "reddit": "reddit-dump",
    "pushshift": "reddit-dump",
    "stackexchange": "stackexchange-dump",
    "stack-exchange": "stackexchange-dump",
    "discourse": "discourse-json",
    "thread": "threads",
    "jsonl": "threads",
}


class ImportGroup(LeadingGroup):
    """Imports with the kind that is named, meant or, for lack of a name, told by the files."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the kind in front of the arguments if only the files say it. Raises UsageError if they do not."""
        words = behind_the_name(args)
        if words and not ({"-h", "--help"} & set(words) or self._named(words[0]) or ctx.resilient_parsing):
            words = self._with_kind(words)
        return super().parse_args(ctx, words)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a kind, in any letter case."""
        return super().get_command(ctx, self._named(cmd_name) or cmd_name)

    def _named(self, word: str) -> str:
        name = known_name(word, [*self.commands, *_ALSO])
        return name if name in self.commands else _ALSO.get(name, "")

    def _with_kind(self, words: list[str]) -> list[str]:
        later = [word for word in words if self._named(word)]
        if later and not self._there(words[: words.index(later[0])]):  # options in front of the kind
            words.remove(later[0])
            return [later[0], *words]
        paths = self._there(words)
        if not paths and words[0] != "-":
            raise _no_kind(words, self.commands)
        from shp_miner.dumps.guess import guessed_kind
        from shp_miner.dumps.inputs import refuse_table

        for path in paths:
            refuse_table(path)
        kind = guessed_kind(paths)
        if kind is None:
            raise UsageError(
                f"What kind of dump is {words[0] if words[0] == '-' else paths[0]}? Its contents do not tell.",
                f"Name the kind: shp-miner import KIND {shlex.join(words)}. {_kinds()}",
            )
        if not {"-q", "--quiet"} & set(words):
            say(f"Importing as {kind}, which the contents of {paths[0]} tell.", err=True)
        return [kind, *words]

    def _there(self, words: Sequence[str]) -> list[Path]:
        """Return the words that are existing paths, and not the values of options."""
        with_value = {
            name
            for command in self.commands.values()
            for option in command.params
            if isinstance(option, click.Option) and not option.is_flag
            for name in option.opts
        }
        found = []
        for before, word in zip(["", *words], words, strict=False):
            if word.startswith("-") or before in with_value:
                continue
            with suppress(OSError, UsageError, ValueError):
                path = expanded(word)
                found += [path] if path.exists() else []
        return found


def _no_kind(words: Sequence[str], kinds: Iterable[str]) -> Error:
    likely_path = next((word for word in words if not word.startswith("-") and ("." in word or "/" in word)), "")
    if likely_path:
        return BadInput(
            f"There is no file {whole(Path(likely_path))}.",
            "Check the path. The kind of dump may be left out if the contents of the files tell it.",
        )
    word = next((word for word in words if not word.startswith("-")), words[0])
    near = likely(word, kinds)
    if near:
        return UsageError(f"There is no import kind {word!r}.", f"Did you mean {near!r}?")
    return UsageError(
        f"There is no import kind {word!r}, and no file {whole(Path(word))}.",
        f"Name a kind and files: shp-miner import KIND PATH... {_kinds()}",
    )


def _kinds() -> str:
    from shp_miner.dumps.guess import KINDS

    return f"The kinds: {'; '.join(f'{name} ({reads})' for name, reads in KINDS.items())}."
