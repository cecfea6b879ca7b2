"""Many topics of Discourse at once, as whole columns, without Python code for each post.

A native parser makes a table of the lines (`json_table`). A topic with anything unusual in it (a poll, a time in other
words, a post without one of its keys) takes the careful way of dumps.discourse, whole. Both give the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl

from shp_miner.dumps.discourse_records import TOPICS
from shp_miner.dumps.discourse_table import Mask, Numbers, Parts
from shp_miner.dumps.iso_times import iso_us
from shp_miner.dumps.json_table import Parsed, Parser, shape_of
from shp_miner.dumps.lines import Lines, positions_of
from shp_miner.dumps.threads_values import UnusualError, never, none_of, seconds_as_us, words_us
from shp_miner.model import out_of_bounds
from shp_miner.platforms.discourse import REGULAR, Topic
from shp_miner.text.notices import LONGEST, notice_state
from shp_miner.text.visible import visible_lengths

#: A poll may hold anything, so topics with one are read with care.
_POLLS = b'"polls"'
#: Keys that each post must have although they may be null: of a null the table does not tell whether it was said.
_SAID = ("reply_to_post_number", "username", "user_id")
_OF_POST, _OF_TOPIC = ("id", "post_number", "post_type", "cooked", "version"), ("id", "title", "posts_count")
_FLAGS = ("hidden", "user_deleted", "accepted_answer", "moderator", "admin")
#: Short texts with one of these may be notices, when their tags are gone.
_NOTICE, _TAG, _CODED = "(?i)author|flagged", r"<[^<>]*>", "&#"
_PLAIN_NAME = r"^[A-Za-z0-9_.~-]*$"

LINE, _ODD = "line", "odd"


class Topics:
    """Rows of the usual topics of some lines, and what the topics list: columns by number of the line."""

    def __init__(self, size: int) -> None:
        self.rows = {"post": pl.DataFrame(), "answer": pl.DataFrame()}
        self.usual = np.zeros(size, bool)
        #: The topic's number, its posts that are no direct replies, whether it has all posts that it lists.
        self.ids, self.others = np.zeros(size, np.int64), np.zeros(size, np.int64)
        self.whole = np.zeros(size, bool)
        self._at = np.zeros(size, np.int64)
        self._listing: list[Any] = []

    def learn(self, numbers: Numbers, parts: Parts) -> None:
        """Take in what the topics of a table say, of which `numbers` are the lines."""
        counts = parts.counts
        self._at[numbers] = np.arange(len(numbers))
        self.ids[numbers] = parts.topics["id"].fill_null(0).to_numpy()
        self.whole[numbers] = parts.whole()
        self._listing = [
            parts.topics["posts_count"],
            parts.posts["id"],
            np.cumsum(counts) - counts,
            counts,
            parts.stream,
        ]

    def listed(self, line: int) -> tuple[int, list[int] | None, list[int]]:
        """Of a topic: how many posts it says to have, the ids that it lists, and those of the posts that are there."""
        said, ids, begins, counts, stream = self._listing
        at = self._at[line]
        return said[int(at)], stream[int(at)].as_py(), ids[int(begins[at]) : int(begins[at] + counts[at])].to_list()


class UsualTopics:
    """Makes rows of the lines of a file. Any thread may ask for it.

    `heads` are the columns of source, platform and site; `names` are those of the categories; `observed_us` is for
    topics without a reading time.
    """

    def __init__(
        self, heads: Mapping[str, str], names: Mapping[int, str], latest_us: int, observed_us: int | None
    ) -> None:
        self._heads, self._names, self._latest_us, self._observed_us = heads, names, latest_us, observed_us
        shape: Any = shape_of(Topic)
        del shape["post_stream"]["posts"][0]["polls"]
        self._parser = Parser(TOPICS, shape | {"observed_at": (str, float)})

    def topics(self, lines: Lines) -> Topics:
        """The rows of some lines."""
        found = Topics(len(lines))
        parsed = self._parser.parsed(lines)
        if parsed.table is not None:
            polls = np.isin(parsed.numbers, _lines_at(lines, positions_of(lines.text, _POLLS)))
            with suppress(UnusualError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
                self._fill(found, Parts(parsed.table), parsed, polls)
        return found

    def _fill(self, found: Topics, parts: Parts, parsed: Parsed, odd: Mask) -> None:
        topics = self._of_topics(parts)
        posts = self._of_posts(parts, topics, parsed.text)
        odd = odd | topics[_ODD].to_numpy()
        rows = {"post": _questions(posts), "answer": _answers(posts)}
        for frame in (posts, *rows.values()):
            odd[frame.filter(_ODD)[LINE].to_numpy()] = True
        others = posts.filter(~pl.col("direct") & (pl.col("post_number") != 1))[LINE]
        fine, numbers = pl.Series(~odd), pl.Series(parsed.numbers)
        for kind, frame in rows.items():
            kept = frame.filter(fine.gather(frame[LINE]))
            found.rows[kind] = kept.with_columns(numbers.gather(kept[LINE]).alias(LINE)).drop(_ODD)
        found.learn(parsed.numbers, parts)
        found.others[parsed.numbers] = np.bincount(others.to_numpy(), minlength=len(odd))
        found.usual[parsed.numbers] = ~odd

    def _of_topics(self, parts: Parts) -> pl.DataFrame:
        raw = parts.topics
        raw = raw.with_columns(
            *_moments(raw["last_posted_at"]), *_moments(raw["deleted_at"]), *_readings(raw["observed_at"]),
            self._communities(raw["category_id"]),
        )  # fmt: skip
        observed = pl.col("observed_at")
        odd = [
            *(pl.col(name).is_null() for name in _OF_TOPIC),
            pl.col("archetype") == "private_message",
            *(pl.col(f"{name}_odd") for name in ("last_posted_at", "deleted_at", "observed_at")),
            (observed > self._latest_us).fill_null(value=False),
            *(pl.col(name).str.contains("\0", literal=True) for name in ("title", "slug")),
        ]
        slug = pl.when(pl.col("slug") != "").then("slug").otherwise(pl.lit("-"))
        place = pl.format(f"https://{self._heads['site']}/t/{{}}/{{}}", slug, pl.col("id"))
        return raw.select(
            pl.col("id").cast(pl.String).alias("post_id"),
            pl.col("title", "views", "community"),
            place.alias("place"),
            observed.fill_null(self._observed_us) if self._observed_us is not None else observed,
            pl.col("deleted_at").is_not_null().alias("topic_deleted"),
            (pl.col("pinned").fill_null(value=False) | pl.col("pinned_globally").fill_null(value=False)).alias(
                "pinned"
            ),
            (pl.col("featured_link").fill_null("") == "").alias("is_text"),
            pl.col("is_post_voting").fill_null(value=False).alias("is_post_voting"),
            pl.col("solved"),
            (pl.any_horizontal(e.fill_null(value=False) for e in odd) | pl.Series(parts.odd)).alias(_ODD),
        )

    def _communities(self, categories: pl.Series) -> pl.Series:
        known = categories.unique()
        names = [self._names.get(number or 0) or f"category-{number or 'none'}" for number in known]
        lower = pl.Series([name.lower() for name in names], dtype=pl.String)
        return categories.replace_strict(known, lower).alias("community")

    def _of_posts(self, parts: Parts, topics: pl.DataFrame, text: bytes) -> pl.DataFrame:
        """All posts, in columns that questions and answers share."""
        line = np.repeat(np.arange(len(parts.counts)), parts.counts)
        raw = parts.posts.with_columns(
            *_moments(parts.posts["created_at"]),
            *_moments(parts.posts["deleted_at"]),
            *(pl.col(name).fill_null(value=False) for name in _FLAGS),
            pl.coalesce("raw", "cooked").alias("text"),
            pl.when(pl.col("raw").is_null()).then(pl.lit("html")).otherwise(pl.lit("markdown")).alias("body_format"),
            pl.Series(LINE, line, pl.UInt32),
            *topics.drop(_ODD)[line],
        )
        raw = raw.with_columns(self._states(raw), *self._users(raw["username"]))
        number = pl.col("post_number")
        return raw.select(
            *(pl.lit(value).alias(name) for name, value in self._heads.items()),
            pl.col("community", "post_id", "created_at", "body_format", "state", "observed_at", "reads"),
            pl.when(pl.col("state") == "live").then(pl.col("text").fill_null("")).otherwise(pl.lit("")).alias("body"),
            *_votes(),
            pl.col("username").alias("author"),
            pl.col("user_id").cast(pl.String).alias("author_id"),
            pl.col("author_url"),
            pl.col("username").is_null().alias("author_deleted"),
            _role(),
            pl.when(number == 1).then("place").otherwise(pl.format("{}/{}", "place", number)).alias("url"),
            pl.lit(None, pl.String).alias("license"),
            (pl.col("version") > 1).alias("edited"),
            pl.col("title", "views", "topic_deleted", "pinned", "is_text", "post_number", LINE),
            pl.col("id").cast(pl.String).alias("answer_id"),
            (pl.col("accepted_answer") | (number == pl.col("solved")).fill_null(value=False)).alias("accepted"),
            ((number != 1) & (pl.col("post_type") == REGULAR) & pl.col("reply_to_post_number").fill_null(1).eq(1))
            .fill_null(value=False).alias("direct"),
            self._odd_posts(raw, text).alias(_ODD),
        )  # fmt: skip

    def _odd_posts(self, raw: pl.DataFrame, text: bytes) -> pl.Expr:
        """Whether a post has a value that the careful way must look at; `text` is that of the lines."""
        unsaid = [name for name in _SAID if text.count(f'"{name}":'.encode()) != raw.height]
        odd = [
            *(pl.col(name).is_null() for name in _OF_POST),
            *(pl.col(name).is_null() for name in unsaid),
            pl.col("created_at").is_null() | (pl.col("created_at") > self._latest_us),
            pl.col("deleted_at_odd"),
            pl.col("uncounted"),
            *(pl.col(name).str.contains("\0", literal=True) for name in ("text", "username")),
            pl.struct(LINE, "id").is_duplicated(),
        ]
        return pl.any_horizontal(e.fill_null(value=False) for e in odd)

    def _states(self, raw: pl.DataFrame) -> pl.Series:
        """What became of each post, by its marks or by a notice in place of its text."""
        marked = raw.select(
            pl.when("user_deleted").then(pl.lit("deleted"))
            .when(pl.col("hidden") | pl.col("deleted_at").is_not_null()).then(pl.lit("removed"))
            .otherwise(pl.lit("live")).alias("state")
        ).to_series()  # fmt: skip
        short = (raw["text"].str.len_chars() <= LONGEST).fill_null(value=False)
        texts = raw.select(LINE, "text", "body_format").with_row_index("at").filter(short & (marked == "live"))
        shown = pl.col("text").str.replace_all(_TAG, "")
        doubtful = texts.filter(shown.str.contains(_NOTICE) | pl.col("text").str.contains(_CODED, literal=True))
        told = {
            at: state
            for at, text, kind in doubtful.select("at", "text", "body_format").iter_rows()
            if (state := notice_state("discourse", text, html=kind == "html"))
        }
        return marked.scatter(list(told), list(told.values())) if told else marked

    def _users(self, names: pl.Series) -> list[pl.Series]:
        """The addresses of people's pages."""
        address = f"https://{self._heads['site']}/u/"
        urls = address + names
        odd = (~names.str.contains(_PLAIN_NAME)).fill_null(value=False)
        if odd.any():
            urls = urls.scatter(odd.arg_true(), [address + quote(name) for name in names.filter(odd)])
        return [urls.alias("author_url")]


def _votes() -> list[pl.Expr]:
    """The score of a post, and its votes either way where they are told apart."""
    voted = pl.col("is_post_voting") | pl.col("post_voting_vote_count").is_not_null()
    apart = pl.col("reactions") & ~voted
    return [
        pl.when(voted).then("post_voting_vote_count").otherwise("likes").alias("score"),
        pl.when(apart).then("likes").alias("upvotes"),
        pl.when(apart).then("downs").alias("downvotes"),
    ]


def _role() -> pl.Expr:
    """What a post's author is in the forum."""
    return (
        pl.when((pl.col("post_type") != REGULAR) | (pl.col("user_id") < 0)).then(pl.lit("bot"))
        .when("admin").then(pl.lit("admin"))
        .when("moderator").then(pl.lit("moderator"))
        .otherwise(pl.lit("member")).alias("author_role")
    )  # fmt: skip


def _questions(posts: pl.DataFrame) -> pl.DataFrame:
    found = posts.filter(pl.col("post_number") == 1)
    gone = pl.col("topic_deleted") & (pl.col("state") == "live")
    rows = found.select(
        pl.exclude("body", "state", "topic_deleted", "pinned", "post_number", "direct", "answer_id", "accepted"),
        pl.when(gone).then(pl.lit("removed")).otherwise("state").alias("state"),
        pl.when(gone).then(pl.lit("")).otherwise("body").alias("body"),
        pl.col("pinned").alias("stickied"),
        nsfw=pl.lit(value=False),
        upvote_ratio=pl.lit(None, pl.Float64),
    )
    return _checked(rows, pl.col(LINE).is_duplicated())


def _answers(posts: pl.DataFrame) -> pl.DataFrame:
    rows = posts.filter("direct").select(
        pl.exclude("title", "views", "topic_deleted", "pinned", "is_text", "post_number", "direct"),
        stickied=pl.lit(value=False),
        by_post_author=pl.lit(value=False),
        accepted_at=pl.lit(None, pl.Int64),
    )
    return _checked(rows, pl.lit(value=False))


def _checked(rows: pl.DataFrame, odd: pl.Expr) -> pl.DataFrame:
    """The rows with the characters of each body, and whether one of them cannot be stored."""
    html = rows["body_format"] == "html"
    lengths = visible_lengths(rows["body"], "html" if html.all() else "markdown")
    if html.any() and not html.all():
        lengths = lengths.scatter(html.arg_true(), visible_lengths(rows["body"].filter(html), "html"))
    rows = rows.with_columns(lengths.alias("body_chars"))
    return rows.with_columns((pl.col(_ODD) | odd | out_of_bounds(rows.drop(_ODD, LINE)).is_not_null()).alias(_ODD))


def _moments(said: pl.Series) -> list[pl.Series]:
    """Times as microseconds since 1970, null where there is none, and `<name>_odd`: whether one is no usual time."""
    if said.null_count() == len(said):
        return [none_of(said.name, len(said), pl.Int64), never(said.name, len(said))]
    found = iso_us(said, zone=True)
    return [found, (found.is_null() & said.is_not_null()).alias(f"{said.name}_odd")]


def _readings(said: pl.Series) -> list[pl.Series]:
    """The times of reading, in words or in seconds, likewise; some values stand for an unknown one."""
    return seconds_as_us(said) if said.dtype == pl.Float64 else words_us(said)


def _lines_at(lines: Lines, places: Numbers) -> Numbers:
    """The numbers of the lines in which places of their text are."""
    return np.unique(np.searchsorted(lines.starts, places, side="right") - 1)
