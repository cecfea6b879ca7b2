"""What each rule would give of a store: pairs, posts, lengths and confidence, without texts and without an export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from msgspec import Struct, field, structs

from shp_miner.clean.balance import require_local
from shp_miner.clean.cleaning import Clean, as_cleaning
from shp_miner.clean.clusters import without_near
from shp_miner.clean.eligible import judge_answers, judge_posts
from shp_miner.engine import Advance, Steps, Threads, cores
from shp_miner.export.selected import selected
from shp_miner.mining.calibrate import FIT_PARAMETERS, STEPS, MeasureJob, calibrate_ranges, load_calibration
from shp_miner.mining.cleaned import Cleaned, answer_texts, post_texts
from shp_miner.mining.mine import judge_threads, tally_reasons
from shp_miner.rules.arrival import Arrival
from shp_miner.rules.calibrated import with_theta
from shp_miner.rules.eligibility import COUNTS, HELPERS, REASON, THREAD, lacks_something, takes_choice
from shp_miner.rules.needs import needs_times, needs_votes
from shp_miner.rules.pairs import ANSWER_KEY, Pairs, form_pairs, sample_pairs
from shp_miner.rules.presets import PRESETS, Rule, preset
from shp_miner.rules.recommended import (
    Comparable,
    Recommendation,
    before_cleaning,
    count_comparable,
    recommended_for,
)
from shp_miner.show.fit import ROWS_EACH
from shp_miner.show.near import near_in, near_in_steps
from shp_miner.store import Snapshot, Store
from shp_miner.store.lock import shared_lock
from shp_miner.store.snapshot import SCHEMAS
from shp_miner.tally import Tally

#: With fewer pairs, numbers on a rule are chance, and a model learns little.
FEW_PAIRS = 1_000


class RuleGives(Struct):
    """What a rule gives of a store. Shares and means are over pairs, None if there is no pair.

    `longer_wins` is the share of pairs with the longer text preferred, among those of different visible lengths.
    """

    rule: str
    pairs: int
    posts: int
    longer_wins: float | None
    mean_confidence: float | None
    warnings: list[str]


class Compared(Struct):
    """The rules of one comparison, the store's version, and a sentence on communities that are not in the store.

    `recommended` is the rule to use, if `shp` is among the rules and the rule to use gives pairs where any does.
    """

    version: str
    rules: list[RuleGives]
    missing: str = ""
    recommended: Recommendation | None = None


class Overview(Struct):
    """A comparison, and of its first rule what it keeps and leaves out, with votes by the order of arrival."""

    compared: Compared
    tally: Tally
    arrival: Arrival


class _Sums(Struct):
    """Sums of one rule over ranges; lengths and confidences of pairs as counts that add up in any order.

    `made` are the pairs of the rule before cleaning, which says nothing of the rule.
    """

    pairs: int = 0
    made: int = 0
    posts: int = 0
    longer: int = 0
    of_different_length: int = 0
    confidence: int = 0  # in millionths, which is what a confidence is rounded to
    known: int = 0


class _Counted(Struct):
    """The sums of a range by rule, its comparable pairs, and what the first rule keeps."""

    sums: list[_Sums]
    among: Comparable
    tally: Tally = field(default_factory=Tally)
    arrival: Arrival = field(default_factory=Arrival)


class _Job(MeasureJob, frozen=True):
    """A range whose pairs are counted; its rules differ only in what does not change the fit.

    `near` has the near-equal texts (SETTLED) of the whole selection for each rule.
    """

    rules: Sequence[Rule]
    near: Sequence[pl.DataFrame | None]


def compare(
    store: Store,
    snapshot: Snapshot,
    *,
    communities: Sequence[str] = (),
    sites: Sequence[str] = (),
    rules: Sequence[Rule] = (),
    clean: Clean = None,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Compared:
    """Return what each rule gives (default: each preset). Each thread is read once for all rules.

    Counts are those of exports. Without `clean`, no text is read; exports also leave out pairs of a text that is empty
    without its markup. `clean` is as for `export_dataset`. All rules must agree in FIT_PARAMETERS, as the presets do.
    `advance(done, total)` reports progress.
    """
    return overview(
        store,
        snapshot,
        communities=communities,
        sites=sites,
        rules=rules,
        clean=clean,
        workers=workers,
        advance=advance,
    ).compared


def overview(
    store: Store,
    snapshot: Snapshot,
    *,
    communities: Sequence[str] = (),
    sites: Sequence[str] = (),
    rules: Sequence[Rule] = (),
    clean: Clean = None,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Overview:
    """Return what `compare` returns, and what the first rule (default: the first preset) keeps and leaves out."""
    rules = rules or [preset(name) for name in PRESETS]
    assert len({_values(rule, FIT_PARAMETERS) for rule in rules}) == 1
    selection, missing = selected(snapshot, rules[0], communities=communities, sites=sites, clean=as_cleaning(clean))
    require_local(selection.clean)
    ranges = snapshot.ranges(ROWS_EACH, selection.within)
    searches = {_judging(rule): structs.replace(selection, rule=rule) for rule in rules}
    steps = (STEPS + 1) * len(ranges) + sum(near_in_steps(snapshot, of_rule) for of_rule in searches.values())
    step, threads = Steps(steps, advance), Threads(workers or cores())
    # Which answers are compared depends on who is eligible.
    near = {key: near_in(store, snapshot, of_rule, engine=threads, advance=step) for key, of_rule in searches.items()}
    near_of_rules = [near[_judging(rule)] for rule in rules]
    with TemporaryDirectory() as work, shared_lock(store.path, "comparing rules"):
        jobs = [
            _Job(store.path, snapshot.version, number, part, selection, Path(work), rules, near_of_rules)
            for number, part in enumerate(ranges)
        ]
        calibrate_ranges(jobs, engine=threads, advance=step)
        counted = list(threads.run(_count, jobs, step))
    totals = [_total(parts) for parts in zip(*(part.sums for part in counted), strict=True)]
    among = sum((part.among for part in counted), Comparable())
    advice = (recommended_for(rule, sums.made, among) for rule, sums in zip(rules, totals, strict=True))
    recommended = next((found for found in advice if found is not None), None)
    giving = {rule.name for rule, sums in zip(rules, totals, strict=True) if sums.pairs}
    if giving and recommended and recommended.rule not in giving:
        recommended = None  # the default gives nothing here, and nothing that could be weighed speaks for another
    compared = Compared(snapshot.version, list(map(_gives, rules, totals)), missing, recommended)
    found = Overview(compared, Tally(), Arrival())
    for part in counted:
        found.tally.merge(part.tally)
        found.arrival.merge(part.arrival)
    return found


def _count(job: _Job, advance: Advance) -> _Counted:
    """The sums of a range for each rule, and its comparable pairs."""
    snapshot = Store(job.store).snapshot(job.version)
    judged, calibration = judge_threads(snapshot, job.part, job.selection), load_calibration(job.work)
    posts = judged.posts.drop(REASON, COUNTS)
    answers = judged.answers.drop(REASON, *HELPERS)
    known: dict[tuple[object, ...], pl.DataFrame] = {}
    lacking = lacks_something(answers)
    formed: list[tuple[Pairs, Tally]] = []
    found = _Counted([], Comparable())
    for number, (rule, near) in enumerate(zip(job.rules, job.near, strict=True)):
        tally = found.tally if number == 0 else Tally()
        key = (*_judging(rule), *((needs_times(rule), needs_votes(rule)) if lacking else ()))
        if key not in known:
            of_rule = judge_posts(posts, rule)
            again = judge_answers(answers, of_rule, rule)
            if near is not None:
                of_rule, again = without_near(of_rule, again, near.filter(job.part.holds()))
            if number == 0:
                found.among = count_comparable(again, rule)
            tally_reasons(tally, of_rule, again)
            arrival = found.arrival if number == 0 else None
            known[key] = with_theta(again, calibration, arrival).filter(pl.col(REASON).is_null()).drop(REASON)
        formed.append((form_pairs(known[key], rule, tally), tally))
    if job.selection.clean:
        formed = _cleaned(snapshot, job, judged.posts, formed)
    found.sums = [_sums(pairs, rule, tally) for rule, (pairs, tally) in zip(job.rules, formed, strict=True)]
    advance(1)
    return found


def _cleaned(
    snapshot: Snapshot, job: _Job, posts: pl.DataFrame, formed: Sequence[tuple[Pairs, Tally]]
) -> list[tuple[Pairs, Tally]]:
    """The pairs of each rule that cleaning leaves; each text is read and judged once for all rules."""
    clean, nowhere = job.selection.clean, Tally()
    assert clean
    columns = [name for name in SCHEMAS["answers"] if name in formed[0][0].answers.columns]
    answers = pl.concat([pairs.answers.select(columns) for pairs, _ in formed]).unique(ANSWER_KEY)
    answers = answer_texts(snapshot, job.part, answers, clean, nowhere)
    posts = posts.drop(REASON).join(answers.select(THREAD).unique(), on=THREAD, how="semi")
    judged = Cleaned(post_texts(snapshot, job.part, posts, clean, nowhere), answers, clean)
    left = []
    for pairs, tally in formed:
        own = judged.of(pairs.answers)
        own.count(tally)
        left.append((own.leave(pairs, tally), tally))
    return left


#: The parameters of a rule on which judging posts and answers depends.
_JUDGES = (*FIT_PARAMETERS, "floors", "min_post_score", "min_answer_score", "max_answers_per_post", "or_")


def _judging(rule: Rule) -> tuple[object, ...]:
    """What judging depends on; most rules differ only in how they choose pairs."""
    return (*_values(rule, _JUDGES), takes_choice(rule))


def _values(rule: Rule, names: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(rule, name) for name in names)


def _sums(pairs: Pairs, rule: Rule, tally: Tally) -> _Sums:
    pairs = sample_pairs(pairs, rule, tally)
    chars = pairs.answers["body_chars"].to_numpy().astype(np.int64)
    posts = pairs.answers["thread_hash"].to_numpy()[pairs.winner]
    longer, shorter = chars[pairs.winner] > chars[pairs.loser], chars[pairs.winner] < chars[pairs.loser]
    known = pairs.confidence[~np.isnan(pairs.confidence)]
    kept = len(np.unique(posts))
    tally.keep("pair", len(pairs))
    tally.keep("post", kept)
    return _Sums(
        pairs=len(pairs),
        made=before_cleaning(len(pairs), tally.dropped),
        posts=kept,
        longer=int(longer.sum()),
        of_different_length=int((longer | shorter).sum()),
        confidence=int(np.rint(known * 1e6).astype(np.int64).sum()),
        known=len(known),
    )


def _total(parts: Sequence[_Sums]) -> _Sums:
    names = _Sums.__struct_fields__
    return _Sums(*(sum(getattr(part, name) for part in parts) for name in names))


def _gives(rule: Rule, sums: _Sums) -> RuleGives:
    warnings = ["confounded"] if rule.confounded else []
    warnings += ["few pairs"] if sums.pairs < FEW_PAIRS else []
    longer = sums.longer / sums.of_different_length if sums.of_different_length else None
    confidence = sums.confidence / sums.known / 1e6 if sums.known else None
    return RuleGives(rule.name, sums.pairs, sums.posts, longer, confidence, warnings)
