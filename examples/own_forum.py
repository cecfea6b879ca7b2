"""Turn two tables of an own forum into preference pairs.

    python examples/own_forum.py [POSTS.csv ANSWERS.csv]

Without files it reads the two small ones of examples/own_forum. The store and the export go to own-forum/ in the
current folder. For your own tables, change SITE and the names on the left of RENAMED_POSTS and RENAMED_ANSWERS.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

import shp_miner

SITE = "forum.example"
OUT = Path("own-forum")
MADE_UP = Path(__file__).parent / "own_forum"

#: The tables' names of columns, and ours (docs/threads.md lists them all).
RENAMED_POSTS = {
    "id": "post_id",
    "category": "community",
    "subject": "title",
    "text": "body",
    "written": "created_at",
    "likes": "score",
    "collected": "observed_at",
}
RENAMED_ANSWERS = {
    "id": "answer_id",
    "question": "post_id",
    "text": "body",
    "written": "created_at",
    "likes": "score",
    "collected": "observed_at",
}


def table(path: Path, renamed: dict[str, str]) -> pl.DataFrame:
    """Return the rows of a CSV file with our names of columns. Its times are UTC."""
    times = pl.col("created_at", "observed_at").str.to_datetime(time_zone="UTC")
    return pl.read_csv(path).select(*renamed).rename(renamed).with_columns(times)


def main(posts: Path, answers: Path) -> None:
    """Import both files, export the pairs of the rule shp, and print them."""
    store = shp_miner.Store(OUT / "store")
    imported = shp_miner.import_frames(table(posts, RENAMED_POSTS), table(answers, RENAMED_ANSWERS), store, site=SITE)
    print(imported)
    exported = shp_miner.export_dataset(store, OUT / "pairs", rule="shp")
    print(exported)
    for row in shp_miner.load(exported.out):
        better, worse = (row["answer1"], row["answer2"]) if row["preferred"] == 1 else (row["answer2"], row["answer1"])
        title = row["question"].partition("\n")[0]
        print(f"\n{title}\n  better: {better}\n  worse:  {worse}\n  P(label is right): {row['confidence']:.2f}")


if __name__ == "__main__":
    files = [Path(name) for name in sys.argv[1:]] or [MADE_UP / "posts.csv", MADE_UP / "answers.csv"]
    main(*files)
