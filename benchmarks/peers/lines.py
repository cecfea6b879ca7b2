"""The script that people pass around: decompress, parse every line, keep what is wanted, make pairs with pandas.

`--parser json` is the common form (zstandard's stream_reader behind io.TextIOWrapper, json.loads). `--parser orjson` is
what a careful user makes of it: bytes instead of text, a large buffer, orjson.

With --community: the community's pairs. Without: every post and every direct reply, with the fields that rules need.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.peers.pairs import pandas_pairs

WINDOW_BYTES = 2**31
BUFFER_BYTES = 1 << 20
ROWS_A_FILE = 50_000

#: What docs/formats.md says is read, but for what the generated dumps never hold.
SHARED = ("id", "subreddit", "author", "score", "created_utc", "retrieved_on", "edited", "distinguished", "stickied")
POST_FIELDS = (*SHARED, "title", "selftext", "is_self", "domain", "over_18", "upvote_ratio", "permalink")
ANSWER_FIELDS = (*SHARED, "link_id", "body", "is_submitter", "score_hidden")

Record = dict[str, Any]


def records(path: Path, parser: str) -> Iterator[Record]:
    """Every record of a dump file; a file that does not end in .zst is read as plain lines."""
    with path.open("rb") as file:
        stream: Any = file
        if path.suffix == ".zst":
            # Imported late: the plain files of the peer that runs grep need no zstandard.
            import zstandard  # noqa: PLC0415

            stream = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).stream_reader(file)
        if parser == "json":
            yield from _parsed(io.TextIOWrapper(stream, encoding="utf-8"), json.loads)
        else:
            import orjson  # noqa: PLC0415

            yield from _parsed(io.BufferedReader(stream, BUFFER_BYTES), orjson.loads)


def _parsed(lines: Iterable[Any], loads: Callable[[Any], Record]) -> Iterator[Record]:
    for line in lines:
        yield loads(line)


def filtered(submissions: Path, comments: Path, out: Path, parser: str, community: str) -> None:
    """The pairs of one community as Parquet under `out`."""
    wanted = community.lower()
    posts = [
        {name: record[name] for name in POST_FIELDS}
        for record in records(submissions, parser)
        if record["subreddit"].lower() == wanted
    ]
    answers = [
        {name: record[name] for name in ANSWER_FIELDS}
        for record in records(comments, parser)
        if record["subreddit"].lower() == wanted and record["parent_id"] == record["link_id"]
    ]
    frames = pd.DataFrame(posts, columns=POST_FIELDS), pd.DataFrame(answers, columns=ANSWER_FIELDS)
    pandas_pairs(*frames, out, careful=parser != "json")


def everything(submissions: Path, comments: Path, out: Path, parser: str) -> None:
    """All posts and direct replies as Parquet files of 50,000 rows under `out`/posts and `out`/answers."""
    posts = ({name: record[name] for name in POST_FIELDS} for record in records(submissions, parser))
    answers = (
        {name: record[name] for name in ANSWER_FIELDS}
        for record in records(comments, parser)
        if record["parent_id"] == record["link_id"]
    )
    _write(posts, out / "posts")
    _write(answers, out / "answers")


def _write(rows: Iterable[Record], folder: Path) -> None:
    folder.mkdir(parents=True)
    held: list[Record] = []
    files = 0
    for row in rows:
        held.append(row)
        if len(held) == ROWS_A_FILE:
            pd.DataFrame(held).to_parquet(folder / f"{files:05}.parquet")
            files += 1
            held.clear()
    if held:
        pd.DataFrame(held).to_parquet(folder / f"{files:05}.parquet")


def main() -> None:
    """Read the command line and do one of the two."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--parser", choices=("json", "orjson"), required=True)
    options.add_argument("--community")
    options.add_argument("submissions", type=Path)
    options.add_argument("comments", type=Path)
    options.add_argument("out", type=Path)
    given = options.parse_args()
    if given.community:
        filtered(given.submissions, given.comments, given.out, given.parser, given.community)
    else:
        everything(given.submissions, given.comments, given.out, given.parser)


if __name__ == "__main__":
    main()
