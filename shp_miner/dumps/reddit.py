"""Monthly Reddit dump files: RS_* (submissions) and RC_* (comments), one JSON object a line, any compression.

Old and new files differ in types (numbers as strings or floats, missing flags); both are read. Only direct replies are
kept: no rule can use the others. See docs/formats.md for the fields read and docs/performance.md for how it is fast: a
search of the raw bytes finds the lines worth parsing (`shortcut`), a batch of usual ones becomes columns at once
(`reddit_columns`), and whatever is unusual takes the careful way (`reddit_records`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shp_miner.dumps.ahead import read_ahead
from shp_miner.dumps.compressed import Advance, compression_of, decompressed_blocks, decompressed_head, ignore_progress
from shp_miner.dumps.inputs import START_BYTES, NotOurs, chosen_files, refuse_container
from shp_miner.dumps.lines import Lines, all_lines, joined_lines, of_places
from shp_miner.dumps.sections import Section
from shp_miner.dumps.shortcut import AUDIT_EVERY, Shortcut, count_lines
from shp_miner.dumps.whole_lines import line_blocks, split_lines
from shp_miner.errors import BadInput
from shp_miner.platforms import reddit as reddit_records
from shp_miner.platforms.communities import stored_name
from shp_miner.platforms.records import file_alone, is_utf8, latest_allowed_us, lenient_json
from shp_miner.tally import Damage, Lost, Tally

# Tables take a second to import. The first of them is needed when some thousand records are parsed, and by then the
# file has long been decompressing.
if TYPE_CHECKING:
    from shp_miner.platforms.rows import Chunk

_LINES_SNIFFED = 20
#: Names that say what is in a file, whatever its first lines are.
_NAMED = re.compile(
    r"(?P<own>RS|RC)(?:$|[^a-zA-Z])|(?:^|.*[_-])(?P<word>submissions|comments)(?:$|[._-])", re.IGNORECASE
)

#: Blocks (of about 1 MiB) of a file that are searched for names of communities where none asked for was met.
_BLOCKS_SAMPLED = 64
_SUBREDDIT = re.compile(rb'"subreddit": ?"([^"\\]{1,60})"')

#: Lines turned into columns at a time, and their bytes.
_BATCH = 10_000
_BATCH_BYTES = 16_000_000

#: More records of the other kind than this, told by a key that only comments have, are worth a second look as columns.
_FEW = 64
_COMMENTS_KEY = b'"link_id"'

Text = bytes | memoryview


def read(
    paths: Sequence[Path],
    tally: Tally,
    *,
    now: datetime,
    advance: Advance = ignore_progress,
    communities: Collection[str] = (),
    thorough: bool = False,
    section: Section | None = None,
) -> Iterator[Chunk]:
    """Read dump files in the order given, or a section of the only one.

    `communities` are subreddit names in any letter case; none means all. `thorough` parses every line. Raises BadInput
    before anything is yielded if a path is missing or holds something else; damage inside a file is noted in `tally`.
    """
    files = dump_files(paths, tally)
    wanted = frozenset(map(stored_name, communities))
    for file, kind in files:
        searched = Tally()
        search = _Search(file, kind, wanted, searched)
        rows = _Rows(file, kind, wanted, tally, latest_allowed_us(now))
        # One thread decompresses, one searches, and this one parses.
        with file_alone(file, tally):
            for found in read_ahead(
                search.batches(line_blocks(file, searched, advance, section, beyond_damage=True), thorough=thorough), 1
            ):
                rows.add(found)
                if rows.full:
                    yield rows.take()
        yield rows.take()
        tally.merge(searched)


class _Search:
    """Finds the lines of one file that are worth parsing, and counts the others in `tally`."""

    def __init__(self, path: Path, kind: str, wanted: frozenset[str], tally: Tally) -> None:
        self.path, self.kind, self.wanted, self.tally = path, kind, wanted, tally
        self._shortcut: Shortcut | None = None

    def batches(self, blocks: Iterable[tuple[int, Text]], *, thorough: bool) -> Generator[Lines, None, None]:
        """Lines in their order, as many at a time as are turned into columns at once."""
        held: list[Lines] = []
        count = size = 0
        for number, (offset, text) in enumerate(blocks):
            found = None if thorough else self._found(number, offset, text)
            if found is None:
                found = all_lines(offset, text)
            if found:  # of a rare community most blocks have nothing, and nothing need not be held
                held.append(found)
            count, size = count + len(found), size + len(found.text)
            if count >= _BATCH or size >= _BATCH_BYTES:
                yield joined_lines(held)
                held, count, size = [], 0, 0
        if count:
            yield joined_lines(held)

    def _found(self, number: int, offset: int, text: Text) -> Lines | None:
        """The candidates of a block, None if every line must be parsed."""
        if self._shortcut is None:
            self._shortcut = Shortcut(self.kind, self.wanted, text)
        found = self._shortcut.candidates(offset, text)
        if found is not None:
            if number % AUDIT_EVERY == 0:
                self._audit(found, offset, text)
            left_out = "other_community" if self.wanted else "not_direct_reply"
            self.tally.drop(self.kind, left_out, count_lines(text) - len(found))
        return found

    def _audit(self, found: Lines, offset: int, text: Text) -> None:
        """Parse the whole block and hold what is wanted in it against what the shortcut found."""
        if self._kept(found) != self._kept(all_lines(offset, text)):
            raise BadInput(
                f"{self.path} writes its records in a form that the fast search misses (near byte {offset}).",
                "Import it again with --thorough, which parses every line.",
            )

    def _kept(self, lines: Lines) -> list[int]:
        offsets = []
        for offset, line in lines:
            try:
                kind, item = reddit_records.decode_either(self.kind, line)
            except Lost:
                continue
            if reddit_records.unwanted(kind, item, self.wanted) is None:
                offsets.append(offset)
        return offsets


class _Rows:
    """Turns lines of one file into rows, and counts in `tally` what is kept and what is not.

    `kind` is that of the file's first record; records of the other kind are told one by one.
    """

    def __init__(self, path: Path, kind: str, wanted: frozenset[str], tally: Tally, latest_us: int) -> None:
        # Imported when the first lines have come: tables take a while, and the file has long been decompressing.
        from shp_miner.model import ANSWER, POST  # noqa: PLC0415
        from shp_miner.platforms.rows import Rows  # noqa: PLC0415

        self.path, self.kind, self.wanted, self.tally, self.latest_us = path, kind, wanted, tally, latest_us
        self._rows = {"post": Rows(POST), "answer": Rows(ANSWER)}

    @property
    def full(self) -> bool:
        return any(rows.full for rows in self._rows.values())

    def take(self) -> Chunk:
        """The rows since the last call."""
        from shp_miner.platforms.rows import Chunk  # noqa: PLC0415

        return Chunk(self._rows["post"].take(), self._rows["answer"].take())

    def add(self, lines: Lines) -> None:
        """Take over the records of the lines that are wanted; what proves unusual takes the careful way."""
        careful = self._at_once(self.kind, lines)
        comments = self.kind == "answer"
        others = [place for place in careful if (_COMMENTS_KEY in place[1]) != comments]
        if len(others) > _FEW:
            careful = [place for place in careful if (_COMMENTS_KEY in place[1]) == comments]
            careful += self._at_once(reddit_records.OTHER_KIND[self.kind], of_places(others))
        for place in sorted(careful):  # as in the file, wherever batches begin
            self._careful(place)

    def _at_once(self, kind: str, lines: Lines) -> list[tuple[int, bytes]]:
        """Take over the usual records of a kind; the lines of all others are returned."""
        import polars as pl  # noqa: PLC0415

        from shp_miner.dumps.reddit_columns import LEFT_OUT, to_frame  # noqa: PLC0415

        frame, careful = to_frame(kind, lines, self.latest_us, self.wanted)
        if frame.height:
            if self.wanted:
                self.tally.met.update(
                    frame.filter(pl.col(LEFT_OUT).ne_missing("other_community"))["community"].unique()
                )
            for reason, count in frame[LEFT_OUT].drop_nulls().value_counts().iter_rows():
                self.tally.drop(kind, reason, count)
            kept = frame.filter(frame[LEFT_OUT].is_null())
            self.tally.note(kind, "score_age_unknown", kept["observed_at"].null_count())
            lost = self._rows[kind].add_frame(kept)
            for reason, count in lost.items():
                self.tally.drop(kind, reason, count)
            self.tally.keep(kind, kept.height - sum(lost.values()))
        return careful

    def _careful(self, place: tuple[int, bytes]) -> None:
        offset, line = place
        kind = self.kind
        try:
            kind, item = reddit_records.decode_either(kind, line)
            reason = reddit_records.unwanted(kind, item, self.wanted)
            if self.wanted and reason != "other_community" and item.subreddit:
                self.tally.met.add(item.subreddit.lower())
            if reason:
                self.tally.drop(kind, reason)
                return
            self._rows[kind].add(**reddit_records.values(kind, item, self.latest_us, self.tally))
        except Lost as lost:
            self.tally.lose(kind, lost.reason, Damage(str(self.path), offset, lost.what))
        else:
            self.tally.keep(kind)
            if not is_utf8(line):
                self.tally.note("line", "text_repaired")


def dump_files(paths: Sequence[Path], tally: Tally) -> list[tuple[Path, str]]:
    """The files that paths stand for with their kinds, folders replaced by the dump files in them."""
    return chosen_files(paths, kind_of, tally, holds="dump files of Reddit")


def communities_in(files: Sequence[Path]) -> set[str]:
    """Return the communities at the beginnings of dump files, for a message to a user who asked for others."""
    names: set[str] = set()
    for file in files:
        for block in islice(decompressed_blocks(file, Tally()), _BLOCKS_SAMPLED):
            names.update(found.decode("utf-8", "replace").lower() for found in _SUBREDDIT.findall(block))
    return names


def kind_of(path: Path) -> str:
    """Return "post" or "answer", the kind of the file, by its first lines, else by its name.

    A name decides the kind: then unreadable content is damage. Raises BadInput for any other file.
    """
    hint = "`import reddit-dump` reads RS_* and RC_* files: one JSON object per line, plain or compressed."
    start, seen = b"", 0
    for _, line in islice(_first_lines(path), _LINES_SNIFFED):
        start, seen = start or line[:START_BYTES], seen + 1
        try:
            record = lenient_json(line)
        except Lost:
            continue
        if not isinstance(record, dict):
            continue
        kind = _kind(record)
        if kind:
            return kind
        if "answers" in record:
            raise NotOurs(
                f"{path} has threads with their answers; it is not a Reddit dump.", "Use `import threads` for it."
            )
    if not seen and compression_of(path) != "plain":
        return "post"  # damaged before its first line: reading it says so
    whole = decompressed_head(path, START_BYTES)
    refuse_container(path, whole, "reddit-dump")
    named = _NAMED.match(path.name)
    if named:
        return "answer" if (named["own"] or named["word"]).lower() in ("rc", "comments") else "post"
    raise NotOurs(f"{path} is not a Reddit dump: its first lines are not submissions or comments.", hint)


def _first_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file. Raises BadInput where it is a container."""
    for offset, text in line_blocks(path, Tally()):
        if offset == 0:
            refuse_container(path, bytes(text[:START_BYTES]), "reddit-dump")
        yield from split_lines(offset, text)


def _kind(record: dict[str, Any]) -> str | None:
    if "link_id" in record or ("body" in record and "title" not in record):
        return "answer"
    return "post" if "title" in record and ("subreddit" in record or "selftext" in record) else None
