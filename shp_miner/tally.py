"""Counts of what was kept and what was dropped, each under a reason, and of damage met in files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Damage:
    """A place in a file after which, or a record in it that, could not be read.

    `offset` counts bytes of the file as it lies on disk for a damaged archive, and bytes of its decompressed text for
    a damaged record.
    """

    path: str
    offset: int
    what: str

    def sentence(self) -> str:
        """One sentence naming the file, the place and the trouble."""
        return f"{self.path}, byte {self.offset}: {self.what}"


#: Reasons that mean a record was lost to bad input, rather than left out by a rule or a filter.
LOST = frozenset(
    {
        "not_json",
        "not_an_object",
        "not_utf8",
        "not_xml",
        "missing_field",
        "unknown_field",
        "wrong_type",
        "bad_score",
        "bad_time",
        "bad_id",
        "time_in_future",
        "line_too_long",
        "id_repeated",
        "bad_ratio",
        "value_too_long",
    }
)

_EXAMPLES_KEPT = 5

#: Communities of a site that are named; where there are more, it is the whole site.
_PLACES_NAMED = 100


@dataclass
class Tally:
    """Counts by kind ("post", "answer", "pair", "line", ...) and reason.

    `read` counts what was kept per kind; `dropped` what was not; `notes` what was kept but changed (such as a
    character that no encoding can hold); `damages` files that broke off; `examples` the first few lost records.
    `places` are the sites of what was kept and the communities of each, None where those are too many to name.
    """

    read: Counter[str] = field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: Counter[tuple[str, str]] = field(default_factory=Counter)
    damages: list[Damage] = field(default_factory=list)
    examples: list[Damage] = field(default_factory=list)
    places: dict[str, set[str] | None] = field(default_factory=dict)

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

    def note(self, kind: str, reason: str, count: int = 1) -> None:
        """Count `count` of `kind` as kept but changed for `reason`."""
        if count:
            self.notes[kind, reason] += count

    def saw(self, site: str, communities: Iterable[str] | None) -> None:
        """Note that something of these communities of a site was kept; None stands for the whole site."""
        known = self.places.get(site, set())
        names = None if known is None or communities is None else known.union(communities)
        self.places[site] = None if names is not None and len(names) > _PLACES_NAMED else names

    def merge(self, other: Tally) -> None:
        """Add the counts of `other`."""
        self.read.update(other.read)
        self.dropped.update(other.dropped)
        self.notes.update(other.notes)
        self.damages.extend(other.damages)
        self.examples.extend(other.examples[: _EXAMPLES_KEPT - len(self.examples)])
        for site, communities in other.places.items():
            self.saw(site, communities)

    @property
    def lost(self) -> int:
        """Records lost to bad input."""
        return sum(count for (_, reason), count in self.dropped.items() if reason in LOST)

    @property
    def complete(self) -> bool:
        """Whether everything in the input could be read."""
        return not self.damages and not self.lost

    def to_dict(self) -> dict[str, object]:
        """Plain, stably ordered data for manifests and `--json`."""
        return {
            "kept": dict(sorted(self.read.items())),
            "dropped": nested(self.dropped),
            "changed": nested(self.notes),
            "damaged": [{"file": d.path, "byte": d.offset, "what": d.what} for d in self.damages],
            "examples": [{"file": d.path, "byte": d.offset, "what": d.what} for d in self.examples],
        }


def nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """{(kind, reason): n} as {kind: {reason: n}}, both sorted by name."""
    out: dict[str, dict[str, int]] = {}
    for (kind, reason), count in sorted(counts.items()):
        out.setdefault(kind, {})[reason] = count
    return out


def total(tallies: Iterable[Tally]) -> Tally:
    """One tally with the counts of all."""
    out = Tally()
    for tally in tallies:
        out.merge(tally)
    return out


def counted(count: int, what: str) -> str:
    """A number of things in words: "1 file", "2,000 files"."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
