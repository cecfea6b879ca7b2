"""Counts of kept and dropped records by reason, and of damage in files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

#: What to do about a truncated file.
UNDAMAGED = "Get an undamaged copy and import it again."

#: What to do about a file that this program failed to read.
REPORT = "This is a bug, not damage: please report it with the output of -v."


class Lost(Exception):
    """A record that cannot be used; `reason` is one of LOST and `what` a part of a sentence for people."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason
        self.what = what


@dataclass(frozen=True)
class Damage:
    """A record that could not be read, or the place after which a file could not be read.

    `offset` counts bytes: of the file on disk for a damaged archive, of its decompressed text for a damaged record.
    None means the whole file. `hint` says what to do. `defect` is the traceback of an error of this program.
    """

    path: str
    offset: int | None
    what: str
    hint: str = UNDAMAGED
    defect: str = ""

    def sentence(self) -> str:
        """Return one sentence with the file, the place and the damage."""
        return f"{self.path}: {self.what}" if self.offset is None else f"{self.path}, byte {self.offset}: {self.what}"


_LAYOUT = (
    "Correct these records: `shp-miner docs threads` (own threads) and `shp-miner docs formats` (dumps) list the keys."
)

#: Reasons of records lost to bad input (not left out by a rule or a filter), and what to do about each.
HINTS = {
    "not_json": "Write one JSON object per line, or get an undamaged copy.",
    "not_an_object": "Write one JSON object per line.",
    "not_utf8": "Convert the file to UTF-8 (for example with iconv), or get an undamaged copy.",
    "not_xml": UNDAMAGED,
    "missing_field": _LAYOUT,
    "unknown_field": _LAYOUT,
    "wrong_type": _LAYOUT,
    "bad_score": "Write scores as whole numbers from -2^53 to 2^53; in own threads, not as text.",
    "bad_count": "Write counts (readers, views, votes) as whole numbers from 0 to 2^53; in own threads, not as text.",
    "bad_ratio": "Write shares as numbers from 0 to 1.",
    "bad_time": "Write times as seconds since 1970, or in ISO 8601 with a zone (2024-01-02T03:04:05Z).",
    "bad_id": "Write ids as the platform shows them: short, without spaces around them.",
    "time_in_future": "Check this machine's clock; if it is right, check the unit of the times (seconds).",
    "line_too_long": "End each record with a line break; a record may have 64 MiB at most.",
    "value_too_long": "Write a name, an id or an address in this field; long texts belong in the body.",
    "wrong_cells": "Put texts with delimiters, quotes or line ends in quotes; where quotes mean nothing, "
    "add quotes = false to the map.",
    "post_unknown": "Import the table of posts together with that of answers.",
    "id_repeated": "Give each answer of a thread its own id.",
}
LOST = frozenset(HINTS)

_EXAMPLES_KEPT = 5

#: Up to this many communities of a site are named; with more, the whole site is noted.
_PLACES_NAMED = 100
#: The reason under which a folder's files of another kind are counted, and how many of them are named.
NOT_THIS_KIND = "not_this_kind"
_PASSED_NAMED = 20


@dataclass
class Tally:
    """Counts by kind ("post", "answer", "pair", "line", ...) and reason.

    `read` counts kept records by kind, `dropped` dropped records, and `notes` records that were kept but changed (for
    example a character that no encoding can hold). `damages` are damaged files, and `examples` the first lost records.
    `passed` says why the first skipped files of a folder were skipped. `met` are the requested communities with any
    record. `places` are the sites of kept records with their communities; None if there are too many.
    `text_bytes` are the bytes of text in a section of a compressed file: offsets in the next section count on from it.
    """

    read: Counter[str] = field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: Counter[tuple[str, str]] = field(default_factory=Counter)
    damages: list[Damage] = field(default_factory=list)
    examples: list[Damage] = field(default_factory=list)
    places: dict[str, set[str] | None] = field(default_factory=dict)
    passed: list[str] = field(default_factory=list)
    met: set[str] = field(default_factory=set)
    text_bytes: Counter[str] = field(default_factory=Counter)

    def keep(self, kind: str, count: int = 1) -> None:
        """Count `count` of `kind` as kept."""
        if count:
            self.read[kind] += count

    def drop(self, kind: str, reason: str, count: int = 1) -> None:
        """Count `count` of `kind` as dropped for `reason`."""
        if count:
            self.dropped[kind, reason] += count

    def lose(self, kind: str, reason: str, example: Damage) -> None:
        """Count one record lost to bad input and keep the first few as examples."""
        self.drop(kind, reason)
        if len(self.examples) < _EXAMPLES_KEPT:
            self.examples.append(example)

    def pass_over(self, what: str) -> None:
        """Count a skipped file of another kind; `what` is a sentence on it, kept for the first few files."""
        self.drop("file", NOT_THIS_KIND)
        if len(self.passed) < _PASSED_NAMED:
            self.passed.append(what)

    def note(self, kind: str, reason: str, count: int = 1) -> None:
        """Count `count` of `kind` as kept but changed for `reason`."""
        if count:
            self.notes[kind, reason] += count

    def saw(self, site: str, communities: Iterable[str] | None) -> None:
        """Note that records of these communities of a site were kept; None means the whole site."""
        known = self.places.get(site, set())
        names = None if known is None or communities is None else known.union(communities)
        self.places[site] = None if names is not None and len(names) > _PLACES_NAMED else names

    def merge(self, other: Tally) -> None:
        """Add the counts of `other`."""
        self.read.update(other.read)
        self.dropped.update(other.dropped)
        self.notes.update(other.notes)
        self.damages.extend(other.damages)
        self.examples.extend(map(self._behind, other.examples[: _EXAMPLES_KEPT - len(self.examples)]))
        self.text_bytes.update(other.text_bytes)
        for site, communities in other.places.items():
            self.saw(site, communities)
        self.met |= other.met
        self.passed.extend(other.passed[: _PASSED_NAMED - len(self.passed)])

    def _behind(self, example: Damage) -> Damage:
        """Return a lost record with its offset in the file, of which earlier sections were merged."""
        before = self.text_bytes[example.path]
        return replace(example, offset=example.offset + before) if before and example.offset is not None else example

    @property
    def lost(self) -> int:
        """The number of records lost to bad input."""
        return sum(count for (_, reason), count in self.dropped.items() if reason in LOST)

    @property
    def hints(self) -> list[str]:
        """What to do about lost records and damaged files: one sentence per reason and per kind of damage."""
        lost = sorted({reason for (_, reason), count in self.dropped.items() if reason in LOST and count})
        by_hint: dict[str, list[str]] = {}
        for reason in lost:
            by_hint.setdefault(HINTS[reason], []).append(reason.replace("_", " "))
        broken = [damage.hint for damage in self.damages if damage.hint not in by_hint]
        return [f"{', '.join(names)}: {hint}" for hint, names in by_hint.items()] + list(dict.fromkeys(broken))

    @property
    def defects(self) -> list[str]:
        """The tracebacks of this program's own errors in reading files."""
        return [damage.defect for damage in self.damages if damage.defect]

    @property
    def complete(self) -> bool:
        """Whether the whole input could be read."""
        return not self.damages and not self.lost

    def to_dict(self) -> dict[str, object]:
        """Return plain data in a stable order, for manifests and `--json`."""
        return {
            "kept": dict(sorted(self.read.items())),
            "dropped": nested(self.dropped),
            "changed": nested(self.notes),
            "damaged": [{"file": d.path, "byte": d.offset, "what": d.what} for d in self.damages],
            "examples": [{"file": d.path, "byte": d.offset, "what": d.what} for d in self.examples],
            "passed_over": list(self.passed),
            "hints": self.hints,
        }


def nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Return {(kind, reason): n} as {kind: {reason: n}}, both sorted by name."""
    out: dict[str, dict[str, int]] = {}
    for (kind, reason), count in sorted(counts.items()):
        out.setdefault(kind, {})[reason] = count
    return out


def total_tally(tallies: Iterable[Tally]) -> Tally:
    """Return one tally with the counts of all."""
    out = Tally()
    for tally in tallies:
        out.merge(tally)
    return out


def counted(count: int, what: str) -> str:
    """Return a number with its noun: "1 file", "2,000 files"."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
