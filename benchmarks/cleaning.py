"""What each filter of `--clean` removes from a store, and what that does to labels; then the speed of the whole chain.

    uv run --group dev --extra lab python benchmarks/cleaning.py STORE [--rule shp]

For each parameter alone, and for each profile: how many pairs an export loses; how often the longer answer wins; how
often askers' thanks and accepted answers agree with the labels; and the accuracy of the lab's linear model of words
that learns the pairs, tested on the same pairs of other threads each time, less that of the pairs that were not
cleaned, with the standard error of the difference. Then the CPU time of exports without and with each profile.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from shp_miner import clean_profile, export_dataset
from shp_miner.lab.judges import accepted_judge, held_against, thanks_judge
from shp_miner.lab.threads import Shares, Threads
from shp_miner.lab.words import words_tables
from shp_miner.rules.presets import preset
from shp_miner.store import Store

#: Each parameter alone, with the value that a profile or the page gives as an example.
ALONE: dict[str, Any] = {
    "personal": "drop",
    "near_duplicates": "one",
    "cut_thanks": True,
    "drop_bots": True,
    "drop_quotes": True,
    "drop_links": True,
    "drop_near_empty": True,
    "drop_leaning": True,
    "same_language": True,
    "min_words": 5,
    "max_words": 1000,
    "max_similarity": 0.8,
    "max_pairs_per_answer": 3,
    "match_lengths": True,
    "max_pairs_per_author": 50,
    "max_pairs_per_community": 5000,
    "max_pairs": 20_000,
}
#: The pairs that nothing cleaned; the lab's tables hold every column against one of this name.
BASE = "votes"
_KEY = ("post_id", "winner_id", "loser_id")


def exported(store: Path, rule: str, clean: Any) -> tuple[pl.DataFrame, float]:
    """The winners and losers of an export, and its CPU seconds on one worker."""
    with TemporaryDirectory() as folder:
        started = time.process_time()
        chosen = preset(rule, allow_unknown_age=True)
        export_dataset(store, Path(folder) / "out", rule=chosen, clean=clean, workers=1)
        spent = time.process_time() - started
        files = sorted((Path(folder) / "out").rglob("*.parquet"))
        rows = pl.concat([pl.read_parquet(file) for file in files])
    first = pl.col("preferred") == 1
    ids = pl.col("answer1_id"), pl.col("answer2_id")
    winner, loser = pl.when(first).then(ids[0]).otherwise(ids[1]), pl.when(first).then(ids[1]).otherwise(ids[0])
    return rows.select("post_id", winner.alias("winner_id"), loser.alias("loser_id")), spent


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--rule", default="shp")
    parser.add_argument("--only", nargs="*", help="these parameters and profiles; default: all")
    asked = parser.parse_args()
    threads = Threads.read(Store(asked.store).snapshot())
    base = threads.pairs(preset(asked.rule, allow_unknown_age=True))
    variants = {BASE: None, **{name: clean_profile(**{name: value}) for name, value in ALONE.items()}}
    variants |= {"standard": clean_profile("standard"), "strict": clean_profile("strict")}
    if asked.only is not None:
        variants = {name: variants[name] for name in (BASE, *asked.only)}
    exported(asked.store, asked.rule, None)  # the first export also loads libraries and makes the fit
    pairs, spent = {}, {}
    for name, clean in variants.items():
        kept, spent[name] = exported(asked.store, asked.rule, clean)
        pairs[name] = base.join(kept.unique(), on=_KEY, how="semi", maintain_order="left")
    judges = {"thanks": thanks_judge(threads), "accepted": accepted_judge(threads)}
    agree = {}
    for title, judge in judges.items():
        shares = Shares(0, by_thread=True)
        for name, found in pairs.items():
            held = held_against(judge, found)
            shares.add(name, held["thread_hash"], held["agrees"].to_numpy())
        agree[title] = {name: _told(shares, name) for name in pairs}
    words = {row[0]: row for row in words_tables(threads, pairs, 0)[0].rows}
    for name, found in pairs.items():
        _, _, accuracy, _, less, error, *_ = words[name]
        changed = "" if less is None or error is None else f" ({100 * less:+.2f} +- {100 * error:.2f})"
        share = found.height / pairs[BASE].height - 1
        print(
            f"{name:24} pairs {found.height:7,} ({share:+8.3%})  words {100 * accuracy:.2f}{changed}"
            f"  thanks {agree['thanks'][name]}  accepted {agree['accepted'][name]}"
            f"  CPU {spent[name] / spent[BASE]:.2f} ({threads.answers.height / spent[name]:,.0f} answers/s)"
        )


def _told(shares: Shares, name: str) -> str:
    """How often a judge agrees, of how many pairs; some stores have none that it judges."""
    return f"{shares.share(name):.4f} of {shares.pairs(name)}" if shares.pairs(name) else "none"


if __name__ == "__main__":
    main()
