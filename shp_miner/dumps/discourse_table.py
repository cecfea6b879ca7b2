"""A table of Discourse's topics taken apart: a frame of topics, one of all their posts, and what the topics list."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from shp_miner.dumps.threads_values import UnusualError
from shp_miner.platforms.discourse import DOWN, LIKE

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

#: More is no count of likes, and sums of such counts stay exact.
_COUNT_MAX = 1 << 40


class Parts:
    """A table of topics taken apart: a frame of topics, one of all their posts, and what the topics list.

    `counts` are the posts of each topic, `odd` the topics of which something required is missing.
    """

    def __init__(self, table: pa.RecordBatch) -> None:
        columns: dict[str, Any] = dict(zip(table.schema.names, table.columns, strict=True))
        stream = _fields(columns.pop("post_stream"))
        solved = columns.pop("accepted_answer")
        lists, self.stream = stream["posts"], stream["stream"]
        self.counts = _sizes(lists)
        self.odd = _mask(lists.is_null())
        listed = _sizes(self.stream)
        self._ids = self.stream.flatten()
        if self._ids.null_count:
            self.odd = self.odd | (_per_item(_mask(self._ids.is_null()), listed) > 0)
        self._listed, self._said_stream = listed, _mask(self.stream.is_valid())
        number = _fields(solved)["post_number"]
        self.odd = self.odd | (_mask(solved.is_valid()) & _mask(number.is_null()))
        self.topics = pl.DataFrame(
            [_typed(name, column) for name, column in columns.items()] + [pl.Series("solved", number)]
        )
        items = lists.flatten()
        if len(items) != self.counts.sum():
            raise UnusualError
        self.posts = self._posts(_fields(items))

    def _posts(self, columns: dict[str, Any]) -> pl.DataFrame:
        likes, bad = _total(columns["actions_summary"], pa.array([LIKE]))
        downs, also_bad = _total(columns["reactions"], pa.array(sorted(DOWN)))
        bad |= also_bad | _mask(columns["actions_summary"].is_null())
        reacted = _mask(columns["reactions"].is_valid())
        plain = [
            _typed(name, column) for name, column in columns.items() if name not in ("actions_summary", "reactions")
        ]
        return pl.DataFrame(
            [
                *plain,
                pl.Series("likes", likes),
                pl.Series("downs", downs),
                pl.Series("reactions", reacted),
                pl.Series("uncounted", bad),
            ]
        )

    def whole(self) -> Mask:
        """Whether each topic has all posts that it lists, in their order, or as many as it says."""
        said = self.topics["posts_count"].fill_null(0).to_numpy()
        found = np.where(self._said_stream, self._listed == self.counts, said <= self.counts)
        same = self._said_stream & found
        of_stream, of_posts = np.repeat(same, self._listed), np.repeat(same, self.counts)
        ids = self._ids.fill_null(-1).to_numpy()[of_stream]
        unlike = ids != self.posts["id"].fill_null(-2).to_numpy()[of_posts]
        found[same] = _per_item(unlike, self.counts[same]) == 0
        return found


def _fields(items: Any) -> dict[str, Any]:
    return dict(zip([field.name for field in items.type], items.flatten(), strict=True))


def _mask(array: Any) -> Mask:
    found: Mask = array.to_numpy(zero_copy_only=False)
    return found


def _sizes(lists: Any) -> Numbers:
    found: Numbers = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    return found


def _per_item(values: npt.NDArray[Any], sizes: Numbers) -> Numbers:
    """The sum of the values that belong to each of some items, which have `sizes` of them."""
    sums = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    ends = np.cumsum(sizes)
    found: Numbers = sums[ends] - sums[ends - sizes]
    return found


def _total(lists: Any, wanted: pa.Array[Any]) -> tuple[Numbers, Mask]:
    """The counts of each item's entries with a wanted id, and whether an entry has no id or no possible count."""
    sizes, entries = _sizes(lists), _fields(lists.flatten())
    counts = entries["count"].fill_null(0).to_numpy()
    bad = _mask(entries["id"].is_null()) | (np.abs(counts) > _COUNT_MAX)
    hits = _mask(pc.is_in(entries["id"], value_set=wanted))
    return _per_item(np.where(hits & ~bad, counts, 0), sizes), _per_item(bad, sizes) > 0


def _typed(name: str, column: Any) -> pl.Series:
    found = pl.Series(name, column)
    return found.cast(pl.String) if found.dtype == pl.Null else found
