"""The simulated forum as a file in the layout of `import threads`, and the truth about it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from shp_miner.forum.simulate import SITE, SimulatedThread, moment_from_s


def write_threads(threads: Iterable[SimulatedThread], path: Path, *, at: datetime | None = None) -> None:
    """Write the threads as JSONL, one per line, as of `at` (by default the time when their world is read).

    Items posted later are left out. The same threads give the same bytes.
    """
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for thread in threads:
            if at is None or thread.created_s <= at.timestamp():
                file.write(encode(_record(thread, at or thread.observed_at)) + b"\n")


def known_quality(threads: Iterable[SimulatedThread]) -> dict[tuple[str, str], float]:
    """The quality of every answer (in standard deviations) by (post_id, answer_id)."""
    return {(thread.post_id, answer.answer_id): answer.quality for thread in threads for answer in thread.answers}


def _record(thread: SimulatedThread, at: datetime) -> dict[str, Any]:
    """A thread in the layout of docs/threads.md. Nothing of the truth is in it."""
    seen = thread.at(at)
    url = f"https://{SITE}/t/{thread.post_id}"
    return {
        "site": SITE,
        "community": thread.community,
        "post_id": thread.post_id,
        "title": thread.title,
        "body": thread.body,
        "created_at": moment_from_s(thread.created_s),
        "score": seen.score,
        "upvotes": seen.up,
        "downvotes": seen.down,
        "upvote_ratio": seen.up / (seen.up + seen.down) if seen.up + seen.down else None,
        "observed_at": at,
        "author": thread.author,
        "url": url,
        "license": "CC0-1.0",
        "format": "markdown",
        "answers": [
            {
                "answer_id": item.answer.answer_id,
                "body": item.answer.text,
                "created_at": moment_from_s(item.answer.created_s),
                "score": item.score,
                "upvotes": item.up,
                "downvotes": item.down,
                "author": item.answer.author,
                "url": f"{url}#{item.answer.answer_id}",
            }
            for item in seen.answers
        ],
    }
