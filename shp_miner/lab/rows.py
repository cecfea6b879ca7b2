"""Simulated threads as the product's own tables, and pairs back as numbers of answers."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pyarrow as pa

from shp_miner.lab.simulate import NOT_ACCEPTED, STARTING_SCORE, Index, Threads
from shp_miner.lab.worlds import LabWorld
from shp_miner.model import ANSWER, POST
from shp_miner.platforms.rows import Rows
from shp_miner.rules.presets import Measure
from shp_miner.rules.readers import OWN_READS

SITE = "lab.example"
COMMUNITY = "lab"

_START_US = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_DAY_US = 86_400_000_000

#: An answer's id is its thread's number times this, plus its place in the order of time.
_IDS_PER_THREAD = 1_000_000


def reddit_tables(threads: Threads, world: LabWorld) -> tuple[pa.Table, pa.Table]:
    """Return posts (POST) and answers (ANSWER) as Reddit would show them when the scores are read.

    There are no texts: a body is a dash, and body_chars is the length that it represents.
    """
    post_us = _START_US + np.arange(len(threads.readers)) * 3_600_000_000
    posts = pl.DataFrame(
        {
            "post_id": np.arange(len(post_us)).astype(str),
            "author_id": [f"asker-{number}" for number in range(len(post_us))],
            "created_at": post_us,
            "read_us": post_us + int(world.read_after_days * _DAY_US),
            "score": STARTING_SCORE + threads.post_up - threads.post_down,
            "body_chars": np.ones(len(post_us), np.int32),
        }
    )
    ids = answer_ids(threads)
    answers = pl.DataFrame(
        {
            "post_id": threads.thread.astype(str),
            "answer_id": ids.astype(str),
            "author_id": ids.astype(str),
            "created_at": post_us[threads.thread] + threads.delay_s * 1_000_000,
            "read_us": posts["read_us"].to_numpy()[threads.thread],
            "score": threads.score,
            "body_chars": threads.length.astype(np.int32),
        }
    )
    return (
        _table(POST, posts, title=pl.lit("?"), is_text=True, nsfw=False, upvote_ratio=pl.lit(None, pl.Float64)),
        _table(ANSWER, answers, by_post_author=False, accepted=False),
    )


def telling(threads: Threads, answers: pa.Table, measure: Measure) -> pa.Table:
    """Return the answers of `reddit_tables` with what a rule of this measure needs, as some platforms tell it.

    For `accepted` that is what the asker accepted and when, for `per-reader` how many have read each answer.
    """
    rows = answer_positions(threads, answers["answer_id"])
    columns: dict[str, pl.Series | pl.Expr] = {}
    if measure == "accepted":
        after_us = (threads.accepted_s - threads.delay_s)[rows] * 1_000_000
        accepted = pl.Series(threads.accepted_s[rows] != NOT_ACCEPTED)
        when_us = pl.col("created_at").to_physical() + after_us
        columns = {"accepted": accepted, "accepted_at": pl.when(accepted).then(when_us).cast(pl.Datetime("us", "UTC"))}
    elif measure == "per-reader":
        columns = {"reads": pl.Series(threads.looks[rows] + OWN_READS)}
    return pl.DataFrame(answers).with_columns(**columns).to_arrow().cast(answers.schema)


def answer_ids(threads: Threads) -> Index:
    """The id of each answer as a number; ascending."""
    place = np.arange(len(threads.thread)) - np.searchsorted(threads.thread, threads.thread)
    ids: Index = threads.thread * _IDS_PER_THREAD + place
    return ids


def answer_positions(threads: Threads, ids: pa.ChunkedArray[pa.StringScalar]) -> Index:
    """Return the positions in `threads` of the answers with these ids (strings, from a table of PAIR)."""
    wanted = np.array(ids.to_numpy(zero_copy_only=False), dtype=str).astype(np.int64)
    found: Index = np.searchsorted(answer_ids(threads), wanted)
    return found


def _table(schema: pa.Schema, frame: pl.DataFrame, **columns: pl.Expr | bool) -> pa.Table:
    rows = Rows(schema)
    rows.add_frame(
        frame.with_columns(
            source=pl.lit("lab"),
            platform=pl.lit("reddit"),
            site=pl.lit(SITE),
            community=pl.lit(COMMUNITY),
            body=pl.lit("-"),
            body_format=pl.lit("text"),
            author=pl.col("author_id"),
            author_url=pl.lit(None, pl.String),
            author_deleted=pl.lit(value=False),
            author_role=pl.lit("member"),
            url=pl.lit(None, pl.String),
            license=pl.lit(None, pl.String),
            observed_at=pl.col("read_us"),
            state=pl.lit("live"),
            edited=pl.lit(value=False),
            stickied=pl.lit(value=False),
            **{name: pl.lit(value) if isinstance(value, bool) else value for name, value in columns.items()},
        )
    )
    return rows.take()
