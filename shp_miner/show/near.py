"""Near-equal texts of a selection, for what is shown or counted without an export: the same that an export finds."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from shp_miner.engine import Advance, Engine
from shp_miner.mining.calibrate import MeasureJob
from shp_miner.mining.mine import Selection
from shp_miner.mining.near import find_near, load_near, near_steps
from shp_miner.show.fit import ROWS_EACH
from shp_miner.store import Snapshot, Store
from shp_miner.store.lock import shared_lock
from shp_miner.store.snapshot import EVERYTHING


def near_in(
    store: Store, snapshot: Snapshot, selection: Selection, *, engine: Engine, advance: Advance
) -> pl.DataFrame | None:
    """Return what an export of the selection settles of near-equal texts (SETTLED); None where it keeps them.

    Each text of the selection is read once, in `near_in_steps` steps of `advance`.
    """
    if not near_steps(selection):
        return None
    with TemporaryDirectory() as work, shared_lock(store.path, "comparing texts"):
        jobs = [
            MeasureJob(store.path, snapshot.version, number, part, selection, Path(work))
            for number, part in enumerate(snapshot.ranges(ROWS_EACH, selection.within))
        ]
        find_near(jobs, engine=engine, advance=advance)
        return load_near(Path(work), EVERYTHING)


def near_in_steps(snapshot: Snapshot, selection: Selection) -> int:
    """Return how many steps `near_in` takes."""
    steps = near_steps(selection)
    return steps * len(snapshot.ranges(ROWS_EACH, selection.within)) if steps else 0
