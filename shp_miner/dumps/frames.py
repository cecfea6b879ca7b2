"""Own frames into a store: posts and answers as two tables, through the same checks and counts as `import threads`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from shp_miner.dumps.frames_stored import MADE, are_stored, refuse_parts, stored_chunks
from shp_miner.dumps.importing import Imported, commit, finished, snapshot_before
from shp_miner.dumps.threads import Collector
from shp_miner.dumps.threads_layout import ANSWER_KEYS, ANSWER_REQUIRED, THREAD_KEYS, THREAD_REQUIRED
from shp_miner.frames import Given, given
from shp_miner.model import ANSWER, POST
from shp_miner.paths import expanded
from shp_miner.platforms.records import latest_allowed_us
from shp_miner.platforms.rows import Chunk
from shp_miner.tally import Damage, Tally

if TYPE_CHECKING:
    from shp_miner.frames import AnyFrame
    from shp_miner.store import Store

_TIMES = ("created_at", "observed_at", "accepted_at")

#: Posts turned into records at a time.
_POSTS = 1000


def import_frames(
    posts: AnyFrame,
    answers: AnyFrame,
    store: Store | str | os.PathLike[str],
    *,
    site: str | None = None,
    community: str | None = None,
    now: datetime | None = None,
) -> Imported:
    """Put own posts and answers into a store; return the counts. Importing the same again changes no export.

    Both are tables of polars, pandas or Arrow with the columns of docs/threads.md: posts without `answers`, and answers
    with the `post_id` of their post (and its `site`, where posts of several sites share ids). `site` (a host) and
    `community` fill these columns of posts where they are missing. One row is one item; import again what was read
    again later. Tables that a store gave (`posts()` and `answers()`, or `observations()` of both) go in as they are,
    with platform, source and state, one row an observation. `now` (default: the clock) is what later times are refused
    by. A bad row costs only itself, as in `import_dump`; raises BadInput, before anything is written, that names a
    missing, unknown or wrong column.
    """
    path = expanded(store) if isinstance(store, str | os.PathLike) else store.path
    asked = _with_place(given(posts, "posts"), site, community)
    replies = given(answers, "answers")
    tally, now = Tally(), now or datetime.now(UTC)
    chunks = (_stored if are_stored(asked, replies) else _own)(asked, replies, tally, now)
    before = snapshot_before(path)
    commit(chunks, path, tally)
    return finished(path, tally, before)


def _stored(posts: Given, answers: Given, tally: Tally, now: datetime) -> Iterator[Chunk]:
    """Return the rows of tables that a store gave. Raises BadInput for columns of others."""
    _check(posts, frozenset(), frozenset(POST.names))
    _check(answers, frozenset(), frozenset(ANSWER.names))
    return stored_chunks(posts, answers, tally, now)


def _own(posts: Given, answers: Given, tally: Tally, now: datetime) -> Iterator[Chunk]:
    """Return the rows of own tables. Raises BadInput for missing and unknown columns."""
    posts, answers = _without_made(posts), _without_made(answers)
    keys = ["site", "post_id"] if "site" in answers.frame.columns else ["post_id"]
    post_keys, answer_keys = THREAD_KEYS - {"answers"}, ANSWER_KEYS | {"post_id", "site", "community"}
    refuse_parts(posts, POST, post_keys)
    refuse_parts(answers, ANSWER, answer_keys)
    _check(posts, THREAD_REQUIRED - {"answers"}, post_keys)
    _check(answers, ANSWER_REQUIRED | {"post_id"}, answer_keys)
    return _chunks(_with_text_ids(posts), _with_text_ids(answers), keys, tally, now)


def _without_made(table: Given) -> Given:
    """Return a table without what follows from its other columns, such as the thread hash of a store's frame."""
    return Given(table.name, table.frame.drop(MADE, strict=False), table.library)


def _with_place(posts: Given, site: str | None, community: str | None) -> Given:
    filled = [
        pl.lit(value).alias(name)
        for name, value in (("site", site), ("community", community))
        if value is not None and name not in posts.frame.columns
    ]
    return Given(posts.name, posts.frame.with_columns(filled), posts.library)


def _check(table: Given, required: frozenset[str], known: frozenset[str]) -> None:
    table.require(sorted(required))
    table.refuse_others(known)
    table.refuse_naive(_TIMES)


def _with_text_ids(table: Given) -> pl.DataFrame:
    """Return the rows with whole numbers as texts in `post_id`, so that posts and answers find each other."""
    is_number = table.frame.schema["post_id"].is_integer()
    return table.frame.with_columns(pl.col("post_id").cast(pl.String)) if is_number else table.frame


def _chunks(
    posts: pl.DataFrame, answers: pl.DataFrame, keys: list[str], tally: Tally, now: datetime
) -> Iterator[Chunk]:
    columns = [name for name in answers.columns if name in ANSWER_KEYS]
    # Their order is kept, so that the same frames give the same counts and examples.
    threads = posts.join(
        answers.group_by(keys, maintain_order=True).agg(pl.struct(columns).alias("answers")),
        on=keys,
        how="left",
        maintain_order="left",
    )
    collector = Collector(tally, latest_allowed_us(now))
    for number, record in enumerate(threads.iter_rows(named=True, buffer_size=_POSTS)):
        collector.add({**record, "answers": record["answers"] or []}, Damage("posts", None, f"row {number}: "))
        if collector.full:
            yield collector.take()
    yield collector.take()
    lone = answers.with_row_index("row").join(posts, on=keys, how="anti", maintain_order="left")
    for number, post_id in lone.select("row", "post_id").iter_rows():
        what = f"row {number}: its post_id {post_id!r:.60} is not among the posts"
        tally.lose("answer", "missing_field", Damage("answers", None, what))
