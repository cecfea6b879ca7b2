"""Pairs that a rule makes of a few threads of a store, without writing an export."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import xxhash

from shp_miner.clean.balance import require_local
from shp_miner.engine import Steps, Threads, cores
from shp_miner.export.formats import FORMATS
from shp_miner.export.nothing import nothing
from shp_miner.mining.mine import Beyond, Selection, mine_threads
from shp_miner.rules.calibrated import Calibration
from shp_miner.rules.delays import COMMUNITY
from shp_miner.rules.presets import Rule
from shp_miner.show.fit import fitted
from shp_miner.show.near import near_in, near_in_steps
from shp_miner.show.parts import Shown, shown
from shp_miner.store import Snapshot, Store
from shp_miner.tally import Tally

#: Observations read at a time: a few hundred threads.
_ROWS_EACH = 10_000


def pairs_of(
    store: Store,
    snapshot: Snapshot,
    selection: Selection,
    count: int,
    advance: Callable[[int, int], None] | None = None,
) -> list[Shown]:
    """Return up to `count` pairs that the rule makes, each of another thread, as rows of the format "pairs".

    Threads come in an order by hash, and no more of the store is read than is needed: all texts of the selection where
    the cleaning compares texts. Raises NoPairs, with what was
    dropped most, if the rule makes no pair.
    """
    require_local(selection.clean)
    found: list[Shown] = []
    tally = Tally()
    form = FORMATS["pairs"]
    fits = _Fits(store, snapshot, selection.rule, advance)
    steps = Steps(near_in_steps(snapshot, selection), advance)
    near = near_in(store, snapshot, selection, engine=Threads(cores()), advance=steps)
    parts = snapshot.ranges(_ROWS_EACH, selection.within)
    for part in sorted(parts, key=lambda hashes: xxhash.xxh3_64_intdigest(str(hashes.start).encode())):
        rows = snapshot.scan("answers", part).filter(selection.within.holds())
        places = set(rows.select("site", "community").unique().collect().iter_rows())
        if not places:
            continue
        beyond = Beyond(near=None if near is None else near.filter(part.holds()))
        mined = mine_threads(snapshot, part, selection, fits.of(places), beyond=beyond)
        tally.merge(mined.tally)
        threads = mined.threads
        table, post_row = form.table(threads, selection.rule.name)
        splits, first = threads.posts["split"], pl.DataFrame({"post": post_row}).with_row_index()
        # A thread's pairs lie together, best answers not first: one from the middle is as good as any.
        chosen = first.group_by("post", maintain_order=True).agg(pl.col("index").get(pl.len() // 2))
        for post, row in chosen.head(count - len(found)).iter_rows():
            values = table.slice(row, 1).to_pylist()[0]
            found.append(shown(form.name, values, values["community"], splits[post]))
        if len(found) == count:
            break
    if not found:
        raise nothing(tally)
    return found


class _Fits:
    """The calibration of the communities met so far; each is measured once."""

    def __init__(
        self, store: Store, snapshot: Snapshot, rule: Rule, advance: Callable[[int, int], None] | None
    ) -> None:
        self._store, self._snapshot, self._rule, self._advance = store, snapshot, rule, advance
        self._known: set[tuple[str, str]] = set()
        self._parts: list[Calibration] = []

    def of(self, places: set[tuple[str, str]]) -> Calibration:
        """Return a calibration with the values of these communities."""
        new = places - self._known
        if new:
            self._known |= new
            part = fitted(self._store, self._snapshot, self._rule, new, self._advance)
            own = [
                frame.join(pl.DataFrame(sorted(new), schema=COMMUNITY, orient="row"), on=COMMUNITY, how="semi")
                for frame in (part.fits, part.shares)
            ]
            self._parts.append(Calibration(*own))
        return Calibration(
            pl.concat([part.fits for part in self._parts]), pl.concat([part.shares for part in self._parts])
        )
