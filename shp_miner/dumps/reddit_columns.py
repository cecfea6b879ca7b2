"""Many Reddit records at once, as whole columns, without a Python object for each.

Only records that are usual in every field are read here. A parser of tables (polars) reads a batch of lines and refuses
other types; records that only look usual (a NUL, a strange time) are found in the columns. All others take the careful
way of dumps.reddit, which handles every exception. Both give the same rows.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl
import stringzilla as sz

from shp_miner.dumps.lines import Lines
from shp_miner.model import EARLIEST_S, NO_COMMUNITY
from shp_miner.platforms.reddit import BOT_NAME, EMPTIED, GONE_AUTHORS, ROLES
from shp_miner.platforms.sites import REDDIT
from shp_miner.text.clean import BLANK, REDDIT_EMPTY
from shp_miner.text.notices import LONGEST, notice_state

#: Columns beside those that a source fills in: why a record is left out, null if it is kept.
LEFT_OUT = "left_out"
_CAREFUL = "careful"

#: A batch with an unusual record is halved until the record is alone among at most this many.
_FEW = 16

_SHARED: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "subreddit": pl.String,
    "author": pl.String,
    "score": pl.Int64,
    "created_utc": pl.Int64,
    "retrieved_on": pl.Int64,
    "distinguished": pl.String,
    "stickied": pl.Boolean,
    "edited": pl.String,
    "_meta": pl.Struct(
        {
            "retrieved_2nd_on": pl.Int64,
            "is_edited": pl.Boolean,
            "was_deleted_later": pl.Boolean,
            "was_initially_deleted": pl.Boolean,
            "removal_type": pl.String,
        }
    ),
}
_OWN: dict[str, dict[str, pl.DataType | type[pl.DataType]]] = {
    "answer": {
        "body": pl.String,
        "link_id": pl.String,
        "parent_id": pl.String,
        "is_submitter": pl.Boolean,
        "score_hidden": pl.Boolean,
    },
    "post": {
        "selftext": pl.String,
        "title": pl.String,
        "is_self": pl.Boolean,
        "permalink": pl.String,
        "over_18": pl.Boolean,
        "upvote_ratio": pl.Float64,
        "removed_by_category": pl.String,
    },
}

#: Fields that may hold several types: text is made of them, and looked at.
_MIXED = frozenset({"edited", "parent_id"})


def to_frame(
    kind: str, lines: Lines, latest_us: int, wanted: Collection[str]
) -> tuple[pl.DataFrame, list[tuple[int, bytes]]]:
    """The rows of the lines with the columns that a source fills in and LEFT_OUT, and the lines to be read with care.

    `wanted` are lower-case communities, none for all.
    """
    raw = _parsed(kind, lines)
    if raw is None:
        if len(lines) <= _FEW:
            return pl.DataFrame(), list(lines)
        half = len(lines) // 2
        halves = lines.part(0, half), lines.part(half, len(lines))
        parts = [to_frame(kind, part, latest_us, wanted) for part in halves]
        frames = [frame for frame, _ in parts if frame.height]
        return pl.concat(frames) if frames else pl.DataFrame(), [line for _, careful in parts for line in careful]
    own = _answer() if kind == "answer" else _post()
    state = _state(kind, raw)
    frame = raw.select(*_shared(kind, state), *own, _left_out(kind, wanted), _careful(kind, lines.text, latest_us))
    frame = frame.with_columns(
        pl.when(pl.col("state") == "live").then(name).otherwise(pl.lit(value, frame.schema[name])).alias(name)
        for name, value in EMPTIED.items()
        if name in frame.columns
    )
    careful = frame[_CAREFUL]
    return frame.filter(~careful).drop(_CAREFUL), [lines.at(index) for index in careful.arg_true()]


def _parsed(kind: str, lines: Lines) -> pl.DataFrame | None:
    """The fields of the lines, null where a field is missing, or None if any line is unusual."""
    schema = {**_SHARED, **_OWN[kind]}
    try:
        frame = pl.read_ndjson(lines.text, schema=schema)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    if frame.height != len(lines):
        return None
    # The parser makes text of numbers and lists. Text of the file itself stands in quotes.
    blank = "" if sz.find(lines.text, b'"id":"') >= 0 else " "
    for name, kept in schema.items():
        if kept == pl.String and name not in _MIXED and frame[name].null_count() < frame.height:
            quoted = sz.count(lines.text, f'"{name}":{blank}"'.encode())
            if quoted < frame.height - frame[name].null_count():
                return None
    return frame


def _left_out(kind: str, wanted: Collection[str]) -> pl.Expr:
    name = pl.col("subreddit").fill_null("")
    other = ~name.str.to_lowercase().is_in(list(wanted)) if wanted else pl.lit(value=False)
    nested = pl.col("parent_id") != pl.col("link_id") if kind == "answer" else pl.lit(value=False)
    reason = (
        pl.when(other)
        .then(pl.lit("other_community"))
        .when(name == "")
        .then(pl.lit(NO_COMMUNITY))
        .when(nested)
        .then(pl.lit("not_direct_reply"))
    )
    return reason.alias(LEFT_OUT)


def _edited() -> pl.Expr:
    """Whether the record was edited: false, true, a time, or the archive's note; null where it is none of these."""
    said = pl.col("edited").fill_null("false")
    yes = said.str.contains(r"^(?:true|[1-9][0-9]*(?:\.0)?)$")
    plain = pl.when(said == "false").then(pl.lit(value=False)).when(yes).then(pl.lit(value=True))
    return plain | pl.col("_meta").struct["is_edited"].fill_null(value=False)


def _notices(raw: pl.DataFrame, column: str) -> pl.Expr:
    """What a text says of the one that stood in its place, null where it is one of its own."""
    text = pl.col(column)
    marked = text.str.contains("[", literal=True) | text.str.contains("(?i)removed by")
    few = raw.filter((text.str.len_chars() <= LONGEST) & marked)[column].unique()
    found = {body: gone for body in few if (gone := notice_state("reddit", body))}
    if not found:
        return pl.lit(None, pl.String)
    return text.replace_strict(found, default=None, return_dtype=pl.String)


def _state(kind: str, raw: pl.DataFrame) -> pl.Expr:
    note = pl.col("_meta").struct
    marks = [note["removal_type"].fill_null("")]
    notices = [_notices(raw, "body" if kind == "answer" else "selftext")]
    if kind == "post":
        marks.append(pl.col("removed_by_category").fill_null(""))
        notices.append(_notices(raw, "title"))
    return pl.coalesce(
        *notices,
        pl.when(note["was_deleted_later"].fill_null(value=False))
        .then(pl.lit("deleted"))
        .when(note["was_initially_deleted"].fill_null(value=False))
        .then(pl.lit("live"))
        .when(pl.any_horizontal(mark == "deleted" for mark in marks))
        .then(pl.lit("deleted"))
        .when(pl.any_horizontal(mark != "" for mark in marks))
        .then(pl.lit("removed"))
        .otherwise(pl.lit("live")),
    )


def _shared(kind: str, state: pl.Expr) -> list[pl.Expr]:
    body = pl.col("body" if kind == "answer" else "selftext")
    author_gone = pl.col("author").is_null() | pl.col("author").is_in(GONE_AUTHORS)
    bot = (pl.col("author").str.contains(BOT_NAME) & ~author_gone).fill_null(value=False)
    shown = body.str.replace_all(REDDIT_EMPTY, "", literal=True).str.strip_chars(BLANK)
    role = pl.col("distinguished").replace_strict(ROLES, default=None, return_dtype=pl.String)
    return [
        pl.lit("reddit-dump").alias("source"),
        pl.lit("reddit").alias("platform"),
        pl.lit(REDDIT).alias("site"),
        pl.col("subreddit").str.to_lowercase().alias("community"),
        (pl.col("created_utc") * 1_000_000).alias("created_at"),
        body.alias("body"),
        pl.lit("reddit").alias("body_format"),
        shown.str.len_chars().cast(pl.Int32).alias("body_chars"),
        pl.when(~author_gone).then("author").alias("author"),
        pl.lit(None, pl.String).alias("author_id"),
        pl.lit(None, pl.String).alias("author_url"),
        author_gone.alias("author_deleted"),
        pl.coalesce(role, pl.when(bot).then(pl.lit("bot")), pl.lit("member")).alias("author_role"),
        pl.lit(None, pl.String).alias("license"),
        (_read_s() * 1_000_000).alias("observed_at"),
        state.alias("state"),
        _edited().alias("edited"),
        pl.col("stickied").fill_null(value=False),
    ]


def _careful(kind: str, text: bytes, latest_us: int) -> pl.Expr:
    """Whether a record is one for the careful way. `text` is what was parsed."""
    body = pl.col("body" if kind == "answer" else "selftext")
    careful = [
        ~pl.col("id").str.contains(r"^(?:t[13]_)?[0-9a-z]+$"),
        *(~second.is_between(EARLIEST_S, latest_us // 1_000_000) for second in (pl.col("created_utc"), _read_s())),
        _edited().is_null(),
        pl.col("score").is_null(),
        body.is_null(),
    ]
    if sz.find(text, rb"\u0000") >= 0 or sz.find(text, b"\0") >= 0:
        texts = [body, *(pl.col(name) for name in ("author", "subreddit", "title" if kind == "post" else "link_id"))]
        careful += [text.str.contains("\0", literal=True).fill_null(value=False) for text in texts]
    if kind == "answer":
        careful += [~pl.col("link_id").str.contains(r"^t3_[0-9a-z]+$"), pl.col("parent_id").is_null()]
    else:
        careful += [pl.col(name).is_null() for name in ("title", "is_self", "permalink")]
    return pl.any_horizontal(careful).fill_null(value=True).alias(_CAREFUL)


def _read_s() -> pl.Expr:
    return pl.coalesce(pl.col("_meta").struct["retrieved_2nd_on"], "retrieved_on")


def _answer() -> list[pl.Expr]:
    return [
        pl.col("link_id").str.strip_prefix("t3_").alias("post_id"),
        pl.col("id").str.strip_prefix("t1_").alias("answer_id"),
        pl.when(~pl.col("score_hidden").fill_null(value=False)).then("score").alias("score"),
        pl.lit(None, pl.String).alias("url"),
        pl.col("is_submitter").fill_null(value=False).alias("by_post_author"),
        pl.lit(value=False).alias("accepted"),
    ]


def _post() -> list[pl.Expr]:
    return [
        pl.col("id").str.strip_prefix("t3_").alias("post_id"),
        pl.col("title"),
        pl.col("is_self").alias("is_text"),
        pl.col("over_18").fill_null(value=False).alias("nsfw"),
        pl.col("upvote_ratio"),
        pl.col("score"),
        pl.concat_str(pl.lit("https://www.reddit.com"), "permalink").alias("url"),
    ]
