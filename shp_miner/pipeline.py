"""The flow: a dump into the store, the store through a rule into exports. What the commands call, and you can too."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from shp_miner.dumps.compressed import Advance, ignore
from shp_miner.errors import BadInput, UsageError
from shp_miner.export.card import card
from shp_miner.export.check import Checker
from shp_miner.export.formats import FORMATS, Format
from shp_miner.export.manifest import manifest, to_json
from shp_miner.export.pieces import Pieces, write_piece
from shp_miner.export.publish import MANIFEST, published, write_text
from shp_miner.export.shards import Shard, write_shards
from shp_miner.mine import Mined, Selection, mine
from shp_miner.model import Chunk
from shp_miner.rules.presets import Rule, preset
from shp_miner.store import Store
from shp_miner.tally import Tally

Path_ = str | os.PathLike[str]

#: Observations mined at a time. It bounds memory and changes no output.
ROWS_PER_RANGE = 100_000


#: A reader of one kind of dump: read(paths, tally, *, now, advance, **options) yields the observations in `paths` and
#: counts the rest in `tally`.
Reader = Callable[..., Iterator[Chunk]]


def reader(kind: str) -> Reader:
    """The reader of a kind of dump: reddit-dump, stackexchange-dump or threads."""
    # Imported late: each kind has libraries that the others do not need.
    match kind:
        case "reddit-dump":
            from shp_miner.dumps.reddit import read  # noqa: PLC0415

            return read
        case "stackexchange-dump":
            from shp_miner.dumps.stackexchange import read as read_stackexchange  # noqa: PLC0415

            return read_stackexchange
        case "threads":
            from shp_miner.dumps.threads import read as read_threads  # noqa: PLC0415

            return read_threads
    raise UsageError(f"There is no import kind {kind!r}.", "The kinds: reddit-dump, stackexchange-dump, threads.")


class Imported(Struct):
    """What an import did: the counts, and the store's version after it."""

    tally: Tally
    version: str


def import_dump(
    kind: str,
    paths: Sequence[Path_],
    store: Store | Path_,
    *,
    now: datetime | None = None,
    advance: Advance = ignore,
    **options: Any,
) -> Imported:
    """Read dump files into a store. Importing the same again changes no export.

    `kind` and `options` as for `reader`; `now` (default: the clock) is what later times are refused by. Damage is in
    the result's tally; raises BadInput for files of another kind, before anything is written.
    """
    store = store if isinstance(store, Store) else Store(store)
    tally = Tally()
    chunks = reader(kind)(
        [Path(path) for path in paths], tally, now=now or datetime.now(UTC), advance=advance, **options
    )
    with store.writer() as writer:
        for chunk in chunks:
            writer.add(chunk)
    return Imported(tally, store.snapshot().version if store.exists else "0.0")


class Exported(Struct):
    """What an export did: the folder, rows by format, community and split, the counts and the store's version."""

    out: Path
    version: str
    tally: Tally
    posts: dict[str, int]
    pairs: dict[str, int]
    shards: dict[str, list[Shard]] = field(default_factory=dict)


def export_dataset(  # noqa: PLR0913  (every option of the command, by name)
    store: Store | Path_,
    out: Path_,
    *,
    rule: str | Rule = "shp",
    formats: Sequence[str] = ("pairs",),
    communities: Collection[str] = (),
    validation: float = 0.05,
    test: float = 0.05,
    as_of: str | None = None,
    keep_dropped: Path_ | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Exported:
    """Mine the store and write one folder of Parquet shards a format. It appears whole or not at all.

    One format stands in `out` itself, several each in `out`/FORMAT. `advance(done, total)` is told of progress.
    Raises UsageError for unknown names, BadInput if no pair satisfies the rule.
    """
    chosen = [_format(name) for name in dict.fromkeys(formats)]
    if min(validation, test) < 0 or validation + test >= 1:
        raise UsageError("The shares of validation and test must be 0 or more and leave some for train.", "")
    selection = Selection(
        rule=preset(rule) if isinstance(rule, str) else rule,
        communities=tuple(sorted({name.lower().removeprefix("r/") for name in communities})),
        validation=validation,
        test=test,
    )
    snapshot = (store if isinstance(store, Store) else Store(store)).snapshot(as_of)
    ranges = snapshot.ranges(ROWS_PER_RANGE)
    result = Exported(Path(out), snapshot.version, Tally(), {}, {})
    with published(Path(out)) as folder:
        work = folder / ".pieces"
        work.mkdir()
        total = _Total(result)
        for number, part in enumerate(ranges):
            mined = mine(snapshot, part, selection)
            write_piece(work, number, mined)
            total.add(mined)
            if keep_dropped is not None:
                _write_dropped(Path(keep_dropped), number, mined)
            if advance:
                advance(number + 1, len(ranges) + len(chosen))
        if not result.pairs:
            raise _nothing(result.tally)
        pieces = Pieces(work, len(ranges))
        for done, form in enumerate(chosen):
            target = folder / form.name if len(chosen) > 1 else folder
            target.mkdir(exist_ok=True)
            result.shards[form.name] = _write_format(target, form, pieces, selection, total)
            if advance:
                advance(len(ranges) + done + 1, len(ranges) + len(chosen))
        pieces.remove()
    return result


class _Total:
    """Sums over ranges; nothing in it depends on their order or number."""

    def __init__(self, result: Exported) -> None:
        self.result = result
        self.digest = 0
        self.newest_us: int | None = None
        self.platforms: set[str] = set()
        self.licenses: set[str] = set()

    def add(self, mined: Mined) -> None:
        self.result.tally.merge(mined.tally)
        self.digest = (self.digest + mined.digest) % (1 << 64)
        self.newest_us = max((t for t in (self.newest_us, mined.newest_us) if t is not None), default=None)
        posts, answers = mined.threads.posts, mined.threads.answers
        self.platforms.update(posts["platform"].unique())
        self.licenses.update(posts["license"].drop_nulls().unique(), answers["license"].drop_nulls().unique())
        for name, count in posts.group_by("community").len().iter_rows():
            self.result.posts[name] = self.result.posts.get(name, 0) + count
        of_pair = posts["community"][answers["post_row"]][mined.threads.pairs["winner"]]
        for name, count in of_pair.value_counts().iter_rows():
            self.result.pairs[name] = self.result.pairs.get(name, 0) + count


def _write_format(folder: Path, form: Format, pieces: Pieces, selection: Selection, total: _Total) -> list[Shard]:
    """Shards, then the checks, then the card, and the manifest last."""
    checker = Checker(form, selection)

    def tables(community: str, split: str) -> Iterator[Any]:
        for threads in pieces.threads(community, split):
            checker.threads(threads, split)
            table = form.table(threads, selection.rule.name)
            checker.table(table)
            yield table

    shards = []
    for community, split in pieces.groups():
        shards += write_shards(folder, form, community, split, tables(community, split))
    checker.finish(folder, shards, total.result.tally)
    data = manifest(form, selection, total.result.tally, total.digest, total.newest_us, shards)
    write_text(folder / "README.md", card(data, shards, sorted(total.platforms), sorted(total.licenses)))
    write_text(folder / MANIFEST, to_json(data))
    return shards


def _write_dropped(folder: Path, number: int, mined: Mined) -> None:
    for kind, frame in mined.dropped.items():
        if frame.height:
            (folder / kind).mkdir(parents=True, exist_ok=True)
            frame.write_parquet(folder / kind / f"{number:06d}.parquet", statistics=False)


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise UsageError(f"There is no format {name!r}.", f"The formats: {', '.join(FORMATS)}.")
    return FORMATS[name]


def _nothing(tally: Tally) -> BadInput:
    reasons = sorted(tally.dropped.items(), key=lambda item: -item[1])[:3]
    why = ", ".join(f"{count:,} {kind}s {reason.replace('_', ' ')}" for (kind, reason), count in reasons)
    return BadInput(
        f"No pair of answers satisfies the rule{f' ({why})' if why else ': the store has no such threads'}.",
        "Try `shp-miner stats` to see what the store holds, or a lower --min-post-score or --min-answer-score.",
    )
