"""Usual rows of a Posts.xml as the columns of posts and answers; the collector of dumps.stackexchange reads the others.

Both give the same rows: what is no whole number, no time, no text where there must be one, or planted, is left to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.dumps.stackexchange_columns import Columns, Row
from shp_miner.dumps.stackexchange_known import DECOY_NUMBERS, Known
from shp_miner.model import out_of_bounds
from shp_miner.platforms.stackexchange import COMMUNITY_USER, LICENSES, NEWEST_LICENSE
from shp_miner.text.visible import visible_lengths

#: What is stored as it is written, and the columns of numbers.
_TEXTS = ("Id", "ParentId", "Body", "Title", "OwnerDisplayName", "ContentLicense")
_NUMBERS = {"id": "Id", "parent": "ParentId", "user": "OwnerUserId", "score": "Score", "views": "ViewCount"}

#: Whether a row is left to the collector, its number, and what is noted of it.
_ODD, _ROW, _NAMELESS, _DIFFERS = "odd", "row", "nameless", "differs"


@dataclass
class PostRows:
    """Rows of questions and of answers, notes of each kind with their counts, and the other rows."""

    posts: pl.DataFrame
    answers: pl.DataFrame
    notes: dict[tuple[str, str], int]
    others: list[Row]

    def __len__(self) -> int:
        return self.posts.height + self.answers.height + len(self.others)


def to_frames(columns: Columns, site: str, known: Known, observed_us: int | None) -> PostRows:
    """The rows with the columns that a source fills in. `observed_us` is when the scores were read."""
    raw = pl.DataFrame([
        *(columns.text(name) for name in _TEXTS),
        *(columns.whole(name).alias(column) for column, name in _NUMBERS.items()),
        *(pl.Series(f"has_{name}", columns.has(_NUMBERS[name], filled=True)) for name in ("user", "views")),
        columns.times("CreationDate").alias("created_at"),
        pl.Series("edited", columns.has("LastEditDate")),
    ]).with_row_index(_ROW)  # fmt: skip
    ids = raw["id"].fill_null(-1).to_numpy()
    users = known.names(raw["user"].fill_null(0).to_numpy())
    raw = raw.with_columns(
        pl.Series("accepted", known.accepted.has(ids)),
        users.set(raw["user"].is_null(), None).alias("name"),
        *_votes(ids, known),
    )
    frames = {}
    odd = np.ones(len(columns), bool)
    notes: dict[tuple[str, str], int] = {}
    for kind, of in (("post", b"1"), ("answer", b"2")):
        rows = _rows(kind, raw.filter(columns.equals("PostTypeId", of)), site, known.latest_us, observed_us)
        kept = rows.filter(~pl.col(_ODD))
        odd[kept[_ROW].to_numpy()] = False
        notes[kind, "author_name_unknown"] = int(kept[_NAMELESS].sum())
        notes[kind, "votes_differ_from_score"] = int(kept[_DIFFERS].sum())
        frames[kind] = kept
    others = [columns.row(index) for index in np.flatnonzero(odd).tolist()]
    return PostRows(frames["post"], frames["answer"], notes, others)


def _rows(kind: str, raw: pl.DataFrame, site: str, latest_us: int, observed_us: int | None) -> pl.DataFrame:
    same = pl.col("votes_up") - pl.col("votes_down") == pl.col("score")
    own = _post(site) if kind == "post" else _answer(site)
    named = pl.col("name").is_not_null() | (pl.col("OwnerDisplayName") != "").fill_null(value=False)
    rows = raw.select(
        *(column.alias(name) for name, column in (_shared(site, observed_us, same) | own).items()),
        pl.any_horizontal(_odd(kind, latest_us)).fill_null(value=True).alias(_ODD),
        pl.col(_ROW),
        (pl.col("has_user") & ~named).alias(_NAMELESS),
        (pl.col("votes_up").is_not_null() & ~same).fill_null(value=False).alias(_DIFFERS),
    )
    rows = rows.with_columns(visible_lengths(rows["body"].fill_null(""), "html").alias("body_chars"))
    return rows.with_columns((rows[_ODD] | out_of_bounds(rows).is_not_null()).alias(_ODD))


def _odd(kind: str, latest_us: int) -> list[pl.Expr]:
    """Whether a row is none that the columns can hold."""
    ids = {"Id": "id"} if kind == "post" else {"Id": "id", "ParentId": "parent"}
    needed = ("Body", "Title", "score", "created_at") if kind == "post" else ("Body", "score", "created_at")
    return [
        *(~(pl.col(number) > 0) | pl.col(text).str.starts_with("0") for text, number in ids.items()),
        *(pl.col(number).is_in(DECOY_NUMBERS) for number in ids.values()),
        *(pl.col(name).is_null() for name in needed),
        pl.col("created_at") > latest_us,
        *(pl.col(f"has_{name}") & pl.col(name).is_null() for name in ("user", "views")),
    ]


def _votes(ids: npt.NDArray[np.int64], known: Known) -> list[pl.Series]:
    if known.votes is None:
        empty = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(ids))
        return [empty.alias(name) for name in ("votes_up", "votes_down", "chosen_us")]
    counts = known.votes.counts(ids)
    chosen = pl.Series("chosen_us", counts.accepted_us).set(pl.Series(counts.accepted_us) < 0, None)
    return [pl.Series("votes_up", counts.upvotes), pl.Series("votes_down", counts.downvotes), chosen]


def _shared(site: str, observed_us: int | None, same: pl.Expr) -> dict[str, pl.Expr]:
    named = pl.when(pl.col("OwnerDisplayName") != "").then("OwnerDisplayName")
    terms = pl.lit(NEWEST_LICENSE)
    for before_us, name in reversed(LICENSES):
        terms = pl.when(pl.col("created_at") < before_us).then(pl.lit(name)).otherwise(terms)
    user = pl.col("user")
    page = pl.concat_str(pl.lit(f"https://{site}/users/"), user.cast(pl.String))
    return {
        "source": pl.lit("stackexchange-dump"),
        "platform": pl.lit("stackexchange"),
        "site": pl.lit(site),
        "community": pl.lit(site),
        "created_at": pl.col("created_at"),
        "body": pl.col("Body"),
        "body_format": pl.lit("html"),
        "author": pl.coalesce(pl.when(pl.col("name") != "").then("name"), named),
        "author_id": user.cast(pl.String),
        "author_url": page,
        "author_deleted": ~pl.col("has_user"),
        "author_role": pl.when(user == COMMUNITY_USER).then(pl.lit("bot")).otherwise(pl.lit("member")),
        "license": pl.coalesce(pl.when(pl.col("ContentLicense") != "").then("ContentLicense"), terms),
        "observed_at": pl.lit(observed_us, pl.Int64),
        "score": pl.col("score"),
        "state": pl.lit("live"),
        "edited": pl.col("edited"),
        "stickied": pl.lit(value=False),
        "upvotes": pl.when(same).then("votes_up"),
        "downvotes": pl.when(same).then("votes_down"),
    }


def _post(site: str) -> dict[str, pl.Expr]:
    return {
        "post_id": pl.col("Id"),
        "title": pl.col("Title"),
        "is_text": pl.lit(value=True),
        "nsfw": pl.lit(value=False),
        "upvote_ratio": pl.lit(None, pl.Float64),
        "views": pl.col("views"),
        "url": pl.concat_str(pl.lit(f"https://{site}/questions/"), "Id"),
    }


def _answer(site: str) -> dict[str, pl.Expr]:
    return {
        "post_id": pl.col("ParentId"),
        "answer_id": pl.col("Id"),
        "by_post_author": pl.lit(value=False),
        "accepted": pl.col("accepted"),
        "accepted_at": pl.when(pl.col("accepted")).then("chosen_us"),
        "url": pl.concat_str(pl.lit(f"https://{site}/a/"), "Id"),
    }
