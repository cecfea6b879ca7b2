"""An audit while people judge: whose turn is which pair, and what happens to a choice. Knows no web.

Several judges may be at work at once, each under a name; all of them judge the same pairs. Methods may be called from
several threads.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any
from uuid import uuid4

from msgspec import Struct

from shp_miner.errors import BadInput, UsageError
from shp_miner.export.owned import MANIFEST, formats_in
from shp_miner.show.rows import Export, Place, export_at, read_rows
from shp_miner.web.judgments import CHOICES, Judgment, Judgments
from shp_miner.web.sample import Slot, can_be_audited, plan, stratified

#: The longest name of a judge.
_NAME = 40

#: Rows that are kept in memory: the pages before and after.
_ROWS = 64

#: A judge who looked at a pair for longer was away.
_LONGEST_S = 86_400.0


class Turn(Struct, frozen=True):
    """A pair that a judge sees, with the texts in the order of the screen, and how far the judge is."""

    slot: Slot
    question: str
    answers: tuple[str, str]
    done: int
    total: int


class NoSuchTurn(UsageError):
    """A choice is of a pair that is not the judge's to judge."""


def audited_export(out: Path) -> Export:
    """Return the export in a folder, in the format that names both answers of a pair. Raises UsageError without it."""
    formats = formats_in(out)
    export = export_at(out, "pairs" if "pairs" in formats else None)
    if not can_be_audited(export):
        raise UsageError(
            f"{out} has the format {export.form}, whose rows do not name both answers of a pair.",
            "Audit an export of the format pairs: run `shp-miner export OUT --format pairs`.",
        )
    return export


def judge_name(name: str) -> str:
    """Return a judge's name as it is kept. Raises UsageError for an empty, long or unprintable name."""
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not name or len(name) > _NAME or not name.isprintable():
        raise UsageError("This name cannot be kept.", f"Give a name of 1 to {_NAME} letters, such as your initials.")
    return name


class Audit:
    """The pairs of an export that are judged, and the judgments so far."""

    def __init__(
        self,
        out: Path,
        judgments: Judgments,
        count: int,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        advance: Callable[[int, int], None] | None = None,
    ) -> None:
        self.out = out
        self._judgments, self._count, self._now = judgments, count, now
        self._lock = RLock()
        self._skipped: dict[str, list[Slot]] = {}
        self._front: dict[str, Slot] = {}
        self._load(advance)

    def _load(self, advance: Callable[[int, int], None] | None = None) -> None:
        self.export = audited_export(self.out)
        self._stamp = self._stamped()
        judged = dict.fromkeys(judgment.pair_id for judgment in self._judgments.held)
        sample = stratified(self.export, self._count, judged, advance)
        self._places = {pair.pair_id: pair.place for pair in sample}
        self._plans: dict[str, list[Slot]] = {}
        self._row = lru_cache(_ROWS)(self._read)

    def _stamped(self) -> tuple[int, int]:
        status = (self.export.folder / MANIFEST).stat()
        return status.st_ino, status.st_mtime_ns

    def refresh(self) -> None:
        """Read the export again if it was replaced: what was forgotten meanwhile is shown to nobody."""
        with self._lock:
            try:
                same = self._stamp == self._stamped()
            except FileNotFoundError as error:
                raise BadInput(
                    f"{self.out} is not an export any more.",
                    "Wait until the new export is complete, and load the page again.",
                ) from error
            if not same:
                self._load()

    @property
    def pairs(self) -> int:
        """Return the number of pairs to judge."""
        return len(self._places)

    @property
    def judgments(self) -> list[Judgment]:
        """Return all judgments so far."""
        with self._lock:
            return list(self._judgments.held)

    def judges(self) -> dict[str, tuple[int, int]]:
        """Return who has judged, each with the number of judgments and of all turns."""
        with self._lock:
            names = dict.fromkeys(judgment.judge for judgment in self._judgments.held if judgment.judge)
            return {name: self.progress(name) for name in names}

    def known(self, name: str) -> str:
        """Return the name under which a judge is kept: the one of before in whatever letter case. Raises UsageError."""
        name = judge_name(name)
        with self._lock:
            names = {judgment.judge.casefold(): judgment.judge for judgment in self._judgments.held}
        return names.get(name.casefold(), name)

    def progress(self, judge: str) -> tuple[int, int]:
        """Return how many turns of a judge are judged, and how many there are."""
        with self._lock:
            turns, judged = self._plan(judge), self._judged(judge)
            return sum((slot.pair_id, slot.again) in judged for slot in turns), len(turns)

    def turn(self, judge: str) -> Turn | None:
        """Return the pair that a judge sees now; None when all are judged."""
        with self._lock:
            slot = self._next(judge)
            if slot is None:
                return None
            row = self.row(slot.pair_id)
            done, total = self.progress(judge)
            answers = (row["answer1"], row["answer2"])
            return Turn(slot, row["question"], answers[::-1] if slot.swapped else answers, done, total)

    def choose(self, judge: str, pair_id: str, *, again: bool, choice: int, seconds: float | None) -> bool:
        """Save a choice; return False if the judge has judged the pair before, and then nothing is saved.

        Raises NoSuchTurn for a pair that is not in the sample, UsageError for an unknown choice, and TryLater where the
        disk is full.
        """
        if choice not in CHOICES:
            raise UsageError(f"The choice {choice} is unknown.", "Choose 1, 2, 3, 4 or 0.")
        with self._lock:
            slot = self._slot(judge, pair_id, again=again)
            if (pair_id, again) in self._judged(judge):
                return False
            row = self.row(pair_id)
            ids = (row["answer1_id"], row["answer2_id"])
            first, second = ids[::-1] if slot.swapped else ids
            looked_s = None if seconds is None or not 0 <= seconds <= _LONGEST_S else round(seconds, 1)
            self._judgments.add(
                Judgment(
                    pair_id=pair_id,
                    choice=choice,
                    answer1_id=first,
                    answer2_id=second,
                    judge=judge,
                    again=again,
                    at=self._at(),
                    seconds=looked_s,
                    id=uuid4().hex,
                )
            )
            self._front.pop(judge, None)
            return True

    def undo(self, judge: str) -> Judgment | None:
        """Take a judge's last choice back and show its pair again; return the choice, None if there is none."""
        with self._lock:
            judgment = self._judgments.undo(judge, self._at())
            if judgment is not None:
                turns = self._plan(judge)
                same = (slot for slot in turns if (slot.pair_id, slot.again) == (judgment.pair_id, judgment.again))
                if (slot := next(same, None)) is not None:
                    self._front[judge] = slot
            return judgment

    def skip(self, judge: str, pair_id: str, *, again: bool) -> None:
        """Put a pair behind all others of the judge. It is not written down. Raises NoSuchTurn."""
        with self._lock:
            slot = self._slot(judge, pair_id, again=again)
            self._front.pop(judge, None)
            skipped = self._skipped.setdefault(judge, [])
            if slot in skipped:
                skipped.remove(slot)
            skipped.append(slot)

    def may_see(self, judge: str, pair_id: str) -> bool:
        """Return whether a judge may see a pair's scores: it is judged, and will not come again."""
        with self._lock:
            judged = self._judged(judge)
            turns = [slot for slot in self._plan(judge) if slot.pair_id == pair_id]
            return any((pair_id, again) in judged for again in (False, True)) and all(
                (slot.pair_id, slot.again) in judged for slot in turns
            )

    def last(self, judge: str) -> Judgment | None:
        """Return a judge's last judgment of a pair that is in the export."""
        with self._lock:
            own = [judgment for judgment in self._judgments.of(judge) if judgment.pair_id in self._places]
            return own[-1] if own else None

    def last_of(self, judge: str, pair_id: str) -> Judgment | None:
        """Return a judge's last judgment of a pair."""
        with self._lock:
            own = [judgment for judgment in self._judgments.of(judge) if judgment.pair_id == pair_id]
            return own[-1] if own else None

    def row(self, pair_id: str) -> dict[str, Any]:
        """Return the row of a pair of the sample. Raises NoSuchTurn, and BadInput if its file is damaged."""
        place = self._places.get(pair_id)
        if place is None:
            raise NoSuchTurn("This pair is not part of the audit any more.", "Load the page again for the next pair.")
        return self._row(place)

    def _read(self, place: Place) -> dict[str, Any]:
        (row,) = read_rows(self.export, [place])
        return row.row

    def _plan(self, judge: str) -> list[Slot]:
        if judge not in self._plans:
            self._plans[judge] = plan(judge, list(self._places))
        return self._plans[judge]

    def _slot(self, judge: str, pair_id: str, *, again: bool) -> Slot:
        for slot in self._plan(judge):
            if (slot.pair_id, slot.again) == (pair_id, again):
                return slot
        raise NoSuchTurn("This pair is not part of the audit any more.", "Load the page again for the next pair.")

    def _judged(self, judge: str) -> set[tuple[str, bool]]:
        return {(judgment.pair_id, judgment.again) for judgment in self._judgments.of(judge)}

    def _next(self, judge: str) -> Slot | None:
        judged, planned = self._judged(judge), self._plan(judge)
        # A new export may lack what was taken back or skipped before it.
        front = self._front.get(judge)
        if front is not None and front in planned:
            return front
        skipped = [slot for slot in self._skipped.get(judge, []) if slot in planned]
        # What comes again comes after its first time, even if that was skipped.
        turns = [slot for slot in planned if slot not in skipped] + skipped
        left = [slot for slot in turns if (slot.pair_id, slot.again) not in judged]
        ready = (slot for slot in left if not slot.again or (slot.pair_id, False) in judged)
        return next(ready, None)

    def _at(self) -> str:
        return self._now().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
