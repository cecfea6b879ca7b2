"""The kind of dump that files are, told by their contents, for those who did not name it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from shp_miner.dumps.compressed import decompressed_head
from shp_miner.errors import BadInput, Error

#: Bytes of a file and files of a folder that are looked at.
_START_BYTES = 1 << 16
_FILES = 50

#: Files of a kind that an error names.
_NAMED = 3

#: What only files of one kind have at their beginning.
STARTS = {
    # ELI5's threads have a subreddit, too.
    "reddit-dump": re.compile(rb'\A(?!.*"q_id"\s*:).*"(?:link_id|subreddit|subreddit_id)"\s*:', re.DOTALL),
    "stackexchange-dump": re.compile(rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?<(?:posts|users|votes)\b"),
    "discourse-json": re.compile(rb'"post_stream"\s*:'),
    "threads": re.compile(
        rb'\APAR1|\A\xff{4}|"(?:c_root_id_A|a_id)"\s*:|"answers"\s*:\s*\[\s*(?:\]|\{.*"answer_id"\s*:)', re.DOTALL
    ),
}
#: Names that only one kind has, for archives and damaged files.
_NAMES = {
    "reddit-dump": re.compile(r"R[SC]_\d{4}-\d\d(?:\.|$)"),
    "stackexchange-dump": re.compile(
        r".*\.(?:com|net|org)(?:-Posts)?\.7z$|Posts\.xml(?:\.(?:gz|zst|bz2|xz))?$", re.IGNORECASE
    ),
}


def kinds_in(path: Path) -> set[str]:
    """Return the kinds of dump that a file, or the files of a folder, are recognized as."""
    return {kind for file in _files(path) for kind in _kinds_of(file)}


def of_other_kinds(error: Error, kind: str, paths: Sequence[Path]) -> Error:
    """Return the error of an import with what its files are, where some are of other kinds than the one imported."""
    known = {path: kinds for path in paths if (kinds := kinds_in(path))}
    if all(kind in kinds for kinds in known.values()):
        return error
    mixed = of_several_kinds(list(known.items()))
    if mixed is not None:
        return mixed
    others = sorted(set().union(*known.values()))
    *first, last = (f"`import {other}`" for other in others)
    return type(error)(error.message, f"Use {', '.join(first)}{' or ' * bool(first)}{last} for it.")


def of_several_kinds(known: Sequence[tuple[Path, set[str]]]) -> BadInput | None:
    """Return the error for paths, with their kinds, of which no two kinds can be imported at once; None if one can."""
    by_kind: dict[str, list[str]] = {}
    for path, kinds in known:
        for kind in sorted(kinds):
            by_kind.setdefault(kind, []).append(str(path))
    if len(known) < 2 or any(len(paths) == len(known) for paths in by_kind.values()):
        return None
    named = {kind: _listed(paths) for kind, paths in by_kind.items()}
    return BadInput(
        f"An import takes files of one kind: {'; '.join(f'{files} is {kind}' for kind, files in named.items())}.",
        f"Import each by itself: {', then '.join(f'`import {kind}` for {files}' for kind, files in named.items())}.",
    )


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from islice((file for file in sorted(path.rglob("*")) if file.is_file()), _FILES)
    elif path.is_file():  # not a pipe: its data can be read only once
        yield path


def _kinds_of(file: Path) -> set[str]:
    named = {kind for kind, name in _NAMES.items() if name.match(file.name)}
    if named:
        return named
    try:
        start = decompressed_head(file, _START_BYTES)
    except (Error, OSError):
        return set()
    return {kind for kind, begins in STARTS.items() if begins.search(start)}
