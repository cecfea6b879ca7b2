"""Whom an asker thanks: direct replies of the asker that say thanks and name the people whose answers they thank for.

A store holds the direct replies to a post and no replies to those. So thanks that are written below an answer are not
seen, and a direct reply says whom it thanks only where it names them: by a mention (@name, u/name) or a quote.
"""

from __future__ import annotations

import re

import polars as pl

from shp_miner.lab.threads import KEY, Threads

#: English alone: no word list of this kind is known to hold for every language.
_THANKS = re.compile(r"\b(?:thanks|thank (?:you|u)|thx|many thanks)\b(?! in advance)", re.IGNORECASE)

#: What others said, and code: HTML and Markdown, as forums give them.
_QUOTED = re.compile(
    r"<blockquote\b.*?</blockquote>|<(?:pre|code)\b.*?</(?:pre|code)>|\[quote=.*?\[/quote\]|^\s*>.*?$|```.*?```",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)

#: What may stand before a name. The name ends where no more characters of a name follow.
_BEFORE = r'(?:@|\bu/|data-username="|\[quote="|>\s*)'


def names_in(body: str, names: list[str]) -> list[str]:
    """Return the names that a text mentions or quotes, as they are given; case does not matter."""
    return [
        name for name in names if re.search(rf"{_BEFORE}{re.escape(name)}(?![\w-])(?!\.\w)", body, flags=re.IGNORECASE)
    ]


def says_thanks(body: str) -> bool:
    """Whether a text says thanks in English outside of quotes and code."""
    return bool(_THANKS.search(_QUOTED.sub(" ", body)))


def thanked_answers(threads: Threads) -> tuple[pl.DataFrame, int, int]:
    """Return the answers that their asker thanked for: KEY and `thanked_at`; the thanks seen, and those naming nobody.

    An answer is thanked where its author is named and it was there before the thanks; of several answers of a person
    the last one before.
    """
    own = _of_askers(threads)
    bodies = threads.snapshot.bodies("answers", threads.part, own).select(*KEY, "created_at", "body")
    thanks = bodies.filter(pl.Series([says_thanks(body or "") for body in bodies["body"].to_list()], dtype=pl.Boolean))
    others = threads.answers.join(own.select(KEY), on=KEY, how="anti").filter(pl.col("author").is_not_null())
    people = others.group_by(KEY[:3]).agg(pl.col("author").unique().sort())
    names = {tuple(key): found for *key, found in people.rows()}
    rows = []
    unnamed = 0
    for *key, _, thanked_at, body in thanks.rows():
        found = names_in(body, names.get(tuple(key), []))
        rows += [(*key, name, thanked_at) for name in found]
        unnamed += not found
    named = pl.DataFrame(
        rows,
        schema={
            **{name: threads.answers.schema[name] for name in (*KEY[:3], "author")},
            "thanked_at": threads.answers.schema["created_at"],
        },
        orient="row",
    )
    before = others.join(named, on=[*KEY[:3], "author"]).filter(pl.col("created_at") <= pl.col("thanked_at"))
    last = before.sort(*KEY, "thanked_at").sort("created_at", "answer_id", maintain_order=True)
    last = last.unique([*KEY[:3], "author", "thanked_at"], keep="last", maintain_order=True)
    return last.select(*KEY, "thanked_at").sort(*KEY, "thanked_at").unique(KEY, keep="first"), thanks.height, unnamed


def _of_askers(threads: Threads) -> pl.DataFrame:
    """The live direct replies that the askers wrote themselves."""
    asked = threads.posts.select(*KEY[:3], asker="author", asker_id="author_id")
    joined = threads.answers.filter(pl.col("state") == "live").join(asked, on=KEY[:3])
    same = pl.coalesce(pl.col("author_id") == pl.col("asker_id"), pl.col("author") == pl.col("asker"))
    return joined.filter(pl.col("by_post_author") | same.fill_null(value=False)).drop("asker", "asker_id")
