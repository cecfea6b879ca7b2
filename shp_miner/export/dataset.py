"""Exports a store by a rule: the function behind the command `export`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct, field, structs

from shp_miner import shown
from shp_miner.arguments import Amount, Moment, Names, several, size, whole_number
from shp_miner.clean.cleaning import Clean, as_cleaning
from shp_miner.engine import LOCAL, Engine, Means, Steps, Threads, cores, default_memory, fitting_workers
from shp_miner.engine.kept import RESULTS, Kept, content_digest
from shp_miner.export.cache import Bounded, cache_limit, here_or_in_bucket
from shp_miner.export.card import card_text
from shp_miner.export.changes import Changes, changes_of_formats
from shp_miner.export.check import Balance
from shp_miner.export.compact import known_layout, rows_of_parts
from shp_miner.export.dropped import appearing_rows
from shp_miner.export.earlier import earlier_fit
from shp_miner.export.facts import LANGUAGE_SAMPLE, Facts
from shp_miner.export.formats import FORMATS
from shp_miner.export.loading import check_loads, check_path
from shp_miner.export.manifest import SourceCount, manifest_data, to_json
from shp_miner.export.margins import check_margin
from shp_miner.export.nothing import NoThreads, no_site, nothing
from shp_miner.export.owned import MANIFEST, PIECES, README
from shp_miner.export.pieces import piece_windows
from shp_miner.export.publish import check_place, lock_of, place_of, placing_export, published_folder
from shp_miner.export.registered import KnownExport, export_registration
from shp_miner.export.replaced import dropped_folder, refuse_other_export
from shp_miner.export.runs import spread_jobs
from shp_miner.export.screens import Items, Sets, as_sets, keep_items, kept_items, work_with
from shp_miner.export.selected import check_shares, known_formats, known_rule, selected
from shp_miner.export.several import refresh_several, write_several
from shp_miner.export.shards import Shard, rows_of
from shp_miner.export.tasks import (
    RangeJob,
    RangeResult,
    WriteJob,
    WriteResult,
    mine_range,
    sum_ranges,
    trait_range,
    write_groups,
)
from shp_miner.mining.balanced import balance_ranges, steps_of
from shp_miner.mining.calibrate import STEPS, calibrate_ranges
from shp_miner.mining.kept_fits import DRIFT, fits_to_builtins
from shp_miner.mining.mine import Selection
from shp_miner.mining.near import find_near, near_steps
from shp_miner.paths import expanded, is_remote
from shp_miner.rules.calibrated import Calibration
from shp_miner.rules.presets import Rule
from shp_miner.rules.recommended import Recommendation, before_cleaning, recommended_for
from shp_miner.store import Snapshot, Store
from shp_miner.store.lock import only_one, shared_lock
from shp_miner.tally import Tally, counted

Path_ = str | os.PathLike[str]

#: Observations mined at a time, at most and at least. It bounds memory and changes no output.
ROWS_PER_RANGE = 200_000
_LEAST_ROWS = 25_000

#: Threads are written together up to this many bytes of pieces, because each task and window has a cost at its start.
WINDOW_BYTES = 16_000_000

#: The memory of an export without its ranges; the memory per row of a range (keys, and this many times the row's bytes
#: on disk); and the most that one range may take.
_BASE_BYTES = 250_000_000
_ROW_BYTES = 600
_UNPACKED = 6
_RANGE_BYTES = 300_000_000

#: The memory of a task on a cluster, unless told.
TASK_BYTES = _BASE_BYTES + _RANGE_BYTES


class Exported(Struct):
    """The result of an export: its folder, the store's version, counts, posts and pairs by community, shards by format.

    `missing` is a sentence on requested communities that are not in the store, or "". `recommended` is the rule to use
    on this store, of an export by `shp`; else None. Of an export that replaced one:
    `drift` says how far each community's fit had drifted (above `drift_limit` it was made anew), and `changes` what
    changed.
    """

    out: Path
    version: str
    tally: Tally
    posts: dict[str, int]
    pairs: dict[str, int]
    shards: dict[str, list[Shard]] = field(default_factory=dict)
    missing: str = ""
    drift: dict[str, float] = field(default_factory=dict)
    drift_limit: float = DRIFT
    changes: dict[str, Changes] = field(default_factory=dict)
    recommended: Recommendation | None = None

    @property
    def made_anew(self) -> list[str]:
        """Return the communities whose fit had drifted and was made anew."""
        return sorted(name for name, drift in self.drift.items() if drift > self.drift_limit)

    def __repr__(self) -> str:
        pairs, posts = (sum(counts.values()) for counts in (self.pairs, self.posts))
        where = counted(len(self.pairs), "community").replace("communitys", "communities")
        parts = [f"{counted(pairs, 'pair')} of {counted(posts, 'post')}", where, f"as {', '.join(self.shards)}"]
        return f"Exported({str(self.out)!r}, store version {self.version}: {', '.join(parts)})"

    def _repr_html_(self) -> str:
        most = sorted(self.pairs.items(), key=lambda item: (-item[1], item[0]))
        rows = [(name, self.posts.get(name, 0), pairs) for name, pairs in most]
        return shown.table(repr(self), ("community", "posts", "pairs"), rows)


def export_dataset(  # noqa: PLR0913  (every option of the command, by name)
    store: Store | Path_,
    out: Path_,
    *,
    rule: str | Rule = "shp",
    format: Names | None = None,  # noqa: A002  (as in `load`)
    formats: Names | None = None,
    communities: Names | None = None,
    sites: Names | None = None,
    places: Mapping[str, Names] | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    validation: float = 0.05,
    test: float = 0.05,
    as_of: Moment | None = None,
    replace: bool = False,
    refit: bool = False,
    layout: str = "joined",
    margin: bool = False,
    clean: Clean = None,
    decontaminate: Sets = None,
    keep_dropped: Path_ | None = None,
    workers: int | None = None,
    memory: Amount | None = None,
    engine: str = LOCAL,
    address: str | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Exported:
    """Mine the store, write one folder of Parquet shards per format, and return the counts.

    The export appears complete or not at all. `format`, `communities` and `sites` are one name or several; no site
    or community means all, no format means "pairs", and `formats` is another name of `format`. `places` are sites
    with some of their communities (empty: the whole site). One format is written to `out`, several to `out`/FORMAT
    each. `since` and `until` replace the rule's; they and `as_of` are a text such as "2023-01-01", a date or a
    datetime, and `as_of` may be a version. `validation` and `test` are shares of threads. An export of another rule,
    format, community or site in `out` is replaced with `replace` alone; one of the same selection always. Communities
    keep the fit of the export that is replaced until it has drifted; `refit` makes each anew, and so does `as_of`.
    `layout` "compact" writes each text once, for the formats in `compact.COMPACT`; `margin` adds TRL's column to those
    in `TAKE_MARGIN`. `clean` is the name of a profile, or what `clean_profile` returns. Texts that hold an item of
    `decontaminate` (files, or what `evaluation_sets` returns) are left out. `workers`, `memory`, `engine` and `address`
    are as for `import_dump`; they do not change the files. `advance(done, total)` reports progress. Raises UsageError
    for unknown names and for another export in `out`, and BadInput if no pair satisfies the rule.
    """
    chosen = known_formats(format, formats)
    check_shares(validation, test)
    layout = known_layout(layout, chosen)
    chosen_rule = known_rule(rule, since, until)  # an unknown name is an error before anything else
    cleaning = as_cleaning(clean)
    sets = as_sets(decontaminate)
    if margin:
        check_margin(chosen, chosen_rule, layout)
    means = Means(whole_number(workers, "workers"), size(memory, "memory"), engine, address).checked()
    store = store if isinstance(store, Store) else Store(store)
    store.require()
    # Forgetting waits until the export is complete, and finds the files of a killed export.
    with shared_lock(store.path, "writing an export"):
        snapshot = store.snapshot(as_of)
        selection, missing = selected(
            snapshot,
            chosen_rule,
            communities=communities,
            sites=sites,
            places=places,
            validation=validation,
            test=test,
            clean=cleaning,
        )
        if sets is not None:
            selection = structs.replace(selection, decontaminate=sets.about)
        if not replace:
            refuse_other_export(expanded(out), chosen, selection)
        if layout == "compact":
            selection = structs.replace(selection, layout="compact")
        if margin:
            selection = structs.replace(selection, margin=True)
        power = Power(means, advance)
        try:
            fit = None if refit or as_of is not None else earlier_fit(place_of(expanded(out)), selection)
            if sets is not None:
                keep_items(store.path, sets)
            items = None if sets is None else sets.items
            what = partial(_appearing, store, snapshot, expanded(out), chosen, selection, power)
            done = here_or_in_bucket(partial(what, items=items, dropped=keep_dropped, fit=fit))
        except NoThreads as none:
            raise no_site(several(sites, "sites"), snapshot) or none from None
    done.missing = missing
    return done


def make_export_again(
    store: Store, known: KnownExport, out: Path, formats: Sequence[str], selection: Selection
) -> None:
    """Write a registered export, or its format in `out`, again from the current store.

    It stays registered; the hashes of its new manifests are added to its entry.
    """
    power = Power(Means(), None)
    with shared_lock(store.path, "writing an export"):
        fit = earlier_fit(place_of(out), selection)
        items = kept_items(store.path, selection.decontaminate) if selection.decontaminate else None
        what = partial(_appearing, store, store.snapshot(), out, formats, selection, power)
        here_or_in_bucket(partial(what, items=items, known=known, fit=fit))


class Power(Struct):
    """What an export may use, and the function that gets its progress."""

    means: Means
    advance: Callable[[int, int], None] | None

    def ranges(self, snapshot: Snapshot) -> tuple[int, int]:
        """Return how many threads of this machine may work, and how many rows each task may mine at a time.

        On a cluster the rows do not depend on the machine of the driver: another machine goes on with the same tasks.
        """
        if self.means.on_cluster:
            return 1, fitting_ranges(snapshot, 1, self.means.memory or TASK_BYTES)[1]
        return fitting_ranges(snapshot, self.means.workers or cores(), self.means.memory or default_memory())

    def engine(self, work: Path, threads: int, out: Path) -> Engine:
        """Return the engine of the export to `out`, whose results stay in `work` until the export appears."""
        on_cluster = self.means.on_cluster
        engine = self.means.cluster(work, self.means.memory or TASK_BYTES) if on_cluster else Threads(threads)
        if is_remote(out) and not is_remote(work):
            engine = Bounded(engine, work.parent, cache_limit())
        return Kept(engine, work / RESULTS)


def _appearing(  # noqa: PLR0913
    store: Store,
    snapshot: Snapshot,
    out: Path,
    formats: Sequence[str],
    selection: Selection,
    power: Power,
    *,
    items: Items | None = None,
    dropped: Path_ | None = None,
    known: KnownExport | None = None,
    fit: Calibration | None = None,
    in_bucket: bool = False,
) -> Exported:
    """Build the export beside its place and let it appear; register it before the first byte of text is written.

    One to an object store is built on this machine, or `in_bucket`. Raises Overfull where this machine's limit ends it.
    """
    threads, rows = power.ranges(snapshot)
    ranges = snapshot.ranges(rows, selection.within)
    rows_to = dropped_folder(dropped, out)
    plan = content_digest(
        version("shp-miner"), snapshot.counted(), snapshot.version, ranges, selection, tuple(formats), rows_to, fit
    )
    check_place(out)
    check_path(out)
    with (
        placing_export(out),
        only_one(lock_of(out), f"The export {out} is being written", "writing it"),
        export_registration(store, out, known) as entry,
        appearing_rows(rows_to) as take_dropped,
        published_folder(out, plan, keep=power.means.on_cluster, in_bucket=in_bucket) as folder,
    ):
        entry.begin(rows_to)
        work = folder / PIECES
        if items is not None:
            work_with(work, items)
        path = store.path.absolute()  # a worker may be in another folder
        mining = [
            RangeJob(path, snapshot.version, n, part, selection, work, rows_to is not None)
            for n, part in enumerate(ranges)
        ]
        with power.engine(work, threads, out) as engine:
            done = _written(out, folder, formats, mining, engine, Steps(len(ranges), power.advance), fit)
        if known is None:
            done.changes = changes_of_formats(place_of(out), folder)
        take_dropped(work)
        entry.publishing(folder)
    if place_of(out).name in FORMATS:
        refresh_several(place_of(out).parent)  # where it is one format of several there
    return done


def _written(  # noqa: PLR0917
    out: Path,
    folder: Path,
    formats: Sequence[str],
    mining: Sequence[RangeJob],
    engine: Engine,
    steps: Steps,
    fit: Calibration | None,
) -> Exported:
    """Mine the ranges, write all formats to `folder` (which becomes `out`), and return the counts."""
    first = mining[0]
    steps.more((STEPS + near_steps(first.selection)) * len(mining) + len(formats))
    steps.begin("reading votes")
    calibration, drift = calibrate_ranges(mining, engine=engine, advance=steps, earlier=fit)
    steps.begin("comparing texts")
    find_near(mining, engine=engine, advance=steps)
    if steps_of(first.selection.clean):
        steps.more(len(mining))
        steps.begin("balancing")
        balance_ranges(mining, trait_range, engine=engine, advance=steps)
    steps.begin("mining")
    mined = sum_ranges(engine.run(mine_range, mining, steps))
    rule = first.selection.rule
    if not mined.pairs:
        raise nothing(mined.tally, recommended_for(rule, 0, mined.comparable))
    result = Exported(out, first.version, mined.tally, mined.posts, mined.pairs)
    made = before_cleaning(sum(mined.pairs.values()), mined.tally.dropped)
    result.recommended = recommended_for(rule, made, mined.comparable)
    result.drift = {row["community"]: row["drift"] for row in drift.to_dicts() if row["community"] in mined.pairs}
    targets = {name: folder / name if len(formats) > 1 else folder for name in formats}
    sampled = min(LANGUAGE_SAMPLE / max(mined.answers, 1), 1.0)
    writing = [
        WriteJob(name, targets[name], first.work, len(mining), windows, first.selection, sampled)
        for name in formats
        for windows in piece_windows(first.work, len(mining), WINDOW_BYTES)
    ]
    steps.begin("writing")
    writing = spread_jobs(writing, engine, steps)
    steps.more(len(writing) - len(formats))
    written = list(engine.run(write_groups, writing, steps))
    for name, target in targets.items():
        own = [part for job, part in zip(writing, written, strict=True) if job.format == name]
        result.shards[name] = _finish(name, target, own, first.selection, mined, calibration)
    if len(targets) > 1:
        write_several(folder, targets)
    return result


def _mined_row_bytes(snapshot: Snapshot) -> int:
    """Bytes of memory that mining takes for a row."""
    rows, size = (sum(count(name) for name in ("posts", "answers")) for count in (snapshot.rows, snapshot.size_bytes))
    return _ROW_BYTES + _UNPACKED * size // max(rows, 1)


def mining_bytes(snapshot: Snapshot, workers: int, rows: int) -> int:
    """Return the bytes of memory that so many threads take with so many rows each."""
    return _BASE_BYTES + workers * rows * _mined_row_bytes(snapshot)


def fitting_ranges(snapshot: Snapshot, workers: int, memory: int) -> tuple[int, int]:
    """Return how many of the `workers` threads fit into `memory` bytes, and how many rows each may mine at a time."""
    row_bytes = _mined_row_bytes(snapshot)
    left = memory - _BASE_BYTES
    fitting = fitting_workers(workers, left, _LEAST_ROWS * row_bytes)
    fitting_rows = max(min(left // fitting, _RANGE_BYTES) // row_bytes, _LEAST_ROWS)
    return fitting, min(fitting_rows, ROWS_PER_RANGE)


def _finish(
    name: str,
    folder: Path,
    written: Sequence[WriteResult],
    selection: Selection,
    mined: RangeResult,
    calibration: Calibration,
) -> list[Shard]:
    """Return the shards of a format after checking it and writing its card, and the manifest last."""
    found = [shard for part in written for shard in part.shards]
    shards = sorted(found, key=lambda shard: (shard.community, shard.split))  # files of each are in their order already
    balance, facts = Balance(), Facts()
    for part in written:
        balance.add(part.balance)
        facts.add(part.facts)
    balance.check(FORMATS[name], mined.tally)
    # Communities without a pair are left out: their names may be people's own, and no file of the export has them.
    fits = [fit for fit in fits_to_builtins(calibration) if fit["community"] in mined.pairs]
    source = SourceCount(mined.digest, mined.newest_us, fits, mined.arrival.data())
    data = manifest_data(FORMATS[name], selection, mined.tally, source, shards)
    data["facts"] = facts.data(mined.platforms, mined.licenses)
    text = card_text(data, facts.example)
    (folder / README).write_text(text, encoding="utf-8")
    (folder / MANIFEST).write_text(to_json(data), encoding="utf-8")
    check_loads(folder, rows_of_parts(shards) if selection.layout else rows_of(shards))
    return shards
