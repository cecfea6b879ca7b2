"""How long likes per reader take: fit the prior of a community and the probability of every pair, in memory.

    uv run python -m benchmarks.readers --threads 100000 --answers 10 --runs 3

Threads have a log-normal number of readers (median 26, as on a real forum), which falls with the rank. Making the input
is not timed. `python -m benchmarks.calibrated --rule per-reader` has the time of the whole rule.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import polars as pl

from shp_miner.rules.comparisons import candidates
from shp_miner.rules.readers import READER_SUMS, count_likes, fit_readers, likelier_by_readers, rates, reader_sums


def counted(threads: int, answers: int, median: float, seed: int = 0) -> pl.DataFrame:
    """Answers of one community, ordered by thread: `reads` with the author's own, and likes."""
    random = np.random.default_rng(seed)
    interest = np.exp(random.normal(np.log(median), 0.8, threads))
    readers = random.poisson(interest[:, None] * np.linspace(1.4, 0.6, answers)).ravel()
    likes = random.binomial(readers, random.beta(0.5, 19.5, len(readers)))
    return pl.DataFrame(
        {"reads": readers + 1, "score": likes, "upvotes": pl.Series(likes, dtype=pl.Int64)}
    ).with_columns(platform=pl.lit("discourse"))


def once(frame: pl.DataFrame, threads: int, answers: int) -> tuple[float, float, float, int]:
    """Seconds of the fit, of the probabilities, of CPU in all, and the number of pairs."""
    thread = np.repeat(np.arange(threads), answers)
    start, start_cpu = time.perf_counter(), time.process_time()
    measured = frame.select(**count_likes())
    sums = reader_sums(measured, np.arange(threads) * answers)
    total = pl.DataFrame({name: [int(sums[name].sum())] for name in READER_SUMS})
    prior = fit_readers(total)
    fitted = time.perf_counter()
    known = measured.with_columns(pl.lit(prior[name][0]).alias(name) for name in ("like_alpha", "like_beta"))
    alpha, beta = rates(known)
    found = likelier_by_readers(pl.DataFrame({"rate_alpha": alpha, "rate_beta": beta}), *candidates(thread))
    assert not np.isnan(found).any()
    return fitted - start, time.perf_counter() - fitted, time.process_time() - start_cpu, len(found)


def main() -> None:
    """Run it and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=100_000)
    parser.add_argument("--answers", type=int, default=10)
    parser.add_argument("--median", type=float, default=26.0, help="Median readers of a thread.")
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    frame = counted(chosen.threads, chosen.answers, chosen.median)
    runs = [once(frame, chosen.threads, chosen.answers) for _ in range(chosen.runs)]
    fit, pairs, cpu = (statistics.median(run[place] for run in runs) for place in (0, 1, 2))
    totals = sorted(run[0] + run[1] for run in runs)
    print(
        f"{frame.height:,} answers, {runs[0][3]:,} pairs: fit {fit:.2f} s, probabilities {pairs:.2f} s, together "
        f"{statistics.median(totals):.2f} s ({totals[0]:.2f} to {totals[-1]:.2f}), CPU {cpu:.2f} s"
    )


if __name__ == "__main__":
    main()
