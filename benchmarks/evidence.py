"""What a run produced, as a few numbers that must be the same for everybody who did the same work.

Run as a module (`pairs FOLDER` or `rows FOLDER`) it prints them as one JSON object. It is a process of its own so that
the process that measures stays small, and it is not part of what is measured.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import polars as pl


def pairs(folder: Path) -> dict[str, Any]:
    """Of an export of the product, or of a peer's Parquet.

    The number of pairs, a digest of who beat whom, and the characters of all texts.
    """
    if (folder / "manifest.json").exists():
        frame = pl.scan_parquet(folder / "*" / "*.parquet").select(
            "post_id",
            "question",
            chosen=pl.when(pl.col("preferred") == 1).then("answer1").otherwise("answer2"),
            rejected=pl.when(pl.col("preferred") == 1).then("answer2").otherwise("answer1"),
            chosen_id=pl.when(pl.col("preferred") == 1).then("answer1_id").otherwise("answer2_id"),
            rejected_id=pl.when(pl.col("preferred") == 1).then("answer2_id").otherwise("answer1_id"),
        )
    else:
        frame = pl.scan_parquet(folder / "*.parquet")
    texts = sum(pl.col(name).str.len_chars() for name in ("question", "chosen", "rejected"))
    found = frame.select(
        key=pl.concat_str("post_id", "chosen_id", "rejected_id", separator=" "), characters=texts
    ).collect(engine="streaming")
    digest = hashlib.sha256("\n".join(found["key"].sort()).encode()).hexdigest()[:16]
    return {"pairs": found.height, "digest": digest, "characters": int(found["characters"].sum())}


def rows(folder: Path) -> dict[str, Any]:
    """Of a store of the product, or of a peer's Parquet: posts, direct replies, and the characters of their bodies."""
    counts: dict[str, Any] = {}
    characters = 0
    for kind in ("posts", "answers"):
        if (folder / kind / "_delta_log").exists():
            frame, body = pl.scan_delta(str(folder / kind)), "body"
        else:
            frame, body = pl.scan_parquet(folder / kind / "*.parquet"), "selftext" if kind == "posts" else "body"
        found = frame.select(rows=pl.len(), characters=pl.col(body).str.len_chars().sum()).collect(engine="streaming")
        counts[kind] = int(found["rows"][0])
        characters += int(found["characters"][0])
    return {**counts, "characters": characters}


if __name__ == "__main__":
    print(json.dumps({"pairs": pairs, "rows": rows}[sys.argv[1]](Path(sys.argv[2]))))
