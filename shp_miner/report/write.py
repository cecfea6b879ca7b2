"""Writes a report: the page, and the same numbers as JSON. The function behind the command `report`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from shp_miner.arguments import AnyPath
from shp_miner.errors import BadInput, UsageError, refused_by_os
from shp_miner.export.owned import MANIFEST, REPORT, REPORT_MARK, formats_in, is_report
from shp_miner.paths import expanded
from shp_miner.report.charts import drawn, require_altair
from shp_miner.report.figure import Figure, alone, compared
from shp_miner.report.page import page
from shp_miner.report.sources import Told, of_export, of_store
from shp_miner.report.titles import TITLES
from shp_miner.store import Store
from shp_miner.store.migrate import MARK
from shp_miner.store.replacing import replace_file

#: Raised when the layout of the JSON file changes.
LAYOUT = 1

#: Characters of a name in a comparison.
_NAME = 24


class Reported(Struct):
    """A report that was written: its page, its numbers, and what is in them."""

    page: Path
    numbers: Path
    told: Told
    figures: list[Figure]

    def data(self) -> dict[str, Any]:
        """Return the numbers as they are in the JSON file."""
        return {
            "made_by": REPORT_MARK,
            "layout": LAYOUT,
            "version": version("shp-miner"),
            "kind": self.told.kind,
            "of": self.told.of,
            "about": dict(self.told.about),
            "notes": self.told.notes,
            "figures": [{"title": TITLES[figure.name], **msgspec.to_builtins(figure)} for figure in self.figures],
        }


def report(
    path: AnyPath,
    *,
    against: AnyPath | None = None,
    out: AnyPath | None = None,
    texts: bool = True,
    advance: Callable[[int, int], None] | None = None,
) -> Reported:
    """Write a report of an export or a store, and return what is in it.

    `against` is another one of the same kind to compare with. The page is written to `out` (default: report.html in
    the folder, where `forget` and the next export delete it), the numbers beside it as JSON. `texts` says whether the
    page of an export quotes pairs. `advance(done, total)` is called while rows are read.

    Raises UsageError if the extra `report` is not installed, `out` is another file, or an export is compared with a
    store, and BadInput if there is neither, or it is damaged.
    """
    require_altair()
    folder = expanded(path)
    place = expanded(out) if out is not None else folder / REPORT
    numbers = place.with_suffix(".json")
    _require_free(place, numbers)
    told = _told(folder, texts=texts, advance=advance)
    others = []
    if against is not None:
        others.append(_told(expanded(against), texts=False, advance=advance))
        if others[0].kind != told.kind:
            raise UsageError(
                f"{folder} is an {told.kind} and {against} is not.".replace("an store", "a store"),
                "Compare an export with an export, or a store with a store.",
            )
    figures = _together([told, *others])
    done = Reported(place, numbers, told, figures)
    title = f"Report on {told.name}" + (f" against {others[0].name}" if others else "")
    about = [*told.about, *((f"{name}, compared", value) for other in others for name, value in other.about)]
    drawings = {figure.name: drawn(figure) for figure in figures}
    html = page(title, about, figures, drawings, told.samples, told.notes)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(numbers, msgspec.json.format(msgspec.json.encode(done.data()), indent=1) + b"\n", durable=False)
        replace_file(place, html.encode(), durable=False)
    except OSError as error:
        raise refused_by_os(error, f"writing the report {place}") or error from error
    return done


def _told(folder: Path, *, texts: bool, advance: Callable[[int, int], None] | None) -> Told:
    """Return what a report says of a folder. Raises BadInput if it is neither an export nor a store."""
    if formats_in(folder):
        return of_export(folder, texts=texts, advance=advance)
    if (folder / MARK).exists():
        return of_store(Store(folder), advance=advance)
    if (folder / MANIFEST).is_file():
        raise BadInput(f"{folder / MANIFEST} is damaged: it does not describe an export.", "Export again.")
    raise BadInput(
        f"{folder.absolute()} is not an export (it has no {MANIFEST}), and not a store.",
        "Name the folder that `shp-miner export` wrote to, or a store that an import or a crawl has filled.",
    )


def _require_free(*places: Path) -> None:
    """Raise UsageError for a file in the place of a report that is not a report."""
    for place in places:
        if place.exists() and not (place.is_file() and is_report(place)):
            raise UsageError(f"{place} is in the way: it is not a report.", "Move it, or name another file with --out.")
    if places[0].suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"A report is a page, and {places[0].name} does not end in .html.", "Name it so.")


def _together(told: list[Told]) -> list[Figure]:
    """Return the figures, of two exports those that both have."""
    first, *others = told
    if not others:
        return [alone(part) for part in sorted(first.parts, key=lambda part: list(TITLES).index(part.name))]
    (second,) = others
    names = [first.name[:_NAME], second.name[:_NAME]]
    if names[0] == names[1]:
        names = ["A", "B"]
    theirs = {part.name: part for part in second.parts}
    both = [(part, theirs[part.name]) for part in first.parts if part.name in theirs]
    figures = [compared(list(zip(names, pair, strict=True))) for pair in both]
    return sorted(figures, key=lambda figure: list(TITLES).index(figure.name))
