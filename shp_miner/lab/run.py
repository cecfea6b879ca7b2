"""Running the worlds: simulate, apply every rule, compare its labels with the truth, and keep finished results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
import xxhash
from msgspec import Struct

from shp_miner import lab, rules
from shp_miner.arguments import Names, several
from shp_miner.engine import Advance, Processes, Step, cores
from shp_miner.errors import UsageError
from shp_miner.lab.measures import (
    Floats,
    Index,
    Labels,
    Mask,
    accuracy_at,
    calibration_error,
    coverage,
    length_bias,
    multiple,
    multiple_error,
    reliability,
    share_with_error,
)
from shp_miner.lab.rows import answer_positions, reddit_tables, telling
from shp_miner.lab.simulate import Threads, simulate
from shp_miner.lab.table import write_json
from shp_miner.lab.worlds import WORLDS, LabWorld, named_world
from shp_miner.mining.tables import make_pairs
from shp_miner.rules.presets import PRESETS, Rule

SEED = 0

#: Threads of a world: enough for a standard error of about 0.002 on SHP's accuracy.
THREADS = 2000

#: The rule that the others are compared with.
REFERENCE = "shp"

#: A rule that sets a lower bound on the confidence is also measured with everything above a coin's.
_COIN = math.nextafter(0.5, 1)

#: A yardstick and no rule: all pairs of unequal votes, ranked by who knows how often each answer was looked at.
LOOKS_KNOWN = "looks-known"

#: Says that a folder is the lab's own.
_MARK = ".made-by-shp-miner-lab"

#: Decimals of every number kept, so that the order in which threads of a processor add up does not show.
_DECIMALS = 6


class RuleResult(Struct, frozen=True, kw_only=True):
    """What one rule made of a world. None stands for what needs confidences or pairs that there are not.

    `accuracy` is the share of the rule's labels that are right. The measures by confidence (`accuracy_at_shp`,
    `multiple`, `calibration_error`, `reliability`, `coverage`) use `ranked_pairs`: the rule's pairs, or for a rule with
    a bound on the confidence all its pairs above 0.5. `_se` are standard errors with threads as independent units.
    """

    rule: str
    pairs: int
    pairs_per_thread: float
    accuracy: float | None
    accuracy_se: float | None
    ranked_pairs: int
    accuracy_at_shp: float | None
    multiple: float | None
    multiple_se: float | None
    calibration_error: float | None
    length_bias: float | None
    length_bias_se: float | None
    reliability: list[tuple[float, float, int]]
    coverage: list[tuple[float, float]]


class WorldResult(Struct, frozen=True, kw_only=True):
    """A finished world: what was simulated, and what each rule made of it.

    `looks_known` is what could be had if it were known how often each answer was looked at.
    """

    fingerprint: str
    world: LabWorld
    seed: int
    threads: int
    answers: int
    votes: int
    rules: list[RuleResult]
    looks_known: RuleResult

    def rule(self, name: str) -> RuleResult:
        """The result of the named rule."""
        return next(result for result in self.rules if result.rule == name)


@dataclass(frozen=True)
class Job:
    """One world to run, and the file where its result is kept."""

    path: Path
    world: LabWorld
    seed: int
    threads: int


def claim_folder(out: Path) -> None:
    """Mark `out` as the lab's folder. Raises UsageError if the folder has other content."""
    if out.exists() and not (out / _MARK).exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"{out} exists and was not made by the lab.", "Choose another folder, or empty this one first."
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).touch()


def chosen_worlds(names: Names) -> list[LabWorld]:
    """The named worlds in the order of the tables; all if none is named. Raises UsageError."""
    wanted = {named_world(name).name for name in several(names, "worlds")} or set(WORLDS)
    return [lab_world for lab_world in WORLDS.values() if lab_world.name in wanted]


def count_steps(worlds: Sequence[LabWorld]) -> int:
    """Return how often `run_worlds` advances by one."""
    return len(worlds) * len(PRESETS)


def run_worlds(
    out: Path,
    worlds: Sequence[LabWorld],
    *,
    seed: int = SEED,
    threads: int = THREADS,
    workers: int | None = None,
    advance: Advance = lambda _: None,
    found: Callable[[WorldResult], None] = lambda _: None,
) -> list[WorldResult]:
    """Return the results of these worlds. Each finished one is kept in OUT/worlds and reused the next time.

    `found` is called for each result that was already there.
    """
    jobs = [Job(out / "worlds" / f"{lab_world.name}.json", lab_world, seed, threads) for lab_world in worlds]
    results = {job.world.name: kept for job in jobs if (kept := _kept(job)) is not None}
    for result in results.values():
        found(result)
        advance(len(PRESETS))
    todo = [job for job in jobs if job.world.name not in results]
    with Processes(workers or cores()) as engine:
        advance(_finished(results, jobs))
        for result in engine.run(run_world, todo, advance):
            results[result.world.name] = result
            advance(_finished(results, jobs))
    return [results[lab_world.name] for lab_world in worlds]


def _finished(results: Sized, jobs: Sized) -> Step:
    return Step(doing=f"{len(results)} of {len(jobs)} worlds")


def run_world(job: Job, advance: Advance) -> WorldResult:
    """Simulate one world, measure every rule and keep the result."""
    threads = simulate(job.world, job.seed, job.threads)
    posts, answers = reddit_tables(threads, job.world)
    reference = _pairs(posts, answers, PRESETS[REFERENCE], threads).labels
    rules = []
    for rule in PRESETS.values():
        known = telling(threads, answers, rule.measure)  # what few platforms tell, only for who needs it
        rules.append(_measured(rule, _pairs(posts, known, _open(rule), threads), reference, job))
        advance(1)
    result = WorldResult(
        fingerprint=fingerprint(job),
        world=job.world,
        seed=job.seed,
        threads=job.threads,
        answers=len(threads.thread),
        votes=int(threads.up.sum() + threads.down.sum()),
        rules=rules,
        looks_known=_measured(Rule(name=LOOKS_KNOWN), known_looks(posts, answers, threads, job.world), reference, job),
    )
    write_json(job.path, result)
    return result


def fingerprint(job: Job) -> str:
    """Return a value that changes with everything a result depends on: world, seed, threads, rules, code, numpy."""
    digest = xxhash.xxh3_128()
    digest.update(msgspec.json.encode([job.world, job.seed, job.threads, list(PRESETS.values()), np.__version__]))
    room = Path(lab.__file__).parent
    own = [room / f"{name}.py" for name in ("worlds", "simulate", "rows", "measures", "run")]
    for path in [*own, *sorted(Path(rules.__file__).parent.glob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _kept(job: Job) -> WorldResult | None:
    """The finished result, if it is there and is of the same configuration."""
    try:
        result = msgspec.json.decode(job.path.read_bytes(), type=WorldResult)
    except (OSError, msgspec.MsgspecError):
        return None
    return result if result.fingerprint == fingerprint(job) else None


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of a rule with the truth: labels, and whether the longer answer won and is the better one (1, 0).

    Pairs of equal length have 0 in both. Winners and losers are places in the arrays of the threads.
    """

    winner: Index
    loser: Index
    labels: Labels
    longer_won: Mask
    longer_better: Mask

    def only(self, keep: Mask) -> _Pairs:
        return _Pairs(
            self.winner[keep], self.loser[keep], self.labels.only(keep), self.longer_won[keep], self.longer_better[keep]
        )


def _pairs(posts: Any, answers: Any, rule: Rule, threads: Threads) -> _Pairs:
    made = make_pairs(posts, answers, rule)
    winner, loser = answer_positions(threads, made["winner_id"]), answer_positions(threads, made["loser_id"])
    right = threads.quality[winner] > threads.quality[loser]
    confidence = made["confidence"].to_numpy(zero_copy_only=False).astype(np.float64)
    won, lost = threads.length[winner], threads.length[loser]
    longer_better = np.where(right, won > lost, lost > won)
    return _Pairs(winner, loser, Labels(threads.thread[winner], right, confidence), won > lost, longer_better)


def known_looks(posts: Any, answers: Any, threads: Threads, world: LabWorld) -> _Pairs:
    """Pairs of unequal votes whose winner also has the higher rate of up-votes a look, ranked by how sure that is.

    Rates have a gamma prior worth one up-vote at the world's rate; the difference of their logarithms is held against
    its standard deviation. What else moves votes (herding, names, length) is not taken off.
    """
    every = _pairs(posts, answers, Rule(name=LOOKS_KNOWN, order="any", floors=False), threads)
    ups = threads.up + 1
    rate = np.log(ups / (threads.looks + 1 / world.up_rate))
    z = (rate[every.winner] - rate[every.loser]) / np.sqrt(1 / ups[every.winner] + 1 / ups[every.loser])
    ranked = replace(every, labels=Labels(every.labels.thread, every.labels.right, _normal(z)))
    return ranked.only(z > 0)


def _normal(z: Floats) -> Floats:
    """The distribution function of the standard normal."""
    known, where = np.unique(z, return_inverse=True)
    return np.array([NormalDist().cdf(value) for value in known.tolist()])[where]


def _open(rule: Rule) -> Rule:
    """The rule with its bound on the confidence, if it has one, at a coin's."""
    return rule if rule.min_confidence is None else msgspec.structs.replace(rule, min_confidence=_COIN)


def _measured(rule: Rule, every: _Pairs, reference: Labels, job: Job) -> RuleResult:
    """The measures of a rule, given its pairs without a bound on the confidence."""
    bound = rule.min_confidence
    own = every if bound is None else every.only(every.labels.confidence >= bound)
    accuracy, accuracy_se = share_with_error(own.labels.right, own.labels.thread)
    bias, bias_se = length_bias(own.longer_won, own.longer_better, own.labels.thread)
    ranked = every.labels
    return RuleResult(
        rule=rule.name,
        pairs=len(own.labels),
        pairs_per_thread=round(len(own.labels) / job.threads, _DECIMALS),
        accuracy=_rounded(accuracy),
        accuracy_se=_rounded(accuracy_se),
        ranked_pairs=len(ranked) if ranked.ranked else 0,
        accuracy_at_shp=_rounded(accuracy_at(ranked, len(reference))),
        multiple=_rounded(multiple(ranked, reference)),
        multiple_se=_rounded(multiple_error(ranked, reference, job.threads, job.seed)),
        calibration_error=_rounded(calibration_error(ranked)),
        length_bias=_rounded(bias),
        length_bias_se=_rounded(bias_se),
        reliability=[(round(c, _DECIMALS), round(a, _DECIMALS), n) for c, a, n in reliability(ranked)],
        coverage=[(round(x, _DECIMALS), round(a, _DECIMALS)) for x, a in coverage(ranked, len(reference))],
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, _DECIMALS)
