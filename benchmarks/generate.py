"""Realistic Reddit dump files of any size: the fields, sizes and tails of the real ones, and no real content.

A comment has 45 fields and about 1.4 kB; communities follow a Zipf law, scores and answers a thread have heavy tails,
about 40 % of comments are direct replies. Files are zstd with a long window, as the archives publish them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.decompress import zstd

T0 = 1_600_000_000
MONTH_S = 30 * 86_400
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
#: Share of comments that answer the post itself, as in whole months of Reddit.
DIRECT = 0.4
COMMENTS_A_POST = 12

#: The fields that say nothing to us but must be stepped over; about two thirds of a real comment's bytes.
FILLER: dict[str, Any] = {
    "all_awardings": [], "approved_at_utc": None, "archived": False, "associated_award": None,
    "author_flair_css_class": None, "author_flair_richtext": [], "author_flair_text": None, "author_flair_type": "text",
    "author_patreon_flair": False, "author_premium": False, "awarders": [], "banned_at_utc": None, "can_gild": True,
    "can_mod_post": False, "collapsed": False, "collapsed_reason": None, "controversiality": 0, "gilded": 0,
    "gildings": {}, "is_submitter": False, "locked": False, "no_follow": True, "removal_reason": None,
    "send_replies": True, "stickied": False, "total_awards_received": 0, "treatment_tags": [], "edited": False,
    "distinguished": None, "score_hidden": False,
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much to make: comments, communities, and words of the vocabulary. Ids count from `first`."""

    comments: int
    communities: int = 2_000
    words: int = 30_000
    first: int = 0


def generate(folder: Path, size: Size, seed: int = 0, window_log: int = 31) -> dict[str, int]:
    """Write RS_bench.zst and RC_bench.zst under `folder`; returns raw bytes by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    posts = max(size.comments // COMMENTS_A_POST, 1)
    zipf = 1 / np.arange(1, size.communities + 1)
    community = rng.choice(size.communities, posts, p=zipf / zipf.sum())
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    words = ["".join(letters[np.minimum(rng.zipf(1.4, rng.integers(2, 11)) - 1, 25)]) for _ in range(size.words)]
    vocabulary = np.array(words, dtype=object)
    created = T0 + np.sort(rng.integers(0, MONTH_S, posts))
    raw = {}
    raw["RS_bench.zst"] = _write(
        folder / "RS_bench.zst",
        (_submission(size.first + i, int(community[i]), int(created[i]), rng, vocabulary) for i in range(posts)),
        window_log,
    )
    # Threads have heavy tails: few posts get most comments.
    weight = rng.pareto(1.2, posts) + 0.05
    owner = np.sort(rng.choice(posts, size.comments, p=weight / weight.sum()))
    raw["RC_bench.zst"] = _write(
        folder / "RC_bench.zst",
        (
            _comment(size.first + i, size.first + int(p), int(community[p]), int(created[p]), rng, vocabulary)
            for i, p in enumerate(owner)
        ),
        window_log,
    )
    return raw


def _comment(number: int, post: int, community: int, created: int, rng: np.random.Generator, words: Any) -> bytes:
    direct = rng.random() < DIRECT
    name, post_name = base36(40_000_000_000 + number), base36(1_000_000_000 + post)
    author = f"user_{int(rng.zipf(1.3)) % 500_000}"
    record = {
        **FILLER,
        "author": author,
        "author_fullname": f"t2_{abs(hash_of(author)):x}",
        "author_created_utc": T0 - 100_000,
        "body": text(rng, words, 60),
        "created_utc": created + int(rng.exponential(40_000)) + 60,
        "id": name,
        "link_id": f"t3_{post_name}",
        "name": f"t1_{name}",
        "parent_id": f"t3_{post_name}" if direct else f"t1_{base36(40_000_000_000 + max(number - 1, 0))}",
        "permalink": f"/r/{subreddit(community)}/comments/{post_name}/a_title_of_some_words_for_this_post/{name}/",
        "retrieved_on": created + 40 * 86_400,
        "score": score(rng),
        "subreddit": subreddit(community),
        "subreddit_id": f"t5_{community:x}",
        "subreddit_name_prefixed": f"r/{subreddit(community)}",
    }
    return json.dumps(record, separators=(",", ":")).encode()


def _submission(number: int, community: int, created: int, rng: np.random.Generator, words: Any) -> bytes:
    name = base36(1_000_000_000 + number)
    is_self = rng.random() < 0.6
    record = {
        **FILLER,
        "author": f"user_{int(rng.zipf(1.3)) % 500_000}",
        "created_utc": created,
        "domain": f"self.{subreddit(community)}" if is_self else "example.org",
        "id": name,
        "is_self": is_self,
        "num_comments": COMMENTS_A_POST,
        "over_18": bool(rng.random() < 0.05),
        "permalink": f"/r/{subreddit(community)}/comments/{name}/a_title_of_some_words_for_this_post/",
        "retrieved_on": created + 40 * 86_400,
        "score": score(rng) * 10,
        "selftext": text(rng, words, 120) if is_self else "",
        "subreddit": subreddit(community),
        "title": text(rng, words, 10)[:280] or "untitled",
        "upvote_ratio": 0.93,
        "url": f"https://www.example.org/{name}",
    }
    return json.dumps(record, separators=(",", ":")).encode()


def subreddit(community: int) -> str:
    """Names as Reddit has them: mixed case, the number makes them different."""
    return f"AskBench{community}"


def text(rng: np.random.Generator, words: Any, mean: int) -> str:
    """Some words, log-normal in number, with a Zipf law and paragraphs."""
    count = int(min(rng.lognormal(np.log(mean * 0.6), 1.0), 2_000)) + 1
    chosen = words[np.minimum(rng.zipf(1.25, count) - 1, len(words) - 1)]
    return "\n\n".join(" ".join(chosen[i : i + 60]) for i in range(0, count, 60))


def score(rng: np.random.Generator) -> int:
    """A score with a heavy tail; some are below the start."""
    return int(min(rng.pareto(1.1) * 2, 50_000)) + 1 - int(rng.random() < 0.08) * 3


def base36(value: int) -> str:
    """The number in Reddit's digits."""
    digits = ""
    while value:
        value, rest = divmod(value, 36)
        digits = DIGITS[rest] + digits
    return digits


def hash_of(name: str) -> int:
    """A number for a name that is the same in every process."""
    return int.from_bytes(name.encode()[-6:], "big")


def _write(path: Path, lines: Any, window_log: int) -> int:
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {
        parameter.compression_level: 3,
        parameter.window_log: window_log,
        parameter.enable_long_distance_matching: 1,
    }
    raw, held = 0, bytearray()
    with zstd.ZstdFile(path, "w", options=options) as file:
        for line in lines:
            held += line + b"\n"
            if len(held) > 4_000_000:
                raw += len(held)
                file.write(bytes(held))
                held.clear()
        raw += len(held)
        file.write(bytes(held))
    return raw


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--comments", default=1_500_000, show_default=True, help="Comments; 1.5 million are 2.1 GB.")
@click.option("--seed", default=0, show_default=True)
@click.option("--window-log", default=31, show_default=True)
def main(folder: Path, comments: int, seed: int, window_log: int) -> None:
    """Write RS_bench.zst and RC_bench.zst to FOLDER."""
    for name, raw in generate(folder, Size(comments), seed, window_log).items():
        click.echo(f"{name}: {raw:,} bytes raw, {(folder / name).stat().st_size:,} compressed")


if __name__ == "__main__":
    main()
