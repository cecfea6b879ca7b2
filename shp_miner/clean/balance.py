"""Balance among pairs: of lengths, and by answer, author and community. By hashes, so that it is stable as data grow.

A cap keeps the pairs with the smallest keys. An author's pairs are those of either side, so both authors' caps count.
Communities have one cap: the one that is asked for, the pairs of the smallest, or an even share of all, the lowest.
Lengths are matched within each community and class of how much longer the longer answer is: of the more frequent kind
(the longer answer wins, or the shorter) such a share is kept by hash as makes both equally frequent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from msgspec import UnsetType

from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.filter import Filter, first_of
from shp_miner.errors import UsageError
from shp_miner.rules.eligibility import REASON
from shp_miner.rules.hashing import as_shares, balance_keys, mix_bits

#: The parameters that need to know all pairs of the data, not only those of one thread.
OVERALL = ("match_lengths", "max_pairs_per_author", "max_pairs_per_community", "equal_communities", "max_pairs")

#: Classes of the ratio of the two lengths: this many to each doubling, and the last one is open.
_PER_DOUBLING, _LAST_CLASS = 2, 8

#: The keys of communities.
PLACE = ("site", "community")


def _per_answer(frame: pl.DataFrame, cleaning: Cleaning) -> pl.Series:
    assert cleaning.max_pairs_per_answer is not None
    keyed = frame.select("winner", "loser", key=_keys(frame))
    over = _over([keyed["winner"], keyed["loser"]], keyed["key"], cleaning.max_pairs_per_answer)
    return pl.select(first_of(("over_answer_pairs", pl.lit(over)))).to_series()


def _over(owners: list[pl.Series], key: pl.Series, most: int) -> pl.Series:
    """Which pairs are not among the `most` with the smallest keys of each of their owners."""
    rows = pl.concat(pl.DataFrame({"owner": owner, "key": key}).with_row_index("row") for owner in owners).unique()
    rank = pl.struct("key", "row").rank("ordinal").over("owner")
    over = rows.filter(rank > most)["row"].unique()
    return pl.int_range(len(key), dtype=pl.UInt32, eager=True).is_in(over.implode())


def _keys(frame: pl.DataFrame) -> pl.Series:
    return pl.Series("key", balance_keys(frame["pair_hash"].to_numpy()))


PER_ANSWER = Filter(("max_pairs_per_answer",), ("sample",), _per_answer)


def needs_all(cleaning: Cleaning) -> bool:
    """Return whether a cleaning balances over all pairs of the data."""
    return any(getattr(cleaning, name) not in (None, False) for name in OVERALL)


def require_local(cleaning: Cleaning | UnsetType) -> None:
    """Raise UsageError for a cleaning that balances over all pairs, where only a part of them is looked at."""
    if cleaning and needs_all(cleaning):
        given = [f"--clean-{name.replace('_', '-')}" for name in OVERALL if getattr(cleaning, name)]
        raise UsageError(
            f"{' and '.join(given)}: balancing takes all pairs of an export.",
            "Leave this out, or give it to `shp-miner export`.",
        )


def traits(frame: pl.DataFrame) -> pl.DataFrame:
    """Return what balancing over all pairs needs of each (a frame as filters get it), 36 bytes a pair without names.

    PLACE, `key`, `winner_author` and `loser_author` (hashes; null if unknown), `class` of the lengths' ratio, and
    `longer`: 1 if the longer answer wins, -1 if the shorter does, 0 if they are equally long.
    """
    chars = [frame[f"{side}_text"].str.len_chars().cast(pl.Float64).to_numpy() for side in ("winner", "loser")]
    short, long = np.minimum(*chars), np.maximum(*chars)
    of_ratio = np.floor(np.log2(np.maximum(long, 1) / np.maximum(short, 1)) * _PER_DOUBLING)
    return frame.select(*PLACE, *(_author(side) for side in ("winner", "loser"))).with_columns(
        _keys(frame),
        pl.Series("class", np.minimum(of_ratio, _LAST_CLASS), dtype=pl.Int8),
        pl.Series("longer", np.sign(chars[0] - chars[1]), dtype=pl.Int8),
    )


def _author(side: str) -> pl.Expr:
    """A number for each author of a site; null where neither id nor name is known."""
    name = pl.coalesce(pl.col(f"{side}_author_id"), pl.col(f"{side}_author"))
    known = pl.when(name.is_not_null()).then(pl.concat_str("site", pl.lit("\0"), name).hash(seed=0))
    return known.alias(f"{side}_author")


_PLACE = {"site": pl.String, "community": pl.String}
_SHARES = {**_PLACE, "class": pl.Int8, "longer": pl.Int8, "share": pl.Float64}
_AUTHORS = {"author": pl.UInt64, "limit": pl.UInt64}
_COMMUNITIES = {**_PLACE, "limit": pl.UInt64}


@dataclass
class Quotas:
    """What `reasons` holds pairs against, found by adding the traits of all pairs in three passes, in any order.

    shares: PLACE, `class`, `longer` and the `share` to keep. authors and communities: the largest key that stays, of
    those only that have more pairs than they may.
    """

    shares: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_SHARES))
    authors: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_AUTHORS))
    communities: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_COMMUNITIES))

    def reasons(self, found: pl.DataFrame) -> pl.Series:
        """Return why each pair (`traits`) is left out; null where it stays."""
        # Bits mixed again are independent of the keys: what is drawn is no better placed under the caps.
        rows = found.with_columns(draw=pl.Series(as_shares(mix_bits(found["key"].to_numpy()))))
        rows = rows.join(self.shares, on=[*PLACE, "class", "longer"], how="left", maintain_order="left")
        for side in ("winner", "loser"):
            limits = self.authors.rename({"author": f"{side}_author", "limit": f"{side}_limit"})
            rows = rows.join(limits, on=f"{side}_author", how="left", maintain_order="left")
        rows = rows.join(self.communities, on=PLACE, how="left", maintain_order="left")
        unmatched, key = pl.col("draw") >= pl.col("share"), pl.col("key")
        over = [(key > pl.col(f"{side}_limit")).fill_null(value=False) for side in ("winner", "loser")]
        return rows.select(
            first_of(
                ("longer_wins", unmatched & (pl.col("longer") > 0)),
                ("shorter_wins", unmatched & (pl.col("longer") < 0)),
                ("over_author_pairs", over[0] | over[1]),
                ("over_community_pairs", key > pl.col("limit")),
            ).alias(REASON)
        ).to_series()


def community_cap(pairs: list[int], cleaning: Cleaning) -> int | None:
    """Return how many pairs each community may keep, given how many each has; None where nothing caps them.

    Raises UsageError where `max_pairs` are fewer than one for each community.
    """
    caps = [most for most in (cleaning.max_pairs_per_community,) if most is not None]
    if cleaning.equal_communities:
        caps.append(min(pairs, default=1))
    if cleaning.max_pairs is not None:
        caps.append(_even_level(pairs, cleaning.max_pairs))
    return min(caps, default=None)


def _even_level(pairs: list[int], total: int) -> int:
    """The largest number for which min(own pairs, number), summed over all communities, is at most `total`."""
    level, left = 0, total
    for n, own in enumerate(sorted(pairs)):
        level = left // (len(pairs) - n)
        if own > level:  # so have all that follow
            break
        left -= own
    if pairs and not level:
        raise UsageError(
            f"{total:,} pairs are fewer than one for each of {len(pairs):,} communities.",
            f"Raise --clean-max-pairs to {len(pairs):,} or more, or choose fewer communities.",
        )
    return level


def length_counts(found: pl.DataFrame) -> pl.DataFrame:
    """Return how many pairs (`traits`) each place has of each class, won by the longer and by the shorter answer."""
    return found.filter(pl.col("longer") != 0).group_by(*PLACE, "class", "longer").agg(pl.len().alias("pairs"))


def length_shares(counts: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the shares to keep, from the counts of all parts."""
    total = pl.concat(counts).group_by(*PLACE, "class", "longer").agg(pl.col("pairs").sum())
    both = pl.col("pairs").min().over(*PLACE, "class")
    fewest = pl.when(pl.len().over(*PLACE, "class") == 2).then(both).otherwise(0)
    return total.select(*PLACE, "class", "longer", (fewest / pl.col("pairs")).alias("share"))


def lowest(parts: list[pl.DataFrame], owner: tuple[str, ...], most: int) -> pl.DataFrame:
    """Return the `most` + 1 smallest keys of each owner in some parts (owner and `key`): enough to find its limit."""
    rows = pl.concat(parts).unique()
    return rows.filter(pl.col("key").rank("ordinal").over(owner) <= most + 1)


def limits(keys: pl.DataFrame, owner: tuple[str, ...], most: int) -> pl.DataFrame:
    """Return the largest key that stays of each owner with more than `most` pairs, from what `lowest` gave of all."""
    ranked = keys.with_columns(rank=pl.col("key").rank("ordinal").over(owner))
    many = ranked.filter(pl.len().over(owner) > most, pl.col("rank") == most)
    return many.select(*owner, pl.col("key").alias("limit"))


def by_author(found: pl.DataFrame) -> pl.DataFrame:
    """Return `author` and `key` of each pair (`traits`) for either side; unknown authors have no cap."""
    sides = [found.select(pl.col(f"{side}_author").alias("author"), "key") for side in ("winner", "loser")]
    return pl.concat(sides).filter(pl.col("author").is_not_null()).unique()
