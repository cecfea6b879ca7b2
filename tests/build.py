"""Small inputs for tests: Reddit records, dump files, and rows of the model."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from shp_miner.dumps.compressed import zstd
from shp_miner.model import ANSWER, POST
from shp_miner.platforms.rows import Chunk, Rows

#: Creation time of the first post, and when everything was read (a month later), in seconds.
T0 = 1_600_000_000
READ = T0 + 40 * 86_400

_COMPRESS = {
    "": lambda data: data,
    ".zst": zstd.compress,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def submission(post_id: str = "p1", **changes: Any) -> dict[str, Any]:
    return {
        "id": post_id,
        "subreddit": "AskTest",
        "title": f"Question {post_id}?",
        "selftext": "Some detail.",
        "author": "asker",
        "created_utc": T0,
        "retrieved_on": READ,
        "score": 100,
        "upvote_ratio": 0.95,
        "over_18": False,
        "is_self": True,
        "edited": False,
        "permalink": f"/r/AskTest/comments/{post_id}/question/",
        **changes,
    }


def comment(answer_id: str, post_id: str = "p1", **changes: Any) -> dict[str, Any]:
    return {
        "id": answer_id,
        "link_id": f"t3_{post_id}",
        "parent_id": f"t3_{post_id}",
        "subreddit": "AskTest",
        "author": f"writer-{answer_id}",
        "body": f"Answer {answer_id}.",
        "created_utc": T0 + 60,
        "retrieved_on": READ,
        "score": 5,
        "edited": False,
        **changes,
    }


def thread(post_id: str = "p1", scores: Iterable[int] = (3, 9, 5), **changes: Any) -> list[dict[str, Any]]:
    """A submission and comments with these scores, a minute apart."""
    comments = [
        comment(f"{post_id}c{i}", post_id, score=score, created_utc=T0 + 60 * i, **changes)
        for i, score in enumerate(scores, start=1)
    ]
    return [submission(post_id, **changes), *comments]


def write_dump(path: Path, records: Iterable[Any]) -> Path:
    """Write records (strings and bytes as they are) as lines, compressed as the name says."""
    lines = [
        record
        if isinstance(record, bytes)
        else record.encode()
        if isinstance(record, str)
        else json.dumps(record).encode()
        for record in records
    ]
    path.write_bytes(
        _COMPRESS[path.suffix if path.suffix in _COMPRESS else ""](b"".join(line + b"\n" for line in lines))
    )
    return path


def write_month(
    folder: Path, records: Iterable[dict[str, Any]], suffix: str = ".zst", name: str = "2020-09"
) -> list[Path]:
    """The records as one RS and one RC file."""
    records = list(records)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_dump(folder / f"RS_{name}{suffix}", [r for r in records if "title" in r]),
        write_dump(folder / f"RC_{name}{suffix}", [r for r in records if "title" not in r]),
    ]


def post_row(**changes: Any) -> dict[str, Any]:
    """Every column of POST that a source fills in. Times are microseconds."""
    return {
        **_shared_row(),
        "title": "A question?",
        "is_text": True,
        "nsfw": False,
        "upvote_ratio": 0.9,
        "score": 100,
        **changes,
    }


def answer_row(answer_id: str, **changes: Any) -> dict[str, Any]:
    """Every column of ANSWER that a source fills in."""
    return {
        **_shared_row(),
        "answer_id": answer_id,
        "author": f"writer-{answer_id}",
        "body": f"Answer {answer_id}.",
        "by_post_author": False,
        "accepted": False,
        "score": 5,
        "created_at": (T0 + 60) * 1_000_000,
        **changes,
    }


def _shared_row() -> dict[str, Any]:
    return {
        "source": "reddit-dump",
        "platform": "reddit",
        "site": "reddit.com",
        "community": "asktest",
        "post_id": "p1",
        "created_at": T0 * 1_000_000,
        "body": "Some detail.",
        "body_format": "reddit",
        "body_chars": 11,
        "author": "asker",
        "author_id": None,
        "author_url": None,
        "author_deleted": False,
        "author_role": "member",
        "url": None,
        "license": None,
        "observed_at": READ * 1_000_000,
        "state": "live",
        "edited": False,
        "stickied": False,
    }


def chunk(posts: Iterable[dict[str, Any]], answers: Iterable[dict[str, Any]]) -> Chunk:
    """Rows of the model as a chunk for the store."""
    post_rows, answer_rows = Rows(POST), Rows(ANSWER)
    for row in posts:
        post_rows.add(**row)
    for row in answers:
        answer_rows.add(**row)
    return Chunk(post_rows.take(), answer_rows.take())


def frames(posts: Iterable[dict[str, Any]], answers: Iterable[dict[str, Any]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same rows as the frames that rules take."""
    rows = chunk(posts, answers)
    return pl.DataFrame(rows.posts), pl.DataFrame(rows.answers)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under a folder with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
