"""The data of checks: a store's threads as tables, the pairs that a rule makes of them, and bootstrap errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.mining.tables import make_pairs
from shp_miner.rules.presets import Rule
from shp_miner.store import HashRange, Snapshot

#: What an answer is known by.
KEY = ("thread_hash", "site", "post_id", "answer_id")

#: Observations taken into memory; of a larger store a range of thread hashes is taken, which is a random sample.
_ROWS_MAX = 500_000

_REPLICATES = 1000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Threads:
    """Threads of a store: the newest observation of each post and answer, POST and ANSWER without `body`.

    `part` is the range of hashes they are of, `parts` how many such ranges the store has.
    """

    snapshot: Snapshot
    part: HashRange
    parts: int
    posts: pl.DataFrame
    answers: pl.DataFrame

    @classmethod
    def read(cls, snapshot: Snapshot, rows_max: int = _ROWS_MAX) -> Threads:
        """All threads, or a sample of them with about `rows_max` observations."""
        ranges = snapshot.ranges(rows_max)
        posts, _ = snapshot.posts(ranges[0])
        answers, _ = snapshot.answers(ranges[0])
        # In an order of their own, so that nothing depends on how the store's files lie.
        return cls(snapshot, ranges[0], len(ranges), posts.sort(*KEY[:3]), answers.sort(*KEY))

    def pairs(self, rule: Rule, answers: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return the pairs (PAIR) of a rule among all answers, or among `answers` with their values there."""
        table = make_pairs(self.posts.to_arrow(), (self.answers if answers is None else answers).to_arrow(), rule)
        return pl.DataFrame(table)


def pair_side(pairs: pl.DataFrame, of: str, values: pl.DataFrame) -> pl.DataFrame:
    """The rows of `values` (with KEY) of each pair's "winner" or "loser", in the order of the pairs."""
    keys = pairs.select(*KEY[:3], pl.col(f"{of}_id").alias("answer_id"))
    return keys.join(values, on=KEY, how="left", maintain_order="left")


class Shares:
    """Shares of pairs by column (a preset, say), with errors and intervals by a bootstrap over whole threads.

    Every column is drawn with the same threads, so that differences between columns have errors of their own. Each pair
    weighs alike, or with `by_thread` each thread: then a share is the mean of the threads' own shares.
    """

    def __init__(self, seed: int, replicates: int = _REPLICATES, *, by_thread: bool = False) -> None:
        self._seed, self._replicates, self._by_thread = seed, replicates, by_thread
        self._counted: dict[str, pl.DataFrame] = {}
        self._drawn: dict[str, Floats] | None = None

    def add(self, name: str, thread: pl.Series, hit: Floats, weight: Floats | None = None) -> None:
        """Add a column: the thread of each of its pairs, and whether the pair counts (1, 0, or between).

        A pair weighs `weight` among the pairs of its column, or 1.
        """
        kept = np.ones(len(hit)) if weight is None else weight
        frame = pl.DataFrame({"thread": thread, "hit": hit * kept, "seen": kept})
        counted = frame.group_by("thread").agg(pl.col("hit", "seen").sum(), pl.len().alias("pairs"))
        if self._by_thread:
            counted = counted.with_columns(hit=pl.col("hit") / pl.col("seen"), seen=pl.lit(1.0))
        self._counted[name] = counted.sort("thread")
        self._drawn = None

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self._counted

    def pairs(self, name: str) -> int:
        """The pairs of a column."""
        return int(self._counted[name]["pairs"].sum())

    def threads(self, name: str) -> int:
        """The threads of a column that have a pair."""
        return self._counted[name].height

    def share(self, name: str) -> float | None:
        """The share of a column's pairs that count; null without pairs."""
        seen = float(self._counted[name]["seen"].sum())
        return float(self._counted[name]["hit"].sum()) / seen if seen else None

    def error(self, name: str, against: str | None = None) -> float | None:
        """Return the standard error of a share, or of its difference to another column's.

        Null if the draws cannot tell: too few threads, every pair alike, or a column against itself.
        """
        known = self._known(name, against)
        return None if known is None else float(known.std(ddof=1))

    def interval(self, name: str, against: str | None = None) -> tuple[float, float] | tuple[None, None]:
        """Return the middle 95 % of a share's draws, or of its difference to another column's; nulls as `error`.

        Where all pairs are alike and threads weigh alike, draws tell nothing: then the interval is that of a share of 0
        or 1 of so many threads (Clopper and Pearson 1934).
        """
        known = self._known(name, against)
        if known is None:
            return self._of_alike(name) if against is None and self._by_thread else (None, None)
        low, high = np.quantile(known, [0.025, 0.975])
        return float(low), float(high)

    def difference(self, name: str, against: str) -> float | None:
        """The share of a column less that of another; null without pairs, or against itself."""
        ours, theirs = self.share(name), self.share(against)
        return None if ours is None or theirs is None or name == against else ours - theirs

    def _of_alike(self, name: str) -> tuple[float, float] | tuple[None, None]:
        share = self.share(name)
        if share not in (0, 1):
            return None, None
        away = 1 - 0.025 ** (1 / self.threads(name))
        return (0.0, away) if share == 0 else (1 - away, 1.0)

    def _known(self, name: str, against: str | None) -> Floats | None:
        """The draws of a share or difference; null where they tell nothing."""
        drawn = self._draw()
        values = drawn[name] - (drawn[against] if against else 0)
        known: Floats = values[np.isfinite(values)]
        few = min(self.threads(column) for column in (name, against or name)) < 2
        return None if few or len(known) < self._replicates // 2 or not np.ptp(known) else known

    def _draw(self) -> dict[str, Floats]:
        if self._drawn is None:
            threads = pl.concat([frame["thread"] for frame in self._counted.values()]).unique().sort()
            known = pl.DataFrame({"thread": threads})
            joined = [known.join(f, on="thread", how="left", maintain_order="left") for f in self._counted.values()]
            sums = np.concatenate([frame.select("hit", "seen").fill_null(0).to_numpy() for frame in joined], axis=1)
            dice = np.random.default_rng(self._seed)
            count = len(threads)
            drawn = np.array(
                [
                    np.bincount(dice.integers(0, count, count), minlength=count) @ sums if count else sums.sum(axis=0)
                    for _ in range(self._replicates)
                ]
            )
            with np.errstate(invalid="ignore", divide="ignore"):
                shares = drawn[:, ::2] / drawn[:, 1::2]
            self._drawn = dict(zip(self._counted, shares.T, strict=True))
        return self._drawn
