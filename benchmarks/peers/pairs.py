"""SHP's pairs from posts and direct replies in Parquet: pandas with itertools.combinations, polars, or DuckDB.

All three apply the rule `shp` as far as the generated dumps can tell (docs/rules.md): posts that are text, not nsfw,
with a score of 10 or more; answers with a score of 2 or more, not by the asker, at most the 50 best of a post; the
winner has the higher score and is not older. What never occurs in these dumps (deletions, edits, moderators, bots,
pinned answers, scores read early) is not looked at, so a peer does less work than the product and not more.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MIN_POST_SCORE = 10
MIN_ANSWER_SCORE = 2
MAX_ANSWERS = 50
PAIRS_A_FILE = 100_000

Record = dict[Any, Any]

POST_COLUMNS = ["id", "subreddit", "author", "score", "title", "selftext", "is_self", "over_18"]
ANSWER_COLUMNS = ["id", "link_id", "author", "score", "created_utc", "body"]


def from_pandas(folder: Path, out: Path, communities: Sequence[str], careful: bool = False) -> None:
    """Read what the naive import wrote, then `pandas_pairs`."""
    import pandas as pd  # noqa: PLC0415

    wanted = [("subreddit", "in", list(communities))] if communities else None
    posts = pd.read_parquet(folder / "posts", columns=POST_COLUMNS, filters=wanted)
    answers = pd.read_parquet(folder / "answers", columns=ANSWER_COLUMNS, filters=wanted)
    pandas_pairs(posts, answers, out, careful)


def pandas_pairs(posts: pd.DataFrame, answers: pd.DataFrame, out: Path, careful: bool) -> None:
    """Combinations in Python for each post, a dict for each pair, Parquet files of 100,000 pairs under `out`.

    The common form takes a frame for each post out of a groupby; the careful one turns all answers into dicts at once.
    """
    import pandas as pd  # noqa: PLC0415

    posts = posts[posts["is_self"] & ~posts["over_18"] & (posts["score"] >= MIN_POST_SCORE)]
    answers = answers.assign(post_id=answers["link_id"].str[3:])
    joined = answers.merge(posts, left_on="post_id", right_on="id", suffixes=("", "_post"))
    joined = joined[(joined["score"] >= MIN_ANSWER_SCORE) & (joined["author"] != joined["author_post"])]
    joined = joined.sort_values(["score", "created_utc", "id"], ascending=[False, True, True])
    joined = joined.groupby("post_id").head(MAX_ANSWERS).sort_values(["post_id", "created_utc", "id"])
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    files = 0
    for post_id, own in (_threads_from_records if careful else _threads_from_frames)(joined):
        for earlier, later in itertools.combinations(own, 2):
            if earlier["score"] == later["score"]:
                continue
            winner, loser = (earlier, later) if earlier["score"] > later["score"] else (later, earlier)
            if winner["created_utc"] < loser["created_utc"]:
                continue
            rows.append(_pair(post_id, winner, loser))
        if len(rows) >= PAIRS_A_FILE:
            pd.DataFrame(rows).to_parquet(out / f"pairs-{files:05}.parquet")
            files += 1
            rows.clear()
    if rows:
        pd.DataFrame(rows).to_parquet(out / f"pairs-{files:05}.parquet")


def _threads_from_frames(answers: pd.DataFrame) -> Iterator[tuple[Any, Iterable[Record]]]:
    for post_id, own in answers.groupby("post_id"):
        yield post_id, own.to_dict("records")


def _threads_from_records(answers: pd.DataFrame) -> Iterator[tuple[Any, Iterable[Record]]]:
    yield from itertools.groupby(answers.to_dict("records"), key=lambda answer: answer["post_id"])


def _pair(post_id: Any, winner: Record, loser: Record) -> dict[str, Any]:
    return {
        "post_id": post_id,
        "community": winner["subreddit"],
        "question": winner["title"].strip() + "\n\n" + winner["selftext"],
        "chosen": winner["body"],
        "rejected": loser["body"],
        "chosen_id": winner["id"],
        "rejected_id": loser["id"],
        "chosen_score": winner["score"],
        "rejected_score": loser["score"],
        "seconds_difference": winner["created_utc"] - loser["created_utc"],
    }


def from_polars(folder: Path, out: Path, communities: Sequence[str]) -> None:
    """A self-join on the post, on keys only; the texts are joined to the finished pairs."""
    import polars as pl  # noqa: PLC0415

    posts = pl.scan_parquet(folder / "posts").filter("is_self", ~pl.col("over_18"), pl.col("score") >= MIN_POST_SCORE)
    answers = pl.scan_parquet(folder / "answers")
    if communities:
        posts = posts.filter(pl.col("subreddit").is_in(list(communities)))
        answers = answers.filter(pl.col("subreddit").is_in(list(communities)))
    keys = (
        answers.filter(pl.col("score") >= MIN_ANSWER_SCORE)
        .select("id", "author", "score", "created_utc", post_id=pl.col("link_id").str.slice(3))
        .join(posts.select(post_id="id", asker="author"), on="post_id")
        .filter(pl.col("author") != pl.col("asker"))
        .sort("score", "created_utc", "id", descending=[True, False, False])
        .group_by("post_id", maintain_order=True)
        .head(MAX_ANSWERS)
        .select("post_id", "id", "score", "created_utc")
        .collect()
        .lazy()
    )
    chosen, rejected = keys.rename(lambda c: _side("chosen", c)), keys.rename(lambda c: _side("rejected", c))
    pairs = chosen.join(rejected, on="post_id").filter(
        pl.col("chosen_score") > pl.col("rejected_score"),
        pl.col("chosen_created_utc") >= pl.col("rejected_created_utc"),
    )
    texts = answers.select("id", "body")
    question = pl.concat_str(pl.col("title").str.strip_chars(), pl.lit("\n\n"), "selftext")
    questions = posts.select("id", community="subreddit", question=question)
    out.mkdir(parents=True, exist_ok=True)
    (
        pairs.join(questions, left_on="post_id", right_on="id")
        .join(texts.rename({"body": "chosen"}), left_on="chosen_id", right_on="id")
        .join(texts.rename({"body": "rejected"}), left_on="rejected_id", right_on="id")
        .with_columns(seconds_difference=pl.col("chosen_created_utc") - pl.col("rejected_created_utc"))
        .drop("chosen_created_utc", "rejected_created_utc")
        .sink_parquet(out / "pairs.parquet")
    )


def _side(side: str, column: str) -> str:
    return column if column == "post_id" else f"{side}_{column}"


def from_duckdb(folder: Path, out: Path, communities: Sequence[str]) -> None:
    """The same self-join in SQL."""
    import duckdb  # noqa: PLC0415

    out.mkdir(parents=True, exist_ok=True)
    names = ", ".join(f"'{name}'" for name in communities)
    where = f"AND subreddit IN ({names})" if communities else ""
    duckdb.sql(f"""
        COPY (
            WITH posts AS (
                SELECT * FROM '{folder}/posts/*.parquet'
                WHERE is_self AND NOT over_18 AND score >= {MIN_POST_SCORE} {where}
            ), eligible AS (
                SELECT a.id, p.id AS post_id, a.score, a.created_utc
                FROM '{folder}/answers/*.parquet' a JOIN posts p ON a.link_id = 't3_' || p.id
                WHERE a.score >= {MIN_ANSWER_SCORE} AND a.author <> p.author
                QUALIFY row_number() OVER (PARTITION BY p.id ORDER BY a.score DESC, a.created_utc, a.id)
                    <= {MAX_ANSWERS}
            ), texts AS (
                SELECT id, body FROM '{folder}/answers/*.parquet'
            )
            SELECT w.post_id, p.subreddit AS community,
                   trim(p.title, ' \n') || '\n\n' || p.selftext AS question,
                   tw.body AS chosen, tl.body AS rejected, w.id AS chosen_id, l.id AS rejected_id,
                   w.score AS chosen_score, l.score AS rejected_score,
                   w.created_utc - l.created_utc AS seconds_difference
            FROM eligible w
            JOIN eligible l ON w.post_id = l.post_id AND w.score > l.score AND w.created_utc >= l.created_utc
            JOIN posts p ON p.id = w.post_id
            JOIN texts tw ON tw.id = w.id
            JOIN texts tl ON tl.id = l.id
        ) TO '{out}/pairs.parquet' (FORMAT parquet)
    """)


ENGINES: dict[str, Callable[[Path, Path, Sequence[str]], None]] = {
    "pandas": from_pandas,
    "pandas-careful": partial(from_pandas, careful=True),
    "polars": from_polars,
    "duckdb": from_duckdb,
}


def main() -> None:
    """Read the command line and make the pairs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--engine", choices=sorted(ENGINES), required=True)
    options.add_argument("--community", action="append", default=[])
    options.add_argument("folder", type=Path)
    options.add_argument("out", type=Path)
    given = options.parse_args()
    ENGINES[given.engine](given.folder, given.out, given.community)


if __name__ == "__main__":
    main()
