"""Timed readings of a Discourse forum's like counts as threads that shp-miner imports.

    python -m benchmarks.like_snapshots SNAPSHOTS.ndjson.zst THREADS.jsonl.zst

The input has one reading of one post a line: `observed_at` (seconds since 1970), `id`, `topic_id`, `post_number`,
`created_at` (ISO 8601) and `likes`; other keys are ignored. It knows no texts, authors and replies. So the first post
of a topic stands for the question and all others for its answers, every text is a placeholder, and the asker's own
replies count as answers. Topics whose first post is missing are left out.

In the threads layout a thread that comes again is a later reading of it: the n-th record of a topic holds the n-th
reading of each of its posts, each with its own time (the question's last one where that has fewer).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from shp_miner.dumps.compressed import ignore_progress
from shp_miner.dumps.whole_lines import decompressed_lines
from shp_miner.tally import Tally

#: The store needs some text; all are alike, so that nothing can be learned of it.
TEXT = "(no text)"

Reading = dict[str, Any]


def readings(path: Path, tally: Tally) -> dict[int, dict[int, list[Reading]]]:
    """The readings in the order of time, by topic and post number; one for each time."""
    topics: dict[int, dict[int, dict[int, Reading]]] = {}
    for _, line in decompressed_lines(path, tally, ignore_progress):
        one = json.loads(line)
        topics.setdefault(one["topic_id"], {}).setdefault(one["post_number"], {})[one["observed_at"]] = one
    return {
        topic: {number: [by_time[time] for time in sorted(by_time)] for number, by_time in sorted(posts.items())}
        for topic, posts in sorted(topics.items())
    }


def threads(topics: dict[int, dict[int, list[Reading]]], site: str) -> Iterator[Reading]:
    """Records of the threads layout."""
    for topic, posts in topics.items():
        if 1 not in posts:
            continue
        for turn in range(max(map(len, posts.values()))):
            question = posts[1][min(turn, len(posts[1]) - 1)]
            yield {
                "site": site,
                "community": "all",
                "post_id": topic,
                "title": TEXT,
                "body": TEXT,
                **_seen(question),
                "answers": [
                    {"answer_id": of_post[turn]["id"], "body": TEXT, **_seen(of_post[turn])}
                    for number, of_post in posts.items()
                    if number != 1 and turn < len(of_post)
                ],
            }


def _seen(reading: Reading) -> Reading:
    return {"created_at": reading["created_at"], "score": reading["likes"], "observed_at": reading["observed_at"]}


def main() -> int:
    """Run as a command; 1 where the input breaks off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("snapshots", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--site", default="forum.example", help="the forum's host")
    options = parser.parse_args()
    tally = Tally()
    topics = readings(options.snapshots, tally)
    written = [json.dumps(record).encode() + b"\n" for record in threads(topics, options.site)]
    options.out.write_bytes(zstandard.compress(b"".join(written)))
    sys.stdout.write(f"{len(topics)} topics, {len(written)} records\n")
    for damage in tally.damages:
        sys.stderr.write(damage.sentence() + "\n")
    return 1 if tally.damages else 0


if __name__ == "__main__":
    sys.exit(main())
