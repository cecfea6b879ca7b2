"""The group of `import`: finds the kind of dump in any letter case, or by the files if nobody names it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from shp_miner.cli.leading import LeadingGroup, behind_the_name
from shp_miner.cli.saying import say
from shp_miner.dumps.kinds import KINDS, likely_kind, meant_kind
from shp_miner.errors import BadInput, Error, UsageError
from shp_miner.paths import expanded, whole


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
        return meant_kind(word)

    def _with_kind(self, words: list[str]) -> list[str]:
        later = [word for word in words if self._named(word)]
        if later and not self._there(words[: words.index(later[0])]):  # options in front of the kind
            words.remove(later[0])
            return [later[0], *words]
        paths = self._there(words)
        if (not paths and words[0] != "-") or self._misspelt(words):
            raise _no_kind(words)
        from shp_miner.dumps.guess import kinds_in, of_several_kinds
        from shp_miner.dumps.inputs import refuse_empty, refuse_table

        for path in paths:
            refuse_table(path)
            refuse_empty(path)
        known = [(path, found) for path in paths if (found := kinds_in(path))]
        if (mixed := of_several_kinds(known)) is not None:
            raise mixed
        kinds = sorted(set().union(*(found for _, found in known)))
        if len(kinds) != 1:
            what = known[0][0] if known else words[0] if words[0] == "-" else paths[0]
            told = f"Its contents are of several kinds: {', '.join(kinds)}." if kinds else "Its contents do not tell."
            raise UsageError(
                f"What kind of dump is {what}? {told}",
                f"Name the kind: `shp-miner import KIND {shlex.join(words)}`. {_kinds()}",
            )
        if not {"-q", "--quiet"} & set(words):
            say(f"Importing as {kinds[0]}, which the contents of {known[0][0]} tell.", err=True)
        return [kinds[0], *words]

    def _misspelt(self, words: Sequence[str]) -> bool:
        """Return whether the first word is no path and like the name of a kind."""
        return bool(likely_kind(words[0])) and not self._there(words[:1])

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


def _no_kind(words: Sequence[str]) -> Error:
    word = next((word for word in words if not word.startswith("-")), words[0])
    if near := likely_kind(word):
        return UsageError(f"There is no import kind {word!r}.", f"Did you mean {near!r}?")
    likely_path = next((word for word in words if not word.startswith("-") and ("." in word or "/" in word)), "")
    if likely_path.startswith(("http://", "https://")):
        return UsageError(f"{likely_path} is an address, not a file.", "Download it, and name the file.")
    if likely_path:
        return BadInput(
            f"There is no file {whole(Path(likely_path))}.",
            "Check the path. You may leave out the kind of dump: the contents of most files show it.",
        )
    return UsageError(
        f"There is no import kind {word!r}, and no file {whole(Path(word))}.",
        f"Name a kind and files: shp-miner import KIND PATH... {_kinds()}",
    )


def _kinds() -> str:
    return f"The kinds: {'; '.join(f'{name} ({reads})' for name, reads in KINDS.items())}."
