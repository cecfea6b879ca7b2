"""What `shp-miner import --dry-run` and `export --dry-run` print of time, memory and space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from shp_miner.cli.following import command as called
from shp_miner.cli.following import show_next
from shp_miner.cli.output import print_table, show_result
from shp_miner.cli.saying import say
from shp_miner.units import sized

if TYPE_CHECKING:
    from shp_miner.dumps.estimate import ImportEstimate
    from shp_miner.export.dry_run import Work

_HOUR_S, _MINUTE_S = 3600, 60


def show_import_estimate(
    kind: str,
    paths: tuple[Path, ...],
    store: Path,
    options: dict[str, Any],
    *,
    also: Sequence[str] = (),
    as_json: bool,
    quiet: bool,
) -> int:
    """Show what an import would take; return the exit code. `also` are words that the command needs besides paths."""
    from shp_miner.dumps.estimate import estimate_import

    found = estimate_import(kind, paths, store, **options)

    def people() -> None:
        print_table("An import would take; nothing is written", ("what", "estimate"), work_rows(found))
        if not found.posts + found.answers:
            say("The probe ended before the first post, so rows and bytes of the store are not known.")
        show_next([called("import", kind, *map(str, paths), *also, store=store)])

    data = {"store": str(store), "dry_run": True, **structs.asdict(found)}
    show_result(data, people, as_json=as_json, quiet=quiet)
    return 0


def work_rows(found: ImportEstimate) -> list[tuple[str, str]]:
    """Return an estimate as rows of a table."""
    return [
        ("files", f"{found.files:,} ({sized(found.bytes)}), {sized(found.probed_bytes)} of them probed"),
        ("tasks", f"{found.tasks:,}, {found.workers:,} at a time"),
        ("memory", sized(found.memory_bytes)),
        ("temporary space", sized(found.temporary_bytes)),
        ("CPU time", lasting(found.cpu_s)),
        ("time on this machine", lasting(found.seconds)),
        ("requests to object stores", f"{found.requests:,}"),
        ("posts, answers", f"{found.posts:,}, {found.answers:,}"),
        ("size in the store", sized(found.store_bytes)),
    ]


def export_work_rows(found: Work) -> list[tuple[str, str]]:
    """Return what an export would take as rows of a table."""
    return [
        ("tasks", f"{found.tasks:,}, {found.workers:,} at a time"),
        ("memory", sized(found.memory_bytes)),
        ("temporary space", f"at most {sized(found.temporary_bytes)}"),
        ("CPU time", lasting(found.cpu_s)),
        ("time on this machine", lasting(found.seconds)),
        ("requests to object stores", f"{found.requests:,}"),
    ]


def lasting(seconds: float) -> str:
    """Return a length of time in the unit that fits."""
    if seconds >= 2 * _HOUR_S:
        return f"{seconds / _HOUR_S:,.1f} h"
    return f"{seconds / _MINUTE_S:.1f} min" if seconds >= 2 * _MINUTE_S else f"{seconds:.1f} s"
