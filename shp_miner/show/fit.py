"""How sure labels are, for a few threads: the fit of their communities alone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import UNSET

from shp_miner.engine import Steps, Threads, cores
from shp_miner.mining.calibrate import STEPS, MeasureJob, calibrate_ranges, known_fits
from shp_miner.mining.mine import Selection
from shp_miner.rules.calibrated import Calibration
from shp_miner.rules.presets import Rule
from shp_miner.store import Snapshot, Store
from shp_miner.store.lock import shared_lock
from shp_miner.store.snapshot import EVERYTHING

#: Observations measured at a time: about 150 MB of memory.
ROWS_EACH = 200_000

#: A community is known by both: two sites may have one of the same name.
Places = Collection[tuple[str, str]]


def fitted(
    store: Store, snapshot: Snapshot, rule: Rule, places: Places, advance: Callable[[int, int], None] | None = None
) -> Calibration:
    """Return the calibration of some communities, each given as (site, community): the same values as an export's.

    Only the slopes behind `attention` may differ: an export draws them to those of all communities of the site.

    A fit that the store has kept is taken; else the answers of these communities are read once, without their texts,
    and the store keeps the result. `advance(done, total)` reports progress.
    """
    by_site: dict[str, list[str]] = {}
    for site, community in sorted(places):
        by_site.setdefault(site, []).append(community)
    part = Selection(rule=rule, places=tuple((site, tuple(names)) for site, names in by_site.items()) or UNSET)
    with TemporaryDirectory() as work, shared_lock(store.path, "measuring how votes follow attention"):
        for selection in (Selection(rule=rule), part):
            found = known_fits(MeasureJob(store.path, snapshot.version, 0, EVERYTHING, selection, Path(work)))
            if found is not None:
                return found
        jobs = [
            MeasureJob(store.path, snapshot.version, number, hashes, part, Path(work))
            for number, hashes in enumerate(snapshot.ranges(ROWS_EACH, part.within))
        ]
        return calibrate_ranges(jobs, engine=Threads(cores()), advance=Steps(STEPS * len(jobs), advance))[0]
