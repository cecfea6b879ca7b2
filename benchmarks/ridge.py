"""How strongly the slopes of `comparisons` should be drawn to what is known before: their loss on threads left out.

    uv run python -m benchmarks.ridge STORE... --allow-unknown-age

Threads are halved at random, DRAWS times. Slopes are fitted on one half, or on some of its threads; the other half says
how good they are: the mean loss of attention alone, by weight, for soft labels (in thousandths of a nat).

The first table is about sites: all pairs of a site, drawn to the prior. The second is about the communities of a site:
those with the fewest threads, drawn to the slopes of the site. For Reddit, one subreddit is made small.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner import Store, preset
from shp_miner.clean.eligible import judge_answers, judge_posts
from shp_miner.lab.threads import Threads
from shp_miner.rules.calibrated import measure_answers, with_log_shares
from shp_miner.rules.comparisons import PRIOR, SITE_RIDGE, Comparisons, compare_answers, evaluate, soft_label
from shp_miner.rules.delays import COMMUNITY, count_delays, log_shares, merge_delays
from shp_miner.rules.newton import QUANTUM, SLOPES, SUMS, newton

RIDGES = (1.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)
SIZES = (10, 30, 100, 300)
DRAWS = 20

Numbers = npt.NDArray[np.int64]


@dataclass
class Data:
    """The answers of a store with shares, and their pairs."""

    measured: pl.DataFrame
    pairs: Comparisons

    @classmethod
    def read(cls, path: Path, allow_unknown_age: bool) -> Data:
        """Return those of a store."""
        rule = preset("comparisons", allow_unknown_age=allow_unknown_age)
        threads = Threads.read(Store(path).snapshot(), 10_000_000)
        judged = judge_answers(threads.answers, judge_posts(threads.posts, rule), rule)
        measured = measure_answers(judged)
        pairs = compare_answers(judged, measured, rule)
        shares = log_shares(merge_delays([count_delays(measured)]))
        return cls(with_log_shares(measured, shares), pairs)

    def threads(self, community: str | None = None) -> Numbers:
        """Return the numbers of the threads with pairs."""
        won = self.measured[self.pairs.winner]
        return (won if community is None else won.filter(community=community))["thread"].unique().sort().to_numpy()

    def among(self, threads: Numbers) -> Data:
        """Return the pairs of some threads."""
        kept = np.isin(self.measured["thread"].to_numpy()[self.pairs.winner], threads)
        return Data(self.measured, Comparisons(self.pairs.winner[kept], self.pairs.loser[kept]))

    @property
    def names(self) -> pl.DataFrame:
        """Return all communities."""
        return self.measured.select(*COMMUNITY).unique().sort(*COMMUNITY)

    def at(self, slopes: pl.DataFrame) -> pl.DataFrame:
        """Return the sums of each community."""
        return evaluate(self.measured, self.pairs, slopes)

    def site_slopes(self, ridge: float) -> pl.DataFrame:
        """Return the slopes of each site, drawn to the prior."""

        def of_sites(slopes: pl.DataFrame) -> pl.DataFrame:
            sums = self.at(self.names.join(slopes, on="site"))
            return sums.group_by("site").agg(pl.col("pairs", *SUMS).sum())

        return newton(prior(self.names.select("site").unique()), ("site",), ridge, of_sites).drop("pairs")

    def community_slopes(self, sites: pl.DataFrame, ridge: float) -> pl.DataFrame:
        """Return the slopes of each community, drawn to those of its site."""
        return newton(self.names.join(sites, on="site"), COMMUNITY, ridge, self.at).drop("pairs")

    def loss(self, slopes: pl.DataFrame) -> float:
        """Return the mean loss of attention alone, by weight, in thousandths of a nat."""
        votes = self.measured["votes"].to_numpy().astype(np.float64)
        _, weight = soft_label(votes[self.pairs.winner], votes[self.pairs.loser])
        return 1000 * float(self.at(slopes)["soft_loss"].sum() * QUANTUM / weight.sum())


def prior(names: pl.DataFrame) -> pl.DataFrame:
    """Return names with the prior's slopes."""
    return names.with_columns(pl.lit(PRIOR[n % 2]).alias(name) for n, name in enumerate(SLOPES))


def over_draws(threads: Numbers, size: int, found: Callable[[Numbers, Numbers], Sequence[float]]) -> list[float]:
    """Return the means over draws of what `found` makes of `size` threads to learn from, and the half to test."""
    rows = []
    for seed in range(DRAWS):
        drawn = np.random.default_rng(seed).permutation(threads)
        rows.append(found(drawn[: len(drawn) // 2][:size], drawn[len(drawn) // 2 :]))
    return [fmean(column) for column in zip(*rows, strict=True)]


def sizes(threads: Numbers) -> Iterator[int]:
    """Yield the sizes of SIZES that half of the threads has, and the half itself."""
    yield from (size for size in SIZES if size < len(threads) // 2)
    yield len(threads) // 2


def of_site(data: Data, learn: Numbers, test: Numbers) -> list[float]:
    """Return the loss of the site's slopes by ridge, and of the prior."""
    some, held = data.among(learn), data.among(test)
    losses = [held.loss(data.names.join(some.site_slopes(ridge), on="site")) for ridge in RIDGES]
    return [*losses, held.loss(prior(data.names))]


def of_communities(data: Data, learn: Numbers, test: Numbers) -> list[float]:
    """Return the loss of the communities' slopes by ridge, of the site's, and of those drawn to the prior by ridge."""
    some, held = data.among(learn), data.among(test)
    sites = some.site_slopes(SITE_RIDGE)
    to_site = [held.loss(some.community_slopes(sites, ridge)) for ridge in RIDGES[2:]]
    bare = prior(data.names.select("site").unique())
    to_prior = [held.loss(some.community_slopes(bare, ridge)) for ridge in RIDGES[2:]]
    return [*to_site, held.loss(data.names.join(sites, on="site")), *to_prior]


def row(*cells: object) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--allow-unknown-age", action="store_true")
    chosen = parser.parse_args()
    stores = {path.name: Data.read(path, chosen.allow_unknown_age) for path in chosen.stores}
    print(row("site", "threads", *(f"{ridge:,.0f}" for ridge in RIDGES), "prior"))
    for name, data in stores.items():
        threads = data.threads()
        for size in sizes(threads):
            found = over_draws(threads, size, lambda learn, test, data=data: of_site(data, learn, test))  # type: ignore[misc]
            print(row(name, size, *found), flush=True)
    ridges = [f"{ridge:,.0f}" for ridge in RIDGES[2:]]
    print(row("communities", "threads", *ridges, "site", *(f"to prior, {ridge}" for ridge in ridges)))
    for name, data in stores.items():
        communities = data.names["community"].to_list()
        if len(communities) == 2:
            for small in communities:
                other, threads = data.threads(next(c for c in communities if c != small)), data.threads(small)
                for size in list(sizes(threads))[:3]:
                    found = over_draws(
                        threads,
                        size,
                        lambda learn, test, data=data, other=other: of_communities(  # type: ignore[misc]
                            data, np.concatenate([learn, other]), test
                        ),
                    )
                    print(row(small, size, *found), flush=True)
        elif len(communities) > 2:
            threads = data.threads()
            found = over_draws(threads, len(threads), lambda learn, test, data=data: of_communities(data, learn, test))  # type: ignore[misc]
            print(row(f"{len(communities)} of {name}", len(threads) // 2, *found), flush=True)


if __name__ == "__main__":
    main()
