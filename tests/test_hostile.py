"""What is foreign can only cost itself: every source and every importer against records that lie in many ways.

A new source or importer is in here by being registered. Whatever it is told, a run ends with a code that is documented,
the store can be read and exported, and honest records that came beside the lies are in it.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from shp_miner.errors import Error
from shp_miner.forum.serve import lies
from shp_miner.report.stats import stats
from shp_miner.store import Store

from .crawls import DAY_S, KINDS, Bench, assert_same, bench, content, settled, waiting

#: All are proven, one of so many in every run of the tests.
_EVERY = 6

CELLS = [
    pytest.param(name, lie, id=f"{name}-{lie}", marks=[] if (n + m) % _EVERY == 0 else [pytest.mark.slow])
    for n, name in enumerate(KINDS)
    for m, lie in enumerate(lies.LIES)
]


@pytest.mark.parametrize(("name", "lie"), CELLS)
def test_a_site_that_lies_costs_its_lies_and_is_read_when_it_is_honest(name: str, lie: str, tmp_path: Path) -> None:
    start = time.process_time()
    with bench(name, tmp_path / "honest", settled(5), small_pages=True) as at:
        assert at.crawl().complete
        honest = content(at.store)
    with bench(name, tmp_path / "store", settled(5), small_pages=True) as at:
        at.forum.faults.add(lies.told(lie))
        codes: list[int] = []
        for _ in range(2):
            codes.append(code_of(at))
            at.clock.time += DAY_S
        assert set(codes) <= {0, 3, 4, 5, 75}
        sound(at.store)
        at.forum.faults.clear()
        at.clock.time += 2 * DAY_S
        at.crawl()
        assert waiting(at.store) == set()
        assert time.process_time() - start < 60
        if lie in WELL_AGAIN:
            assert_same(content(at.store), honest)


def code_of(at: Bench) -> int:
    """How a crawl ends."""
    try:
        return 0 if at.crawl().complete else 3
    except Error as error:
        assert error.message.endswith("."), error.message  # noqa: PT017
        return error.exit_code


def sound(store: Store) -> None:
    """The store can be read, and every row says whose it is."""
    if not store.exists:
        return
    stats(store.snapshot())
    for table in ("posts", "answers"):
        rows = store.snapshot().scan(table).collect()
        assert sum(rows.select("site", "post_id", "community", "state").null_count().row(0)) == 0


#: Lies that no reader can take for the truth: when the site is honest again, the store is as if it always had been.
WELL_AGAIN = {
    "score-too-large", "score-far-too-large", "score-too-small", "score-a-text", "time-a-text", "id-null",
    "count-too-large",
}  # fmt: skip
