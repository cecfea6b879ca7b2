"""Nothing is wrongly deleted, nothing wrongly kept: every source against all that is or looks like a deletion.

What the columns mean and what counts as the truth is told in `deletions.py`. Every cell ends with three numbers, which
must be 0: wrongly purged (a guest can read it, and the store does not show it live with its text), wrongly kept (a
guest cannot read it, and a byte of it is in the store or a registered export) and not back (it was gone and is there
again, and the store does not have it). With -s the whole table is printed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

import pytest

from shp_miner import export_dataset
from shp_miner.export.nothing import NoPairs
from shp_miner.forum.serve import refusals
from shp_miner.forum.serve.faults import Fault
from shp_miner.rules.presets import Rule

from .deletions import HIT, LIED, SOURCES, THREADS, Story, story

#: An answer or a question that is gone in a thread which is still there is asked for with the thread, at its ages.
_LAST_VISIT = 31

#: Days of clean runs after which a lie must be forgotten, what is gone be purged, and what is back be read: the product
#: asks three times over 30 hours at least, or over a week where much is gone at once, and asks for what it purged again
#: after 1, 2, 4 ... days.
_FORGOTTEN, _PURGED, _MANY_PURGED, _BACK = 4, 4, 10, 17

Deed = Literal["delete", "purge"]

#: What a lie is for a platform.
LIES = {
    "401": lambda platform: refusals.refused(401, platform),
    "403-json": lambda platform: refusals.refused(403, platform),
    "403-page": lambda _: refusals.page(403),
    "404-json": lambda platform: refusals.refused(404, platform),
    "404-page": lambda _: refusals.page(404),
    "410": lambda platform: refusals.refused(410, platform),
    "empty": lambda _: refusals.empty(),
    "empty-404": lambda _: refusals.empty(404),
    "to-login": lambda _: refusals.to_login(),
}
#: Lies that are walls and doors to everybody who sees them: the run that met one is not complete.
WALLS = {"403-page", "404-page", "to-login"}
COLUMNS = [
    *LIES, "left-out", "one-time", "moved", "closed-category", "closed-threads", "closed-whole", "closed-for-a-week",
    "walled-week", "soft-delete", "purge", "purge-many", "restore", "restored-after-purge",
]  # fmt: skip


@dataclass(frozen=True)
class Counted:
    """What a cell came to."""

    purged: int
    kept: int
    away: int


#: What came out of every cell, to be printed.
TABLE: dict[tuple[str, str], Counted] = {}


@pytest.fixture(scope="module", autouse=True)
def _printed() -> Iterator[None]:
    yield
    columns = [column for column in COLUMNS if any(place == column for _, place in TABLE)]
    print(f"\n\nwrongly purged / wrongly kept / not back\n| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name in SOURCES:
        cells = [TABLE.get((name, column)) for column in columns]
        if any(cells):
            print(f"| {name} | {' | '.join(f'{c.purged}/{c.kept}/{c.away}' if c else '' for c in cells)} |")


#: The cells of the ordinary tests: every source, and every kind of lie and of event.
FAST = {
    ("reddit", "401"), ("lemmy-v4", "403-json"), ("nodebb", "403-page"), ("arctic-shift", "404-json"),
    ("stackexchange", "empty"), ("lemmy-v3", "to-login"), ("lemmy-v4", "left-out"), ("nodebb", "one-time"),
    ("discourse", "moved"), ("nodebb-old", "closed-category"), ("discourse", "closed-threads"),
    ("reddit", "soft-delete"), ("nodebb", "purge"), ("arctic-shift", "purge-many"),
    ("stackexchange", "restored-after-purge"),
}  # fmt: skip
CELLS = [
    pytest.param(
        name, column, late, id=f"{name}-{column}{'-late' if late else ''}",
        marks=[] if (name, column) in FAST and not late else [pytest.mark.slow],
    )
    for name in SOURCES
    for column in COLUMNS
    for late in (False, True)
]  # fmt: skip


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("name", "column", "late"), CELLS)
def test_nothing_is_wrongly_deleted_and_nothing_wrongly_kept(
    name: str, column: str, late: bool, tmp_path: Path
) -> None:
    """`late` is after two days, when a visit asks for items by their ids where the platform can do that."""
    with story(name, tmp_path / "store") as told:
        told.late = late
        for _ in range(2 * late):
            told.day()
            assert told.complete
        with suppress(NoPairs):  # the archive tells no score for a day and a half
            exported(told, tmp_path / "out")
        if column in LIES:
            one_day_of_lies(told, column, LIES[column](told.at.view.platform), tmp_path)
        else:
            HAPPENS[column](told, tmp_path)
        found = counted(told, tmp_path)
        before = TABLE.get((name, column), Counted(0, 0, 0))
        TABLE[name, column] = Counted(*map(max, astuple(before), astuple(found)))
        assert found == Counted(0, 0, 0)


def counted(told: Story, folder: Path) -> Counted:
    """Hold the store and the export against what guests can read."""
    public, readable = told.public(), told.readable()
    # Where no listing announces answers, and visits after two days are by id, an answer whose one visit failed is never
    # known: it is missed, and not purged.
    away = public - readable - (told.unread - told.stored())
    kept = told.bytes_of(told.words.keys() - public, told.at.store.path, folder / "out")
    was_gone = told.was_gone & away
    if away or kept:
        print(
            "\naway:",
            sorted(told.words[item_id] for item_id in away),
            "kept:",
            sorted(told.words[item_id] for item_id in kept),
        )
    return Counted(len(away - was_gone), len(kept), len(was_gone))


def one_day_of_lies(told: Story, column: str, fault: Fault, folder: Path) -> None:
    """30 % of the threads lie for one day; then all is well again."""
    told.answers_anew()
    told.lie(fault, LIED)
    told.day()
    told.honest()
    assert told.lied
    assert column not in WALLS or not told.knocked or not told.complete
    nothing_purged(told)
    hidden_from_exports(told, folder)
    told.days(_FORGOTTEN)
    assert told.complete


def nothing_purged(told: Story) -> None:
    everything = set(told.words) - told.unread
    assert told.bytes_of(everything) == everything


def hidden_from_exports(told: Story, folder: Path) -> None:
    """What is unreadable now is in no export made now."""
    hidden = told.hidden()
    assert not hidden & told.readable()
    with suppress(NoPairs):
        exported(told, folder / "then")
        assert told.bytes_of(hidden, folder / "then") == set()


def exported(told: Story, out: Path) -> None:
    export_dataset(
        told.at.store, out, rule=Rule(name="votes", order="any", confounded=True, min_score_age_s=0), workers=1
    )


def left_out(told: Story, folder: Path) -> None:
    """30 % of the answers are left out of their threads, and where items are asked for by id, there too."""
    told.lie_about_items()
    told.day()
    told.honest()
    assert told.lied
    nothing_purged(told)
    hidden_from_exports(told, folder)
    told.days(_FORGOTTEN)
    assert told.complete


def one_time(told: Story, folder: Path) -> None:
    """One thread is said not to be there, once; nothing else is wrong."""
    told.lie(refusals.refused(404, told.at.view.platform), LIED[:1], next=1)
    told.day()
    told.honest()
    nothing_purged(told)
    hidden_from_exports(told, folder)
    told.days(_FORGOTTEN)
    assert told.complete


def moved(told: Story, folder: Path) -> None:
    """30 % of the threads are moved to another category, while others lie."""
    for number in HIT:
        told.at.community.move(told.threads[number], "elsewhere")
    lying_day(told)
    nothing_purged(told)
    told.days(_PURGED)


def closed_category(told: Story, folder: Path, days: int = 1) -> None:
    """30 % of the threads are moved to a category that guests cannot see, which opens again."""
    for number in HIT:
        told.at.community.move(told.threads[number], "members")
    told.at.community.close("members")
    lying_day(told)
    nothing_purged(told)
    hidden_from_exports(told, folder)
    told.days(days - 1)
    told.at.community.reopen("members")
    told.was_gone = told.of(HIT) if days > 1 else set()
    told.days(_FORGOTTEN if days == 1 else _BACK)


def closed_for_a_week(told: Story, folder: Path) -> None:
    closed_category(told, folder, days=7)


def closed_threads(told: Story, folder: Path) -> None:
    """Guests see the listing and can read no thread, for a day."""
    told.at.community.close(listed=True)
    told.day()
    assert not told.complete or told.at.kind.source == "arctic-shift"
    told.at.community.reopen()
    nothing_purged(told)
    hidden_from_exports(told, folder)
    told.days(_FORGOTTEN)
    assert told.complete


def closed_whole(told: Story, folder: Path) -> None:
    """The whole community is closed to guests, for three days."""
    told.at.community.close()
    told.day()
    assert not told.complete or told.at.kind.source == "arctic-shift"
    told.days(2)
    told.at.community.reopen()
    nothing_purged(told)
    hidden_from_exports(told, folder)
    told.days(_FORGOTTEN)
    assert told.complete


def walled_week(told: Story, folder: Path) -> None:
    """A check for robots stands before every thread for a week, and before no listing."""
    told.lie_always(refusals.page(403))
    for _ in range(7):
        told.day()
    told.honest()
    assert told.lied
    nothing_purged(told)
    hidden_from_exports(told, folder)
    told.days(_FORGOTTEN)
    assert told.complete


def gone(told: Story, how: Deed) -> None:
    """30 % of the threads go, and an answer of each of the next ones; 30 % lie that day."""
    community = told.at.community

    def go(item_id: str, number: int) -> None:
        if how == "purge":
            community.purge(item_id)
        else:
            community.delete(item_id, by="moderator" if number % 2 else "author")

    for number in HIT:
        go(told.threads[number], number)
    for number in range(HIT.stop, LIED.start):
        thread = community.thread(told.threads[number])
        assert thread is not None
        go(thread.answers[number % 3].answer_id, number // 2)
    lying_day(told)
    told.was_gone = set(told.words) - told.public()
    told.days(_PURGED)
    assert told.bytes_of(told.was_gone) == set()


def soft_delete(told: Story, folder: Path) -> None:
    gone(told, "delete")
    assert told.complete


def purge(told: Story, folder: Path) -> None:
    gone(told, "purge")
    assert told.complete


def purge_many(told: Story, folder: Path) -> None:
    """Half of the community is gone at once: hidden the same day, and purged when it stays away for a week."""
    for number in range(THREADS // 2):
        told.at.community.purge(told.threads[number])
    told.day()
    gone = set(told.words) - told.public()
    assert told.bytes_of(gone) == gone
    assert not gone & told.readable() & set(told.threads), "without its question no answer is exported"
    assert not told.complete
    hidden_from_exports(told, folder)
    told.days(_MANY_PURGED)


def restore(told: Story, folder: Path, how: Deed = "delete") -> None:
    """What went comes back with its text, after it was purged here."""
    gone(told, how)
    for item_id in told.words:
        told.at.community.restore(item_id)
    told.days(_BACK)
    if told.late:
        told.until(_LAST_VISIT)
    assert told.complete


def restored_after_purge(told: Story, folder: Path) -> None:
    restore(told, folder, "purge")


def lying_day(told: Story) -> None:
    """A day on which something really happens to some threads, and others lie."""
    told.lie(refusals.refused(404, told.at.view.platform), LIED)
    told.day()
    told.honest()


HAPPENS = {
    "left-out": left_out,
    "one-time": one_time,
    "moved": moved,
    "closed-category": closed_category,
    "closed-threads": closed_threads,
    "closed-whole": closed_whole,
    "closed-for-a-week": closed_for_a_week,
    "walled-week": walled_week,
    "soft-delete": soft_delete,
    "purge": purge,
    "purge-many": purge_many,
    "restore": restore,
    "restored-after-purge": restored_after_purge,
}


def test_the_matrix_is_whole() -> None:
    assert set(COLUMNS) == LIES.keys() | HAPPENS.keys()
    assert {name for name, _ in FAST} == SOURCES.keys()
    assert {column for _, column in FAST} <= set(COLUMNS)
    assert len(LIED) == len(HIT) == 0.3 * THREADS
