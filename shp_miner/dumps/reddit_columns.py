"""Many Reddit records at once, as whole columns, without a Python object for each.

`dumps.reddit_fields` reads the fields as text, whatever types a year's files have; here the text becomes columns. A
record whose text is no time, no number or no word of a known kind takes the careful way of platforms.reddit, which
handles every exception. Both give the same rows.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from shp_miner.dumps.lines import Lines
from shp_miner.dumps.reddit_fields import FLAGS, META_FLAGS, TEXTS, fields_of, may_be_unsound
from shp_miner.model import NO_COMMUNITY, SCORE_MAX
from shp_miner.platforms.reddit import BOT_NAME, EMPTIED, GONE_AUTHORS, ROLES
from shp_miner.platforms.rows import seconds_us
from shp_miner.platforms.sites import REDDIT
from shp_miner.text.clean import BLANK, REDDIT_EMPTY
from shp_miner.text.notices import LONGEST, notice_state

#: Columns beside those that a source fills in: why a record is left out, null if it is kept.
LEFT_OUT = "left_out"
_CAREFUL = "careful"

#: What files write for a time of reading that nobody knows.
UNKNOWN_TIMES = ("", "0")


def to_frame(
    kind: str, lines: Lines, latest_us: int, wanted: Collection[str]
) -> tuple[pl.DataFrame, list[tuple[int, bytes]]]:
    """The rows of the lines with the columns that a source fills in and LEFT_OUT, and the lines to be read with care.

    `wanted` are lower-case communities, none for all.
    """
    raw, kept, careful = fields_of(kind, lines)
    if not raw.height:
        return raw, careful
    own = _answer() if kind == "answer" else _post()
    state = _state(kind, raw)
    frame = raw.select(*_shared(kind, state), *own, _left_out(kind, wanted), _careful(kind, kept.text, latest_us))
    frame = frame.with_columns(
        pl.when(pl.col("state") == "live").then(name).otherwise(pl.lit(value, frame.schema[name])).alias(name)
        for name, value in EMPTIED.items()
        if name in frame.columns
    )
    odd = frame[_CAREFUL]
    return frame.filter(~odd).drop(_CAREFUL), careful + [kept.at(index) for index in odd.arg_true()]


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


def _flag(field: pl.Expr) -> pl.Expr:
    """Whether a field that says yes or no says yes; a missing one says no."""
    return (field == "true").fill_null(value=False)


def _note(name: str) -> pl.Expr:
    """A field of what the archive noted at its second visit."""
    return pl.col("_meta").struct[name]


def _edited() -> pl.Expr:
    """Whether the record was edited: false, true, a time, or the archive's note; null where it is none of these."""
    said = pl.col("edited").fill_null("false")
    yes = said.str.contains(r"^(?:true|[1-9][0-9]*(?:\.0)?)$")
    plain = pl.when(said == "false").then(pl.lit(value=False)).when(yes).then(pl.lit(value=True))
    return plain | _flag(_note("is_edited"))


def _score() -> pl.Expr:
    """A whole number written as one, as a decimal, or as text; null where it is none."""
    said = pl.col("score").str.strip_suffix(".0").cast(pl.Int64, strict=False)
    return pl.when(said.is_between(-SCORE_MAX, SCORE_MAX)).then(said)


def _us(said: pl.Expr) -> pl.Expr:
    """Microseconds since 1970 of seconds written as a number or as text; null where they are none."""
    return seconds_us(said.cast(pl.Float64, strict=False))


def _read_said() -> pl.Expr:
    """When the score was read, as written: the second visit where there was one, else the first; null if unknown."""
    said = (_note("retrieved_2nd_on"), pl.col("retrieved_on"), pl.col("retrieved_utc"))
    return pl.coalesce(pl.when(~time.is_in(UNKNOWN_TIMES)).then(time) for time in said)


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
    marks = [_note("removal_type").fill_null("")]
    notices = [_notices(raw, "body" if kind == "answer" else "selftext")]
    if kind == "post":
        marks.append(pl.col("removed_by_category").fill_null(""))
        notices.append(_notices(raw, "title"))
    return pl.coalesce(
        *notices,
        pl.when(_flag(_note("was_deleted_later")))
        .then(pl.lit("deleted"))
        .when(_flag(_note("was_initially_deleted")))
        .then(pl.lit("live"))
        .when(pl.any_horizontal(mark == "deleted" for mark in marks))
        .then(pl.lit("deleted"))
        .when(pl.any_horizontal(mark != "" for mark in marks))
        .then(pl.lit("removed"))
        .otherwise(pl.lit("live")),
    )


def _shared(kind: str, state: pl.Expr) -> list[pl.Expr]:
    body = _body(kind)
    author_gone = pl.col("author").is_null() | pl.col("author").is_in(GONE_AUTHORS)
    bot = (pl.col("author").str.contains(BOT_NAME) & ~author_gone).fill_null(value=False)
    shown = body.str.replace_all(REDDIT_EMPTY, "", literal=True).str.strip_chars(BLANK)
    role = pl.col("distinguished").replace_strict(ROLES, default=None, return_dtype=pl.String)
    return [
        pl.lit("reddit-dump").alias("source"),
        pl.lit("reddit").alias("platform"),
        pl.lit(REDDIT).alias("site"),
        pl.col("subreddit").str.to_lowercase().alias("community"),
        _us(pl.col("created_utc")).alias("created_at"),
        body.alias("body"),
        pl.lit("reddit").alias("body_format"),
        shown.str.len_chars().cast(pl.Int32).alias("body_chars"),
        pl.when(~author_gone).then("author").alias("author"),
        pl.lit(None, pl.String).alias("author_id"),
        pl.lit(None, pl.String).alias("author_url"),
        author_gone.alias("author_deleted"),
        pl.coalesce(role, pl.when(bot).then(pl.lit("bot")), pl.lit("member")).alias("author_role"),
        pl.lit(None, pl.String).alias("license"),
        _us(_read_said()).alias("observed_at"),
        state.alias("state"),
        _edited().alias("edited"),
        _flag(pl.col("stickied")).alias("stickied"),
    ]


def _body(kind: str) -> pl.Expr:
    return pl.col("body") if kind == "answer" else pl.col("selftext").fill_null("").alias("body")


def _careful(kind: str, text: bytes, latest_us: int) -> pl.Expr:
    """Whether a record is one for the careful way. `text` is what was parsed."""
    flags = [pl.col(name) for name in FLAGS[kind]] + [_note(name) for name in META_FLAGS]
    careful = [
        ~pl.col("id").str.contains(r"^(?:t[13]_)?[0-9a-z]+$"),
        _us(pl.col("created_utc")).is_null(),
        _us(pl.col("created_utc")) > latest_us,
        _read_said().is_not_null() & ~(_us(_read_said()) <= latest_us).fill_null(value=False),
        _edited().is_null(),
        _score().is_null(),
        *(flag.is_not_null() & ~flag.is_in(("true", "false")) for flag in flags),
    ]
    if kind == "answer":
        careful += [pl.col("body").is_null(), ~pl.col("link_id").str.contains(r"^t3_[0-9a-z]+$")]
    else:
        careful += [pl.col("title").is_null(), pl.col("upvote_ratio").is_not_null() & _upvote_ratio().is_null()]
    if may_be_unsound(text):
        texts = [_body(kind), *(pl.col(name) for name in TEXTS[kind] if name not in ("body", "selftext"))]
        careful += [text.str.contains("\0", literal=True).fill_null(value=False) for text in texts]
    return pl.any_horizontal(careful).fill_null(value=True).alias(_CAREFUL)


def _upvote_ratio() -> pl.Expr:
    return pl.col("upvote_ratio").cast(pl.Float64, strict=False)


def _answer() -> list[pl.Expr]:
    return [
        pl.col("link_id").str.strip_prefix("t3_").alias("post_id"),
        pl.col("id").str.strip_prefix("t1_").alias("answer_id"),
        pl.when(~_flag(pl.col("score_hidden"))).then(_score()).alias("score"),
        pl.lit(None, pl.String).alias("url"),
        _flag(pl.col("is_submitter")).alias("by_post_author"),
        pl.lit(value=False).alias("accepted"),
    ]


def _post() -> list[pl.Expr]:
    post_id = pl.col("id").str.strip_prefix("t3_")
    # Files of the first years do not say whether a post is one of text, or where it stands.
    by_domain = (
        pl.when(pl.col("domain") != "").then(pl.col("domain").str.starts_with("self.")).otherwise(_body("post") != "")
    )
    path = pl.when(pl.col("permalink") != "").then("permalink")
    own_path = pl.concat_str(pl.lit("/r/"), "subreddit", pl.lit("/comments/"), post_id, pl.lit("/"))
    return [
        post_id.alias("post_id"),
        pl.col("title"),
        pl.coalesce(pl.col("is_self") == "true", by_domain).alias("is_text"),
        _flag(pl.col("over_18")).alias("nsfw"),
        _upvote_ratio().alias("upvote_ratio"),
        _score().alias("score"),
        pl.concat_str(pl.lit("https://www.reddit.com"), pl.coalesce(path, own_path)).alias("url"),
    ]
