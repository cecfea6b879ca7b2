"""Monthly Reddit dump files: RS_* (submissions) and RC_* (comments), one JSON object a line, any compression.

Old and new files differ in types (numbers as strings or floats, missing flags); both are read. Only direct replies are
kept: no rule can use the others. See docs/formats.md for the fields read and docs/performance.md for how it is fast: a
search of the raw bytes finds the lines worth parsing (`shortcut`), clean records become columns many at a time
(`reddit_columns`), and whatever is unusual takes the careful way (`reddit_records`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shp_miner.dumps import reddit_records
from shp_miner.dumps.compressed import Advance, compression, ignore, line_blocks, lines, split_lines
from shp_miner.dumps.records import Lost, latest_allowed_us
from shp_miner.dumps.shortcut import AUDIT_EVERY, Shortcut, count_lines
from shp_miner.errors import BadInput, from_os_error
from shp_miner.tally import Damage, Tally

# Tables take a second to import. The first of them is needed when some thousand records are parsed, and by then the
# file has long been decompressing.
if TYPE_CHECKING:
    from shp_miner.model import Chunk, Rows

_SUFFIXES = (".zst", ".bz2", ".xz", ".gz", ".json", ".jsonl", ".ndjson")
_LINES_SNIFFED = 20

#: Clean records turned into columns at a time.
_BATCH = 10_000

Line = tuple[int, bytes]


def read(
    paths: Sequence[Path],
    tally: Tally,
    *,
    now: datetime,
    advance: Advance = ignore,
    communities: Collection[str] = (),
    thorough: bool = False,
    part: tuple[int, int] = (0, 1),
) -> Iterator[Chunk]:
    """Read dump files in the order given.

    `communities` are subreddit names in any letter case; none means all. `thorough` parses every line. `part` (k, n)
    reads the k-th of n shares of every file's blocks, so that n readers share the work. Raises BadInput before anything
    is yielded if a path is missing or holds something else; damage inside a file is noted in `tally` (by part 0).
    """
    files = dump_files(paths)
    kinds = {file: kind_of(file) for file in files}
    wanted = frozenset(name.lower().removeprefix("r/") for name in communities)
    for file in files:
        reader = _Reader(file, kinds[file], tally, latest_allowed_us(now), wanted)
        notes = tally if part[0] == 0 else Tally()
        for number, (offset, text) in enumerate(line_blocks(file, notes, advance)):
            if number % part[1] == part[0]:
                reader.block(number, offset, text, thorough=thorough)
                if reader.full:
                    yield reader.take()
        yield reader.take()


class _Reader:
    """Turns the blocks of one file into rows and counts what is left out."""

    def __init__(self, path: Path, kind: str, tally: Tally, latest_us: int, wanted: frozenset[str]) -> None:
        self.path, self.kind, self.tally, self.latest_us, self.wanted = path, kind, tally, latest_us, wanted
        self._rows: Rows | None = None
        self._shortcut: Shortcut | None = None
        self._clean: list[tuple[Line, msgspec.Struct]] = []

    @property
    def full(self) -> bool:
        return self._rows is not None and self._rows.full

    @property
    def rows(self) -> Rows:
        """The rows collected so far."""
        from shp_miner.model import ANSWER, POST, Rows  # noqa: PLC0415

        if self._rows is None:
            self._rows = Rows(POST if self.kind == "post" else ANSWER)
        return self._rows

    def take(self) -> Chunk:
        from shp_miner.model import ANSWER, POST, Chunk, empty  # noqa: PLC0415

        self._flush()
        if self.kind == "post":
            return Chunk(self.rows.take(), empty(ANSWER))
        return Chunk(empty(POST), self.rows.take())

    def block(self, number: int, offset: int, text: bytes, *, thorough: bool) -> None:
        """Take over what is wanted of a block of whole lines."""
        if thorough:
            self._lines(split_lines(offset, text))
            return
        if self._shortcut is None:
            self._shortcut = Shortcut(self.kind, self.wanted, text)
        candidates = self._shortcut.candidates(offset, text)
        if candidates is None:
            self._lines(split_lines(offset, text))
            return
        found = list(candidates)
        if number % AUDIT_EVERY == 0:
            self._audit(found, offset, text)
        left_out = "other_community" if self.wanted else "not_direct_reply"
        self.tally.drop(self.kind, left_out, count_lines(text) - len(found))
        self._lines(found)

    def _lines(self, found: Iterable[Line]) -> None:
        decode = reddit_records.CLEAN_DECODERS[self.kind].decode
        for place in found:
            try:
                item = decode(place[1])
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._careful(place)
                continue
            reason = reddit_records.unwanted(self.kind, item, self.wanted)
            if reason:
                self.tally.drop(self.kind, reason)
            else:
                self._clean.append((place, item))
        if len(self._clean) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        """Turn the clean records into columns; those that prove unusual there take the careful way."""
        clean, self._clean = self._clean, []
        if not clean:
            return
        from shp_miner.dumps.reddit_columns import CAREFUL, to_frame  # noqa: PLC0415

        frame = to_frame(self.kind, [item for _, item in clean], self.latest_us)
        careful = frame[CAREFUL].fill_null(value=True)
        self.rows.add_frame(frame.filter(~careful))
        self.tally.keep(self.kind, frame.height - int(careful.sum()))
        for index in careful.arg_true():
            self._careful(clean[index][0])

    def _careful(self, place: Line) -> None:
        offset, line = place
        try:
            item = reddit_records.decode(self.kind, line)
            reason = reddit_records.unwanted(self.kind, item, self.wanted)
            if reason:
                self.tally.drop(self.kind, reason)
                return
            self.rows.add(**reddit_records.values(self.kind, item, self.latest_us, self.tally))
        except Lost as lost:
            self.tally.lose(self.kind, lost.reason, Damage(str(self.path), offset, lost.what))
        else:
            self.tally.keep(self.kind)

    def _audit(self, found: Sequence[Line], offset: int, text: bytes) -> None:
        """Parse the whole block and hold what is wanted in it against what the shortcut found."""
        if self._wanted(found) != self._wanted(split_lines(offset, text)):
            raise BadInput(
                f"{self.path} spells its records in a way that the fast search misses (near byte {offset}).",
                "Import it again with --thorough, which parses every line.",
            )

    def _wanted(self, found: Iterable[Line]) -> list[int]:
        offsets = []
        for offset, line in found:
            try:
                item = reddit_records.decode(self.kind, line)
            except Lost:
                continue
            if reddit_records.unwanted(self.kind, item, self.wanted) is None:
                offsets.append(offset)
        return offsets


def dump_files(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, folders replaced by the dump files in them."""
    return [file for path in paths for file in _files(path)]


def _files(path: Path) -> list[Path]:
    """The path itself, or the dump files of a folder in the order of their names."""
    try:
        if not path.is_dir():
            return [path]
        files = sorted(
            file
            for file in path.iterdir()
            if file.is_file() and (file.suffix in _SUFFIXES or (not file.suffix and file.name[:3] in ("RS_", "RC_")))
        )
    except OSError as error:
        raise from_os_error(error, f"reading the folder {path}") or error from error
    if not files:
        raise BadInput(f"The folder {path} holds no dump files.", "Name the RS_* and RC_* files themselves.")
    return files


def kind_of(path: Path) -> str:
    """Whether the file holds "post" or "answer", by its first lines. Raises BadInput for any other kind of file."""
    hint = "`import reddit-dump` takes RS_* and RC_* files: one JSON object a line, plain or compressed."
    seen = 0
    for _, line in islice(lines(path, Tally()), _LINES_SNIFFED):
        seen += 1
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(record, dict):
            continue
        if "link_id" in record or ("body" in record and "title" not in record):
            return "answer"
        if "answers" in record:
            raise BadInput(
                f"{path} holds threads with their answers, not a Reddit dump.", "Use `import threads` for it."
            )
        if "title" in record and "subreddit" in record:
            return "post"
    if not seen and (compression(path) != "plain" or path.stat().st_size == 0):
        return "post"  # empty, or damaged before its first line: reading it says which
    raise BadInput(f"{path} is not a Reddit dump: its first lines are no submissions or comments.", hint)
