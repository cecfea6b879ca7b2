"""Posts and answers of other programs as a rule needs them: the needed columns checked, the others filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from shp_miner.frames import Given, given
from shp_miner.model import ANSWER, EARLIEST_S, END_US, POST, SCORE_MAX, frame_schema, thread_hash
from shp_miner.rules.presets import Rule

if TYPE_CHECKING:
    from shp_miner.frames import AnyFrame

#: Columns without which there are no pairs. `observed_at` is needed as well, unless the rule does without.
POST_NEEDED = ("post_id", "created_at", "score")
ANSWER_NEEDED = ("post_id", "answer_id", "created_at", "score")

#: Columns that answers take from their posts where they have none themselves.
_FROM_POST = ("site", "community", "platform", "observed_at")

_IDS = ("site", "post_id", "answer_id")
_MUST = frozenset({*POST_NEEDED, *ANSWER_NEEDED}) - {"score"}
_TIMES = ("created_at", "observed_at", "accepted_at")
_COUNTS = frozenset({"reads", "upvotes", "downvotes", "views"})

#: Values of a column that is not given, and in place of a null. Every other column is null, or computed.
FILLED: dict[str, Any] = {
    "source": "frame", "platform": "threads", "site": "own", "community": "own", "body": "", "body_format": "markdown",
    "title": "untitled", "author_deleted": False, "author_role": "member", "is_text": True, "nsfw": False,
    "by_post_author": False, "accepted": False, "state": "live", "edited": False, "stickied": False, "content_hash": 0,
}  # fmt: skip

_WORDS = {
    "state": ("live", "deleted", "removed", "unreadable"),
    "author_role": ("member", "moderator", "admin", "bot"),
}


def both(posts: AnyFrame, answers: AnyFrame, rule: Rule) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return posts and answers as POST and ANSWER. Raises BadInput that names a missing or wrong column."""
    asked, replies = given(posts, "posts"), given(answers, "answers")
    whole = _is_whole(asked.frame, POST), _is_whole(replies.frame, ANSWER)
    post_frame = asked.frame if whole[0] else _filled(asked, POST, POST_NEEDED, rule)
    if whole[1]:
        return post_frame, replies.frame
    replies.require(ANSWER_NEEDED)
    taken = [name for name in _FROM_POST if name not in replies.frame.columns]
    on = [name for name in ("site", "post_id") if name not in taken]
    frame = _with_ids(replies).frame
    known = post_frame.select(*on, *taken).unique()
    if known.select(on).is_duplicated().any():
        raise replies.wrong(
            "site", "it is missing, and posts of several sites have the same post_id", "Add the column."
        )
    joined = Given(replies.name, frame.join(known, on=on, how="left", maintain_order="left"), replies.library)
    return post_frame, _filled(joined, ANSWER, ANSWER_NEEDED, rule)


def readings(observations: AnyFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Return observations with the key of ANSWER, `observed_at` and `score`; the key is taken from `answers`."""
    names = ["thread_hash", "site", "post_id", "answer_id"]
    read = given(observations, "observations")
    if _is_whole(read.frame, ANSWER, [*names, "observed_at", "score"]):
        return read.frame
    read.require(("post_id", "answer_id", "observed_at", "score"))
    read.refuse_naive(["observed_at"])
    read = _with_ids(read)
    frame = read.frame.with_columns(
        _column(read, name, frame_schema(ANSWER)[name]) for name in ("observed_at", "score")
    )
    on = [name for name in names if name in frame.columns]
    return frame.join(answers.select(names), on=on).select(*names, "observed_at", "score")


def _is_whole(frame: pl.DataFrame, schema: pa.Schema, names: list[str] | None = None) -> bool:
    """Whether a frame is as the store gives it: nothing is checked or filled then."""
    kinds = frame_schema(schema)
    return all(frame.schema.get(name) == kinds[name] for name in names or schema.names if name != "body")


def _with_ids(table: Given) -> Given:
    """Return the table with ids as text; whole numbers are ids as well."""
    ids = [_column(table, name, pl.String()) for name in _IDS if name in table.frame.columns]
    return Given(table.name, table.frame.with_columns(ids), table.library)


def _filled(table: Given, schema: pa.Schema, needed: tuple[str, ...], rule: Rule) -> pl.DataFrame:
    table.require(needed)
    if "observed_at" not in table.frame.columns and not rule.allow_unknown_age:
        raise table.wrong(
            "observed_at",
            "it is missing, and says when the scores were read, which the rule needs",
            "Add it, or use preset(NAME, allow_unknown_age=True).",
        )
    table.refuse_naive(_TIMES)
    kinds = frame_schema(schema)
    columns: list[pl.Series | pl.Expr] = []
    for name in schema.names:
        if name in table.frame.columns:
            columns.append(_column(table, name, kinds[name]))
        elif name not in ("thread_hash", "body_chars"):
            columns.append(pl.lit(FILLED.get(name), kinds[name]).alias(name))
    frame = table.frame.select(columns)
    if "body_chars" not in frame.columns:
        # Without texts, no answer is taken for an empty one.
        chars = pl.col("body").str.strip_chars().str.len_chars() if "body" in table.frame.columns else pl.lit(1)
        frame = frame.with_columns(chars.cast(pl.Int32).alias("body_chars"))
    if "thread_hash" not in frame.columns:
        threads = frame.select("site", "post_id").unique(maintain_order=True)
        hashes = pl.Series("thread_hash", [thread_hash(*key) for key in threads.iter_rows()], dtype=pl.Int64)
        frame = frame.join(threads.with_columns(hashes), on=["site", "post_id"], how="left", maintain_order="left")
    _refuse_repeated(table, frame, [name for name in _IDS if name in frame.columns])
    return frame.select(schema.names)


def _refuse_repeated(table: Given, frame: pl.DataFrame, key: list[str]) -> None:
    repeated = frame.filter(frame.select(key).is_duplicated())
    if not repeated.is_empty():
        raise table.wrong(
            key[-1],
            f"{repeated[key[-1]][0]!r:.60} is in several rows",
            "Keep one row per item, the newest observation; pass the others as observations=.",
        )


def _column(table: Given, name: str, kind: pl.DataType) -> pl.Series:
    """Return a column as `kind`. Raises BadInput where its values cannot be that."""
    column = table.frame[name]
    if kind.is_temporal():
        column = _times(table, column)
    elif kind == pl.String:
        column = _texts(table, column)
    elif kind == pl.Boolean and column.dtype not in (pl.Boolean, pl.Null):
        raise table.wrong(name, f"it holds {column.dtype}, not true and false", "Write true or false, or leave it out.")
    elif kind.is_numeric():
        column = _numbers(table, column, whole=kind.is_integer())
    if name in _MUST and column.null_count():
        row = column.is_null().arg_max()
        raise table.wrong(name, f"row {row} has no value", "Give each row one, or leave these rows out.")
    column = column.cast(kind)
    return column.fill_null(FILLED[name]) if name in FILLED else column


def _texts(table: Given, column: pl.Series) -> pl.Series:
    if column.dtype.is_integer() and column.name in (*_IDS, "author_id"):
        return column.cast(pl.String)
    if column.dtype not in (pl.String, pl.Null, pl.Categorical, pl.Enum):
        raise table.wrong(column.name, f"it holds {column.dtype}, not text", "Write texts; ids may be whole numbers.")
    texts = column.cast(pl.String)
    words = _WORDS.get(column.name)
    strange = texts.filter(~texts.is_in(words)) if words else texts.clear()
    if words and strange.drop_nulls().len():
        raise table.wrong(column.name, f"{strange.drop_nulls()[0]!r:.60} is not known", f"Write {', '.join(words)}.")
    return texts


def _numbers(table: Given, column: pl.Series, *, whole: bool) -> pl.Series:
    if not column.dtype.is_numeric() and column.dtype != pl.Null:
        raise table.wrong(column.name, f"it holds {column.dtype}, not numbers", "Write numbers.")
    if whole and column.dtype.is_float():
        # pandas makes fractions of whole numbers where one is missing.
        column = column.fill_nan(None)
        odd = column.filter((column != column.floor()) | (column.abs() > SCORE_MAX)).drop_nulls()
        if odd.len():
            raise table.wrong(column.name, f"{odd[0]} is not a whole number", "Write whole numbers.")
    below = column.filter(column < 0) if column.name in _COUNTS and column.dtype != pl.Null else column.clear()
    if below.len():
        raise table.wrong(column.name, f"{below[0]} is no count", "Write counts from 0, and null where nobody counted.")
    return column


def _times(table: Given, column: pl.Series) -> pl.Series:
    """Return times in UTC: of times with a zone, seconds since 1970, or ISO 8601 texts with a zone."""
    hint = 'Write times with a zone ("2024-01-02T03:04:05Z"), or seconds since 1970.'
    if column.dtype == pl.String:
        try:
            column = column.str.to_datetime(time_unit="us", time_zone="UTC")
        except pl.exceptions.PolarsError:
            raise table.wrong(column.name, "not every text is a time", hint) from None
    elif column.dtype.is_numeric():
        column = (column.cast(pl.Float64) * 1e6).round().cast(pl.Int64, strict=False).cast(pl.Datetime("us", "UTC"))
    elif not isinstance(column.dtype, pl.Datetime) and column.dtype != pl.Null:
        raise table.wrong(column.name, f"it holds {column.dtype}, not times", hint)
    column = column.cast(pl.Datetime("us", "UTC"))
    numbers = column.to_physical()
    bad = numbers.filter((numbers < EARLIEST_S * 1_000_000) | (numbers >= END_US))
    if bad.len():
        raise table.wrong(
            column.name,
            f"{table.frame[column.name][int((numbers == bad[0]).arg_max() or 0)]!s:.40} is not a time at which a forum "
            "was written to or read",
            f"{hint} Milliseconds: divide by 1000.",
        )
    return column
